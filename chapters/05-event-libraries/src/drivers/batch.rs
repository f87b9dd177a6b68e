//! Many datagrams a call: recvmmsg, sendmmsg, and trains (UDP_SEGMENT).
//!
//! Nothing here waits; epoll or tokio do that. The kernel is given arrays of messages, each of which points to an address
//! and to pieces of memory; the arrays are kept from turn to turn.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use super::TURN;
use super::epoll::Datagrams;
use crate::forwarder::{BUFFER, Forwarder, Route, is_payload};

/// Whether datagrams for one subscriber leave as trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trains {
    /// Each datagram is a message of its own.
    No,
    /// Equally long datagrams for one subscriber are one message, which the kernel cuts.
    Yes,
}

/// Messages that one sendmmsg takes; the kernel's own limit (UIO_MAXIOV).
const MAX_MESSAGES: usize = 1_024;

/// A turn's datagrams, and the logic that says where they go.
pub struct Batch {
    forwarder: Forwarder,
    trains: Trains,
    buffers: Box<[[u8; BUFFER]; TURN]>,
    /// Sender and length of those that have come.
    received: Vec<(SocketAddr, usize)>,
    outgoing: Outgoing,
}

impl Batch {
    /// With a forwarder.
    pub fn new(forwarder: Forwarder, trains: Trains) -> Batch {
        Batch {
            forwarder,
            trains,
            buffers: Box::new([[0; BUFFER]; TURN]),
            received: Vec::with_capacity(TURN),
            outgoing: Outgoing::default(),
        }
    }

    // ANCHOR: receive
    /// Takes what waits, in one call; returns how many datagrams that were.
    ///
    /// # Errors
    /// Those of recvmmsg; `WouldBlock` when nothing waits.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received.clear();
        // SAFETY: all three are plain C structures, for which all zeroes is a value.
        let (mut names, mut vectors, mut messages): (
            [libc::sockaddr_storage; TURN],
            [libc::iovec; TURN],
            [libc::mmsghdr; TURN],
        ) = unsafe { (zeroed(), zeroed(), zeroed()) };
        for index in 0..TURN {
            let buffer = &mut self.buffers[index];
            vectors[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut messages[index].msg_hdr;
            header.msg_name = (&raw mut names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[index];
            header.msg_iovlen = 1;
        }
        // SAFETY: each header points to a name and a vector of these arrays, which outlive the call and are not touched
        // during it, and through the vector to a buffer of this batch, which is exclusively borrowed. No timeout.
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), TURN as libc::c_uint, 0, std::ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (message, name) in messages[..count].iter().zip(&names) {
            // A name that is no IP address can't be, on a UDP socket; it would be answered to nowhere.
            let from = address(name, message.msg_hdr.msg_namelen).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
            self.received.push((from, message.msg_len as usize));
        }
        Ok(count)
    }
    // ANCHOR_END: receive

    // ANCHOR: forward
    /// Sends what follows from the datagrams that were received.
    pub fn forward(&mut self, socket: &UdpSocket) {
        // Those that are to be forwarded and have not been sent yet: neighbours, as long as nothing comes between.
        let mut payloads = 0..0;
        for index in 0..self.received.len() {
            let (from, length) = self.received[index];
            // It may change who subscribes; what came before it goes to those who do now, as if handled one at a time.
            if !is_payload(&self.buffers[index][..length]) {
                self.flush(socket, payloads);
                payloads = index..index;
            }
            match self.forwarder.handle_datagram(from, &self.buffers[index][..length]) {
                Route::Forward if payloads.end == index => payloads.end = index + 1,
                Route::Forward => {
                    self.flush(socket, payloads);
                    payloads = index..index + 1;
                }
                Route::Answer(answer) => drop(socket.send_to(&answer, from)),
                Route::Drop => {}
            }
        }
        self.flush(socket, payloads);
    }
    // ANCHOR_END: forward

    fn flush(&mut self, socket: &UdpSocket, payloads: Range<usize>) {
        if payloads.is_empty() {
            return;
        }
        let lengths = self.received[payloads.clone()].iter().map(|&(_, length)| length);
        let pieces: Vec<&[u8]> =
            self.buffers[payloads].iter().zip(lengths).map(|(buffer, length)| &buffer[..length]).collect();
        let alike = pieces.iter().all(|piece| piece.len() == pieces[0].len());
        // A train needs two, and pieces of one length.
        let train = self.trains == Trains::Yes && alike && pieces.len() > 1;
        self.outgoing.send(socket, &pieces, self.forwarder.subscribers(), train);
    }
}

impl Datagrams for Batch {
    fn turn(&mut self, socket: &UdpSocket) -> io::Result<()> {
        match self.receive(socket) {
            Ok(_) => {
                self.forward(socket);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The arrays for sendmmsg.
#[derive(Default)]
struct Outgoing {
    names: Vec<SockaddrStorage>,
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    control: Control,
}

// SAFETY: the pointers in `vectors` and `messages` are set and used within one call of `send`, and mean nothing after it.
unsafe impl Send for Outgoing {}

impl Outgoing {
    // ANCHOR: send
    /// Sends all pieces to all of these, and a full socket's rest to nobody: late is lost, in what is live.
    fn send(&mut self, socket: &UdpSocket, pieces: &[&[u8]], to: &[SocketAddr], train: bool) {
        let Outgoing { names, vectors, messages, control } = self;
        names.clear();
        names.extend(to.iter().map(|&to| SockaddrStorage::from(to)));
        vectors.clear();
        vectors.extend(
            pieces.iter().map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() }),
        );
        messages.clear();
        // A train: all pieces are one message, and a control message says where the kernel cuts it.
        let per_message = if train { vectors.len() } else { 1 };
        let (control, control_len) = if train { control.segment(pieces[0].len()) } else { (std::ptr::null_mut(), 0) };
        for name in names.iter() {
            for vectors in vectors.chunks_mut(per_message) {
                // SAFETY: a plain C structure, for which all zeroes is a value.
                let mut message: libc::mmsghdr = unsafe { zeroed() };
                message.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
                message.msg_hdr.msg_namelen = name.len();
                message.msg_hdr.msg_iov = vectors.as_mut_ptr();
                message.msg_hdr.msg_iovlen = vectors.len();
                message.msg_hdr.msg_control = control;
                message.msg_hdr.msg_controllen = control_len;
                messages.push(message);
            }
        }
        let mut rest = &mut messages[..];
        while !rest.is_empty() {
            let count = rest.len().min(MAX_MESSAGES);
            // SAFETY: `rest` has that many headers; what they point to (names, vectors, the control message, and through
            // the vectors the pieces) is borrowed until this function returns. The kernel only reads it.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), count as libc::c_uint, 0) };
            // An error is that of the first message: the others are tried without it.
            rest = &mut rest[usize::try_from(sent).unwrap_or(0).max(1)..];
        }
    }
    // ANCHOR_END: send
}

/// Room for one control message that holds 16 bits, aligned as control messages are.
#[derive(Default)]
#[repr(C, align(8))]
struct Control([u8; 24]);

impl Control {
    /// "Cut into pieces of this many bytes."
    fn segment(&mut self, length: usize) -> (*mut libc::c_void, usize) {
        let header = libc::cmsghdr { cmsg_len: CONTROL_LEN, cmsg_level: libc::SOL_UDP, cmsg_type: libc::UDP_SEGMENT };
        let start = self.0.as_mut_ptr();
        // SAFETY: the array is aligned for a cmsghdr, and has room for one and for the two bytes behind it, which is where
        // CMSG_DATA is.
        unsafe {
            start.cast::<libc::cmsghdr>().write(header);
            libc::CMSG_DATA(start.cast()).cast::<u16>().write_unaligned(length as u16);
        }
        (start.cast(), size_of_val(&self.0))
    }
}

// SAFETY: it only computes.
const CONTROL_LEN: usize = unsafe { libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) } as usize;

/// The address that the kernel has filled in.
pub(super) fn address(name: &libc::sockaddr_storage, length: libc::socklen_t) -> Option<SocketAddr> {
    // SAFETY: the structure is initialised and larger than any address; the length is the kernel's, and checked there.
    let name = unsafe { SockaddrStorage::from_raw((&raw const *name).cast(), Some(length)) }?;
    let v4 = name.as_sockaddr_in().map(|name| SocketAddr::V4((*name).into()));
    v4.or_else(|| name.as_sockaddr_in6().map(|name| SocketAddr::V6((*name).into())))
}
