//! `cargo run -p ipc-demos --bin pipe`: the oldest way, nameless, in one direction, between relatives.

use std::io::{ErrorKind, Read, Write, pipe};
use std::process::Command;

use anyhow::{Context, ensure};
use ch02_processes_and_signals::fork_alone;
use ipc_demos::play::{begin, child, grouped, reap};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::ForkResult;
use stage::Transcript;

/// How long a line may be so that a write of it is never mixed with another one's, in bytes (Linux; POSIX says 512).
const PIPE_BUF: usize = nix::libc::PIPE_BUF;

fn main() -> anyhow::Result<()> {
    let mut transcript =
        begin("Shows what anonymous pipes do: end of file, atomic writes, capacity, and a program as a filter");
    end_of_file(&mut transcript)?;
    atomic_writes(&mut transcript)?;
    capacity(&mut transcript)?;
    filter(&mut transcript)
}

fn end_of_file(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("End of file comes when the last writer has closed");
    let (mut reader, mut writer) = pipe()?;
    transcript.line("parent", "pipe, fork: the child has both ends now as well");
    // ANCHOR: fork
    let pid = match fork_alone()? {
        ForkResult::Child => {
            drop(reader);
            child(transcript, |transcript| {
                writer.write_all(b"hello from the child")?;
                transcript.line("child", "write 20 bytes, exit");
                Ok(())
            })
        }
        ForkResult::Parent { child } => child,
    };
    reap(transcript, pid)?;
    let mut buffer = [0; 64];
    let length = reader.read(&mut buffer)?;
    transcript.line("parent", format!("read {length} bytes: what was written outlives the writer"));
    // As long as this process holds an end for writing, the next read would wait: for this process to write.
    drop(writer);
    transcript.line("parent", "close its own end for writing");
    ensure!(reader.read(&mut buffer)? == 0, "no end of file");
    transcript.line("parent", "read 0: end of file");
    // ANCHOR_END: fork
    Ok(())
}

fn atomic_writes(transcript: &mut Transcript) -> anyhow::Result<()> {
    const CHILDREN: u8 = 4;
    const LINES: usize = 500;
    transcript.heading("Many writers, one reader: a write of up to PIPE_BUF bytes is never mixed with another");
    let (mut reader, mut writer) = pipe()?;
    let mut children = Vec::new();
    for number in 0..CHILDREN {
        match fork_alone()? {
            ForkResult::Child => {
                drop(reader);
                let mut line = vec![b'a' + number; PIPE_BUF];
                line[PIPE_BUF - 1] = b'\n';
                child(transcript, |_| Ok((0..LINES).try_for_each(|_| writer.write_all(&line))?))
            }
            ForkResult::Parent { child } => children.push(child),
        }
    }
    drop(writer);
    let count = grouped(LINES);
    transcript.line("parent", format!("fork {CHILDREN} children; each writes {count} lines of {PIPE_BUF} bytes"));
    let mut all = Vec::new();
    reader.read_to_end(&mut all)?;
    let lines: Vec<&[u8]> = all.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mixed = lines.iter().filter(|line| line.len() != PIPE_BUF - 1 || line.iter().any(|byte| *byte != line[0]));
    let mixed = mixed.count();
    transcript.line("parent", format!("{} lines came, {mixed} of them mixed", grouped(lines.len())));
    ensure!((lines.len(), mixed) == (LINES * usize::from(CHILDREN), 0), "lines were lost or mixed");
    children.into_iter().try_for_each(|child| reap(transcript, child).map(drop))
}

fn capacity(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A full pipe: the writer waits, or is told");
    let (reader, mut writer) = pipe()?;
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("O_NONBLOCK was refused")?;
    let promised = fcntl(&writer, FcntlArg::F_GETPIPE_SZ)?;
    let mut taken = 0;
    let full = loop {
        match writer.write(&[0; PIPE_BUF]) {
            Ok(length) => taken += length,
            Err(error) => break error,
        }
    };
    ensure!(full.kind() == ErrorKind::WouldBlock && taken == promised as usize, "{taken} bytes fitted, then {full}");
    transcript.line("writer", format!("O_NONBLOCK: {} bytes fit, then write fails with EAGAIN", grouped(taken)));
    transcript.note("that is F_GETPIPE_SZ; F_SETPIPE_SZ changes it, up to /proc/sys/fs/pipe-max-size");
    drop(reader);
    transcript.line("reader", "close");
    let error = writer.write(b"?").err().and_then(|error| error.raw_os_error());
    ensure!(error == Some(Errno::EPIPE as i32), "writing to nobody: {error:?}");
    transcript.line("writer", "write fails with EPIPE (and SIGPIPE, which Rust ignores): nobody will ever read");
    Ok(())
}

fn filter(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Two pipes make a conversation: another program as a filter");
    let (to_read, mut to_tr) = pipe()?;
    let (mut from_tr, to_write) = pipe()?;
    let mut command = Command::new("tr");
    command.args(["a-z", "A-Z"]).stdin(to_read).stdout(to_write);
    let mut running = command.spawn().context("cannot run tr")?;
    // The command holds the ends that it gave to its child, and would hold them open.
    drop(command);
    transcript.line("parent", "run `tr a-z A-Z` with a pipe as its input and one as its output");
    to_tr.write_all(b"louder, please")?;
    transcript.line("parent", "write 14 bytes \"louder, please\"");
    drop(to_tr);
    transcript.line("parent", "close: before end of file, tr keeps what it has in its output buffer");
    let mut answer = String::new();
    from_tr.read_to_string(&mut answer)?;
    transcript.line("parent", format!("read {} bytes {answer:?}, then end of file", answer.len()));
    ensure!(answer == "LOUDER, PLEASE" && running.wait()?.success(), "tr has failed");
    transcript.note("had both sides had much to say, this would have needed chapter 03's care: pipes fill, too");
    Ok(())
}
