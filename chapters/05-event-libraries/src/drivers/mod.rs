//! The drivers: each serves the same two sockets with the same logic, in its own way.

pub mod batch;
mod blocking;
mod epoll;
mod mio;
mod tokio;
mod uring;

use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::str::FromStr;

use nix::sys::socket::{setsockopt, sockopt};

use crate::forwarder::Forwarder;

/// Datagrams that one driver takes from the socket before it looks at anything else.
pub(crate) const TURN: usize = 32;

/// How the work is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Blocking calls, a thread for the datagrams and one for each connection.
    Blocking,
    /// epoll by hand, level-triggered; one call a datagram.
    Epoll,
    /// mio.
    Mio,
    /// tokio's current-thread runtime.
    Tokio,
    /// tokio's multi-thread runtime, two workers.
    TokioMt,
    /// io_uring, each datagram received by a call of its own.
    UringPlain,
    /// io_uring, one call that receives all, with the socket and a ring of buffers registered.
    Uring,
    /// epoll by hand, with recvmmsg and sendmmsg.
    Mmsg,
    /// The same, and each subscriber's datagrams of a turn as one train (UDP_SEGMENT).
    Gso,
    /// tokio's current-thread runtime waiting, and the calls of [`Driver::Gso`].
    TokioGso,
}

impl Driver {
    /// All of them, in the order of the page.
    pub const ALL: [Driver; 10] = [
        Driver::Blocking,
        Driver::Epoll,
        Driver::Mio,
        Driver::Tokio,
        Driver::TokioMt,
        Driver::UringPlain,
        Driver::Uring,
        Driver::Mmsg,
        Driver::Gso,
        Driver::TokioGso,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Blocking => "blocking",
            Driver::Epoll => "epoll",
            Driver::Mio => "mio",
            Driver::Tokio => "tokio",
            Driver::TokioMt => "tokio-mt",
            Driver::UringPlain => "io-uring-plain",
            Driver::Uring => "io-uring",
            Driver::Mmsg => "mmsg",
            Driver::Gso => "gso",
            Driver::TokioGso => "tokio-gso",
        }
    }

    /// Serves until something fails for good.
    ///
    /// # Errors
    /// Those of the system calls that concern the sockets as a whole, or that the kernel refuses this driver.
    pub fn serve(self, sockets: Sockets, forwarder: Forwarder) -> io::Result<Infallible> {
        match self {
            Driver::Blocking => blocking::serve(sockets, forwarder),
            Driver::Epoll => epoll::serve(sockets, epoll::Single::new(forwarder)),
            Driver::Mmsg => epoll::serve(sockets, batch::Batch::new(forwarder, batch::Trains::No)),
            Driver::Gso => epoll::serve(sockets, batch::Batch::new(forwarder, batch::Trains::Yes)),
            Driver::Mio => mio::serve(sockets, forwarder),
            Driver::Tokio => tokio::serve(sockets, forwarder, tokio::Flavour::CurrentThread),
            Driver::TokioMt => tokio::serve(sockets, forwarder, tokio::Flavour::MultiThread),
            Driver::TokioGso => tokio::serve_batches(sockets, batch::Batch::new(forwarder, batch::Trains::Yes)),
            Driver::UringPlain => uring::serve_plain(sockets, forwarder),
            Driver::Uring => uring::serve(sockets, forwarder),
        }
    }

    /// Whether this kernel, or the sandbox around the program, lets it run; if not, a sentence why.
    pub fn refused(self) -> Option<String> {
        match self {
            Driver::UringPlain | Driver::Uring => uring::refused(),
            _ => None,
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Driver {
    type Err = String;

    fn from_str(name: &str) -> Result<Driver, String> {
        let found = Driver::ALL.into_iter().find(|driver| driver.name() == name);
        found.ok_or_else(|| format!("the drivers are {}", Driver::ALL.map(Driver::name).join(", ")))
    }
}

/// What is served: a UDP socket for the forwarder and a TCP listener for the echo, on one port number.
#[derive(Debug)]
pub struct Sockets {
    /// The forwarder's.
    pub udp: UdpSocket,
    /// The echo server's.
    pub tcp: TcpListener,
}

impl Sockets {
    /// Opens both. Port 0 takes one that is free.
    ///
    /// # Errors
    /// The address is not ours, or in use.
    pub fn bind(address: SocketAddr) -> io::Result<Sockets> {
        let mut attempts = 0;
        loop {
            let tcp = TcpListener::bind(address)?;
            match UdpSocket::bind(tcp.local_addr()?) {
                // The system chose a port that is free for TCP, and knew nothing of UDP.
                Err(error) if error.kind() == ErrorKind::AddrInUse && address.port() == 0 && attempts < 100 => {
                    attempts += 1
                }
                Err(error) => return Err(error),
                Ok(udp) => {
                    // A burst has to wait somewhere while the program is busy. The system may allow less
                    // (net.core.rmem_max).
                    setsockopt(&udp, sockopt::RcvBuf, &(4 << 20))?;
                    return Ok(Sockets { udp, tcp });
                }
            }
        }
    }

    /// Where they are.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        self.udp.set_nonblocking(true)?;
        self.tcp.set_nonblocking(true)
    }
}

/// Whether a failed `accept` concerns one client only, or passes.
fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted)
}
