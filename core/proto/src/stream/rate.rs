//! Bitrates over a sliding window.

use std::time::{Duration, Instant};

/// The window over which a stream's bitrate is taken: mediasoup's. (It takes 6 s where audio may pause by DTX; but even
/// then a packet comes every 400 ms.)
pub const BITRATE_WINDOW: Duration = Duration::from_millis(2500);

/// How many slots a window is cut into.
const SLOTS: usize = 100;

/// Counts bytes and packets, and tells their rate over the last `window`.
///
/// The window is a ring of 100 slots with a running total: a packet costs an addition, and nothing is allocated.
/// Time must not go backwards by more than the window; an earlier `now` counts as the latest one.
#[derive(Clone, Debug)]
pub struct RateCounter {
    slot_len: Duration,
    slots: [u32; SLOTS],
    /// Sum of the slots.
    total: u64,
    /// Start of the newest slot.
    newest_start: Option<Instant>,
    newest: usize,
    packets: u64,
    bytes: u64,
}

impl RateCounter {
    /// A counter with a window of a second, as is usual for a transport.
    pub fn per_second() -> RateCounter {
        RateCounter::new(Duration::from_secs(1))
    }

    /// A counter with a window of at least 100 us.
    pub fn new(window: Duration) -> RateCounter {
        RateCounter {
            slot_len: (window / SLOTS as u32).max(Duration::from_micros(1)),
            slots: [0; SLOTS],
            total: 0,
            newest_start: None,
            newest: 0,
            packets: 0,
            bytes: 0,
        }
    }

    /// Counts one packet of `bytes`.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        if self.newest_start.is_none() {
            self.newest_start = Some(now);
        }
        self.advance(now);
        self.packets += 1;
        self.bytes += bytes as u64;
        if let Some(slot) = self.slots.get_mut(self.newest) {
            let added = u32::try_from(bytes).unwrap_or(u32::MAX).min(u32::MAX - *slot);
            *slot += added;
            self.total += u64::from(added);
        }
    }

    /// The rate over the window that ends now, in bit/s.
    pub fn bitrate(&mut self, now: Instant) -> u64 {
        self.advance(now);
        let window = self.slot_len * SLOTS as u32;
        (u128::from(self.total) * 8 * 1_000_000 / window.as_micros()) as u64
    }

    /// Packets counted since the beginning.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes counted since the beginning.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the slot of `now` the newest and empties those passed on the way.
    fn advance(&mut self, now: Instant) {
        let Some(start) = self.newest_start else { return };
        let elapsed = now.saturating_duration_since(start);
        if elapsed < self.slot_len {
            return;
        }
        let steps = elapsed.as_nanos() / self.slot_len.as_nanos();
        if steps >= SLOTS as u128 {
            self.slots = [0; SLOTS];
            self.total = 0;
            self.newest_start = Some(now);
            return;
        }
        for _ in 0..steps {
            self.newest = (self.newest + 1) % SLOTS;
            self.total -= u64::from(std::mem::take(&mut self.slots[self.newest]));
        }
        self.newest_start = Some(start + self.slot_len * steps as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn a_steady_stream_has_its_rate_and_a_silent_one_none() {
        let start = Instant::now();
        let mut rate = RateCounter::per_second();
        for index in 0..200 {
            rate.add(start + millis(index * 10), 1250);
        }
        let end = start + millis(1990);
        assert_eq!(rate.bitrate(end), 1_000_000);
        assert_eq!(rate.bitrate(end + millis(500)), 500_000);
        assert_eq!(rate.bitrate(end + millis(1500)), 0);
        assert_eq!((rate.packets(), rate.bytes()), (200, 250_000));
    }

    #[test]
    fn a_longer_window_averages() {
        let start = Instant::now();
        let mut rate = RateCounter::new(BITRATE_WINDOW);
        rate.add(start, 2500);
        assert_eq!(rate.bitrate(start + millis(2000)), 8000);
        assert_eq!(rate.bitrate(start + millis(2500)), 0);
    }

    proptest! {
        #[test]
        fn the_rate_is_that_of_the_packets_within_the_window(
            packets in proptest::collection::vec((0u64..300, 0usize..2000), 1..200)
        ) {
            let mut now = Instant::now();
            let mut rate = RateCounter::per_second();
            let mut all = Vec::new();
            for (gap, bytes) in packets {
                now += millis(gap);
                rate.add(now, bytes);
                all.push((now, bytes as u64 * 8));
                let within = |window: Duration| -> u64 {
                    all.iter().filter(|(at, _)| now - *at < window).map(|(_, bits)| bits).sum()
                };
                // The oldest slot may be only partly within the window.
                let measured = rate.bitrate(now);
                prop_assert!(measured >= within(millis(980)) && measured <= within(millis(1000)), "{measured}");
            }
        }
    }
}
