//! Headers of the payload channel.
//!
//! To the worker: `n:<event>:<handlerId>:<data>` and `r:<id>:<method>:<handlerId>:<data>`, a payload frame behind each.
//! From the worker: JSON; a payload frame follows a notification, none follows a response.

use serde_json::{Value, json};

use super::BadRequest;
use super::field::FieldError;
use super::notification::{member, read_target, write_target};
use super::response::{BadFrame, read_response};
use crate::payload::{PayloadEvent, PayloadNotification, PayloadToWorker};
use crate::response::Response;

/// Writes a header to the worker.
pub fn write_to_worker(header: &PayloadToWorker) -> String {
    match header {
        PayloadToWorker::ProducerSend { producer_id } => format!("n:producer.send:{producer_id}:undefined"),
        PayloadToWorker::SendRtcp { transport_id } => format!("n:transport.sendRtcp:{transport_id}:undefined"),
        PayloadToWorker::DataProducerSend { data_producer_id, ppid } => {
            format!("n:dataProducer.send:{data_producer_id}:{}", write_ppid(*ppid))
        }
        PayloadToWorker::DataConsumerSend { id, data_consumer_id, ppid } => {
            format!("r:{id}:dataConsumer.send:{data_consumer_id}:{}", write_ppid(*ppid))
        }
    }
}

fn write_ppid(ppid: Option<u32>) -> String {
    ppid.map_or("undefined".to_owned(), |ppid| ppid.to_string())
}

/// Reads a header to the worker. A PPID that is no number is left to the entity: its payload follows nevertheless.
pub fn read_to_worker(frame: &[u8]) -> Result<PayloadToWorker, BadRequest> {
    let unreadable = |reason: &str| BadRequest::Unreadable(reason.to_owned());
    let text = std::str::from_utf8(frame).map_err(|_| unreadable("not UTF-8"))?;
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    if let Some(notification) = text.strip_prefix("n:") {
        let mut parts = notification.splitn(3, ':');
        let event = parts.next().unwrap_or_default();
        let handler_id = parts.next().ok_or_else(|| unreadable("too few fields"))?.to_owned();
        return match event {
            "producer.send" => Ok(PayloadToWorker::ProducerSend { producer_id: handler_id }),
            "transport.sendRtcp" => Ok(PayloadToWorker::SendRtcp { transport_id: handler_id }),
            "dataProducer.send" => {
                Ok(PayloadToWorker::DataProducerSend { data_producer_id: handler_id, ppid: number(parts.next()) })
            }
            _ => Err(unreadable("unknown event")),
        };
    }
    let Some(request) = text.strip_prefix("r:") else {
        return Err(unreadable("neither a notification nor a request"));
    };
    let mut parts = request.splitn(4, ':');
    let id = number(parts.next()).ok_or_else(|| unreadable("the id is not a number"))?;
    match parts.next() {
        Some("dataConsumer.send") => Ok(PayloadToWorker::DataConsumerSend {
            id,
            data_consumer_id: parts.next().ok_or_else(|| unreadable("too few fields"))?.to_owned(),
            ppid: number(parts.next()),
        }),
        Some(method) => Err(BadRequest::UnknownMethod { id, method: method.to_owned() }),
        None => Err(unreadable("too few fields")),
    }
}

/// Writes a notification's header to the library.
pub fn write_notification(notification: &PayloadNotification) -> String {
    let target = write_target(&notification.target);
    match notification.event {
        PayloadEvent::Rtp => json!({ "targetId": target, "event": "rtp" }),
        PayloadEvent::Rtcp => json!({ "targetId": target, "event": "rtcp" }),
        PayloadEvent::Message { ppid } => json!({ "targetId": target, "event": "message", "data": { "ppid": ppid } }),
    }
    .to_string()
}

/// A header from the worker.
#[derive(Debug, Clone, PartialEq)]
pub enum PayloadFromWorker {
    /// A payload follows.
    Notification(PayloadNotification),
    /// No payload follows.
    Response(Response<Value>),
}

/// Reads a header from the worker.
pub fn read_from_worker(frame: &[u8]) -> Result<PayloadFromWorker, BadFrame> {
    let object: Value = serde_json::from_slice(frame).map_err(|error| BadFrame::Unreadable(error.to_string()))?;
    let event = match object.get("event").and_then(Value::as_str) {
        None => return Ok(PayloadFromWorker::Response(read_response(object)?)),
        Some("rtp") => PayloadEvent::Rtp,
        Some("rtcp") => PayloadEvent::Rtcp,
        Some("message") => PayloadEvent::Message {
            ppid: member(object.get("data").ok_or_else(|| FieldError::missing("data"))?, "ppid")?,
        },
        Some(other) => return Err(BadFrame::UnknownEvent(other.to_owned())),
    };
    Ok(PayloadFromWorker::Notification(PayloadNotification { target: read_target(&object)?, event }))
}
