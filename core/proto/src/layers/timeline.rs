//! One line of RTP timestamps from streams that each have their own.

use std::time::{Duration, Instant};

use crate::rtcp::Ntp;
use crate::rtp::seq::{timestamp_diff, timestamp_newer};

/// A stream that begins this much behind what has been sent is shifted; one that is farther behind, not at once: sound and
/// picture would visibly part (ITU-R BT.1359 puts the limit at 125 ms).
const MAX_SHIFT: Duration = Duration::from_millis(75);
/// Clocks of a sender that put a packet farther than this from when it came are not believed.
const MAX_ERROR: Duration = Duration::from_secs(2);

/// What a sender report says of a stream's clock: this timestamp stands for that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderClock {
    /// The time, by the sender's wall clock.
    pub ntp: Ntp,
    /// The timestamp.
    pub timestamp: u32,
}

/// The beginning of a stream lies too far before what has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind;

/// Maps the timestamps of one input after the other to those of the output.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    clock_rate: u32,
    /// What is added to the current input's timestamps to bring them into line with the first input's.
    aligned: u32,
    /// What is added besides, so that the current input began after what was sent before.
    shift: u32,
    /// The newest timestamp that was sent, and when.
    last: Option<(u32, Instant)>,
}

impl Timeline {
    pub(super) fn new(clock_rate: u32) -> Timeline {
        Timeline { clock_rate, aligned: 0, shift: 0, last: None }
    }

    /// What is added to the current input's timestamps.
    pub(super) fn offset(&self) -> u32 {
        self.aligned.wrapping_add(self.shift)
    }

    /// A packet is sent with that timestamp of the output.
    pub(super) fn handle_sent(&mut self, now: Instant, timestamp: u32) {
        if self.last.is_none_or(|(last, _)| timestamp_newer(timestamp, last)) {
            self.last = Some((timestamp, now));
        }
    }

    /// Another input begins with this timestamp. With the clocks of the one before and of the new one both are brought into
    /// line, otherwise the time that has passed since the last packet tells how far apart they are. `insists` takes an
    /// input that is far behind as it is.
    pub(super) fn switch(
        &mut self,
        now: Instant,
        timestamp: u32,
        before: Option<SenderClock>,
        new: Option<SenderClock>,
        insists: bool,
    ) -> Result<(), Behind> {
        let Some((last, at)) = self.last else { return Ok(()) };
        let expected = last.wrapping_add(self.ticks(now.saturating_duration_since(at)));
        let by_clocks = before.zip(new).map(|(before, new)| {
            let apart = i128::from(new.ntp.0.wrapping_sub(before.ntp.0) as i64);
            let apart = (apart * i128::from(self.clock_rate)) >> 32;
            let at_new = before.timestamp.wrapping_add(self.aligned).wrapping_add(apart as u32);
            at_new.wrapping_add(timestamp.wrapping_sub(new.timestamp))
        });
        let tolerance = i64::from(self.ticks(MAX_ERROR));
        let believed = by_clocks.filter(|output| timestamp_diff(*output, expected).abs() <= tolerance);
        let output = believed.unwrap_or(expected);
        let shift = match timestamp_newer(output, last) {
            true => 0,
            false => last.wrapping_sub(output).wrapping_add(1),
        };
        if shift > self.ticks(MAX_SHIFT) && !insists {
            return Err(Behind);
        }
        self.aligned = output.wrapping_sub(timestamp);
        self.shift = shift;
        Ok(())
    }

    fn ticks(&self, time: Duration) -> u32 {
        (time.as_micros() * u128::from(self.clock_rate) / 1_000_000) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;

    fn clock(millis: u64, timestamp: u32) -> Option<SenderClock> {
        Some(SenderClock { ntp: Ntp((millis << 32) / 1000), timestamp })
    }

    fn started(now: Instant) -> Timeline {
        let mut timeline = Timeline::new(RATE);
        timeline.switch(now, 5000, None, None, false).unwrap();
        timeline.handle_sent(now, 5000);
        timeline
    }

    #[test]
    fn the_first_input_keeps_its_timestamps() {
        assert_eq!(started(Instant::now()).offset(), 0);
    }

    #[test]
    fn clocks_bring_inputs_into_line() {
        let now = Instant::now();
        let mut timeline = started(now);
        // Timestamp 5000 was at 1000 ms, 700000 of the new input at 1500 ms; the key frame is of 1040 ms.
        timeline
            .switch(now + Duration::from_millis(90), 700_000 - 460 * 90, clock(1000, 5000), clock(1500, 700_000), false)
            .unwrap();
        let sent = (700_000u32 - 460 * 90).wrapping_add(timeline.offset());
        assert_eq!(sent, 5000 + 40 * 90);
        // Back again, by the first one's newer clock: as it was.
        timeline.handle_sent(now + Duration::from_millis(90), sent);
        timeline
            .switch(
                now + Duration::from_millis(200),
                5000 + 90 * 90,
                clock(1500, 700_000),
                clock(2000, 5000 + 90_000),
                false,
            )
            .unwrap();
        assert_eq!(timeline.offset(), 0);
    }

    #[test]
    fn without_clocks_time_tells() {
        let now = Instant::now();
        let mut timeline = started(now);
        timeline.switch(now + Duration::from_millis(33), 9, clock(1000, 5000), None, false).unwrap();
        assert_eq!(9u32.wrapping_add(timeline.offset()), 5000 + 33 * 90);
        // Clocks that lie by an hour count as none.
        timeline.handle_sent(now, 7970);
        timeline.switch(now + Duration::from_millis(33), 20, clock(0, 9), clock(3_600_000, 20), false).unwrap();
        assert_eq!(20u32.wrapping_add(timeline.offset()), 7970 + 33 * 90);
    }

    #[test]
    fn an_input_that_is_behind_is_shifted_a_little_or_refused() {
        let now = Instant::now();
        let mut timeline = started(now);
        // The same picture, at the lower resolution: a tick after the higher one.
        timeline.switch(now, 700_000, clock(1000, 5000), clock(1000, 700_000), false).unwrap();
        assert_eq!(700_000u32.wrapping_add(timeline.offset()), 5001);
        timeline.handle_sent(now, 5001);
        let far = 5000u32.wrapping_sub(76 * 90);
        let clocks = (clock(1000, 700_000), clock(1000, 5000));
        assert_eq!(timeline.switch(now, far, clocks.0, clocks.1, false), Err(Behind));
        assert_eq!(700_000u32.wrapping_add(timeline.offset()), 5001, "nothing has changed");
        timeline.switch(now, far, clocks.0, clocks.1, true).unwrap();
        assert_eq!(far.wrapping_add(timeline.offset()), 5002);
        // The shift ends with the input that needed it.
        timeline.handle_sent(now, 5002);
        timeline.switch(now, 700_000 + 100 * 90, clocks.1, clocks.0, false).unwrap();
        assert_eq!((700_000u32 + 9000).wrapping_add(timeline.offset()), 14_000);
    }
}
