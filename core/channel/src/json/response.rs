//! What the worker sends: responses, and which of its frames are what.

use serde::Serialize;
use serde_json::Value;

use super::field::FieldError;
use super::notification;
use crate::log::LogLine;
use crate::notification::Notification;
use crate::response::{ErrorClass, Refusal, Reply, Response};

/// A frame of the worker's.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// An answer to a request.
    Response(Response<Value>),
    /// Something that happened.
    Notification(Notification),
    /// A log line.
    Log(LogLine),
}

/// Why a frame of the worker's can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It is neither a JSON object nor a log line.
    #[error("neither a JSON object nor a log line: {0}")]
    Unreadable(String),
    /// A member is missing or wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// An event that this generation does not know.
    #[error("unknown event '{0}'")]
    UnknownEvent(String),
}

impl FromWorker {
    /// Reads a frame's payload.
    pub fn parse(frame: &[u8]) -> Result<Self, BadFrame> {
        if let Some(line) = LogLine::parse(frame) {
            return Ok(Self::Log(line));
        }
        let object: Value = serde_json::from_slice(frame).map_err(|error| BadFrame::Unreadable(error.to_string()))?;
        match object.get("event").and_then(Value::as_str) {
            Some(event) => Ok(Self::Notification(notification::read(event, &object)?)),
            None => Ok(Self::Response(read_response(object)?)),
        }
    }
}

pub(super) fn read_response(mut object: Value) -> Result<Response<Value>, FieldError> {
    let id = notification::member(&object, "id")?;
    let outcome = match object.get("error") {
        Some(error) => Err(Refusal {
            class: match error.as_str() {
                Some("TypeError") => ErrorClass::TypeError,
                Some("NotFoundError") => ErrorClass::NotFoundError,
                _ => ErrorClass::Error,
            },
            reason: object.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned(),
        }),
        None if object.get("accepted") == Some(&Value::Bool(true)) => {
            Ok(object.get_mut("data").map(Value::take).filter(|data| !data.is_null()))
        }
        None => return Err(FieldError::missing("accepted")),
    };
    Ok(Response { id, outcome })
}

/// An accepted request.
#[derive(Serialize)]
struct Accepted<'a> {
    id: u32,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Reply>,
}

/// A refused request.
#[derive(Serialize)]
struct Refused<'a> {
    id: u32,
    error: &'static str,
    reason: &'a str,
}

/// Writes a frame's payload.
pub fn write_response(response: &Response<Reply>) -> String {
    let id = response.id;
    match &response.outcome {
        Ok(data) => json_text(&Accepted { id, accepted: true, data: data.as_ref() }),
        Err(refusal) => json_text(&Refused {
            id,
            error: match refusal.class {
                ErrorClass::TypeError => "TypeError",
                ErrorClass::Error | ErrorClass::NotFoundError => "Error",
            },
            reason: &refusal.reason,
        }),
    }
}

fn json_text<T: Serialize>(value: &T) -> String {
    // As in `to_value`: nothing here can be refused.
    serde_json::to_string(value).unwrap_or_default()
}
