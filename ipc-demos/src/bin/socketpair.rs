//! `cargo run -p ipc-demos --bin socketpair`: both ways over one descriptor, as a stream and as packets.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, ensure};
use ch02_processes_and_signals::fork_alone;
use ch03_socketpair::{Duplex, fork_with_channel};
use clap::Parser;
use ipc_demos::play::{child, grouped, reap, text};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::unistd::{ForkResult, getpid};
use stage::Transcript;

/// Shows two processes talking both ways over one socketpair.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What the parent asks the child over the stream, one message each.
    #[arg(default_values = ["hello", "", "how are you?"])]
    messages: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut transcript = Transcript::new();
    stream(&mut transcript, &arguments.messages)?;
    packets(&mut transcript)?;
    limits(&mut transcript)
}

fn stream(transcript: &mut Transcript, messages: &[String]) -> anyhow::Result<()> {
    transcript.heading("SOCK_STREAM: bytes without edges, so each message says how long it is (chapter 03)");
    let (pid, channel) = fork_with_channel(|channel| match answer(channel) {
        Ok(()) => 0,
        Err(error) => {
            transcript.line("child", format!("failed: {error:#}"));
            1
        }
    })?;
    let mut channel = Duplex::new(channel);
    for message in messages {
        channel.send(message.as_bytes())?;
        let answer = channel.receive()?.context("the child closed the channel before it answered")?;
        transcript.line("parent", format!("{} bytes {message:?} -> {:?}", message.len(), text(&answer)));
    }
    drop(channel);
    transcript.line("parent", "close: the child reads end of file, and leaves");
    reap(transcript, pid)?;
    Ok(())
}

/// The child: answers each message, until end of file.
fn answer(channel: UnixStream) -> anyhow::Result<()> {
    let mut channel = Duplex::new(channel);
    while let Some(message) = channel.receive()? {
        channel.send(format!("{} (from pid {})", text(&message).to_uppercase(), getpid()).as_bytes())?;
        channel.flush()?;
    }
    Ok(())
}

fn packets(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("SOCK_SEQPACKET: each send is one receive");
    // ANCHOR: seqpacket
    let (parents, childs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let pid = match fork_alone()? {
        ForkResult::Child => {
            drop(parents);
            child(transcript, |transcript| {
                for message in ["one", "two", "three", ""] {
                    send(childs.as_raw_fd(), message.as_bytes(), MsgFlags::MSG_NOSIGNAL)?;
                    transcript.line("child", format!("send {} bytes {message:?}", message.len()));
                }
                Ok(())
            })
        }
        ForkResult::Parent { child } => child,
    };
    drop(childs);
    reap(transcript, pid)?;
    let mut buffer = [0; 64];
    for _ in 0..5 {
        let length = recv(parents.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        transcript.line("parent", format!("recv {length} bytes {:?}", text(&buffer[..length])));
    }
    // ANCHOR_END: seqpacket
    transcript.note("the first 0 is the empty message, the second one end of file: nothing tells them apart");
    Ok(())
}

fn limits(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("What keeps its edges is cut at them, or refused");
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    for flags in [MsgFlags::empty(), MsgFlags::MSG_TRUNC] {
        send(ours.as_raw_fd(), &[7; 100], MsgFlags::MSG_NOSIGNAL)?;
        let length = recv(theirs.as_raw_fd(), &mut [0; 16], flags)?;
        let how = if flags.is_empty() { "" } else { ", with MSG_TRUNC" };
        transcript.line("parent", format!("send 100 bytes, recv into 16{how}: returns {length}"));
    }
    transcript.note("84 bytes are gone; only MSG_TRUNC tells. A stream would have kept them for the next read");
    let large = vec![0; 8 * 1024 * 1024];
    let refused = send(ours.as_raw_fd(), &large, MsgFlags::MSG_NOSIGNAL);
    ensure!(refused == Err(Errno::EMSGSIZE), "a message of 8 MiB: {refused:?}");
    transcript.line(
        "parent",
        format!("send {} bytes: EMSGSIZE, a message must fit the socket's buffer", grouped(large.len())),
    );
    Ok(())
}
