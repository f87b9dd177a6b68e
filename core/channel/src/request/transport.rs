//! Data of requests to a transport and to what it carries.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpMapping, RtpParameters};
use crate::serde_helpers::known_names;
use crate::types::{
    DataType, DtlsParameters, PreferredLayers, RtpType, SctpStreamParameters, SrtpParameters, TraceEventType,
    TransportTraceEventType,
};

/// The kinds of transports that are connected to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// Towards a WebRTC endpoint.
    WebRtc,
    /// Towards a plain RTP endpoint.
    Plain,
    /// Towards a router.
    Pipe,
}

/// Data of `transport.connect`. Which members are needed depends on the kind of the transport:
/// WebRTC: `dtls_parameters`; plain and pipe: the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportConnect {
    /// The kind of the transport. The 3.12 generation does not say it, newer ones have a method for each.
    #[serde(skip)]
    pub kind: Option<TransportKind>,
    /// The peer's fingerprint and role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtls_parameters: Option<DtlsParameters>,
    /// The remote address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// The remote port (of RTP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The remote port of RTCP, when it is not multiplexed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_port: Option<u16>,
    /// The key of what the peer sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp_parameters: Option<SrtpParameters>,
}

/// Data of `transport.set...Bitrate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bitrate {
    /// Bits per second; 0 for no bound.
    pub bitrate: u64,
}

/// Data of `transport.produce`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Produce {
    /// The new producer's id.
    pub producer_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is sent to the worker.
    pub rtp_parameters: RtpParameters,
    /// How it becomes what the router uses.
    pub rtp_mapping: RtpMapping,
    /// Whether it begins paused.
    #[serde(default)]
    pub paused: bool,
    /// Milliseconds between two key frame requests at least; 0 for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_frame_request_delay: Option<u32>,
    /// Whether consumers may get mediasoup's packet id extension (newer generations).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_mediasoup_packet_id_header_extension: bool,
}

/// Data of `transport.consume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consume {
    /// The new consumer's id.
    pub consumer_id: String,
    /// The producer to consume.
    pub producer_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What the worker is to send.
    pub rtp_parameters: RtpParameters,
    /// How the streams are forwarded.
    #[serde(rename = "type")]
    pub rtp_type: RtpType,
    /// The producer's streams as they are inside the router.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    /// Whether it begins paused.
    #[serde(default)]
    pub paused: bool,
    /// The layers wanted at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_layers: Option<PreferredLayers>,
    /// Whether Opus DTX packets are dropped.
    #[serde(default)]
    pub ignore_dtx: bool,
}

/// Data of `transport.produceData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProduceData {
    /// The new data producer's id.
    pub data_producer_id: String,
    /// How it is carried.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Its stream, when carried over SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    /// The channel's label.
    #[serde(default)]
    pub label: String,
    /// The channel's subprotocol.
    #[serde(default)]
    pub protocol: String,
    /// Whether it begins paused (newer generations).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Data of `transport.consumeData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumeData {
    /// The new data consumer's id.
    pub data_consumer_id: String,
    /// The data producer to consume.
    pub data_producer_id: String,
    /// How it is carried.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Its stream, when carried over SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    /// The channel's label.
    #[serde(default)]
    pub label: String,
    /// The channel's subprotocol.
    #[serde(default)]
    pub protocol: String,
    /// Whether it begins paused (newer generations).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The subchannels to receive (newer generations).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subchannels: Vec<u16>,
}

/// Data of `transport.enableTraceEvent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnableTransportTraceEvent {
    /// What to trace from now on; nothing else is traced. Unknown names on the wire are left out.
    #[serde(with = "known_names")]
    pub types: Vec<TransportTraceEventType>,
}

/// Data of `producer.enableTraceEvent` and `consumer.enableTraceEvent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnableTraceEvent {
    /// What to trace from now on; nothing else is traced. Unknown names on the wire are left out.
    #[serde(with = "known_names")]
    pub types: Vec<TraceEventType>,
}

/// Data of `consumer.setPriority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    /// 1 (lowest) to 255.
    pub priority: u8,
}

/// Data of `dataConsumer.setBufferedAmountLowThreshold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferedAmountLowThreshold {
    /// Bytes.
    pub threshold: u32,
}
