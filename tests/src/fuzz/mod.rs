//! What the fuzzers run: one function a target, which reads arbitrary bytes as its input and panics when something does
//! not hold that should.
//!
//! The functions are here so that both can call them: the fuzzers of `tests/fuzz`, and the test `fuzz_corpora`, which
//! runs what they have found on any toolchain. Each goes the way that a stranger's bytes go, and asserts what users of that
//! code rely on: what is parsed can be written and parsed again, what is found lies inside of what was given, and what is
//! kept does not grow with what is sent.

mod channel;
mod codec_descriptors;
mod dtls;
mod header_extensions;
mod ice;
mod input;
mod rtcp;
mod rtp;
mod sctp;
mod sdp;
mod srtp;
mod stun;
mod worker;

pub use channel::channel;
pub use codec_descriptors::codec_descriptors;
pub use dtls::dtls;
pub use header_extensions::header_extensions;
pub use ice::ice;
pub use rtcp::rtcp;
pub use rtp::rtp;
pub use sctp::{ignore_contained_panics, sctp};
pub use sdp::sdp;
pub use srtp::srtp;
pub use stun::stun;
pub use worker::worker;

/// A target's function.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus's folder.
pub const TARGETS: [(&str, Target); 12] = [
    ("stun", stun),
    ("rtp", rtp),
    ("header_extensions", header_extensions),
    ("rtcp", rtcp),
    ("codec_descriptors", codec_descriptors),
    ("sdp", sdp),
    ("channel", channel),
    ("srtp", srtp),
    ("ice", ice),
    ("dtls", dtls),
    ("sctp", sctp),
    ("worker", worker),
];
