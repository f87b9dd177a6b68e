//! What a unix socket carries beside bytes: open descriptors, and who has sent.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, sendmsg};

/// How many descriptors the kernel passes with one message (SCM_MAX_FD).
const MAX_DESCRIPTORS: usize = 253;

// ANCHOR: send_descriptor
/// Sends bytes, and with the first of them a copy of a descriptor. The other process gets the same open socket (or
/// file, or pipe) under a number of its own; closing ours does not close theirs.
///
/// # Errors
/// Those of `sendmsg`, and `InvalidInput` without bytes: on a stream, a descriptor travels with a byte or not at all.
pub fn send_descriptor(stream: &UnixStream, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let descriptors = [descriptor.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], &rights, flags, None)?;
    // The descriptor has gone with the first part. What is left are bytes like any others.
    io::Write::write_all(&mut &*stream, &bytes[sent..])
}
// ANCHOR_END: send_descriptor

// ANCHOR: receive_descriptor
/// Receives bytes, and the descriptor that came with them if one did. 0 bytes are the end of the stream.
///
/// # Errors
/// Those of `recvmsg`, and `InvalidData` when more descriptors came than one; they are closed.
pub fn receive_descriptor(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    // Room for all that can come, so that none is left in a message that is only half understood.
    let mut space = cmsg_space!([i32; MAX_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(buffer)];
    // Close-on-exec from the first moment: between this call and another one to set it, a thread may exec.
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just opened these numbers for us, and nobody else in this process knows them. All
            // of them are taken over, so that those we don't want are closed.
            received.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    if received.len() > 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors came than one"));
    }
    Ok((message.bytes, received.pop()))
}
// ANCHOR_END: receive_descriptor

// ANCHOR: receive_credentials
/// Receives bytes and who sent them: process, user and group, as the kernel vouches. The socket must have the option
/// `SO_PASSCRED` before the sender sends.
///
/// # Errors
/// Those of `recvmsg`.
pub fn receive_credentials(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<UnixCredentials>)> {
    let mut space = cmsg_space!(libc::ucred);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let credentials = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials),
        _ => None,
    });
    Ok((message.bytes, credentials))
}
// ANCHOR_END: receive_credentials

/// Sends bytes with these credentials. A process may say only what is true of it, unless it is privileged.
///
/// # Errors
/// Those of `sendmsg`: `PermissionDenied` for a lie.
pub fn send_credentials(stream: &UnixStream, bytes: &[u8], credentials: &UnixCredentials) -> io::Result<usize> {
    let control = [ControlMessage::ScmCredentials(credentials)];
    Ok(sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::MSG_NOSIGNAL, None)?)
}
