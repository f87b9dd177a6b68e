//! Asking a sender for key frames: often enough to get one, seldom enough not to drown it in them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long to wait for a key frame before the request counts as lost and is repeated.
pub const RETRANSMISSION: Duration = Duration::from_millis(1000);

/// Decides, per SSRC, when a request for a key frame is sent.
///
/// - The first request goes out at once. Until the key frame comes, further ones are only noted.
/// - If it has not come after a second, the request is repeated once; and again each second in which somebody asked.
/// - With a `delay`, at least that time passes between requests: one in between is sent at its end.
#[derive(Clone, Debug)]
pub struct RequestManager {
    delay: Duration,
    streams: Vec<Stream>,
    requests: VecDeque<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    /// A request was sent and the key frame has not come: when to look again, and whether to repeat it then.
    pending: Option<(Instant, bool)>,
    /// Requests are held back until then, and whether there was one.
    held: Option<(Instant, bool)>,
}

impl RequestManager {
    /// A manager that leaves at least `delay` between requests; zero for none.
    pub fn new(delay: Duration) -> RequestManager {
        RequestManager { delay, streams: Vec::new(), requests: VecDeque::new() }
    }

    /// Somebody needs a key frame of the stream.
    pub fn handle_request(&mut self, now: Instant, ssrc: u32) {
        let delay = self.delay;
        let stream = self.stream(ssrc);
        if let Some((_, asked)) = &mut stream.held {
            *asked = true;
            return;
        }
        if !delay.is_zero() {
            stream.held = Some((now + delay, false));
        }
        if let Some((_, repeat)) = &mut stream.pending {
            *repeat = true;
            return;
        }
        stream.pending = Some((now + RETRANSMISSION, true));
        self.requests.push_back(ssrc);
    }

    /// A key frame is needed whatever was asked before, as when the sender resumes: the request goes out at once.
    pub fn handle_forced_request(&mut self, now: Instant, ssrc: u32) {
        let delay = self.delay;
        let stream = self.stream(ssrc);
        stream.held = (!delay.is_zero()).then_some((now + delay, false));
        stream.pending = Some((now + RETRANSMISSION, true));
        self.requests.push_back(ssrc);
    }

    /// A key frame of the stream came.
    pub fn handle_key_frame(&mut self, ssrc: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
            stream.pending = None;
        }
        self.forget_idle();
    }

    /// The stream ended.
    pub fn remove(&mut self, ssrc: u32) {
        self.streams.retain(|stream| stream.ssrc != ssrc);
        self.requests.retain(|&request| request != ssrc);
    }

    /// Time passed; call it when the deadline is reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut released = Vec::new();
        for stream in &mut self.streams {
            if let Some((_, repeat)) = stream.pending.filter(|(at, _)| now >= *at) {
                // Repeated in case it was lost; once more only if somebody still asks.
                stream.pending = repeat.then_some((now + RETRANSMISSION, false));
                if repeat {
                    self.requests.push_back(stream.ssrc);
                }
            }
            if let Some((_, asked)) = stream.held.filter(|(until, _)| now >= *until) {
                stream.held = None;
                if asked {
                    released.push(stream.ssrc);
                }
            }
        }
        for ssrc in released {
            self.handle_request(now, ssrc);
        }
        self.forget_idle();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.streams.iter().flat_map(|stream| [stream.pending, stream.held]);
        deadlines.flatten().map(|(at, _)| at).min()
    }

    /// The SSRC of the next stream to send a request (PLI or FIR) for.
    pub fn poll_request(&mut self) -> Option<u32> {
        self.requests.pop_front()
    }

    fn stream(&mut self, ssrc: u32) -> &mut Stream {
        let index = match self.streams.iter().position(|stream| stream.ssrc == ssrc) {
            Some(index) => index,
            None => {
                self.streams.push(Stream { ssrc, pending: None, held: None });
                self.streams.len() - 1
            }
        };
        &mut self.streams[index]
    }

    fn forget_idle(&mut self) {
        self.streams.retain(|stream| stream.pending.is_some() || stream.held.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn requests(manager: &mut RequestManager) -> Vec<u32> {
        std::iter::from_fn(|| manager.poll_request()).collect()
    }

    #[test]
    fn requests_are_merged_until_the_key_frame_comes() {
        let start = Instant::now();
        let mut manager = RequestManager::new(Duration::ZERO);
        manager.handle_request(start, 1);
        manager.handle_request(start, 1);
        manager.handle_request(start, 2);
        assert_eq!(requests(&mut manager), [1, 2]);
        manager.handle_key_frame(1);
        manager.handle_request(start + millis(10), 1);
        assert_eq!(requests(&mut manager), [1]);
    }

    #[test]
    fn a_lost_request_is_repeated_after_a_second_and_then_only_on_demand() {
        let start = Instant::now();
        let mut manager = RequestManager::new(Duration::ZERO);
        manager.handle_request(start, 1);
        requests(&mut manager);
        assert_eq!(manager.poll_timeout(), Some(start + millis(1000)));
        manager.handle_timeout(start + millis(1000));
        assert_eq!(requests(&mut manager), [1]);
        manager.handle_request(start + millis(1500), 1);
        assert_eq!(requests(&mut manager), []);
        manager.handle_timeout(start + millis(2000));
        assert_eq!(requests(&mut manager), [1]);
        manager.handle_timeout(start + millis(3000));
        assert_eq!((requests(&mut manager), manager.poll_timeout()), (vec![], None));
    }

    #[test]
    fn a_delay_keeps_requests_apart_and_sends_the_one_held_back() {
        let start = Instant::now();
        let mut manager = RequestManager::new(millis(500));
        manager.handle_request(start, 1);
        manager.handle_key_frame(1);
        manager.handle_request(start + millis(100), 1);
        assert_eq!(requests(&mut manager), [1]);
        assert_eq!(manager.poll_timeout(), Some(start + millis(500)));
        manager.handle_timeout(start + millis(500));
        assert_eq!(requests(&mut manager), [1]);
        manager.handle_key_frame(1);
        manager.handle_timeout(start + millis(1000));
        assert_eq!((requests(&mut manager), manager.poll_timeout()), (vec![], None));
    }

    #[test]
    fn a_forced_request_waits_for_nothing() {
        let start = Instant::now();
        let mut manager = RequestManager::new(millis(500));
        manager.handle_request(start, 1);
        manager.handle_forced_request(start + millis(1), 1);
        assert_eq!(requests(&mut manager), [1, 1]);
        manager.remove(1);
        assert_eq!(manager.poll_timeout(), None);
    }
}
