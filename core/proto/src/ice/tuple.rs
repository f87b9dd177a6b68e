//! The path that a packet takes.

use std::fmt;
use std::net::SocketAddr;

/// The transport protocol of a [`Tuple`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// A connection with RFC 4571 framing (RFC 6544).
    Tcp,
}

/// A path between us and the peer: what ICE calls a candidate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The transport protocol.
    pub protocol: Protocol,
    /// Our address: that of the socket.
    pub local: SocketAddr,
    /// The peer's address, as we see it.
    pub remote: SocketAddr,
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        };
        write!(f, "{protocol} {} <- {}", self.local, self.remote)
    }
}
