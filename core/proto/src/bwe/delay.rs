//! The delay-based half of the estimator: arrivals in, the bitrate that the delay allows out. Both sides use it: the
//! sender with the arrivals that feedback tells, the receiver with its own.

use super::groups::Groups;
use super::rate_control::{Path, RateControl};
use super::throughput::Throughput;
use super::trendline::{Trendline, Usage};

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

    /// Draws conclusions from the packets since the last time. Returns whether the bitrate was decreased.
    pub fn update(&mut self, now: i64, application_limited: bool) -> bool {
        let usage = self.usage();
        let throughput = match usage {
            Usage::Overuse => self.throughput.recent_bitrate(),
            _ => self.throughput.bitrate(),
        };
        self.rate.update(now, &Path { usage, throughput, queue: self.trendline.queue(), application_limited })
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
