//! A parent and its child, each with one end of a socketpair.

use std::io;
use std::os::unix::net::UnixStream;

use ch02_processes_and_signals::{fork_alone, run_child};
use nix::unistd::{ForkResult, Pid};

// ANCHOR: fork
/// Starts a child that runs `child` with its end of a new socketpair and exits with the number it returns; the parent
/// gets the child's id and its own end. The child is the parent's to wait for.
///
/// # Errors
/// Those of the system calls, and when this process has more than one thread.
pub fn fork_with_channel(child: impl FnOnce(UnixStream) -> i32) -> io::Result<(Pid, UnixStream)> {
    // Close-on-exec is set on both, so that a program started later by either side does not hold them open.
    let (parents, childs) = UnixStream::pair()?;
    match fork_alone()? {
        ForkResult::Child => {
            // Fork has copied both ends. As long as the child holds the parent's, it never sees end of file on its own.
            drop(parents);
            run_child(|| child(childs))
        }
        ForkResult::Parent { child } => {
            drop(childs);
            Ok((child, parents))
        }
    }
}
// ANCHOR_END: fork
