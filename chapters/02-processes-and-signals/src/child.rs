//! Starting a process, and learning how it ended.

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process::exit;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// What a child exits with whose function has panicked, as a Rust program does.
pub const PANICKED: i32 = 101;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code; 0 says that all is well.
    Exited(i32),
    /// By a signal: somebody's `kill`, or the kernel's answer to a fault.
    Killed(Signal),
}

// ANCHOR: fork
/// `fork`, for a process that has one thread. It returns twice: in the parent with the child's id, and in the child.
///
/// The child is a copy: of the memory, and of every descriptor. A socket that both hold is closed when both have
/// closed it.
///
/// # Errors
/// Those of `fork` (`EAGAIN`: there may be no more processes), and when this process has more than one thread.
pub fn fork_alone() -> io::Result<ForkResult> {
    // Another thread may hold a lock, the allocator's for instance. The child would have the lock, but not the thread.
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads can't be forked and go on in Rust"));
    }
    // SAFETY: there is one thread, and it is this one: whatever it holds, the child's copy of it holds as well.
    Ok(unsafe { fork() }?)
}

/// What the child does, and then it is over: neither a return nor a panic may lead into the code behind `fork`, which is
/// the parent's.
pub fn run_child(child: impl FnOnce() -> i32) -> ! {
    exit(panic::catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED))
}
// ANCHOR_END: fork

// ANCHOR: reap
/// All children that have ended since this was last called; it doesn't wait for one.
///
/// Several may have, however few SIGCHLD came: while one is pending, another one of the same kind adds nothing to it. A
/// child that nobody asks about stays as a zombie, an entry in the table of processes that holds how it ended.
///
/// # Errors
/// Those of `waitpid`, other than that there is no child.
pub fn reap() -> io::Result<Vec<(Pid, End)>> {
    let mut ended = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => ended.push((pid, End::Exited(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => ended.push((pid, End::Killed(signal))),
            // Children there are, but none that has ended. (Others than these two ends are not asked for.)
            Ok(_) | Err(Errno::ECHILD) => return Ok(ended),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
// ANCHOR_END: reap
