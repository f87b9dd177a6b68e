//! Two associations over a seeded link that loses, delays, reorders and duplicates, in virtual time.

use super::super::*;
use super::{CERTIFICATES, CLIENT, SERVER};
use std::collections::BTreeMap;

/// A small deterministic random number generator (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }
}

/// What a link does to datagrams; chances in percent.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    pub loss: u64,
    pub duplication: u64,
    pub reordering: u64,
}

pub(super) const GOOD: Faults = Faults { loss: 0, duplication: 0, reordering: 0 };
pub(super) const DELAY: Duration = Duration::from_millis(20);

/// The content type of records that are no part of a handshake, and of no MTU's concern.
const APPLICATION_DATA: u8 = 23;

/// Two associations and the link between them.
pub(super) struct Pair {
    pub ends: [Dtls; 2],
    pub events: [Vec<Event>; 2],
    pub faults: Faults,
    /// What no datagram of a handshake exceeds.
    mtu: usize,
    pub random: Random,
    pub start: Instant,
    pub now: Instant,
    /// Datagrams under way: when they arrive, a number that keeps those of one instant in order, at which end, what.
    pub wire: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    pub sent: u64,
}

impl Pair {
    pub fn new() -> Pair {
        Pair::with(&CERTIFICATES[CLIENT], &CERTIFICATES[SERVER], MTU)
    }

    pub fn with(client: &Certificate, server: &Certificate, mtu: u16) -> Pair {
        let fingerprint = |certificate: &Certificate, algorithm| Some(certificate.fingerprint(algorithm).unwrap());
        let expect_server = fingerprint(server, FingerprintAlgorithm::Sha256);
        let expect_client = fingerprint(client, FingerprintAlgorithm::Sha512);
        let now = Instant::now();
        Pair {
            ends: [
                Dtls::with_mtu(client, Role::Client, expect_server, mtu).unwrap(),
                Dtls::with_mtu(server, Role::Server, expect_client, mtu).unwrap(),
            ],
            events: [Vec::new(), Vec::new()],
            faults: GOOD,
            mtu: usize::from(mtu),
            random: Random::new(1),
            start: now,
            now,
            wire: BTreeMap::new(),
            sent: 0,
        }
    }

    pub fn start(&mut self) {
        for end in &mut self.ends {
            end.start(self.now);
        }
        self.collect();
    }

    /// Puts what the ends have to send on the wire, and keeps their events.
    pub fn collect(&mut self) {
        for end in [CLIENT, SERVER] {
            while let Some(datagram) = self.ends[end].poll_transmit() {
                assert!(datagram[0] == APPLICATION_DATA || datagram.len() <= self.mtu, "{} bytes", datagram.len());
                let number = self.sent;
                self.sent += 1;
                if self.random.below(100) < self.faults.loss {
                    continue;
                }
                let copies = if self.random.below(100) < self.faults.duplication { 2 } else { 1 };
                for copy in 0..copies {
                    let late = self.random.below(100) < self.faults.reordering;
                    let delay = DELAY + Duration::from_millis(if late { self.random.below(150) } else { copy });
                    self.wire.insert((self.now + delay, 2 * number + copy), (1 - end, datagram.clone()));
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push(event);
            }
        }
    }

    /// Goes to the next thing that happens and lets it happen; false when nothing will any more.
    pub fn step(&mut self) -> bool {
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.ends.iter().filter_map(Dtls::poll_timeout).min();
        match (arrival, timeout) {
            (Some(at), timeout) if timeout.is_none_or(|timeout| at <= timeout) => {
                self.now = at;
                let (_, (end, datagram)) = self.wire.pop_first().unwrap();
                let _ = self.ends[end].handle_packet(at, &datagram);
            }
            (_, Some(at)) => {
                self.now = at;
                for end in &mut self.ends {
                    end.handle_timeout(at);
                }
            }
            _ => return false,
        }
        self.collect();
        true
    }

    pub fn run(&mut self) {
        while self.step() {}
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn keys(&self, end: usize) -> &SrtpKeys {
        match &self.events[end][..] {
            [Event::Connected { keys, .. }, ..] => keys,
            events => panic!("end {end} is not connected: {events:?}"),
        }
    }

    pub fn assert_connected(&self) {
        assert_eq!(self.ends.each_ref().map(Dtls::state), [State::Connected; 2]);
        let (client, server) = (self.keys(CLIENT), self.keys(SERVER));
        assert_eq!(client.suite, server.suite);
        assert_eq!(client.local, server.remote);
        assert_eq!(client.remote, server.local);
        assert_ne!(client.local, client.remote);
    }
}
