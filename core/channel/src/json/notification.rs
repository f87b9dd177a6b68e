//! Notifications: `{"targetId":...,"event":...,"data":...}`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::field::{FieldError, FieldProblem, from_value};
use super::response::BadFrame;
use super::to_value;
use crate::notification::{
    AudioVolume, Event, Notification, Target, Trace, TraceDirection, TraceInfo, TransportTrace, TransportTraceInfo,
};
use crate::types::{TraceEventType, TransportTraceEventType};

/// Writes a frame's payload.
pub fn write_notification(notification: &Notification) -> String {
    let mut object = json!({
        "targetId": write_target(&notification.target),
        "event": name(&notification.event),
    });
    if let Some(data) = write_data(&notification.event) {
        object["data"] = data;
    }
    object.to_string()
}

pub(super) fn write_target(target: &Target) -> Value {
    match target {
        Target::Worker(pid) => json!(pid),
        Target::Entity(id) => json!(id),
    }
}

pub(super) fn read_target(object: &Value) -> Result<Target, FieldError> {
    match object.get("targetId") {
        None => Err(FieldError::missing("targetId")),
        Some(Value::String(id)) => Ok(Target::Entity(id.clone())),
        Some(Value::Number(pid)) => match pid.as_u64().and_then(|pid| u32::try_from(pid).ok()) {
            Some(pid) => Ok(Target::Worker(pid)),
            None => Err(FieldError::wrong_value("targetId", format!("{pid}, expected a process id"))),
        },
        Some(_) => Err(FieldError {
            field: "targetId".to_owned(),
            problem: FieldProblem::WrongType("expected a text or a number".to_owned()),
        }),
    }
}

/// Reads a notification that has that event name.
pub(super) fn read(event: &str, object: &Value) -> Result<Notification, BadFrame> {
    Ok(Notification {
        target: read_target(object)?,
        event: read_event(event, object.get("data").unwrap_or(&Value::Null))?,
    })
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Running => "running",
        Event::IceStateChange(_) => "icestatechange",
        Event::IceSelectedTupleChange(_) => "iceselectedtuplechange",
        Event::DtlsStateChange(_) => "dtlsstatechange",
        Event::SctpStateChange(_) => "sctpstatechange",
        Event::Tuple(_) => "tuple",
        Event::RtcpTuple(_) => "rtcptuple",
        Event::TransportTrace(_) | Event::Trace(_) => "trace",
        Event::ProducerScore(_) | Event::ConsumerScore(_) => "score",
        Event::VideoOrientationChange(_) => "videoorientationchange",
        Event::ProducerClose => "producerclose",
        Event::ProducerPause => "producerpause",
        Event::ProducerResume => "producerresume",
        Event::LayersChange(_) => "layerschange",
        Event::DataProducerClose => "dataproducerclose",
        Event::SctpSendBufferFull => "sctpsendbufferfull",
        Event::BufferedAmountLow(_) => "bufferedamountlow",
        Event::Volumes(_) => "volumes",
        Event::Silence => "silence",
        Event::DominantSpeaker(_) => "dominantspeaker",
    }
}

fn write_data(event: &Event) -> Option<Value> {
    Some(match event {
        Event::IceStateChange(state) => json!({ "iceState": state }),
        Event::IceSelectedTupleChange(tuple) => json!({ "iceSelectedTuple": tuple }),
        Event::DtlsStateChange(change) => to_value(change),
        Event::SctpStateChange(state) => json!({ "sctpState": state }),
        Event::Tuple(tuple) => json!({ "tuple": tuple }),
        Event::RtcpTuple(tuple) => json!({ "rtcpTuple": tuple }),
        Event::TransportTrace(trace) => to_value(trace),
        Event::ProducerScore(scores) => to_value(scores),
        Event::VideoOrientationChange(orientation) => to_value(orientation),
        Event::Trace(trace) => to_value(trace),
        Event::ConsumerScore(score) => to_value(score),
        Event::LayersChange(layers) => to_value(layers),
        Event::BufferedAmountLow(amount) => json!({ "bufferedAmount": amount }),
        Event::Volumes(volumes) => to_value(volumes),
        Event::DominantSpeaker(producer_id) => json!({ "producerId": producer_id }),
        Event::Running
        | Event::ProducerClose
        | Event::ProducerPause
        | Event::ProducerResume
        | Event::DataProducerClose
        | Event::SctpSendBufferFull
        | Event::Silence => return None,
    })
}

fn read_event(event: &str, data: &Value) -> Result<Event, BadFrame> {
    Ok(match event {
        "running" => Event::Running,
        "icestatechange" => Event::IceStateChange(member(data, "iceState")?),
        "iceselectedtuplechange" => Event::IceSelectedTupleChange(member(data, "iceSelectedTuple")?),
        "dtlsstatechange" => Event::DtlsStateChange(from_value(data)?),
        "sctpstatechange" => Event::SctpStateChange(member(data, "sctpState")?),
        "tuple" => Event::Tuple(member(data, "tuple")?),
        "rtcptuple" => Event::RtcpTuple(member(data, "rtcpTuple")?),
        "trace" => read_trace(data)?,
        "score" if data.is_array() => Event::ProducerScore(from_value(data)?),
        "score" => Event::ConsumerScore(from_value(data)?),
        "videoorientationchange" => Event::VideoOrientationChange(from_value(data)?),
        "producerclose" => Event::ProducerClose,
        "producerpause" => Event::ProducerPause,
        "producerresume" => Event::ProducerResume,
        "layerschange" => Event::LayersChange(from_value(data)?),
        "dataproducerclose" => Event::DataProducerClose,
        "sctpsendbufferfull" => Event::SctpSendBufferFull,
        "bufferedamountlow" => Event::BufferedAmountLow(member(data, "bufferedAmount")?),
        "volumes" => Event::Volumes(from_value::<Vec<AudioVolume>>(data)?),
        "silence" => Event::Silence,
        "dominantspeaker" => Event::DominantSpeaker(member(data, "producerId")?),
        other => return Err(BadFrame::UnknownEvent(other.to_owned())),
    })
}

/// Data of `trace`, of whatever thing.
#[derive(Deserialize)]
struct TraceWire<K, I> {
    #[serde(rename = "type")]
    trace_type: K,
    timestamp: u64,
    direction: TraceDirection,
    info: I,
}

/// Reads a trace by its type: which entity traces, and what the rest looks like, shows nowhere else.
fn read_trace(data: &Value) -> Result<Event, FieldError> {
    #[derive(Deserialize)]
    struct OfSsrc {
        ssrc: u32,
    }
    #[derive(Deserialize)]
    struct Empty {}

    match data.get("type").and_then(Value::as_str) {
        Some("probation") => transport_trace(data, TransportTraceInfo::Rtp),
        Some("bwe") => transport_trace(data, TransportTraceInfo::Bwe),
        Some("pli" | "fir") => trace(data, |OfSsrc { ssrc }| TraceInfo::Ssrc { ssrc }),
        Some("nack") => trace(data, |Empty {}| TraceInfo::Nothing {}),
        _ => trace(data, TraceInfo::Rtp),
    }
}

fn transport_trace<I: DeserializeOwned>(data: &Value, info: fn(I) -> TransportTraceInfo) -> Result<Event, FieldError> {
    let wire: TraceWire<TransportTraceEventType, I> = from_value(data)?;
    let TraceWire { trace_type, timestamp, direction, info: inner } = wire;
    Ok(Event::TransportTrace(TransportTrace { trace_type, timestamp, direction, info: info(inner) }))
}

fn trace<I: DeserializeOwned>(data: &Value, info: fn(I) -> TraceInfo) -> Result<Event, FieldError> {
    let wire: TraceWire<TraceEventType, I> = from_value(data)?;
    let TraceWire { trace_type, timestamp, direction, info: inner } = wire;
    Ok(Event::Trace(Trace { trace_type, timestamp, direction, info: info(inner) }))
}

/// Reads one member of an object.
pub(super) fn member<'de, T: Deserialize<'de>>(data: &'de Value, name: &str) -> Result<T, FieldError> {
    let value = data.get(name).ok_or_else(|| FieldError::missing(name))?;
    from_value(value).map_err(|error| FieldError {
        field: match error.field.as_str() {
            "" => name.to_owned(),
            inner if inner.starts_with('[') => format!("{name}{inner}"),
            inner => format!("{name}.{inner}"),
        },
        ..error
    })
}
