//! Taking signals one at a time.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

// ANCHOR: signals
/// Some signals, which from now on interrupt nothing and end nothing: they wait until they are asked for.
///
/// A signal handler runs between any two instructions of the program, so that it may do next to nothing: no lock, no
/// allocation, no `println!`. Blocked, the signal is only noted by the kernel; `signalfd` makes a descriptor of the notes,
/// readable while there is one. Whoever can wait for a socket can then wait for signals too.
///
/// Children inherit it all, and what they read here is their own signals.
#[derive(Debug)]
pub struct Signals {
    notes: SignalFd,
    /// What was blocked before.
    before: SigSet,
}

impl Signals {
    /// Begins to hold these signals back, for this thread and for the processes it will start.
    ///
    /// # Errors
    /// Those of `sigprocmask` and `signalfd`.
    pub fn block(signals: &[Signal]) -> io::Result<Signals> {
        let set: SigSet = signals.iter().copied().collect();
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before))?;
        let notes = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Signals { notes, before })
    }

    /// A signal that has come, if one has.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn next(&self) -> io::Result<Option<Signal>> {
        let Some(note) = self.notes.read_signal()? else { return Ok(None) };
        Ok(Some(Signal::try_from(note.ssi_signo as i32)?))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notes.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}
// ANCHOR_END: signals

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There may be a connection to accept.
    Connection,
    /// This signal has come.
    Signal(Signal),
    /// The deadline has passed.
    Deadline,
}

// ANCHOR: wait
/// Waits for whichever comes first. A signal is told of before a connection: who is told to stop must hear it, however
/// many clients come.
///
/// # Errors
/// Those of `poll` and of reading signals.
pub fn wait(signals: &Signals, listener: Option<&TcpListener>, deadline: Option<Instant>) -> io::Result<Wake> {
    loop {
        if let Some(signal) = signals.next()? {
            return Ok(Wake::Signal(signal));
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(Wake::Deadline);
        }
        let mut sources = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        sources.extend(listener.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        match poll(&mut sources, time_left(deadline)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [signals, others @ ..] = &sources[..] else { continue };
        if signals.any() != Some(true) && others.iter().any(|source| source.any() == Some(true)) {
            return Ok(Wake::Connection);
        }
    }
}

/// How long `poll` may wait until a deadline: whole milliseconds, rounded up, since rounded down the last one would be spent
/// turning round and round.
pub fn time_left(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => PollTimeout::ZERO,
        left => PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX),
    }
}
// ANCHOR_END: wait
