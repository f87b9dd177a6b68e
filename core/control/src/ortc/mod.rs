//! ORTC negotiation: who may send what to a router, and what another receives of it, computed from capabilities and
//! parameters alone. The functions have the names and results of mediasoup 3.12's `ortc` module.
//!
//! ```text
//! the router's codecs ── generate_router_rtp_capabilities ──► router capabilities
//! a producer's parameters + router capabilities ── get_producer_rtp_parameters_mapping ──► mapping
//! parameters + capabilities + mapping ── get_consumable_rtp_parameters ──► consumable parameters (the router's numbers)
//! consumable parameters + a receiver's capabilities ── can_consume, get_consumer_rtp_parameters ──► its parameters
//! ```
//!
//! A receiver's capabilities are in the router's numbers too: payload types may differ, but a header extension counts
//! only when its id is the router's. [`get_recv_rtp_capabilities`] translates what an endpoint says of itself, such as
//! a browser in an offer.

mod capabilities;
mod codecs;
mod consume;
mod h264;
mod produce;
mod receive;
mod router;
mod validate;

pub use capabilities::supported_rtp_capabilities;
pub(crate) use codecs::{Strictness, agreed_profile_level_id, match_codecs};
pub(crate) use consume::reduce_feedback;
pub use consume::{can_consume, get_consumer_rtp_parameters, get_pipe_consumer_rtp_parameters};
pub use produce::{get_consumable_rtp_parameters, get_producer_rtp_parameters_mapping};
pub use receive::get_recv_rtp_capabilities;
pub use router::generate_router_rtp_capabilities;
pub use validate::{
    validate_rtcp_parameters, validate_rtp_capabilities, validate_rtp_codec_capability, validate_rtp_codec_parameters,
    validate_rtp_encoding_parameters, validate_rtp_header_extension, validate_rtp_parameters,
};

/// Transport-wide congestion control's header extension (draft-holmer-rmcat-transport-wide-cc-extensions-01).
pub(crate) const TRANSPORT_CC_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// The absolute send time, which REMB needs.
pub(crate) const ABS_SEND_TIME_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// The identification tag of the media section (RFC 9143 section 15).
pub(crate) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// Why parameters or capabilities are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrtcError {
    /// Not `audio/...` or `video/...`.
    #[error("invalid codec.mimeType [mimeType:{0}]")]
    InvalidMimeType(String),
    /// The value of a codec's parameter is neither a text nor a number.
    #[error("invalid codec parameter [key:{0}]")]
    InvalidCodecParameter(String),
    /// The `apt` of an RTX codec is not a number.
    #[error("invalid codec apt parameter")]
    InvalidApt,
    /// The value of a header extension's parameter is neither a text nor a number.
    #[error("invalid header extension parameter [key:{0}]")]
    InvalidHeaderExtensionParameter(String),
    /// A header extension's capability does not say for which kind of media.
    #[error("invalid ext.kind [uri:{0}]")]
    MissingHeaderExtensionKind(String),
    /// A header extension without URI.
    #[error("missing ext.uri")]
    MissingHeaderExtensionUri,
    /// An RTCP feedback without type.
    #[error("missing fb.type")]
    MissingRtcpFeedbackType,
    /// Two codecs of a router want the same payload type.
    #[error("duplicated codec.preferredPayloadType [payloadType:{0}]")]
    DuplicatedPayloadType(u8),
    /// An RTX codec repeats a payload type that is not there.
    #[error("missing media codec found for RTX PT {0}")]
    MissingMediaCodec(u8),
    /// A codec that the router was not made with, or that no router supports.
    #[error("unsupported codec [mimeType:{mime_type}, payloadType:{}]", .payload_type.map_or("none".to_owned(), |payload_type| payload_type.to_string()))]
    UnsupportedCodec {
        /// The codec's MIME type.
        mime_type: String,
        /// Its payload type, if it has one already.
        payload_type: Option<u8>,
    },
    /// The router has no RTX codec for this payload type of its own.
    #[error("no RTX codec for capability codec PT {0}")]
    NoRtxCodec(u8),
    /// The receiver has none of the producer's media codecs.
    #[error("no compatible media codecs")]
    NoCompatibleCodecs,
    /// More codecs than there are dynamic payload types.
    #[error("cannot allocate more dynamic codec payload types")]
    NoPayloadType,
    /// The mapping was not made from these parameters and capabilities.
    #[error("the mapping lacks {0}")]
    IncompleteMapping(&'static str),
}

impl OrtcError {
    /// The name of the exception that mediasoup's library throws here: `TypeError`, `UnsupportedError` or `Error`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnsupportedCodec { .. } | Self::NoRtxCodec(_) | Self::NoCompatibleCodecs => "UnsupportedError",
            Self::NoPayloadType | Self::IncompleteMapping(_) => "Error",
            _ => "TypeError",
        }
    }
}

type Result<T, E = OrtcError> = std::result::Result<T, E>;

/// A random number for an SSRC, of nine digits: low enough that the numbers after it do not wrap.
pub(crate) fn random_ssrc() -> u32 {
    let mut bytes = [0; 8];
    // Invariant: the system's generator does not fail once the system is up (getrandom(2)).
    getrandom::fill(&mut bytes).expect("the system's random number generator");
    let number = u64::from_ne_bytes(bytes) % 900_000_000 + 100_000_000;
    number as u32
}
