//! epoll by hand, on chapter 04's wrapper: one loop, one thread, level-triggered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, UdpSocket};

use ch04_epoll::{Epoll, Events, Interest, Token, Trigger};

use super::{Sockets, TURN, passes};
use crate::echo::{Echo, Progress, Wants, advance};
use crate::forwarder::{BUFFER, Forwarder, Route};

/// What a loop does with a UDP socket that has become readable.
pub trait Datagrams {
    /// Takes some of what waits, and sends what follows from it.
    ///
    /// # Errors
    /// The socket itself is unusable. That nothing waits is no error.
    fn turn(&mut self, socket: &UdpSocket) -> io::Result<()>;
}

const UDP: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_CLIENT: u64 = 2;

// ANCHOR: serve
/// Chapter 04's loop, level triggered; how datagrams are read and sent is the caller's.
pub fn serve(sockets: Sockets, mut datagrams: impl Datagrams) -> io::Result<Infallible> {
    sockets.set_nonblocking()?;
    let epoll = Epoll::new()?;
    epoll.add(&sockets.udp, UDP, Interest::READ, Trigger::Level)?;
    epoll.add(&sockets.tcp, LISTENER, Interest::READ, Trigger::Level)?;
    let mut clients = Clients { epoll: &epoll, next: FIRST_CLIENT, connections: HashMap::new() };
    let mut events = Events::with_capacity(64);
    loop {
        epoll.wait(&mut events, None)?;
        for event in events.iter() {
            match event.token {
                UDP => datagrams.turn(&sockets.udp)?,
                LISTENER => clients.accept(&sockets.tcp)?,
                client => clients.advance(client),
            }
        }
    }
}
// ANCHOR_END: serve

/// One call a datagram.
pub struct Single {
    forwarder: Forwarder,
    buffer: [u8; BUFFER],
}

impl Single {
    pub fn new(forwarder: Forwarder) -> Single {
        Single { forwarder, buffer: [0; BUFFER] }
    }
}

// ANCHOR: single
impl Datagrams for Single {
    /// Level-triggered: what is left after a turn is reported again, so that a flood can't keep the loop to itself.
    fn turn(&mut self, socket: &UdpSocket) -> io::Result<()> {
        for _ in 0..TURN {
            let (length, from) = match socket.recv_from(&mut self.buffer) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let bytes = &self.buffer[..length];
            match self.forwarder.handle_datagram(from, bytes) {
                Route::Drop => {}
                Route::Answer(answer) => drop(socket.send_to(&answer, from)),
                // A full send buffer refuses it: late is lost, in what is live.
                Route::Forward => {
                    for to in self.forwarder.subscribers() {
                        let _ = socket.send_to(bytes, to);
                    }
                }
            }
        }
        Ok(())
    }
}
// ANCHOR_END: single

struct Clients<'a> {
    epoll: &'a Epoll,
    /// Never used twice, so that an event of this turn can't be taken for another client's.
    next: u64,
    connections: HashMap<Token, Connection>,
}

struct Connection {
    stream: TcpStream,
    echo: Echo,
    waits_for: Wants,
}

impl Clients<'_> {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock || passes(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        let client = Token(self.next);
        self.epoll.add(&stream, client, Interest::READ, Trigger::Level)?;
        let connection = Connection { stream, echo: Echo::default(), waits_for: Wants::Read };
        self.connections.insert(client, connection);
        self.next += 1;
        Ok(())
    }

    fn advance(&mut self, client: Token) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        let wants = match advance(&mut connection.stream, &mut connection.echo) {
            Progress::Blocked(wants) => wants,
            // Level-triggered: it will be reported again, if it waits for the same as before.
            Progress::Yielded => connection.echo.wants(),
            Progress::Over => Wants::Nothing,
        };
        let interest = match wants {
            Wants::Read => Interest::READ,
            Wants::Write => Interest::WRITE,
            // Closing it removes it from epoll too.
            Wants::Nothing => return drop(self.connections.remove(&client)),
        };
        if wants != connection.waits_for {
            connection.waits_for = wants;
            if self.epoll.modify(&connection.stream, client, interest, Trigger::Level).is_err() {
                self.connections.remove(&client);
            }
        }
    }
}
