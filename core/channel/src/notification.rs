//! What the worker tells without being asked.

use serde::{Deserialize, Serialize};

use crate::types::{
    ConsumerLayers, ConsumerScore, DtlsState, IceState, ProducerScore, SctpState, TraceEventType,
    TransportTraceEventType, TransportTuple,
};

/// A notification of the worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// What it is about.
    pub target: Target,
    /// What happened.
    pub event: Event,
}

/// What a notification is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The worker itself, by its process id.
    Worker(u32),
    /// An entity, by its id.
    Entity(String),
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// `running`: the worker is ready.
    Running,
    /// `icestatechange` of a WebRTC transport.
    IceStateChange(IceState),
    /// `iceselectedtuplechange` of a WebRTC transport.
    IceSelectedTupleChange(TransportTuple),
    /// `dtlsstatechange` of a WebRTC transport.
    DtlsStateChange(DtlsStateChange),
    /// `sctpstatechange` of a transport.
    SctpStateChange(SctpState),
    /// `tuple` of a plain transport: where RTP comes from.
    Tuple(TransportTuple),
    /// `rtcptuple` of a plain transport: where RTCP comes from.
    RtcpTuple(TransportTuple),
    /// `trace` of a transport.
    TransportTrace(TransportTrace),
    /// `score` of a producer.
    ProducerScore(Vec<ProducerScore>),
    /// `videoorientationchange` of a producer.
    VideoOrientationChange(VideoOrientation),
    /// `trace` of a producer or consumer.
    Trace(Trace),
    /// `producerclose` of a consumer, which is thereby closed.
    ProducerClose,
    /// `producerpause` of a consumer.
    ProducerPause,
    /// `producerresume` of a consumer.
    ProducerResume,
    /// `score` of a consumer.
    ConsumerScore(ConsumerScore),
    /// `layerschange` of a consumer; `None` when nothing is sent.
    LayersChange(Option<ConsumerLayers>),
    /// `dataproducerclose` of a data consumer, which is thereby closed.
    DataProducerClose,
    /// `sctpsendbufferfull` of a data consumer.
    SctpSendBufferFull,
    /// `bufferedamountlow` of a data consumer: so many bytes wait.
    BufferedAmountLow(u32),
    /// `volumes` of an audio level observer, the loudest first.
    Volumes(Vec<AudioVolume>),
    /// `silence` of an audio level observer.
    Silence,
    /// `dominantspeaker` of an active speaker observer: its producer.
    DominantSpeaker(String),
}

/// Data of `dtlsstatechange`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DtlsStateChange {
    /// The new state.
    pub dtls_state: DtlsState,
    /// The peer's certificate as PEM, once connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtls_remote_cert: Option<String>,
}

/// How a camera is held (3GPP TS 26.114, coordination of video orientation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoOrientation {
    /// Whether the source is a camera.
    pub camera: bool,
    /// Whether the picture is mirrored.
    pub flip: bool,
    /// Clockwise degrees: 0, 90, 180 or 270.
    pub rotation: u16,
}

/// How loud a producer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioVolume {
    /// The producer.
    pub producer_id: String,
    /// Mean level, -127 to 0 dBov.
    pub volume: i8,
}

/// Which way a traced thing went, seen from the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceDirection {
    /// To the worker.
    In,
    /// From the worker.
    Out,
}

/// Data of `trace` of a transport.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransportTrace {
    /// What was traced.
    #[serde(rename = "type")]
    pub trace_type: TransportTraceEventType,
    /// Milliseconds of a monotonic clock.
    pub timestamp: u64,
    /// Always out.
    pub direction: TraceDirection,
    /// The packet or the estimate.
    pub info: TransportTraceInfo,
}

/// What a transport's trace shows; its type says which.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TransportTraceInfo {
    /// A probation packet.
    Rtp(RtpPacketInfo),
    /// A change of the bandwidth estimate.
    Bwe(BweInfo),
}

/// What feeds a bandwidth estimator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BweType {
    /// Transport-wide feedback.
    TransportCc,
    /// The receiver's estimated maximum bitrate.
    Remb,
}

/// A bandwidth estimate; rates in bits per second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BweInfo {
    /// What feeds it.
    #[serde(rename = "type")]
    pub bwe_type: BweType,
    /// What the consumers would like.
    pub desired_bitrate: u64,
    /// What the consumers would like, damped.
    pub effective_desired_bitrate: u64,
    /// The lower bound of the estimate.
    pub min_bitrate: u64,
    /// The upper bound of the estimate.
    pub max_bitrate: u64,
    /// The estimate to begin with.
    pub start_bitrate: u64,
    /// The most that probation may send.
    pub max_padding_bitrate: u64,
    /// The estimate.
    pub available_bitrate: u64,
}

/// Data of `trace` of a producer or consumer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// What was traced.
    #[serde(rename = "type")]
    pub trace_type: TraceEventType,
    /// Milliseconds of a monotonic clock.
    pub timestamp: u64,
    /// Which way it went.
    pub direction: TraceDirection,
    /// What it says.
    pub info: TraceInfo,
}

/// What a producer's or consumer's trace shows; its type says which.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TraceInfo {
    /// An RTP packet (RTP and key frames).
    Rtp(RtpPacketInfo),
    /// A PLI or FIR for that SSRC.
    Ssrc {
        /// The SSRC.
        ssrc: u32,
    },
    /// Nothing more (NACK).
    Nothing {},
}

/// An RTP packet's header and sizes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpPacketInfo {
    /// Its payload type.
    pub payload_type: u8,
    /// Its sequence number.
    pub sequence_number: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its marker bit.
    pub marker: bool,
    /// Its SSRC.
    pub ssrc: u32,
    /// Whether it belongs to a key frame.
    pub is_key_frame: bool,
    /// Bytes in all.
    pub size: u64,
    /// Bytes of payload.
    pub payload_size: u64,
    /// Its spatial layer.
    pub spatial_layer: u8,
    /// Its temporal layer.
    pub temporal_layer: u8,
    /// Its MID extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Its RTP stream id extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Its repaired RTP stream id extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrid: Option<String>,
    /// Its transport-wide sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wide_sequence_number: Option<u16>,
    /// Whether it is a retransmission.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_rtx: bool,
}
