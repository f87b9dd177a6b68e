//! Sans-IO WebRTC protocols.
//!
//! Nothing in this crate opens a socket, reads a clock or starts a thread. Every protocol layer has the same two
//! faces: `handle_*(now, input)` changes it, then `poll_*` is called until it has nothing more to say (bytes to
//! transmit, events, the next deadline). The caller owns time and the network, so a whole session can be replayed in a
//! test that takes no wall time.
//!
//! The layers, from the wire up: [`stun`] and [`ice`] find a path, [`dtls`] agrees on keys, [`srtp`] protects what
//! [`rtp`] and [`rtcp`] frame; [`codec`] looks into payloads only as far as forwarding needs; [`stream`] keeps what is
//! known about each RTP stream (loss, jitter, score, NACK, retransmission); [`observer`] compares how loud they are. Beside
//! media, [`sctp`] carries messages. [`bwe`] estimates how much a path takes.

pub mod bwe;
pub mod codec;
pub mod dtls;
pub mod ice;
pub mod layers;
#[cfg(test)]
mod lossy;
pub mod observer;
pub mod rtcp;
pub mod rtp;
pub mod sctp;
pub mod srtp;
mod state;
pub mod stream;
pub mod stun;
