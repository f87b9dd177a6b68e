//! `cargo run -p ipc-demos --bin loopback`: TCP and UDP, as between machines, on one.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, ensure};
use ch02_processes_and_signals::fork_alone;
use ch03_socketpair::{Decoder, read_message, write_message};
use ipc_demos::play::{begin, child, grouped, reap, text};
use nix::unistd::ForkResult;
use stage::Transcript;

fn main() -> anyhow::Result<()> {
    let mut transcript = begin("Shows TCP and UDP between processes of one machine: back-pressure against loss");
    tcp(&mut transcript)?;
    back_pressure(&mut transcript)?;
    udp(&mut transcript)?;
    loss(&mut transcript)
}

fn tcp(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("TCP: a stream like a socketpair's, between any two processes anywhere");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    transcript.line("parent", format!("listen on {address}"));
    let pid = match fork_alone()? {
        ForkResult::Child => {
            drop(listener);
            child(transcript, |_| {
                let mut stream = TcpStream::connect(address)?;
                // Nagle's algorithm would hold a small message back while another one's acknowledgement is awaited.
                stream.set_nodelay(true)?;
                write_message(&mut stream, b"the same frames")?;
                let answer = read_message(&mut stream, &mut Decoder::default())?;
                ensure!(answer.as_deref() == Some(b"THE SAME FRAMES"), "the answer was {answer:?}");
                Ok(())
            })
        }
        ForkResult::Parent { child } => child,
    };
    let (mut client, from) = listener.accept()?;
    transcript.line("parent", format!("accept from {from}"));
    let message = read_message(&mut client, &mut Decoder::default())?.context("the client left")?;
    write_message(&mut client, &message.to_ascii_uppercase())?;
    transcript.line("parent", format!("a message {:?}, answered in capitals", text(&message)));
    reap(transcript, pid)?;
    Ok(())
}

fn back_pressure(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("TCP to somebody who does not read: the writer is stopped");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut writer = TcpStream::connect(listener.local_addr()?)?;
    let (_silent, _) = listener.accept()?;
    writer.set_nonblocking(true)?;
    let mut taken = 0;
    let full = loop {
        match writer.write(&[0; 65_536]) {
            Ok(length) => taken += length,
            Err(error) => break error.kind(),
        }
    };
    ensure!(full == ErrorKind::WouldBlock, "writing without end: {full:?}");
    transcript.line("writer", format!("≈ {taken} bytes fit into both sides' buffers, then write fails with EAGAIN"));
    Ok(())
}

fn udp(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("UDP: edges, and nobody there");
    let (receiver, sender) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let address = receiver.local_addr()?;
    let mut buffer = [0; 4];
    for message in ["one", "", "too long"] {
        sender.send_to(message.as_bytes(), address)?;
        let (length, _) = receiver.recv_from(&mut buffer)?;
        let got = text(&buffer[..length]);
        transcript.line(
            "parent",
            format!("sendto {} bytes {message:?}, recvfrom into 4: {length} bytes {got:?}", message.len()),
        );
    }
    drop(receiver);
    sender.connect(address)?;
    sender.send(b"anyone?")?;
    transcript.line("parent", "close the receiver; send: succeeds");
    let refused = sender.send(b"anyone?").err().map(|error| error.kind());
    ensure!(refused == Some(ErrorKind::ConnectionRefused), "sending to a closed port: {refused:?}");
    transcript.line("parent", "send again: ECONNREFUSED, the first one's ICMP answer (a connected socket is told)");
    Ok(())
}

fn loss(transcript: &mut Transcript) -> anyhow::Result<()> {
    const SENT: usize = 20_000;
    transcript.heading("UDP to somebody who does not read: the datagrams are gone, even on one machine");
    let (receiver, sender) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    sender.connect(receiver.local_addr()?)?;
    for _ in 0..SENT {
        sender.send(&[0; 1_000])?;
    }
    transcript.line("sender", format!("send {} datagrams of 1,000 bytes: every call succeeds", grouped(SENT)));
    receiver.set_nonblocking(true)?;
    let mut buffer = [0; 1_500];
    let mut received = 0;
    while receiver.recv(&mut buffer).is_ok() {
        received += 1;
    }
    ensure!((1..SENT).contains(&received), "{received} of {SENT} have come");
    transcript
        .line("receiver", format!("≈ {received} have come: what its buffer holds. Nobody was told of the others"));
    Ok(())
}
