//! Statistics. Times are milliseconds of a monotonic clock, bit rates are bits per second, counters never go back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rtp_parameters::MediaKind;
use crate::types::{DtlsState, IceRole, IceState, SctpState, TransportTuple};

/// The kind of a transport's statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransportStatType {
    /// Of a WebRTC transport.
    #[serde(rename = "webrtc-transport")]
    WebRtcTransport,
    /// Of a plain transport.
    PlainRtpTransport,
    /// Of a pipe transport.
    PipeTransport,
    /// Of a direct transport.
    #[default]
    DirectTransport,
}

/// One entry of the answer to `transport.getStats`, which has just one.
///
/// WebRTC transports fill `ice_*` and `dtls_state`; plain ones `rtcp_mux`, `comedia`, `tuple` and, without
/// multiplexing, `rtcp_tuple`; pipe ones `tuple`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportStat {
    /// The kind of transport.
    #[serde(rename = "type")]
    pub stat_type: TransportStatType,
    /// The transport.
    pub transport_id: String,
    /// When this was taken.
    pub timestamp: u64,
    /// SCTP's state, when enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_state: Option<SctpState>,
    /// Bytes received of all kinds.
    pub bytes_received: u64,
    /// Their rate.
    pub recv_bitrate: u64,
    /// Bytes sent of all kinds.
    pub bytes_sent: u64,
    /// Their rate.
    pub send_bitrate: u64,
    /// Bytes of RTP received.
    pub rtp_bytes_received: u64,
    /// Their rate.
    pub rtp_recv_bitrate: u64,
    /// Bytes of RTP sent.
    pub rtp_bytes_sent: u64,
    /// Their rate.
    pub rtp_send_bitrate: u64,
    /// Bytes of retransmissions received.
    pub rtx_bytes_received: u64,
    /// Their rate.
    pub rtx_recv_bitrate: u64,
    /// Bytes of retransmissions sent.
    pub rtx_bytes_sent: u64,
    /// Their rate.
    pub rtx_send_bitrate: u64,
    /// Bytes sent to probe the bandwidth.
    pub probation_bytes_sent: u64,
    /// Their rate.
    pub probation_send_bitrate: u64,
    /// The bandwidth estimate towards the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_outgoing_bitrate: Option<u64>,
    /// The bandwidth estimate from the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_incoming_bitrate: Option<u64>,
    /// The bound of what the peer may send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_incoming_bitrate: Option<u64>,
    /// The upper bound of what is sent to the peer (newer generations).
    #[serde(skip)]
    pub max_outgoing_bitrate: Option<u64>,
    /// The lower bound of the estimate towards the peer (newer generations).
    #[serde(skip)]
    pub min_outgoing_bitrate: Option<u64>,
    /// The fraction of packets lost on the way here, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtp_packet_loss_received: Option<f64>,
    /// The fraction of packets lost on the way to the peer, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtp_packet_loss_sent: Option<f64>,
    /// Always controlled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_role: Option<IceRole>,
    /// The state of ICE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_state: Option<IceState>,
    /// The nominated tuple.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_selected_tuple: Option<TransportTuple>,
    /// The state of DTLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtls_state: Option<DtlsState>,
    /// Whether RTP and RTCP share a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_mux: Option<bool>,
    /// Whether the remote address is learnt from the first packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comedia: Option<bool>,
    /// Addresses of RTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<TransportTuple>,
    /// Addresses of RTCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_tuple: Option<TransportTuple>,
}

/// The kind of an RTP stream's statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RtpStreamStatType {
    /// The worker receives it.
    InboundRtp,
    /// The worker sends it.
    OutboundRtp,
}

/// One entry of the answers to `producer.getStats` and `consumer.getStats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpStreamStat {
    /// Received or sent.
    #[serde(rename = "type")]
    pub stat_type: RtpStreamStatType,
    /// When this was taken.
    pub timestamp: u64,
    /// The stream.
    pub ssrc: u32,
    /// Its RID, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Audio or video.
    pub kind: MediaKind,
    /// The codec.
    pub mime_type: String,
    /// Packets lost.
    pub packets_lost: u64,
    /// Packets lost of the last 256.
    pub fraction_lost: u8,
    /// Packets that came too late or were no use.
    pub packets_discarded: u64,
    /// Packets sent again.
    pub packets_retransmitted: u64,
    /// Lost packets that a retransmission replaced.
    pub packets_repaired: u64,
    /// NACK messages.
    pub nack_count: u64,
    /// Packets that they asked for.
    pub nack_packet_count: u64,
    /// Picture loss indications.
    pub pli_count: u64,
    /// Full intra requests.
    pub fir_count: u64,
    /// 0 (nothing arrives) to 10.
    pub score: u8,
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// Their rate.
    pub bitrate: u64,
    /// Interarrival jitter in timestamp units (RFC 3550, 6.4.1); received streams only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<u32>,
    /// The rate of each layer, named `spatial.temporal`; received streams of several layers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate_by_layer: Option<BTreeMap<String, u64>>,
    /// The SSRC of the retransmission stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx_ssrc: Option<u32>,
    /// Its packets that were no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx_packets_discarded: Option<u64>,
    /// Round trip time to the peer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_time: Option<f64>,
}

/// The answer to `dataProducer.getStats` holds one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "data-producer", rename_all = "camelCase")]
pub struct DataProducerStat {
    /// When this was taken.
    pub timestamp: u64,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
    /// Messages received.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

/// The answer to `dataConsumer.getStats` holds one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "data-consumer", rename_all = "camelCase")]
pub struct DataConsumerStat {
    /// When this was taken.
    pub timestamp: u64,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
    /// Messages sent.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Bytes that wait to be sent.
    pub buffered_amount: u32,
}
