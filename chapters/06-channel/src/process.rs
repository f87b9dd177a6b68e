//! The worker's process: started with its channel in descriptors that both sides have agreed on, and watched.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use ch02_processes_and_signals::signals::time_left;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::Pid;

use crate::channel::Channel;
use crate::ledger::Event;

/// Where a worker finds its requests; what it says goes to the next one, and more may follow.
pub const REQUESTS: RawFd = 3;

/// Where what a worker says goes.
pub const ANSWERS: RawFd = 4;

/// A worker's process and the channel to it. Dropped, it is killed, and leaves no zombie.
#[derive(Debug)]
pub struct Worker {
    /// The channel to it.
    pub channel: Channel,
    child: Child,
}

// ANCHOR: spawn
impl Worker {
    /// Starts a worker: it finds its requests in descriptor 3, answers into 4, and has `more` from 5 on.
    ///
    /// # Errors
    /// Those of the system calls: the program may not be there.
    pub fn spawn(command: Command, more: Vec<OwnedFd>) -> io::Result<Worker> {
        let (to_worker, requests) = UnixStream::pair()?;
        let (from_worker, answers) = UnixStream::pair()?;
        let mut theirs = vec![OwnedFd::from(requests), OwnedFd::from(answers)];
        theirs.extend(more);
        let child = spawn_with(command, &theirs)?;
        // From now on the worker alone has its ends, so that its end is the end of the stream.
        drop(theirs);
        let mut worker = Worker { channel: Channel::new(to_worker, from_worker), child };
        worker.channel.watch(worker.pidfd()?);
        Ok(worker)
    }

    /// A descriptor of the process: readable as soon as it has ended.
    fn pidfd(&self) -> io::Result<OwnedFd> {
        // SAFETY: the call takes two numbers. The child is not waited for yet, so that its pid is nobody else's.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.child.id(), 0) };
        // SAFETY: the kernel has just made this descriptor, close-on-exec, and nobody else knows its number.
        Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) }).map_err(io::Error::from)
    }
}

/// Starts a program that has these descriptors as 3, 4 and so on.
fn spawn_with(mut command: Command, theirs: &[OwnedFd]) -> io::Result<Child> {
    let beyond = REQUESTS + theirs.len() as RawFd;
    // Copies outside of 3, 4…: were one of them to have the number of another one's destination, that would close it.
    // And `dup2` of a descriptor onto itself does nothing at all: it would be closed by exec.
    let sources: Vec<OwnedFd> = theirs.iter().map(|end| duplicate(end, beyond)).collect::<io::Result<_>>()?;
    // `Command` opens a pipe of its own, by which the child reports that exec has failed. It must not be given one of
    // these numbers: so they are all in use until then, whoever has them.
    let occupied = (REQUESTS..beyond).zip(theirs).map(|(number, end)| duplicate(end, number));
    let _occupied: Vec<OwnedFd> = occupied.collect::<io::Result<_>>()?;
    let place = move || {
        for (source, number) in sources.iter().zip(REQUESTS..) {
            // SAFETY: both are numbers of descriptors; this process is the child, and nothing in it owns 3, 4…
            // Unlike the source, the copy is not close-on-exec.
            Errno::result(unsafe { libc::dup2(source.as_raw_fd(), number) })?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the child may do only what a signal handler may, since a lock may be held by a thread
    // that it has not. `place` calls dup2, reads a vector made before, and neither allocates nor locks.
    unsafe { command.pre_exec(place) };
    command.spawn()
}

/// A close-on-exec copy of a descriptor, with the first free number from `least` on.
fn duplicate(end: &OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    let number = fcntl(end, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
// ANCHOR_END: spawn

impl Worker {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    // ANCHOR: end
    /// Says goodbye, and returns how the process ended. Events that still come are passed on. A worker that has not
    /// ended when `patience` is over is killed.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn end(mut self, patience: Duration, mut observe: impl FnMut(Event)) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        self.channel.finish();
        loop {
            match self.channel.next_event(Some(deadline)) {
                Ok(Some(Event::Ended)) | Ok(None) => break,
                Ok(Some(event)) => observe(event),
                // The events that follow say what was lost by it.
                Err(_) => {}
            }
        }
        self.wait_until(deadline)
    }

    /// Waits for the process to end. It is killed at the deadline.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn wait_until(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        let process = self.pidfd()?;
        let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut ended, time_left(Some(deadline))) {
                Err(Errno::EINTR) => continue,
                Ok(0) => self.child.kill()?,
                result => drop(result?),
            }
            return self.child.wait();
        }
    }
    // ANCHOR_END: end
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail if it is waited for already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ANCHOR: inherit
/// The worker's side of it: takes over descriptor 3 or 4, which whoever started this process has put there.
///
/// # Safety
/// Nothing in this process owns that descriptor: call it before anything else is opened, and once for each.
///
/// # Errors
/// `EBADF` when there is no such descriptor.
pub unsafe fn inherited(number: RawFd) -> io::Result<File> {
    // It was open beyond exec for this process, and for none that this one will start: such a one would hold the channel
    // open when we have gone.
    // SAFETY: the call takes numbers, and fails if they mean nothing.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, as we have just seen; that nobody else owns it is what the caller promises.
    Ok(unsafe { File::from_raw_fd(number) })
}
// ANCHOR_END: inherit
