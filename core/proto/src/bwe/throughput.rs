//! The bitrate that arrives: bytes that were acknowledged, by the receiver's clock.

/// Length of a slot, in microseconds: less than the frames of any video are apart.
const SLOT: i64 = 10_000;
/// Slots that are kept: half a second.
const SLOTS: usize = 50;
/// The window over which the bitrate is taken, in slots: long enough for some ten frames of video (cases).
const WINDOW: i64 = 40;
/// The shorter window that a sudden drop shows in (cases: it is followed within a second).
const RECENT: i64 = 20;

/// Counts what arrives and tells its bitrate.
#[derive(Clone, Debug)]
pub(super) struct Throughput {
    /// Bytes by slot of arrival; a ring.
    slots: [u32; SLOTS],
    /// The first slot counted since the last long pause, and the newest, numbered from the receiver's zero.
    range: Option<(i64, i64)>,
}

impl Throughput {
    pub fn new() -> Throughput {
        Throughput { slots: [0; SLOTS], range: None }
    }

    /// Counts a packet. One that arrived more than half a second before the newest is not counted.
    pub fn add(&mut self, arrival: i64, bytes: usize) {
        let slot = arrival.div_euclid(SLOT);
        let (first, newest) = match self.range {
            // After a pause as long as the window what was before it says nothing.
            Some((first, newest)) if slot < newest + SLOTS as i64 => (first, newest),
            _ => {
                self.slots = [0; SLOTS];
                (slot, slot)
            }
        };
        if slot <= newest - SLOTS as i64 {
            return;
        }
        for passed in newest + 1..=slot {
            self.slots[Self::index(passed)] = 0;
        }
        self.range = Some((first, newest.max(slot)));
        let slot = &mut self.slots[Self::index(slot)];
        *slot = slot.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The bitrate over the last 400 ms that something arrived in, in bit/s; `None` before there are 300 ms.
    pub fn bitrate(&self) -> Option<f64> {
        self.over(WINDOW)
    }

    /// The lower of the bitrates over the last 400 ms and the last 200 ms, in bit/s: what the path takes when it has
    /// begun to take less.
    pub fn recent_bitrate(&self) -> Option<f64> {
        Some(self.over(WINDOW)?.min(self.over(RECENT)?))
    }

    fn over(&self, window: i64) -> Option<f64> {
        let (first, newest) = self.range?;
        // The newest slot is not complete, nor was the first one.
        let window = window.min(newest - first - 1);
        if window < 30.min(RECENT) {
            return None;
        }
        let bytes: u64 = (newest - window..newest).map(|slot| u64::from(self.slots[Self::index(slot)])).sum();
        Some(bytes as f64 * 8.0 * 1e6 / (window * SLOT) as f64)
    }

    fn index(slot: i64) -> usize {
        slot.rem_euclid(SLOTS as i64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_drop_shows_soon() {
        let mut throughput = Throughput::new();
        for index in 0..100 {
            throughput.add(7_000_000 + index * 10_000, 1250);
            if index == 10 {
                assert_eq!(throughput.bitrate(), None, "too short to tell");
            }
        }
        assert_eq!(throughput.bitrate(), Some(1e6));
        // A fifth of the rate.
        for index in 20..25 {
            throughput.add(7_000_000 + index * 50_000, 1250);
        }
        let (longer, recent) = (throughput.bitrate().unwrap(), throughput.recent_bitrate().unwrap());
        assert!(recent < 3e5 && longer > 5e5, "{recent} {longer}");
    }

    #[test]
    fn after_a_pause_it_starts_afresh_and_late_packets_count_where_they_belong() {
        let mut throughput = Throughput::new();
        for index in 0..60 {
            throughput.add(index * 10_000, 1250);
        }
        throughput.add(100_000, 1_000_000);
        assert_eq!(throughput.bitrate(), Some(1e6), "arrived too long ago");
        throughput.add(9_000_000, 1250);
        assert_eq!(throughput.bitrate(), None);
    }
}
