//! Two associations over a seeded link that loses, delays, reorders and duplicates, in virtual time.

use super::super::*;
use super::{CERTIFICATES, CLIENT, SERVER};
use std::collections::BTreeMap;

pub(super) use crate::lossy::{DELAY, Faults, GOOD, Random};

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
                for (copy, delay) in (0..).zip(self.faults.delays(&mut self.random, 150)) {
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
