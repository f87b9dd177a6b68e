//! Waiting for readiness: epoll.
//!
//! Level-triggered on purpose. A turn of the loop reads at most one batch a socket, so that no socket starves the
//! others; what is left is reported again by itself. Edge-triggered epoll would make each reader keep a list of
//! "not yet drained" sockets to save nothing: the wait call happens once a turn anyhow.

use crate::fd::{cvt, retry};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The caller's name for a registered descriptor, handed back with its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What to be told of. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Errors and hang-ups only. For a stream that is written to, while nothing waits to be written: being
    /// level-triggered, [`Interest::WRITE`] would end every wait at once.
    pub const NONE: Self = Self(0);
    /// There is something to read, or the peer has closed its side.
    pub const READ: Self = Self(libc::EPOLLIN as u32 | libc::EPOLLRDHUP as u32);
    /// There is room to write.
    pub const WRITE: Self = Self(libc::EPOLLOUT as u32);
    /// Both.
    pub const READ_WRITE: Self = Self(Self::READ.0 | Self::WRITE.0);

    /// [`Interest::READ`], and [`Interest::WRITE`] too while there is something queued.
    #[must_use]
    pub const fn read_and(wants_write: bool) -> Self {
        if wants_write { Self::READ_WRITE } else { Self::READ }
    }

    /// [`Interest::WRITE`] while there is something queued, otherwise [`Interest::NONE`].
    #[must_use]
    pub const fn write_if(wants_write: bool) -> Self {
        if wants_write { Self::WRITE } else { Self::NONE }
    }
}

/// One descriptor that has become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name given when the descriptor was added.
    pub token: Token,
    bits: u32,
}

impl Event {
    /// Worth a read: data, end of stream, or an error that the read will return.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.bits & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }

    /// Worth a write: room, or an error that the write will return.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.bits & (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }

    /// The peer is gone, or the descriptor is in error; reading tells which.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.bits & (libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }
}

/// The buffer that [`Poller::wait`] fills; allocated once.
pub struct Events {
    buffer: Box<[libc::epoll_event]>,
    len: usize,
}

impl Events {
    /// Room for this many events a wait (at least one). Further ready descriptors come with the next wait.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let none = libc::epoll_event { events: 0, u64: 0 };
        Self { buffer: vec![none; capacity.max(1)].into_boxed_slice(), len: 0 }
    }

    /// The events of the last wait.
    #[must_use]
    pub fn iter(&self) -> EventIter<'_> {
        EventIter(self.buffer[..self.len].iter())
    }

    /// How many events the last wait brought.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the last wait ended without an event: by its timeout, or by a signal.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = Event;
    type IntoIter = EventIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The events of one wait.
pub struct EventIter<'a>(std::slice::Iter<'a, libc::epoll_event>);

impl Iterator for EventIter<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.0.next().map(|event| Event { token: Token(event.u64), bits: event.events })
    }
}

/// An epoll instance.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    /// `epoll_pwait2` takes nanoseconds; kernels before 5.11 and some sandboxes don't have it.
    has_pwait2: Cell<bool>,
}

impl Poller {
    /// A new instance, with nothing registered.
    ///
    /// # Errors
    /// Those of `epoll_create1`: too many descriptors, no memory.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let raw = cvt(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: just created, owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { epoll, has_pwait2: Cell::new(true) })
    }

    /// Waits with whole milliseconds, rounded up, as kernels before 5.11 do. For tests and comparisons.
    #[must_use]
    pub fn with_millisecond_waits(self) -> Self {
        self.has_pwait2.set(false);
        self
    }

    /// Registers a descriptor.
    ///
    /// # Errors
    /// Those of `epoll_ctl`; `EEXIST` when it is registered already, `EPERM` when it can't be waited for.
    pub fn add(&self, fd: &impl AsRawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes the token and interest of a registered descriptor.
    ///
    /// # Errors
    /// Those of `epoll_ctl`; `ENOENT` when it isn't registered.
    pub fn modify(&self, fd: &impl AsRawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Forgets a descriptor. Closing it does the same, provided that no duplicate of it stays open.
    ///
    /// # Errors
    /// Those of `epoll_ctl`; `ENOENT` when it isn't registered.
    pub fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, Token(0), Interest(0))
    }

    /// Waits until a descriptor is ready or the timeout has passed (`None`: for as long as it takes; zero: not at all).
    ///
    /// A wait never ends before its timeout unless there is an event or a signal handler has run; in the latter case
    /// `events` is empty, and the caller, which computes its deadlines anew every turn, just waits again.
    ///
    /// # Errors
    /// Those of `epoll_pwait2`, except `EINTR`.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.len = 0;
        let result = if self.has_pwait2.get() {
            match self.wait_nanoseconds(events, timeout) {
                // EPERM is what older seccomp profiles answer to calls they have never heard of.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.has_pwait2.set(false);
                    self.wait_milliseconds(events, timeout)
                }
                result => result,
            }
        } else {
            self.wait_milliseconds(events, timeout)
        };
        match result {
            Ok(len) => events.len = len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn wait_nanoseconds(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the buffer is exclusively borrowed and its length is given; the timespec, if any, outlives the call; the
        // signal mask is absent. The arguments have the types that the system call's ABI asks for.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                events.buffer.as_mut_ptr(),
                capacity(events),
                timeout,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn wait_milliseconds(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map_or(-1, |timeout| {
            libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: the buffer is exclusively borrowed and its length is given.
        let count = cvt(unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), events.buffer.as_mut_ptr(), capacity(events), timeout)
        })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    fn control(&self, operation: libc::c_int, fd: &impl AsRawFd, token: Token, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.0, u64: token.0 };
        retry(|| {
            // SAFETY: the event lives until the call returns, and the kernel keeps a copy only.
            cvt(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) })
        })?;
        Ok(())
    }
}

fn capacity(events: &Events) -> libc::c_int {
    libc::c_int::try_from(events.buffer.len()).unwrap_or(libc::c_int::MAX)
}
