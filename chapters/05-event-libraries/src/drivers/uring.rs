//! io_uring: completions instead of readiness. The program does not ask whether a call would block; it hands calls over
//! and is told what became of them. One system call hands over many, and brings back what has finished.
//!
//! The price is in who owns memory: a buffer that was handed over is the kernel's until its completion has come.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::mem::{ManuallyDrop, size_of, zeroed};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};

use io_uring::types::{Fd, RecvMsgOut};
use io_uring::{IoUring, cqueue, opcode, squeue};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use super::Sockets;
use crate::echo::{Echo, Wants};
use crate::forwarder::{BUFFER, Forwarder, MAX_SUBSCRIBERS, Route};

/// Calls that can be handed over at once.
const ENTRIES: u32 = 4_096;

/// Datagrams that can be here at a time.
const BUFFERS: usize = 64;

/// The kernel puts a header of 16 bytes and the sender's address in front of the datagram.
const NAME: usize = size_of::<libc::sockaddr_in6>();
const SLOT: usize = 16 + NAME + BUFFER;

/// The name of the buffers' group.
const GROUP: u16 = 0;

/// What a completion is about, in the upper half of its number; the lower half says which one.
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const PROVIDE: u64 = 3 << 32;
const ACCEPT: u64 = 4 << 32;
const CLIENT: u64 = 5 << 32;

/// Why there can be no such ring here, if so.
pub fn refused() -> Option<String> {
    let why = match ring().err()?.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "the sandbox, or kernel.io_uring_disabled, forbids io_uring_setup",
        Some(libc::ENOSYS) => "this kernel has no io_uring",
        Some(libc::EINVAL) => "this kernel is older than Linux 6.1",
        _ => "io_uring_setup fails",
    };
    Some(why.to_owned())
}

fn ring() -> io::Result<IoUring> {
    // One thread hands over; completions are worked on when it asks, and not whenever the kernel likes.
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES)
}

/// The two rings: calls go in by one, results come out by the other.
pub fn serve(sockets: Sockets, forwarder: Forwarder) -> io::Result<Infallible> {
    let ring = ring().map_err(|error| io::Error::new(error.kind(), refused().unwrap_or_default()))?;
    // Never freed: when it fails, the kernel may still be writing to its buffers.
    let mut server = ManuallyDrop::new(Server::new(ring, sockets, forwarder));
    server.run()
}

struct Server {
    ring: IoUring,
    udp: UdpSocket,
    tcp: TcpListener,
    forwarder: Forwarder,
    buffers: Box<[[u8; SLOT]; BUFFERS]>,
    /// How many sends still read from each buffer.
    readers: [u32; BUFFERS],
    /// What receiving is told of the buffers' layout.
    header: Box<libc::msghdr>,
    /// The subscribers as the kernel wants them. It has room for all from the beginning, so that none ever moves.
    names: Vec<SockaddrStorage>,
    clients: HashMap<u32, (TcpStream, Echo)>,
    next_client: u32,
}

impl Server {
    fn new(ring: IoUring, sockets: Sockets, forwarder: Forwarder) -> Server {
        // SAFETY: a plain C structure, for which all zeroes is a value.
        let mut header: Box<libc::msghdr> = Box::new(unsafe { zeroed() });
        header.msg_namelen = NAME as libc::socklen_t;
        Server {
            ring,
            udp: sockets.udp,
            tcp: sockets.tcp,
            forwarder,
            buffers: Box::new([[0; SLOT]; BUFFERS]),
            readers: [0; BUFFERS],
            header,
            names: Vec::with_capacity(MAX_SUBSCRIBERS),
            clients: HashMap::new(),
            next_client: 0,
        }
    }

    // ANCHOR: run
    fn run(&mut self) -> io::Result<Infallible> {
        for index in 0..BUFFERS {
            self.provide(index)?;
        }
        self.receive()?;
        self.accept()?;
        let mut completions = Vec::new();
        loop {
            // The only system call there is: it hands over what was pushed, and waits for at least one completion.
            match self.ring.submit_and_wait(1) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
                result => drop(result?),
            }
            completions.clear();
            completions.extend(self.ring.completion().map(|done| (done.user_data(), done.result(), done.flags())));
            for &(number, result, flags) in &completions {
                let which = number as u32;
                match number - u64::from(which) {
                    RECEIVE => self.received(result, flags)?,
                    SEND => self.sent(which as usize)?,
                    ACCEPT => self.accepted(result, flags)?,
                    CLIENT => self.advance(which, result)?,
                    _ => check(result)?,
                }
            }
        }
    }
    // ANCHOR_END: run

    // ANCHOR: receive
    /// Asks for datagrams until further notice; each comes in a buffer that the kernel picks from the group.
    fn receive(&mut self) -> io::Result<()> {
        let entry = opcode::RecvMsgMulti::new(Fd(self.udp.as_raw_fd()), &raw const *self.header, GROUP);
        push(&mut self.ring, &entry.build().user_data(RECEIVE))
    }

    fn received(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if let Some(index) = cqueue::buffer_select(flags).map(usize::from) {
            self.route(index)?;
        } else if !matches!(-result, 0 | libc::ENOBUFS | libc::EINTR) {
            check(result)?;
        }
        // It has ended, as it does when all buffers are in use. Asked again it waits for the next.
        if !cqueue::more(flags) { self.receive() } else { Ok(()) }
    }

    fn route(&mut self, index: usize) -> io::Result<()> {
        let message = RecvMsgOut::parse(&self.buffers[index], &self.header);
        let Ok(message) = message else { return self.provide(index) };
        let Some(from) = address(message.name_data()) else { return self.provide(index) };
        let bytes = message.payload_data();
        match self.forwarder.handle_datagram(from, bytes) {
            Route::Drop => {}
            Route::Forward => {
                for name in &self.names {
                    let entry = opcode::Send::new(Fd(self.udp.as_raw_fd()), bytes.as_ptr(), bytes.len() as u32)
                        .dest_addr(name.as_ptr())
                        .dest_addr_len(name.len());
                    push(&mut self.ring, &entry.build().user_data(SEND | index as u64))?;
                }
                self.readers[index] = self.names.len() as u32;
            }
            Route::Answer(answer) => {
                // What was handed over goes to those who were subscribers then.
                self.ring.submit()?;
                self.names.clear();
                self.names.extend(self.forwarder.subscribers().iter().map(|&to| SockaddrStorage::from(to)));
                let _ = self.udp.send_to(&answer, from);
            }
        }
        if self.readers[index] == 0 { self.provide(index) } else { Ok(()) }
    }

    /// A send has finished; that it failed changes nothing. After the last one the buffer is the kernel's to fill again.
    fn sent(&mut self, index: usize) -> io::Result<()> {
        self.readers[index] -= 1;
        if self.readers[index] == 0 { self.provide(index) } else { Ok(()) }
    }

    fn provide(&mut self, index: usize) -> io::Result<()> {
        let buffer = &mut self.buffers[index];
        let entry = opcode::ProvideBuffers::new(buffer.as_mut_ptr(), SLOT as i32, 1, GROUP, index as u16);
        // Its completion says nothing, unless it fails.
        push(&mut self.ring, &entry.build().flags(squeue::Flags::SKIP_SUCCESS).user_data(PROVIDE))
    }
    // ANCHOR_END: receive

    fn accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(self.tcp.as_raw_fd())).flags(libc::SOCK_CLOEXEC);
        push(&mut self.ring, &entry.build().user_data(ACCEPT))
    }

    fn accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if result >= 0 {
            // SAFETY: the kernel has just opened it for us.
            let stream = unsafe { TcpStream::from_raw_fd(result) };
            let client = self.next_client;
            self.next_client = self.next_client.wrapping_add(1);
            self.clients.insert(client, (stream, Echo::default()));
            self.continue_with(client)?;
        } else if !matches!(-result, libc::ECONNABORTED | libc::EINTR) {
            check(result)?;
        }
        if cqueue::more(flags) { Ok(()) } else { self.accept() }
    }

    /// Takes what became of a client's read or write; it has one of them under way at a time.
    fn advance(&mut self, client: u32, result: i32) -> io::Result<()> {
        let Some((_, echo)) = self.clients.get_mut(&client) else { return Ok(()) };
        match (usize::try_from(result), echo.wants()) {
            (Ok(count), Wants::Read) => echo.received(count),
            (Ok(count), Wants::Write) if count > 0 => echo.sent(count),
            // It breaks for this client only.
            _ => {
                self.clients.remove(&client);
                return Ok(());
            }
        }
        self.continue_with(client)
    }

    fn continue_with(&mut self, client: u32) -> io::Result<()> {
        let Some((stream, echo)) = self.clients.get_mut(&client) else { return Ok(()) };
        let descriptor = Fd(stream.as_raw_fd());
        let entry = match echo.wants() {
            Wants::Read => {
                let room = echo.room();
                opcode::Recv::new(descriptor, room.as_mut_ptr(), room.len() as u32).build()
            }
            Wants::Write => {
                let pending = echo.pending();
                opcode::Send::new(descriptor, pending.as_ptr(), pending.len() as u32).build()
            }
            Wants::Nothing => {
                self.clients.remove(&client);
                return Ok(());
            }
        };
        push(&mut self.ring, &entry.user_data(CLIENT | u64::from(client)))
    }
}

// ANCHOR: push
/// Puts a call into the ring. When there is no room, what is there is handed over first.
fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: every entry is made above, from memory that the server owns in boxes and never frees while a call is under
    // way: buffers are provided anew only when nobody reads them, `names` and `header` never move, and a client's `Echo`
    // is not touched between its call and that call's completion.
    while unsafe { ring.submission().push(entry) }.is_err() {
        ring.submit()?;
    }
    Ok(())
}
// ANCHOR_END: push

/// A completion's result as an error, when it is one.
fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
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
