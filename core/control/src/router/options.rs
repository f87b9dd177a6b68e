//! How transports are made.

use std::net::IpAddr;

use sfu_channel::request::SctpOptions;
use sfu_channel::{ListenInfo, Protocol, SrtpCryptoSuite};

use crate::web_rtc_server::WebRtcServer;

/// How a WebRTC transport is made.
#[derive(Debug, Clone, Default)]
pub struct WebRtcTransportOptions {
    /// Where to listen: 1 to 8 addresses, each with UDP, TCP or both. See [`listen_everywhere`].
    pub listen_infos: Vec<ListenInfo>,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// Seconds without consent checks after which ICE is disconnected; 0 for never. mediasoup 3.12 does not know it.
    pub ice_consent_timeout: u8,
    /// The bandwidth estimate to begin with, in bits per second; absent means 600000.
    pub initial_available_outgoing_bitrate: Option<u64>,
    /// SCTP, when enabled. Its streams are data channels.
    pub sctp: Option<SctpOptions>,
}

/// Listeners on each of those addresses with UDP and, if wanted, TCP; any port.
pub fn listen_everywhere(addresses: impl IntoIterator<Item = IpAddr>, tcp: bool) -> Vec<ListenInfo> {
    let protocols: &[Protocol] = if tcp { &[Protocol::Udp, Protocol::Tcp] } else { &[Protocol::Udp] };
    addresses.into_iter().flat_map(|ip| protocols.iter().map(move |protocol| ListenInfo::new(*protocol, ip))).collect()
}

/// How a plain transport is made.
#[derive(Debug, Clone)]
pub struct PlainTransportOptions {
    /// Where to listen for RTP (and RTCP, when multiplexed).
    pub listen_info: ListenInfo,
    /// Where to listen for RTCP; absent means the same address, any port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// Whether RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether the remote address is learnt from the first packet.
    pub comedia: bool,
    /// The cipher, when SRTP is enabled.
    pub srtp_crypto_suite: Option<SrtpCryptoSuite>,
    /// SCTP, when enabled.
    pub sctp: Option<SctpOptions>,
}

impl PlainTransportOptions {
    /// Listening on any UDP port of that address; RTCP multiplexed, the remote address given later, no SRTP, no SCTP.
    pub fn new(ip: IpAddr) -> Self {
        Self {
            listen_info: ListenInfo::new(Protocol::Udp, ip),
            rtcp_listen_info: None,
            rtcp_mux: true,
            comedia: false,
            srtp_crypto_suite: None,
            sctp: None,
        }
    }
}

/// How a WebRTC transport that uses a server's ports is made.
#[derive(Debug, Clone)]
pub struct WebRtcServerTransportOptions {
    /// The server.
    pub server: WebRtcServer,
    /// Whether its UDP sockets are used.
    pub enable_udp: bool,
    /// Whether its TCP sockets are used.
    pub enable_tcp: bool,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// The same as in [`WebRtcTransportOptions`].
    pub ice_consent_timeout: u8,
    /// The same as in [`WebRtcTransportOptions`].
    pub initial_available_outgoing_bitrate: Option<u64>,
    /// SCTP, when enabled. Its streams are data channels.
    pub sctp: Option<SctpOptions>,
}

impl WebRtcServerTransportOptions {
    /// All sockets of that server, none preferred; nothing else special.
    pub fn new(server: WebRtcServer) -> Self {
        Self {
            server,
            enable_udp: true,
            enable_tcp: true,
            prefer_udp: false,
            prefer_tcp: false,
            ice_consent_timeout: 0,
            initial_available_outgoing_bitrate: None,
            sctp: None,
        }
    }
}

/// How a pipe transport is made.
#[derive(Debug, Clone)]
pub struct PipeTransportOptions {
    /// Where to listen.
    pub listen_info: ListenInfo,
    /// Whether lost packets are sent again.
    pub enable_rtx: bool,
    /// Whether SRTP is used.
    pub enable_srtp: bool,
    /// SCTP, when enabled.
    pub sctp: Option<SctpOptions>,
}

impl PipeTransportOptions {
    /// Listening on any UDP port of that address; no RTX, no SRTP, no SCTP.
    pub fn new(ip: IpAddr) -> Self {
        let listen_info = ListenInfo::new(Protocol::Udp, ip);
        Self { listen_info, enable_rtx: false, enable_srtp: false, sctp: None }
    }
}

/// How a direct transport is made.
#[derive(Debug, Clone, Copy)]
pub struct DirectTransportOptions {
    /// The longest message that it takes in either direction, in bytes.
    pub max_message_size: u32,
}

impl Default for DirectTransportOptions {
    /// Messages of up to 256 KiB.
    fn default() -> Self {
        Self { max_message_size: 262_144 }
    }
}
