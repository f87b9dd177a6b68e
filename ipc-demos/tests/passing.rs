//! Descriptors and credentials between the two ends of a unix socket.

use std::fs;
use std::io::{ErrorKind, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use ipc_demos::passing::{receive_credentials, receive_descriptor, send_descriptor};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};

#[test]
fn a_passed_pipe_works_when_the_sender_s_is_closed_and_is_not_inherited_by_programs() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut reader, writer) = pipe().unwrap();
    send_descriptor(&ours, b"a pipe", writer.as_fd()).unwrap();
    drop(writer);
    let mut note = [0; 16];
    let (length, descriptor) = receive_descriptor(&theirs, &mut note).unwrap();
    let descriptor = descriptor.unwrap();
    assert_eq!(&note[..length], b"a pipe");
    let flags = FdFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC));
    fs::File::from(descriptor).write_all(b"through").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through", "and end of file, since the passed copy was the last");
}

#[test]
fn bytes_without_a_descriptor_and_the_end_are_told_apart() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    assert_eq!(send_descriptor(&ours, b"", ours.as_fd()).unwrap_err().kind(), ErrorKind::InvalidInput);
    ours.write_all(b"only bytes").unwrap();
    let mut note = [0; 16];
    assert!(matches!(receive_descriptor(&theirs, &mut note), Ok((10, None))));
    drop(ours);
    assert!(matches!(receive_descriptor(&theirs, &mut note), Ok((0, None))));
}

/// A peer that sends more descriptors than were asked for must not fill our table with them.
#[test]
fn descriptors_too_many_are_refused_and_all_of_them_closed() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut reader, writer) = pipe().unwrap();
    let numbers = [writer.as_raw_fd(); 10];
    let parts = [std::io::IoSlice::new(b"!")];
    sendmsg::<()>(ours.as_raw_fd(), &parts, &[ControlMessage::ScmRights(&numbers)], MsgFlags::empty(), None).unwrap();
    drop(writer);
    let refused = receive_descriptor(&theirs, &mut [0; 16]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "a copy of the pipe is still open");
}

#[test]
fn the_kernel_says_who_sent_although_the_sender_says_nothing() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    setsockopt(&theirs, sockopt::PassCred, &true).unwrap();
    ours.write_all(b"!").unwrap();
    let (length, sender) = receive_credentials(&theirs, &mut [0; 16]).unwrap();
    assert_eq!((length, sender.map(|sender| sender.pid())), (1, Some(std::process::id() as i32)));
}
