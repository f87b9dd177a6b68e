//! From the load of the path to a bitrate: additive or multiplicative increase, multiplicative decrease
//! (draft-ietf-rmcat-gcc-02 section 5.5), with an estimate of the capacity of the link between them.

use super::trendline::Usage;

/// What is kept of the bitrate that gets through, when the queue has grown (draft, beta).
const DECREASE: f64 = 0.85;
/// Growth per second away from the capacity (draft, eta).
const INCREASE: f64 = 1.08;
/// Growth per second up to a capacity that has been seen (cases: it is back within 5 s).
const RETURN: f64 = 1.3;
/// The bitrate grows up to so much of the one that gets through (draft), and a bit more so that it can begin (libwebrtc).
const HEADROOM: f64 = 1.5;
const HEADROOM_BITS: f64 = 10_000.0;
/// What the round trip is taken for before one is known, in microseconds (libwebrtc).
const DEFAULT_ROUND_TRIP: i64 = 200_000;
/// Time between two decreases, in microseconds: the first one has to show first, which takes a round trip (draft). Below the
/// lower bound feedback would not have come yet, and above the other one a queue fills meanwhile (cases).
const MIN_DECREASE_INTERVAL: i64 = 150_000;
const MAX_DECREASE_INTERVAL: i64 = 400_000;
/// Additive growth, in bit/s per second: the same for all, whatever their round trip and bitrate, so that those who share a
/// bottleneck come to equal shares. It gets faster with the seconds since the last decrease, by this part each: a capacity
/// that lets nobody decrease has grown. No more than this part of the bitrate. (Cases: shares of competing flows, and of flows
/// of different round trips.)
const ADDITION: f64 = 30_000.0;
const ACCELERATION: f64 = 0.5;
/// No acceleration where packets wait longer, in milliseconds: some frames' worth (cases).
const SHORT_QUEUE: f64 = 40.0;
const MAX_ADDITION: f64 = 0.25;
/// After a decrease the queue is left to drain to this part, or to so many milliseconds, but for no longer than this (in
/// microseconds): someone else may keep it filled (cases: the wait in the queue, and utilisation beside a TCP).
const DRAINED: f64 = 0.3;
const DRAINED_MILLIS: f64 = 20.0;
const MAX_DRAIN: i64 = 2_500_000;

/// What is known of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Its load.
    pub usage: Usage,
    /// What gets through, in bit/s.
    pub throughput: Option<f64>,
    /// How long packets wait in its queue, in milliseconds.
    pub queue: f64,
    /// Whether the sender offers less than it may: what gets through says nothing about the capacity then.
    pub application_limited: bool,
    /// The same of this very moment: what little is sent does get through.
    pub unused: bool,
}

/// The bitrate that the delay allows.
#[derive(Clone, Debug)]
pub(super) struct RateControl {
    bitrate: f64,
    capacity: LinkCapacity,
    round_trip: i64,
    updated: Option<i64>,
    decreased: Option<i64>,
    /// The queue at the last decrease, in milliseconds.
    queue: f64,
    /// The bitrate may grow: the queue has been steady since the last decrease.
    increasing: bool,
}

impl RateControl {
    /// Begins with `bitrate` (bit/s).
    pub fn new(bitrate: f64) -> RateControl {
        RateControl {
            bitrate,
            capacity: LinkCapacity::default(),
            round_trip: DEFAULT_ROUND_TRIP,
            updated: None,
            decreased: None,
            queue: 0.0,
            increasing: true,
        }
    }

    /// In bit/s.
    pub fn bitrate(&self) -> f64 {
        self.bitrate
    }

    /// Sets the bitrate from outside: by a probe, or by bounds.
    pub fn set_bitrate(&mut self, bitrate: f64) {
        self.bitrate = bitrate;
    }

    /// When the bitrate was last decreased, in microseconds.
    pub fn decreased(&self) -> Option<i64> {
        self.decreased
    }

    /// The round trip has been measured, in microseconds.
    pub fn set_round_trip(&mut self, round_trip: i64) {
        self.round_trip = round_trip;
    }

    /// Something was told about arrivals. Returns whether the bitrate was decreased.
    pub fn update(&mut self, now: i64, path: &Path) -> bool {
        let elapsed = self.updated.replace(now).map_or(0.0, |last| (now - last) as f64 / 1e6).clamp(0.0, 1.0);
        match path.usage {
            Usage::Overuse => {
                self.increasing = false;
                let interval = self.round_trip.clamp(MIN_DECREASE_INTERVAL, MAX_DECREASE_INTERVAL);
                if self.decreased.is_none_or(|last| now - last >= interval) {
                    return self.decrease(now, path);
                }
            }
            // The queue is being emptied: growing now would keep it.
            Usage::Underuse => self.increasing = false,
            Usage::Normal if !self.increasing => self.increasing = true,
            Usage::Normal if self.is_draining(now, path.queue) => {}
            Usage::Normal => self.increase(now, elapsed, path),
        }
        false
    }

    fn is_draining(&self, now: i64, queue: f64) -> bool {
        self.decreased.is_some_and(|when| now - when < MAX_DRAIN) && queue > (self.queue * DRAINED).max(DRAINED_MILLIS)
    }

    fn decrease(&mut self, now: i64, path: &Path) -> bool {
        // The queue of a path that is hardly used grows by what others send, or by chance. What we send of what we might
        // says nothing of the path: it would be taken for all that is left of it.
        let through = path.throughput.filter(|_| !path.unused).unwrap_or(self.bitrate);
        let mut target = DECREASE * through;
        if target > self.bitrate
            && let Some(capacity) = self.capacity.estimate
        {
            target = DECREASE * capacity;
        }
        self.decreased = Some(now);
        self.queue = path.queue;
        if !path.application_limited && !path.unused {
            self.capacity.handle_overuse(through);
        }
        let decreases = target < self.bitrate;
        self.bitrate = self.bitrate.min(target);
        decreases
    }

    fn increase(&mut self, now: i64, elapsed: f64, path: &Path) {
        if let Some(through) = path.throughput
            && through > self.capacity.upper()
        {
            // More gets through than the capacity that was known.
            self.capacity = LinkCapacity::default();
        }
        let limit = path.throughput.map_or(f64::INFINITY, |through| HEADROOM * through + HEADROOM_BITS);
        let steady_since = self.decreased.filter(|_| path.queue < SHORT_QUEUE);
        let since = steady_since.map_or(0.0, |when| (now - when) as f64 / 1e6);
        let addition = (ADDITION * (1.0 + ACCELERATION * since)).min(self.bitrate * MAX_ADDITION);
        let grown = match self.capacity.estimate {
            Some(capacity) if self.bitrate > self.capacity.lower() => {
                let near = self.bitrate + addition * elapsed;
                near.min(capacity.max(self.bitrate) * INCREASE)
            }
            Some(_) if path.queue < SHORT_QUEUE => {
                (self.bitrate * RETURN.powf(elapsed)).min(self.capacity.lower()).max(self.bitrate + addition * elapsed)
            }
            _ => (self.bitrate * INCREASE.powf(elapsed)).max(self.bitrate + addition * elapsed),
        };
        // A limit never takes back what is there already.
        self.bitrate = grown.min(limit).max(self.bitrate);
    }
}

/// The capacity of the link, from what got through when its queue grew: a mean and a deviation, with libwebrtc's weight,
/// bounds of the deviation, and three deviations for what counts as another capacity.
#[derive(Clone, Debug, Default)]
struct LinkCapacity {
    /// In bit/s.
    estimate: Option<f64>,
    /// The variance divided by the estimate, in kbit/s.
    deviation: f64,
}

impl LinkCapacity {
    fn handle_overuse(&mut self, through: f64) {
        const WEIGHT: f64 = 0.05;
        let sample = through / 1000.0;
        let estimate = self.estimate.map_or(sample, |old| (1.0 - WEIGHT) * old / 1000.0 + WEIGHT * sample);
        // Far below: it is not the same link any more.
        let estimate = if through < self.lower() { sample } else { estimate };
        let error = estimate - sample;
        self.deviation = ((1.0 - WEIGHT) * self.deviation + WEIGHT * error * error / estimate.max(1.0)).clamp(0.4, 2.5);
        self.estimate = Some(estimate * 1000.0);
    }

    fn spread(&self, estimate: f64) -> f64 {
        3.0 * (self.deviation * estimate / 1000.0).sqrt() * 1000.0
    }

    fn upper(&self) -> f64 {
        self.estimate.map_or(f64::INFINITY, |estimate| estimate + self.spread(estimate))
    }

    fn lower(&self) -> f64 {
        self.estimate.map_or(0.0, |estimate| estimate - self.spread(estimate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGA: f64 = 1e6;

    fn path(usage: Usage, throughput: f64) -> Path {
        Path { usage, throughput: Some(throughput), queue: 0.0, application_limited: false, unused: false }
    }

    fn run(control: &mut RateControl, now: &mut i64, seconds: i64, throughput: impl Fn(f64) -> f64) {
        for _ in 0..seconds * 10 {
            *now += 100_000;
            let through = throughput(control.bitrate());
            control.update(*now, &path(Usage::Normal, through));
        }
    }

    #[test]
    fn it_grows_by_8_percent_a_second_and_no_further_than_what_gets_through_allows() {
        let (mut control, mut now) = (RateControl::new(MEGA), 0);
        run(&mut control, &mut now, 10, |bitrate| bitrate);
        assert!((2.0 * MEGA..2.3 * MEGA).contains(&control.bitrate()), "{}", control.bitrate());
        run(&mut control, &mut now, 60, |_| 2.0 * MEGA);
        assert!((control.bitrate() - (3.0 * MEGA + HEADROOM_BITS)).abs() < 1.0, "{}", control.bitrate());
    }

    #[test]
    fn overuse_takes_it_below_what_gets_through_and_near_the_capacity_it_grows_slowly() {
        let (mut control, mut now) = (RateControl::new(2.0 * MEGA), 0);
        assert!(control.update(now, &path(Usage::Overuse, MEGA)));
        assert_eq!(control.bitrate(), 0.85 * MEGA);
        assert!(!control.update(now + 50_000, &path(Usage::Overuse, 0.5 * MEGA)), "too soon");
        run(&mut control, &mut now, 1, |bitrate| bitrate);
        let before = control.bitrate();
        control.set_bitrate(0.95 * MEGA);
        run(&mut control, &mut now, 1, |bitrate| bitrate);
        assert!(control.bitrate() - 0.95 * MEGA < 0.08 * MEGA, "{}", control.bitrate());
        assert!(before > 0.9 * MEGA);
    }

    #[test]
    fn little_that_is_sent_is_not_taken_for_all_that_gets_through() {
        let mut control = RateControl::new(MEGA);
        assert!(control.update(0, &Path { unused: true, ..path(Usage::Overuse, 0.1 * MEGA) }));
        assert_eq!(control.bitrate(), 0.85 * MEGA);
    }

    #[test]
    fn it_does_not_grow_while_the_queue_is_emptied() {
        let mut control = RateControl::new(MEGA);
        for step in 0..20 {
            control.update(step * 100_000, &path(Usage::Underuse, MEGA));
        }
        assert_eq!(control.bitrate(), MEGA);
    }
}
