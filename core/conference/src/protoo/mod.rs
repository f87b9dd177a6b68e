//! protoo, the signalling protocol: requests, responses and notifications as JSON texts over a WebSocket.
//!
//! The protocol is symmetric: each side sends requests, and each direction has its own space of ids. Responses may
//! come in any order.

mod connection;
mod message;

pub use connection::{CloseReason, Connection, Request, RequestError};
pub use message::{ErrorResponse, MAX_MESSAGE_SIZE, Malformed, Message};

/// The WebSocket subprotocol that the client must offer.
pub const SUBPROTOCOL: &str = "protoo";
