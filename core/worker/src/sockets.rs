//! The sockets of all transports and WebRTC servers, in one table: the poller's token leads to the socket, and the socket
//! to its owner.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use sfu_channel::{ListenInfo, Protocol};
use sfu_proto::ice;
use sfu_reactor::poll::{Interest, Poller, Token};
use sfu_reactor::tcp::{TcpListener, TcpOptions, TcpStream};
use sfu_reactor::udp::{Sent, UdpOptions, UdpSocket};
use slab::Slab;

use crate::random::random_u32;
use crate::transport::Path;
use sfu_channel::response::Refusal;

/// Tokens below this are the process's own (channel, signals).
const FIRST_TOKEN: u64 = 16;

/// Bytes of the socket buffers of a media socket: a key frame to many viewers is a burst of megabytes.
const SOCKET_BUFFER: usize = 4 << 20;

/// Ports of a range that are tried before it counts as full. More would keep media waiting: with so many neighbours in
/// use, a range has hardly any port left.
const MAX_BIND_ATTEMPTS: u32 = 1000;

/// What a socket belongs to, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A transport.
    Transport(usize),
    /// A WebRTC server, whose transports share it.
    WebRtcServer(usize),
}

/// One socket.
#[derive(Debug)]
pub struct Socket {
    /// What it belongs to.
    pub owner: Owner,
    /// The address that it is bound to.
    pub local: SocketAddr,
    /// What the library calls that address towards others, if it does.
    pub announced: Option<String>,
    /// The socket itself.
    pub io: SocketIo,
    generation: u32,
    polls_write: bool,
}

/// The kinds of socket.
#[derive(Debug)]
pub enum SocketIo {
    /// Datagrams.
    Udp(UdpSocket),
    /// ICE-TCP connections arrive here.
    Listener(TcpListener),
    /// An ICE-TCP connection.
    Tcp(TcpStream),
}

impl Socket {
    /// Its protocol, in ICE's terms.
    pub fn protocol(&self) -> ice::Protocol {
        match self.io {
            SocketIo::Udp(_) => ice::Protocol::Udp,
            SocketIo::Listener(_) | SocketIo::Tcp(_) => ice::Protocol::Tcp,
        }
    }

    /// The local address as others should see it.
    pub fn announced_address(&self) -> String {
        self.announced.clone().unwrap_or_else(|| self.local.ip().to_string())
    }

    /// Sends consecutive pieces of a buffer, each one datagram or frame, to one destination.
    pub fn send_segments(&mut self, to: SocketAddr, buffer: &[u8], lengths: &[u16]) -> Sent {
        let all_lost = || Sent {
            dropped: lengths.len(),
            dropped_bytes: lengths.iter().map(|length| usize::from(*length)).sum(),
            ..Sent::default()
        };
        match &mut self.io {
            SocketIo::Udp(socket) => socket.send_segments(to, buffer, lengths),
            // A broken connection: reading it will tell.
            SocketIo::Tcp(stream) => stream.send_segments(buffer, lengths).unwrap_or_else(|_| all_lost()),
            SocketIo::Listener(_) => all_lost(),
        }
    }

    fn wants_write(&self) -> bool {
        match &self.io {
            SocketIo::Udp(socket) => socket.wants_write(),
            SocketIo::Tcp(stream) => stream.wants_write(),
            SocketIo::Listener(_) => false,
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        match &self.io {
            SocketIo::Udp(socket) => socket.as_raw_fd(),
            SocketIo::Listener(listener) => listener.as_raw_fd(),
            SocketIo::Tcp(stream) => stream.as_raw_fd(),
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Sockets {
    poller: Poller,
    table: Slab<Socket>,
    generation: u32,
    min_port: u16,
    max_port: u16,
}

impl Sockets {
    /// An empty table, which registers its sockets with `poller` and takes ports within the range, ends included.
    pub fn new(poller: Poller, min_port: u16, max_port: u16) -> Sockets {
        Sockets { poller, table: Slab::new(), generation: 0, min_port, max_port }
    }

    /// The poller.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// The socket with that key.
    pub fn get(&self, key: usize) -> Option<&Socket> {
        self.table.get(key)
    }

    /// The socket with that key, to be used.
    pub fn get_mut(&mut self, key: usize) -> Option<&mut Socket> {
        self.table.get_mut(key)
    }

    /// The tokens of all sockets.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        self.table.iter().map(|(key, socket)| token(key, socket.generation))
    }

    /// The key that a token of the poller stands for, unless that socket is gone.
    pub fn resolve(&self, token: Token) -> Option<usize> {
        let key = usize::try_from((token.0 & u64::from(u32::MAX)).checked_sub(FIRST_TOKEN)?).ok()?;
        let generation = token.0 >> 32;
        self.table.get(key).filter(|socket| u64::from(socket.generation) == generation).map(|_| key)
    }

    /// Opens a socket as `info` says and returns its key.
    ///
    /// # Errors
    /// An `Error` when no port is free or the address is not this machine's.
    pub fn listen(&mut self, owner: Owner, info: &ListenInfo) -> Result<usize, Refusal> {
        let io = match info.protocol {
            Protocol::Udp => {
                let options = UdpOptions {
                    v6_only: true,
                    receive_buffer: info.recv_buffer_size.map(|size| size as usize).or(Some(SOCKET_BUFFER)),
                    send_buffer: info.send_buffer_size.map(|size| size as usize).or(Some(SOCKET_BUFFER)),
                    reuse_port: info.flags.udp_reuse_port,
                    ..UdpOptions::default()
                };
                SocketIo::Udp(self.bind(info, |address| UdpSocket::bind(address, &options))?)
            }
            Protocol::Tcp => {
                let options = TcpOptions::default();
                SocketIo::Listener(self.bind(info, |address| TcpListener::bind(address, &options))?)
            }
        };
        let local = match &io {
            SocketIo::Udp(socket) => socket.local_addr(),
            SocketIo::Listener(listener) => listener.local_addr(),
            SocketIo::Tcp(stream) => stream.local_addr(),
        };
        self.insert(owner, local, info.announced_address.clone(), io)
            .map_err(|error| Refusal::error(format!("cannot poll a new socket: {error}")))
    }

    /// Adds an accepted connection of the listening socket `listener` and returns its key.
    ///
    /// # Errors
    /// Those of `epoll_ctl`; `InvalidInput` if the listener is gone.
    pub fn insert_connection(&mut self, listener: usize, stream: TcpStream) -> io::Result<usize> {
        let parent = self.table.get(listener).ok_or(io::ErrorKind::InvalidInput)?;
        let (owner, announced) = (parent.owner, parent.announced.clone());
        self.insert(owner, stream.local_addr(), announced, SocketIo::Tcp(stream))
    }

    /// Gives a socket to another owner.
    pub fn set_owner(&mut self, key: usize, owner: Owner) {
        if let Some(socket) = self.table.get_mut(key) {
            socket.owner = owner;
        }
    }

    /// Whether something sent by this path arrives where it says: a connection leads to its own peer only.
    pub fn is_path(&self, path: &Path) -> bool {
        match self.table.get(path.socket).map(|socket| &socket.io) {
            Some(SocketIo::Udp(_)) => true,
            Some(SocketIo::Tcp(stream)) => stream.remote_addr() == path.remote,
            Some(SocketIo::Listener(_)) | None => false,
        }
    }

    /// Stops or resumes asking a listening socket for connections. Other sockets are left as they are.
    pub fn set_accepting(&mut self, key: usize, accepting: bool) {
        let Some(socket) = self.table.get(key) else { return };
        if !matches!(socket.io, SocketIo::Listener(_)) {
            return;
        }
        let interest = if accepting { Interest::READ } else { Interest::NONE };
        if let Err(error) = self.poller.modify(socket, token(key, socket.generation), interest) {
            crate::error!("cannot change what a socket is polled for: {error}");
        }
    }

    /// Closes a socket.
    pub fn remove(&mut self, key: usize) {
        self.table.try_remove(key);
    }

    /// Sends one datagram or frame, now or when there is room.
    pub fn send(&mut self, path: &Path, payload: &[u8]) -> Sent {
        let lost = Sent { dropped: 1, dropped_bytes: payload.len(), ..Sent::default() };
        let Some(socket) = self.table.get_mut(path.socket) else { return lost };
        let Ok(length) = u16::try_from(payload.len()) else { return lost };
        let sent = socket.send_segments(path.remote, payload, &[length]);
        self.update_interest(path.socket);
        sent
    }

    /// To be called after [`Socket::send_segments`]: has the poller tell when a socket with something queued has room, and no longer than that.
    pub fn update_interest(&mut self, key: usize) {
        let Some(socket) = self.table.get_mut(key) else { return };
        let wants_write = socket.wants_write();
        if wants_write == socket.polls_write {
            return;
        }
        socket.polls_write = wants_write;
        let token = token(key, socket.generation);
        if let Err(error) = self.poller.modify(socket, token, Interest::read_and(wants_write)) {
            crate::error!("cannot change what a socket is polled for: {error}");
        }
    }

    fn insert(
        &mut self,
        owner: Owner,
        local: SocketAddr,
        announced: Option<String>,
        io: SocketIo,
    ) -> io::Result<usize> {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let key = self.table.insert(Socket { owner, local, announced, io, generation, polls_write: false });
        let added = self.poller.add(&self.table[key], token(key, generation), Interest::READ);
        if let Err(error) = added {
            self.table.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    /// Tries the given port, or ports of the range from a random one on, [`MAX_BIND_ATTEMPTS`] at most.
    fn bind<S>(&self, info: &ListenInfo, open: impl Fn(SocketAddr) -> io::Result<S>) -> Result<S, Refusal> {
        if info.port != 0 {
            return open(SocketAddr::new(info.ip, info.port))
                .map_err(|error| bind_error(info, info.ip, info.port, &error));
        }
        let (min, max) =
            info.port_range.as_ref().map_or((self.min_port, self.max_port), |range| (range.min, range.max));
        let count = u32::from(max.saturating_sub(min)) + 1;
        let start = random_u32() % count;
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for attempt in 0..count.min(MAX_BIND_ATTEMPTS) {
            // Within min..=max, so within u16.
            let port = min + ((start + attempt) % count) as u16;
            match open(SocketAddr::new(info.ip, port)) {
                Ok(socket) => return Ok(socket),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(bind_error(info, info.ip, port, &error)),
            }
        }
        Err(bind_error(info, info.ip, 0, &last))
    }
}

fn token(key: usize, generation: u32) -> Token {
    Token(u64::from(generation) << 32 | (key as u64 + FIRST_TOKEN))
}

fn bind_error(info: &ListenInfo, ip: IpAddr, port: u16, error: &io::Error) -> Refusal {
    let transport = match info.protocol {
        Protocol::Udp => "udp",
        Protocol::Tcp => "tcp",
    };
    Refusal::error(format!(
        "port bind failed due to address not available [transport:{transport}, ip:'{ip}', port:{port}]: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu_reactor::poll::Events;
    use std::io::Read;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn sockets() -> Sockets {
        Sockets::new(Poller::new().expect("a poller"), 40_000, 49_999)
    }

    #[test]
    fn what_waits_for_room_leaves_when_there_is_some() {
        let mut sockets = sockets();
        let info = ListenInfo::new(Protocol::Tcp, Ipv4Addr::LOCALHOST.into());
        let listener = sockets.listen(Owner::Transport(0), &info).expect("a free port");
        let address = sockets.get(listener).expect("just made").local;
        let mut peer = std::net::TcpStream::connect(address).expect("it listens");
        let mut events = Events::with_capacity(8);
        let mut wait = |sockets: &Sockets| {
            sockets.poller().wait(&mut events, Some(Duration::from_secs(10))).expect("it waits");
            events.iter().next().expect("something becomes ready in time").token
        };
        wait(&sockets);
        let SocketIo::Listener(io) = &mut sockets.get_mut(listener).expect("just made").io else { panic!() };
        let stream = io.accept().expect("it waits").expect("it waits");
        let connection = sockets.insert_connection(listener, stream).expect("a key");
        let path = Path { socket: connection, remote: peer.local_addr().expect("connected") };

        let frame = [7; 10_000];
        let mut sent = 0;
        while !sockets.get(connection).expect("open").wants_write() {
            sockets.send(&path, &frame);
            sent += 2 + frame.len();
        }
        peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        let mut received = 0;
        let mut buffer = vec![0; 1 << 16];
        while sockets.get(connection).expect("open").wants_write() {
            received += peer.read(&mut buffer).expect("more to read");
            if received < sent / 2 {
                continue;
            }
            assert_eq!(sockets.resolve(wait(&sockets)), Some(connection));
            let SocketIo::Tcp(stream) = &mut sockets.get_mut(connection).expect("open").io else { panic!() };
            stream.flush().expect("the peer is there");
        }
        while received < sent {
            received += peer.read(&mut buffer).expect("the rest");
        }
    }

    #[test]
    fn the_search_for_a_port_ends() {
        let sockets = sockets();
        let mut info = ListenInfo::new(Protocol::Udp, Ipv4Addr::LOCALHOST.into());
        let attempts = std::cell::Cell::new(0);
        let full = |_| -> io::Result<()> {
            attempts.set(attempts.get() + 1);
            Err(io::ErrorKind::AddrInUse.into())
        };
        assert!(sockets.bind(&info, full).is_err());
        assert_eq!(attempts.replace(0), MAX_BIND_ATTEMPTS);
        // A short range is searched to its end.
        info.port_range = Some(sfu_channel::PortRange { min: 50_000, max: 50_009 });
        assert!(sockets.bind(&info, full).is_err());
        assert_eq!(attempts.replace(0), 10);
    }
}
