//! Chapter 01's echo, for everybody at once.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ch01_simplest_server::{CHUNK, MAX_DATAGRAM, read_some};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::poll::{Epoll, Events, Interest, Token, Trigger};
use crate::timer::Timers;

const LISTENER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
const STOP: Token = Token(2);
/// Connections count up from here, and a number is never used again: what is told of one that has ended can't be taken
/// for news of its successor.
const FIRST_CONNECTION: u64 = 3;

/// Events a wait, at most.
const BATCH: usize = 256;

/// Connections accepted a turn, at most.
const ACCEPTS: usize = 64;

/// How long a server that has run out of descriptors waits before it tries to accept again.
pub const FULL_PAUSE: Duration = Duration::from_millis(100);

/// How a server is to work.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How connections are watched.
    pub trigger: Trigger,
    /// How many reads one connection may do before it is another one's turn; at least 1.
    pub budget: usize,
    /// How long a connection may be silent; `None`: for ever.
    pub idle: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { trigger: Trigger::Level, budget: 16, idle: None }
    }
}

/// Why a connection's turn has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing to read now.
    Dry,
    /// The client doesn't read: its echo found no room. Nothing more is read from it until there is some.
    Blocked,
    /// Its budget is used up, and there may be more.
    Spent,
    /// It has sent everything, and its echo is with the kernel.
    Finished,
}

/// What a server did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was accepted.
    Accepted(SocketAddr),
    /// There are no descriptors left; clients wait in the accept queue.
    Full,
    /// A connection has had a turn.
    Turn {
        /// The client.
        peer: SocketAddr,
        /// Bytes read in this turn.
        bytes: usize,
        /// Why it ended.
        progress: Progress,
    },
    /// A connection has ended.
    Closed {
        /// The client.
        peer: SocketAddr,
        /// Payload bytes read in all; when it ended orderly they have all been sent back.
        bytes: u64,
        /// Why, when it was not by the client's orderly close. `TimedOut`: it was silent for too long.
        error: Option<ErrorKind>,
    },
    /// A datagram was echoed.
    Datagram {
        /// Where it came from and went back to.
        peer: SocketAddr,
        /// Its payload length in bytes.
        bytes: usize,
    },
}

// ANCHOR: connection
/// A client, and how far the server has come with it. A blocking server has this on its stack; here it has to be said.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    /// Read, and not yet written: never more than one read brings.
    unsent: Vec<u8>,
    echoed: u64,
    /// What epoll was told last.
    interest: Interest,
    /// When something was last read.
    active: Instant,
}

impl Connection {
    /// Does what can be done at once, up to the budget.
    fn advance(&mut self, buffer: &mut [u8], budget: usize) -> io::Result<Progress> {
        for _ in 0..budget {
            let sent = write_what_fits(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(Progress::Blocked);
            }
            let length = match read_some(&mut self.stream, buffer) {
                Ok(0) => return Ok(Progress::Finished),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Dry),
                Err(error) => return Err(error),
            };
            self.echoed += length as u64;
            let sent = write_what_fits(&mut self.stream, &buffer[..length])?;
            self.unsent.extend_from_slice(&buffer[sent..length]);
        }
        Ok(if self.unsent.is_empty() { Progress::Spent } else { Progress::Blocked })
    }
}

/// Chapter 01's `write_fully`, which stops in the middle when there is no more room, and says where.
pub fn write_what_fits(sink: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match sink.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(accepted) => sent += accepted,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
// ANCHOR_END: connection

/// An echo server that one thread turns.
#[derive(Debug)]
pub struct Server {
    epoll: Epoll,
    events: Events,
    listener: TcpListener,
    datagrams: Option<UdpSocket>,
    connections: HashMap<Token, Connection>,
    next: u64,
    timers: Timers,
    /// Edge triggered: those with something left to do, of whom the kernel will not tell again.
    unfinished: BTreeSet<Token>,
    buffer: Vec<u8>,
    settings: Settings,
}

impl Server {
    /// A server on these sockets, which become non-blocking.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn new(listener: TcpListener, datagrams: Option<UdpSocket>, settings: Settings) -> io::Result<Server> {
        let epoll = Epoll::new()?;
        listener.set_nonblocking(true)?;
        epoll.add(&listener, LISTENER, Interest::READ, Trigger::Level)?;
        if let Some(datagrams) = &datagrams {
            datagrams.set_nonblocking(true)?;
            epoll.add(datagrams, DATAGRAMS, Interest::READ, Trigger::Level)?;
        }
        let buffer = vec![0; if datagrams.is_some() { MAX_DATAGRAM } else { CHUNK }];
        Ok(Server {
            epoll,
            events: Events::with_capacity(BATCH),
            listener,
            datagrams,
            connections: HashMap::new(),
            next: FIRST_CONNECTION,
            timers: Timers::default(),
            unfinished: BTreeSet::new(),
            buffer,
            settings,
        })
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many bytes are kept for clients that don't read: [`CHUNK`] for each of them at most.
    pub fn unsent(&self) -> usize {
        self.connections.values().map(|connection| connection.unsent.len()).sum()
    }

    // ANCHOR: serve_until
    /// Serves until there is something to read from `stop`: an eventfd, a signalfd, the read end of a pipe.
    ///
    /// # Errors
    /// When a system call fails that is not about one connection.
    pub fn serve_until(&mut self, stop: &impl AsFd, mut observe: impl FnMut(Event)) -> io::Result<()> {
        self.epoll.add(stop, STOP, Interest::READ, Trigger::Level)?;
        while !self.turn(None, &mut observe)? {}
        self.epoll.remove(stop)
    }
    // ANCHOR_END: serve_until

    // ANCHOR: turn
    /// One turn of the loop: wait, at most for so long, and do what can be done. Returns whether it is to stop.
    ///
    /// # Errors
    /// When a system call fails that is not about one connection.
    pub fn turn(&mut self, limit: Option<Duration>, mut observe: impl FnMut(Event)) -> io::Result<bool> {
        let until_timer = self.timers.next().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = match self.unfinished.is_empty() {
            true => until_timer.into_iter().chain(limit).min(),
            // Somebody has work: see who else has, and don't sleep.
            false => Some(Duration::ZERO),
        };
        let mut events = mem::take(&mut self.events);
        self.epoll.wait(&mut events, timeout)?;
        let now = Instant::now();
        // A set: one that is unfinished, and ready once more, has one turn all the same.
        let mut due = mem::take(&mut self.unfinished);
        let mut stop = false;
        for ready in events.iter() {
            match ready.token {
                LISTENER => self.accept(now, &mut observe)?,
                DATAGRAMS => self.echo_datagrams(&mut observe)?,
                STOP => stop = true,
                connection => drop(due.insert(connection)),
            }
        }
        self.events = events;
        for token in due {
            self.advance(token, now, &mut observe)?;
        }
        while let Some(token) = self.timers.expired(now) {
            self.expire(token, now, &mut observe)?;
        }
        Ok(stop)
    }
    // ANCHOR_END: turn

    // ANCHOR: advance
    /// A connection's turn, and what to wait for afterwards.
    fn advance(&mut self, token: Token, now: Instant, observe: &mut impl FnMut(Event)) -> io::Result<()> {
        // It may have timed out since it was left unfinished.
        let Some(connection) = self.connections.get_mut(&token) else {
            return Ok(());
        };
        let before = connection.echoed;
        let progress = match connection.advance(&mut self.buffer[..CHUNK], self.settings.budget.max(1)) {
            Ok(progress) => progress,
            Err(error) => {
                self.close(token, Some(error.kind()), observe);
                return Ok(());
            }
        };
        let bytes = (connection.echoed - before) as usize;
        if bytes > 0 {
            connection.active = now;
        }
        observe(Event::Turn { peer: connection.peer, bytes, progress });
        match (progress, self.settings.trigger) {
            (Progress::Finished, _) => self.close(token, None, observe),
            (Progress::Spent, Trigger::Edge) => drop(self.unfinished.insert(token)),
            (_, Trigger::Edge) => {}
            // Never both: as long as there is something to write, nothing is read, and room for nothing is no news.
            (_, Trigger::Level) => {
                let interest = if connection.unsent.is_empty() { Interest::READ } else { Interest::WRITE };
                if interest != connection.interest {
                    self.epoll.modify(&connection.stream, token, interest, Trigger::Level)?;
                    connection.interest = interest;
                }
            }
        }
        Ok(())
    }
    // ANCHOR_END: advance

    // ANCHOR: accept
    /// Lets waiting clients in.
    fn accept(&mut self, now: Instant, observe: &mut impl FnMut(Event)) -> io::Result<()> {
        for _ in 0..ACCEPTS {
            let (stream, peer) = match self.listener.accept() {
                Ok(connection) => connection,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {
                    continue;
                }
                // The client stays in the queue, and the listener stays ready: without a pause this loop would turn
                // as fast as it can, for nothing.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    self.epoll.modify(&self.listener, LISTENER, Interest::NONE, Trigger::Level)?;
                    self.timers.set(now + FULL_PAUSE, LISTENER);
                    observe(Event::Full);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            // A client whose socket can't be prepared loses its connection; the others are not concerned.
            if let Ok(token) = self.admit(stream, peer, now) {
                observe(Event::Accepted(peer));
                if let Some(idle) = self.settings.idle {
                    self.timers.set(now + idle, token);
                }
            }
        }
        Ok(())
    }
    // ANCHOR_END: accept

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, now: Instant) -> io::Result<Token> {
        stream.set_nonblocking(true)?;
        let token = Token(self.next);
        self.next += 1;
        let interest = match self.settings.trigger {
            Trigger::Level => Interest::READ,
            // Both, once and for all: it is told only when something changes.
            Trigger::Edge => Interest::BOTH,
        };
        self.epoll.add(&stream, token, interest, self.settings.trigger)?;
        let connection = Connection { stream, peer, unsent: Vec::new(), echoed: 0, interest, active: now };
        self.connections.insert(token, connection);
        Ok(token)
    }

    // ANCHOR: expire
    /// A deadline has come. Each connection has one in the heap; one that was active meanwhile gets a later one.
    fn expire(&mut self, token: Token, now: Instant, observe: &mut impl FnMut(Event)) -> io::Result<()> {
        if token == LISTENER {
            return self.epoll.modify(&self.listener, LISTENER, Interest::READ, Trigger::Level);
        }
        let (Some(idle), Some(connection)) = (self.settings.idle, self.connections.get(&token)) else {
            return Ok(());
        };
        match connection.active + idle {
            deadline if deadline > now => self.timers.set(deadline, token),
            _ => self.close(token, Some(ErrorKind::TimedOut), observe),
        }
        Ok(())
    }
    // ANCHOR_END: expire

    /// Ends a connection. Closing its socket takes it out of the epoll set, since nobody else has a copy.
    fn close(&mut self, token: Token, error: Option<ErrorKind>, observe: &mut impl FnMut(Event)) {
        if let Some(connection) = self.connections.remove(&token) {
            observe(Event::Closed { peer: connection.peer, bytes: connection.echoed, error });
        }
    }

    /// Echoes datagrams, up to the budget.
    fn echo_datagrams(&mut self, observe: &mut impl FnMut(Event)) -> io::Result<()> {
        let Some(socket) = &self.datagrams else {
            return Ok(());
        };
        for _ in 0..self.settings.budget.max(1) {
            let (bytes, peer) = match socket.recv_from(&mut self.buffer) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // ConnectionRefused: an earlier echo met a closed port, as in chapter 01.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionRefused) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            // No room is a lost datagram, like any other that is lost.
            if socket.send_to(&self.buffer[..bytes], peer).is_ok() {
                observe(Event::Datagram { peer, bytes });
            }
        }
        Ok(())
    }
}

// ANCHOR: limit
/// Raises this process's limit on descriptors as far as it may without asking, and returns it.
///
/// The soft limit is 1,024 on most systems, for the sake of programs that use `select`, which can't count further. Any
/// process may raise its own up to the hard limit.
///
/// # Errors
/// Those of `setrlimit`.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}
// ANCHOR_END: limit
