//! Data of requests to a worker and a router, which make servers, transports and observers.

use serde::{Deserialize, Serialize};

use crate::serde_helpers::any_number;
use crate::types::{ListenInfo, NumSctpStreams, Protocol, SrtpCryptoSuite};

/// The most listeners that one transport or server may have.
pub const MAX_LISTEN_INFOS: usize = 8;

/// Data of `worker.createWebRtcServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateWebRtcServer {
    /// The new server's id.
    pub web_rtc_server_id: String,
    /// Where to listen: 1 to 8 places.
    pub listen_infos: Vec<ListenInfo>,
}

/// Options that transports have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransportOptions {
    /// The bandwidth estimate to begin with, in bits per second.
    pub initial_available_outgoing_bitrate: Option<u64>,
    /// SCTP, when enabled.
    pub sctp: Option<SctpOptions>,
}

/// Options of SCTP on a transport. The 3.12 generation knows one message size, which stands for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SctpOptions {
    /// Numbers of streams.
    pub num_streams: NumSctpStreams,
    /// The longest message that may be sent, in bytes.
    pub max_send_message_size: u32,
    /// The longest message that may be received, in bytes.
    pub max_receive_message_size: u32,
    /// The most bytes that wait to be sent.
    pub send_buffer_size: u32,
    /// The most bytes of one stream that wait to be sent (newer generations).
    pub per_stream_send_queue_limit: Option<u32>,
    /// The receiver's window in bytes (newer generations).
    pub max_receiver_window_size: Option<u32>,
    /// Bytes at which data consumers say that their buffer is low, unless they are told otherwise (newer generations).
    pub default_buffered_amount_low_threshold: Option<u32>,
    /// Whether the streams are WebRTC data channels.
    pub is_data_channel: bool,
}

impl SctpOptions {
    /// `send_buffer_size` when none is given.
    pub const DEFAULT_SEND_BUFFER_SIZE: u32 = 262_144;
    /// The largest `send_buffer_size`.
    pub const MAX_SEND_BUFFER_SIZE: u32 = 268_435_456;
}

impl Default for SctpOptions {
    fn default() -> Self {
        Self {
            num_streams: NumSctpStreams::default(),
            max_send_message_size: 262_144,
            max_receive_message_size: 262_144,
            send_buffer_size: Self::DEFAULT_SEND_BUFFER_SIZE,
            per_stream_send_queue_limit: None,
            max_receiver_window_size: None,
            default_buffered_amount_low_threshold: None,
            is_data_channel: false,
        }
    }
}

/// Data of `router.createWebRtcTransport`.
///
/// The 3.12 generation names addresses and enables UDP and TCP on all of them. They become one [`ListenInfo`] an
/// address and protocol, address by address, UDP before TCP: the order of the ICE candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateWebRtcTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// Where to listen: 1 to 8 addresses, each with UDP, TCP or both.
    pub listen_infos: Vec<ListenInfo>,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// Seconds without consent checks after which ICE is disconnected (newer generations); 0 for never.
    pub ice_consent_timeout: u8,
    /// Options of all transports.
    pub options: TransportOptions,
}

impl CreateWebRtcTransport {
    /// The local preference (RFC 8445, 5.1.2.1) of the candidate of each of `listen_infos`: 10000, less 100 for each
    /// address before its own, and 1000 more if its protocol is preferred. An address is one entry of 3.12's list: the
    /// same IP address may be there twice, announced as two.
    pub fn local_preferences(&self) -> Vec<u16> {
        let infos = &self.listen_infos;
        let mut index = 0;
        let preference = |(position, info): (usize, &ListenInfo)| {
            let before = position.checked_sub(1).and_then(|before| infos.get(before));
            index += usize::from(before.is_some_and(|before| !is_tcp_of(info, before)));
            local_preference(info.protocol, index, self.prefer_udp, self.prefer_tcp)
        };
        infos.iter().enumerate().map(preference).collect()
    }
}

/// Whether a listener is the TCP one of the same address as the UDP one before it.
fn is_tcp_of(info: &ListenInfo, before: &ListenInfo) -> bool {
    (before.protocol, info.protocol) == (Protocol::Udp, Protocol::Tcp)
        && (before.ip, &before.announced_address) == (info.ip, &info.announced_address)
}

/// The local preference (RFC 8445, 5.1.2.1) of a candidate on the address, or a WebRTC server's listener, of that index.
pub fn local_preference(protocol: Protocol, index: usize, prefer_udp: bool, prefer_tcp: bool) -> u16 {
    let preferred = match protocol {
        Protocol::Udp => prefer_udp,
        Protocol::Tcp => prefer_tcp,
    };
    let base: u16 = if preferred { 11_000 } else { 10_000 };
    base.saturating_sub(u16::try_from(index * 100).unwrap_or(u16::MAX))
}

/// Data of `router.createWebRtcTransportWithServer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateWebRtcTransportWithServer {
    /// The new transport's id.
    pub transport_id: String,
    /// The server that listens for it.
    pub web_rtc_server_id: String,
    /// Whether the server's UDP sockets are used.
    pub enable_udp: bool,
    /// Whether the server's TCP sockets are used.
    pub enable_tcp: bool,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// Seconds without consent checks after which ICE is disconnected (newer generations); 0 for never.
    pub ice_consent_timeout: u8,
    /// Options of all transports.
    pub options: TransportOptions,
}

/// Data of `router.createPlainTransport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePlainTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// Where to listen for RTP (and RTCP, when multiplexed).
    pub listen_info: ListenInfo,
    /// Where to listen for RTCP (newer generations); absent means the same address, any port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// Whether RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether the remote address is learnt from the first packet.
    pub comedia: bool,
    /// The cipher, when SRTP is enabled.
    pub srtp_crypto_suite: Option<SrtpCryptoSuite>,
    /// Options of all transports.
    pub options: TransportOptions,
}

/// Data of `router.createPipeTransport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePipeTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// Where to listen.
    pub listen_info: ListenInfo,
    /// Whether NACK and RTX are used.
    pub enable_rtx: bool,
    /// Whether SRTP is used.
    pub enable_srtp: bool,
    /// Options of all transports.
    pub options: TransportOptions,
}

/// Data of `router.createDirectTransport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDirectTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// The longest message that may be sent, in bytes. The 3.12 generation knows one size, which stands for both.
    pub max_send_message_size: u32,
    /// The longest message that may be received, in bytes.
    pub max_receive_message_size: u32,
}

/// Data of `router.createActiveSpeakerObserver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateActiveSpeakerObserver {
    /// The new observer's id.
    pub rtp_observer_id: String,
    /// Milliseconds between decisions; the worker keeps it within 100 to 5000.
    #[serde(deserialize_with = "any_number")]
    pub interval: i32,
}

/// Data of `router.createAudioLevelObserver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateAudioLevelObserver {
    /// The new observer's id.
    pub rtp_observer_id: String,
    /// The most producers that are reported, at least 1.
    pub max_entries: u16,
    /// The lowest volume that is reported, -127 to 0 dBov.
    pub threshold: i8,
    /// Milliseconds between reports; the worker keeps it within 250 to 5000.
    #[serde(deserialize_with = "any_number")]
    pub interval: i32,
}
