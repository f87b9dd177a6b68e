//! A mediasoup-compatible SFU worker: one process, one thread, one epoll loop.
//!
//! A library spawns the worker and speaks with it through four inherited file descriptors; the worker moves media
//! between UDP and TCP sockets as the library says.
//!
//! | module | what |
//! |---|---|
//! | [`process`], [`settings`] | environment, command line, exit codes |
//! | [`event_loop`] | one turn: network, requests, deadlines |
//! | [`channel`], [`log`] | output to the library: replies, notifications, log lines |
//! | [`requests`], [`payloads`], [`registry`] | what the library asks for and sends, by entity |
//! | [`worker`], [`web_rtc_server`], [`router`], [`transport`], [`producer`], [`consumer`], [`data_producer`], [`data_consumer`], [`rtp_observer`] | the entities: what they are and show, how they live and die |
//! | [`media`] | the path of a packet |
//! | [`data`] | the path of a data message |
//! | [`sockets`], [`clock`], [`rtp_parameters`], [`consumer_parameters`], [`random`], [`trace`] | what these share |
#![deny(missing_docs)]

pub mod channel;
pub mod clock;
pub mod consumer;
pub mod consumer_parameters;
pub mod data;
pub mod data_consumer;
pub mod data_producer;
pub mod event_loop;
pub mod layered;
pub mod log;
pub mod media;
pub mod payloads;
pub mod process;
pub mod producer;
pub mod random;
pub mod registry;
pub mod requests;
pub mod router;
pub mod rtp_observer;
pub mod rtp_parameters;
pub mod settings;
pub mod sockets;
pub mod trace;
pub mod transport;
pub mod web_rtc_server;
pub mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the worker. `args` are the command line's arguments, without the program's name: another program may run its
/// own executable again as a worker.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::run(args)
}
