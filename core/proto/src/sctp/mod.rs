//! SCTP (RFC 9260) as WebRTC uses it (RFC 8831): messages on many streams, in order or not, reliable or not.
//!
//! [`Association`] is one association. Packets of the peer go in by [`Association::handle_packet`], time by
//! [`Association::handle_timeout`], messages by [`Association::send`]; then [`Association::poll_transmit`],
//! [`Association::poll_event`] and [`Association::poll_timeout`] are asked until they have nothing more. What carries the
//! packets is the caller's: records of DTLS (RFC 8261), or UDP beside RTP, from which [`is_sctp`] tells them apart.
//!
//! The state machine of the protocol is the crate `sctp-proto`'s. Ours is what this file's neighbours add:
//!
//! | file | what |
//! |---|---|
//! | `association` | the public face: states, messages, stream resets, what waits to be sent |
//! | `engine` | the crate, held so that it can't take the process with it, and INITs that cross |
//! | `packet` | what has to be known of packets on the wire: chunks that the crate would stumble over, bounds, ABORT |
//! | `types` | settings, states, events, errors |
//!
//! Both sides send INIT, as WebRTC's peers do, and INITs that cross make one association (RFC 9260, 5.2.1). A message is
//! abandoned as its stream says (RFC 3758). Closing a stream resets it (RFC 6525), and a stream that the peer resets is
//! reset in the other direction too (RFC 8831, 6.7).
//!
//! Assumed: the path is the peer's, as DTLS or the transport's tuple has it. Left out: several paths, restarts by a peer
//! that lost its state (a new INIT is ignored), HEARTBEATs of our own, so that a peer that falls silent is noticed by
//! ICE or not at all; interleaving of messages (RFC 8260); DCEP (RFC 8832): streams are agreed on by signalling, and a
//! DCEP message is passed over, as mediasoup does.

mod association;
mod engine;
mod packet;
#[cfg(test)]
mod tests;
mod types;

pub use association::Association;
pub use packet::is_sctp;
pub use types::{Config, DropReason, Event, Ppid, Reliability, SctpError, SendError, StreamParameters};

pub use crate::state::State;

/// The SCTP port of both ends: the usual one of WebRTC.
pub const PORT: u16 = 5000;

/// The longest packet that is taken, in bytes. Senders keep to the path's MTU; a chunk keeps its whole packet in memory.
pub const MAX_PACKET_LEN: usize = 8192;

/// DATA chunks that may be waiting for the rest of their message or for a lost one before it. Together with the receive
/// window, which counts bytes only, it bounds memory and the time that sorting takes when a peer sends tiny chunks.
pub const MAX_HELD_CHUNKS: usize = 8192;

/// The least receive window, in bytes.
pub const MIN_RECEIVE_WINDOW: u32 = 1 << 20;

/// The greatest receive window, in bytes, however long messages may be.
pub const MAX_RECEIVE_WINDOW: u32 = 64 << 20;
