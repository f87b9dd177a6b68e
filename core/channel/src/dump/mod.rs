//! What entities show of themselves when they are asked, and some when they are made.

mod transport;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpMappingCodec, RtpParameters};
use crate::serde_helpers::comma_joined;
use crate::types::{DataType, RtpType, SctpStreamParameters, TraceEventType};

pub use transport::*;

/// Answer to `worker.dump`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerDump {
    /// The worker's process id.
    pub pid: u32,
    /// Its WebRTC servers.
    pub web_rtc_server_ids: Vec<String>,
    /// Its routers.
    pub router_ids: Vec<String>,
    /// Who takes which messages.
    pub channel_message_handlers: ChannelMessageHandlers,
}

/// The entities that take messages, by kind of message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelMessageHandlers {
    /// Every live entity.
    pub channel_request_handlers: Vec<String>,
    /// Transports and data consumers.
    pub payload_channel_request_handlers: Vec<String>,
    /// Transports, producers and data producers.
    pub payload_channel_notification_handlers: Vec<String>,
}

/// Answer to `worker.getResourceUsage`: what getrusage(2) says, times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of getrusage(2)")]
pub struct ResourceUsage {
    pub ru_utime: u64,
    pub ru_stime: u64,
    pub ru_maxrss: u64,
    pub ru_ixrss: u64,
    pub ru_idrss: u64,
    pub ru_isrss: u64,
    pub ru_minflt: u64,
    pub ru_majflt: u64,
    pub ru_nswap: u64,
    pub ru_inblock: u64,
    pub ru_oublock: u64,
    pub ru_msgsnd: u64,
    pub ru_msgrcv: u64,
    pub ru_nsignals: u64,
    pub ru_nvcsw: u64,
    pub ru_nivcsw: u64,
}

/// Answer to `webRtcServer.dump`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebRtcServerDump {
    /// Its id.
    pub id: String,
    /// Bound UDP sockets.
    pub udp_sockets: Vec<SocketDump>,
    /// Bound TCP listeners.
    pub tcp_servers: Vec<SocketDump>,
    /// Transports that use it.
    pub web_rtc_transport_ids: Vec<String>,
    /// By which ICE username fragment it finds the transport.
    pub local_ice_username_fragments: Vec<IceUsernameFragmentDump>,
    /// By which remote address it finds the transport.
    #[serde(default)]
    pub tuple_hashes: Vec<TupleHashDump>,
}

/// A bound socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketDump {
    /// Its address.
    pub ip: String,
    /// Its port.
    pub port: u16,
}

/// An ICE username fragment and its transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceUsernameFragmentDump {
    /// The fragment.
    pub local_ice_username_fragment: String,
    /// The transport.
    pub web_rtc_transport_id: String,
}

/// A remote address, as a number, and its transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TupleHashDump {
    /// The number.
    pub tuple_hash: u64,
    /// The transport.
    pub web_rtc_transport_id: String,
}

/// Answer to `router.dump`. An entity that nobody consumes is present with an empty list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterDump {
    /// Its id.
    pub id: String,
    /// Its transports.
    pub transport_ids: Vec<String>,
    /// Its observers.
    pub rtp_observer_ids: Vec<String>,
    /// Each producer's consumers.
    pub map_producer_id_consumer_ids: BTreeMap<String, Vec<String>>,
    /// Each consumer's producer.
    pub map_consumer_id_producer_id: BTreeMap<String, String>,
    /// Each producer's observers.
    pub map_producer_id_observer_ids: BTreeMap<String, Vec<String>>,
    /// Each data producer's data consumers.
    pub map_data_producer_id_data_consumer_ids: BTreeMap<String, Vec<String>>,
    /// Each data consumer's data producer.
    pub map_data_consumer_id_data_producer_id: BTreeMap<String, String>,
}

/// Answer to `producer.dump`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerDump {
    /// Its id.
    pub id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is sent to the worker.
    pub rtp_parameters: RtpParameters,
    /// How the streams relate.
    #[serde(rename = "type")]
    pub rtp_type: RtpType,
    /// How payload types and SSRCs become the router's.
    pub rtp_mapping: RtpMappingDump,
    /// The streams that have been seen.
    pub rtp_streams: Vec<RtpStreamDump>,
    /// Whether it is paused.
    pub paused: bool,
    /// What it traces.
    #[serde(with = "comma_joined")]
    pub trace_event_types: Vec<TraceEventType>,
}

/// A producer's mapping, as it is dumped: with nulls for what is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpMappingDump {
    /// Of payload types.
    pub codecs: Vec<RtpMappingCodec>,
    /// Of encodings.
    pub encodings: Vec<RtpMappingEncodingDump>,
}

/// One encoding's mapping, as it is dumped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpMappingEncodingDump {
    /// The producer's RID.
    pub rid: Option<String>,
    /// The producer's SSRC.
    pub ssrc: Option<u32>,
    /// The SSRC inside the router.
    pub mapped_ssrc: u32,
}

/// Answer to `consumer.dump`.
///
/// Simple consumers have `rtp_stream`; simulcast and SVC ones have it and the layers (-1 for none); those on pipe
/// transports have `rtp_streams`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "ConsumerWire")]
pub struct ConsumerDump {
    /// Its id.
    pub id: String,
    /// The producer that it consumes.
    pub producer_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What the worker sends.
    pub rtp_parameters: RtpParameters,
    /// How streams are forwarded.
    #[serde(rename = "type")]
    pub rtp_type: RtpType,
    /// The producer's streams as they are inside the router.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    /// The payload types that it forwards.
    pub supported_codec_payload_types: Vec<u8>,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether its producer is paused.
    pub producer_paused: bool,
    /// 1 (lowest) to 255.
    pub priority: u8,
    /// What it traces.
    #[serde(with = "comma_joined")]
    pub trace_event_types: Vec<TraceEventType>,
    /// The stream that it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtp_stream: Option<RtpStreamDump>,
    /// The streams that it sends, on a pipe transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtp_streams: Option<Vec<RtpStreamDump>>,
    /// The layers of simulcast and SVC.
    #[serde(flatten)]
    pub layers: Option<ConsumerLayersDump>,
}

/// The layers of a simulcast or SVC consumer; -1 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLayersDump {
    /// The spatial layer that is wanted at most.
    pub preferred_spatial_layer: i16,
    /// The spatial layer that the bandwidth allows.
    pub target_spatial_layer: i16,
    /// The spatial layer that is sent.
    pub current_spatial_layer: i16,
    /// The temporal layer that is wanted at most.
    pub preferred_temporal_layer: i16,
    /// The temporal layer that the bandwidth allows.
    pub target_temporal_layer: i16,
    /// The temporal layer that is sent.
    pub current_temporal_layer: i16,
}

/// How a consumer's dump is read: flat, for the same reason as those of transports. Either all layers are there or none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerWire {
    id: String,
    producer_id: String,
    kind: MediaKind,
    rtp_parameters: RtpParameters,
    #[serde(rename = "type")]
    rtp_type: RtpType,
    consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    supported_codec_payload_types: Vec<u8>,
    paused: bool,
    producer_paused: bool,
    priority: u8,
    #[serde(with = "comma_joined")]
    trace_event_types: Vec<TraceEventType>,
    rtp_stream: Option<RtpStreamDump>,
    rtp_streams: Option<Vec<RtpStreamDump>>,
    preferred_spatial_layer: Option<i16>,
    target_spatial_layer: Option<i16>,
    current_spatial_layer: Option<i16>,
    preferred_temporal_layer: Option<i16>,
    target_temporal_layer: Option<i16>,
    current_temporal_layer: Option<i16>,
}

impl TryFrom<ConsumerWire> for ConsumerDump {
    type Error = &'static str;

    fn try_from(wire: ConsumerWire) -> Result<Self, Self::Error> {
        // The text is what serde says of a missing member, so that it is named like any other.
        let layers = match wire.preferred_spatial_layer {
            None => None,
            Some(preferred_spatial_layer) => Some(ConsumerLayersDump {
                preferred_spatial_layer,
                target_spatial_layer: wire.target_spatial_layer.ok_or("missing field `targetSpatialLayer`")?,
                current_spatial_layer: wire.current_spatial_layer.ok_or("missing field `currentSpatialLayer`")?,
                preferred_temporal_layer: wire
                    .preferred_temporal_layer
                    .ok_or("missing field `preferredTemporalLayer`")?,
                target_temporal_layer: wire.target_temporal_layer.ok_or("missing field `targetTemporalLayer`")?,
                current_temporal_layer: wire.current_temporal_layer.ok_or("missing field `currentTemporalLayer`")?,
            }),
        };
        Ok(Self {
            id: wire.id,
            producer_id: wire.producer_id,
            kind: wire.kind,
            rtp_parameters: wire.rtp_parameters,
            rtp_type: wire.rtp_type,
            consumable_rtp_encodings: wire.consumable_rtp_encodings,
            supported_codec_payload_types: wire.supported_codec_payload_types,
            paused: wire.paused,
            producer_paused: wire.producer_paused,
            priority: wire.priority,
            trace_event_types: wire.trace_event_types,
            rtp_stream: wire.rtp_stream,
            rtp_streams: wire.rtp_streams,
            layers,
        })
    }
}

/// An RTP stream inside a producer or consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpStreamDump {
    /// Its settings.
    pub params: RtpStreamParams,
    /// 0 (nothing arrives) to 10.
    pub score: u8,
    /// Its retransmission stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx_stream: Option<RtxStreamDump>,
}

/// The settings of an RTP stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpStreamParams {
    /// The index of its encoding.
    pub encoding_idx: u32,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// Its codec.
    pub mime_type: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// Its RID, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Its canonical name.
    pub cname: String,
    /// The SSRC of its retransmission stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx_ssrc: Option<u32>,
    /// The payload type of its retransmission stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx_payload_type: Option<u8>,
    /// Whether NACK is used.
    pub use_nack: bool,
    /// Whether picture loss indications are used.
    pub use_pli: bool,
    /// Whether full intra requests are used.
    pub use_fir: bool,
    /// Whether Opus in-band FEC is used.
    pub use_in_band_fec: bool,
    /// Whether discontinuous transmission is used.
    pub use_dtx: bool,
    /// Number of spatial layers.
    pub spatial_layers: u8,
    /// Number of temporal layers.
    pub temporal_layers: u8,
}

/// A retransmission stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtxStreamDump {
    /// Its settings.
    pub params: RtxStreamParams,
}

/// The settings of a retransmission stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtxStreamParams {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// `video/rtx` or `audio/rtx`.
    pub mime_type: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// The RID of the stream that it repairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrid: Option<String>,
    /// Its canonical name.
    pub cname: String,
}

/// Answer to `dataProducer.dump` and `transport.produceData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataProducerDump {
    /// Its id.
    pub id: String,
    /// How it is carried.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Its stream, when carried over SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
    /// Whether it is paused (newer generations).
    #[serde(skip)]
    pub paused: bool,
}

/// Answer to `dataConsumer.dump` and `transport.consumeData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataConsumerDump {
    /// Its id.
    pub id: String,
    /// How it is carried.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// The data producer that it consumes.
    pub data_producer_id: String,
    /// Its stream, when carried over SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
    /// Bytes at which it says that its buffer is low.
    pub buffered_amount_low_threshold: u32,
    /// Bytes that wait to be sent (newer generations).
    #[serde(skip)]
    pub buffered_amount: u32,
    /// Whether it is paused (newer generations).
    #[serde(skip)]
    pub paused: bool,
    /// Whether its data producer is paused (newer generations).
    #[serde(skip)]
    pub data_producer_paused: bool,
    /// The subchannels that it receives (newer generations).
    #[serde(skip)]
    pub subchannels: Vec<u16>,
}
