//! What is known about each RTP stream: its losses, jitter and rate, its score, the packets to ask for, the packets
//! kept to be sent again.
//!
//! Each part is a small state machine of its own: feed it packets, reports and time, then poll it. They share no
//! state, so that a producer or consumer takes those it needs.
//!
//! Not here: jitter buffers and decoding (a forwarder needs neither), FEC, bandwidth estimation.

pub mod inactivity;
pub mod key_frame;
pub mod nack;
pub mod rate;
pub mod receive;
pub mod retransmission;
pub mod score;
pub mod send;
mod validity;

pub use rate::RateCounter;
