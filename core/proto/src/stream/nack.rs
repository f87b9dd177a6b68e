//! The receiver's side of NACK: noticing missing packets and asking for them (RFC 4585).
//!
//! A gap is asked for at once. What stays missing is asked for again each round-trip time, ten times in all, and given up
//! a round-trip time after the last, checked on a timer of 40 ms. Too many missing packets, and a key frame is cheaper: the list is emptied and
//! [`Event::KeyFrameNeeded`] asks for one. A packet missing before a key frame is not worth repairing when the list
//! overflows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::ExtendedSequence;

/// Bounds of the generator. `Default` gives mediasoup's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often what is missing is checked for repetition.
    pub interval: Duration,
    /// Missing packets this many numbers behind the newest are given up.
    pub max_age: u16,
    /// Missing packets at a time.
    pub max_pending: usize,
    /// How often one packet is asked for.
    pub max_retries: u8,
    /// The round-trip time assumed before one is measured.
    pub default_rtt: Duration,
    /// How long to wait before asking for a gap, for packets that were only reordered.
    pub delay: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            interval: Duration::from_millis(40),
            max_age: 10_000,
            max_pending: 1000,
            max_retries: 10,
            default_rtt: Duration::from_millis(100),
            delay: Duration::ZERO,
        }
    }
}

/// What the generator wants besides retransmissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// More is missing than retransmissions can repair.
    KeyFrameNeeded,
}

/// What a packet was to the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first packet, or one newer than all before.
    New,
    /// One that was asked for, and came.
    Repaired,
    /// One that was missing, and came before it was asked for.
    Reordered,
    /// One that was not missing: a duplicate, one given up, or a retransmission ahead of the stream.
    Unexpected,
}

/// Notices missing packets of one stream. See the module for its policy.
#[derive(Clone, Debug)]
pub struct Generator {
    config: Config,
    rtt: Duration,
    sequence: ExtendedSequence,
    /// Sorted by sequence number. Those settled leave from the front.
    missing: VecDeque<Missing>,
    /// How many of `missing` are still missing.
    pending: usize,
    /// The newest numbers of key frames' packets, oldest first.
    key_frames: VecDeque<i64>,
    /// The latest time known.
    now: Option<Instant>,
    /// Whether a gap was found since the last poll.
    fresh: bool,
    /// Whether the timer has run out since the last poll.
    due: bool,
    deadline: Option<Instant>,
    key_frame_needed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: i64,
    noticed: Instant,
    asked: Option<Instant>,
    retries: u8,
    /// It came, or was given up.
    settled: bool,
}

/// How many key-frame packets are remembered.
const MAX_KEY_FRAMES: usize = 64;

impl Generator {
    /// A generator for a new stream.
    pub fn new(config: Config) -> Generator {
        Generator {
            config,
            rtt: config.default_rtt,
            sequence: ExtendedSequence::new(),
            missing: VecDeque::new(),
            pending: 0,
            key_frames: VecDeque::new(),
            now: None,
            fresh: false,
            due: false,
            deadline: None,
            key_frame_needed: false,
        }
    }

    /// A packet arrived; `is_recovered` when it came by RTX. Only the stream itself tells how far it is: a retransmission
    /// ahead of it is unexpected (senders probe with such), opens no gap, and is asked for should it prove missing.
    pub fn handle_packet(&mut self, now: Instant, seq: u16, is_key_frame: bool, is_recovered: bool) -> Arrival {
        self.now = Some(now);
        let Some(highest) = self.sequence.highest() else {
            if is_recovered {
                return Arrival::Unexpected;
            }
            let sequence = self.sequence.unwrap(seq);
            self.note_key_frame(sequence, is_key_frame);
            return Arrival::New;
        };
        let sequence = self.sequence.peek(seq);
        if sequence <= highest {
            return self.take_missing(sequence);
        }
        if is_recovered {
            return Arrival::Unexpected;
        }
        self.sequence.unwrap(seq);
        self.note_key_frame(sequence, is_key_frame);
        let oldest = sequence - i64::from(self.config.max_age);
        self.give_up_before(oldest);
        let gap = (sequence - highest - 1) as usize;
        if gap > 0 {
            self.add_missing(now, highest + 1, sequence, gap);
        }
        Arrival::New
    }

    /// Sets the round-trip time measured.
    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// Time passed; call it when the deadline is reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline = None;
            self.due = true;
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` while nothing is missing.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Appends the sequence numbers to ask for now, in ascending (wrapping) order. Says whether there were any.
    pub fn poll_nack(&mut self, out: &mut Vec<u16>) -> bool {
        let Some(now) = self.now.filter(|_| self.fresh || self.due) else {
            return false;
        };
        let before = out.len();
        let repeat = std::mem::take(&mut self.due);
        self.fresh = false;
        let Config { delay, max_retries, .. } = self.config;
        let mut given_up = 0;
        // Nothing is noticed before what was asked for: what was not is at the back.
        let asked = self.missing.iter().rposition(|missing| missing.asked.is_some()).map_or(0, |last| last + 1);
        let start = if repeat { 0 } else { asked };
        for missing in self.missing.range_mut(start..).filter(|missing| !missing.settled) {
            let ask = match missing.asked {
                None => now.saturating_duration_since(missing.noticed) >= delay,
                Some(asked) => now.saturating_duration_since(asked) >= self.rtt,
            };
            if !ask {
                continue;
            }
            if missing.retries >= max_retries {
                missing.settled = true;
                given_up += 1;
                continue;
            }
            out.push(missing.sequence as u16);
            missing.asked = Some(now);
            missing.retries += 1;
        }
        self.pending -= given_up;
        self.trim();
        self.deadline = (self.pending > 0).then(|| self.deadline.unwrap_or(now + self.config.interval));
        out.len() > before
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        std::mem::take(&mut self.key_frame_needed).then_some(Event::KeyFrameNeeded)
    }

    /// How many packets are missing and not given up.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Forgets everything, as when the stream is paused: what is missing will not be asked for.
    pub fn reset(&mut self) {
        self.sequence = ExtendedSequence::new();
        self.missing.clear();
        self.key_frames.clear();
        self.pending = 0;
        self.fresh = false;
        self.due = false;
        self.deadline = None;
        self.key_frame_needed = false;
    }

    fn take_missing(&mut self, sequence: i64) -> Arrival {
        let Ok(index) = self.missing.binary_search_by_key(&sequence, |missing| missing.sequence) else {
            return Arrival::Unexpected;
        };
        match self.missing.get_mut(index) {
            Some(missing) if !missing.settled => {
                missing.settled = true;
                let arrival = if missing.retries > 0 { Arrival::Repaired } else { Arrival::Reordered };
                self.pending -= 1;
                self.trim();
                arrival
            }
            _ => Arrival::Unexpected,
        }
    }

    fn add_missing(&mut self, now: Instant, from: i64, to: i64, gap: usize) {
        if self.pending + gap > self.config.max_pending {
            // Repair from the latest key frame that makes it fit.
            while let Some(key_frame) = self.key_frames.pop_front() {
                self.give_up_before(key_frame);
                if self.pending + gap <= self.config.max_pending {
                    self.key_frames.push_front(key_frame);
                    break;
                }
            }
        }
        if self.pending + gap > self.config.max_pending {
            self.missing.clear();
            self.pending = 0;
            self.fresh = false;
            self.deadline = None;
            self.key_frame_needed = true;
            return;
        }
        for sequence in from..to {
            let missing = Missing { sequence, noticed: now, asked: None, retries: 0, settled: false };
            self.missing.push_back(missing);
        }
        self.pending += gap;
        self.fresh = true;
        self.deadline = self.deadline.or(Some(now + self.config.interval));
    }

    fn note_key_frame(&mut self, sequence: i64, is_key_frame: bool) {
        if is_key_frame {
            if self.key_frames.len() == MAX_KEY_FRAMES {
                self.key_frames.pop_front();
            }
            self.key_frames.push_back(sequence);
        }
    }

    fn give_up_before(&mut self, sequence: i64) {
        while let Some(missing) = self.missing.front().filter(|missing| missing.sequence < sequence) {
            self.pending -= usize::from(!missing.settled);
            self.missing.pop_front();
        }
        while self.key_frames.front().is_some_and(|&key_frame| key_frame < sequence) {
            self.key_frames.pop_front();
        }
        if self.pending == 0 {
            self.deadline = None;
        }
    }

    /// Forgets what came at the front; all of it when nothing is missing.
    fn trim(&mut self) {
        while self.missing.front().is_some_and(|missing| missing.settled) {
            self.missing.pop_front();
        }
        if self.pending == 0 {
            self.deadline = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    struct Bench {
        generator: Generator,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { generator: Generator::new(Config::default()), now: Instant::now() }
        }

        fn packet(&mut self, seq: u16) -> Arrival {
            self.generator.handle_packet(self.now, seq, false, false)
        }

        fn nack(&mut self) -> Vec<u16> {
            let mut out = Vec::new();
            self.generator.poll_nack(&mut out);
            out
        }

        fn wait(&mut self, duration: Duration) {
            self.now += duration;
            self.generator.handle_timeout(self.now);
        }
    }

    #[test]
    fn a_gap_is_asked_for_at_once_across_the_wrap() {
        let mut bench = Bench::new();
        bench.packet(65533);
        assert_eq!((bench.nack(), bench.generator.poll_timeout()), (vec![], None));
        bench.packet(2);
        assert_eq!(bench.nack(), [65534, 65535, 0, 1]);
        assert_eq!(bench.generator.poll_timeout(), Some(bench.now + millis(40)));
        assert_eq!(bench.nack(), []);
        assert_eq!(bench.packet(0), Arrival::Repaired);
        assert_eq!(bench.packet(0), Arrival::Unexpected);
        assert_eq!(bench.packet(2), Arrival::Unexpected);
        assert_eq!(bench.generator.pending(), 3);
    }

    #[test]
    fn what_stays_missing_is_asked_for_each_round_trip_ten_times() {
        let mut bench = Bench::new();
        bench.generator.handle_rtt(millis(80));
        bench.packet(1);
        bench.packet(3);
        let start = bench.now;
        let mut asked = vec![];
        for _ in 0..100 {
            if bench.nack() == [2] {
                asked.push((bench.now - start).as_millis());
            }
            let Some(deadline) = bench.generator.poll_timeout() else { break };
            assert!(deadline > bench.now);
            bench.wait(deadline - bench.now);
        }
        assert_eq!(asked, (0..10).map(|index| index * 80).collect::<Vec<_>>());
        assert_eq!((bench.generator.pending(), bench.generator.poll_timeout()), (0, None));
        assert_eq!((bench.now - start).as_millis(), 800, "given up a round trip after the last request");
        assert_eq!(bench.packet(2), Arrival::Unexpected);
    }

    #[test]
    fn the_answer_to_the_last_request_is_a_repair() {
        let mut bench = Bench::new();
        bench.packet(1);
        bench.packet(3);
        for request in 1..=10 {
            assert_eq!(bench.nack(), [2], "request {request}");
            // 99 ms: not yet a round trip.
            bench.wait(millis(99));
            assert_eq!((bench.nack(), bench.generator.pending()), (vec![], 1));
            if request < 10 {
                bench.wait(millis(40));
            }
        }
        assert_eq!(bench.packet(2), Arrival::Repaired);
    }

    #[test]
    fn a_new_gap_does_not_repeat_older_requests_before_their_time() {
        let mut bench = Bench::new();
        bench.generator.handle_rtt(millis(10));
        bench.packet(1);
        bench.packet(3);
        assert_eq!(bench.nack(), [2]);
        bench.wait(millis(20));
        bench.packet(5);
        assert_eq!(bench.nack(), [4]);
        bench.wait(millis(20));
        assert_eq!(bench.nack(), [2, 4]);
    }

    #[test]
    fn a_fresh_gap_is_asked_for_beside_those_asked_for_and_those_that_came() {
        let mut bench = Bench::new();
        bench.packet(1);
        bench.packet(4);
        assert_eq!(bench.nack(), [2, 3]);
        // Two gaps before one poll, and a part of the first that came in time.
        bench.packet(7);
        assert_eq!(bench.packet(5), Arrival::Reordered);
        bench.packet(9);
        assert_eq!(bench.nack(), [6, 8]);
        assert_eq!(bench.nack(), []);
    }

    #[test]
    fn a_delay_spares_packets_that_were_only_reordered() {
        let mut bench = Bench::new();
        bench.generator = Generator::new(Config { delay: millis(20), ..Config::default() });
        bench.packet(1);
        bench.packet(4);
        assert_eq!(bench.nack(), []);
        assert_eq!(bench.packet(2), Arrival::Reordered);
        bench.wait(millis(40));
        assert_eq!(bench.nack(), [3]);
    }

    #[test]
    fn too_much_missing_asks_for_a_key_frame_instead() {
        let mut bench = Bench::new();
        bench.packet(0);
        bench.packet(1001);
        assert_eq!((bench.nack().len(), bench.generator.poll_event()), (1000, None));
        bench.packet(1003);
        assert_eq!(bench.generator.poll_event(), Some(Event::KeyFrameNeeded));
        assert_eq!((bench.nack(), bench.generator.pending(), bench.generator.poll_timeout()), (vec![], 0, None));
        assert_eq!(bench.generator.poll_event(), None);
    }

    #[test]
    fn a_key_frame_makes_older_losses_expendable() {
        let mut bench = Bench::new();
        bench.packet(0);
        bench.packet(901);
        bench.generator.handle_packet(bench.now, 902, true, false);
        bench.packet(1103);
        assert_eq!(bench.generator.poll_event(), None);
        assert_eq!(bench.nack(), (903..1103).collect::<Vec<u16>>());
    }

    #[test]
    fn old_losses_are_given_up() {
        let mut bench = Bench::new();
        bench.packet(0);
        bench.packet(2);
        bench.nack();
        for seq in 3..=10_001 {
            bench.packet(seq);
        }
        assert_eq!(bench.generator.pending(), 1);
        bench.packet(10_002);
        assert_eq!((bench.generator.pending(), bench.generator.poll_timeout()), (0, None));
    }

    #[test]
    fn a_recovered_packet_opens_no_gap() {
        let mut bench = Bench::new();
        bench.packet(1);
        assert_eq!(bench.generator.handle_packet(bench.now, 5, false, true), Arrival::Unexpected);
        assert_eq!(bench.nack(), []);
        bench.packet(4);
        assert_eq!(bench.nack(), [2, 3]);
        assert_eq!(bench.generator.handle_packet(bench.now, 3, false, true), Arrival::Repaired);
    }

    proptest! {
        /// Whatever the network does, everything is asked for that did not come, and nothing else.
        #[test]
        fn asks_for_exactly_what_is_missing(start: u16, lost in proptest::collection::vec(any::<bool>(), 2..500)) {
            let mut bench = Bench::new();
            bench.packet(start);
            let mut expected = vec![];
            for (index, lost) in lost.iter().enumerate() {
                let seq = start.wrapping_add(index as u16 + 1);
                if *lost { expected.push(seq) } else { bench.packet(seq); }
            }
            let tail = lost.iter().rev().take_while(|lost| **lost).count();
            expected.truncate(expected.len() - tail);
            prop_assert_eq!(bench.nack(), &expected[..]);
            for seq in expected {
                prop_assert_eq!(bench.packet(seq), Arrival::Repaired);
            }
            prop_assert_eq!(bench.generator.pending(), 0);
            prop_assert!(bench.generator.missing.is_empty());
        }

        #[test]
        fn arbitrary_sequences_keep_within_bounds(
            packets in proptest::collection::vec((any::<u16>(), any::<bool>(), any::<bool>(), 0u64..60), 0..300)
        ) {
            let mut bench = Bench::new();
            for (seq, key, recovered, gap) in packets {
                bench.generator.handle_packet(bench.now, seq, key, recovered);
                bench.nack();
                let missing = bench.generator.missing.iter().filter(|missing| !missing.settled).count();
                prop_assert_eq!(bench.generator.pending(), missing);
                prop_assert!(missing <= 1000 && bench.generator.missing.len() <= 10_000);
                prop_assert_eq!(missing > 0, bench.generator.poll_timeout().is_some());
                bench.wait(millis(gap));
            }
        }
    }
}
