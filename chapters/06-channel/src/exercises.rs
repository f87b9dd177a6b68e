//! Exercises of chapter 06: replace each `unsolved!()`, then let them be graded:
//!
//! ```text
//! cargo test -p ch06-channel --test exercises
//! ```

use std::io;
use std::time::Duration;

use serde_json::Value;
use stage::unsolved;

use crate::{Channel, Error, Outcome};

/// Exercise 1. Asks the worker one thing for each of `data`, all at once, and returns how each ended, in the order of
/// `data`, whatever the order of the answers. There may be more of them than the channel takes at a time. What a worker
/// that dies leaves unanswered is [`Outcome::Lost`], what was not even sent included. Other events may be thrown away.
///
/// # Errors
/// Those that are no fault of the worker's.
pub fn ask_all(
    channel: &mut Channel,
    method: &str,
    data: Vec<Value>,
    patience: Duration,
) -> Result<Vec<Outcome>, Error> {
    let _ = (channel, method, data, patience);
    unsolved!()
}

/// A message of mediasoup's second channel, the one for media that the library injects or receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The id of a request, which will be answered; `None` for a notification, which won't.
    pub id: Option<u32>,
    /// A request's method, or a notification's event.
    pub name: String,
    /// Whose affair it is.
    pub handler: String,
    /// What follows the third (for a request, the fourth) colon.
    pub data: String,
    /// The bytes themselves: RTP, for instance, and anything but text.
    pub payload: Vec<u8>,
}

/// Exercise 2. The next message in a stream of frames, each message being two of them: a header, which is
/// `n:event:handlerId:data` or `r:id:method:handlerId:data`, and the payload, which is any bytes and may look like a
/// header. `None` is the end.
///
/// # Errors
/// `InvalidData` for a header that is none, once its payload has been taken as well, so that the next call begins with a
/// header; `UnexpectedEof` when a header has no payload.
pub fn next_payload(frames: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<Option<Payload>> {
    let _ = frames;
    unsolved!()
}

/// Exercise 3. Asks a worker, and if the worker dies or its channel breaks before the answer, starts another one and asks
/// that, with up to `attempts` workers in all. When none has answered it is [`Outcome::Lost`]. The method is one that
/// does no harm if it is done twice; a worker that takes too long may well be doing it, so a timeout is final.
///
/// # Errors
/// Those of `start`, and those that are no fault of the worker's.
pub fn ask_again(
    start: &mut dyn FnMut() -> io::Result<Channel>,
    method: &str,
    patience: Duration,
    attempts: usize,
) -> Result<Outcome, Error> {
    let _ = (start, method, patience, attempts);
    unsolved!()
}
