//! The times that a turn of the loop needs, all from its one reading of the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sfu_proto::rtcp::Ntp;

/// Relates the monotonic clock to wall-clock time, as it was when the worker started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    start_unix: Duration,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now(), start_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// NTP time, as in RTCP reports. It never goes back.
    pub fn ntp(&self, now: Instant) -> Ntp {
        Ntp::from_unix(self.start_unix + now.saturating_duration_since(self.start))
    }

    /// Milliseconds since the start, as in statistics.
    pub fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }

    /// Time since the start, for the abs-send-time header extension.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }
}
