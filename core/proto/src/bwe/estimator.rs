//! The sender's estimate of how much it may send.

mod probing;

use std::time::{Duration, Instant};

use super::burst::Burst;
use super::delay::DelayControl;
use super::filler::Filler;
use super::loss::LossControl;
use super::probe::Prober;
use super::sent::{News, SentHistory};
use super::trendline::Usage;
use crate::rtcp::transport_cc::TICK_MICROS;
use crate::rtcp::{LossHistory, TransportCc};
use crate::stream::RateCounter;

/// Below this share of the estimate the sender is limited by what it has to send (libwebrtc); above the other one it is not
/// (cases: no flapping between the two).
const LIMITED: f64 = 0.65;
const NOT_LIMITED: f64 = 0.75;
/// If that lasts so long, in microseconds (cases: pause and resume).
const LIMITED_TIME: i64 = 1_000_000;
/// Without feedback for so long the estimate goes down, in steps; in microseconds. Feedback that is lost once or twice is not
/// that long; a path that is gone takes the estimate down to nothing in some ten seconds.
const SILENCE: i64 = 1_500_000;
const SILENCE_STEP: i64 = 500_000;
const SILENCE_DECREASE: f64 = 0.8;

/// Bounds of an estimate and what it begins with, in bit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What is assumed before anything is known.
    pub start: u64,
    /// The estimate never goes below; at least 1000.
    pub min: u64,
    /// Nor above.
    pub max: u64,
}

/// Estimates the bitrate that is available to a sender, from the arrival of its packets.
///
/// In: each packet sent ([`Estimator::handle_sent`]), transport-wide feedback ([`Estimator::handle_feedback`]) and the
/// receiver's own bound ([`Estimator::handle_remb`]), with the time, which must not go backwards. Out: the
/// [available bitrate](Estimator::available_bitrate), padding to send ([`Estimator::poll_padding`]) and when to call
/// [`Estimator::handle_timeout`] next ([`Estimator::poll_timeout`]).
#[derive(Clone, Debug)]
pub struct Estimator {
    epoch: Instant,
    bounds: Bounds,
    /// What the sender would send if it might, in bit/s.
    desired: f64,
    delay: DelayControl,
    loss: LossControl,
    prober: Prober,
    /// What takes the place of most probing where there is only a bound.
    filler: Option<Filler>,
    sent: SentHistory,
    burst: Burst,
    sent_rate: RateCounter,
    application_limited: bool,
    limited_since: Option<i64>,
    /// The receiver's clock: the last reference time, unwrapped, in its units.
    reference: Option<i64>,
    /// The receiver's bound, in bit/s.
    remb: Option<f64>,
    has_feedback: bool,
    /// Since when packets have been sent without any feedback.
    unanswered: Option<i64>,
    /// When feedback last came.
    answered: Option<i64>,
    /// The smoothed round trip, in microseconds; it includes the time until feedback is sent.
    round_trip: Option<f64>,
    /// What feedback has said of loss, as it was said: packets that came late count as lost.
    reported_loss: LossHistory,
    /// Since when the delay has been steady.
    steady: Option<i64>,
    started_probing: bool,
    last_probe: Option<i64>,
    /// When a probe beside full media last raised the estimate, if it is not known yet whether that is kept.
    grown: Option<i64>,
    /// When one was last taken back.
    taken_back: Option<i64>,
    /// The bitrate to try next when a probe has got through, and when.
    further: Option<(f64, i64)>,
    /// By what the usual interval of such probes is multiplied.
    patience: i64,
    /// A large fall that has not been probed yet: the bitrate before it, and when.
    fall: Option<(f64, i64)>,
}

impl Estimator {
    /// An estimator that knows nothing yet.
    pub fn new(now: Instant, bounds: Bounds) -> Estimator {
        let start = bounds.clamp(bounds.start as f64);
        Estimator {
            epoch: now,
            bounds,
            desired: 0.0,
            delay: DelayControl::new(start),
            loss: LossControl::new(start),
            prober: Prober::default(),
            filler: None,
            sent: SentHistory::default(),
            burst: Burst::default(),
            sent_rate: RateCounter::new(Duration::from_millis(500)),
            application_limited: false,
            limited_since: None,
            reference: None,
            remb: None,
            has_feedback: false,
            unanswered: None,
            answered: None,
            round_trip: None,
            reported_loss: LossHistory::default(),
            steady: None,
            started_probing: false,
            last_probe: None,
            grown: None,
            taken_back: None,
            further: None,
            patience: 1,
            fall: None,
        }
    }

    /// The same, for a receiver that tells nothing but its bound.
    pub fn by_remb(now: Instant, bounds: Bounds) -> Estimator {
        Estimator { filler: Some(Filler::default()), ..Estimator::new(now, bounds) }
    }

    /// Sets other bounds. The bitrate to begin with counts only until feedback has come.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        let bitrate = if self.has_feedback { self.target() } else { bounds.start as f64 };
        self.set_target(bounds.clamp(bitrate));
    }

    /// Sets what the sender would send if it might, in bit/s. There is no probing beyond it; 0 stops all probing.
    pub fn set_desired_bitrate(&mut self, now: Instant, bitrate: u64) {
        self.desired = bitrate as f64;
        if self.desired <= self.target() {
            self.prober.stop();
        } else {
            self.plan(self.micros(now));
        }
    }

    /// A packet of `size` bytes (with its RTP header, without what carries it) was sent under a transport-wide sequence
    /// number. Numbers follow each other.
    pub fn handle_sent(&mut self, now: Instant, number: u16, size: usize) {
        if self.filler.is_some() {
            return self.handle_sent_unnumbered(now, size);
        }
        let at = self.micros(now);
        self.sent_rate.add(now, size);
        let cluster = self.prober.handle_sent(at, size);
        let backlog = self.burst.handle_sent(at, size, self.target());
        self.sent.push(number, at, size, cluster, backlog);
        self.unanswered.get_or_insert(at);
    }

    /// A packet of `size` bytes was sent without such a number. It counts only where the receiver tells nothing but its
    /// bound.
    pub fn handle_sent_unnumbered(&mut self, now: Instant, size: usize) {
        let (at, target, wants_more) = (self.micros(now), self.target(), self.wants_more());
        if let Some(filler) = &mut self.filler {
            if !wants_more {
                filler.rest(at);
            }
            filler.handle_sent(at, size, target);
            self.prober.handle_sent(at, size);
        }
    }

    /// The receiver told what became of packets.
    pub fn handle_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>) {
        if self.filler.is_some() {
            return;
        }
        let at = self.micros(now);
        let shift = self.follow_clock(feedback.reference_time);
        let (mut newest, mut backlog) = (None, 0);
        let (mut reported, mut not_received) = (0, 0);
        for status in feedback.statuses() {
            reported += 1;
            not_received += usize::from(status.arrival.is_none());
            let arrival = status.arrival.map(|ticks| (ticks + shift) * TICK_MICROS);
            match self.sent.report(status.sequence_number, arrival.is_some()) {
                Some(News::Missing(packet)) => {
                    self.loss.handle_packet(packet.at, false);
                    if let Some(cluster) = packet.cluster {
                        self.prober.handle_report(cluster, packet.at, packet.size, None);
                    }
                }
                Some(News::Received(packet, was_missing)) => {
                    let Some(arrival) = arrival else { continue };
                    if was_missing {
                        self.loss.handle_late(packet.at);
                    } else {
                        self.loss.handle_packet(packet.at, true);
                        if let Some(cluster) = packet.cluster {
                            self.prober.handle_report(cluster, packet.at, packet.size, Some(arrival));
                        }
                    }
                    self.delay.handle_packet(packet.at, arrival, packet.size as usize);
                    newest = newest.max(Some(packet.at));
                    backlog = backlog.max(packet.backlog);
                }
                None => {}
            }
        }
        self.reported_loss.push(reported, not_received);
        self.sent.prune();
        self.has_feedback = true;
        self.unanswered = None;
        if let Some(newest) = newest {
            self.measure_round_trip((at - newest) as f64);
        }
        self.answered = Some(at);
        let grows = self.delay.usage() == Usage::Overuse;
        self.burst.handle_feedback(backlog, self.delay.queue(), grows);
        self.update(now);
    }

    /// The receiver told how much it wants at most (REMB), in bit/s.
    pub fn handle_remb(&mut self, now: Instant, bitrate: u64) {
        self.remb = Some(bitrate as f64);
        if !self.has_feedback {
            let bitrate = self.bounds.clamp(bitrate as f64);
            self.set_target(bitrate);
        }
        let at = self.micros(now);
        if let Some(filler) = &mut self.filler {
            filler.handle_bound(at, bitrate as f64);
        }
        self.plan(at);
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let at = self.micros(now);
        if let Some(since) = self.unanswered
            && self.has_feedback
            && at >= since + SILENCE
        {
            let bitrate = self.bounds.clamp(self.target() * SILENCE_DECREASE);
            self.set_target(bitrate);
            self.unanswered = Some(at - SILENCE + SILENCE_STEP);
        }
        self.take_results(at);
        self.plan(at);
    }

    /// When [`Estimator::handle_timeout`] is to be called and [`Estimator::poll_padding`] asked.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let silence = self.unanswered.filter(|_| self.has_feedback).map(|since| since + SILENCE);
        let deadline =
            [self.prober.due(), self.filler_due(), silence, self.stale_probe()].into_iter().flatten().min()?;
        Some(self.epoch + Duration::from_micros(u64::try_from(deadline).unwrap_or(0)))
    }

    /// The size in bytes of a packet of padding to send now, if one is due. Call it after each has been sent until it
    /// returns `None`.
    pub fn poll_padding(&self, now: Instant) -> Option<usize> {
        let at = self.micros(now);
        let fill = self.filler_due().filter(|due| *due <= at).map(|_| Filler::size(self.target()));
        self.prober.poll_padding(at).or(fill)
    }

    /// How much may be sent, in bit/s, with headers, padding and retransmissions.
    pub fn available_bitrate(&self) -> u64 {
        self.target() as u64
    }

    /// The same, in bits per second, for media without which nothing would be sent: where the receiver tells nothing but its
    /// bound, they may take what padding would take to raise it.
    pub fn bitrate_to_begin_with(&self) -> u64 {
        let most = self.filler.as_ref().map_or(1.0, |_| Filler::MOST);
        self.bounds.clamp(self.target() * most) as u64
    }

    /// What the delay says about the load of the path.
    pub fn usage(&self) -> Usage {
        self.delay.usage()
    }

    /// The ratio of packets that were last missing, 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        self.loss.ratio()
    }

    /// The ratio of packets that the last feedback packets called lost, 0 to 1: steadier than [`Estimator::loss_ratio`],
    /// for people to look at.
    pub fn reported_loss_ratio(&self) -> f64 {
        self.reported_loss.ratio()
    }

    /// Whether less is sent than may be.
    pub fn is_application_limited(&self) -> bool {
        self.application_limited
    }

    /// The smoothed time from sending a packet to feedback about it.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|micros| Duration::from_micros(micros as u64))
    }

    fn micros(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(i64::MAX)
    }

    /// Unwraps the 24 bits of the receiver's reference time. Returns what is to be added to its ticks.
    fn follow_clock(&mut self, reference: i32) -> i64 {
        let unwrapped = match self.reference {
            None => i64::from(reference),
            // The shortest way within 24 bits.
            Some(last) => last + i64::from((reference.wrapping_sub(last as i32) << 8) >> 8),
        };
        self.reference = Some(unwrapped);
        (unwrapped - i64::from(reference)) * 256
    }

    fn measure_round_trip(&mut self, micros: f64) {
        let smoothed = self.round_trip.map_or(micros, |old| old + (micros - old) / 8.0);
        self.round_trip = Some(smoothed);
        self.delay.rate.set_round_trip(smoothed as i64);
    }

    fn target(&self) -> f64 {
        let by_path = self.delay.rate.bitrate().min(self.loss.bitrate());
        self.bounds.clamp(self.remb.map_or(by_path, |remb| by_path.min(remb)))
    }

    fn set_target(&mut self, bitrate: f64) {
        self.delay.rate.set_bitrate(bitrate);
        self.loss.set_bitrate(bitrate);
    }

    /// Draws conclusions from feedback.
    fn update(&mut self, now: Instant) {
        let at = self.micros(now);
        let before = self.target();
        let sent = self.sent_rate.bitrate(now) as f64;
        let share = sent / before;
        if share < if self.application_limited { NOT_LIMITED } else { LIMITED } {
            // The media take a while to follow an estimate that has just been raised.
            let since = *self.limited_since.get_or_insert(at);
            self.application_limited = at - since >= LIMITED_TIME;
        } else {
            (self.limited_since, self.application_limited) = (None, false);
        }
        let was_kept = self.grown.is_none();
        let decreased = self.delay.update(at, sent, self.application_limited, self.burst.explains_queue());
        self.judge_growth(at, decreased);
        if decreased {
            self.loss.handle_decrease(at);
        }
        self.loss.update(at, before, self.delay.queue());
        // Neither runs away from what the other one allows.
        let bounded = |bitrate: f64| bitrate.clamp(self.bounds.min as f64, self.bounds.max as f64);
        let (by_delay, by_loss) = (bounded(self.delay.rate.bitrate()), bounded(self.loss.bitrate()));
        self.delay.rate.set_bitrate(by_delay.min(by_loss));
        self.loss.set_bitrate(by_loss);
        match self.delay.usage() {
            Usage::Overuse if !self.burst.explains_queue() => self.steady = None,
            _ => _ = self.steady.get_or_insert(at),
        }
        if was_kept {
            self.note_fall(at, before);
        }
        self.take_results(at);
        self.plan(at);
    }
}

impl Bounds {
    fn clamp(&self, bitrate: f64) -> f64 {
        let min = (self.min as f64).max(1000.0);
        bitrate.max(min).min((self.max as f64).max(min))
    }
}

#[cfg(test)]
mod tests;
