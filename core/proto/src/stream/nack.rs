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
mod tests;
