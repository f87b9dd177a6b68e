//! The demonstrations are tests: each fails when what it shows is not so. What is checked here besides is that each says
//! what it is there for.

use std::process::{Command, Output};

fn play(program: &str, lines: &[&str]) {
    let Output { status, stdout, stderr } = Command::new(program).output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{program} ended with {status}:\n{text}{}", String::from_utf8_lossy(&stderr));
    for line in lines {
        assert!(text.contains(line), "{program} does not say {line:?}:\n{text}");
    }
}

#[test]
fn pipe() {
    play(env!("CARGO_BIN_EXE_pipe"), &["2,000 lines came, 0 of them mixed", "EAGAIN", "EPIPE", "LOUDER, PLEASE"]);
}

#[test]
fn fifo() {
    play(env!("CARGO_BIN_EXE_fifo"), &["ENXIO", "read 0: end of file", "read 4 bytes \"two\\n\"", "\"four\\n\""]);
}

#[test]
fn socketpair() {
    play(env!("CARGO_BIN_EXE_socketpair"), &["\"HOW ARE YOU? (from pid", "recv 5 bytes \"three\"", "returns 100"]);
}

#[test]
fn unix() {
    play(env!("CARGO_BIN_EXE_unix"), &["\"answered by another process\"", "\"it is me\" from pid", "ECONNREFUSED"]);
}

#[test]
fn loopback() {
    play(env!("CARGO_BIN_EXE_loopback"), &["\"the same frames\", answered", "4 bytes \"too \"", "Nobody was told"]);
}

#[test]
fn shm() {
    play(env!("CARGO_BIN_EXE_shm"), &["200,000 messages of 64 bytes came", "2,000 round trips", "EPERM"]);
}

#[test]
fn signals() {
    let lines = ["fails with EINTR", "returns 1 byte", "the handler runs 1 time", "[1, 2, 3]", "SIGUSR2", "status 7"];
    play(env!("CARGO_BIN_EXE_signals"), &lines);
}

#[test]
fn processes() {
    let lines = ["\"child,parent\"", "exited with 3", "Z (zombie)", "end of file: exec", "lives on", "has got SIGKILL"];
    play(env!("CARGO_BIN_EXE_processes"), &lines);
}
