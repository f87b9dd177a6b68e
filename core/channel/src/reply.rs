//! What the worker answers to requests that create or change something, apart from dumps.

use serde::{Deserialize, Serialize};

use crate::types::{ConsumerLayers, ConsumerScore, DtlsRole, IceParameters, RtpType, SrtpParameters, TransportTuple};

/// Answer to `transport.connect` of a WebRTC transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebRtcConnected {
    /// The worker's role: client or server.
    pub dtls_local_role: DtlsRole,
}

/// Answer to `transport.connect` of a plain or pipe transport.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlainConnected {
    /// Addresses of RTP, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuple: Option<TransportTuple>,
    /// Addresses of RTCP, when it has a port of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_tuple: Option<TransportTuple>,
    /// The key of what the worker sends, when SRTP is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp_parameters: Option<SrtpParameters>,
}

/// Answer to `transport.restartIce`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceRestarted {
    /// The new credentials.
    pub ice_parameters: IceParameters,
}

/// Answer to `transport.produce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produced {
    /// How the streams relate; never `Pipe`.
    #[serde(rename = "type")]
    pub rtp_type: RtpType,
}

/// Answer to `transport.consume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumed {
    /// Whether the consumer is paused.
    pub paused: bool,
    /// Whether its producer is paused.
    pub producer_paused: bool,
    /// The scores now.
    pub score: ConsumerScore,
    /// The layers that are wanted at most (simulcast and SVC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_layers: Option<ConsumerLayers>,
}

/// Answer to `dataConsumer.getBufferedAmount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BufferedAmount {
    /// Bytes that wait to be sent.
    pub buffered_amount: u32,
}
