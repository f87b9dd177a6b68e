//! Chapter 05: one piece of work, driven in every way there is.
//!
//! The work is [`Forwarder`], a UDP forwarder (what comes from one sender goes to everyone who has joined), and beside
//! it the TCP echo server of chapter 01. Neither knows how its bytes come and go: that is what a [`Driver`] does, with
//! blocking threads, epoll, mio, tokio or io_uring. So the drivers can be compared, in their code and in what they cost.

#![deny(missing_docs)]

pub mod allocations;
pub mod drivers;
pub mod echo;
pub mod exercises;
pub mod forwarder;
pub mod probe;
pub mod solutions;

pub use drivers::{Driver, Sockets};
pub use forwarder::{Forwarder, Route};
