//! What the messages say. They are text, so that strace shows a conversation as it is.
//!
//! | who to whom | message |
//! |---|---|
//! | client to worker | request: `id:method:handlerId:data` |
//! | worker to client | answer: `{"id":1,"accepted":true,"data":{…}}`, or `{"id":1,"error":"Error","reason":"…"}` |
//! | worker to client | notification: `{"targetId":"…","event":"…","data":{…}}` |
//! | worker to client | a line for the log: a letter for how bad it is, then the line |
//!
//! They are those of mediasoup's channel from version 3.10.6 to 3.12.16.

use serde_json::{Value, json};
use thiserror::Error;

/// What stands for "none" in a request.
const NONE: &str = "undefined";

/// A request, as the worker gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What the answer will name; 1 or more, and no other request that waits for an answer has it.
    pub id: u32,
    /// What is to be done: `worker.dump`.
    pub method: String,
    /// Whose affair it is: the id of a router, a transport…; `None` is the worker itself.
    pub handler: Option<String>,
    /// The parameters: a JSON object, empty if there are none.
    pub data: Value,
}

/// Why a message is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// A request's first field is not a number from 1 to 2³² − 1.
    #[error("it begins with no request id")]
    NoId,
    /// A request names no method.
    #[error("it names no method")]
    NoMethod,
    /// What should be JSON is not.
    #[error("its JSON is broken: {0}")]
    Json(String),
    /// It is JSON, and neither an answer nor a notification.
    #[error("it is neither an answer nor a notification nor a line for the log")]
    Unknown,
}

// ANCHOR: request
impl Request {
    /// The request as text. A method and a handler's id have no colon in them.
    pub fn to_text(&self) -> String {
        let handler = self.handler.as_deref().unwrap_or(NONE);
        match &self.data {
            Value::Null => format!("{}:{}:{handler}:{NONE}", self.id, self.method),
            data => format!("{}:{}:{handler}:{data}", self.id, self.method),
        }
    }

    /// Reads a request. It is cut at its first three colons only: JSON is full of them. What is missing at the end is
    /// not there; data that is no object says nothing.
    ///
    /// # Errors
    /// [`Malformed`]: there is nothing that could be answered.
    pub fn parse(message: &[u8]) -> Result<Request, Malformed> {
        let text = std::str::from_utf8(message).map_err(|_| Malformed::NotText)?;
        let mut fields = text.splitn(4, ':');
        let id = fields.next().and_then(|id| id.parse().ok()).filter(|id| *id > 0).ok_or(Malformed::NoId)?;
        let method = fields.next().filter(|method| !method.is_empty()).ok_or(Malformed::NoMethod)?.to_owned();
        let handler = fields.next().filter(|handler| !handler.is_empty() && *handler != NONE).map(str::to_owned);
        let data = match fields.next() {
            None | Some("" | NONE) => Value::Null,
            Some(data) => serde_json::from_str(data).map_err(|error| Malformed::Json(error.to_string()))?,
        };
        let data = if data.is_object() { data } else { Value::Object(Default::default()) };
        Ok(Request { id, method, handler, data })
    }
}
// ANCHOR_END: request

/// A request that was understood, and not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of mistake it was: `TypeError` for bad parameters, `Error` for the rest.
    pub error: String,
    /// What was wrong, for people.
    pub reason: String,
}

/// Something that has happened, which nobody asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Whom it happened to: an entity's id, or the worker's pid as a number.
    pub target: Value,
    /// What it is: `running`, `score`…
    pub event: String,
    /// More about it; null is nothing.
    pub data: Value,
}

/// What a request was answered. Null is an answer without data.
pub type Answer = Result<Value, Refusal>;

// ANCHOR: from_worker
/// A message of the worker's.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FromWorker {
    /// The answer to the request of that id.
    Answer(u32, Answer),
    /// Something has happened.
    Notification(Notification),
    /// A line for the log.
    Log(String),
}

impl FromWorker {
    /// Reads a message of the worker's. Its first byte tells JSON from a line for the log, and which fields there are says
    /// what it is.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(message: &[u8]) -> Result<FromWorker, Malformed> {
        let text = std::str::from_utf8(message).map_err(|_| Malformed::NotText)?;
        if text.starts_with(['D', 'W', 'E', 'X']) {
            return Ok(FromWorker::Log(text.to_owned()));
        }
        let mut json: Value = serde_json::from_str(text).map_err(|error| Malformed::Json(error.to_string()))?;
        let data = json.get_mut("data").map(Value::take).unwrap_or_default();
        let string = |field: &str| json[field].as_str().map(str::to_owned).ok_or(Malformed::Unknown);
        if json.get("id").is_none() {
            let target = json.get("targetId").cloned().ok_or(Malformed::Unknown)?;
            return Ok(FromWorker::Notification(Notification { target, event: string("event")?, data }));
        }
        let id = json["id"].as_u64().and_then(|id| u32::try_from(id).ok()).ok_or(Malformed::Unknown)?;
        let answer = match json["accepted"] == true {
            true => Ok(data),
            false => Err(Refusal { error: string("error")?, reason: string("reason")? }),
        };
        Ok(FromWorker::Answer(id, answer))
    }

    /// The message as text, with the fields in mediasoup's order. Displaying a [`Value`] writes JSON.
    pub fn to_text(&self) -> String {
        let more = |data: &Value| if data.is_null() { String::new() } else { format!(",\"data\":{data}") };
        match self {
            FromWorker::Answer(id, Ok(data)) => format!("{{\"id\":{id},\"accepted\":true{}}}", more(data)),
            FromWorker::Answer(id, Err(Refusal { error, reason })) => {
                format!("{{\"id\":{id},\"error\":{},\"reason\":{}}}", json!(error), json!(reason))
            }
            FromWorker::Notification(Notification { target, event, data }) => {
                format!("{{\"targetId\":{target},\"event\":{}{}}}", json!(event), more(data))
            }
            FromWorker::Log(line) => line.clone(),
        }
    }
}
// ANCHOR_END: from_worker
