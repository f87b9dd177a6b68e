//! The receiver's estimate, for senders that negotiated no transport-wide feedback: absolute send times in, receiver
//! estimated maximum bitrates out (draft-alvestrand-rmcat-remb-03).

use std::time::Instant;

use super::burst::Burst;
use super::delay::DelayControl;
use super::trendline::Usage;
use crate::rtp::AbsSendTime;

/// How often an estimate is told, in microseconds, and after which share of the last it is told at once (libwebrtc).
const INTERVAL: i64 = 1_000_000;
const LOWER: f64 = 0.97;
/// How often conclusions are drawn, in microseconds: as often as a sender would get feedback.
const UPDATE: i64 = 50_000;
/// Least estimate, in bit/s (libwebrtc).
const MIN: f64 = 5_000.0;
/// A second of send times.
const UNITS_PER_SECOND: i64 = 1 << 18;

/// Estimates how much the path from a sender takes.
#[derive(Clone, Debug)]
pub struct RemoteEstimator {
    epoch: Instant,
    delay: DelayControl,
    burst: Burst,
    /// The greatest backlog of that burst since conclusions were last drawn, in microseconds.
    backlog: u32,
    /// The last send time, unwrapped, in its units.
    send_time: Option<i64>,
    updated: i64,
    /// What was last told, and when.
    told: Option<(f64, i64)>,
}

impl RemoteEstimator {
    /// An estimator that begins with `bitrate` (bit/s).
    pub fn new(now: Instant, bitrate: u64) -> RemoteEstimator {
        let delay = DelayControl::new((bitrate as f64).max(MIN));
        RemoteEstimator {
            epoch: now,
            delay,
            burst: Burst::default(),
            backlog: 0,
            send_time: None,
            updated: 0,
            told: None,
        }
    }

    /// A packet of `size` bytes has arrived.
    pub fn handle_packet(&mut self, now: Instant, send_time: AbsSendTime, size: usize) {
        let at = self.micros(now);
        let raw = i64::from(send_time.value());
        let unwrapped = match self.send_time {
            None => raw,
            // The shortest way within 24 bits.
            Some(last) => last + i64::from(((raw - last) as i32) << 8 >> 8),
        };
        self.send_time = Some(self.send_time.map_or(unwrapped, |last| last.max(unwrapped)));
        let sent = unwrapped * 1_000_000 / UNITS_PER_SECOND;
        self.backlog = self.backlog.max(self.burst.handle_sent(sent, size, self.delay.rate.bitrate()));
        self.delay.handle_packet(sent, at, size);
        let overuse = self.delay.usage() == Usage::Overuse;
        if at - self.updated >= UPDATE || overuse {
            self.updated = at;
            let backlog = std::mem::take(&mut self.backlog);
            self.burst.handle_feedback(backlog, self.delay.queue(), overuse);
            self.delay.update(at, f64::INFINITY, false, self.burst.explains_queue());
            let bitrate = self.delay.rate.bitrate().max(MIN);
            self.delay.rate.set_bitrate(bitrate);
        }
    }

    /// Whether enough has arrived to tell.
    pub fn is_known(&self) -> bool {
        self.delay.throughput().is_some()
    }

    /// The estimate in bit/s, if it is to be told now.
    pub fn poll_remb(&mut self, now: Instant) -> Option<u64> {
        let at = self.micros(now);
        // Nothing is known before something has arrived.
        self.delay.throughput()?;
        let bitrate = self.delay.rate.bitrate();
        let due = self.told.is_none_or(|(told, when)| at - when >= INTERVAL || bitrate < told * LOWER);
        if !due {
            return None;
        }
        self.told = Some((bitrate, at));
        Some(bitrate as u64)
    }

    /// The estimate, in bit/s.
    pub fn bitrate(&self) -> u64 {
        self.delay.rate.bitrate() as u64
    }

    fn micros(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Sends `seconds` of `bitrate` over a link of `capacity`, beginning `at` a time of the sender's clock.
    fn run(
        remote: &mut RemoteEstimator,
        start: Instant,
        at: &mut Duration,
        link: &mut Duration,
        seconds: u32,
        rate: impl Fn(u64) -> u64,
        capacity: u64,
    ) {
        let end = *at + Duration::from_secs(seconds.into());
        while *at < end {
            let rate = rate(remote.bitrate());
            *link = (*link).max(*at) + Duration::from_micros(9600 * 1_000_000 / capacity);
            // The sender's clock is not the receiver's: its 64 s wrap on the way.
            remote.handle_packet(start + *link, AbsSendTime::from_duration(*at + Duration::from_secs(50)), 1200);
            *at += Duration::from_micros(9600 * 1_000_000 / rate);
        }
    }

    #[test]
    fn it_follows_the_capacity_and_tells_at_once_when_it_falls() {
        let start = Instant::now();
        let mut remote = RemoteEstimator::new(start, 300_000);
        let (mut at, mut link) = (Duration::ZERO, Duration::ZERO);
        assert_eq!(remote.poll_remb(start), None, "nothing has arrived");
        run(&mut remote, start, &mut at, &mut link, 40, |estimate| estimate, 1_000_000);
        let told = remote.poll_remb(start + link).expect("the first one");
        assert!((800_000..1_100_000).contains(&told), "{told}");
        assert_eq!(remote.poll_remb(start + link), None);
        run(&mut remote, start, &mut at, &mut link, 3, |estimate| estimate, 500_000);
        let told = remote.poll_remb(start + link).expect("less than before");
        assert!((300_000..550_000).contains(&told), "{told}");
    }
}
