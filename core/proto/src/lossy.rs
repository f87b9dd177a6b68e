//! What the links of the tests do to packets: seeded loss, delay, reordering and duplication.

use std::time::Duration;

/// How long a packet takes that nothing happens to.
pub(crate) const DELAY: Duration = Duration::from_millis(20);

/// A link that only takes its time.
pub(crate) const GOOD: Faults = Faults { loss: 0, duplication: 0, reordering: 0 };

/// A small deterministic random number generator (xorshift64*).
pub(crate) struct Random(u64);

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

/// What a link does to packets; chances in percent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    pub loss: u64,
    pub duplication: u64,
    pub reordering: u64,
}

impl Faults {
    /// How long each copy of a packet takes; none arrives of a lost one. Reordered ones are up to `late` milliseconds later
    /// than they should be.
    pub fn delays(self, random: &mut Random, late: u64) -> Vec<Duration> {
        if random.below(100) < self.loss {
            return Vec::new();
        }
        let copies = if random.below(100) < self.duplication { 2 } else { 1 };
        let delay = |copy| {
            let reordered = random.below(100) < self.reordering;
            DELAY + Duration::from_millis(if reordered { random.below(late) } else { copy })
        };
        (0..copies).map(delay).collect()
    }
}
