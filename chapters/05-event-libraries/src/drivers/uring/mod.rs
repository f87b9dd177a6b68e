//! io_uring: completions instead of readiness. The program does not ask whether a call would block; it hands calls over
//! and is told what became of them. One system call hands over many, and brings back what has finished.
//!
//! The price is in who owns memory: a buffer that was handed over is the kernel's until its completion has come.

mod receive;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};

use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode, squeue};
use nix::sys::socket::SockaddrStorage;

use super::Sockets;
use crate::echo::{Echo, Wants};
use crate::forwarder::{Forwarder, MAX_SUBSCRIBERS, Route};
use receive::{BUFFERS, Multishot, Receive, Single};

/// Calls that can be handed over at once.
const ENTRIES: u32 = 4_096;

/// What a completion is about, in the upper half of its number; the lower half says which one.
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const ACCEPT: u64 = 3 << 32;
const CLIENT: u64 = 4 << 32;

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

/// The two rings: calls go in by one, results come out by the other. Each datagram is received by a call of its own.
pub fn serve_plain(sockets: Sockets, forwarder: Forwarder) -> io::Result<Infallible> {
    let receive = Single::new(&sockets.udp);
    serve_with(receive, sockets, forwarder)
}

/// The same, with all that spares the kernel work: see [`Multishot`].
pub fn serve(sockets: Sockets, forwarder: Forwarder) -> io::Result<Infallible> {
    let receive = Multishot::new(&sockets.udp);
    serve_with(receive, sockets, forwarder)
}

fn serve_with(receive: impl Receive, sockets: Sockets, forwarder: Forwarder) -> io::Result<Infallible> {
    let ring = ring().map_err(|error| io::Error::new(error.kind(), refused().unwrap_or_default()))?;
    // Never freed: when it fails, the kernel may still be writing to its buffers.
    let mut server = ManuallyDrop::new(Server::new(ring, receive, sockets, forwarder));
    server.run()
}

struct Server<R> {
    ring: IoUring,
    receive: R,
    udp: UdpSocket,
    tcp: TcpListener,
    forwarder: Forwarder,
    /// How many sends still read from each buffer.
    readers: [u32; BUFFERS],
    /// The subscribers as the kernel wants them. It has room for all from the beginning, so that none ever moves.
    names: Vec<SockaddrStorage>,
    clients: HashMap<u32, (TcpStream, Echo)>,
    next_client: u32,
}

impl<R: Receive> Server<R> {
    fn new(ring: IoUring, receive: R, sockets: Sockets, forwarder: Forwarder) -> Server<R> {
        Server {
            ring,
            receive,
            udp: sockets.udp,
            tcp: sockets.tcp,
            forwarder,
            readers: [0; BUFFERS],
            names: Vec::with_capacity(MAX_SUBSCRIBERS),
            clients: HashMap::new(),
            next_client: 0,
        }
    }

    // ANCHOR: run
    fn run(&mut self) -> io::Result<Infallible> {
        self.receive.register(&self.ring)?;
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
                    _ => self.advance(which, result)?,
                }
            }
        }
    }
    // ANCHOR_END: run

    // ANCHOR: receive
    /// Asks for datagrams, if that is to be done now.
    fn receive(&mut self) -> io::Result<()> {
        match self.receive.call() {
            Some(entry) => push(&mut self.ring, &entry),
            None => Ok(()),
        }
    }

    fn received(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if let Some(index) = self.receive.completed(result, flags) {
            self.route(index)?;
        } else if !matches!(-result, 0 | libc::ENOBUFS | libc::EINTR) {
            check(result)?;
        }
        self.receive()
    }

    fn route(&mut self, index: usize) -> io::Result<()> {
        if let Some((from, bytes)) = self.receive.datagram(index) {
            match self.forwarder.handle_datagram(from, bytes) {
                Route::Drop => {}
                Route::Forward => {
                    for name in &self.names {
                        push(&mut self.ring, &self.receive.send(bytes, name).user_data(SEND | index as u64))?;
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
        }
        if self.readers[index] == 0 {
            self.receive.release(index);
        }
        Ok(())
    }

    /// A send has finished; that it failed changes nothing. After the last one the buffer is the kernel's to fill again.
    fn sent(&mut self, index: usize) -> io::Result<()> {
        self.readers[index] -= 1;
        if self.readers[index] > 0 {
            return Ok(());
        }
        self.receive.release(index);
        self.receive()
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
    // SAFETY: every entry is made here or in `receive`, from memory that the server owns in boxes and never frees while a
    // call is under way: a buffer is released only when nobody reads it, `names` and the headers never move, and a client's
    // `Echo` is not touched between its call and that call's completion.
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
