//! What two ends agree on: ICE, DTLS, SRTP and SCTP, their parameters and states.

use serde::{Deserialize, Serialize};

use super::address::Protocol;

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
