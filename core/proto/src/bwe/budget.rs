//! How much may be sent again. When a link suddenly takes less, much of what was sent is lost, and its receiver asks for
//! all of it at once, and again when that is lost too. Sent without a bound, the answers alone would keep the queue of the
//! link full, and of the media that should take the place of what was lost nothing would get through.

use std::time::{Duration, Instant};

/// The part of the available bitrate that retransmissions may use: enough for a path that loses a third of all packets.
const SHARE: f64 = 0.5;
/// What has not been used is kept for so long: the loss of a whole key frame is repaired at once.
const KEPT: Duration = Duration::from_secs(1);
/// So many bytes can be sent again at once, however little is available: some ten packets.
const LEAST: f64 = 12_000.0;

/// What may be sent again of late.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetransmissionBudget {
    /// In bytes; below 0 by a part of the last packet.
    credit: f64,
    updated: Option<Instant>,
}

impl RetransmissionBudget {
    /// Whether a packet may be sent again now, where so much is available (bit/s).
    pub fn allows(&mut self, now: Instant, available: u64) -> bool {
        let rate = available as f64 / 8.0 * SHARE;
        let most = (rate * KEPT.as_secs_f64()).max(LEAST);
        self.credit = match self.updated.replace(now) {
            None => most,
            Some(last) => (self.credit + rate * now.saturating_duration_since(last).as_secs_f64()).min(most),
        };
        self.credit > 0.0
    }

    /// A packet of `size` bytes is sent again.
    pub fn spend(&mut self, size: usize) {
        self.credit -= size as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many packets of 1000 bytes may be sent again until `end`, where one is asked for each millisecond.
    fn taken(
        budget: &mut RetransmissionBudget,
        start: Instant,
        seconds: std::ops::Range<u64>,
        available: u64,
    ) -> usize {
        let asked = (seconds.start * 1000..seconds.end * 1000).map(|at| start + Duration::from_millis(at));
        let mut may = |at: Instant| {
            let may = budget.allows(at, available);
            if may {
                budget.spend(1000);
            }
            may
        };
        asked.filter(|at| may(*at)).count()
    }

    #[test]
    fn half_of_what_is_available_may_be_sent_again_after_a_second_of_it() {
        let (start, mut budget) = (Instant::now(), RetransmissionBudget::default());
        // 800 kbit/s are 100 packets a second: 50 kept and 50 more.
        assert!((99..=101).contains(&taken(&mut budget, start, 0..1, 800_000)));
        assert!((149..=151).contains(&taken(&mut budget, start, 1..4, 800_000)));
        // After a pause no more than a second's worth has been kept.
        assert!((99..=101).contains(&taken(&mut budget, start, 60..61, 800_000)));
    }

    #[test]
    fn some_packets_may_always_be_sent_again() {
        let (start, mut budget) = (Instant::now(), RetransmissionBudget::default());
        assert_eq!(taken(&mut budget, start, 0..1, 0), 12);
        assert_eq!(taken(&mut budget, start, 1..9, 0), 0);
        assert_eq!(taken(&mut budget, start, 9..10, 30_000), 2);
    }
}
