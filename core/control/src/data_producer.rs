//! A data producer: messages that an endpoint sends on one data channel.

use std::sync::Arc;

use sfu_channel::dump::DataProducerDump;
use sfu_channel::notification::Event;
use sfu_channel::request::{DataProducerId, Request};
use sfu_channel::stats::DataProducerStat;
use sfu_channel::{DataType, SctpStreamParameters};
use tokio::sync::broadcast;
use tracing::debug;

use crate::channel::Subscription;
use crate::entity::{Entity, run_events};
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

    /// Its id.
    pub fn id(&self) -> &str {
        self.inner.entity.id()
    }

    /// How its messages come.
    pub fn data_type(&self) -> DataType {
        self.inner.made.data_type
    }

    /// The stream that they come on, over SCTP.
    pub fn sctp_stream_parameters(&self) -> Option<SctpStreamParameters> {
        self.inner.made.sctp_stream_parameters
    }

    /// The channel's label.
    pub fn label(&self) -> &str {
        &self.inner.made.label
    }

    /// The channel's subprotocol.
    pub fn protocol(&self) -> &str {
        &self.inner.made.protocol
    }

    /// The transport that they come over.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Whether it is closed.
    pub fn closed(&self) -> bool {
        self.inner.entity.is_closed()
    }

    /// Waits until it is closed.
    pub async fn wait_closed(&self) {
        self.inner.entity.closed_token().cancelled().await;
    }

    /// What happens to it from now on.
    pub fn events(&self) -> broadcast::Receiver<DataProducerEvent> {
        self.inner.entity.listen()
    }

    /// Closes it and the endpoint's channel; its data consumers are closed thereby. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        if !self.inner.entity.close_locally() {
            return Ok(());
        }
        let request = Request::TransportCloseDataProducer(DataProducerId { data_producer_id: self.id().to_owned() });
        let transport = self.inner.transport.entity();
        transport.channel().close(Some(transport.id()), &request).await
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
