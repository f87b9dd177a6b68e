//! Datagrams over TCP: a 2-byte big-endian length, then that many bytes (RFC 4571), as ICE-TCP uses (RFC 6544).

use crate::fd::{cvt, cvt_len, get_option, read, retry, set_option};
use crate::udp::{RawAddress, Sent, local_addr};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Bytes of the length field before each frame.
const LENGTH_SIZE: usize = 2;

/// The read buffer to begin with: enough for what a peer says before it sends media. Strangers connect too.
const FIRST_READ_BUFFER: usize = 4096;

/// The read buffer at its greatest: the longest frame, and as much again, so that a read seldom ends in mid-frame.
const READ_BUFFER: usize = 2 * (LENGTH_SIZE + 65_535);

/// Bytes that the kernel takes before it has sent those that it took earlier. Without this bound its buffer grows to
/// megabytes, which is seconds of video that nobody wants any more; what is beyond waits here, within a bound of ours.
const UNSENT: libc::c_int = 65_536;

/// Frames written with one call; each takes two vectors (the kernel's limit is 1,024).
const FRAMES_PER_CALL: usize = 32;

/// How to open a [`TcpListener`].
#[derive(Debug, Clone, Copy)]
pub struct TcpOptions {
    /// For `[::]`: refuse IPv4 peers (they would otherwise come v4-mapped). No meaning for IPv4.
    pub v6_only: bool,
    /// Connections that may wait to be accepted.
    pub pending: u32,
    /// Bytes that may wait to be sent on each connection before whole frames are dropped.
    pub send_bound: usize,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { v6_only: true, pending: 512, send_bound: 262_144 }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct TcpListener {
    fd: OwnedFd,
    local: SocketAddr,
    send_bound: usize,
}

impl TcpListener {
    /// Opens a listening socket; port 0 lets the kernel choose one. The address may be reused at once after a restart (SO_REUSEADDR).
    ///
    /// # Errors
    /// Those of `socket`, `bind` and `listen`.
    pub fn bind(local: SocketAddr, options: &TcpOptions) -> io::Result<Self> {
        let fd = socket(local)?;
        if local.is_ipv6() {
            set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, options.v6_only.into())?;
        }
        set_option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        let address = RawAddress::new(local, local.is_ipv6());
        // SAFETY: the address lives until the call returns, and its length is its own.
        cvt(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), address.len()) })?;
        let pending = libc::c_int::try_from(options.pending).unwrap_or(libc::c_int::MAX);
        // SAFETY: takes no pointer.
        cvt(unsafe { libc::listen(fd.as_raw_fd(), pending) })?;
        let local = local_addr(&fd)?;
        Ok(Self { fd, local, send_bound: options.send_bound })
    }

    /// The address in use.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Accepts one waiting connection, or `None`. Bound how many are taken a turn: strangers decide how many there are.
    ///
    /// # Errors
    /// Those of `accept4`; connections that were gone before they were accepted are passed over. Out of descriptors (`EMFILE`) is an error that
    /// must not be retried in a loop: the connection stays pending.
    pub fn accept(&mut self) -> io::Result<Option<TcpStream>> {
        loop {
            let mut address = RawAddress::unspecified();
            let mut len = RawAddress::CAPACITY;
            // SAFETY: the address is a valid place of the given capacity.
            let result = cvt(unsafe {
                libc::accept4(
                    self.fd.as_raw_fd(),
                    (&raw mut address).cast(),
                    &mut len,
                    libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
                )
            });
            match result {
                Ok(raw) => {
                    // SAFETY: just created, owned by nobody else.
                    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
                    let Some(remote) = address.get() else { continue };
                    return TcpStream::new(fd, remote, self.send_bound).map(Some);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// What a [`TcpStream::read`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpRead {
    /// Whole frames, to be had by [`TcpStream::frame_mut`] until the next read.
    pub frames: usize,
    /// The peer has closed the connection, or it was reset. Close it after handling the frames.
    pub closed: bool,
}

/// A connection that carries frames.
///
/// Memory is allocated as bytes come, and with the first frame that has to wait.
#[derive(Debug)]
pub struct TcpStream {
    fd: OwnedFd,
    local: SocketAddr,
    remote: SocketAddr,
    inbound: Inbound,
    outbound: Outbound,
    counters: TcpCounters,
}

impl TcpStream {
    /// Opens a connection to a peer; returns before it is established, which writability tells. Frames sent before that wait.
    ///
    /// # Errors
    /// Those of `socket` and `connect`.
    pub fn connect(remote: SocketAddr, send_bound: usize) -> io::Result<Self> {
        let fd = socket(remote)?;
        let address = RawAddress::new(remote, remote.is_ipv6());
        // SAFETY: the address lives until the call returns, and its length is its own.
        let result = cvt(unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), address.len()) });
        match result {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Self::new(fd, remote, send_bound),
        }
    }

    fn new(fd: OwnedFd, remote: SocketAddr, send_bound: usize) -> io::Result<Self> {
        set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        set_option(&fd, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT)?;
        let local = local_addr(&fd)?;
        Ok(Self {
            fd,
            local,
            remote,
            inbound: Inbound::default(),
            outbound: Outbound { waiting: VecDeque::new(), bound: send_bound },
            counters: TcpCounters::default(),
        })
    }

    /// Our address.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer's address; a v4-mapped one is given as IPv4.
    #[must_use]
    pub const fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    /// The error that a connection attempt or an earlier send ended with, if any. Asking clears it.
    ///
    /// # Errors
    /// Those of `getsockopt`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let errno = get_option(&self.fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
        Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
    }

    /// Reads what has arrived, at most one buffer full. The frames of the read before are no longer valid.
    ///
    /// # Errors
    /// Those of `read`, except that "nothing there" is no error and a broken connection counts as closed.
    pub fn read(&mut self) -> io::Result<TcpRead> {
        self.counters.receive_calls += 1;
        let room = self.inbound.make_room();
        let closed = match read(&self.fd, room) {
            Ok(0) => true,
            Ok(count) => {
                self.inbound.received(count);
                false
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => false,
                io::ErrorKind::ConnectionReset | io::ErrorKind::TimedOut | io::ErrorKind::BrokenPipe => true,
                _ => return Err(error),
            },
        };
        let frames = self.inbound.frames.len();
        self.counters.frames_received += frames as u64;
        Ok(TcpRead { frames, closed })
    }

    /// The payload of a frame of the last read, by index. Panics when there is no such frame, as slices do.
    #[must_use]
    pub fn frame(&self, index: usize) -> &[u8] {
        &self.inbound.buffer[self.inbound.frames[index].clone()]
    }

    /// The same, to be changed in place.
    #[must_use]
    pub fn frame_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.inbound.buffer[self.inbound.frames[index].clone()]
    }

    /// Sends consecutive pieces of a buffer as one frame each: `lengths[0]` bytes, then `lengths[1]` bytes, and so on.
    ///
    /// What the kernel doesn't take waits; beyond the bound whole frames are dropped and counted.
    ///
    /// # Errors
    /// The connection is broken (`EPIPE`, `ECONNRESET`, ...): nothing will be sent any more.
    ///
    /// # Panics
    /// When the lengths add up to more than the buffer.
    pub fn send_segments(&mut self, buffer: &[u8], lengths: &[u16]) -> io::Result<Sent> {
        let mut sent = Sent::default();
        let mut rest = buffer;
        for lengths in lengths.chunks(FRAMES_PER_CALL) {
            let mut prefixes = [[0_u8; LENGTH_SIZE]; FRAMES_PER_CALL];
            let mut pieces: [&[u8]; 2 * FRAMES_PER_CALL] = [&[]; 2 * FRAMES_PER_CALL];
            for (prefix, &length) in prefixes.iter_mut().zip(lengths) {
                *prefix = length.to_be_bytes();
            }
            for (index, (&length, prefix)) in lengths.iter().zip(&prefixes).enumerate() {
                let (payload, after) = rest.split_at(length.into());
                rest = after;
                pieces[2 * index] = prefix;
                pieces[2 * index + 1] = payload;
            }
            let mut taken = if self.outbound.waiting.is_empty() {
                self.counters.send_calls += 1;
                write_vectored(&self.fd, &pieces[..2 * lengths.len()])?
            } else {
                0
            };
            for frame in pieces[..2 * lengths.len()].chunks_exact(2) {
                let length = frame[0].len() + frame[1].len();
                if taken >= length {
                    sent.sent += 1;
                } else if self.outbound.push(frame, taken) {
                    sent.queued += 1;
                } else {
                    sent.dropped += 1;
                    sent.dropped_bytes += frame[1].len();
                }
                taken = taken.saturating_sub(length);
            }
        }
        self.counters.frames_sent += (sent.sent + sent.queued) as u64;
        self.counters.frames_dropped += sent.dropped as u64;
        Ok(sent)
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// As [`TcpStream::send_segments`]; `InvalidInput` beyond 65,535 bytes.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<Sent> {
        let length = u16::try_from(payload.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame holds at most 65,535 bytes"))?;
        self.send_segments(payload, &[length])
    }

    /// Writes what the kernel takes of the queue now. Call it when the connection is writable.
    ///
    /// # Errors
    /// As [`TcpStream::send_segments`].
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.outbound.waiting.is_empty() {
            self.counters.send_calls += 1;
            let (first, second) = self.outbound.waiting.as_slices();
            let taken = write_vectored(&self.fd, &[first, second])?;
            if taken == 0 {
                break;
            }
            self.outbound.waiting.drain(..taken);
        }
        Ok(())
    }

    /// Whether something waits: poll for writability, then [`TcpStream::flush`].
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.outbound.waiting.is_empty()
    }

    /// What this connection has done so far.
    #[must_use]
    pub const fn counters(&self) -> &TcpCounters {
        &self.counters
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// What a connection has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Receive system calls.
    pub receive_calls: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Send system calls.
    pub send_calls: u64,
    /// Frames handed to the kernel or queued.
    pub frames_sent: u64,
    /// Frames dropped because the queue was full.
    pub frames_dropped: u64,
}

/// The receiving side: bytes become frames where they lie.
#[derive(Debug, Default)]
struct Inbound {
    buffer: Vec<u8>,
    /// `buffer[start..end]` belongs to a frame that isn't complete.
    start: usize,
    end: usize,
    /// The payloads of the complete frames before `start`.
    frames: Vec<Range<usize>>,
}

impl Inbound {
    /// Gives up the complete frames, moves the incomplete one to the front, and returns the free space, which is never empty.
    fn make_room(&mut self) -> &mut [u8] {
        // Full, by the last read or from the beginning: grow as bytes come, not as they are announced.
        if self.end == self.buffer.len() && self.buffer.len() < READ_BUFFER {
            self.buffer.resize((2 * self.end).clamp(FIRST_READ_BUFFER, READ_BUFFER), 0);
        }
        self.frames.clear();
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.buffer[self.end..]
    }

    /// Notes that so many bytes have been received into the free space.
    fn received(&mut self, count: usize) {
        self.end += count;
        while let Some(&length) = self.buffer[self.start..self.end].first_chunk::<LENGTH_SIZE>() {
            let payload = self.start + LENGTH_SIZE;
            let next = payload + usize::from(u16::from_be_bytes(length));
            if next > self.end {
                break;
            }
            self.frames.push(payload..next);
            self.start = next;
        }
    }
}

/// The sending side: bytes that the kernel hasn't taken.
#[derive(Debug)]
struct Outbound {
    waiting: VecDeque<u8>,
    bound: usize,
}

impl Outbound {
    /// Queues a frame given in pieces, of which the kernel has already taken so many bytes. One that has been begun is queued at any cost, since the stream
    /// would otherwise lose its framing; a whole one only within the bound.
    fn push(&mut self, pieces: &[&[u8]], mut taken: usize) -> bool {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if taken == 0 && self.waiting.len() + length > self.bound {
            return false;
        }
        for piece in pieces {
            let skip = taken.min(piece.len());
            self.waiting.extend(&piece[skip..]);
            taken -= skip;
        }
        true
    }
}

fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let domain = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: takes no pointer.
    let raw = cvt(unsafe { libc::socket(domain, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just created, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Writes pieces one after another; zero when there is no room, or the connection isn't established yet.
fn write_vectored(fd: &OwnedFd, pieces: &[&[u8]]) -> io::Result<usize> {
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 2 * FRAMES_PER_CALL];
    for (vector, piece) in vectors.iter_mut().zip(pieces) {
        *vector = libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
    }
    // SAFETY: integers and pointers, for which zero and null are values.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vectors.as_mut_ptr();
    header.msg_iovlen = pieces.len().min(vectors.len());
    let result = retry(|| {
        // SAFETY: the header points to vectors on this stack frame, the first `msg_iovlen` of which point to live slices; the kernel only
        // reads them.
        cvt_len(unsafe { libc::sendmsg(fd.as_raw_fd(), &header, libc::MSG_NOSIGNAL) })
    });
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(0),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_buffer_grows_with_what_comes_and_has_a_limit() {
        let mut inbound = Inbound::default();
        // The longest frame is announced, and one byte of it comes.
        inbound.make_room()[..3].copy_from_slice(&[0xff, 0xff, 7]);
        inbound.received(3);
        assert_eq!(inbound.make_room().len() + 3, FIRST_READ_BUFFER);
        let mut sent = 3;
        while inbound.frames.is_empty() {
            let room = inbound.make_room().len();
            assert!(room > 0);
            assert!(sent + room <= 2 * sent.max(FIRST_READ_BUFFER / 2), "{sent} bytes have come");
            let more = room.min(LENGTH_SIZE + 65_535 - sent);
            inbound.received(more);
            sent += more;
        }
        assert_eq!((inbound.frames.len(), inbound.frames[0].len()), (1, 65_535));
        // A peer that fills every read gets the greatest buffer, and no more.
        for _ in 0..100 {
            let room = inbound.make_room().len();
            inbound.received(room);
        }
        assert_eq!(inbound.buffer.len(), READ_BUFFER);
    }
}
