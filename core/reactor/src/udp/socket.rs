//! The socket: opening it, receiving, and what waits to be sent.

use super::address::RawAddress;
use super::backlog::{Backlog, Front};
use super::batch::RecvBatch;
use super::send::{self, SendPath, Sent};
use crate::fd::{cvt, cvt_len, get_option, retry, set_option};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// How to open a [`UdpSocket`].
#[derive(Debug, Clone, Copy)]
pub struct UdpOptions {
    /// For an IPv6 socket: no IPv4. Without it `[::]` serves IPv4 peers too; their addresses are given and taken as IPv4. No meaning for IPv4.
    pub v6_only: bool,
    /// Let several sockets share the address (SO_REUSEPORT); the kernel spreads senders over them.
    pub reuse_port: bool,
    /// Bytes that may wait to be received; `None` for the system's default. The kernel doubles it for its own overhead and
    /// caps it at `net.core.rmem_max` unless the process is privileged.
    pub receive_buffer: Option<usize>,
    /// Bytes that may wait to be sent, likewise (`net.core.wmem_max`).
    pub send_buffer: Option<usize>,
    /// Receive trains (UDP_GRO) where the kernel can.
    pub gro: bool,
    /// Send trains (UDP_SEGMENT) where the kernel can.
    pub gso: bool,
    /// Use `recvmmsg` and `sendmmsg` where the kernel can, otherwise `recvmsg` and `sendmsg`.
    pub multi_message: bool,
    /// Datagrams that may wait here after the socket's own buffer is full; more are dropped and counted.
    pub backlog_datagrams: usize,
    /// Bytes that may wait here.
    pub backlog_bytes: usize,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            v6_only: true,
            reuse_port: false,
            receive_buffer: None,
            send_buffer: None,
            gro: true,
            gso: true,
            multi_message: true,
            backlog_datagrams: 1024,
            backlog_bytes: 1_048_576,
        }
    }
}

/// What a socket has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Receive system calls, those that found nothing included.
    pub receive_calls: u64,
    /// Datagrams received.
    pub received: u64,
    /// Messages that were longer than their slot.
    pub truncated: u64,
    /// Send system calls, failed ones included.
    pub send_calls: u64,
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// Trains among them.
    pub trains: u64,
    /// Trains that the kernel refused and that went datagram by datagram instead.
    pub train_fallbacks: u64,
    /// Datagrams that had to wait in the backlog.
    pub queued: u64,
    /// Datagrams dropped because the backlog was full.
    pub overflowed: u64,
    /// Errors that earlier datagrams had met on their way (ICMP), told by a later call. Consumed.
    pub icmp_errors: u64,
    /// Datagrams dropped: no route, or no such host.
    pub unreachable: u64,
    /// Datagrams dropped: longer than a datagram, or the route, can be.
    pub too_long: u64,
    /// Datagrams dropped for another reason (a firewall, no buffers).
    pub refused: u64,
}

/// A non-blocking UDP socket, bound and not connected.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    local: SocketAddr,
    multi_receive: bool,
    path: SendPath,
    backlog: Backlog,
    counters: UdpCounters,
}

impl UdpSocket {
    /// Opens a socket on a local address; port 0 lets the kernel choose one.
    ///
    /// # Errors
    /// Those of `socket`, `setsockopt` and `bind`. Missing GRO or GSO is no error.
    pub fn bind(local: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let domain = if local.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
        // SAFETY: takes no pointer.
        let raw = cvt(unsafe { libc::socket(domain, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: just created, owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        if local.is_ipv6() {
            set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, options.v6_only.into())?;
        }
        if options.reuse_port {
            set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        if let Some(bytes) = options.receive_buffer {
            set_buffer(&fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, bytes)?;
        }
        if let Some(bytes) = options.send_buffer {
            set_buffer(&fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, bytes)?;
        }
        if options.gro {
            // Where it fails, datagrams just come one a message.
            let _ = set_option(&fd, libc::SOL_UDP, libc::UDP_GRO, 1);
        }
        // A kernel that doesn't know UDP_SEGMENT would ignore it in a message and send a train as one huge datagram: so ask first.
        let gso = options.gso && get_option(&fd, libc::SOL_UDP, libc::UDP_SEGMENT).is_ok();

        let address = RawAddress::new(local, local.is_ipv6());
        // SAFETY: the address lives until the call returns, and its length is its own.
        cvt(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), address.len()) })?;
        let local = local_addr(&fd)?;
        Ok(Self {
            fd,
            local,
            multi_receive: options.multi_message,
            path: SendPath::new(local.is_ipv6(), gso, options.multi_message),
            backlog: Backlog::new(options.backlog_datagrams, options.backlog_bytes),
            counters: UdpCounters::default(),
        })
    }

    /// The address in use.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Appends to the batch what waits to be received, as far as it has slots. Returns the number of datagrams appended;
    /// their indices follow on those already there. Zero means that nothing was there, or that the batch is full.
    ///
    /// Errors that datagrams sent earlier have met (ICMP port unreachable and the like) are consumed and counted.
    ///
    /// # Errors
    /// Those of `recvmmsg` that say that the socket itself is unusable.
    pub fn recv_batch(&mut self, batch: &mut RecvBatch) -> io::Result<usize> {
        let before = batch.len();
        while !batch.is_full() {
            self.counters.receive_calls += 1;
            let result = if self.multi_receive { self.recv_many(batch) } else { self.recv_one(batch) };
            match result {
                Ok(More::Likely) => {}
                Ok(More::No) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if send::is_icmp(&error) => self.counters.icmp_errors += 1,
                Err(error) if self.multi_receive && error.raw_os_error() == Some(libc::ENOSYS) => {
                    self.multi_receive = false;
                }
                Err(error) if batch.len() == before => return Err(error),
                // The next call will tell it again.
                Err(_) => break,
            }
        }
        let received = batch.len() - before;
        self.counters.received += received as u64;
        Ok(received)
    }

    /// Sends consecutive pieces of a buffer to one destination: `lengths[0]` bytes, then `lengths[1]` bytes, and so on.
    ///
    /// Pieces of equal length, and a shorter one after them, leave as one train, as many as fit; the kernel gets all of them in one call where
    /// it can. When the socket's buffer is full, the rest waits in the backlog within its bounds and goes, in order, before anything sent later.
    /// Never fails as a whole: what became of the pieces is in the result.
    ///
    /// # Panics
    /// When the lengths add up to more than the buffer.
    pub fn send_segments(&mut self, to: SocketAddr, buffer: &[u8], lengths: &[u16]) -> Sent {
        let mut sent = Sent::default();
        let mut handled = 0;
        if self.backlog.is_empty() {
            let outcome = self.path.transmit(&self.fd, to, buffer, lengths, &mut self.counters);
            handled = outcome.handled;
            sent = Sent {
                sent: outcome.sent,
                queued: 0,
                dropped: outcome.handled - outcome.sent,
                dropped_bytes: outcome.lost_bytes,
                fault: outcome.fault,
            };
        }
        let mut rest = &buffer[lengths[..handled].iter().map(|&length| usize::from(length)).sum()..];
        for &length in &lengths[handled..] {
            let (piece, after) = rest.split_at(length.into());
            rest = after;
            if self.backlog.push(to, piece) {
                sent.queued += 1;
            } else {
                sent.dropped += 1;
                sent.dropped_bytes += piece.len();
                self.counters.overflowed += 1;
            }
        }
        self.counters.queued += sent.queued as u64;
        sent
    }

    /// Sends one datagram. See [`UdpSocket::send_segments`].
    pub fn send_to(&mut self, to: SocketAddr, payload: &[u8]) -> Sent {
        match u16::try_from(payload.len()) {
            Ok(length) => self.send_segments(to, payload, &[length]),
            Err(_) => {
                self.counters.too_long += 1;
                Sent {
                    dropped: 1,
                    dropped_bytes: payload.len(),
                    fault: Some(send::SendFault::TooLong),
                    ..Sent::default()
                }
            }
        }
    }

    /// Sends what waits in the backlog, until the socket's buffer is full again. Call it when the socket is writable.
    pub fn flush(&mut self) {
        let mut lengths = [0_u16; send::MAX_TRAIN];
        while let Some(Front { to, bytes, lengths }) = self.backlog.front(&mut lengths) {
            let outcome = self.path.transmit(&self.fd, to, bytes, lengths, &mut self.counters);
            let blocked = outcome.handled < lengths.len();
            self.backlog.pop(outcome.handled);
            if blocked {
                return;
            }
        }
    }

    /// Whether datagrams wait: poll for writability, then [`UdpSocket::flush`].
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// How many datagrams wait.
    #[must_use]
    pub fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    /// What this socket has done so far.
    #[must_use]
    pub const fn counters(&self) -> &UdpCounters {
        &self.counters
    }

    fn recv_many(&mut self, batch: &mut RecvBatch) -> io::Result<More> {
        /// Messages a call. Few, because each costs some set-up even when nothing comes; with GRO each may be a train.
        const BURST: usize = 16;
        let mut remotes = [RawAddress::unspecified(); BURST];
        let mut controls = [Control::default(); BURST];
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BURST];
        let mut messages = [libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }; BURST];
        let count = batch.free_slots().min(BURST);
        for index in 0..count {
            vectors[index] = vector(batch.slot(index));
            messages[index].msg_hdr = header(&mut remotes[index], &mut vectors[index], &mut controls[index]);
        }
        let received = retry(|| {
            // SAFETY: the first `count` headers point to as many names, vectors and controls, all alive on this stack frame and not
            // otherwise used during the call, and through the vectors to distinct slots of the exclusively borrowed batch. A null timeout is allowed.
            cvt(unsafe {
                libc::recvmmsg(
                    self.fd.as_raw_fd(),
                    messages.as_mut_ptr(),
                    count as libc::c_uint,
                    0,
                    std::ptr::null_mut(),
                )
            })
        })?;
        let received = usize::try_from(received).unwrap_or(0).min(count);
        for index in 0..received {
            let message = &messages[index];
            self.accept(batch, &remotes[index], &message.msg_hdr, message.msg_len as usize, &controls[index]);
        }
        Ok(if received == count { More::Likely } else { More::No })
    }

    fn recv_one(&mut self, batch: &mut RecvBatch) -> io::Result<More> {
        let mut remote = RawAddress::unspecified();
        let mut control = Control::default();
        let mut vector = vector(batch.slot(0));
        let mut message = header(&mut remote, &mut vector, &mut control);
        let len = retry(|| {
            // SAFETY: the header points to a name, a vector and a control alive on this stack frame and not otherwise used during
            // the call, and through the vector to a slot of the exclusively borrowed batch.
            cvt_len(unsafe { libc::recvmsg(self.fd.as_raw_fd(), &mut message, 0) })
        })?;
        self.accept(batch, &remote, &message, len, &control);
        Ok(More::Likely)
    }

    fn accept(
        &mut self,
        batch: &mut RecvBatch,
        remote: &RawAddress,
        header: &libc::msghdr,
        len: usize,
        control: &Control,
    ) {
        let truncated = header.msg_flags & libc::MSG_TRUNC != 0;
        self.counters.truncated += u64::from(truncated);
        batch.accept(remote, len, control.gro_segment(header.msg_controllen), truncated);
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Whether to call again.
enum More {
    Likely,
    No,
}

/// Room for one control message that holds a c_int.
#[derive(Clone, Copy, Default)]
#[repr(C, align(8))]
pub(super) struct Control {
    bytes: [u8; Control::CAPACITY],
}

impl Control {
    // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
    pub(super) const CAPACITY: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::c_int>() as libc::c_uint) } as usize;
    // SAFETY: as above.
    const DATA: usize = unsafe { libc::CMSG_LEN(0) } as usize;

    /// Fills it with the length of a train's datagrams. Returns what goes into a message header.
    pub(super) fn set_segment(&mut self, segment: u16) -> (*mut u8, usize) {
        let len = Self::DATA + size_of::<u16>();
        let header = libc::cmsghdr { cmsg_len: len, cmsg_level: libc::SOL_UDP, cmsg_type: libc::UDP_SEGMENT };
        // SAFETY: there is room for a cmsghdr (CAPACITY includes one), aligned (align(8)).
        unsafe { self.bytes.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
        self.bytes[Self::DATA..len].copy_from_slice(&segment.to_ne_bytes());
        (self.bytes.as_mut_ptr(), len)
    }

    /// The length of a train's datagrams, when the kernel says that the message is one.
    fn gro_segment(&self, control_len: usize) -> Option<usize> {
        let header = size_of::<libc::cmsghdr>();
        if control_len < Self::DATA + size_of::<libc::c_int>() || Self::DATA < header {
            return None;
        }
        // SAFETY: at least a cmsghdr's worth of bytes is there and aligned (align(8)); it consists of integers only.
        let cmsg = unsafe { self.bytes.as_ptr().cast::<libc::cmsghdr>().read() };
        if cmsg.cmsg_level != libc::SOL_UDP || cmsg.cmsg_type != libc::UDP_GRO {
            return None;
        }
        let segment = self.bytes[Self::DATA..].first_chunk()?;
        usize::try_from(libc::c_int::from_ne_bytes(*segment)).ok()
    }
}

fn vector(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

pub(super) const fn empty_header() -> libc::msghdr {
    // SAFETY: integers and pointers, for which zero and null are values.
    unsafe { std::mem::zeroed() }
}

fn header(remote: &mut RawAddress, vector: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    let mut header = empty_header();
    header.msg_name = (&raw mut *remote).cast();
    header.msg_namelen = RawAddress::CAPACITY;
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.as_mut_ptr().cast();
    header.msg_controllen = Control::CAPACITY;
    header
}

fn set_buffer(fd: &OwnedFd, privileged: libc::c_int, ordinary: libc::c_int, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(fd, libc::SOL_SOCKET, privileged, bytes).or_else(|_| set_option(fd, libc::SOL_SOCKET, ordinary, bytes))
}

/// The address that a socket is bound to.
pub(crate) fn local_addr(fd: &impl AsRawFd) -> io::Result<SocketAddr> {
    let mut address = RawAddress::unspecified();
    let mut len = RawAddress::CAPACITY;
    // SAFETY: the address is a valid place of the given capacity.
    cvt(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &mut len) })?;
    address.get().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}
