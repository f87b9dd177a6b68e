//! Chapter 02: the echo server of chapter 01, with a process for each client.
//!
//! Each process runs chapter 01's blocking `echo`, unchanged; that one of them waits for a silent client costs the
//! others nothing. What is new is everything around it, and each has a file:
//!
//! - [`child`]: starting a process, and learning how it ended;
//! - [`signals`]: taking signals one at a time, where the program is ready for them;
//! - [`server`]: a process for each connection, or a few that share one listening socket; and how they end together.
//!
//! Chapter 04 serves all clients from one process instead.

#![deny(missing_docs)]

pub mod child;
pub mod exercises;
pub mod server;
pub mod signals;
pub mod solutions;

pub use child::{End, fork_alone, reap, run_child};
pub use server::{Event, fork_per_connection, prefork};
pub use signals::Signals;
