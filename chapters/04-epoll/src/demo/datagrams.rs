//! UDP in the same loop, and what was sent as a capture file.

use std::net::UdpSocket;
use std::path::Path;
use std::time::SystemTime;

use anyhow::ensure;
use ch04_epoll::{Epoll, Event, Events, Interest, Settings, Token, Trigger};
use stage::Transcript;
use stage::capture::Capture;

use super::{PATIENCE, Stage};

/// How many datagrams the server takes a turn.
const BUDGET: usize = 2;

pub fn datagrams(transcript: &mut Transcript, pcap: Option<&Path>) -> anyhow::Result<()> {
    transcript.heading(&format!("Datagrams, in the same loop; {BUDGET} a turn"));
    let mut capture = Capture::create(pcap)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let server = socket.local_addr()?;
    // Edge triggered is news: each datagram that arrives at the server's socket is told of once.
    let (arrivals, mut events) = (Epoll::new()?, Events::with_capacity(1));
    arrivals.add(&socket, Token(1), Interest::READ, Trigger::Edge)?;
    let mut stage = Stage::with_datagrams(Some(socket), Settings { budget: BUDGET, ..Settings::default() })?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(PATIENCE))?;
    let address = client.local_addr()?;
    let messages = [&b"one"[..], b"", b"three"];
    for message in messages {
        capture.udp(SystemTime::now(), address, server, message, "client: sendto")?;
        client.send_to(message, server)?;
        transcript.line("client", format!("sendto {server}, {} bytes", message.len()));
        arrivals.wait(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "a datagram has not arrived");
    }
    let mut echoes = messages.into_iter();
    for turn in 1..=messages.len().div_ceil(BUDGET) {
        for event in stage.turn(PATIENCE)? {
            let (Event::Datagram { peer, bytes }, Some(message)) = (&event, echoes.next()) else {
                anyhow::bail!("turn {turn}: {event:?}")
            };
            transcript.line("server", format!("turn {turn}: recvfrom {bytes} bytes, sendto {peer}"));
            let mut echo = [0; 16];
            let (length, _) = client.recv_from(&mut echo)?;
            ensure!(&echo[..length] == message, "the echo differs");
            let comment = format!("server: echoed in turn {turn}");
            capture.udp(SystemTime::now(), server, address, &echo[..length], &comment)?;
        }
    }
    ensure!(echoes.next().is_none(), "an echo is missing");
    transcript.note("what the budget has left is in the socket, and the next wait says so: level triggered");
    capture.finish()?;
    Ok(())
}
