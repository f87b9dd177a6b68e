//! The demonstrations: real children, and a transcript of who did what. A child prints its own lines; that their order
//! is always the same is because the other side waits for what is said in them.

mod fault;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ch03_socketpair::frame::HEADER;
use ch03_socketpair::{Decoder, Duplex, Error, encode, fork_with_channel, read_message, write_message};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use stage::transcript::time;
use stage::{Field, Transcript};

pub use fault::faults;

/// How long a call is left waiting that is there to show that it waits.
const STUCK: Duration = Duration::from_millis(300);

/// The size of the buffer in the source text's program, in bytes.
const SOURCE_BUFFER: usize = 1024;

/// What each side wants to say before it listens, in bytes: more than a socket's buffer holds.
const LONG: usize = 1024 * 1024;

/// Plays the whole demonstration, in a second or two.
pub fn run() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    no_edges(&mut transcript)?;
    frames(&mut transcript)?;
    stuck(&mut transcript)?;
    at_once(&mut transcript)
}

fn no_edges(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A stream has no edges: what was three writes may be one read");
    let (child, mut channel) = start(transcript, |transcript, mut channel| {
        for message in ["one", "two", "three"] {
            channel.write_all(message.as_bytes())?;
            transcript.line("child", format!("write {} bytes {message:?}", message.len()));
        }
        channel.write_all(&[b'.'; 1500])?;
        transcript.line("child", "write 1,500 bytes, then exit");
        Ok(())
    })?;
    reap(transcript, child)?;
    transcript.note("what a process has written stays in the socket when the process is gone");
    let mut buffer = [0; SOURCE_BUFFER];
    loop {
        let length = channel.read(&mut buffer)?;
        let what = match length {
            0 => "end of file".to_owned(),
            _ if buffer.starts_with(b"onetwothree") => {
                "it begins with \"onetwothree\", and holds the beginning of the fourth".to_owned()
            }
            _ => "the rest of the fourth".to_owned(),
        };
        transcript.line("parent", format!("read into a buffer of {SOURCE_BUFFER}: {length} bytes: {what}"));
        if length == SOURCE_BUFFER {
            transcript.note("buffer[length] = 0 would now write one byte behind the buffer");
        }
        if length == 0 {
            return Ok(());
        }
        buffer.fill(0);
    }
}

fn frames(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Frames: each message says how long it is");
    let (child, mut channel) = start(transcript, |transcript, mut channel| {
        let mut decoder = Decoder::default();
        let mut answered = 0;
        while let Some(message) = read_message(&mut channel, &mut decoder)? {
            transcript.line("child", format!("a message of {} bytes: {:?}", message.len(), text(&message)));
            write_message(&mut channel, &message.to_ascii_uppercase())?;
            answered += 1;
        }
        transcript.line("child", "read 0 between two frames: the parent says goodbye");
        write_message(&mut channel, format!("I answered {answered}").as_bytes())?;
        Ok(())
    })?;
    let mut decoder = Decoder::default();
    for message in ["how are you?", ""] {
        let frame = encode(message.as_bytes())?;
        show(transcript, "parent", format!("write {} bytes in one call", frame.len()), &frame);
        channel.write_all(&frame)?;
        hear(transcript, &mut channel, &mut decoder)?;
    }
    let frame = encode(b"in pieces")?;
    for byte in &frame {
        channel.write_all(&[*byte])?;
    }
    // The child speaks before the answer comes, and after this line or before it: so the answer is waited for first.
    let answer = read_message(&mut channel, &mut decoder)?.context("the child left")?;
    transcript
        .line("parent", format!("that one went out in {} writes of one byte; answer {:?}", frame.len(), text(&answer)));
    transcript.line("parent", "shutdown(SHUT_WR): it will ask no more, but it still listens");
    channel.shutdown(Shutdown::Write)?;
    hear(transcript, &mut channel, &mut decoder)?;
    ensure!(read_message(&mut channel, &mut decoder)?.is_none(), "the child said more than it should");
    transcript.line("parent", "read 0 between two frames: the child has gone");
    reap(transcript, child)
}

fn stuck(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Both write first and read later: both wait for ever");
    let (child, channel) = start(transcript, |_, channel| {
        write_until_stuck(&channel)?;
        // Leaving would change what happens to the parent, so the child stays until that has gone.
        poll(&mut [PollFd::new(channel.as_fd(), PollFlags::empty())], PollTimeout::NONE)?;
        Ok(())
    })?;
    let begin = Instant::now();
    let taken = write_until_stuck(&channel)?;
    transcript.line("parent", format!("write 1 MiB: the kernel takes ≈ {taken} bytes, then the call waits"));
    transcript
        .note(format!("for a reader, and there is none; a timeout ended the wait after {}", time(begin.elapsed())));
    drop(channel);
    reap(transcript, child)?;
    transcript.note("0 says that it fared the same");
    Ok(())
}

/// Writes a long message as a first draft does, and returns how many bytes the kernel took before it took no more.
fn write_until_stuck(mut channel: &UnixStream) -> anyhow::Result<usize> {
    channel.set_write_timeout(Some(STUCK))?;
    let mut taken = 0;
    loop {
        match channel.write(&vec![0; LONG - taken]) {
            Ok(length) => taken += length,
            // The timeout, or that the other side, after its own, has left with this unread.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset) => {
                return Ok(taken);
            }
            Err(error) => return Err(error.into()),
        }
        ensure!(taken < LONG, "the whole message fitted: it was to be more than the socket holds");
    }
}

fn at_once(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Both write first and read later, by poll: whoever can't write reads meanwhile");
    let (child, channel) = start(transcript, |_, channel| speak_first(channel, 2, 1))?;
    let begin = Instant::now();
    speak_first(channel, 1, 2)?;
    transcript.line("parent", format!("1 MiB sent, 1 MiB received and compared, in {}", time(begin.elapsed())));
    reap(transcript, child)?;
    transcript.note("the child exits with 0 because it has sent and compared the same");
    Ok(())
}

/// Sends a long message before it listens, and expects another one of the kind.
fn speak_first(channel: UnixStream, ours: u8, theirs: u8) -> anyhow::Result<()> {
    let mut channel = Duplex::new(channel);
    channel.send(&vec![ours; LONG])?;
    channel.finish()?;
    let heard = channel.receive()?.context("the other side left")?;
    ensure!(heard == vec![theirs; LONG], "what came is not what was sent");
    ensure!(channel.receive()?.is_none(), "more came than was sent");
    Ok(())
}

/// Starts a child, and says so. What it does is `child`'s to say; it fails with a sentence.
fn start(
    transcript: &mut Transcript,
    child: impl FnOnce(&mut Transcript, UnixStream) -> anyhow::Result<()>,
) -> anyhow::Result<(Pid, UnixStream)> {
    // Said before the child can say anything.
    transcript.line("parent", "socketpair, fork; each closes the end that is the other's");
    let (pid, channel) = fork_with_channel(|channel| match child(transcript, channel) {
        Ok(()) => 0,
        Err(error) => {
            transcript.line("child", format!("failed: {error:#}"));
            1
        }
    })?;
    Ok((pid, channel))
}

/// Waits for a child's end, and says what it was.
fn reap(transcript: &mut Transcript, child: Pid) -> anyhow::Result<()> {
    let status = waitpid(child, None).context("waitpid failed")?;
    let what = match status {
        WaitStatus::Exited(pid, code) => format!("waitpid: pid {pid} exited with {code}"),
        WaitStatus::Signaled(pid, signal, _) => format!("waitpid: pid {pid} was killed by {signal}"),
        other => format!("waitpid: {other:?}"),
    };
    transcript.line("parent", what);
    ensure!(!matches!(status, WaitStatus::Exited(_, 1..)), "the child failed");
    Ok(())
}

/// Waits for an answer, and lays it out.
fn hear(transcript: &mut Transcript, channel: &mut UnixStream, decoder: &mut Decoder) -> anyhow::Result<()> {
    let answer = read_message(channel, decoder)?.context("the child left before it answered")?;
    show(transcript, "parent", "the answer, as it came:", &encode(&answer)?);
    Ok(())
}

/// Lays out a frame by field.
fn show(transcript: &mut Transcript, actor: &str, what: impl std::fmt::Display, frame: &[u8]) {
    let message = &frame[HEADER..];
    let mut fields = vec![Field::new(HEADER, format!("length {}", message.len()))];
    if !message.is_empty() {
        fields.push(Field::new(message.len(), format!("{:?}", text(message))));
    }
    transcript.bytes(actor, what, frame, &fields);
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

/// What the transcript says of an attempt to receive.
fn told(result: &Result<Option<Vec<u8>>, Error>) -> String {
    match result {
        Ok(Some(message)) => format!("a message of {} bytes: {:?}", message.len(), text(message)),
        Ok(None) => "end of file between two frames".to_owned(),
        Err(error) => format!("error: {error}"),
    }
}
