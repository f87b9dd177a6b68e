//! SDP as WebRTC uses it: a typed tree of a description (RFC 8866), and the negotiation that a conference does for
//! browsers that only have a plain `RTCPeerConnection` (JSEP, RFC 8829).
//!
//! - [`SessionDescription`] is read with [`str::parse`] and written with [`ToString`].
//! - [`extract_rtp_capabilities`] reads from a browser's offer what the browser can do.
//! - [`SendNegotiator`] answers the offers of a connection on which the browser sends.
//! - [`ReceiveNegotiator`] makes the offers of a connection on which the browser receives.
//!
//! The server is an ICE-lite agent with all of its candidates in each description, BUNDLE, and multiplexed RTCP.
//! Left out: trickled candidates of the browser (the server learns its address from its checks), connections on which
//! both sides send, and sections that are not bundled.

mod attribute;
mod attribute_text;
mod capabilities;
mod description;
mod fmtp;
mod parse;
mod receive;
mod send;
mod transport;
mod write;

pub use attribute::{
    Attribute, AttributeError, Candidate, Direction, RidDirection, Setup, SimulcastRid, SimulcastStream,
};
pub use capabilities::extract_rtp_capabilities;
pub use description::{MediaDescription, Origin, SessionDescription};
pub use parse::{MAX_LINES, MAX_MEDIA_SECTIONS, ParseError, ParseErrorReason};
pub use receive::{ReceiveAnswer, ReceiveNegotiator, ReceiveSection};
pub use send::{EncodingHint, SendAnswer, SendNegotiator, SendSection};
pub use transport::LocalTransport;

/// Why a description can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// It is not SDP.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A media section has no `a=mid`.
    #[error("media section {0} has no mid")]
    MissingMid(usize),
    /// Two media sections have the same `a=mid`.
    #[error("mid `{0}` occurs twice")]
    DuplicateMid(String),
    /// Nobody says `a=fingerprint` with a known hash function.
    #[error("mid `{0}` has no usable fingerprint")]
    MissingFingerprint(String),
    /// The peer's certificate is another than in the description before. It can't change on a running connection.
    #[error("mid `{0}` has another fingerprint than the connection")]
    FingerprintChanged(String),
    /// `a=setup` is missing or impossible in this description.
    #[error("mid `{0}` has no usable setup")]
    Setup(String),
    /// A description has fewer media sections than the one before, or an answer another number than the offer.
    #[error("{found} media sections where {expected} are expected")]
    SectionCount {
        /// How many there have to be: exactly in an answer, at least in an offer.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A media section is of another kind or mid than the same section of the description before or of the offer.
    #[error("media section {index} is not mid `{expected}`")]
    SectionMismatch {
        /// The m-line index, from 0.
        index: usize,
        /// The mid that the section has to have.
        expected: String,
    },
    /// An answer arrived, but no offer is open.
    #[error("there is no offer to answer")]
    NoOffer,
    /// A consumer's mid is missing, or in use already.
    #[error("the consumer's mid `{0}` is empty or in use")]
    Mid(String),
    /// What is to be offered has control characters, by which it would become other lines of the description.
    #[error("the consumer's parameters have control characters")]
    ControlCharacter,
    /// The answer uses a payload type that was not offered.
    #[error("mid `{mid}` answers payload type {payload_type}, which was not offered")]
    PayloadType {
        /// The section.
        mid: String,
        /// The stray payload type.
        payload_type: u8,
    },
}
