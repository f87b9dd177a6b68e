//! A bottleneck in virtual time: capacity that changes, a queue that drops its tail, propagation delay, jitter, losses.

use std::collections::VecDeque;

/// Microseconds since the beginning.
pub type Micros = u64;

/// A deterministic source of chance (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normally distributed, mean 0 and deviation 1 (twelve throws of the die, less six).
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Losses that are not the queue's.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    None,
    /// Each packet alike.
    Random(f64),
    /// Two states (Gilbert): the probability to go bad, to get well, and to lose a packet while bad.
    Bursty {
        to_bad: f64,
        to_good: f64,
        while_bad: f64,
    },
}

/// What a link is like.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// From when on it has how many bit/s.
    pub capacity: Vec<(Micros, f64)>,
    /// The longest queue, by the time that it takes to empty.
    pub max_queue: Micros,
    /// The truncated deviation of the delay behind the queue; packets stay in order.
    pub jitter: Micros,
    pub loss: Loss,
}

/// A link with one queue for all flows.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    random: Random,
    /// Packets not yet served: when they are, and their bits.
    queue: VecDeque<(Micros, u64)>,
    queued_bits: u64,
    free_at: Micros,
    bad: bool,
    last_exit: Micros,
    /// Bits that the queue dropped.
    pub dropped: u64,
}

/// How a packet fared.
pub struct Passage {
    /// When it leaves the link, without propagation.
    pub exit: Micros,
    /// How long it waited behind others.
    pub queueing: Micros,
}

impl Link {
    pub fn new(config: LinkConfig, seed: u64) -> Link {
        Link {
            config,
            random: Random::new(seed),
            queue: VecDeque::new(),
            queued_bits: 0,
            free_at: 0,
            bad: false,
            last_exit: 0,
            dropped: 0,
        }
    }

    pub fn capacity(&self, now: Micros) -> f64 {
        self.config.capacity.iter().rev().find(|(from, _)| *from <= now).map_or(1e9, |(_, capacity)| *capacity)
    }

    /// A packet of `size` bytes comes; `None` if it is lost.
    pub fn send(&mut self, now: Micros, size: usize) -> Option<Passage> {
        while self.queue.front().is_some_and(|(served, _)| *served <= now) {
            self.queued_bits -= self.queue.pop_front().expect("it has a front").1;
        }
        let bits = (size as u64 + 28) * 8;
        let wait = self.queued_bits as f64 * 1e6 / self.capacity(now);
        if wait > self.config.max_queue as f64 {
            self.dropped += bits;
            return None;
        }
        let begins = self.free_at.max(now);
        let served = self.serve(begins, bits);
        (self.free_at, self.queued_bits) = (served, self.queued_bits + bits);
        self.queue.push_back((served, bits));
        if self.is_lost() {
            return None;
        }
        let jitter = (self.random.normal() * self.config.jitter as f64 / 3.0).abs().min(self.config.jitter as f64);
        self.last_exit = self.last_exit.max(served + jitter as u64);
        Some(Passage { exit: self.last_exit, queueing: begins - now })
    }

    /// When `bits` are through that begin at `from`, where the capacity may change on the way.
    fn serve(&self, from: Micros, bits: u64) -> Micros {
        let (mut at, mut left) = (from as f64, bits as f64);
        loop {
            let capacity = self.capacity(at as u64);
            let changes = self.config.capacity.iter().map(|(when, _)| *when as f64).find(|when| *when > at);
            let until = changes.unwrap_or(f64::INFINITY);
            let takes = left * 1e6 / capacity;
            if at + takes <= until {
                return (at + takes).ceil() as u64;
            }
            left -= (until - at) * capacity / 1e6;
            at = until;
        }
    }

    fn is_lost(&mut self) -> bool {
        let chance = self.random.unit();
        match self.config.loss {
            Loss::None => false,
            Loss::Random(probability) => chance < probability,
            Loss::Bursty { to_bad, to_good, while_bad } => {
                let turn = self.random.unit();
                self.bad = if self.bad { turn >= to_good } else { turn < to_bad };
                self.bad && chance < while_bad
            }
        }
    }
}
