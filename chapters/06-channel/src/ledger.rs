//! Who waits for which answer: what a client knows of its requests.
//!
//! No socket and no clock in here: messages and the time come in by `handle_…` and `begin`, what has become of a
//! request goes out by [`poll_event`](Ledger::poll_event), and [`poll_timeout`](Ledger::poll_timeout) says when to come
//! back. So every order of events can be tried in a test.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::message::{FromWorker, Notification, Refusal, Request};

/// How a request ended. There is no fifth way, and none ends twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The worker has done it. Null is an answer without data.
    Accepted(Value),
    /// The worker has not done it, and says why.
    Refused(Refusal),
    /// No answer in time. Whether it was done, will be done or never is, nobody knows.
    TimedOut,
    /// The channel ended before the answer came. Nobody knows here either.
    Lost,
}

/// Something for the client's owner.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A request has ended.
    Done {
        /// Which one.
        id: u32,
        /// What was asked.
        method: String,
        /// How.
        outcome: Outcome,
    },
    /// The worker tells of something.
    Notification(Notification),
    /// A line for the log.
    Log(String),
    /// An answer that nobody waits for: it came after its request's time, or to nobody's request.
    Unasked(u32),
    /// A message that is none, and why. The frames around it are sound, so that it harms nothing else.
    Malformed(String),
    /// The channel has ended. Nothing follows.
    Ended,
}

#[derive(Debug)]
struct Waiting {
    method: String,
    deadline: Instant,
}

// ANCHOR: ledger
/// The requests that wait for an answer.
#[derive(Debug, Default)]
pub struct Ledger {
    last_id: u32,
    waiting: BTreeMap<u32, Waiting>,
    events: VecDeque<Event>,
}

impl Ledger {
    /// Enters a request, and gives it an id. From now on it will end, and be told of once.
    pub fn begin(
        &mut self,
        now: Instant,
        patience: Duration,
        method: &str,
        handler: Option<&str>,
        data: Value,
    ) -> Request {
        // Ids count up, so that one is new for as long as possible; they wrap, and pass over those still in use.
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.last_id) {
                break;
            }
        }
        let waiting = Waiting { method: method.to_owned(), deadline: now + patience };
        self.waiting.insert(self.last_id, waiting);
        Request { id: self.last_id, method: method.to_owned(), handler: handler.map(str::to_owned), data }
    }

    /// Strikes out a request that was never sent.
    pub fn cancel(&mut self, id: u32) {
        self.waiting.remove(&id);
    }

    /// Takes a message of the worker's.
    pub fn handle_message(&mut self, message: &[u8]) {
        let event = match FromWorker::parse(message) {
            Ok(FromWorker::Answer(id, answer)) => match self.waiting.remove(&id) {
                Some(Waiting { method, .. }) => {
                    let outcome = answer.map_or_else(Outcome::Refused, Outcome::Accepted);
                    Event::Done { id, method, outcome }
                }
                None => Event::Unasked(id),
            },
            Ok(FromWorker::Notification(notification)) => Event::Notification(notification),
            Ok(FromWorker::Log(line)) => Event::Log(line),
            Err(malformed) => Event::Malformed(malformed.to_string()),
        };
        self.events.push_back(event);
    }

    /// Lets time pass: what has waited long enough has timed out.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.waiting.retain(|id, waiting| {
            let in_time = now < waiting.deadline;
            if !in_time {
                let method = std::mem::take(&mut waiting.method);
                self.events.push_back(Event::Done { id: *id, method, outcome: Outcome::TimedOut });
            }
            in_time
        });
    }

    /// Takes note that no more will come: whatever still waits is lost.
    pub fn handle_end(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let lost = waiting.into_iter().map(|(id, Waiting { method, .. })| (id, method));
        self.events.extend(lost.map(|(id, method)| Event::Done { id, method, outcome: Outcome::Lost }));
        self.events.push_back(Event::Ended);
    }

    /// The next thing to tell; `None` when all is told.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Ledger::handle_timeout) will have something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    /// How many requests wait for an answer.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
// ANCHOR_END: ledger

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_to_1_and_pass_over_those_in_use() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        let mut begin = |last_id: Option<u32>| {
            ledger.last_id = last_id.unwrap_or(ledger.last_id);
            ledger.begin(now, Duration::ZERO, "worker.dump", None, Value::Null).id
        };
        assert_eq!([begin(None), begin(None)], [1, 2]);
        assert_eq!([begin(Some(u32::MAX - 1)), begin(None), begin(None)], [u32::MAX, 3, 4]);
    }
}
