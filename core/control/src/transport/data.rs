//! Data producers and data consumers of a transport, and the SCTP streams of the latter.

use sfu_channel::dump::{DataConsumerDump, DataProducerDump};
use sfu_channel::request::{ConsumeData, ProduceData, Request};
use sfu_channel::{DataType, SctpStreamParameters};

use super::{DataConsumerOptions, DataProducerOptions, Transport};
use crate::data_consumer::DataConsumer;
use crate::data_producer::DataProducer;
use crate::entity::{check_id, lock, new_id};
use crate::error::Error;

impl Transport {
    /// Takes messages from the endpoint, or, on a direct transport, from the application.
    pub async fn produce_data(&self, options: DataProducerOptions) -> Result<DataProducer, Error> {
        if let Some(id) = &options.id {
            check_id(id)?;
            if self.router().data_producer(id).is_some() {
                return Err(Error::WrongOption("a data producer with this id exists already"));
            }
        }
        let (data_type, sctp_stream_parameters) = match (self.direct(), options.sctp_stream_parameters) {
            (Some(_), _) => (DataType::Direct, None),
            (None, Some(parameters)) => (DataType::Sctp, Some(parameters)),
            (None, None) => return Err(Error::WrongOption("sctp_stream_parameters is missing")),
        };
        let data_producer_id = options.id.unwrap_or_else(new_id);
        let events = self.inner.entity.channel().subscribe(data_producer_id.clone());
        let request = Request::TransportProduceData(ProduceData {
            data_producer_id,
            data_type,
            sctp_stream_parameters,
            label: options.label,
            protocol: options.protocol,
            paused: false,
        });
        let made: DataProducerDump = self.ask(request).await?;
        Ok(DataProducer::new(self.clone(), made, events))
    }

    /// Sends a data producer's messages to the endpoint, on a stream of their own, or, from a direct transport, to the
    /// application.
    pub async fn consume_data(&self, options: DataConsumerOptions) -> Result<DataConsumer, Error> {
        let data_producer_id = options.data_producer_id;
        let Some(producer) = self.router().data_producer(&data_producer_id) else {
            return Err(Error::DataProducerNotFound(data_producer_id));
        };
        let stream = match self.direct() {
            Some(_) => None,
            None => Some(self.take_stream_id()?),
        };
        let like = producer.sctp_stream_parameters();
        let sctp_stream_parameters = stream.as_ref().map(|stream| SctpStreamParameters {
            stream_id: stream.id,
            ordered: options.ordered.or(like.and_then(|like| like.ordered)),
            max_packet_life_time: options.max_packet_life_time.or(like.and_then(|like| like.max_packet_life_time)),
            max_retransmits: options.max_retransmits.or(like.and_then(|like| like.max_retransmits)),
        });
        let data_consumer_id = new_id();
        let events = self.inner.entity.channel().subscribe(data_consumer_id.clone());
        let request = Request::TransportConsumeData(ConsumeData {
            data_consumer_id,
            data_producer_id,
            data_type: if stream.is_some() { DataType::Sctp } else { DataType::Direct },
            sctp_stream_parameters,
            label: producer.label().to_owned(),
            protocol: producer.protocol().to_owned(),
            paused: false,
            subchannels: Vec::new(),
        });
        let made: DataConsumerDump = self.ask(request).await?;
        if let Some(stream) = stream {
            stream.keep();
        }
        Ok(DataConsumer::new(self.clone(), made, events))
    }

    /// Takes a stream for a data consumer that is about to be made.
    fn take_stream_id(&self) -> Result<TakenStream<'_>, Error> {
        let ids = self.inner.stream_ids.as_ref().ok_or(Error::NoSctp)?;
        let id = lock(ids).take().ok_or(Error::NoSctpStream)?;
        Ok(TakenStream { transport: self, id, kept: false })
    }

    /// A data consumer has no more use for its stream.
    pub(crate) fn free_stream_id(&self, id: u16) {
        if let Some(ids) = &self.inner.stream_ids {
            lock(ids).free(id);
        }
    }
}

/// A stream that is given back unless a data consumer comes to have it, were its future to be dropped.
struct TakenStream<'a> {
    transport: &'a Transport,
    id: u16,
    kept: bool,
}

impl TakenStream<'_> {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for TakenStream<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.transport.free_stream_id(self.id);
        }
    }
}
