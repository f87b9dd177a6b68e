//! A conference in one program: HTTPS, signalling, rooms and the page.
//!
//! From the outside in: [`listener`] accepts TLS connections on one port; [`page`] is what a browser loads from it;
//! [`signalling`] is the WebSocket that it then opens, [`protoo`] the framing on it, and [`schema`] the requests that
//! there are. [`rooms`] finds or opens the [`room`] on one of the [`workers`]; a [`peer`] does in it what its client
//! asks for: it makes transports, [`sending`] takes what comes on them, and [`receiving`] lets it have what the others
//! send. [`server`] puts it all together.

#![deny(missing_docs)]

pub mod addresses;
pub mod certificate;
pub mod cli;
pub mod codecs;
pub mod listener;
pub mod page;
pub mod peer;
pub mod protoo;
pub mod receiving;
pub mod room;
pub mod rooms;
pub mod schema;
pub mod sending;
pub mod server;
pub mod signalling;
mod transport;
pub mod workers;
