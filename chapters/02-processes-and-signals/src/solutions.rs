//! Solutions of the exercises of chapter 02. Try yours first.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::exercises::{FIRST_PAUSE, LONGEST_PAUSE};

// ANCHOR: pause_after
/// The limit is for both ends: a pause beyond it would be a server that is down, a shorter one a busy loop.
pub fn pause_after(lived: Duration, pause: Duration) -> Duration {
    if lived >= LONGEST_PAUSE { FIRST_PAUSE } else { (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE) }
}
// ANCHOR_END: pause_after

// ANCHOR: stop_politely
/// A pidfd is a descriptor of a process, readable when that has ended. It needs no SIGCHLD, which belongs to the whole
/// program and not to whoever waits for this one child; and `poll` brings the deadline with it.
pub fn stop_politely(child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(child.id() as i32);
    // SAFETY: it takes no pointer; an id and no flags.
    let raw = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: just opened, and nobody else has it.
    let process = unsafe { OwnedFd::from_raw_fd(raw as i32) };
    // Not reaped yet, so that the id is still this child's, alive or not.
    kill(pid, Signal::SIGTERM)?;
    let grace = PollTimeout::try_from(grace).unwrap_or(PollTimeout::MAX);
    if poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], grace)? == 0 {
        child.kill()?;
    }
    child.wait()
}
// ANCHOR_END: stop_politely

// ANCHOR: hand_over
/// The copy that `dup2` makes has no close-on-exec flag, and it is made in the child only: the parent's descriptor stays
/// as it is. Connections that wait in the socket's queue wait for whoever accepts next, in whichever process.
pub fn hand_over(listener: &TcpListener, program: &mut Command) -> io::Result<Child> {
    let raw = listener.as_raw_fd();
    program.env("LISTEN_FDS", "1");
    let prepare = move || {
        if raw == 3 {
            // dup2 of a descriptor onto itself does nothing, and leaves the flag.
            // SAFETY: the parent's listener is borrowed until the program is started, so that the child has it open.
            fcntl(unsafe { std::os::fd::BorrowedFd::borrow_raw(3) }, FcntlArg::F_SETFD(FdFlag::empty()))?;
        } else {
            // SAFETY: it takes two numbers; what was descriptor 3 in this child is used by nobody.
            Errno::result(unsafe { libc::dup2(raw, 3) })?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call, and neither allocates nor takes a lock.
    unsafe { program.pre_exec(prepare) };
    program.spawn()
}
// ANCHOR_END: hand_over
