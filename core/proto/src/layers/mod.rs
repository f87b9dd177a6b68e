//! Forwarding some of the layers of a stream, or one of several streams, as if nothing else had been there.
//!
//! A sender of simulcast sends the same picture as several streams, one a spatial layer; of SVC one stream has all layers,
//! spatial ones built on those below. [`Forwarder`] decides for one receiver about each packet and says how the packet is
//! to be rewritten, so that the receiver sees one stream without gaps in sequence numbers, timestamps and picture ids.
//!
//! What decides whether a frame can be decoded without those left out depends on what its packets tell:
//!
//! | what the packets have | up a spatial layer | up a temporal layer | down |
//! |---|---|---|---|
//! | dependency descriptor (AV1, and any codec with it) | where the higher decode target can be joined | the same | where the lower target has been forwarded completely, or can be joined |
//! | VP9 payload descriptor, full SVC | key frame | after a picture with U | next picture |
//! | the same, K-SVC and S modes | key frame | after a picture with U | spatial: key frame; temporal: next picture |
//! | VP8's, or H.264's frame marking | another stream, its key frame | frame of the next layer with the sync bit | another stream, its key frame; temporal: next picture |
//!
//! "Forwarded completely" is meant by references: a frame can be decoded if all frames that it refers to were forwarded and
//! could be. Frames that were lost on the way here count as forwarded: they may still come.
//!
//! Encoders that run out of bits leave out frames (libaom does so of each spatial layer for itself), and the promises of the
//! dependency descriptor don't hold then. A frame of a joined target may refer to a frame from before that was joined: it is
//! left out. It may refer to one from before the key frame, which the receiver never got and which, as the key frame has
//! taken its place in the decoder, it does not need: that reference is not sent. And a picture may have no frame of the
//! spatial layer that was to end it: so the last packet of a lower layer's frame waits for the packet behind it
//! ([`Forwarder::poll_released`]), which comes at once or is that of another picture, and is marked if the receiver gets
//! nothing else of the picture. libwebrtc decodes no picture whose end is not marked, and none that refers to such a one.
//!
//! All packets of a frame share its fate in whatever order they come; what was decided of the last pictures is remembered,
//! so that a packet can be sent again as it was. Memory is bounded, and nothing is allocated for a packet.
//!
//! Not here: which layers should be forwarded (bitrates, scores, what the receiver prefers); joining a spatial layer of
//! VP9 in the middle of a picture, behind a packet that has ended it for the receiver; the scalability structure of VP9,
//! which stays as the sender wrote it.

mod choice;
mod forwarder;
mod numbers;
mod pictures;
mod timeline;

pub use forwarder::{Forwarder, Input, Kind, Output, Released, Rewrite};
pub use timeline::SenderClock;

/// A spatial and a temporal layer, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layers {
    /// The spatial layer.
    pub spatial: u8,
    /// The temporal layer.
    pub temporal: u8,
}
