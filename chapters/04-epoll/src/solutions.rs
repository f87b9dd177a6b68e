//! Solutions of the exercises of chapter 04. Try yours first.

// ANCHOR: uses
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use ch01_simplest_server::{CHUNK, read_some};

use crate::poll::{Epoll, Events, Interest, Token, Trigger};
use crate::server::write_what_fits;
use crate::wake::EventFd;
// ANCHOR_END: uses

use crate::exercises::{AlarmClock, BACKLOG, Drained};

// ANCHOR: drain
/// A read that brings less than it was asked for does not mean that nothing is left: only `EAGAIN` does, or the end.
pub fn drain(source: &mut impl Read, sink: &mut Vec<u8>, budget: usize) -> io::Result<Drained> {
    let mut buffer = [0; CHUNK];
    let mut left = budget;
    while left > 0 {
        let wanted = left.min(CHUNK);
        match read_some(source, &mut buffer[..wanted]) {
            Ok(0) => return Ok(Drained::Ended),
            Ok(length) => {
                sink.extend_from_slice(&buffer[..length]);
                left -= length;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Drained::Dry),
            Err(error) => return Err(error),
        }
    }
    Ok(Drained::Spent)
}
// ANCHOR_END: drain

// ANCHOR: alarms
/// A sorted set instead of a heap: taking out costs what putting in does, and nothing that is cancelled stays behind.
/// (With a heap, one keeps a set of those that still matter, and throws the others away when they come up.)
#[derive(Debug, Default)]
pub struct Alarms {
    by_time: BTreeSet<(Instant, u64)>,
    times: BTreeMap<u64, Instant>,
    last: u64,
}

impl AlarmClock for Alarms {
    fn set(&mut self, at: Instant) -> u64 {
        self.last += 1;
        self.by_time.insert((at, self.last));
        self.times.insert(self.last, at);
        self.last
    }

    fn cancel(&mut self, alarm: u64) {
        if let Some(at) = self.times.remove(&alarm) {
            self.by_time.remove(&(at, alarm));
        }
    }

    fn next(&mut self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn ring(&mut self, now: Instant) -> Option<u64> {
        let (at, alarm) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(alarm);
        Some(alarm)
    }
}
// ANCHOR_END: alarms

// ANCHOR: relay
/// A client of the relay, and what it has not taken yet.
struct Watcher {
    stream: TcpStream,
    unsent: Vec<u8>,
}

/// Level triggered: one read a client and turn is all the fairness that is needed.
pub fn relay(listener: &TcpListener, stop: &EventFd) -> io::Result<()> {
    const LISTENER: Token = Token(0);
    const STOP: Token = Token(1);
    let epoll = Epoll::new()?;
    listener.set_nonblocking(true)?;
    epoll.add(listener, LISTENER, Interest::READ, Trigger::Level)?;
    epoll.add(stop, STOP, Interest::READ, Trigger::Level)?;
    let mut watchers: BTreeMap<Token, Watcher> = BTreeMap::new();
    let mut tokens = 2_u64..;
    let mut events = Events::with_capacity(64);
    let mut buffer = [0; CHUNK];
    loop {
        epoll.wait(&mut events, None)?;
        for ready in events.iter() {
            match ready.token {
                STOP => return Ok(()),
                LISTENER => {
                    let Ok((stream, _)) = listener.accept() else {
                        continue;
                    };
                    let Some(token) = tokens.next().map(Token) else {
                        continue;
                    };
                    stream.set_nonblocking(true)?;
                    // Else a small write waits for the acknowledgement of the one before it, which the receiver delays.
                    stream.set_nodelay(true)?;
                    epoll.add(&stream, token, Interest::READ, Trigger::Level)?;
                    watchers.insert(token, Watcher { stream, unsent: Vec::new() });
                }
                from => {
                    let Some(sender) = watchers.get_mut(&from) else {
                        continue;
                    };
                    let length = match ready.is_readable().then(|| read_some(&mut sender.stream, &mut buffer)) {
                        Some(Ok(0)) => None,
                        Some(Ok(length)) => Some(length),
                        Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => None,
                        _ => Some(0),
                    };
                    let Some(length) = length else {
                        watchers.remove(&from);
                        continue;
                    };
                    // Everybody else gets it, and whoever has something waiting gets a chance to take it.
                    watchers.retain(|token, watcher| {
                        let new = if *token == from { &[][..] } else { &buffer[..length] };
                        deliver(&epoll, *token, watcher, new).is_ok()
                    });
                }
            }
        }
    }
}

/// Writes what fits, keeps the rest, and asks to be told of room if there is a rest. An error is about this client, which
/// is then let go: that it has fallen too far behind is one.
fn deliver(epoll: &Epoll, token: Token, watcher: &mut Watcher, new: &[u8]) -> io::Result<()> {
    let waited = !watcher.unsent.is_empty();
    watcher.unsent.extend_from_slice(new);
    let sent = write_what_fits(&mut watcher.stream, &watcher.unsent)?;
    watcher.unsent.drain(..sent);
    if watcher.unsent.len() > BACKLOG {
        return Err(ErrorKind::QuotaExceeded.into());
    }
    let waits = !watcher.unsent.is_empty();
    if waits != waited {
        let interest = if waits { Interest::BOTH } else { Interest::READ };
        epoll.modify(&watcher.stream, token, interest, Trigger::Level)?;
    }
    Ok(())
}
// ANCHOR_END: relay
