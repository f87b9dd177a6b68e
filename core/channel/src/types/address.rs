//! Addresses: where to listen, and who talks to whom.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A transport protocol below RTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
}

/// Where to listen, and what to call that place towards others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenInfo {
    /// The protocol.
    pub protocol: Protocol,
    /// The local address to bind.
    pub ip: IpAddr,
    /// The address to announce instead, such as that of a NAT in front; an IP address, in newer generations also a host name.
    #[serde(rename = "announcedIp", default, skip_serializing_if = "Option::is_none")]
    pub announced_address: Option<String>,
    /// The port to bind; 0 takes one of the worker's range.
    #[serde(default)]
    pub port: u16,
    /// The range to take a port of instead of the worker's (newer generations).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_range: Option<PortRange>,
    /// Flags of the socket (newer generations).
    #[serde(default, skip_serializing_if = "SocketFlags::is_default")]
    pub flags: SocketFlags,
    /// SO_SNDBUF in bytes (newer generations).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_buffer_size: Option<u32>,
    /// SO_RCVBUF in bytes (newer generations).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recv_buffer_size: Option<u32>,
    /// Whether the bound address is announced too when `announced_address` is given (newer generations).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expose_internal_ip: bool,
}

impl ListenInfo {
    /// Listening on that address, any port, nothing else special.
    pub fn new(protocol: Protocol, ip: IpAddr) -> Self {
        Self {
            protocol,
            ip,
            announced_address: None,
            port: 0,
            port_range: None,
            flags: SocketFlags::default(),
            send_buffer_size: None,
            recv_buffer_size: None,
            expose_internal_ip: false,
        }
    }

    /// Whether it says nothing that the 3.12 generation has no word for.
    pub fn is_plain(&self) -> bool {
        self.port_range.is_none()
            && self.flags.is_default()
            && self.send_buffer_size.is_none()
            && self.recv_buffer_size.is_none()
            && !self.expose_internal_ip
    }
}

/// A range of ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest port.
    pub min: u16,
    /// The highest port.
    pub max: u16,
}

/// Flags of a listening socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketFlags {
    /// IPV6_V6ONLY.
    #[serde(default)]
    pub ipv6_only: bool,
    /// SO_REUSEPORT on UDP.
    #[serde(default)]
    pub udp_reuse_port: bool,
}

impl SocketFlags {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A local and, once known, a remote address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportTuple {
    /// The announced address if there is one, else the bound one.
    #[serde(rename = "localIp")]
    pub local_address: String,
    /// The bound port.
    pub local_port: u16,
    /// The peer's address; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<IpAddr>,
    /// The peer's port; absent until known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_port: Option<u16>,
    /// The protocol.
    pub protocol: Protocol,
}
