//! Answers of the worker to requests.

use std::fmt;

use serde::Serialize;

use crate::dump::{
    ConsumerDump, DataConsumerDump, DataProducerDump, PipeTransportDump, PlainTransportDump, ProducerDump,
    ResourceUsage, RouterDump, TransportDump, WebRtcServerDump, WebRtcTransportDump, WorkerDump,
};
use crate::reply::{BufferedAmount, Consumed, IceRestarted, PlainConnected, Produced, WebRtcConnected};
use crate::request::Priority;
use crate::stats::{DataConsumerStat, DataProducerStat, RtpStreamStat, TransportStat};
use crate::types::ConsumerLayers;

/// An answer. `D` is what its data is: a [`Reply`] where the worker writes it; JSON where the library reads it, since
/// only the request tells its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Response<D> {
    /// The request's id.
    pub id: u32,
    /// The data, if there is any, or why the request was refused.
    pub outcome: Result<Option<D>, Refusal>,
}

/// The classes of refusal that the library tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The request can't be done now.
    Error,
    /// The request itself is wrong.
    TypeError,
    /// The entity does not exist (newer generations; in 3.12 on the wire an `Error`).
    NotFoundError,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The class.
    pub class: ErrorClass,
    /// The reason, a sentence for people.
    pub reason: String,
}

impl Refusal {
    /// The request can't be done now.
    pub fn error(reason: impl Into<String>) -> Self {
        Self { class: ErrorClass::Error, reason: reason.into() }
    }

    /// The request itself is wrong.
    pub fn type_error(reason: impl Into<String>) -> Self {
        Self { class: ErrorClass::TypeError, reason: reason.into() }
    }

    /// The entity does not exist.
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self { class: ErrorClass::NotFoundError, reason: reason.into() }
    }

    /// The same, with the method's name behind the reason as the protocol has it.
    pub fn in_method(mut self, method: impl fmt::Display) -> Self {
        use fmt::Write;
        // Writing to a String can't fail.
        let _ = write!(self.reason, " [method:{method}]");
        self
    }
}

/// All data that the worker answers with.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "a reply lives for one call, and is never stored")]
#[allow(missing_docs, reason = "each variant is named after its one member")]
pub enum Reply {
    WorkerDump(WorkerDump),
    ResourceUsage(ResourceUsage),
    WebRtcServerDump(WebRtcServerDump),
    RouterDump(RouterDump),
    WebRtcTransportDump(WebRtcTransportDump),
    PlainTransportDump(PlainTransportDump),
    PipeTransportDump(PipeTransportDump),
    DirectTransportDump(TransportDump),
    TransportStats(Vec<TransportStat>),
    WebRtcConnected(WebRtcConnected),
    PlainConnected(PlainConnected),
    IceRestarted(IceRestarted),
    Produced(Produced),
    Consumed(Consumed),
    ProducerDump(ProducerDump),
    ConsumerDump(ConsumerDump),
    RtpStreamStats(Vec<RtpStreamStat>),
    ConsumerLayers(ConsumerLayers),
    Priority(Priority),
    DataProducerDump(DataProducerDump),
    DataConsumerDump(DataConsumerDump),
    DataProducerStats(Vec<DataProducerStat>),
    DataConsumerStats(Vec<DataConsumerStat>),
    BufferedAmount(BufferedAmount),
}
