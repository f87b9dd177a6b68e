//! What transports show of themselves: what all kinds have in common, and what is of one kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::serde_helpers::comma_joined;
use crate::types::{
    DtlsParameters, DtlsState, IceCandidate, IceParameters, IceRole, IceState, SctpState, SrtpParameters,
    TransportTraceEventType, TransportTuple,
};

/// What all kinds of transports show. As it is, the dump of a direct transport.
///
/// The 3.12 generation knows one message size, which stands for both: the longest that may be received is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "DirectWire")]
pub struct TransportDump {
    /// Its id.
    pub id: String,
    /// Whether it is a direct transport.
    pub direct: bool,
    /// Its producers.
    pub producer_ids: Vec<String>,
    /// Its consumers.
    pub consumer_ids: Vec<String>,
    /// The consumer that sends with each SSRC.
    pub map_ssrc_consumer_id: BTreeMap<u32, String>,
    /// The consumer that retransmits with each SSRC.
    pub map_rtx_ssrc_consumer_id: BTreeMap<u32, String>,
    /// Its data producers.
    pub data_producer_ids: Vec<String>,
    /// Its data consumers.
    pub data_consumer_ids: Vec<String>,
    /// Ids of the header extensions that it reads.
    pub recv_rtp_header_extensions: RecvRtpHeaderExtensions,
    /// How it finds the producer of a packet.
    pub rtp_listener: RtpListenerDump,
    /// The longest message of SCTP, or of a direct transport, that may be sent, in bytes.
    #[serde(skip)]
    pub max_send_message_size: u32,
    /// The longest one that may be received, in bytes.
    #[serde(rename = "maxMessageSize")]
    pub max_receive_message_size: u32,
    /// SCTP's settings, when enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_parameters: Option<SctpParameters>,
    /// SCTP's state, when enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_state: Option<SctpState>,
    /// How it finds the data producer of a message, when SCTP is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_listener: Option<SctpListenerDump>,
    /// What it traces.
    #[serde(with = "comma_joined")]
    pub trace_event_types: Vec<TransportTraceEventType>,
}

/// Ids of the RTP header extensions that a transport reads itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecvRtpHeaderExtensions {
    /// The MID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<u8>,
    /// The RTP stream id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<u8>,
    /// The repaired RTP stream id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrid: Option<u8>,
    /// The absolute send time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abs_send_time: Option<u8>,
    /// The transport-wide sequence number.
    #[serde(rename = "transportWideCc01", default, skip_serializing_if = "Option::is_none")]
    pub transport_wide_cc: Option<u8>,
}

/// By what a transport finds the producer of a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpListenerDump {
    /// By SSRC.
    pub ssrc_table: BTreeMap<u32, String>,
    /// By MID.
    pub mid_table: BTreeMap<String, String>,
    /// By RTP stream id.
    pub rid_table: BTreeMap<String, String>,
}

/// By what a transport finds the data producer of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpListenerDump {
    /// By SCTP stream.
    pub stream_id_table: BTreeMap<u16, String>,
}

/// SCTP's settings and backlog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SctpParameters {
    /// Always 5000.
    pub port: u16,
    /// Outgoing streams at first.
    #[serde(rename = "OS")]
    pub os: u16,
    /// Incoming streams at most.
    #[serde(rename = "MIS")]
    pub mis: u16,
    /// The longest message, in bytes.
    pub max_message_size: u32,
    /// The most bytes that wait to be sent.
    #[serde(default)]
    pub send_buffer_size: u32,
    /// The bytes that wait to be sent now.
    #[serde(default)]
    pub sctp_buffered_amount: u32,
    /// Whether the streams are WebRTC data channels.
    #[serde(default)]
    pub is_data_channel: bool,
}

/// Answer to `transport.dump` of a WebRTC transport, and to what creates one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "WebRtcWire")]
pub struct WebRtcTransportDump {
    /// What all transports show.
    #[serde(flatten)]
    pub base: TransportDump,
    /// Always controlled.
    pub ice_role: IceRole,
    /// The local credentials.
    pub ice_parameters: IceParameters,
    /// The local candidates, best first.
    pub ice_candidates: Vec<IceCandidate>,
    /// The state of ICE.
    pub ice_state: IceState,
    /// The nominated tuple.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ice_selected_tuple: Option<TransportTuple>,
    /// The local fingerprints, and the role.
    pub dtls_parameters: DtlsParameters,
    /// The state of DTLS.
    pub dtls_state: DtlsState,
}

/// Answer to `transport.dump` of a plain transport, and to what creates one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "PlainWire")]
pub struct PlainTransportDump {
    /// What all transports show.
    #[serde(flatten)]
    pub base: TransportDump,
    /// Whether RTP and RTCP share a port.
    pub rtcp_mux: bool,
    /// Whether the remote address is learnt from the first packet.
    pub comedia: bool,
    /// Addresses of RTP.
    pub tuple: TransportTuple,
    /// Addresses of RTCP, when it has a port of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_tuple: Option<TransportTuple>,
    /// The key of what the worker sends, when SRTP is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp_parameters: Option<SrtpParameters>,
}

/// Answer to `transport.dump` of a pipe transport, and to what creates one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "PipeWire")]
pub struct PipeTransportDump {
    /// What all transports show.
    #[serde(flatten)]
    pub base: TransportDump,
    /// The addresses.
    pub tuple: TransportTuple,
    /// Whether NACK and RTX are used.
    pub rtx: bool,
    /// The key of what the worker sends, when SRTP is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp_parameters: Option<SrtpParameters>,
}

/// Reads what a kind of transport shows: its own members stand beside those that all have. They are read as one flat
/// struct, because serde's `flatten` would lose which member is wrong.
macro_rules! transport_wire {
    ($wire:ident => $dump:ident, |$base:ident| $made:expr; $($(#[$meta:meta])* $field:ident: $type:ty,)*) => {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct $wire {
            id: String,
            direct: bool,
            producer_ids: Vec<String>,
            consumer_ids: Vec<String>,
            map_ssrc_consumer_id: BTreeMap<u32, String>,
            map_rtx_ssrc_consumer_id: BTreeMap<u32, String>,
            data_producer_ids: Vec<String>,
            data_consumer_ids: Vec<String>,
            recv_rtp_header_extensions: RecvRtpHeaderExtensions,
            rtp_listener: RtpListenerDump,
            max_message_size: u32,
            sctp_parameters: Option<SctpParameters>,
            sctp_state: Option<SctpState>,
            sctp_listener: Option<SctpListenerDump>,
            #[serde(with = "comma_joined")]
            trace_event_types: Vec<TransportTraceEventType>,
            $($(#[$meta])* $field: $type,)*
        }

        impl From<$wire> for $dump {
            fn from(wire: $wire) -> Self {
                let $base = TransportDump {
                    id: wire.id,
                    direct: wire.direct,
                    producer_ids: wire.producer_ids,
                    consumer_ids: wire.consumer_ids,
                    map_ssrc_consumer_id: wire.map_ssrc_consumer_id,
                    map_rtx_ssrc_consumer_id: wire.map_rtx_ssrc_consumer_id,
                    data_producer_ids: wire.data_producer_ids,
                    data_consumer_ids: wire.data_consumer_ids,
                    recv_rtp_header_extensions: wire.recv_rtp_header_extensions,
                    rtp_listener: wire.rtp_listener,
                    max_send_message_size: wire.max_message_size,
                    max_receive_message_size: wire.max_message_size,
                    sctp_parameters: wire.sctp_parameters,
                    sctp_state: wire.sctp_state,
                    sctp_listener: wire.sctp_listener,
                    trace_event_types: wire.trace_event_types,
                };
                $(let $field = wire.$field;)*
                $made
            }
        }
    };
}

transport_wire! { DirectWire => TransportDump, |base| base; }
transport_wire! {
    WebRtcWire => WebRtcTransportDump,
    |base| WebRtcTransportDump {
        base, ice_role, ice_parameters, ice_candidates, ice_state, ice_selected_tuple, dtls_parameters, dtls_state,
    };
    ice_role: IceRole,
    ice_parameters: IceParameters,
    ice_candidates: Vec<IceCandidate>,
    ice_state: IceState,
    ice_selected_tuple: Option<TransportTuple>,
    dtls_parameters: DtlsParameters,
    dtls_state: DtlsState,
}
transport_wire! {
    PlainWire => PlainTransportDump,
    |base| PlainTransportDump { base, rtcp_mux, comedia, tuple, rtcp_tuple, srtp_parameters };
    rtcp_mux: bool,
    comedia: bool,
    tuple: TransportTuple,
    rtcp_tuple: Option<TransportTuple>,
    srtp_parameters: Option<SrtpParameters>,
}
transport_wire! {
    PipeWire => PipeTransportDump,
    |base| PipeTransportDump { base, tuple, rtx, srtp_parameters };
    tuple: TransportTuple,
    rtx: bool,
    srtp_parameters: Option<SrtpParameters>,
}
