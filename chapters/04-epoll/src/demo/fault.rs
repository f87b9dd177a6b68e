//! What goes wrong in a readiness loop, and what is lost by it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ch04_epoll::server::FULL_PAUSE;
use ch04_epoll::{Epoll, Event, Events, Interest, Settings, Token, Trigger};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use stage::Transcript;
use stage::transcript::time;

use super::{NOTHING, PATIENCE, Stage, arrived, told};

/// How often a loop is woken that should sleep.
const WAKE_UPS: u32 = 10_000;

/// How long a client may be silent in the scene about that.
const IDLE: Duration = Duration::from_millis(150);

/// Plays the faults, in a second or two.
pub fn faults() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    no_descriptors(&mut transcript)?;
    silent(&mut transcript)?;
    spinning(&mut transcript)?;
    duplicate(&mut transcript)
}

fn no_descriptors(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Five clients, and descriptors for three");
    let mut stage = Stage::new(Settings::default())?;
    let mut clients = Vec::new();
    for number in 1..=5 {
        let mut client = TcpStream::connect(stage.address)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.write_all(format!("I am {number}").as_bytes())?;
        arrived(&client)?;
        clients.push(client);
    }
    transcript.line("clients", format!("5 connect to {}, and write 6 bytes each", stage.address));
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, three_more()?, hard)?;
    let mut told_of = Vec::new();
    let begin = Instant::now();
    let mut turns = 0;
    while begin.elapsed() < FULL_PAUSE / 2 {
        told_of.extend(stage.turn(FULL_PAUSE / 2)?);
        turns += 1;
    }
    let accepted = told_of.iter().filter(|event| matches!(event, Event::Accepted(_)));
    let full = told_of.iter().filter(|event| matches!(event, Event::Full)).take(1);
    accepted.chain(full).for_each(|event| transcript.line("server", told(event)));
    transcript.line(
        "server",
        format!("≈ {turns} turns in {}: it sleeps, although the listener is ready", time(FULL_PAUSE / 2)),
    );
    ensure!(told_of.contains(&Event::Full), "it was never full");
    ensure!(turns < 20, "the loop turned {turns} times for nothing");
    // What the first one closes is two descriptors here, its own and the server's.
    let mut first = clients.remove(0);
    first.read_exact(&mut [0; 6])?;
    drop(first);
    transcript.line("first", "read 6 bytes, close");
    let begin = Instant::now();
    let (mut closed, mut accepted) = (Vec::new(), Vec::new());
    while closed.is_empty() || accepted.len() < 2 {
        ensure!(begin.elapsed() < PATIENCE, "who waited was never served");
        for event in stage.turn(FULL_PAUSE)? {
            match event {
                Event::Closed { .. } => closed.push(event),
                Event::Accepted(_) => accepted.push(event),
                _ => {}
            }
        }
    }
    closed.iter().chain(&accepted).for_each(|event| transcript.line("server", told(event)));
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    while !stage.turn(NOTHING)?.is_empty() {}
    for (number, client) in (2..).zip(&mut clients) {
        let mut answer = [0; 6];
        client.read_exact(&mut answer).context("a client got no answer")?;
        ensure!(answer == *format!("I am {number}").as_bytes(), "the echo differs");
    }
    transcript.line("clients", "all five have had their echo");
    Ok(())
}

/// A limit that leaves room for three descriptors: the next three are opened, to see which they are.
fn three_more() -> anyhow::Result<u64> {
    let (one, _) = UnixStream::pair()?;
    let three = [one.try_clone()?, one.try_clone()?];
    let highest = three.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(0).max(one.as_raw_fd());
    Ok(highest as u64 + 1)
}

fn silent(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A client that is silent, and a limit to that");
    let mut stage = Stage::new(Settings { idle: Some(IDLE), ..Settings::default() })?;
    let begin = Instant::now();
    let mut client = stage.connect()?;
    transcript.line("client", format!("connect to {}, and say nothing", stage.address));
    while begin.elapsed() < PATIENCE && stage.server.connections() > 0 {
        for event in stage.turn(PATIENCE)? {
            transcript.line("server", told(&event));
        }
    }
    ensure!(begin.elapsed() >= IDLE, "too early");
    ensure!(client.read(&mut [0])? == 0, "the connection is still there");
    transcript.line("client", format!("read 0, {} after it connected: end of file", time(begin.elapsed())));
    Ok(())
}

fn spinning(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Waiting for room without having anything to write");
    let (_peer, ours) = UnixStream::pair()?;
    let epoll = Epoll::new()?;
    let mut events = Events::with_capacity(8);
    epoll.add(&ours, Token(1), Interest::BOTH, Trigger::Level)?;
    let begin = Instant::now();
    for _ in 0..WAKE_UPS {
        epoll.wait(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "it slept");
    }
    transcript.line(
        "level",
        format!("{WAKE_UPS} times woken in {}: there is room, and there is room", time(begin.elapsed())),
    );
    epoll.modify(&ours, Token(1), Interest::BOTH, Trigger::Edge)?;
    epoll.wait(&mut events, Some(PATIENCE))?;
    ensure!(!events.is_empty(), "the first time was not told");
    epoll.wait(&mut events, Some(NOTHING))?;
    ensure!(events.is_empty(), "it did not sleep");
    transcript.line("edge", format!("woken once, then asleep for {}", time(NOTHING)));
    transcript.note("level triggered, write interest is for as long as there is something to write, and no longer");
    Ok(())
}

fn duplicate(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Closed, and still reported");
    let (mut peer, ours) = UnixStream::pair()?;
    let copy = ours.try_clone()?;
    let epoll = Epoll::new()?;
    let mut events = Events::with_capacity(8);
    epoll.add(&ours, Token(1), Interest::READ, Trigger::Level)?;
    transcript.line("loop", "watches a socket of which there is a second descriptor (dup, or a child's after fork)");
    drop(ours);
    transcript.line("loop", "close: its own descriptor is gone");
    peer.write_all(b"hello")?;
    transcript.line("peer", "write 5 bytes");
    epoll.wait(&mut events, Some(PATIENCE))?;
    ensure!(events.iter().map(|ready| ready.token).eq([Token(1)]), "nothing was reported");
    transcript.line("loop", "epoll_wait: readable, says the token of what was closed");
    ensure!(epoll.remove(&copy).is_err(), "a descriptor was removed that was never added");
    transcript.note("and the other descriptor can't remove it: the set knows it under the number that is gone");
    drop(copy);
    epoll.wait(&mut events, Some(Duration::ZERO))?;
    ensure!(events.is_empty(), "it is still reported");
    transcript.line("loop", "close the second one: it is reported no more");
    Ok(())
}
