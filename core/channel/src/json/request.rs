//! Requests as text: `<id>:<method>:<handlerId>:<data>`.

use serde_json::Value;

use super::field::{FieldError, from_value};
use super::{to_value, transport};
use crate::request::*;
use crate::response::Refusal;
use crate::types::{PreferredLayers, SctpStreamParameters};

/// A request as it came: its method is known, its data is JSON.
///
/// Reading takes two steps, because an unknown entity comes before wrong data: the worker finds the entity by
/// `handler_id` first, then reads the data with [`RequestFrame::request`].
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFrame {
    /// The id that the response has to carry.
    pub id: u32,
    /// The method.
    pub method: Method,
    /// The entity; absent for the worker itself.
    pub handler_id: Option<String>,
    /// The data: a JSON object, empty when the frame has none.
    pub data: Value,
}

/// Why a frame is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// It can't be answered: it is no text of that form, has no usable id, or its data is no JSON.
    #[error("unreadable request: {0}")]
    Unreadable(String),
    /// Its method is not known; an `Error` is to be answered.
    #[error("unknown method '{method}'")]
    UnknownMethod {
        /// The id that the response has to carry.
        id: u32,
        /// What stands in place of the method.
        method: String,
    },
}

impl RequestFrame {
    /// Reads a frame's payload. Handler id and data may be `undefined` or not there at all; data that is valid JSON but
    /// no object counts as an empty one.
    pub fn parse(frame: &[u8]) -> Result<Self, BadRequest> {
        let unreadable = |reason: &str| BadRequest::Unreadable(reason.to_owned());
        let text = std::str::from_utf8(frame).map_err(|_| unreadable("not UTF-8"))?;
        let mut parts = text.splitn(4, ':');
        let id = parts.next().unwrap_or_default();
        let method = parts.next().ok_or_else(|| unreadable("too few fields"))?;
        let id = match id.parse() {
            Ok(id) if id > 0 => id,
            _ => return Err(unreadable("the id is not a number from 1 to 4294967295")),
        };
        let Some(method) = Method::from_name(method) else {
            let method = method.to_owned();
            return Err(BadRequest::UnknownMethod { id, method });
        };
        let mut given = || parts.next().filter(|text| !text.is_empty() && *text != "undefined");
        let handler_id = given().map(str::to_owned);
        let data = match given().map(serde_json::from_str) {
            Some(Ok(data @ Value::Object(_))) => data,
            Some(Ok(_)) | None => Value::Object(serde_json::Map::new()),
            Some(Err(error)) => return Err(BadRequest::Unreadable(format!("bad JSON: {error}"))),
        };
        Ok(Self { id, method, handler_id, data })
    }

    /// The request with its data read. The refusal's reason names the member that is wrong, without the method.
    pub fn request(&self) -> Result<Request, Refusal> {
        read(self.method, &self.data).map_err(|error| {
            if is_plain_error(self.method, &error.field) {
                Refusal::error(error.to_string())
            } else {
                Refusal::type_error(error.to_string())
            }
        })
    }
}

/// The ids whose absence is an `Error`, where everything else that is wrong with data is a `TypeError`.
fn is_plain_error(method: Method, field: &str) -> bool {
    matches!(
        (method, field),
        (Method::WorkerCreateWebRtcServer | Method::WorkerCloseWebRtcServer, "webRtcServerId")
            | (Method::WorkerCreateRouter | Method::WorkerCloseRouter, "routerId")
            | (Method::TransportConsumeData, "dataProducerId")
            | (Method::RtpObserverAddProducer | Method::RtpObserverRemoveProducer, "producerId")
    )
}

/// Writes a frame's payload.
pub fn write_request(id: u32, handler_id: Option<&str>, request: &Request) -> String {
    let method = request.method().as_str();
    let handler_id = handler_id.unwrap_or("undefined");
    match write(request) {
        Some(data) => format!("{id}:{method}:{handler_id}:{data}"),
        None => format!("{id}:{method}:{handler_id}:undefined"),
    }
}

/// How a request's data is written and read.
trait Data: Sized {
    fn write(&self) -> Value;
    fn read(value: &Value) -> Result<Self, FieldError>;
}

macro_rules! define_codec {
    ($($entity:ident $name:literal $variant:ident $(($data:ty))?;)*) => {
        fn read(method: Method, data: &Value) -> Result<Request, FieldError> {
            Ok(match method {
                $(Method::$variant => Request::$variant $((<$data as Data>::read(data)?))?,)*
            })
        }

        fn write(request: &Request) -> Option<Value> {
            match request {
                $(define_codec!(@pattern data $variant $(($data))?) => define_codec!(@write data $(($data))?),)*
            }
        }
    };
    (@pattern $binding:ident $variant:ident ($data:ty)) => { Request::$variant($binding) };
    (@pattern $binding:ident $variant:ident) => { Request::$variant };
    (@write $binding:ident ($data:ty)) => { Some(Data::write($binding)) };
    (@write $binding:ident) => { None };
}
for_each_request!(define_codec);

/// Data that serde reads and writes, and that is then checked.
macro_rules! by_serde {
    ($($data:ty $(, check $check:expr)?;)*) => {
        $(impl Data for $data {
            fn write(&self) -> Value {
                to_value(self)
            }

            fn read(value: &Value) -> Result<Self, FieldError> {
                let data: Self = from_value(value)?;
                $($check(&data)?;)?
                Ok(data)
            }
        })*
    };
}

by_serde! {
    UpdateSettings;
    CreateWebRtcServer, check check_server;
    WebRtcServerId;
    RouterId;
    TransportId;
    RtpObserverId;
    ProducerId;
    ConsumerId;
    DataProducerId;
    DataConsumerId;
    CreateActiveSpeakerObserver;
    CreateAudioLevelObserver, check check_audio_level;
    TransportConnect, check check_connect;
    Bitrate;
    Produce;
    Consume;
    ProduceData, check |data: &ProduceData| check_stream(data.sctp_stream_parameters.as_ref());
    ConsumeData, check |data: &ConsumeData| check_stream(data.sctp_stream_parameters.as_ref());
    EnableTransportTraceEvent;
    EnableTraceEvent;
    PreferredLayers;
    Priority, check check_priority;
    BufferedAmountLowThreshold;
}

/// Data that has a form of its own.
macro_rules! by_hand {
    ($($data:ty, $write:path, $read:path;)*) => {
        $(impl Data for $data {
            fn write(&self) -> Value {
                $write(self)
            }

            fn read(value: &Value) -> Result<Self, FieldError> {
                $read(value)
            }
        })*
    };
}

by_hand! {
    CreateWebRtcTransport, transport::write_web_rtc, transport::read_web_rtc;
    CreateWebRtcTransportWithServer, transport::write_web_rtc_with_server, transport::read_web_rtc_with_server;
    CreatePlainTransport, transport::write_plain, transport::read_plain;
    CreatePipeTransport, transport::write_pipe, transport::read_pipe;
    CreateDirectTransport, transport::write_direct, transport::read_direct;
}

fn check_server(data: &CreateWebRtcServer) -> Result<(), FieldError> {
    transport::check_listen_count("listenInfos", data.listen_infos.len(), MAX_LISTEN_INFOS)
}

fn check_audio_level(data: &CreateAudioLevelObserver) -> Result<(), FieldError> {
    if data.max_entries == 0 {
        return Err(FieldError::wrong_value("maxEntries", "0, expected at least 1"));
    }
    if !(-127..=0).contains(&data.threshold) {
        let detail = format!("{}, expected -127 to 0", data.threshold);
        return Err(FieldError::wrong_value("threshold", detail));
    }
    Ok(())
}

fn check_connect(data: &TransportConnect) -> Result<(), FieldError> {
    match &data.dtls_parameters {
        Some(parameters) if parameters.fingerprints.is_empty() => {
            Err(FieldError::wrong_value("dtlsParameters.fingerprints", "empty, expected at least one"))
        }
        _ => Ok(()),
    }
}

fn check_stream(parameters: Option<&SctpStreamParameters>) -> Result<(), FieldError> {
    let wrong =
        |field: &str, detail: &str| Err(FieldError::wrong_value(format!("sctpStreamParameters.{field}"), detail));
    let Some(parameters) = parameters else {
        return Ok(());
    };
    if parameters.stream_id > 65_534 {
        return wrong("streamId", "65535, expected at most 65534");
    }
    // Zero is no bound to mediasoup.
    let bounded = |bound: Option<u16>| bound.is_some_and(|bound| bound > 0);
    let (life_time, retransmits) = (bounded(parameters.max_packet_life_time), bounded(parameters.max_retransmits));
    if life_time && retransmits {
        return wrong("maxRetransmits", "given together with maxPacketLifeTime");
    }
    if parameters.ordered == Some(true) && (life_time || retransmits) {
        return wrong("ordered", "true together with maxPacketLifeTime or maxRetransmits");
    }
    Ok(())
}

fn check_priority(data: &Priority) -> Result<(), FieldError> {
    if data.priority == 0 {
        return Err(FieldError::wrong_value("priority", "0, expected 1 to 255"));
    }
    Ok(())
}
