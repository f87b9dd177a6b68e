//! Noticing that a stream has stopped.

use std::time::{Duration, Instant};

/// Silence after which a stream counts as inactive.
pub const TIMEOUT: Duration = Duration::from_millis(1500);
/// The same for audio with discontinuous transmission, which may be silent for long.
pub const TIMEOUT_WITH_DTX: Duration = Duration::from_millis(5000);

/// A change of a stream's activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A packet came, the first one or the first after a silence.
    Active,
    /// No packet came for the whole timeout.
    Inactive,
}

/// Tells when a stream stops and starts. A packet costs one store; the deadline is moved when it is reached.
#[derive(Clone, Debug)]
pub struct Detector {
    timeout: Duration,
    last_packet: Option<Instant>,
    deadline: Option<Instant>,
    event: Option<Activity>,
}

impl Detector {
    /// A detector for a stream that has not begun: it is inactive, without an event.
    pub fn new(timeout: Duration) -> Detector {
        Detector { timeout, last_packet: None, deadline: None, event: None }
    }

    /// A packet came.
    pub fn handle_packet(&mut self, now: Instant) {
        self.last_packet = Some(now);
        if self.deadline.is_none() {
            self.deadline = Some(now + self.timeout);
            self.event = Some(Activity::Active);
        }
    }

    /// Time passed; call it when the deadline is reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        self.deadline = self.last_packet.map(|last| last + self.timeout).filter(|deadline| *deadline > now);
        if self.deadline.is_none() {
            self.event = Some(Activity::Inactive);
        }
    }

    /// Stops watching, as when the stream is paused; the next packet makes it active again.
    pub fn pause(&mut self) {
        self.deadline = None;
        self.event = None;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` while inactive.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// The last change that was not polled yet.
    pub fn poll_event(&mut self) -> Option<Activity> {
        self.event.take()
    }

    /// Whether packets are coming.
    pub fn is_active(&self) -> bool {
        self.deadline.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_for_the_timeout_and_not_less_is_inactivity() {
        let start = Instant::now();
        let mut detector = Detector::new(TIMEOUT);
        assert_eq!((detector.poll_timeout(), detector.poll_event()), (None, None));
        detector.handle_packet(start);
        assert_eq!((detector.poll_event(), detector.poll_event()), (Some(Activity::Active), None));
        detector.handle_packet(start + Duration::from_millis(1000));

        detector.handle_timeout(detector.poll_timeout().unwrap());
        assert_eq!(detector.poll_event(), None);
        let deadline = detector.poll_timeout().unwrap();
        assert_eq!(deadline, start + Duration::from_millis(2500));
        detector.handle_timeout(deadline - Duration::from_millis(1));
        assert!(detector.is_active());
        detector.handle_timeout(deadline);
        assert_eq!((detector.poll_event(), detector.poll_timeout()), (Some(Activity::Inactive), None));

        detector.handle_packet(deadline);
        assert_eq!(detector.poll_event(), Some(Activity::Active));
    }

    #[test]
    fn audio_with_dtx_may_be_silent_for_five_seconds() {
        let start = Instant::now();
        let mut detector = Detector::new(TIMEOUT_WITH_DTX);
        detector.handle_packet(start);
        detector.handle_timeout(start + Duration::from_millis(4999));
        assert!(detector.is_active());
        detector.handle_timeout(start + Duration::from_millis(5000));
        assert!(!detector.is_active());
    }

    #[test]
    fn a_pause_is_no_silence() {
        let start = Instant::now();
        let mut detector = Detector::new(TIMEOUT);
        detector.handle_packet(start);
        detector.pause();
        detector.handle_timeout(start + Duration::from_millis(1500));
        assert_eq!((detector.poll_event(), detector.poll_timeout(), detector.is_active()), (None, None, false));
    }
}
