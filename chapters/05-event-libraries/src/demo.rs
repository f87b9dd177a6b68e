//! The demonstration: the wire format once, then every driver with the same work.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use ch05_event_libraries::Driver;
use ch05_event_libraries::forwarder::MAX_DATAGRAM;
use ch05_event_libraries::probe::{self, Peer, Probe, payload};
use stage::capture::Capture;
use stage::transcript::time;
use stage::{Field, Transcript};

use crate::process::Process;

/// Of the work that every driver gets.
const PAYLOADS: u32 = 200;
const PAYLOAD_LEN: usize = 1_200;
const SUBSCRIBERS: usize = 3;
const ECHOED: usize = 100_000;

/// Plays it, in a few seconds; datagrams of the first scene go to the capture file as well.
pub fn run(pcap: Option<&Path>) -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    wire(&mut transcript, pcap)?;
    every_driver(&mut transcript, |_| Ok(Company::default()))
}

/// The same work for every driver, in company that it has to bear.
pub fn fault() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    transcript.heading("Bad company, for every driver");
    transcript.line("deaf", "join, and never read a datagram");
    transcript.line("stuffed", "connect, write until nothing more goes in, and never read the echo");
    transcript.line("stranger", "100 payloads, though there is a sender already");
    transcript.line("rubbish", "empty, unknown and overlong datagrams, and joins with something behind");
    every_driver(&mut transcript, bad_company)
}

fn wire(transcript: &mut Transcript, pcap: Option<&Path>) -> anyhow::Result<()> {
    transcript.heading("The wire format: the first byte says it all");
    let mut file = Capture::create(pcap)?;
    let mut capture = |from: SocketAddr, to: SocketAddr, bytes: &[u8], comment: &str| {
        file.udp(SystemTime::now(), from, to, bytes, comment)
    };
    let server = Process::start(Driver::Epoll)?;
    let (alice, bob, sender) = (Peer::new(server.address)?, Peer::new(server.address)?, Peer::new(server.address)?);
    for (name, peer) in [("alice", &alice), ("bob", &bob)] {
        let address = peer.socket.local_addr()?;
        capture(address, server.address, &[1], &format!("{name}: join"))?;
        let count = peer.join()?;
        transcript.bytes(name, format!("sendto {}", server.address), &[1], &[Field::new(1, "join")]);
        let [high, low] = count.to_be_bytes();
        let answer = [2, high, low];
        let fields = [Field::new(1, "joined"), Field::new(2, format!("subscribers: {count}"))];
        transcript.bytes("server", format!("sendto {address}"), &answer, &fields);
        capture(server.address, address, &answer, "server: joined")?;
    }
    let bytes = payload(7, 40);
    let fields = [
        Field::new(1, "payload"),
        Field::new(4, "opaque to the server: a number"),
        Field::new(35, "and 35 bytes more"),
    ];
    sender.socket.send(&bytes)?;
    transcript.bytes("sender", format!("sendto {}", server.address), &bytes, &fields);
    capture(sender.socket.local_addr()?, server.address, &bytes, "sender: payload")?;
    for (name, peer) in [("alice", &alice), ("bob", &bob)] {
        peer.expect(7, 40)?;
        transcript.line(name, "recvfrom 40 bytes: the same");
        capture(server.address, peer.socket.local_addr()?, &bytes, "server: forwarded")?;
    }
    capture(alice.socket.local_addr()?, server.address, &[3], "alice: leave")?;
    alice.leave()?;
    transcript.bytes("alice", format!("sendto {}", server.address), &[3], &[Field::new(1, "leave")]);
    file.finish()?;
    Ok(())
}

/// Those whose presence must change nothing. They stay until they are dropped.
#[derive(Default)]
struct Company {
    peers: Vec<Peer>,
    clients: Vec<TcpStream>,
}

fn bad_company(server: SocketAddr) -> anyhow::Result<Company> {
    let deaf = Peer::new(server)?;
    deaf.join()?;
    let mut stuffed = TcpStream::connect(server)?;
    stuffed.set_write_timeout(Some(Duration::from_millis(100)))?;
    while stuffed.write(&[0; 65_536]).is_ok() {}
    let rude = Peer::new(server)?;
    for number in 0..100 {
        rude.socket.send(&payload(number, PAYLOAD_LEN))?;
    }
    for rubbish in [&[][..], &[0], &[1, 1], &[3, 0], &[0xff; 3], &[0x80; MAX_DATAGRAM + 1], &[0x90; 9_000]] {
        rude.socket.send(rubbish)?;
    }
    Ok(Company { peers: vec![deaf, rude], clients: vec![stuffed] })
}

fn every_driver(transcript: &mut Transcript, company: fn(SocketAddr) -> anyhow::Result<Company>) -> anyhow::Result<()> {
    transcript.heading(&format!(
        "The same work with every driver: {PAYLOADS} payloads to {SUBSCRIBERS} subscribers, {ECHOED} bytes echoed"
    ));
    for driver in Driver::ALL {
        if let Some(why) = driver.refused() {
            transcript.line("probe", format!("{driver:<14} not here: {why}"));
            continue;
        }
        let done = work(driver, company).with_context(|| format!("{driver} failed"))?;
        transcript.line("probe", format!("{driver:<14} {done}"));
    }
    Ok(())
}

fn work(driver: Driver, company: fn(SocketAddr) -> anyhow::Result<Company>) -> anyhow::Result<String> {
    let mut server = Process::start(driver)?;
    let mut probe = Probe::new(server.address, SUBSCRIBERS)?;
    // The first payload makes its sender the sender.
    let first = probe.forward(1, PAYLOAD_LEN)?;
    let company = company(server.address)?;
    let before = server.cpu_time()?;
    let forwarded = first + probe.forward(PAYLOADS - 1, PAYLOAD_LEN)?;
    let used = server.cpu_time()?.saturating_sub(before) / forwarded as u32;
    probe::echo(server.address, ECHOED)?;
    server.ensure_alive()?;
    drop((company.peers, company.clients));
    Ok(format!("{forwarded} datagrams checked, {} of processor time each; echo checked", time(used)))
}
