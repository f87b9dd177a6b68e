//! Solutions of the exercises of chapter 05. Try yours first.

// ANCHOR: uses
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::drivers::TURN;
use crate::forwarder::{BUFFER, Forwarder, Route};
// ANCHOR_END: uses

// ANCHOR: expire
/// No clock is read: the driver says what time it is, and is told when to come back.
pub fn expire(joined: &mut Vec<(SocketAddr, Instant)>, now: Instant, lease: Duration) -> Option<Instant> {
    joined.retain(|&(_, since)| now < since + lease);
    joined.iter().map(|&(_, since)| since + lease).min()
}
// ANCHOR_END: expire

// ANCHOR: trains
/// Greedy is best here: a longer train never makes the rest need more.
pub fn trains(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut trains = Vec::new();
    let mut start = 0;
    while let Some(&piece) = lengths.get(start) {
        let (mut end, mut bytes) = (start + 1, piece);
        while let Some(&next) = lengths.get(end) {
            bytes += next;
            if next > piece || next == 0 || bytes > 65_000 || end - start == 64 {
                break;
            }
            end += 1;
            if next < piece {
                break;
            }
        }
        trains.push(start..end);
        start = end;
    }
    trains
}
// ANCHOR_END: trains

// ANCHOR: serve_with_poll
/// With a few descriptors it is as good as epoll. With thousands, each call hands all of them to the kernel, which looks at
/// each.
pub fn serve_with_poll(sockets: &[UdpSocket]) -> io::Result<Infallible> {
    let mut forwarders: Vec<Forwarder> = sockets.iter().map(|_| Forwarder::new(|_| {})).collect();
    for socket in sockets {
        socket.set_nonblocking(true)?;
    }
    let mut ready: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut ready, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            result => result?,
        };
        for ((ready, socket), forwarder) in ready.iter().zip(sockets).zip(&mut forwarders) {
            if ready.any() == Some(true) {
                turn(socket, forwarder)?;
            }
        }
    }
}

/// Level-triggered, like epoll by default: what is left is told again.
fn turn(socket: &UdpSocket, forwarder: &mut Forwarder) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    for _ in 0..TURN {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(datagram) => datagram,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match forwarder.handle_datagram(from, &buffer[..length]) {
            Route::Drop => {}
            Route::Answer(answer) => drop(socket.send_to(&answer, from)),
            Route::Forward => {
                for to in forwarder.subscribers() {
                    let _ = socket.send_to(&buffer[..length], to);
                }
            }
        }
    }
    Ok(())
}
// ANCHOR_END: serve_with_poll
