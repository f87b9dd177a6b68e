//! Another thread's way into the loop.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::poll::{checked, read_count};

// ANCHOR: eventfd
/// A counter with a descriptor, readable while it is not zero.
///
/// A thread that waits in `epoll_wait` sees no queue and no flag in memory. Whoever puts something there notifies it; however
/// often it did, one wake-up and one read are enough.
#[derive(Debug)]
pub struct EventFd {
    counter: OwnedFd,
}

impl EventFd {
    /// A counter at zero.
    ///
    /// # Errors
    /// Those of `eventfd`.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: it takes no pointer.
        let raw = checked(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: just created, and nobody else has it.
        Ok(EventFd { counter: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// Adds one, and so wakes whoever watches it. Any thread may.
    ///
    /// # Errors
    /// Those of `write`. A counter that is full is none: it wakes as well as any.
    pub fn notify(&self) -> io::Result<()> {
        let one = 1_u64;
        loop {
            // SAFETY: eight bytes are read, of a number that has eight.
            let length = unsafe { libc::write(self.counter.as_raw_fd(), (&raw const one).cast(), 8) };
            match checked(length as libc::c_int) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the count, and leaves zero.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn take(&self) -> io::Result<u64> {
        read_count(&self.counter)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }
}
// ANCHOR_END: eventfd
