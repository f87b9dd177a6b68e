//! The macro runner `bench-io`: chapter 05's forwarder, one driver beside the other, and the same work on the core's
//! own I/O.
//!
//! ```text
//!                   1 stream                    N streams, unchanged
//!     generator ─────────────────▶ forwarder ─────────────────────────▶ receiver
//!     core B                       core A                               core B
//! ```
//!
//! Generator, receiver, search and measurements are those of `bench-forward`; what differs is the contender, to which the
//! receiver's sockets subscribe.

pub mod cli;
pub mod forwarder;
pub mod plot;
pub mod ratios;
pub mod receiving;
pub mod report;
