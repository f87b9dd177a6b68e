//! A data producer: messages that an endpoint sends on one data channel.

use std::sync::Arc;

use sfu_channel::dump::DataProducerDump;
use sfu_channel::notification::Event;
use sfu_channel::payload::PayloadToWorker;
use sfu_channel::request::{DataProducerId, Request};
use sfu_channel::stats::DataProducerStat;
use tracing::debug;

use crate::channel::Subscription;
use crate::data_message::{DataMessage, data_accessors};
use crate::entity::{Entity, entity_accessors, run_events};
use crate::error::Error;
use crate::transport::Transport;

/// A data producer's handle. Clones are the same data producer, which lives until it, its transport, or what that belongs
/// to is closed.
#[derive(Clone)]
pub struct DataProducer {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<DataProducerEvent>,
    transport: Transport,
    made: DataProducerDump,
}

/// What happens to a data producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataProducerEvent {
    /// It was closed.
    Close,
    /// Its transport, or what that belongs to, was closed, and it is closed thereby.
    TransportClose,
}

impl DataProducer {
    /// The handle of one that the worker has just made.
    pub(crate) fn new(transport: Transport, made: DataProducerDump, events: Subscription) -> Self {
        let closed = transport.entity().child_token();
        let producer = Self {
            inner: Arc::new(Inner {
                entity: Entity::new(made.id.clone(), transport.entity().channel().clone(), closed.clone()),
                transport,
                made,
            }),
        };
        producer.inner.transport.router().add_data_producer(&producer);
        let (on_event, on_close) = (producer.clone(), producer.clone());
        run_events(events, closed, move |event| on_event.take(&event), move || on_close.take_close());
        producer
    }

    entity_accessors!(inner.entity => DataProducerEvent);

    data_accessors!(inner.made);

    /// The transport that they come over.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Closes it and the endpoint's channel; its data consumers are closed thereby. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.entity.close(Some(self.inner.transport.id()), &self.close_request()).await
    }

    /// The same without waiting for the worker's answer.
    pub(crate) fn close_unheard(&self) {
        self.inner.entity.close_unheard(Some(self.inner.transport.id()), &self.close_request());
    }

    fn close_request(&self) -> Request {
        Request::TransportCloseDataProducer(DataProducerId { data_producer_id: self.id().to_owned() })
    }

    /// Sends its data consumers a message of the application's own, on a direct transport. Whether they get it is not told.
    ///
    /// # Errors
    /// [`Error::WrongOption`] if it is not on a direct transport, or the message is longer than the transport takes.
    pub async fn send(&self, message: DataMessage) -> Result<(), Error> {
        let Some(longest) = self.inner.transport.direct() else {
            return Err(Error::WrongOption("the data producer is not on a direct transport"));
        };
        if message.payload().len() > longest as usize {
            return Err(Error::WrongOption("the message is longer than the transport takes"));
        }
        let header =
            PayloadToWorker::DataProducerSend { data_producer_id: self.id().to_owned(), ppid: Some(message.ppid()) };
        self.inner.entity.check_open()?;
        self.inner.entity.channel().payload()?.send(&header, message.payload().clone()).await
    }

    /// How many messages have come.
    pub async fn get_stats(&self) -> Result<Vec<DataProducerStat>, Error> {
        self.inner.entity.ask(Request::DataProducerGetStats).await
    }

    /// What it has.
    pub async fn dump(&self) -> Result<DataProducerDump, Error> {
        self.inner.entity.ask(Request::DataProducerDump).await
    }

    fn take(&self, event: &Event) {
        debug!(data_producer = self.id(), ?event, "unexpected event of a data producer");
    }

    fn take_close(&self) {
        self.inner.transport.router().forget_data_producer(self.id());
        self.inner.entity.emit(if self.inner.entity.closed_itself() {
            DataProducerEvent::Close
        } else {
            DataProducerEvent::TransportClose
        });
    }
}

impl std::fmt::Debug for DataProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataProducer").field("id", &self.id()).field("label", &self.label()).finish_non_exhaustive()
    }
}
