//! Chapter 06: a channel to a worker process, as mediasoup has it between its library and its worker.
//!
//! Chapter 03 made two processes exchange messages. This one gives the messages a meaning, and an end to each wait:
//!
//! - [`message`]: requests, answers, notifications and lines for the log, as text;
//! - [`ledger`]: who waits for which answer, and for how long;
//! - [`channel`]: the client's end, with its bounds;
//! - [`process`]: the worker's process, started with the channel in descriptors 3 and 4, and watched;
//! - [`server`]: the worker's end.
//!
//! Chapter 22 makes a whole worker with it.

#![deny(missing_docs)]

pub mod channel;
pub mod exercises;
pub mod ledger;
pub mod message;
pub mod process;
pub mod server;
pub mod solutions;

pub use channel::{Channel, Error};
pub use ledger::{Event, Ledger, Outcome};
pub use message::{FromWorker, Notification, Refusal, Request};
pub use process::Worker;
pub use server::Server;
