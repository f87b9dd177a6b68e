//! Waiting for many descriptors at once: `epoll` on libc.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The program's name for a descriptor that it watches. The kernel keeps it and hands it back; it means nothing to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What to wait for. Errors and hang-ups are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Nothing: only errors and hang-ups.
    pub const NONE: Interest = Interest(0);
    /// That `read` (or `accept`) would not block.
    pub const READ: Interest = Interest(libc::EPOLLIN as u32);
    /// That `write` would not block, which is nearly always.
    pub const WRITE: Interest = Interest(libc::EPOLLOUT as u32);
    /// Either.
    pub const BOTH: Interest = Interest(Interest::READ.0 | Interest::WRITE.0);
}

// ANCHOR: trigger
/// When to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// In each wait, as long as it is so. What was not read now is reported again.
    Level,
    /// Once, when something has happened: bytes have arrived, room has appeared. Who doesn't read until `EAGAIN` has to
    /// remember it, for nobody will say it again.
    Edge,
}
// ANCHOR_END: trigger

/// A descriptor that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Its name.
    pub token: Token,
    bits: u32,
}

impl Ready {
    /// Whether a read is worth trying: for bytes, for the end of them, or for the error that it will return.
    pub fn is_readable(self) -> bool {
        self.bits & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }

    /// Whether a write is worth trying.
    pub fn is_writable(self) -> bool {
        self.bits & (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }
}

/// The room that a wait writes its answer into; made once.
#[derive(Debug, Default)]
pub struct Events {
    buffer: Vec<libc::epoll_event>,
    len: usize,
}

impl Events {
    /// Room for this many a wait, and at least one. What doesn't fit is told by the next wait.
    pub fn with_capacity(capacity: usize) -> Events {
        Events { buffer: vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)], len: 0 }
    }

    /// What the last wait said.
    pub fn iter(&self) -> impl Iterator<Item = Ready> {
        self.buffer[..self.len].iter().map(|event| Ready { token: Token(event.u64), bits: event.events })
    }

    /// Whether the last wait ended with nothing: by its timeout, or by a signal.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

// ANCHOR: epoll
/// A set of descriptors that the kernel watches for us. It is a descriptor itself.
#[derive(Debug)]
pub struct Epoll {
    set: OwnedFd,
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// Those of `epoll_create1`.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: it takes no pointer.
        let raw = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: just created, and nobody else has it.
        Ok(Epoll { set: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// Begins to watch a descriptor. If it is ready already, the next wait says so, edge triggered as well.
    ///
    /// # Errors
    /// Those of `epoll_ctl`: `EEXIST` when it is watched already, `EPERM` for a file on disk, which is always ready.
    pub fn add(&self, source: &impl AsFd, token: Token, interest: Interest, trigger: Trigger) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, source, token, interest, trigger)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// Those of `epoll_ctl`: `ENOENT` when it is not watched.
    pub fn modify(&self, source: &impl AsFd, token: Token, interest: Interest, trigger: Trigger) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, source, token, interest, trigger)
    }

    /// Watches it no more. Closing it does the same, provided that it is the last descriptor of its socket.
    ///
    /// # Errors
    /// Those of `epoll_ctl`: `ENOENT` when it is not watched.
    pub fn remove(&self, source: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, source, Token(0), Interest::NONE, Trigger::Level)
    }

    fn control(
        &self,
        operation: libc::c_int,
        source: &impl AsFd,
        Token(token): Token,
        Interest(bits): Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        let edge = if trigger == Trigger::Edge { libc::EPOLLET as u32 } else { 0 };
        let mut event = libc::epoll_event { events: bits | edge, u64: token };
        // SAFETY: the event outlives the call, and the kernel copies it.
        checked(unsafe {
            libc::epoll_ctl(self.set.as_raw_fd(), operation, source.as_fd().as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// Waits until a descriptor is ready, or for so long (`None`: for as long as it takes; zero: not at all).
    ///
    /// # Errors
    /// Those of `epoll_wait`. An interruption by a signal is none: there are no events then.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        // Whole milliseconds, rounded up: rounded down, the loop would turn without rest through the last one.
        let timeout = timeout.map_or(-1, |timeout| {
            libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        let capacity = libc::c_int::try_from(events.buffer.len()).unwrap_or(libc::c_int::MAX);
        events.len = 0;
        // SAFETY: the buffer is borrowed for the call alone, and has room for as many events as it says.
        let waited =
            checked(unsafe { libc::epoll_wait(self.set.as_raw_fd(), events.buffer.as_mut_ptr(), capacity, timeout) });
        match waited {
            Ok(count) => events.len = count as usize,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// C's way to fail, -1 and `errno`, as a `Result`.
pub(crate) fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
// ANCHOR_END: epoll

/// Reads the number of eight bytes that a timerfd or an eventfd holds; 0 when there is none.
pub(crate) fn read_count(source: &OwnedFd) -> io::Result<u64> {
    let mut count = 0_u64;
    loop {
        // SAFETY: eight bytes are written at most, into a number that has eight and allows any.
        let length = unsafe { libc::read(source.as_raw_fd(), (&raw mut count).cast(), 8) };
        match checked(length as libc::c_int) {
            Ok(_) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
