//! The JSON codec: messages as mediasoup 3.12 writes them.
//!
//! A request is text, `<id>:<method>:<handlerId>:<data>`; what the worker sends is a JSON object, or a log line that
//! begins with a letter. The worker reads with [`RequestFrame::parse`] and writes with [`write_response`] and
//! [`write_notification`]; the library writes with [`write_request`] and reads with [`FromWorker::parse`]. The payload
//! channel's headers have the same four, in [`payload`].
//!
//! Members that are unknown are ignored; a member that is missing or of a wrong type is named by its path, such as
//! `listenIps[0].ip`.

mod field;
mod notification;
pub mod payload;
mod request;
mod response;
mod transport;

pub use field::{FieldError, FieldProblem, from_value};
pub use notification::write_notification;
pub use request::{BadRequest, RequestFrame, write_request};
pub use response::{BadFrame, FromWorker, write_response};

/// The JSON of one of this crate's structs.
fn to_value<T: serde::Serialize>(value: &T) -> serde_json::Value {
    // serde_json refuses only map keys that are neither text nor number, and no struct of this crate has such.
    serde_json::to_value(value).unwrap_or_default()
}
