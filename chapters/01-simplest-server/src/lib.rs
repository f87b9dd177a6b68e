//! Chapter 01: the simplest server that is still correct.
//!
//! One thread, blocking calls, one client at a time. It is small because it leaves out everything that the next
//! chapters add: other processes (02), readiness instead of blocking (04), an event library (05). What it does not
//! leave out is what a blocking server has to get right: `read` and `write` may be interrupted, `write` may take less
//! than it was given, and a peer that has finished sending may still be listening.

#![deny(missing_docs)]

pub mod exercises;
pub mod solutions;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// How much one `read` asks for, in bytes. A longer message simply takes more turns of the loop.
pub const CHUNK: usize = 4096;

/// The largest payload that a UDP datagram can carry over IPv4, in bytes: 65,535 less the IP and UDP headers.
pub const MAX_DATAGRAM: usize = 65_507;

/// What a server did, told as it happens so that a program can print it and a test can check it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// `accept` returned a connection from this peer. Until it ends, nobody else is served.
    Accepted(SocketAddr),
    /// The peer closed its sending side, or the connection broke; `bytes` were echoed before that.
    Finished {
        /// The peer that was served.
        peer: SocketAddr,
        /// Payload bytes sent back.
        bytes: u64,
        /// Why the connection ended, when it was not by the peer's orderly close.
        error: Option<ErrorKind>,
    },
    /// One datagram was echoed to this peer.
    Echoed {
        /// Where it came from and went back to.
        peer: SocketAddr,
        /// Its payload length in bytes; 0 is a datagram like any other.
        bytes: usize,
    },
}

// ANCHOR: read_some
/// One `read`, repeated when a signal interrupted it before a byte arrived (`EINTR`).
///
/// Returns the number of bytes read; 0 means that the peer will send no more.
pub fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => return result,
        }
    }
}
// ANCHOR_END: read_some

// ANCHOR: write_fully
/// Writes all of `bytes`, however many `write` calls that takes.
///
/// The kernel may accept only what fits its send buffer. A `write` that accepts nothing at all can never finish, so it
/// is an error rather than an endless loop.
pub fn write_fully(sink: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(accepted) => bytes = &bytes[accepted..],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
// ANCHOR_END: write_fully

// ANCHOR: echo
/// Sends back everything that arrives, until the peer has finished sending.
///
/// A half-closed peer (one that called `shutdown(SHUT_WR)`) still gets its answer: end of file on our reading side
/// says nothing about our writing side.
pub fn echo(stream: &mut (impl Read + Write)) -> (u64, io::Result<()>) {
    let mut buffer = [0; CHUNK];
    let mut echoed = 0;
    loop {
        let length = match read_some(stream, &mut buffer) {
            Ok(0) => return (echoed, Ok(())),
            Ok(length) => length,
            Err(error) => return (echoed, Err(error)),
        };
        if let Err(error) = write_fully(stream, &buffer[..length]) {
            return (echoed, Err(error));
        }
        echoed += length as u64;
    }
}
// ANCHOR_END: echo

// ANCHOR: serve_tcp
/// Serves connections one after another; returns when `observe` says stop (`false`) or `accept` fails for good.
///
/// A connection that breaks is told to `observe` and ends there: one bad client must not end the server.
pub fn serve_tcp(listener: &TcpListener, mut observe: impl FnMut(Event) -> bool) -> io::Result<()> {
    loop {
        let (mut stream, peer) = match listener.accept() {
            Ok(connection) => connection,
            // The client gave up between connecting and being accepted, or a signal came: neither is ours to fail on.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        if !observe(Event::Accepted(peer)) {
            return Ok(());
        }
        let (bytes, result) = echo(&mut stream);
        if !observe(Event::Finished { peer, bytes, error: result.err().map(|error| error.kind()) }) {
            return Ok(());
        }
    }
}
// ANCHOR_END: serve_tcp

// ANCHOR: serve_udp
/// Echoes datagrams, each to whoever sent it; returns when `observe` says stop or the socket fails for good.
///
/// There is no connection to wait for, so a silent client costs the others nothing.
pub fn serve_udp(socket: &UdpSocket, mut observe: impl FnMut(Event) -> bool) -> io::Result<()> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (bytes, peer) = match socket.recv_from(&mut buffer) {
            Ok(datagram) => datagram,
            // ConnectionRefused: an earlier echo met a closed port, and the ICMP answer is reported here.
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused) => continue,
            Err(error) => return Err(error),
        };
        match socket.send_to(&buffer[..bytes], peer) {
            Ok(_) if !observe(Event::Echoed { peer, bytes }) => return Ok(()),
            // UDP promises no delivery: an echo that can't be sent is lost like any other datagram.
            Ok(_) | Err(_) => {}
        }
    }
}
// ANCHOR_END: serve_udp
