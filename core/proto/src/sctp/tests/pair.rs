//! Two associations over a seeded link that loses, delays, reorders and duplicates, in virtual time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::*;
pub(super) use crate::lossy::{DELAY, Faults, GOOD, Random};

pub(super) const BAD: Faults = Faults { loss: 10, duplication: 5, reordering: 20 };

pub(super) fn config() -> Config {
    Config {
        outgoing_streams: 1024,
        incoming_streams: 1024,
        max_message_size: 262_144,
        send_buffer_size: 262_144,
        receive_window: None,
    }
}

/// An ordered, reliable stream.
pub(super) fn reliable(id: u16) -> StreamParameters {
    StreamParameters { id, ordered: true, reliability: Reliability::Reliable }
}

/// Two associations and the link between them.
pub(super) struct Pair {
    pub ends: [Association; 2],
    pub events: [Vec<Event>; 2],
    /// By the end that sends.
    pub faults: [Faults; 2],
    pub random: Random,
    pub start: Instant,
    pub now: Instant,
    /// Packets under way: when they arrive, a number that keeps those of one instant in order, at which end, what.
    pub wire: BTreeMap<(Instant, u64), (usize, Bytes)>,
    pub sent: u64,
}

impl Pair {
    pub fn new() -> Pair {
        Pair::with([config(), config()])
    }

    pub fn with(configs: [Config; 2]) -> Pair {
        let now = Instant::now();
        Pair {
            ends: configs.map(Association::new),
            events: [Vec::new(), Vec::new()],
            faults: [GOOD; 2],
            random: Random::new(1),
            start: now,
            now,
            wire: BTreeMap::new(),
            sent: 0,
        }
    }

    pub fn connected() -> Pair {
        Pair::connected_with([config(), config()])
    }

    pub fn connected_with(configs: [Config; 2]) -> Pair {
        let mut pair = Pair::with(configs);
        pair.start();
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.states(), [State::Connected; 2]);
        pair.events.iter_mut().for_each(Vec::clear);
        pair
    }

    pub fn start(&mut self) {
        for end in &mut self.ends {
            end.start(self.now);
        }
        self.collect();
    }

    pub fn send(&mut self, end: usize, stream: &StreamParameters, message: impl Into<Bytes>) {
        self.ends[end].send(stream, Ppid::Binary, message.into()).unwrap();
        self.collect();
    }

    /// Puts what the ends have to send on the wire, and keeps their events.
    pub fn collect(&mut self) {
        for end in [0, 1] {
            while let Some(packet) = self.ends[end].poll_transmit(self.now) {
                let number = self.sent;
                self.sent += 1;
                for (copy, delay) in (0..).zip(self.faults[end].delays(&mut self.random, 60)) {
                    self.wire.insert((self.now + delay, 2 * number + copy), (1 - end, packet.clone()));
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push(event);
            }
        }
    }

    /// Goes to the next thing that happens by `end` and lets it happen; false when nothing will.
    pub fn step_until(&mut self, end: Instant) -> bool {
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.ends.iter().filter_map(Association::poll_timeout).min();
        let Some(at) = [arrival, timeout].into_iter().flatten().min().filter(|at| *at <= end) else { return false };
        // The first timeout counts from the clock that the engine reads, which is before this one's `now` or after it.
        self.now = self.now.max(at);
        if arrival == Some(at) {
            let (_, (end, packet)) = self.wire.pop_first().unwrap();
            let _ = self.ends[end].handle_packet(self.now, &packet);
        } else {
            for end in &mut self.ends {
                end.handle_timeout(self.now);
            }
        }
        self.collect();
        true
    }

    /// Lets that much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step_until(end) {}
        self.now = end;
    }

    pub fn states(&self) -> [State; 2] {
        self.ends.each_ref().map(Association::state)
    }

    /// The messages that an end got on a stream.
    pub fn messages(&self, end: usize, stream_id: u16) -> Vec<Bytes> {
        let on_stream = |event: &Event| match event {
            Event::Message { stream_id: id, payload, .. } if *id == stream_id => Some(payload.clone()),
            _ => None,
        };
        self.events[end].iter().filter_map(on_stream).collect()
    }

    /// The states that an end has come to.
    pub fn state_changes(&self, end: usize) -> Vec<State> {
        let state = |event: &Event| match event {
            Event::StateChange(state) => Some(*state),
            _ => None,
        };
        self.events[end].iter().filter_map(state).collect()
    }
}
