//! A stream's score: how well it gets through, from 0 (not at all) to 10 (without loss).
//!
//! Each report gives one raw score from what happened since the last one:
//!
//! ```text
//! packets   = packets received (of a stream that is received) or sent (of one that is sent)
//! lost      = packets missing, 0 to packets
//! repaired  = packets that a retransmission brought back, at most lost
//! resent    = packets sent again, of which `resent - repaired` were for nothing
//! weight    = (1 / (1 + repaired / packets))^4 * (repaired / resent, if anything was resent)
//! effective = lost - repaired * weight, rounded down
//! raw       = round(10 * ((packets - effective) / packets)^4)
//! ```
//!
//! So a repair counts less the more of them were needed, and the more resends each took. Where nothing was expected, the
//! raw score is 10. The score is the average of the last 24 raw scores, in which the newest weighs 24 times what the
//! oldest does.
//!
//! This is how mediasoup rates, but for a received stream without RTX: there it takes a repaired packet for one that was
//! never lost, and where that leaves fewer losses than repairs, takes these for the losses. Here a repair weighs the same
//! with RTX and without.

/// Raw scores that are averaged.
const WINDOW: usize = 24;

/// The greatest score, which is also that of a stream about which nothing bad is known.
pub const MAX: u8 = 10;

/// What happened to a stream since the beginning; [`Score::update`] takes the differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets that should have come, of a stream that is received; packets sent, of one that is sent.
    pub expected: u64,
    /// Packets received by themselves, of a stream that is received; packets sent, of one that is sent.
    pub packets: u64,
    /// Packets that did not come by themselves; less than before when late ones came, negative with duplicates.
    pub lost: i64,
    /// Packets that came by retransmission.
    pub repaired: u64,
    /// Packets sent again, whether they helped or not.
    pub retransmitted: u64,
}

/// Rates one stream.
#[derive(Clone, Debug)]
pub struct Score {
    value: u8,
    /// Raw scores, the oldest first.
    window: [u8; WINDOW],
    /// How many of them there are.
    len: u8,
    before: Totals,
}

impl Default for Score {
    fn default() -> Score {
        Score::new()
    }
}

impl Score {
    /// The score of a stream that begins well.
    pub fn new() -> Score {
        Score { value: MAX, window: [0; WINDOW], len: 0, before: Totals::default() }
    }

    /// The score, 0 to 10.
    pub fn value(&self) -> u8 {
        self.value
    }

    /// Rates what happened since the last update. Returns the score if it changed.
    pub fn update(&mut self, totals: Totals) -> Option<u8> {
        let before = std::mem::replace(&mut self.before, totals);
        let raw = raw_score(Totals {
            expected: totals.expected.saturating_sub(before.expected),
            packets: totals.packets.saturating_sub(before.packets),
            lost: totals.lost.saturating_sub(before.lost),
            repaired: totals.repaired.saturating_sub(before.repaired),
            retransmitted: totals.retransmitted.saturating_sub(before.retransmitted),
        });
        if usize::from(self.len) == WINDOW {
            self.window.copy_within(1.., 0);
            self.len -= 1;
        }
        if let Some(newest) = self.window.get_mut(usize::from(self.len)) {
            *newest = raw;
            self.len += 1;
        }
        let (mut sum, mut weights) = (0, 0);
        for (weight, score) in (1u32..).zip(self.window.iter().take(self.len.into())) {
            sum += weight * u32::from(*score);
            weights += weight;
        }
        let value = (f64::from(sum) / f64::from(weights)).round() as u8;
        self.set(value)
    }

    /// The stream stopped: the score is 0 at once. Returns the score if it changed.
    pub fn handle_inactive(&mut self) -> Option<u8> {
        self.len = 0;
        self.set(0)
    }

    /// The stream began again: the score is 10 at once. `totals` are those of now. Returns the score if it changed.
    pub fn handle_active(&mut self, totals: Totals) -> Option<u8> {
        self.len = 0;
        self.before = totals;
        self.set(MAX)
    }

    fn set(&mut self, value: u8) -> Option<u8> {
        let changed = self.value != value;
        self.value = value;
        changed.then_some(value)
    }
}

fn raw_score(since: Totals) -> u8 {
    let Totals { expected, packets, lost, repaired, retransmitted } = since;
    if expected == 0 {
        // Losses that are reported now were rated by what was sent then, or should have been.
        return MAX;
    }
    if packets == 0 {
        return 0;
    }
    let lost = u64::try_from(lost).unwrap_or(0).min(packets);
    let repaired = repaired.min(lost);
    let resent = retransmitted.max(repaired);
    let (packets, repaired) = (packets as f64, repaired as f64);
    let efficiency = if resent > 0 { repaired / resent as f64 } else { 1.0 };
    let weight = (1.0 / (1.0 + repaired / packets)).powi(4) * efficiency;
    let effective = (lost as f64 - repaired * weight).floor();
    let delivered = (packets - effective) / packets;
    (delivered.powi(4) * f64::from(MAX)).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(packets: u64, lost: i64, repaired: u64, retransmitted: u64) -> u8 {
        let expected = packets.saturating_add_signed(lost);
        raw_score(Totals { expected, packets, lost, repaired, retransmitted })
    }

    /// The numbers are those of mediasoup 3.12.16's RtpStreamRecv::UpdateScore with RTX.
    #[test]
    fn raw_scores_by_the_formula() {
        assert_eq!(raw(0, 0, 0, 0), 10);
        assert_eq!(raw(100, 0, 0, 0), 10);
        assert_eq!(raw(0, 100, 0, 0), 0);
        // 10 of 90 lost: (80/90)^4 = 0.624.
        assert_eq!(raw(90, 10, 0, 0), 6);
        // All repaired at the first try: weight 0.656, effective loss 3, (87/90)^4 = 0.873.
        assert_eq!(raw(90, 10, 10, 10), 9);
        // Repaired, but with three resends each: weight 0.219, effective loss 7, 0.723.
        assert_eq!(raw(90, 10, 10, 30), 7);
        // Rounded down, the effective loss is 1 of 10; as it is, 1.95, it would give 4.
        assert_eq!(raw(10, 3, 3, 3), 7);
        // The weight's fourth power: weight 0.316, effective loss 23, (37/60)^4 = 0.145. (With the third, 21 and 0.179.)
        assert_eq!(raw(60, 30, 20, 20), 1);
        assert_eq!(raw(20, 80, 0, 0), 0);
        // Duplicates are no merit; repairs of older losses are none either, and their resends were for nothing.
        assert_eq!(raw(120, -20, 0, 0), 10);
        assert_eq!(raw(90, 10, 15, 15), 8);
    }

    #[test]
    fn losses_reported_of_a_stream_that_pauses_are_no_demerit() {
        let mut score = Score::new();
        let mut totals = Totals { expected: 100, packets: 100, ..Totals::default() };
        assert_eq!(score.update(totals), None);
        totals.lost = 3;
        assert_eq!(score.update(totals), None);
        assert_eq!(score.value(), 10);
    }

    #[test]
    fn the_newest_weighs_most() {
        let mut score = Score::new();
        let mut totals = Totals::default();
        let mut step = |score: &mut Score, received| {
            totals.expected += 100;
            totals.packets += received;
            totals.lost += 100 - received as i64;
            score.update(totals)
        };
        assert_eq!(step(&mut score, 100), None);
        // (1 * 10 + 2 * 0) / 3.
        assert_eq!(step(&mut score, 0), Some(3));
    }

    #[test]
    fn twenty_four_scores_are_averaged() {
        let mut score = Score::new();
        let mut totals = Totals::default();
        let mut after = |packets| {
            totals.expected += 100;
            totals.packets += packets;
            totals.lost += 100 - packets as i64;
            score.update(totals);
            score.value()
        };
        assert_eq!((0..30).map(|_| after(0)).last(), Some(0));
        // With a window of 23 the eighth would be 6 already, with 25 the tenth only 6.
        let values: Vec<u8> = (0..24).map(|_| after(100)).collect();
        assert_eq!(values[..11], [1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7]);
        assert_eq!(values.last(), Some(&10));
    }

    #[test]
    fn inactivity_is_zero_at_once_and_activity_ten() {
        let mut score = Score::new();
        assert_eq!((score.handle_inactive(), score.handle_inactive()), (Some(0), None));
        assert_eq!(score.handle_active(Totals::default()), Some(10));
    }

    proptest! {
        #[test]
        fn stays_in_range_whatever_the_counts(updates in proptest::collection::vec(any::<[u16; 4]>(), 1..60)) {
            let mut score = Score::new();
            for [packets, lost, repaired, retransmitted] in updates {
                score.update(Totals {
                    expected: lost.into(), packets: packets.into(), lost: i64::from(lost) - 1000, repaired: repaired.into(),
                    retransmitted: retransmitted.into(),
                });
                prop_assert!(score.value() <= MAX);
            }
        }

        #[test]
        fn more_loss_is_never_better(packets in 0u64..1000, lost in 0i64..1000) {
            prop_assert!(raw(packets, lost + 1, 0, 0) <= raw(packets, lost, 0, 0));
        }
    }
}
