//! When the estimator tries whether there is more than it knows of, and what it makes of what comes of it.

use super::Estimator;
use crate::bwe::probe::{ProbeResult, Purpose};
use crate::bwe::trendline::Usage;

/// The bitrates tried at first, as multiples of the one to begin with (libwebrtc).
const FIRST_PROBES: [f64; 2] = [3.0, 6.0];
/// A probe that gets so much of what was tried is followed by one of twice as much (libwebrtc).
const FURTHER: f64 = 0.7;
/// What is tried beyond an estimate that is used in full, and how often, in microseconds (cases: variable capacity).
const GROWTH: f64 = 1.5;
const GROWTH_INTERVAL: i64 = 2_000_000;
/// A growth that is followed by a decrease within this time (in microseconds) was someone else's share: the next one is tried
/// after twice the time, up to so many times the usual one, until nothing was taken back for long enough (cases: competing
/// flows).
const KEPT: i64 = 2_500_000;
const FORGIVEN: i64 = 15_000_000;
const MAX_PATIENCE: i64 = 2;
/// How long the media show that the path takes what a probe has found, besides a round trip, before more is tried; in
/// microseconds; and how long packets may wait then, in milliseconds (cases: the wait in the queue).
const SETTLING: i64 = 200_000;
const SHORT_QUEUE: f64 = 40.0;
/// What is tried beyond an estimate that is not used (libwebrtc), and how often, in microseconds: a capacity that is back is
/// to be noticed within 5 s, and raised in two or three steps then.
const UNUSED: f64 = 2.0;
const UNUSED_INTERVAL: i64 = 3_000_000;
/// When nothing has been answered for so long, because nothing is sent, what was known of the queue is no longer so; and
/// nothing but probes can bring the media back, so they come more often; in microseconds. A cluster at the bottom of the
/// scale is a kilobyte or so.
const STALE: i64 = 1_000_000;
const STALE_INTERVAL: i64 = 1_000_000;
/// A fall to less than this share of the estimate is probed for recovery, at this share of what was there, when the delay
/// has been steady for a while and the fall is not too long ago, in microseconds (libwebrtc; the steady time by the cases).
const LARGE_FALL: f64 = 0.66;
const RECOVERY: f64 = 0.85;
const STEADY: i64 = 1_000_000;
const MAX_RECOVERY: i64 = 5_000_000;
/// Of what a probe of a full path shows is kept (libwebrtc).
const FULL_SHARE: f64 = 0.95;
/// How much more than desired is probed for: the rates of layers swing by about that.
const DESIRED_MARGIN: f64 = 1.1;

impl Estimator {
    /// Whether what a probe has raised is kept is seen from whether the delay makes the estimate go down soon after.
    pub(super) fn judge_growth(&mut self, at: i64, decreased: bool) {
        if let Some(when) = self.grown {
            if decreased {
                self.patience = (self.patience * 4).min(MAX_PATIENCE);
                (self.grown, self.taken_back) = (None, Some(at));
            } else if at - when > KEPT {
                self.grown = None;
            }
        }
        if self.taken_back.is_some_and(|when| at - when > FORGIVEN) {
            self.patience = 1;
        }
    }

    /// Keeps a large fall in mind, to probe for recovery. `before` is the estimate before it.
    pub(super) fn note_fall(&mut self, at: i64, before: f64) {
        if self.target() < before * LARGE_FALL && self.fall.is_none_or(|(bitrate, _)| before > bitrate) {
            self.fall = Some((before, at));
        }
    }

    /// Takes what has come of probes.
    pub(super) fn take_results(&mut self, at: i64) {
        while let Some(result) = self.prober.poll_result(at) {
            self.handle_result(at, result);
        }
    }

    fn handle_result(&mut self, at: i64, result: ProbeResult) {
        let Some(bitrate) = result.bitrate else { return };
        let bitrate = if result.full { bitrate * FULL_SHARE } else { bitrate };
        // Where flows compete, a cluster takes from the others for a moment what it could not keep. When that has happened,
        // then beside media that use the estimate in full only a path that is not full says anything.
        let alone = self.patience == 1;
        let shared = matches!(result.purpose, Purpose::Growth | Purpose::Recovery);
        let counts = !shared || (self.delay.usage() != Usage::Overuse && (alone || !result.full));
        if !counts || bitrate <= self.target() {
            return;
        }
        if shared {
            self.grown = Some(at);
        }
        self.set_target(self.bounds.clamp(bitrate));
        if bitrate < FURTHER * result.tried || result.full {
            return;
        }
        match result.purpose {
            Purpose::Start | Purpose::Unused => self.probe(at, result.purpose, bitrate * UNUSED),
            Purpose::Growth => {
                // The media have to show first that the path takes as much.
                let settled = at + self.round_trip.unwrap_or(0.0) as i64 + SETTLING;
                self.further = Some((bitrate * GROWTH, settled));
            }
            Purpose::Recovery => {}
        }
    }

    /// Begins a probe where there is a reason for one.
    pub(super) fn plan(&mut self, at: i64) {
        let target = self.target();
        if self.desired <= target || !self.prober.is_idle() {
            return;
        }
        // What is known of the capacity already need not be tried.
        if !std::mem::replace(&mut self.started_probing, true) && self.delay.rate.decreased().is_none() {
            FIRST_PROBES.iter().for_each(|factor| self.probe(at, Purpose::Start, factor * target));
            return;
        }
        if let Some(due) = self.stale_probe().filter(|_| self.is_stale(at)) {
            if at >= due {
                self.probe(at, Purpose::Unused, UNUSED * target);
            }
            return;
        }
        let Some(steady) = self.steady.map(|since| at - since) else { return };
        let short_queue = self.delay.queue() < SHORT_QUEUE;
        if let Some((before, when)) = self.fall {
            if at - when > MAX_RECOVERY {
                self.fall = None;
            } else if steady >= STEADY && short_queue {
                self.fall = None;
                self.probe(at, Purpose::Recovery, RECOVERY * before);
                return;
            }
        }
        if let Some((bitrate, when)) = self.further {
            if at >= when {
                self.further = None;
                if self.delay.usage() != Usage::Overuse && short_queue {
                    self.probe(at, Purpose::Growth, bitrate);
                }
            }
            return;
        }
        let (purpose, factor, interval) = if self.application_limited {
            (Purpose::Unused, UNUSED, UNUSED_INTERVAL)
        } else {
            (Purpose::Growth, GROWTH, GROWTH_INTERVAL * self.patience)
        };
        let since_decrease = self.delay.rate.decreased().map_or(i64::MAX, |when| at - when);
        let since_probe = self.last_probe.map_or(i64::MAX, |when| at - when);
        if steady >= STEADY && short_queue && since_probe.min(since_decrease) >= interval {
            self.probe(at, purpose, factor * target);
        }
    }

    /// Whether more than there is would be of use.
    pub(super) fn wants_more(&self) -> bool {
        self.desired.min(self.bounds.max as f64) > self.target()
    }

    /// When a packet is due that fills up to the receiver's bound. A cluster goes first.
    pub(super) fn filler_due(&self) -> Option<i64> {
        self.filler.as_ref().filter(|_| self.wants_more() && self.prober.due().is_none())?.due()
    }

    fn is_stale(&self, at: i64) -> bool {
        self.answered.is_some_and(|when| at - when >= STALE)
    }

    /// When to probe if nothing is answered until then.
    pub(super) fn stale_probe(&self) -> Option<i64> {
        let answered = self.answered.filter(|_| self.wants_more() && self.prober.is_idle())?;
        let probed = self.last_probe.map_or(i64::MIN, |when| when + STALE_INTERVAL);
        Some(probed.max(answered + STALE))
    }

    /// Probes for so much, if it is wanted and more than there is.
    fn probe(&mut self, at: i64, purpose: Purpose, bitrate: f64) {
        let bitrate = bitrate.min(self.desired * DESIRED_MARGIN).min(self.bounds.max as f64);
        if bitrate > self.target() {
            self.last_probe = Some(at);
            self.prober.start(at, purpose, bitrate);
        }
    }
}
