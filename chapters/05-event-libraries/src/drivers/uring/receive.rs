//! Two ways to receive with io_uring: each datagram asked for by a call of its own, or all of them by one call until further
//! notice, into buffers that the kernel picks from a ring of its own.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed, RecvMsgOut};
use io_uring::{IoUring, cqueue, opcode, squeue};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use super::RECEIVE;
use crate::drivers::batch;
use crate::forwarder::BUFFER;

/// Datagrams that can be here at a time; a power of two.
pub const BUFFERS: usize = 64;

/// What the rest of the driver needs of either way. Buffers go by their index.
pub trait Receive {
    /// Gets ready: what the kernel is to know from the beginning.
    ///
    /// # Errors
    /// The kernel doesn't know how.
    fn register(&mut self, ring: &IoUring) -> io::Result<()>;

    /// The call that receives, if one is to be made now.
    fn call(&mut self) -> Option<squeue::Entry>;

    /// Takes a completion: which buffer it has filled, if any.
    fn completed(&mut self, result: i32, flags: u32) -> Option<usize>;

    /// The datagram in a buffer.
    fn datagram(&self, index: usize) -> Option<(SocketAddr, &[u8])>;

    /// Nobody reads the buffer any more: it may be filled again.
    fn release(&mut self, index: usize);

    /// The call that sends these bytes there.
    fn send(&self, bytes: &[u8], to: &SockaddrStorage) -> squeue::Entry;
}

/// A call a datagram, one at a time so that they come in order.
pub struct Single {
    socket: i32,
    buffers: Box<[[u8; BUFFER]; BUFFERS]>,
    lengths: [usize; BUFFERS],
    names: Box<[libc::sockaddr_storage; BUFFERS]>,
    vector: Box<libc::iovec>,
    header: Box<libc::msghdr>,
    free: Vec<usize>,
    under_way: Option<usize>,
}

impl Single {
    pub fn new(socket: &UdpSocket) -> Single {
        Single {
            socket: socket.as_raw_fd(),
            buffers: Box::new([[0; BUFFER]; BUFFERS]),
            lengths: [0; BUFFERS],
            // SAFETY: plain C structures, for which all zeroes is a value.
            names: Box::new(unsafe { zeroed() }),
            // SAFETY: the same.
            vector: Box::new(unsafe { zeroed() }),
            // SAFETY: the same.
            header: Box::new(unsafe { zeroed() }),
            free: (0..BUFFERS).collect(),
            under_way: None,
        }
    }
}

impl Receive for Single {
    fn register(&mut self, _: &IoUring) -> io::Result<()> {
        Ok(())
    }

    fn call(&mut self) -> Option<squeue::Entry> {
        if self.under_way.is_some() {
            return None;
        }
        // When sends still read from all of them, the next one that is done with asks.
        let index = self.free.pop()?;
        self.under_way = Some(index);
        let buffer = &mut self.buffers[index];
        *self.vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        self.header.msg_name = (&raw mut self.names[index]).cast();
        self.header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        self.header.msg_iov = &raw mut *self.vector;
        self.header.msg_iovlen = 1;
        let entry = opcode::RecvMsg::new(Fd(self.socket), &raw mut *self.header);
        Some(entry.build().user_data(RECEIVE))
    }

    fn completed(&mut self, result: i32, _: u32) -> Option<usize> {
        let index = self.under_way.take()?;
        match usize::try_from(result) {
            Ok(length) => {
                self.lengths[index] = length;
                Some(index)
            }
            // It is asked for again.
            Err(_) => {
                self.free.push(index);
                None
            }
        }
    }

    fn datagram(&self, index: usize) -> Option<(SocketAddr, &[u8])> {
        let from = batch::address(&self.names[index], size_of::<libc::sockaddr_storage>() as libc::socklen_t)?;
        Some((from, &self.buffers[index][..self.lengths[index]]))
    }

    fn release(&mut self, index: usize) {
        self.free.push(index);
    }

    fn send(&self, bytes: &[u8], to: &SockaddrStorage) -> squeue::Entry {
        let entry = opcode::Send::new(Fd(self.socket), bytes.as_ptr(), bytes.len() as u32);
        entry.dest_addr(to.as_ptr()).dest_addr_len(to.len()).build()
    }
}

/// The kernel puts a header of 16 bytes and the sender's address in front of the datagram.
const NAME: usize = size_of::<libc::sockaddr_in6>();
const SLOT: usize = 16 + NAME + BUFFER;

/// The name of the buffers' group.
const GROUP: u16 = 0;

/// The socket's place in the ring's table of registered files: the kernel need not look it up for each call.
const SOCKET: Fixed = Fixed(0);

/// The ring of free buffers, which the kernel reads by itself. It has to lie at the beginning of a page.
#[repr(C, align(4096))]
struct FreeBuffers([BufRingEntry; BUFFERS]);

/// One call for all datagrams, a registered ring of buffers, and a registered socket.
pub struct Multishot {
    socket: i32,
    buffers: Box<[[u8; SLOT]; BUFFERS]>,
    free: Box<FreeBuffers>,
    /// How many buffers have been put into the ring so far.
    tail: u16,
    /// What receiving is told of the buffers' layout.
    header: Box<libc::msghdr>,
    under_way: bool,
}

impl Multishot {
    pub fn new(socket: &UdpSocket) -> Multishot {
        // SAFETY: a plain C structure, for which all zeroes is a value.
        let mut header: Box<libc::msghdr> = Box::new(unsafe { zeroed() });
        header.msg_namelen = NAME as libc::socklen_t;
        Multishot {
            socket: socket.as_raw_fd(),
            buffers: Box::new([[0; SLOT]; BUFFERS]),
            // SAFETY: the same.
            free: Box::new(unsafe { zeroed() }),
            tail: 0,
            header,
            under_way: false,
        }
    }
}

impl Receive for Multishot {
    // ANCHOR: register
    /// What the kernel would look up and check for each call is told once: the socket, and the ring of free buffers.
    fn register(&mut self, ring: &IoUring) -> io::Result<()> {
        ring.submitter().register_files(&[self.socket])?;
        let address = (&raw const *self.free) as u64;
        // SAFETY: the ring lies in a box that the server never frees.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, BUFFERS as u16, GROUP, 0)? };
        (0..BUFFERS).for_each(|index| self.release(index));
        Ok(())
    }

    /// Asks for datagrams until further notice; each comes in a buffer that the kernel picks from the ring. It ends when
    /// all buffers are in use. Asked again it waits for the next.
    fn call(&mut self) -> Option<squeue::Entry> {
        if std::mem::replace(&mut self.under_way, true) {
            return None;
        }
        let entry = opcode::RecvMsgMulti::new(SOCKET, &raw const *self.header, GROUP);
        Some(entry.build().user_data(RECEIVE))
    }

    fn completed(&mut self, _: i32, flags: u32) -> Option<usize> {
        self.under_way = cqueue::more(flags);
        cqueue::buffer_select(flags).map(usize::from)
    }

    /// Puts a buffer back into the ring. No call tells the kernel: it sees the ring's new end.
    fn release(&mut self, index: usize) {
        let slot = &mut self.free.0[usize::from(self.tail) % BUFFERS];
        slot.set_addr(self.buffers[index].as_mut_ptr() as u64);
        slot.set_len(SLOT as u32);
        slot.set_bid(index as u16);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the pointer is to the first entry of the ring, where its end is kept; the kernel reads it, and only we
        // write it.
        let end = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.free.0.as_ptr()).cast_mut()) };
        // Not before what the entry says.
        end.store(self.tail, Ordering::Release);
    }
    // ANCHOR_END: register

    fn datagram(&self, index: usize) -> Option<(SocketAddr, &[u8])> {
        let buffer = &self.buffers[index];
        let message = RecvMsgOut::parse(buffer, &self.header).ok()?;
        let from = address(message.name_data())?;
        // It comes last, behind room for the longest address.
        let (_, payload) = buffer.split_last_chunk::<BUFFER>()?;
        Some((from, payload.get(..message.payload_data().len())?))
    }

    fn send(&self, bytes: &[u8], to: &SockaddrStorage) -> squeue::Entry {
        let entry = opcode::Send::new(SOCKET, bytes.as_ptr(), bytes.len() as u32);
        entry.dest_addr(to.as_ptr()).dest_addr_len(to.len()).build()
    }
}

/// A sockaddr_in or sockaddr_in6, by its bytes.
fn address(name: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = name.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => Some(SocketAddr::from((*rest.first_chunk::<4>()?, port))),
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk()?;
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            let (flow, scope) = (u32::from_be_bytes(*flow), u32::from_ne_bytes(*rest.first_chunk()?));
            Some(SocketAddrV6::new(Ipv6Addr::from(*ip), port, flow, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        for text in ["127.0.0.1:7000", "[::1]:65535", "[fe80::7%3]:1"] {
            let expected: SocketAddr = text.parse().unwrap();
            let name = SockaddrStorage::from(expected);
            // SAFETY: the address is that long.
            let bytes = unsafe { std::slice::from_raw_parts(name.as_ptr().cast::<u8>(), name.len() as usize) };
            assert_eq!(address(bytes), Some(expected));
            assert_eq!(address(&bytes[..7]), None);
        }
    }
}
