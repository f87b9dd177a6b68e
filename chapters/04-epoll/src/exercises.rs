//! Exercises of chapter 04: replace each `unsolved!()`, then let them be graded:
//!
//! ```text
//! cargo test -p ch04-epoll --test exercises
//! ```

use std::io::{self, Read};
use std::net::TcpListener;
use std::time::Instant;

use stage::unsolved;

use crate::wake::EventFd;

/// What a drain has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is left: the next edge will tell of more.
    Dry,
    /// The peer will send no more.
    Ended,
    /// The budget is used up. No edge will tell of what is left: come back by yourself.
    Spent,
}

/// Exercise 1. Reads from an edge-triggered source whatever is there, and appends it to `sink`; but not more than
/// `budget` bytes, so that the others get their turn.
///
/// # Errors
/// Those of `read` that are not part of its normal work.
pub fn drain(source: &mut impl Read, sink: &mut Vec<u8>, budget: usize) -> io::Result<Drained> {
    let _ = (source, sink, budget);
    unsolved!()
}

/// Deadlines that can be taken back. The number by which one is known is never used again.
pub trait AlarmClock {
    /// Rings at that time, unless it is cancelled before.
    fn set(&mut self, at: Instant) -> u64;
    /// Takes it back. One that has rung, or was taken back, is no error.
    fn cancel(&mut self, alarm: u64);
    /// When the next one rings: the timeout of the next wait.
    fn next(&mut self) -> Option<Instant>;
    /// Takes out the earliest one, if its time has come.
    fn ring(&mut self, now: Instant) -> Option<u64>;
}

/// Exercise 2. A heap has no cheap way to take something out of its middle; and yet cancelling must be cheap, because
/// most alarms of a network server are cancelled: the answer came in time. An alarm that was cancelled may neither ring
/// nor wake the loop.
#[derive(Debug, Default)]
pub struct Alarms {}

impl AlarmClock for Alarms {
    fn set(&mut self, at: Instant) -> u64 {
        let _ = at;
        unsolved!()
    }

    fn cancel(&mut self, alarm: u64) {
        let _ = alarm;
        unsolved!()
    }

    fn next(&mut self) -> Option<Instant> {
        unsolved!()
    }

    fn ring(&mut self, now: Instant) -> Option<u64> {
        let _ = now;
        unsolved!()
    }
}

/// What a client of [`relay`] may have waiting for it, in bytes. Whoever falls behind further is disconnected.
pub const BACKLOG: usize = 256 * 1024;

/// Exercise 3. An SFU in small: whatever one client sends goes to all the others, and not back to it. One thread, any
/// number of clients. A client that doesn't read must neither stop the others nor fill the memory. Ends when `stop` is
/// notified.
///
/// # Errors
/// When a system call fails that is not about one client.
pub fn relay(listener: &TcpListener, stop: &EventFd) -> io::Result<()> {
    let _ = (listener, stop);
    unsolved!()
}
