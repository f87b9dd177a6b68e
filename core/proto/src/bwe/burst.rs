//! Queues that are our own doing. A key frame leaves at once and waits in the queue of any link for a while. That is no
//! congestion if the link goes on to empty that queue faster than we are allowed to send; were it taken for some, each change
//! to a higher layer, which begins with a key frame, would be taken back at once.

/// How many times faster than the estimate the link is that we compare with. By a link that is only as fast as the estimate
/// says, a burst would explain queues for seconds after it.
const FASTER: f64 = 1.5;
/// A backlog below this is not more than the frames of any video make, in microseconds: what queue there is has to be
/// explained by something else.
const LEAST: u32 = 80_000;

/// Compares the queue of the path with that of a link that is faster than the estimate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Burst {
    /// When that link has sent all, in microseconds.
    busy_until: i64,
    explains_queue: bool,
}

impl Burst {
    /// A packet of `size` bytes is sent, where `bitrate` (bit/s) is the estimate. Returns how long that link is busy then,
    /// in microseconds.
    pub fn handle_sent(&mut self, now: i64, size: usize, bitrate: f64) -> u32 {
        self.busy_until = self.busy_until.max(now) + (size as f64 * 8e6 / (bitrate * FASTER)) as i64;
        u32::try_from(self.busy_until - now).unwrap_or(u32::MAX)
    }

    /// The greatest backlog among packets that have arrived of late (in microseconds), the queue that they found (in
    /// milliseconds), and whether that seems to grow. It seems so for a while after a burst has gone, too.
    pub fn handle_feedback(&mut self, backlog: u32, queue: f64, grows: bool) {
        let is_burst = backlog >= LEAST || self.explains_queue && grows;
        self.explains_queue = is_burst && queue * 1000.0 <= f64::from(backlog);
    }

    /// Whether the queue is no longer than our own burst makes it on a link that is faster than the estimate.
    pub fn explains_queue(&self) -> bool {
        self.explains_queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_explains_the_queue_that_it_makes_on_a_fast_link_only() {
        let mut burst = Burst::default();
        // Half a second of the estimate at once.
        let backlog = (0..50).map(|_| burst.handle_sent(0, 1250, 1e6)).max().unwrap();
        assert!((333_000..334_000).contains(&backlog), "{backlog}");
        burst.handle_feedback(backlog, 340.0, true);
        assert!(!burst.explains_queue());
        burst.handle_feedback(backlog, 330.0, true);
        assert!(burst.explains_queue());
        // It is over soon, though media are sent by the estimate.
        let backlog = (1..=66).map(|frame| burst.handle_sent(frame * 15_000, 1875, 1e6)).last().unwrap();
        burst.handle_feedback(backlog, 9.0, true);
        assert!(burst.explains_queue(), "{backlog}");
        burst.handle_feedback(backlog, 9.0, false);
        burst.handle_feedback(backlog, 9.0, true);
        assert!(!burst.explains_queue(), "{backlog}");
    }
}
