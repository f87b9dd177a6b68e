//! The small shared words of the protocol: addresses, states, keys, layers.

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

/// The local ICE credentials (RFC 8445, 5.3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceParameters {
    /// The username fragment.
    pub username_fragment: String,
    /// The password.
    pub password: String,
    /// Always true: the worker is an ICE-lite agent.
    #[serde(default)]
    pub ice_lite: bool,
}

impl std::fmt::Debug for IceParameters {
    /// Keeps the password out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { username_fragment, ice_lite, password: _ } = self;
        let mut shown = f.debug_struct("IceParameters");
        shown.field("username_fragment", username_fragment).field("ice_lite", ice_lite).finish_non_exhaustive()
    }
}

/// A local ICE candidate (RFC 8445, 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// `udpcandidate` or `tcpcandidate`.
    pub foundation: String,
    /// The priority (RFC 8445, 5.1.2).
    pub priority: u32,
    /// The announced address if there is one, else the bound one.
    #[serde(rename = "ip")]
    pub address: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// The kind of candidate; a worker has host candidates only.
    #[serde(rename = "type")]
    pub kind: IceCandidateType,
    /// How TCP is opened; on TCP candidates only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_type: Option<IceCandidateTcpType>,
}

/// The kind of an ICE candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceCandidateType {
    /// An address of the machine itself.
    Host,
}

/// Who opens the connection of a TCP candidate (RFC 6544).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceCandidateTcpType {
    /// The peer does.
    Passive,
}

/// The ICE role (RFC 8445, 6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceRole {
    /// The peer nominates.
    Controlled,
    /// This side nominates.
    Controlling,
}

/// The state of ICE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceState {
    /// Nothing valid arrived yet.
    New,
    /// A tuple is in use, but none is nominated.
    Connected,
    /// A tuple is nominated.
    Completed,
    /// The tuple in use is lost.
    Disconnected,
    /// The transport is closed (only in the library).
    Closed,
}

/// What is needed to verify and to reach the peer's DTLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsParameters {
    /// The role; absent means `auto`.
    #[serde(default)]
    pub role: DtlsRole,
    /// Fingerprints of the certificate. Of the peer's, only the first is used.
    pub fingerprints: Vec<DtlsFingerprint>,
}

/// Which side opens the DTLS handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// Not decided yet.
    #[default]
    Auto,
    /// This side opens it.
    Client,
    /// The other side opens it.
    Server,
}

/// A fingerprint of a certificate (RFC 8122).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsFingerprint {
    /// The hash function.
    pub algorithm: FingerprintAlgorithm,
    /// Bytes in upper case hexadecimal, colons between.
    pub value: String,
}

/// The hash function of a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FingerprintAlgorithm {
    /// SHA-1.
    #[serde(rename = "sha-1")]
    Sha1,
    /// SHA-224.
    #[serde(rename = "sha-224")]
    Sha224,
    /// SHA-256.
    #[serde(rename = "sha-256")]
    Sha256,
    /// SHA-384.
    #[serde(rename = "sha-384")]
    Sha384,
    /// SHA-512.
    #[serde(rename = "sha-512")]
    Sha512,
}

/// The state of DTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsState {
    /// Not begun.
    New,
    /// In the handshake.
    Connecting,
    /// Established, the certificate verified.
    Connected,
    /// The handshake failed.
    Failed,
    /// Closed by either side.
    Closed,
}

/// The state of an SCTP association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SctpState {
    /// Not begun.
    New,
    /// In the handshake.
    Connecting,
    /// Established.
    Connected,
    /// The handshake failed.
    Failed,
    /// Closed by either side.
    Closed,
}

/// The cipher of an SRTP session that is keyed by signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SrtpCryptoSuite {
    /// RFC 7714; key and salt are 44 bytes.
    #[serde(rename = "AEAD_AES_256_GCM")]
    AeadAes256Gcm,
    /// RFC 7714; key and salt are 28 bytes.
    #[serde(rename = "AEAD_AES_128_GCM")]
    AeadAes128Gcm,
    /// RFC 3711; key and salt are 30 bytes, the tag 10.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    AesCm128HmacSha1_80,
    /// RFC 3711; key and salt are 30 bytes, the tag of RTP 4.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    AesCm128HmacSha1_32,
}

impl SrtpCryptoSuite {
    /// Length in bytes of master key and master salt together.
    pub fn key_and_salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 44,
            Self::AeadAes128Gcm => 28,
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 30,
        }
    }
}

/// The cipher and key of one direction of SRTP.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SrtpParameters {
    /// The cipher.
    pub crypto_suite: SrtpCryptoSuite,
    /// Master key and salt, base64.
    pub key_base64: String,
}

impl std::fmt::Debug for SrtpParameters {
    /// Keeps the key out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpParameters").field("crypto_suite", &self.crypto_suite).finish_non_exhaustive()
    }
}

/// How many SCTP streams to begin with and to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumSctpStreams {
    /// Outgoing streams at first.
    #[serde(rename = "OS")]
    pub os: u16,
    /// Incoming streams at most.
    #[serde(rename = "MIS")]
    pub mis: u16,
}

impl Default for NumSctpStreams {
    fn default() -> Self {
        Self { os: 1024, mis: 1024 }
    }
}

/// One data channel's SCTP stream (RFC 8831).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpStreamParameters {
    /// The stream, 0 to 65534.
    pub stream_id: u16,
    /// Whether messages arrive in order; absent means yes, unless a bound below is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<bool>,
    /// Milliseconds after which a message is no longer sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_packet_life_time: Option<u16>,
    /// How often a message is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retransmits: Option<u16>,
}

/// How a producer's streams relate; decides how they are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtpType {
    /// One stream of one layer.
    Simple,
    /// Several streams, one is forwarded.
    Simulcast,
    /// One stream of several layers, some are forwarded.
    Svc,
    /// Everything is forwarded as it is (consumers on pipe transports).
    Pipe,
}

/// How a data producer or data consumer is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Over SCTP.
    Sctp,
    /// Over the payload channel.
    Direct,
}

/// Spatial and temporal layers that a consumer would like at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferredLayers {
    /// The highest spatial layer, from 0.
    pub spatial_layer: u16,
    /// The highest temporal layer, from 0; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal_layer: Option<u16>,
}

/// Spatial and temporal layers in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLayers {
    /// The spatial layer, from 0.
    pub spatial_layer: i16,
    /// The temporal layer, from 0; -1 for none.
    #[serde(default)]
    pub temporal_layer: i16,
}

/// How well a consumer's stream goes, 0 (nothing arrives) to 10.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerScore {
    /// Of the stream towards the consumer.
    pub score: u8,
    /// Of the producer's stream that is forwarded.
    pub producer_score: u8,
    /// Of all of the producer's streams.
    #[serde(default)]
    pub producer_scores: Vec<u8>,
}

/// How well one of a producer's streams goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerScore {
    /// The index of its encoding.
    #[serde(default)]
    pub encoding_idx: u32,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its RID, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// 0 (nothing arrives) to 10.
    pub score: u8,
}

/// How much the worker logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    None,
    /// Errors only.
    #[default]
    Error,
    /// Errors and warnings.
    Warn,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// The name on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Debug => "debug",
        }
    }

    /// The level of that name, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Error, Self::Warn, Self::Debug]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name))
    }
}

/// What a transport can trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportTraceEventType {
    /// Probation packets sent.
    Probation,
    /// Changes of the bandwidth estimate.
    Bwe,
}

/// What a producer or a consumer can trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceEventType {
    /// RTP packets.
    Rtp,
    /// RTP packets with a key frame.
    KeyFrame,
    /// NACKs.
    Nack,
    /// Picture loss indications.
    Pli,
    /// Full intra requests.
    Fir,
}

/// A set of trace types that has names on the wire.
pub trait TraceType: Copy + 'static {
    /// All of them, in the order of dumps.
    const ALL: &'static [Self];

    /// The name on the wire.
    fn as_str(self) -> &'static str;

    /// The type of that name.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl TraceType for TransportTraceEventType {
    const ALL: &'static [Self] = &[Self::Probation, Self::Bwe];

    fn as_str(self) -> &'static str {
        match self {
            Self::Probation => "probation",
            Self::Bwe => "bwe",
        }
    }
}

impl TraceType for TraceEventType {
    const ALL: &'static [Self] = &[Self::Rtp, Self::KeyFrame, Self::Nack, Self::Pli, Self::Fir];

    fn as_str(self) -> &'static str {
        match self {
            Self::Rtp => "rtp",
            Self::KeyFrame => "keyframe",
            Self::Nack => "nack",
            Self::Pli => "pli",
            Self::Fir => "fir",
        }
    }
}
