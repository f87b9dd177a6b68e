//! The delay-based half of the estimator: arrivals in, the bitrate that the delay allows out. Both sides use it: the
//! sender with the arrivals that feedback tells, the receiver with its own.

use super::groups::Groups;
use super::rate_control::{Path, RateControl};
use super::throughput::Throughput;
use super::trendline::{Trendline, Usage};

/// Where less than this part of the bitrate is sent, and at least this part of that arrives, what arrives is not all that the
/// path takes. Windows of half a second see both through the few frames that are in them.
const USED: f64 = 0.65;
const GOT_THROUGH: f64 = 0.6;
/// A queue that is longer than this, in milliseconds, is no chance.
const LONG_QUEUE: f64 = 50.0;

#[derive(Clone, Debug)]
pub(super) struct DelayControl {
    groups: Groups,
    trendline: Trendline,
    throughput: Throughput,
    pub rate: RateControl,
}

impl DelayControl {
    /// Begins with `bitrate` (bit/s).
    pub fn new(bitrate: f64) -> DelayControl {
        DelayControl {
            groups: Groups::default(),
            trendline: Trendline::new(),
            throughput: Throughput::new(),
            rate: RateControl::new(bitrate),
        }
    }

    /// A packet of `size` bytes arrived; times in microseconds, each by its own clock.
    pub fn handle_packet(&mut self, send: i64, arrival: i64, size: usize) {
        self.throughput.add(arrival, size);
        if let Some(delta) = self.groups.handle_packet(send, arrival) {
            self.trendline.handle_group(&delta);
        }
    }

    /// Draws conclusions from the packets since the last time, in which so many bit/s were `sent`. A queue that is only
    /// `our_burst` is left to empty. Returns whether the bitrate was decreased.
    pub fn update(&mut self, now: i64, sent: f64, application_limited: bool, our_burst: bool) -> bool {
        let usage = match self.usage() {
            Usage::Overuse if our_burst => Usage::Underuse,
            usage => usage,
        };
        let throughput = match usage {
            Usage::Overuse => self.throughput.recent_bitrate(),
            _ => self.throughput.bitrate(),
        };
        let got_through = self.throughput.bitrate().is_some_and(|bitrate| bitrate >= sent * GOT_THROUGH);
        let unused = sent < self.rate.bitrate() * USED && got_through && self.queue() < LONG_QUEUE;
        self.rate.update(now, &Path { usage, throughput, queue: self.trendline.queue(), application_limited, unused })
    }

    pub fn usage(&self) -> Usage {
        self.trendline.usage()
    }

    /// How long packets wait in the queue of the path, in milliseconds.
    pub fn queue(&self) -> f64 {
        self.trendline.queue()
    }

    /// What gets through, in bit/s; `None` before it is known.
    pub fn throughput(&self) -> Option<f64> {
        self.throughput.bitrate()
    }
}
