//! RTP (RFC 3550): headers as offsets, header extensions (RFC 8285), RTX (RFC 4588), and sequence numbers.
//!
//! A packet is parsed once: [`Header::parse`] gives a small `Copy` struct of fields and offsets, [`parse_extensions`]
//! another. To send it on, [`HeaderWriter`] writes a new header into the slot of the send buffer, and the payload
//! follows. Malformed input gives an [`RtpError`] that says what is wrong.
//!
//! Not here: RTP profiles other than AVPF with RFC 8285 extensions, encrypted header extensions (RFC 6904), FEC.

mod extensions;
mod header;
mod mapper;
pub mod rtx;
pub mod seq;
mod values;
mod writer;

pub use extensions::{ExtensionIds, ExtensionKind, ExtensionSpans, Span, UnknownExtension, parse_extensions};
pub use header::{
    ExtensionForm, FIXED_HEADER_LEN, Header, RtpError, is_rtcp, is_rtp, set_payload_type, set_sequence_number,
    set_ssrc, set_timestamp,
};
pub use mapper::{Origin, SequenceMapper};
pub use rtx::RtxError;
pub use seq::ExtendedSequence;
pub use values::{
    AbsCaptureTime, AbsSendTime, AudioLevel, FrameMarking, PlayoutDelay, TransmissionOffset, TransportSequence,
    VideoOrientation,
};
pub use writer::{FixedHeader, HeaderWriter, WriteError, pad};
