//! Exercises of chapter 03: replace each `unsolved!()`, then let them be graded:
//!
//! ```text
//! cargo test -p ch03-socketpair --test exercises
//! ```

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use stage::unsolved;

use crate::Error;

/// Exercise 1. The first netstring in `bytes`: its content, and how many bytes the whole of it takes; `None` while the
/// end of it is still to come. A netstring is its content's length in decimal digits, a colon, the content, a comma:
/// `5:hello,` (and `0:,` for nothing). No other zero may come first, and [`MAX_MESSAGE`](crate::frame::MAX_MESSAGE)
/// holds here as well.
///
/// # Errors
/// `InvalidData` as soon as nothing that follows could make a netstring of it.
pub fn parse_netstring(bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let _ = bytes;
    unsolved!()
}

/// Exercise 2. Sends the question as a frame and returns the answer, or fails with `TimedOut` once `patience` is over,
/// whatever the peer does: it may not read, say nothing, or send the answer a byte at a time.
///
/// # Errors
/// `TimedOut`, those of the frames, and `UnexpectedEof` when the peer leaves instead of answering.
pub fn ask_within(stream: &UnixStream, question: &[u8], patience: Duration) -> Result<Vec<u8>, Error> {
    let _ = (stream, question, patience);
    unsolved!()
}

/// Exercise 3. Stands between two peers: what one sends goes to the other, both ways, until both have finished. When
/// one has finished sending, the other is told so, and may go on sending. A peer that does not read stops only what is
/// sent to it.
///
/// # Errors
/// The first failure of either direction.
pub fn relay(left: &UnixStream, right: &UnixStream) -> io::Result<()> {
    let _ = (left, right);
    unsolved!()
}
