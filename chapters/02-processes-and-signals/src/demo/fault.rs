//! What goes wrong with processes, and what is lost by it.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ch02_processes_and_signals::server::RESTART_PAUSE;
use ch02_processes_and_signals::{End, fork_per_connection, prefork};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use stage::Transcript;
use stage::transcript::time;

use super::{GRACE, Server, converse, end_of, how, state, until};

/// The grace in the scene where it passes.
const SHORT_GRACE: Duration = Duration::from_millis(300);

/// How long children are killed as soon as they live.
const CRASHING: Duration = Duration::from_secs(1);

/// Plays the faults, in a few seconds.
pub fn faults() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    never_finishes(&mut transcript)?;
    parent_dies(&mut transcript)?;
    crash_loop(&mut transcript)
}

fn never_finishes(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("SIGTERM, and a client that never finishes");
    let server = Server::start(|listener, observe| fork_per_connection(listener, SHORT_GRACE, observe))?;
    let mut client = server.connect()?;
    transcript.line("client", format!("connect to {}, and stay", server.address));
    server.tell(transcript)?;
    kill(server.pid, Signal::SIGTERM)?;
    let begin = Instant::now();
    transcript.line("you", format!("kill -TERM pid {}", server.pid));
    server.tell(transcript)?;
    server.tell(transcript)?;
    server.tell(transcript)?;
    ensure!(client.read(&mut [0])? == 0, "the connection outlived its process");
    transcript.line("client", "read 0: the connection has ended");
    ended(server.pid, End::Exited(0))?;
    transcript.line("server", format!("exits with 0, {} after the signal", time(begin.elapsed())));
    Ok(())
}

fn parent_dies(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("The parent is killed: its children are not left behind");
    // Orphans become this process's children, so that it can see how they end.
    set_child_subreaper(true)?;
    let server = Server::start(|listener, observe| prefork(listener, 2, GRACE, observe))?;
    let children = [server.hear()?.1, server.hear()?.1];
    transcript.line("server", "fork, fork: both wait for connections");
    let mut client = server.connect()?;
    transcript.line("client", format!("connect to {}", server.address));
    let busy = server.tell(transcript)?;
    let idle = children.into_iter().find(|child| *child != busy).context("one child is two")?;
    until(|| Ok(state(idle)? == 'S'))?;
    kill(server.pid, Signal::SIGKILL)?;
    ended(server.pid, End::Killed(Signal::SIGKILL))?;
    transcript.line("you", format!("kill -KILL pid {}: the parent, which can do nothing about it", server.pid));
    ended(idle, End::Exited(0))?;
    transcript.line("child", format!("pid {idle} got SIGTERM from the kernel, and exited with 0"));
    converse(&mut client, b"and me?")?;
    transcript.line("client", "write and read 7 bytes: its own process finishes what it has begun");
    drop(client);
    transcript.line("client", "close");
    server.tell(transcript)?;
    ended(busy, End::Exited(0))?;
    transcript.line("child", format!("pid {busy} exited with 0"));
    ensure!(TcpStream::connect(server.address).is_err(), "somebody still listens");
    transcript.line("late", format!("connect to {}: refused; the port is free again", server.address));
    Ok(())
}

fn crash_loop(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Children that crash as soon as they live");
    let server = Server::start(|listener, observe| prefork(listener, 2, GRACE, observe))?;
    transcript.line("server", "prefork, 2 children");
    let begin = Instant::now();
    let mut starts = 0_u32;
    while begin.elapsed() < CRASHING {
        let (_, pid, what) = server.hear()?;
        if what.starts_with("fork") {
            starts += 1;
            kill(pid, Signal::SIGKILL)?;
        }
    }
    let bound = 2 * (begin.elapsed().as_millis() / RESTART_PAUSE.as_millis() + 1);
    ensure!(u128::from(starts) <= bound, "{starts} starts in {:?}", begin.elapsed());
    transcript.line("you", format!("kill -KILL each of them at once, for {}", time(CRASHING)));
    transcript.line("server", format!("≈ {starts} starts in that time: two at once, then a pause"));
    let mut client = server.connect()?;
    converse(&mut client, b"hello")?;
    transcript.line("client", "connect, write and read 5 bytes: it works again as soon as they live");
    drop(client);
    server.stop()
}

/// Waits for a process's end, which is to be this one.
fn ended(pid: Pid, end: End) -> anyhow::Result<()> {
    let status = end_of(pid)?;
    let right = match end {
        End::Exited(code) => status == WaitStatus::Exited(pid, code),
        End::Killed(signal) => status == WaitStatus::Signaled(pid, signal, false),
    };
    ensure!(right, "pid {pid} was to have {}, and it is {status:?}", how(end));
    Ok(())
}
