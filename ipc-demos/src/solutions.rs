//! Solutions of the exercises. Try yours first.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;

// ANCHOR: read_lines
/// Opened for writing as well, the FIFO always has a writer, who says nothing: end of file never comes.
pub fn read_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let fifo = OpenOptions::new().read(true).write(true).open(path)?;
    BufReader::new(fifo).lines().take(count).collect()
}
// ANCHOR_END: read_lines

// ANCHOR: receive_descriptors
/// There is room for as many as the kernel lets a message have, so that none is lost or left open by nobody.
pub fn receive_descriptors(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = cmsg_space!([i32; 253]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just opened these for us; nobody else in this process knows them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok((message.bytes, descriptors))
}
// ANCHOR_END: receive_descriptors

// ANCHOR: receive_or_death
/// A pidfd is readable when the process has ended. What it has sent before is there by then: so the stream is looked at
/// first, and once more after the death was seen.
pub fn receive_or_death(stream: &UnixStream, process: Pid, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: two numbers go in, and a number comes out.
    let number = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) })?;
    // SAFETY: the kernel has just opened it for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(number as i32) };
    loop {
        let mut polled = [&stream.as_fd(), &pidfd.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        if polled[0].any() == Some(true) {
            return (&mut &*stream).read(buffer).map(Some);
        }
        if polled[1].any() == Some(true) {
            // Between the two looks of poll it may have sent something and died.
            let mut last = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
            return match poll(&mut last, PollTimeout::ZERO)? {
                0 => Ok(None),
                _ => (&mut &*stream).read(buffer).map(Some),
            };
        }
    }
}
// ANCHOR_END: receive_or_death
