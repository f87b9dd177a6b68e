//! Bitrates over a sliding window.

use std::time::{Duration, Instant};

/// The window over which a stream's bitrate is taken: mediasoup's. (It takes 6 s where audio may pause by DTX; but even
/// then a packet comes every 400 ms.)
pub const BITRATE_WINDOW: Duration = Duration::from_millis(2500);

/// How many slots a window is as long as.
const SLOTS: usize = 20;

/// Counts bytes and packets, and tells their rate over the last `window`.
///
/// A ring of slots, each a twentieth of the window: a packet costs an addition, and nothing is allocated. The window begins
/// somewhere within the oldest slot, whose bytes count by the part that it still covers, as if they were spread evenly.
/// Time must not go backwards by more than the window; an earlier `now` counts as the latest one.
#[derive(Clone, Debug)]
pub struct RateCounter {
    /// The slots of a window, and the one before them.
    slots: [u32; SLOTS + 1],
    /// In nanoseconds; less than a second.
    slot_len: u32,
    /// End of the newest slot: until then a packet takes a comparison and no subtraction.
    newest_end: Option<Instant>,
    newest: usize,
    packets: u64,
    bytes: u64,
}

impl RateCounter {
    /// A counter with a window of a second, as is usual for a transport.
    pub fn per_second() -> RateCounter {
        RateCounter::new(Duration::from_secs(1))
    }

    /// A counter with a window of 100 us to 19 s.
    pub fn new(window: Duration) -> RateCounter {
        let window = window.clamp(Duration::from_micros(100), Duration::from_secs(19));
        RateCounter {
            slots: [0; SLOTS + 1],
            slot_len: (window / SLOTS as u32).subsec_nanos(),
            newest_end: None,
            newest: 0,
            packets: 0,
            bytes: 0,
        }
    }

    /// Counts one packet of `bytes`.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        if self.newest_end.is_none_or(|end| now >= end) {
            self.advance(now);
        }
        self.packets += 1;
        self.bytes += bytes as u64;
        if let Some(slot) = self.slots.get_mut(self.newest) {
            *slot = slot.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// The rate over the window that ends now, in bit/s.
    pub fn bitrate(&mut self, now: Instant) -> u64 {
        if self.newest_end.is_none() {
            return 0;
        }
        let end = self.advance(now);
        let slot_len = u128::from(self.slot_len);
        let covered = end.saturating_duration_since(now).as_nanos().min(slot_len);
        let total: u64 = self.slots.iter().map(|slot| u64::from(*slot)).sum();
        let oldest = self.slots[(self.newest + 1) % self.slots.len()];
        let bytes_by_time = u128::from(total - u64::from(oldest)) * slot_len + u128::from(oldest) * covered;
        (bytes_by_time * 8 * 1_000_000_000 / (slot_len * slot_len * SLOTS as u128)) as u64
    }

    /// Packets counted since the beginning.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes counted since the beginning.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the slot of `now` the newest, empties those passed on the way, and returns its end. The first slot begins with the
    /// first packet.
    fn advance(&mut self, now: Instant) -> Instant {
        let slot_len = Duration::from_nanos(u64::from(self.slot_len));
        let end = match self.newest_end {
            Some(end) if now < end => return end,
            Some(end) => {
                let late = u64::try_from(now.saturating_duration_since(end).as_nanos()).unwrap_or(u64::MAX);
                let steps = late / u64::from(self.slot_len) + 1;
                if steps <= SLOTS as u64 {
                    for _ in 0..steps {
                        self.newest = (self.newest + 1) % self.slots.len();
                        self.slots[self.newest] = 0;
                    }
                    end + Duration::from_nanos(u64::from(self.slot_len) * steps)
                } else {
                    self.slots = [0; SLOTS + 1];
                    now + slot_len
                }
            }
            None => now + slot_len,
        };
        self.newest_end = Some(end);
        end
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
        let is_close = |rate: u64, expected: u64| rate.abs_diff(expected) <= 10_000;
        assert!(is_close(rate.bitrate(end), 1_000_000));
        assert!(is_close(rate.bitrate(end + millis(9)), 1_000_000));
        assert!(is_close(rate.bitrate(end + millis(500)), 500_000));
        assert_eq!(rate.bitrate(end + millis(1500)), 0);
        assert_eq!((rate.packets(), rate.bytes()), (200, 250_000));
    }

    #[test]
    fn a_longer_window_averages() {
        let start = Instant::now();
        let mut rate = RateCounter::new(BITRATE_WINDOW);
        rate.add(start, 2500);
        assert_eq!(rate.bitrate(start + millis(2000)), 8000);
        assert_eq!(rate.bitrate(start + millis(2500)), 8000);
        assert_eq!(rate.bitrate(start + millis(2550)), 4800, "two fifths of the slot are past");
        assert_eq!(rate.bitrate(start + millis(2625)), 0);
    }

    /// Every stream has one, and every transport seven.
    #[test]
    fn it_is_small() {
        assert!(size_of::<RateCounter>() <= 136, "{}", size_of::<RateCounter>());
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
                // How much of the oldest slot is within the window isn't known.
                let measured = rate.bitrate(now);
                prop_assert!(measured >= within(millis(950)) && measured <= within(millis(1050)), "{measured}");
            }
        }
    }
}
