//! Whether the queue at the bottleneck grows: the slope of the one-way delay over the last groups, against a threshold
//! that adapts (draft-ietf-rmcat-gcc-02 sections 5.3 and 5.4; a line through the delays has taken the place of the
//! draft's Kalman filter).

use super::groups::GroupDelta;

/// Groups that the line goes through (libwebrtc): some 0.7 s of video.
const WINDOW: usize = 20;
/// How much of the old is kept when the delay is smoothed (libwebrtc).
const SMOOTHING: f64 = 0.9;
/// The slope counts by the number of groups that it is known from, up to this many (libwebrtc).
const MAX_WEIGHT: f64 = 60.0;
/// By which it is multiplied, to be compared with the threshold (libwebrtc).
const GAIN: f64 = 4.0;
/// The threshold to begin with, and its bounds, in milliseconds (draft, del_var_th).
const INITIAL_THRESHOLD: f64 = 12.5;
const MIN_THRESHOLD: f64 = 6.0;
const MAX_THRESHOLD: f64 = 600.0;
/// How fast the threshold goes up and down, per millisecond (libwebrtc; the draft has it go down more slowly): slowly up, so that a queue of our own is noticed; and slowly
/// down, so that flows driven by loss don't push us aside.
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
/// A slope further above the threshold does not raise it (draft): a sudden jump says nothing about the usual noise.
const MAX_EXCESS: f64 = 15.0;
/// How fast the delay of an empty queue may rise: 2 ms per second. Clocks drift by less than a tenth of that; the rest lets
/// a route that has become longer count as empty after some seconds (cases).
const LEAST_RISE: f64 = 0.002;
/// How long the slope must be above the threshold, in milliseconds (draft, overuse_time_th).
const OVERUSE_TIME: f64 = 10.0;

/// What the delay says about the load of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The queue gets shorter.
    Underuse,
    /// The delay does not change much.
    Normal,
    /// The queue grows.
    Overuse,
}

/// The slope of the one-way delay.
#[derive(Clone, Debug)]
pub(super) struct Trendline {
    /// Arrival (ms since the first) and smoothed delay (ms) of the last groups; a ring.
    points: [(f64, f64); WINDOW],
    /// How many groups there have been.
    groups: usize,
    first_arrival: i64,
    /// Sum of all changes of the delay, in ms, and the same smoothed.
    accumulated: f64,
    smoothed: f64,
    /// The least of these sums, which is that of an empty queue; it rises slowly, for clocks that drift.
    least: f64,
    threshold: f64,
    threshold_updated: Option<i64>,
    previous_slope: f64,
    /// For how long the slope has been above the threshold, in ms, and over how many groups.
    overusing: Option<(f64, u32)>,
    usage: Usage,
}

impl Trendline {
    pub fn new() -> Trendline {
        Trendline {
            points: [(0.0, 0.0); WINDOW],
            groups: 0,
            first_arrival: 0,
            accumulated: 0.0,
            smoothed: 0.0,
            least: 0.0,
            threshold: INITIAL_THRESHOLD,
            threshold_updated: None,
            previous_slope: 0.0,
            overusing: None,
            usage: Usage::Normal,
        }
    }

    /// What is known now.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// How long packets wait in the queue, in milliseconds, if it has been empty before.
    pub fn queue(&self) -> f64 {
        self.accumulated - self.least
    }

    /// A group has arrived.
    pub fn handle_group(&mut self, delta: &GroupDelta) {
        if self.groups == 0 {
            self.first_arrival = delta.arrived_at;
        }
        let arrived = (delta.arrived_at - self.first_arrival) as f64 / 1000.0;
        self.accumulated += (delta.arrival - delta.send) as f64 / 1000.0;
        self.least = (self.least + LEAST_RISE * delta.send as f64 / 1000.0).min(self.accumulated);
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.points[self.groups % WINDOW] = (arrived, self.smoothed);
        self.groups += 1;
        let slope = if self.groups >= WINDOW { slope(&self.points).unwrap_or(self.previous_slope) } else { 0.0 };
        self.detect(slope, delta);
        self.previous_slope = slope;
    }

    fn detect(&mut self, slope: f64, delta: &GroupDelta) {
        if self.groups < 2 {
            return;
        }
        let weighted = (self.groups as f64).min(MAX_WEIGHT) * slope * GAIN;
        let between = delta.send as f64 / 1000.0;
        if weighted > self.threshold {
            let (time, groups) =
                self.overusing.map_or((between / 2.0, 1), |(time, groups)| (time + between, groups + 1));
            self.overusing = Some((time, groups));
            if time > OVERUSE_TIME && groups > 1 && slope >= self.previous_slope {
                self.overusing = Some((0.0, 0));
                self.usage = Usage::Overuse;
            }
        } else {
            self.overusing = None;
            self.usage = if weighted < -self.threshold { Usage::Underuse } else { Usage::Normal };
        }
        self.adapt(weighted.abs(), delta.arrived_at);
    }

    fn adapt(&mut self, slope: f64, now: i64) {
        let elapsed = self.threshold_updated.replace(now).map_or(0.0, |last| (now - last) as f64 / 1000.0);
        if slope > self.threshold + MAX_EXCESS {
            return;
        }
        let speed = if slope < self.threshold { THRESHOLD_DOWN } else { THRESHOLD_UP };
        self.threshold += speed * (slope - self.threshold) * elapsed.clamp(0.0, 100.0);
        self.threshold = self.threshold.clamp(MIN_THRESHOLD, MAX_THRESHOLD);
    }
}

/// The slope of the line of least squares; `None` if all arrived at once.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `count` groups, one each 20 ms, whose delay grows by `growth` microseconds each.
    fn feed(trend: &mut Trendline, at: &mut i64, count: usize, growth: i64) {
        for _ in 0..count {
            *at += 20_000 + growth;
            trend.handle_group(&GroupDelta { send: 20_000, arrival: 20_000 + growth, arrived_at: *at });
        }
    }

    #[test]
    fn a_growing_queue_is_overuse_and_a_shrinking_one_underuse() {
        let (mut trend, mut at) = (Trendline::new(), 0);
        feed(&mut trend, &mut at, 60, 0);
        assert_eq!(trend.usage(), Usage::Normal);
        // 10 % more than the link takes: the delay grows by 2 ms per 20 ms.
        feed(&mut trend, &mut at, 15, 2_000);
        assert_eq!(trend.usage(), Usage::Overuse);
        feed(&mut trend, &mut at, 30, -4_000);
        assert_eq!(trend.usage(), Usage::Underuse);
        feed(&mut trend, &mut at, 80, 0);
        assert_eq!(trend.usage(), Usage::Normal);
    }

    #[test]
    fn a_delay_that_only_jitters_is_normal() {
        let (mut trend, mut at) = (Trendline::new(), 0);
        for index in 0..500i64 {
            let jitter = [3_000, -2_000, 1_000, -5_000, 4_000, -1_000, 0][index as usize % 7];
            at += 20_000 + jitter;
            trend.handle_group(&GroupDelta { send: 20_000, arrival: 20_000 + jitter, arrived_at: at });
            assert_ne!(trend.usage(), Usage::Overuse, "group {index}");
        }
    }

    #[test]
    fn the_threshold_rises_where_the_delay_swings() {
        let (mut trend, mut at) = (Trendline::new(), 0);
        for _ in 0..200 {
            feed(&mut trend, &mut at, 60, 1_000);
            feed(&mut trend, &mut at, 60, -1_000);
        }
        let swinging = trend.threshold;
        feed(&mut trend, &mut at, 400, 0);
        assert!(swinging > 8.0 && trend.threshold < 6.5, "{swinging} {}", trend.threshold);
    }
}
