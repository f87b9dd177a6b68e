//! Sending: datagrams to one destination, in as few calls as the kernel allows.

use super::address::RawAddress;
use super::socket::{Control, UdpCounters, empty_header};
use crate::fd::{cvt, cvt_len, retry};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// Datagrams in a train; the kernel's own limit (UDP_MAX_SEGMENTS) before Linux 6.9.
pub(super) const MAX_TRAIN: usize = 64;

/// Bytes in a train: 65,535 less IP and UDP headers, and some room for IPv6's.
const MAX_TRAIN_BYTES: usize = 65_000;

/// Messages a `sendmmsg` call.
const MAX_MESSAGES: usize = 16;

/// What became of datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// The kernel took them.
    pub sent: usize,
    /// They wait for room.
    pub queued: usize,
    /// They are lost.
    pub dropped: usize,
    /// The bytes of the lost ones, without what frames them.
    pub dropped_bytes: usize,
    /// Why the last of the lost ones is lost; `None` when it was for want of room in the queue, or none is lost.
    pub fault: Option<SendFault>,
}

/// Why the kernel didn't take a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendFault {
    /// ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT: no way to that address.
    #[error("there is no route to the destination")]
    Unreachable,
    /// EMSGSIZE: longer than a datagram may be, or than the interface allows without fragments.
    #[error("the datagram is too long")]
    TooLong,
    /// EPERM, EACCES: a firewall, or a broadcast address.
    #[error("the system doesn't permit it")]
    NotPermitted,
    /// ENOBUFS, ENOMEM: the interface's queue is full.
    #[error("the system is out of buffers")]
    NoBuffers,
    /// Another `errno`.
    #[error("system error {0}")]
    Other(i32),
}

/// Whether an error is news of an earlier datagram, brought by ICMP, rather than about the call that returned it.
pub(super) fn is_icmp(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EPROTO | libc::EHOSTDOWN | libc::ENONET
        )
    )
}

/// The way a socket sends, and what has been learnt about it.
#[derive(Debug)]
pub(super) struct SendPath {
    v6: bool,
    multi: bool,
    /// Datagrams longer than this don't go in trains: zero where GSO is off, less than the MTU once a train has failed by it.
    train_limit: u16,
}

/// How far [`SendPath::transmit`] came.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Pieces that are done with; when fewer than given, the socket's buffer is full.
    pub(super) handled: usize,
    /// Those of them that the kernel took.
    pub(super) sent: usize,
    /// The bytes of the others.
    pub(super) lost_bytes: usize,
    pub(super) fault: Option<SendFault>,
}

impl SendPath {
    pub(super) const fn new(v6: bool, gso: bool, multi: bool) -> Self {
        Self { v6, multi, train_limit: if gso { u16::MAX } else { 0 } }
    }

    /// Sends pieces of a buffer until all are handled or the socket's buffer is full.
    pub(super) fn transmit(
        &mut self,
        fd: &impl AsRawFd,
        to: SocketAddr,
        buffer: &[u8],
        lengths: &[u16],
        counters: &mut UdpCounters,
    ) -> Outcome {
        let name = RawAddress::new(to, self.v6);
        let mut outcome = Outcome::default();
        let mut rest = buffer;
        // A train that was refused is tried again as datagrams: if these go, it was the train's fault, not the destination's.
        let mut suspect: Option<Suspect> = None;
        let mut icmp_seen = false;
        while let Some(lengths) = lengths.get(outcome.handled..).filter(|lengths| !lengths.is_empty()) {
            let limit = if suspect.is_some() { 0 } else { self.train_limit };
            let call = Call::plan(rest, lengths, limit, if self.multi { MAX_MESSAGES } else { 1 });
            counters.send_calls += 1;
            match call.run(fd, &name) {
                Ok(messages) => {
                    let (pieces, bytes) = call.extent(messages);
                    outcome.handled += pieces;
                    outcome.sent += pieces;
                    counters.sent += pieces as u64;
                    counters.trains += call.trains(messages);
                    rest = &rest[bytes..];
                    icmp_seen = false;
                    if let Some(suspect) = suspect.take() {
                        self.train_limit = suspect.limit.min(self.train_limit);
                        counters.train_fallbacks += 1;
                    }
                }
                Err(error) => match error.raw_os_error() {
                    _ if error.kind() == io::ErrorKind::WouldBlock => break,
                    Some(libc::ENOSYS) if self.multi => self.multi = false,
                    Some(errno) if call.first_is_train() && is_train_fault(errno) => {
                        suspect = Some(Suspect::new(errno, lengths[0]));
                    }
                    // Reading the error has cleared it, so the same call may succeed now; if not, it is meant.
                    Some(_) if is_icmp(&error) && !icmp_seen => {
                        icmp_seen = true;
                        counters.icmp_errors += 1;
                    }
                    errno => {
                        suspect = None;
                        let fault = fault(errno.unwrap_or(0));
                        // A piece can be too long by itself; everything else is as true of the pieces after it.
                        let lost = if fault == SendFault::TooLong { &lengths[..1] } else { lengths };
                        let lost_bytes = lost.iter().map(|&length| usize::from(length)).sum();
                        rest = &rest[lost_bytes..];
                        outcome.handled += lost.len();
                        outcome.lost_bytes += lost_bytes;
                        outcome.fault = Some(fault);
                        *match fault {
                            SendFault::Unreachable => &mut counters.unreachable,
                            SendFault::TooLong => &mut counters.too_long,
                            _ => &mut counters.refused,
                        } += lost.len() as u64;
                    }
                },
            }
        }
        outcome
    }
}

/// A train that was refused, and what the limit becomes if the fault is the train's.
struct Suspect {
    limit: u16,
}

impl Suspect {
    fn new(errno: i32, length: u16) -> Self {
        // Too long for the path as a train, whose datagrams mustn't be fragmented; otherwise the interface can't do trains at all.
        let too_long = matches!(errno, libc::EMSGSIZE | libc::EINVAL);
        Self { limit: if too_long { length - 1 } else { 0 } }
    }
}

fn is_train_fault(errno: i32) -> bool {
    matches!(errno, libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::ENOPROTOOPT | libc::EOPNOTSUPP)
}

fn fault(errno: i32) -> SendFault {
    match errno {
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT => SendFault::Unreachable,
        libc::EMSGSIZE => SendFault::TooLong,
        libc::EPERM | libc::EACCES => SendFault::NotPermitted,
        libc::ENOBUFS | libc::ENOMEM => SendFault::NoBuffers,
        other => SendFault::Other(other),
    }
}

/// One system call's worth of messages, each a datagram or a train.
struct Call<'a> {
    messages: [Message<'a>; MAX_MESSAGES],
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Message<'a> {
    bytes: &'a [u8],
    /// Datagrams in it, and the length of each but the last.
    pieces: usize,
    segment: u16,
}

impl<'a> Call<'a> {
    /// Takes as many pieces from the front as fit.
    fn plan(mut bytes: &'a [u8], mut lengths: &[u16], train_limit: u16, max_messages: usize) -> Self {
        let mut call = Self { messages: [Message::default(); MAX_MESSAGES], count: 0 };
        while call.count < max_messages && !lengths.is_empty() {
            let (pieces, extent) = train(lengths, train_limit);
            let (message, after) = bytes.split_at(extent);
            call.messages[call.count] = Message { bytes: message, pieces, segment: lengths[0] };
            call.count += 1;
            bytes = after;
            lengths = &lengths[pieces..];
        }
        call
    }

    fn planned(&self) -> &[Message<'a>] {
        &self.messages[..self.count]
    }

    fn first_is_train(&self) -> bool {
        self.messages[0].pieces > 1
    }

    /// The pieces and bytes in the first messages.
    fn extent(&self, messages: usize) -> (usize, usize) {
        let done = &self.planned()[..messages];
        (done.iter().map(|message| message.pieces).sum(), done.iter().map(|message| message.bytes.len()).sum())
    }

    fn trains(&self, messages: usize) -> u64 {
        self.planned()[..messages].iter().filter(|message| message.pieces > 1).count() as u64
    }

    /// Makes the call. Returns how many messages the kernel took; an error is about the first.
    fn run(&self, fd: &impl AsRawFd, name: &RawAddress) -> io::Result<usize> {
        if let [message] = self.planned() {
            return if message.pieces == 1 {
                send_one(fd, name, message.bytes)
            } else {
                self.send_train(fd, name, message)
            };
        }
        let mut controls = [Control::default(); MAX_MESSAGES];
        let mut vectors = [NO_VECTOR; MAX_MESSAGES];
        let mut headers = [libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; MAX_MESSAGES];
        for (index, message) in self.planned().iter().enumerate() {
            headers[index].msg_hdr = header(message, name, &mut vectors[index], &mut controls[index]);
        }
        let taken = retry(|| {
            // SAFETY: the first `count` headers point to the name, to as many vectors and controls on this stack frame, and through the vectors to
            // slices that outlive the call; the kernel only reads them.
            cvt(unsafe {
                libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), self.count as libc::c_uint, libc::MSG_NOSIGNAL)
            })
        })?;
        Ok(usize::try_from(taken).unwrap_or(0).min(self.count))
    }

    fn send_train(&self, fd: &impl AsRawFd, name: &RawAddress, message: &Message<'_>) -> io::Result<usize> {
        let mut control = Control::default();
        let mut vector = NO_VECTOR;
        let header = header(message, name, &mut vector, &mut control);
        retry(|| {
            // SAFETY: the header points to the name, to a vector and a control on this stack frame, and through the vector to a slice that
            // outlives the call; the kernel only reads them.
            cvt_len(unsafe { libc::sendmsg(fd.as_raw_fd(), &header, libc::MSG_NOSIGNAL) })
        })?;
        Ok(1)
    }
}

fn send_one(fd: &impl AsRawFd, name: &RawAddress, bytes: &[u8]) -> io::Result<usize> {
    retry(|| {
        // SAFETY: pointer and length are those of a live slice, and the name's those of a live address; the kernel only reads them.
        cvt_len(unsafe {
            libc::sendto(
                fd.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
                std::ptr::from_ref(name).cast(),
                name.len(),
            )
        })
    })?;
    Ok(1)
}

const NO_VECTOR: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

fn header(message: &Message<'_>, name: &RawAddress, vector: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    *vector = libc::iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
    let mut header = empty_header();
    header.msg_name = std::ptr::from_ref(name).cast_mut().cast();
    header.msg_namelen = name.len();
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    if message.pieces > 1 {
        let (bytes, len) = control.set_segment(message.segment);
        header.msg_control = bytes.cast();
        header.msg_controllen = len;
    }
    header
}

/// How many of the first pieces go as one message, and their bytes: those of the first one's length, and one shorter.
fn train(lengths: &[u16], limit: u16) -> (usize, usize) {
    let segment = lengths[0];
    let mut bytes = usize::from(segment);
    if segment > limit {
        return (1, bytes);
    }
    let mut pieces = 1;
    for &length in lengths[1..].iter().take(MAX_TRAIN - 1) {
        if length > segment || length == 0 || bytes + usize::from(length) > MAX_TRAIN_BYTES {
            break;
        }
        pieces += 1;
        bytes += usize::from(length);
        if length < segment {
            break;
        }
    }
    (pieces, bytes)
}
