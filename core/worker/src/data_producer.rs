//! A data producer: messages that a peer sends on a stream of its transport, or the library over the payload channel.

use sfu_channel::dump::DataProducerDump;
use sfu_channel::request::ProduceData;
use sfu_channel::response::Refusal;
use sfu_channel::stats::DataProducerStat;
use sfu_channel::{DataType, SctpStreamParameters};

use crate::data::normalize_stream;
use crate::transport::Transport;

/// One data producer.
#[derive(Debug)]
pub struct DataProducer {
    /// Its id.
    pub id: String,
    /// Its router.
    pub router: usize,
    /// Its transport.
    pub transport: usize,
    /// How its messages come.
    pub data_type: DataType,
    /// Its stream, if they come over SCTP.
    pub stream: Option<SctpStreamParameters>,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
    /// Its data consumers.
    pub consumers: Vec<usize>,
    /// Messages that have come.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
}

impl DataProducer {
    /// Checks a request to produce on a transport, which has that index.
    ///
    /// # Errors
    /// A `TypeError` if the type does not fit the transport or the stream is missing.
    pub fn new(index: usize, transport: &Transport, request: ProduceData) -> Result<DataProducer, Refusal> {
        check_type(transport, request.data_type, "DataProducer")?;
        let stream = stream(request.data_type, request.sctp_stream_parameters)?;
        Ok(DataProducer {
            id: request.data_producer_id,
            router: transport.router,
            transport: index,
            data_type: request.data_type,
            stream,
            label: request.label,
            protocol: request.protocol,
            consumers: Vec::new(),
            messages_received: 0,
            bytes_received: 0,
        })
    }

    /// What it shows of itself.
    pub fn dump(&self) -> DataProducerDump {
        DataProducerDump {
            id: self.id.clone(),
            data_type: self.data_type,
            sctp_stream_parameters: self.stream,
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            paused: false,
        }
    }

    /// Statistics, taken at that time in milliseconds.
    pub fn stat(&self, timestamp: u64) -> DataProducerStat {
        DataProducerStat {
            timestamp,
            label: self.label.clone(),
            protocol: self.protocol.clone(),
            messages_received: self.messages_received,
            bytes_received: self.bytes_received,
        }
    }
}

/// Whether a transport can carry messages in that way.
pub(crate) fn check_type(transport: &Transport, data_type: DataType, what: &str) -> Result<(), Refusal> {
    match data_type {
        DataType::Sctp if transport.data.sctp.is_none() => Err(Refusal::type_error(format!(
            "cannot create a {what} of type 'sctp', SCTP not enabled in this Transport"
        ))),
        DataType::Direct if !transport.is_direct() => {
            Err(Refusal::type_error(format!("cannot create a {what} of type 'direct', not a direct Transport")))
        }
        DataType::Sctp | DataType::Direct => Ok(()),
    }
}

/// The stream, which there must be over SCTP, and only there.
pub(crate) fn stream(
    data_type: DataType,
    parameters: Option<SctpStreamParameters>,
) -> Result<Option<SctpStreamParameters>, Refusal> {
    match (data_type, parameters) {
        (DataType::Direct, _) => Ok(None),
        (DataType::Sctp, Some(parameters)) => Ok(Some(normalize_stream(parameters))),
        (DataType::Sctp, None) => Err(Refusal::type_error("missing sctpStreamParameters")),
    }
}
