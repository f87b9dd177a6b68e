//! `cargo run -p ipc-demos --bin socketpair`: two processes talk both ways over one socketpair.
//!
//! A socketpair is a pipe that goes both ways: two connected, nameless unix sockets. A stream socket carries bytes,
//! not messages, so each message is preceded by its length (4 bytes in the machine's byte order, as on a mediasoup
//! worker's channel). The parent asks, the child answers; when the parent closes its end, the child reads end of file
//! and leaves, and the parent reaps it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::exit;

use anyhow::{Context, ensure};
use clap::Parser;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getpid};

/// The longest message either side accepts, in bytes: a length from the other process is not trusted further.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Shows two processes talking both ways over one socketpair.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What the parent asks the child, one message each.
    #[arg(default_values = ["hello", "", "how are you?"])]
    messages: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (parent_end, child_end) = UnixStream::pair().context("socketpair failed")?;
    // SAFETY: this process has a single thread, so the child may go on using the allocator and the standard library.
    match unsafe { fork() }.context("fork failed")? {
        ForkResult::Child => {
            // Without this the child would hold the parent's end open, and never see the end of file.
            drop(parent_end);
            match answer(child_end) {
                Ok(()) => exit(0),
                Err(error) => {
                    eprintln!("child: {error}");
                    exit(1)
                }
            }
        }
        ForkResult::Parent { child } => {
            drop(child_end);
            ask(parent_end, &arguments.messages)?;
            let status = waitpid(child, None).context("waitpid failed")?;
            println!("parent: child {child} is reaped: {status:?}");
            ensure!(matches!(status, WaitStatus::Exited(_, 0)), "the child failed");
            Ok(())
        }
    }
}

/// The parent: one message, one answer, until there is no more to ask; dropping `channel` is the goodbye.
fn ask(mut channel: UnixStream, messages: &[String]) -> anyhow::Result<()> {
    for message in messages {
        write_frame(&mut channel, message.as_bytes())?;
        let answer = read_frame(&mut channel)?.context("the child closed the channel before it answered")?;
        println!("parent: {} bytes {message:?} -> {:?}", message.len(), String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// The child: answers each message, until end of file.
fn answer(mut channel: UnixStream) -> io::Result<()> {
    while let Some(message) = read_frame(&mut channel)? {
        let shouted = String::from_utf8_lossy(&message).to_uppercase();
        write_frame(&mut channel, format!("{shouted} (from {})", getpid()).as_bytes())?;
    }
    Ok(())
}

fn write_frame(sink: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    sink.write_all(&length.to_ne_bytes())?;
    sink.write_all(message)
}

/// The next message, or `None` when the other side closed between two messages. A close inside one is an error.
fn read_frame(source: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    // The first byte is read apart, because only before it is end of file a goodbye and not a loss.
    let first = loop {
        match source.read(&mut length[..1]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => break result?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    source.read_exact(&mut length[1..])?;
    let length = u32::from_ne_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes is too long")));
    }
    let mut message = vec![0; length];
    source.read_exact(&mut message)?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives one byte a call, as a stream socket may.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.0.len()).min(1);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn frames_survive_a_stream_that_cuts_them_anywhere() {
        let mut wire = Vec::new();
        for message in [&b"one"[..], b"", b"three"] {
            write_frame(&mut wire, message).unwrap();
        }
        let mut source = Trickle(&wire);
        assert_eq!(read_frame(&mut source).unwrap().unwrap(), b"one");
        assert_eq!(read_frame(&mut source).unwrap().unwrap(), b"");
        assert_eq!(read_frame(&mut source).unwrap().unwrap(), b"three");
        assert!(read_frame(&mut source).unwrap().is_none());
    }

    #[test]
    fn a_cut_frame_and_an_absurd_length_are_errors() {
        let mut wire = Vec::new();
        write_frame(&mut wire, b"four").unwrap();
        assert_eq!(read_frame(&mut &wire[..6]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(read_frame(&mut &[255; 8][..]).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
