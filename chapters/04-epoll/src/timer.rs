//! Time in the loop, in two ways.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use crate::poll::{Token, checked, read_count};

// ANCHOR: heap
/// Any number of deadlines in one heap; the earliest is the timeout of the next wait. Setting one costs no system call.
///
/// A deadline can't be taken back. Its owner looks, when it has come, whether it still matters.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Token)>>,
}

impl Timers {
    /// At that time, this token.
    pub fn set(&mut self, at: Instant, token: Token) {
        self.heap.push(Reverse((at, token)));
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out the earliest deadline, if it has come.
    pub fn expired(&mut self, now: Instant) -> Option<Token> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, token))| token)
    }

    /// How many deadlines there are.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}
// ANCHOR_END: heap

// ANCHOR: timerfd
/// One deadline as a descriptor, readable when it has come: to the nanosecond, and watched like a socket. It costs a
/// descriptor, and a system call each time it is set.
#[derive(Debug)]
pub struct TimerFd {
    timer: OwnedFd,
}

impl TimerFd {
    /// A timer that is not set.
    ///
    /// # Errors
    /// Those of `timerfd_create`.
    pub fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: it takes no pointer.
        let raw = checked(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: just created, and nobody else has it.
        Ok(TimerFd { timer: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// Fires once, after that long.
    ///
    /// # Errors
    /// Those of `timerfd_settime`.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        // All zero would unset it.
        let after = after.max(Duration::from_nanos(1));
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec {
            tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: after.subsec_nanos().into(),
        };
        let setting = libc::itimerspec { it_interval: never, it_value: value };
        // SAFETY: the setting outlives the call, and the former one is not asked for.
        checked(unsafe { libc::timerfd_settime(self.timer.as_raw_fd(), 0, &raw const setting, ptr::null_mut()) })?;
        Ok(())
    }

    /// How often it has fired since it was asked or set last.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fired(&self) -> io::Result<u64> {
        read_count(&self.timer)
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
// ANCHOR_END: timerfd
