//! Chapter 03: a parent and its child talk both ways over one socketpair, and neither loses a byte nor waits for ever.
//!
//! A socketpair is two connected, nameless sockets; after `fork` each process keeps one. What is written into one end
//! comes out of the other, in order, as a stream of bytes. That leaves three things to do, and each has a file:
//!
//! - [`frame`]: where a message begins and ends in that stream;
//! - [`duplex`]: how both sides speak at once without both of them waiting to be read;
//! - [`family`]: who holds which end, so that the end of one process is end of file for the other.
//!
//! Chapter 06 builds requests, responses and notifications on this, and waits for many descriptors instead of one.

#![deny(missing_docs)]

pub mod duplex;
pub mod exercises;
pub mod family;
pub mod frame;
pub mod solutions;

pub use duplex::Duplex;
pub use family::fork_with_channel;
pub use frame::{Decoder, Error, encode, read_message, write_message};
