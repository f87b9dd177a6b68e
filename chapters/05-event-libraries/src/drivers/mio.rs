//! mio: the same loop, portable. On Linux it is epoll, edge-triggered: readiness is told when it begins, and not again
//! before a call has said "would block". Whoever stops earlier has to remember that there is more.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Registry, Token};

use super::{Sockets, TURN, passes};
use crate::echo::{Echo, Progress, advance};
use crate::forwarder::{BUFFER, Forwarder, Route};

const UDP: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_CLIENT: usize = 2;

// ANCHOR: serve
/// mio's loop, edge triggered: what is ready is read until it would block.
pub fn serve(sockets: Sockets, mut forwarder: Forwarder) -> io::Result<Infallible> {
    sockets.set_nonblocking()?;
    let mut udp = UdpSocket::from_std(sockets.udp);
    let mut listener = TcpListener::from_std(sockets.tcp);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut udp, UDP, Interest::READABLE)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(64);
    let mut clients = Clients { next: FIRST_CLIENT, connections: HashMap::new() };
    // Those whose turn was over before they said "would block": nobody will tell of them again.
    let mut unfinished: Vec<Token> = Vec::new();
    let mut buffer = [0; BUFFER];
    loop {
        // With something left to do it only looks, and does not wait.
        let timeout = (!unfinished.is_empty()).then_some(Duration::ZERO);
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        let mut ready = std::mem::take(&mut unfinished);
        ready.extend(
            events.iter().map(|event| event.token()).filter(|token| !ready.contains(token)).collect::<Vec<_>>(),
        );
        for token in ready {
            let more = match token {
                UDP => turn(&udp, &mut forwarder, &mut buffer)?,
                LISTENER => clients.accept(&listener, poll.registry())?,
                client => clients.advance(client),
            };
            if more {
                unfinished.push(token);
            }
        }
    }
}
// ANCHOR_END: serve

/// Whether more may wait.
fn turn(socket: &UdpSocket, forwarder: &mut Forwarder, buffer: &mut [u8; BUFFER]) -> io::Result<bool> {
    for _ in 0..TURN {
        let (length, from) = match socket.recv_from(buffer) {
            Ok(datagram) => datagram,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..length];
        match forwarder.handle_datagram(from, bytes) {
            Route::Drop => {}
            Route::Answer(answer) => drop(socket.send_to(&answer, from)),
            Route::Forward => {
                for to in forwarder.subscribers() {
                    let _ = socket.send_to(bytes, *to);
                }
            }
        }
    }
    Ok(true)
}

struct Clients {
    /// Never used twice.
    next: usize,
    connections: HashMap<Token, (TcpStream, Echo)>,
}

impl Clients {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<bool> {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if passes(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        // Both at once and for ever: edge-triggered, an interest that is not needed costs an event at most.
        registry.register(&mut stream, Token(self.next), Interest::READABLE | Interest::WRITABLE)?;
        self.connections.insert(Token(self.next), (stream, Echo::default()));
        self.next += 1;
        Ok(true)
    }

    fn advance(&mut self, client: Token) -> bool {
        let Some((stream, echo)) = self.connections.get_mut(&client) else { return false };
        match advance(stream, echo) {
            Progress::Blocked(_) => false,
            Progress::Yielded => true,
            Progress::Over => {
                self.connections.remove(&client);
                false
            }
        }
    }
}
