//! `cargo run -p ipc-demos --bin processes`: fork, exec and waitpid, and what is left behind.

use std::ffi::CString;
use std::fs;
use std::io::{ErrorKind, Read, Seek, Write, pipe};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, exit};
use std::time::Duration;

use anyhow::{Context, ensure};
use ch02_processes_and_signals::fork_alone;
use ch03_socketpair::{Decoder, fork_with_channel, read_message, write_message};
use ipc_demos::play::{begin, child, fork, reap};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{ForkResult, Pid, execv, getpid, getppid, pause};
use stage::Transcript;

/// How long a wait is left waiting that is there to show that it waits.
const STUCK: Duration = Duration::from_millis(300);

fn main() -> anyhow::Result<()> {
    let mut transcript =
        begin("Shows fork, exec and waitpid: zombies, inherited descriptors, close-on-exec, and the death of a parent");
    copies(&mut transcript)?;
    exec(&mut transcript)?;
    zombie(&mut transcript)?;
    descriptors(&mut transcript)?;
    orphans(&mut transcript)
}

fn copies(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("fork: memory is copied, open files are shared");
    let mut number = 1;
    let mut file = tempfile::tempfile()?;
    let pid = fork(transcript, |transcript| {
        number += 1;
        file.write_all(b"child,")?;
        transcript.line("child", format!("number += 1: {number}; write 6 bytes to the file"));
        Ok(())
    })?;
    reap(transcript, pid)?;
    file.write_all(b"parent")?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    ensure!((number, text.as_str()) == (1, "child,parent"), "number {number}, file {text:?}");
    transcript
        .line("parent", format!("number: {number}; write 6 bytes: the file is {text:?}, its position was shared"));
    Ok(())
}

fn exec(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("exec: the same process, another program");
    // ANCHOR: exec
    let pid = fork(transcript, |transcript| {
        transcript.line("child", format!("pid {}: exec a shell", getpid()));
        let shell = ["sh", "-c", "echo \"   shell  pid $$: the same one; exit 3\"; exit 3"];
        let arguments = shell.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>()?;
        // It returns only when it has failed. A child that went on here as if it were the parent would be a disaster.
        match execv(c"/bin/sh", &arguments) {
            Err(error) => Err(error.into()),
        }
    })?;
    // ANCHOR_END: exec
    reap(transcript, pid)?;
    let error = Command::new("no-such-program").spawn().err().context("that was not to exist")?;
    ensure!(error.kind() == ErrorKind::NotFound, "{error}");
    transcript
        .line("parent", "Command::new(\"no-such-program\"): the error of the child's exec comes back through a pipe");
    Ok(())
}

fn zombie(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("waitpid: until then, a dead child is a zombie");
    // ANCHOR: zombie
    let pid = match fork_alone()? {
        ForkResult::Child => exit(7),
        ForkResult::Parent { child } => child,
    };
    // Waits for its end, and leaves it unreaped.
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    let before = state(pid);
    // ANCHOR_END: zombie
    ensure!(before.as_deref() == Some("Z (zombie)"), "its state is {before:?}");
    transcript.line("child", "exit(7)");
    transcript.line(
        "parent",
        format!("/proc says of pid {pid}: Z (zombie). It has no memory left, only its number and status"),
    );
    reap(transcript, pid)?;
    ensure!(state(pid).is_none(), "it is still there");
    transcript.line("parent", "/proc knows no such process any more, and the number may be used again");
    Ok(())
}

/// What the kernel says that a process does.
fn state(pid: Pid) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("State:")).map(|state| state.trim().to_owned())
}

fn descriptors(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Inherited descriptors: whoever holds one keeps the other side waiting");
    for (flag, name) in [(FdFlag::empty(), "without"), (FdFlag::FD_CLOEXEC, "with")] {
        let (mut reader, writer) = pipe()?;
        fcntl(&writer, FcntlArg::F_SETFD(flag))?;
        // A program that has nothing to do with the pipe, and runs on.
        let mut program = Command::new("sleep").arg("1000").spawn().context("cannot run sleep")?;
        drop(writer);
        let ended = reads_end_of_file(&mut reader)?;
        ensure!(ended == flag.contains(FdFlag::FD_CLOEXEC), "{name} the flag");
        let what = if ended {
            "0, end of file: exec has closed its copy"
        } else {
            "nothing: it has inherited the end for writing"
        };
        transcript.line("parent", format!("{name} close-on-exec: start `sleep`, close; read: {what}"));
        program.kill()?;
        program.wait()?;
        ensure!(reads_end_of_file(&mut reader)?, "no end of file although all are gone");
    }
    transcript.note("Rust opens everything with the flag, C does not; set it in the very call that opens (O_CLOEXEC)");
    Ok(())
}

/// Whether end of file is what a read gives, or nothing for a while.
fn reads_end_of_file(reader: &mut (impl Read + AsFd)) -> anyhow::Result<bool> {
    let mut wanted = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    let ready = loop {
        match poll(&mut wanted, PollTimeout::try_from(STUCK)?) {
            Err(Errno::EINTR) => {}
            ready => break ready?,
        }
    };
    Ok(ready > 0 && reader.read(&mut [0])? == 0)
}

fn orphans(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("The death of a parent: its children live on, unless they ask not to");
    for asks in [false, true] {
        // The grandchild holds the end for writing as long as it lives.
        let (mut reader, writer) = pipe()?;
        let (pid, mut channel) = fork_with_channel(|channel| child(transcript, |_| middle(channel, asks)))?;
        drop(writer);
        let told = read_message(&mut channel, &mut Decoder::default())?.context("the child left")?;
        let grandchild = Pid::from_raw(i32::from_ne_bytes(told.try_into().ok().context("that is no number")?));
        let how = if asks { ", which asks for PR_SET_PDEATHSIG" } else { "" };
        transcript.line("parent", format!("fork pid {pid}, which forks pid {grandchild}{how}"));
        kill(pid, Signal::SIGKILL)?;
        reap(transcript, pid)?;
        let died = reads_end_of_file(&mut reader)?;
        ensure!(died == asks, "the grandchild, asking: {asks}, has died: {died}");
        if died {
            transcript.line("parent", format!("pid {grandchild} has got SIGKILL with it"));
        } else {
            transcript.line("parent", format!("pid {grandchild} lives on, as a child of init or of a subreaper"));
            kill(grandchild, Signal::SIGKILL)?;
            ensure!(reads_end_of_file(&mut reader)?, "it outlived SIGKILL");
        }
    }
    transcript.note("it is the thread that forked whose death counts, and exec of a set-uid program clears it");
    Ok(())
}

// ANCHOR: pdeathsig
/// The child that dies: its own child says its number, once it is ready, and waits for ever.
fn middle(mut channel: UnixStream, asks: bool) -> anyhow::Result<()> {
    let parent = getpid();
    match fork_alone()? {
        ForkResult::Child => {
            if asks {
                set_pdeathsig(Signal::SIGKILL)?;
                // It may have died before we asked; then nobody will ever tell us.
                if getppid() != parent {
                    exit(0);
                }
            }
            write_message(&mut channel, &getpid().as_raw().to_ne_bytes())?;
            drop(channel);
        }
        ForkResult::Parent { .. } => {}
    }
    loop {
        pause();
    }
}
// ANCHOR_END: pdeathsig
