//! What goes wrong between a parent and a child, and what is lost by it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, ensure};
use ch03_socketpair::{Decoder, Duplex, Error, encode, fork_with_channel, read_message, write_message};
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::write;
use stage::{Field, Transcript};

use super::{STUCK, reap, start, told};

/// Plays the faults, in a second or so.
pub fn faults() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    killed(&mut transcript)?;
    stranger(&mut transcript)?;
    forgotten_end(&mut transcript)?;
    broken_pipe(&mut transcript)
}

fn killed(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A child is killed in the middle of a message");
    let (child, mut channel) = start(transcript, |transcript, mut channel| {
        write_message(&mut channel, b"done: 1")?;
        transcript.line("child", "write a whole frame, \"done: 1\"");
        channel.write_all(&encode(b"done: 2, and more")?[..9])?;
        transcript.line("child", "write 9 bytes of the next frame's 21");
        raise(Signal::SIGKILL)?;
        Ok(())
    })?;
    reap(transcript, child)?;
    let mut decoder = Decoder::default();
    for _ in 0..2 {
        let result = read_message(&mut channel, &mut decoder);
        transcript.line("parent", told(&result));
    }
    transcript.note("what was whole is delivered, what was not is never taken for a message");
    Ok(())
}

fn stranger(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A stranger speaks something else");
    let (child, mut channel) = start(transcript, |transcript, mut channel| {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        channel.write_all(request)?;
        let length = u32::from_ne_bytes([request[0], request[1], request[2], request[3]]);
        let fields =
            [Field::new(4, format!("\"GET \", read as a length: {length}")), Field::new(14, "\"/ HTTP/1.1\", …")];
        transcript.bytes("child", format!("write {} bytes", request.len()), request, &fields);
        Ok(())
    })?;
    reap(transcript, child)?;
    let mut decoder = Decoder::default();
    let result = read_message(&mut channel, &mut decoder);
    transcript.line("parent", told(&result));
    ensure!(matches!(result, Err(Error::TooLong { .. })), "that length was believed");
    transcript.note("no memory is set aside for it, and the channel is closed: its next frame can't be found");
    Ok(())
}

fn forgotten_end(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("The parent forgets to close the child's end");
    let (mut ours, theirs) = UnixStream::pair()?;
    // The child does nothing but exit, and with it go its copies of both ends. Its own channel is not used.
    let (child, _) = fork_with_channel(|_| 0)?;
    transcript.line("parent", "socketpair, fork; it keeps both ends");
    reap(transcript, child)?;
    ours.set_read_timeout(Some(STUCK))?;
    let waited = ours.read(&mut [0]).map_err(|error| error.kind());
    ensure!(waited == Err(ErrorKind::WouldBlock), "a read came back: {waited:?}");
    transcript.line("parent", "read: nothing, not even end of file; a timeout ends the wait");
    transcript.note("the kernel reports end of file when the last copy of the other end is closed: the parent has one");
    drop(theirs);
    transcript.line("parent", "close that copy");
    ensure!(ours.read(&mut [0])? == 0, "no end of file");
    transcript.line("parent", "read 0: end of file, at once");
    Ok(())
}

fn broken_pipe(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Writing to somebody who is no more");
    let (child, channel) = start(transcript, |_, _| Ok(()))?;
    reap(transcript, child)?;
    let mut channel = Duplex::new(channel);
    channel.send(b"are you there?")?;
    let error = channel.flush().err().context("a write to nobody succeeded")?;
    transcript.line("parent", format!("send with MSG_NOSIGNAL: error: {error}"));

    // A C program's habit: it does nothing about SIGPIPE, and the signal's default is to end the process.
    let (child, channel) = start(transcript, |_, mut channel| {
        // SAFETY: no handler is installed: the default needs no code of ours.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
        // The parent closes its end after this byte has come.
        channel.write_all(b"!")?;
        ensure!(channel.read(&mut [0])? == 0, "the parent was to close, and to say nothing");
        // The bare system call: the standard library's write on a unix socket asks for no signal.
        write(&channel, b"are you there?")?;
        Ok(())
    })?;
    (&channel).read_exact(&mut [0])?;
    drop(channel);
    transcript.line("parent", "close its end");
    let status = waitpid(child, None)?;
    ensure!(status == WaitStatus::Signaled(child, Signal::SIGPIPE, false), "it is {status:?}");
    transcript
        .line("parent", format!("waitpid: pid {child}, which wrote to it as C programs do, was killed by SIGPIPE"));
    transcript.note(
        "Rust's runtime ignores that signal, so that its programs get the error; a program it starts gets the default",
    );
    Ok(())
}
