//! Signals as reads: signalfd.
//!
//! A handler may run between any two instructions and may call almost nothing. A signalfd turns the signal into an
//! event of the loop like any other.

use crate::fd::{cvt, read};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub use libc::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1, SIGUSR2};

/// A descriptor that becomes readable when one of a set of signals is pending.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks the ordinary delivery of these signals in the calling thread and opens a descriptor for them.
    ///
    /// Call it before other threads start, so that they inherit the mask. Processes started later inherit it as well: they
    /// must unblock what they want (`std::process::Command` resets the mask by itself). Signals that came earlier and are pending are told of too.
    ///
    /// # Errors
    /// `EINVAL` for a number that is no signal.
    pub fn new(signals: &[libc::c_int]) -> io::Result<Self> {
        let set = set_of(signals)?;
        // SAFETY: the set is initialised, and the old mask isn't asked for.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let raw = cvt(unsafe { libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) })?;
        // SAFETY: just created, owned by nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// The next pending signal's number, or `None` when there is none. Equal pending signals count once (POSIX).
    ///
    /// # Errors
    /// Those of `read`.
    pub fn pending(&mut self) -> io::Result<Option<libc::c_int>> {
        // The record begins with ssi_signo, a u32; the rest isn't needed.
        let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match read(&self.fd, &mut record) {
            Ok(_) => {
                let [a, b, c, d, ..] = record;
                Ok(libc::c_int::try_from(u32::from_ne_bytes([a, b, c, d])).ok())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Makes the process ignore these signals.
///
/// # Errors
/// `EINVAL` for a number that is no signal, and for SIGKILL and SIGSTOP.
pub fn ignore(signals: &[libc::c_int]) -> io::Result<()> {
    for &signal in signals {
        // SAFETY: SIG_IGN installs no handler, so no code can run in signal context.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn set_of(signals: &[libc::c_int]) -> io::Result<libc::sigset_t> {
    // SAFETY: sigset_t is an array of integers, for which all zeroes is a value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a valid place to write to.
    cvt(unsafe { libc::sigemptyset(&mut set) })?;
    for &signal in signals {
        // SAFETY: the set is initialised; a number out of range is an error, not undefined.
        cvt(unsafe { libc::sigaddset(&mut set, signal) })?;
    }
    Ok(set)
}
