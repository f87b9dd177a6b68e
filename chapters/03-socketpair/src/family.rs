//! A parent and its child, each with one end of a socketpair.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::process::exit;

use nix::unistd::{ForkResult, Pid, fork};

/// What a child exits with whose function has panicked, as a Rust program does.
const PANICKED: i32 = 101;

// ANCHOR: fork
/// Starts a child that runs `child` with its end of a new socketpair and exits with the number it returns; the parent
/// gets the child's id and its own end. The child is the parent's to wait for.
///
/// # Errors
/// Those of the system calls, and when this process has more than one thread.
pub fn fork_with_channel(child: impl FnOnce(UnixStream) -> i32) -> io::Result<(Pid, UnixStream)> {
    // Close-on-exec is set on both, so that a program started later by either side does not hold them open.
    let (parents, childs) = UnixStream::pair()?;
    match fork_single_threaded()? {
        ForkResult::Child => {
            // Fork has copied both ends. As long as the child holds the parent's, it never sees end of file on its own.
            drop(parents);
            live_as_child(|| child(childs))
        }
        ForkResult::Parent { child } => {
            drop(childs);
            Ok((child, parents))
        }
    }
}

/// `fork`, where Rust may go on in the child: in a process with one thread.
///
/// # Errors
/// Those of the system call, and when this process has more than one thread.
pub fn fork_single_threaded() -> io::Result<ForkResult> {
    // Another thread may hold a lock, the allocator's for instance. The child would have the lock, but not the thread.
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads can't be forked and go on in Rust"));
    }
    // SAFETY: there is one thread, and it is this one: whatever it holds, the child's copy of it holds as well.
    Ok(unsafe { fork() }?)
}

/// Runs `life` and exits with what it returns. The caller's code beyond this call is the parent's: neither a return
/// nor a panic leads a child there.
pub fn live_as_child(life: impl FnOnce() -> i32) -> ! {
    exit(panic::catch_unwind(AssertUnwindSafe(life)).unwrap_or(PANICKED))
}
// ANCHOR_END: fork
