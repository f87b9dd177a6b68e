//! A data consumer: a data producer's messages on their way to an endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sfu_channel::dump::DataConsumerDump;
use sfu_channel::notification::Event;
use sfu_channel::reply::BufferedAmount;
use sfu_channel::request::{BufferedAmountLowThreshold, DataConsumerId, Request};
use sfu_channel::stats::DataConsumerStat;
use tokio::sync::broadcast;
use tracing::debug;

use crate::channel::Subscription;
use crate::data_message::{DataMessage, data_accessors};
use crate::entity::{Entity, entity_accessors, run_events};
use crate::error::Error;
use crate::transport::Transport;

/// A data consumer's handle. Clones are the same data consumer, which lives until it, its data producer, its transport,
/// or what they belong to is closed.
#[derive(Clone)]
pub struct DataConsumer {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<DataConsumerEvent>,
    transport: Transport,
    made: DataConsumerDump,
    data_producer_closed: AtomicBool,
    buffered_amount_low_threshold: AtomicU32,
}

/// What happens to a data consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataConsumerEvent {
    /// It was closed.
    Close,
    /// Its data producer was closed, and it is closed thereby.
    DataProducerClose,
    /// Its transport, or what that belongs to, was closed, and it is closed thereby.
    TransportClose,
    /// A message was not sent, since too much waits.
    SctpSendBufferFull,
    /// So few bytes wait as its threshold says, or fewer.
    BufferedAmountLow(u32),
}

impl DataConsumer {
    /// The handle of one that the worker has just made.
    pub(crate) fn new(transport: Transport, made: DataConsumerDump, events: Subscription) -> Self {
        let closed = transport.entity().child_token();
        let consumer = Self {
            inner: Arc::new(Inner {
                entity: Entity::new(made.id.clone(), transport.entity().channel().clone(), closed.clone()),
                transport,
                data_producer_closed: AtomicBool::new(false),
                buffered_amount_low_threshold: AtomicU32::new(made.buffered_amount_low_threshold),
                made,
            }),
        };
        let (on_event, on_close) = (consumer.clone(), consumer.clone());
        run_events(events, closed, move |event| on_event.take(event), move || on_close.take_close());
        consumer
    }

    entity_accessors!(inner.entity => DataConsumerEvent);

    /// The data producer that it consumes.
    pub fn data_producer_id(&self) -> &str {
        &self.inner.made.data_producer_id
    }

    data_accessors!(inner.made);

    /// The transport that they go over.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// The bytes that wait at which it says that its buffer is low.
    pub fn buffered_amount_low_threshold(&self) -> u32 {
        self.inner.buffered_amount_low_threshold.load(Ordering::Relaxed)
    }

    /// Closes it and the endpoint's channel. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.entity.close(Some(self.inner.transport.id()), &self.close_request()).await
    }

    /// The same without waiting for the worker's answer.
    pub(crate) fn close_unheard(&self) {
        self.inner.entity.close_unheard(Some(self.inner.transport.id()), &self.close_request());
    }

    fn close_request(&self) -> Request {
        Request::TransportCloseDataConsumer(DataConsumerId { data_consumer_id: self.id().to_owned() })
    }

    /// Sends the endpoint a message of the application's own.
    ///
    /// # Errors
    /// [`Error::Refused`] when the worker does not take it: too much waits (`sctpsendbufferfull`, for which there is an event
    /// too), it is too long, the endpoint is not connected, or the data consumer is on a direct transport.
    pub async fn send(&self, message: DataMessage) -> Result<(), Error> {
        self.inner.entity.check_open()?;
        self.inner.entity.channel().payload()?.send_on_data_consumer(self.id(), &message).await
    }

    /// Messages that come from now on, on a direct transport; elsewhere none comes. Ends with the data consumer. Who is
    /// slow misses some, and is told how many.
    pub fn messages(&self) -> broadcast::Receiver<DataMessage> {
        self.inner.entity.messages()
    }

    /// How many bytes wait to be sent to the endpoint, those of the transport's other data consumers included.
    pub async fn get_buffered_amount(&self) -> Result<u32, Error> {
        let BufferedAmount { buffered_amount } = self.inner.entity.ask(Request::DataConsumerGetBufferedAmount).await?;
        Ok(buffered_amount)
    }

    /// Says when [`DataConsumerEvent::BufferedAmountLow`] is due: at so many bytes that wait. At once if so few do now.
    pub async fn set_buffered_amount_low_threshold(&self, threshold: u32) -> Result<(), Error> {
        let request = Request::DataConsumerSetBufferedAmountLowThreshold(BufferedAmountLowThreshold { threshold });
        self.inner.entity.tell(request).await?;
        self.inner.buffered_amount_low_threshold.store(threshold, Ordering::Relaxed);
        Ok(())
    }

    /// How many messages have been sent.
    pub async fn get_stats(&self) -> Result<Vec<DataConsumerStat>, Error> {
        self.inner.entity.ask(Request::DataConsumerGetStats).await
    }

    /// What it has.
    pub async fn dump(&self) -> Result<DataConsumerDump, Error> {
        self.inner.entity.ask(Request::DataConsumerDump).await
    }

    fn take(&self, event: Event) {
        let event = match event {
            Event::DataProducerClose => {
                self.inner.data_producer_closed.store(true, Ordering::Relaxed);
                // The worker has removed it already. Listeners are told by `take_close`.
                self.inner.entity.closed_token().cancel();
                return;
            }
            Event::SctpSendBufferFull => DataConsumerEvent::SctpSendBufferFull,
            Event::BufferedAmountLow(amount) => DataConsumerEvent::BufferedAmountLow(amount),
            other => {
                debug!(data_consumer = self.id(), event = ?other, "unexpected event of a data consumer");
                return;
            }
        };
        self.inner.entity.emit(event);
    }

    fn take_close(&self) {
        self.inner.entity.channel().forget_payloads(self.id());
        if let Some(stream) = self.sctp_stream_parameters() {
            self.inner.transport.free_stream_id(stream.stream_id);
        }
        let data_producer_closed = self.inner.data_producer_closed.load(Ordering::Relaxed);
        self.inner.entity.emit(if self.inner.entity.closed_itself() {
            DataConsumerEvent::Close
        } else if data_producer_closed {
            DataConsumerEvent::DataProducerClose
        } else {
            DataConsumerEvent::TransportClose
        });
    }
}

impl std::fmt::Debug for DataConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataConsumer").field("id", &self.id()).field("label", &self.label()).finish_non_exhaustive()
    }
}
