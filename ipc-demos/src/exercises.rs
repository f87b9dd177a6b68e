//! Exercises: replace each `unsolved!()`, then let them be graded:
//!
//! ```text
//! cargo test -p ipc-demos --test exercises
//! ```

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::unistd::Pid;
use stage::unsolved;

/// Exercise 1. The first `count` lines that anybody writes into the FIFO at `path`, without their line feeds, however
/// many writers come and go meanwhile. While there is no writer, it sleeps.
///
/// # Errors
/// Those of the system calls, and `InvalidData` for a line that is not UTF-8.
pub fn read_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let _ = (path, count);
    unsolved!()
}

/// Exercise 2. Like [`receive_descriptor`](crate::passing::receive_descriptor), for all descriptors that come with one
/// message, in the order in which they were sent.
///
/// # Errors
/// Those of the system call.
pub fn receive_descriptors(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let _ = (stream, buffer);
    unsolved!()
}

/// Exercise 3. Waits for bytes from the process, and returns how many came; or `None` once it is dead and there is
/// nothing left of what it had sent. Its death is noticed although others hold copies of its end of the stream, so that
/// end of file never comes. (`man 2 pidfd_open`; the process is a child, and is reaped by the caller.)
///
/// # Errors
/// Those of the system calls.
pub fn receive_or_death(stream: &UnixStream, process: Pid, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let _ = (stream, process, buffer);
    unsolved!()
}
