//! A small full-ICE controlling agent, and the network between it and the server.
//!
//! The client checks all its tuples with retransmission, nominates the best that answered by regular nomination, and
//! then keeps consent fresh on it (RFC 7675: every five seconds, thirty seconds without an answer is the end).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sfu_proto::ice::{Credentials, IceLite, Tuple};
use sfu_proto::stun::{Class, METHOD_BINDING, Message, MessageBuilder, TransactionId};

const RETRANSMISSION: Duration = Duration::from_millis(250);
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A seeded generator (splitmix64): the same numbers in each run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

struct Pair {
    tuple: Tuple,
    answered: Option<Instant>,
    next_check: Instant,
}

/// The controlling agent. Its tuples come in order of preference.
pub struct Client {
    server: Credentials,
    pairs: Vec<Pair>,
    /// Requests under way: the tuple, and whether it was a nomination.
    pending: HashMap<TransactionId, (Tuple, bool)>,
    nominated: Option<Tuple>,
    transactions: u64,
    pub mapped_address_was_wrong: bool,
}

impl Client {
    pub fn new(now: Instant, server: Credentials, tuples: &[Tuple]) -> Self {
        let pairs = tuples.iter().map(|&tuple| Pair { tuple, answered: None, next_check: now }).collect();
        Self {
            server,
            pairs,
            pending: HashMap::new(),
            nominated: None,
            transactions: 0,
            mapped_address_was_wrong: false,
        }
    }

    /// The tuple whose nomination the server has confirmed.
    pub fn nominated(&self) -> Option<Tuple> {
        self.nominated
    }

    /// Begins again with the server's new credentials, on new tuples.
    pub fn restart(&mut self, now: Instant, server: Credentials, tuples: &[Tuple]) {
        let transactions = self.transactions;
        *self = Self { transactions, ..Self::new(now, server, tuples) };
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pairs.iter().map(|pair| pair.next_check).min()
    }

    /// The checks that are due.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(Tuple, Vec<u8>)> {
        let best = self.pairs.iter().find(|pair| pair.answered.is_some()).map(|pair| pair.tuple);
        let settled = self.nominated.is_some() && self.nominated == best;
        let mut checks = Vec::new();
        for pair in self.pairs.iter_mut().filter(|pair| pair.next_check <= now) {
            let nominate = best == Some(pair.tuple);
            pair.next_check = now + if settled && nominate { KEEPALIVE } else { RETRANSMISSION };
            self.transactions += 1;
            let mut id = [0; 12];
            id[4..].copy_from_slice(&self.transactions.to_be_bytes());
            let mut request = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId(id))
                .username(&format!("{}:client", self.server.username_fragment))
                .ice_controlling(42)
                .priority(0x6e00_01ff);
            if nominate {
                request = request.use_candidate();
            }
            self.pending.insert(TransactionId(id), (pair.tuple, nominate));
            checks
                .push((pair.tuple, request.message_integrity(self.server.password.as_bytes()).fingerprint().finish()));
        }
        checks
    }

    pub fn handle_response(&mut self, now: Instant, tuple: Tuple, packet: &[u8]) {
        let message = Message::parse(packet).expect("the server writes good STUN");
        if message.class() != Class::SuccessResponse
            || !message.check_message_integrity(self.server.password.as_bytes())
        {
            return;
        }
        let Some((asked, nomination)) = self.pending.remove(&message.transaction_id()) else { return };
        if asked != tuple {
            return;
        }
        self.mapped_address_was_wrong |= message.xor_mapped_address() != Ok(Some(tuple.remote));
        let Some(pair) = self.pairs.iter_mut().find(|pair| pair.tuple == tuple) else { return };
        if pair.answered.replace(now).is_none() {
            // Nominate without waiting for the next round.
            pair.next_check = now;
        }
        if nomination {
            self.nominated = Some(tuple);
        }
    }
}

enum Packet {
    Request(Tuple, Vec<u8>),
    Response(Tuple, Vec<u8>),
}

/// How the network treats packets.
#[derive(Clone, Copy)]
pub struct Link {
    pub loss_percent: u64,
    pub duplication_percent: u64,
    /// The shortest one-way delay; up to `jitter` more is added to each packet, which reorders them.
    pub delay: Duration,
    pub jitter: Duration,
}

/// A client and a server on virtual time.
pub struct Pairing {
    pub now: Instant,
    pub client: Client,
    pub server: IceLite,
    pub link: Link,
    /// Tuples on which nothing gets through.
    pub dead: Vec<Tuple>,
    random: Random,
    in_flight: Vec<(Instant, Packet)>,
}

impl Pairing {
    pub fn new(now: Instant, client: Client, server: IceLite, link: Link, seed: u64) -> Self {
        Self { now, client, server, link, dead: Vec::new(), random: Random(seed), in_flight: Vec::new() }
    }

    /// Runs for this long, or until `done` says so. Returns whether it did.
    pub fn run(&mut self, duration: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + duration;
        loop {
            for (tuple, packet) in self.client.handle_timeout(self.now) {
                self.send(Packet::Request(tuple, packet));
            }
            while let Some(response) = self.server.poll_transmit() {
                self.send(Packet::Response(response.tuple, response.payload));
            }
            if done(self) {
                return true;
            }
            let next =
                [self.client.poll_timeout(), self.server.poll_timeout(), self.in_flight.iter().map(|p| p.0).min()];
            let Some(next) = next.into_iter().flatten().min().filter(|&next| next < end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            self.server.handle_timeout(self.now);
            self.deliver();
        }
    }

    fn send(&mut self, packet: Packet) {
        let (Packet::Request(tuple, _) | Packet::Response(tuple, _)) = &packet;
        if self.dead.contains(tuple) || self.random.chance(self.link.loss_percent) {
            return;
        }
        if self.random.chance(self.link.duplication_percent) {
            let copy = match &packet {
                Packet::Request(tuple, bytes) => Packet::Request(*tuple, bytes.clone()),
                Packet::Response(tuple, bytes) => Packet::Response(*tuple, bytes.clone()),
            };
            let arrival = self.arrival();
            self.in_flight.push((arrival, copy));
        }
        let arrival = self.arrival();
        self.in_flight.push((arrival, packet));
    }

    fn arrival(&mut self) -> Instant {
        let jitter = self.random.next() % (self.link.jitter.as_micros() as u64 + 1);
        self.now + self.link.delay + Duration::from_micros(jitter)
    }

    fn deliver(&mut self) {
        let (due, waiting) = std::mem::take(&mut self.in_flight).into_iter().partition(|(at, _)| *at <= self.now);
        self.in_flight = waiting;
        let mut due: Vec<(Instant, Packet)> = due;
        due.sort_by_key(|(at, _)| *at);
        for (_, packet) in due {
            match packet {
                // A check for credentials that are gone is refused: that's the server's good right.
                Packet::Request(tuple, bytes) => drop(self.server.handle_packet(self.now, tuple, &bytes)),
                Packet::Response(tuple, bytes) => self.client.handle_response(self.now, tuple, &bytes),
            }
        }
    }
}
