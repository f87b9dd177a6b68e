//! Padding for receivers that tell a bound (REMB) and nothing else. Such a receiver raises its bound only while about as
//! much arrives, and says nothing of single packets: a short cluster is lost on it. So where more is wanted than its bound
//! allows, padding makes up what the media leave of it, until the bound has grown or the path turns out to be full.

/// The length of a packet of padding, as time at the bitrate that is filled up to, in microseconds; and its bounds, in bytes.
const SPACING: f64 = 20_000.0;
const MIN_SIZE: f64 = 200.0;
const MAX_SIZE: f64 = 1200.0;
/// Libwebrtc's receivers grow their bound by little where they take it for near the capacity, until more arrives than they
/// think possible. So what is filled up to begins with the bound and goes beyond it, by so much a second, up to
/// [`Filler::MOST`] times.
const GROWTH: f64 = 0.1;
/// What was not sent for so long is not made up for, in microseconds: that would be a burst.
const MOST_BEHIND: i64 = 20_000;
/// A bound of less than this share of the one before means that the path is full: nothing is filled for so long, in
/// microseconds, in which the queue empties and the media have the path to themselves. It is also how late a capacity that
/// has come back may be noticed.
const LOWER: f64 = 0.95;
const PAUSE: i64 = 3_000_000;

/// Fills up to the receiver's bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Filler {
    /// Until when the path is busy with what was sent, at the bitrate that is filled up to.
    busy: i64,
    /// Since when it fills, or when it will begin again.
    since: i64,
    /// The last bound, in bit/s.
    bound: Option<f64>,
}

impl Filler {
    /// How many times the bound it fills up to at most.
    pub const MOST: f64 = 1.5;

    /// A packet was sent, be it media or padding, where the bound is `bound` (bit/s).
    pub fn handle_sent(&mut self, now: i64, size: usize, bound: f64) {
        let bitrate = bound * (1.0 + GROWTH * (now - self.since).max(0) as f64 / 1e6).min(Filler::MOST);
        self.busy = self.busy.max(now - MOST_BEHIND) + (size as f64 * 8e6 / bitrate) as i64;
    }

    /// The receiver told its bound, in bit/s.
    pub fn handle_bound(&mut self, now: i64, bound: f64) {
        match self.bound.replace(bound) {
            None => self.since = now,
            Some(last) if bound < last * LOWER => self.since = now + PAUSE,
            Some(_) => {}
        }
    }

    /// There is nothing to fill up for.
    pub fn rest(&mut self, now: i64) {
        self.since = self.since.max(now);
    }

    /// When the next packet is due, in microseconds; `None` before a bound is known.
    pub fn due(&self) -> Option<i64> {
        self.bound.map(|_| self.busy.max(self.since))
    }

    /// The size of a packet in bytes, where the bound is `bitrate` (bit/s).
    pub fn size(bitrate: f64) -> usize {
        (bitrate * SPACING / 8e6).clamp(MIN_SIZE, MAX_SIZE) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BITRATE: f64 = 400_000.0;

    /// Bytes of padding between two times, where the media have a frame of `frame` bytes each 40 ms.
    fn filled(filler: &mut Filler, from: i64, to: i64, frame: usize) -> usize {
        let mut bytes = 0;
        for at in (from..to).step_by(1_000) {
            if at % 40_000 == 0 && frame > 0 {
                filler.handle_sent(at, frame, BITRATE);
            }
            while filler.due().is_some_and(|due| due <= at) {
                filler.handle_sent(at, Filler::size(BITRATE), BITRATE);
                bytes += Filler::size(BITRATE);
            }
        }
        bytes
    }

    #[test]
    fn it_makes_up_what_the_media_leave_and_rests_when_the_bound_falls() {
        let mut filler = Filler::default();
        assert_eq!(filled(&mut filler, 0, 1_000_000, 0), 0, "no bound is known");
        filler.handle_bound(1_000_000, BITRATE);
        // 50 kB a second are allowed, and more and more are tried.
        let alone = filled(&mut filler, 1_000_000, 2_000_000, 0);
        assert!((51_000..55_500).contains(&alone), "{alone}");
        let beside = filled(&mut filler, 2_000_000, 3_000_000, 500);
        assert!((43_000..46_000).contains(&beside), "{beside}");
        filler.handle_bound(3_000_000, BITRATE * 0.97);
        let most = filled(&mut filler, 8_000_000, 9_000_000, 0);
        assert!((74_000..78_500).contains(&most), "a little less is no news: {most}");
        assert!(filled(&mut filler, 9_000_000, 10_000_000, 4_000) < 1_500, "the media need all");
        filler.handle_bound(10_000_000, BITRATE * 0.8);
        assert_eq!(filled(&mut filler, 10_000_000, 13_000_000, 0), 0);
        let again = filled(&mut filler, 13_000_000, 14_000_000, 0);
        assert!((51_000..55_500).contains(&again), "{again}: without a burst");
        filler.rest(20_000_000);
        let again = filled(&mut filler, 20_000_000, 21_000_000, 0);
        assert!((51_000..55_500).contains(&again), "{again}");
    }
}
