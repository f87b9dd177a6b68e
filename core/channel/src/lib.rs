//! The messages between the worker and its library, and their JSON codec.
//!
//! The worker is a process of its own. The library sends it requests over a pair of unix sockets; it answers each,
//! and tells by notifications what happens in between. This crate holds all of these messages as typed structs, and,
//! in [`json`], how they are written: that of mediasoup 3.12. It does no I/O.
//!
//! | module | what |
//! |---|---|
//! | [`rtp_parameters`] | who sends or may receive what: codecs, encodings, header extensions |
//! | [`types`] | small shared words: addresses, states, keys, layers |
//! | [`request`] | requests, by method |
//! | [`response`] | answers and refusals |
//! | [`notification`] | events |
//! | [`payload`] | headers of binary messages |
//! | [`log`] | log lines |
//! | [`dump`], [`stats`], [`reply`] | what entities show of themselves, and other data of answers |
//!
//! The structs say more than 3.12 can, so that the codec of a newer generation can stand beside this one: listeners with
//! ports and flags of their own, message sizes in each direction, what kind of transport is connected, paused data
//! producers and consumers. Left out are the methods and events that pause data and choose subchannels, subchannels
//! of single messages, what SCTP has negotiated, and traces of sender reports.
#![deny(missing_docs)]

pub mod dump;
pub mod json;
pub mod log;
pub mod notification;
pub mod payload;
pub mod reply;
pub mod request;
pub mod response;
pub mod rtp_parameters;
mod serde_helpers;
pub mod stats;
pub mod types;

pub use rtp_parameters::*;
pub use types::*;

/// The longest payload of a frame, in bytes. A frame is this payload behind its length: 4 bytes in host byte order.
pub const MAX_FRAME_PAYLOAD: usize = 4_194_304;
