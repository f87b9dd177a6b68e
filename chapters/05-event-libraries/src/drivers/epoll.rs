//! epoll by hand: one loop, one thread, level-triggered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, UdpSocket};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

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

const UDP: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CLIENT: u64 = 2;

// ANCHOR: serve
pub fn serve(sockets: Sockets, mut datagrams: impl Datagrams) -> io::Result<Infallible> {
    sockets.set_nonblocking()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&sockets.udp, EpollEvent::new(EpollFlags::EPOLLIN, UDP))?;
    epoll.add(&sockets.tcp, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut clients = Clients { epoll: &epoll, next: FIRST_CLIENT, connections: HashMap::new() };
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            result => result?,
        };
        for event in &events[..count] {
            match event.data() {
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
    connections: HashMap<u64, Connection>,
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
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, self.next))?;
        let connection = Connection { stream, echo: Echo::default(), waits_for: Wants::Read };
        self.connections.insert(self.next, connection);
        self.next += 1;
        Ok(())
    }

    fn advance(&mut self, client: u64) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        let wants = match advance(&mut connection.stream, &mut connection.echo) {
            Progress::Blocked(wants) => wants,
            // Level-triggered: it will be reported again, if it waits for the same as before.
            Progress::Yielded => connection.echo.wants(),
            Progress::Over => Wants::Nothing,
        };
        let interest = match wants {
            Wants::Read => EpollFlags::EPOLLIN,
            Wants::Write => EpollFlags::EPOLLOUT,
            // Closing it removes it from epoll too.
            Wants::Nothing => return drop(self.connections.remove(&client)),
        };
        if wants != connection.waits_for {
            connection.waits_for = wants;
            if self.epoll.modify(&connection.stream, &mut EpollEvent::new(interest, client)).is_err() {
                self.connections.remove(&client);
            }
        }
    }
}
