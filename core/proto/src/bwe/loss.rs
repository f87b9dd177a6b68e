//! The bitrate that the losses allow (draft-ietf-rmcat-gcc-02 section 6), with a memory of losses that did not go away
//! when less was sent: a lossy radio link is not congested.

/// Packets that a ratio is taken over, at least (libwebrtc), and the time, in microseconds: a round trip and what feedback
/// takes, so that a decrease shows before the next (cases).
const LEAST_PACKETS: u32 = 20;
const MIN_TIME: i64 = 400_000;
/// Below this ratio the bitrate may grow; above the other one it goes down (draft).
const LOW: f64 = 0.02;
const HIGH: f64 = 0.10;
/// Growth per second (libwebrtc).
const INCREASE: f64 = 1.08;
/// The least smoothed ratio of the last one to two periods of this length (in microseconds) is a property of the path: it was
/// there whatever was sent. At most so much is taken for that, or a path that throws away what is too much would be. (Cases:
/// random and bursty losses, a short queue.)
const PERIOD: i64 = 4_000_000;
const MAX_INHERENT: f64 = 0.06;
/// How much a new ratio counts for the smoothed one (cases).
const WEIGHT: f64 = 0.3;
/// A ratio that goes beyond the usual one by less than this part of it is no news (cases).
const SPREAD: f64 = 0.25;
/// A queue as long as this, in milliseconds, is congestion whatever the losses do (cases).
const LONG_QUEUE: f64 = 80.0;

/// The bitrate that the losses allow.
#[derive(Clone, Debug)]
pub(super) struct LossControl {
    bitrate: f64,
    received: u32,
    lost: u32,
    since: Option<i64>,
    smoothed: Option<f64>,
    /// The least smoothed ratio of this period and of the one before.
    least: (f64, f64),
    period: i64,
    ratio: f64,
    /// When less was last sent than before.
    decreased: Option<i64>,
}

impl LossControl {
    /// Begins with `bitrate` (bit/s).
    pub fn new(bitrate: f64) -> LossControl {
        LossControl {
            bitrate,
            received: 0,
            lost: 0,
            since: None,
            smoothed: None,
            least: (1.0, 1.0),
            period: 0,
            ratio: 0.0,
            decreased: None,
        }
    }

    /// In bit/s.
    pub fn bitrate(&self) -> f64 {
        self.bitrate
    }

    /// The ratio of packets that were last missing, 0 to 1.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Sets the bitrate from outside: by a probe, or by bounds.
    pub fn set_bitrate(&mut self, bitrate: f64) {
        self.bitrate = bitrate;
    }

    /// A packet that was sent at that time was reported. What was sent before the last decrease says nothing about the
    /// bitrate of now: were its losses counted again, one full queue would take the bitrate down to nothing.
    pub fn handle_packet(&mut self, sent: i64, received: bool) {
        if self.is_news(sent) {
            let count = if received { &mut self.received } else { &mut self.lost };
            *count = count.saturating_add(1);
        }
    }

    /// A packet that was reported missing has arrived.
    pub fn handle_late(&mut self, sent: i64) {
        if self.is_news(sent) {
            self.lost = self.lost.saturating_sub(1);
            self.received = self.received.saturating_add(1);
        }
    }

    /// Less is sent from now on, by what the delay says.
    pub fn handle_decrease(&mut self, now: i64) {
        self.decreased = Some(now);
        (self.received, self.lost, self.since) = (0, 0, Some(now));
    }

    fn is_news(&self, sent: i64) -> bool {
        self.decreased.is_none_or(|when| sent >= when)
    }

    /// Draws conclusions once enough is known. `target` (bit/s) is what is being sent by, which the bitrate grows no
    /// further above than a step; `queue` (ms) how long packets wait.
    pub fn update(&mut self, now: i64, target: f64, queue: f64) {
        let since = *self.since.get_or_insert(now);
        let total = self.received + self.lost;
        if total < LEAST_PACKETS || now - since < MIN_TIME {
            return;
        }
        let ratio = f64::from(self.lost) / f64::from(total);
        let elapsed = ((now - since) as f64 / 1e6).min(1.0);
        (self.received, self.lost, self.since, self.ratio) = (0, 0, Some(now), ratio);
        let smoothed = self.smoothed.map_or(ratio, |old| old + WEIGHT * (ratio - old));
        self.smoothed = Some(smoothed);
        if now - self.period > PERIOD {
            (self.period, self.least) = (now, (smoothed, self.least.0));
        }
        self.least.0 = self.least.0.min(smoothed);
        // A long queue loses packets because it is full.
        let inherent = if queue > LONG_QUEUE { 0.0 } else { self.least.0.min(self.least.1).min(MAX_INHERENT) };
        let from_congestion = ratio - inherent * (1.0 + SPREAD);
        if from_congestion > HIGH {
            // Not from a bitrate that nothing is sent by.
            self.bitrate = self.bitrate.min(target) * (1.0 - 0.5 * from_congestion.min(1.0));
            self.decreased = Some(now);
        } else if smoothed - inherent * (1.0 + SPREAD) < LOW {
            let grown = self.bitrate * INCREASE.powf(elapsed) + 1000.0 * elapsed;
            self.bitrate = grown.min(target * 1.5).max(self.bitrate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends for `tenths` of a second over a link that loses `loss(bitrate)`.
    fn run(control: &mut LossControl, now: &mut i64, tenths: i64, loss: impl Fn(f64) -> f64) {
        for _ in 0..tenths {
            *now += 100_000;
            let lost = (loss(control.bitrate()) * 30.0).round() as u32;
            (0..30).for_each(|index| control.handle_packet(*now, index >= lost));
            control.update(*now, control.bitrate(), 0.0);
        }
    }

    #[test]
    fn few_losses_let_it_grow_some_hold_it_and_many_take_it_down() {
        let (mut control, mut now) = (LossControl::new(1e6), 0);
        run(&mut control, &mut now, 50, |_| 0.0);
        assert!((1.4e6..1.6e6).contains(&control.bitrate()), "{}", control.bitrate());
        let before = control.bitrate();
        run(&mut control, &mut now, 50, |_| 0.05);
        assert!(control.bitrate() < before * 1.1, "{} {before}", control.bitrate());
        // A policer at 1 Mbit/s.
        run(&mut control, &mut now, 100, |bitrate| (1.0 - 1e6 / bitrate).max(0.0));
        assert!((0.9e6..1.25e6).contains(&control.bitrate()), "{}", control.bitrate());
    }

    #[test]
    fn losses_that_stay_whatever_is_sent_are_not_congestion() {
        let (mut control, mut now) = (LossControl::new(1e6), 0);
        run(&mut control, &mut now, 100, |_| 0.07);
        assert!(control.bitrate() > 1.5e6, "{}", control.bitrate());
        // And congestion on top of them is noticed all the same.
        let before = control.bitrate();
        run(&mut control, &mut now, 20, |_| 0.4);
        assert!(control.bitrate() < before * 0.6, "{} {before}", control.bitrate());
        // So it is where the queue is long.
        let (mut control, mut now) = (LossControl::new(1e6), 0);
        for _ in 0..100 {
            now += 100_000;
            (0..30).for_each(|index| control.handle_packet(now, index >= 4));
            control.update(now, control.bitrate(), 150.0);
        }
        assert!(control.bitrate() < 0.3e6, "{}", control.bitrate());
    }
    #[test]
    fn a_decrease_is_not_followed_by_another_for_what_was_sent_before_it() {
        let (mut control, mut now) = (LossControl::new(1e6), 0);
        run(&mut control, &mut now, 5, |_| 0.0);
        let sent = now;
        for _ in 0..10 {
            now += 400_000;
            (0..30).for_each(|index| control.handle_packet(sent, index >= 20));
            control.update(now, control.bitrate(), 100.0);
        }
        assert!((0.6e6..0.7e6).contains(&control.bitrate()), "{}", control.bitrate());
        run(&mut control, &mut now, 10, |_| 0.7);
        assert!(control.bitrate() < 0.5e6, "{}", control.bitrate());
    }
}
