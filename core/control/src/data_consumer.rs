//! A data consumer: a data producer's messages on their way to an endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sfu_channel::dump::DataConsumerDump;
use sfu_channel::notification::Event;
use sfu_channel::payload::ppid;
use sfu_channel::reply::BufferedAmount;
use sfu_channel::request::{BufferedAmountLowThreshold, DataConsumerId, Request};
use sfu_channel::stats::DataConsumerStat;
use sfu_channel::{DataType, SctpStreamParameters};
use tokio::sync::broadcast;
use tokio_util::bytes::Bytes;
use tracing::debug;

use crate::channel::Subscription;
use crate::entity::{Entity, run_events};
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

    /// Its id.
    pub fn id(&self) -> &str {
        self.inner.entity.id()
    }

    /// The data producer that it consumes.
    pub fn data_producer_id(&self) -> &str {
        &self.inner.made.data_producer_id
    }

    /// How its messages go.
    pub fn data_type(&self) -> DataType {
        self.inner.made.data_type
    }

    /// The stream that they go on, over SCTP.
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

    /// The transport that they go over.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// The bytes that wait at which it says that its buffer is low.
    pub fn buffered_amount_low_threshold(&self) -> u32 {
        self.inner.buffered_amount_low_threshold.load(Ordering::Relaxed)
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
    pub fn events(&self) -> broadcast::Receiver<DataConsumerEvent> {
        self.inner.entity.listen()
    }

    /// Closes it and the endpoint's channel. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        if !self.inner.entity.close_locally() {
            return Ok(());
        }
        let request = Request::TransportCloseDataConsumer(DataConsumerId { data_consumer_id: self.id().to_owned() });
        let transport = self.inner.transport.entity();
        transport.channel().close(Some(transport.id()), &request).await
    }

    /// Sends a text of the application's own to the endpoint.
    ///
    /// # Errors
    /// [`Error::Refused`] when the worker does not take it: too much waits (`sctpsendbufferfull`, for which there is an event
    /// too), it is too long, or the endpoint is not connected.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), Error> {
        let text = text.into();
        // SCTP has no empty messages (RFC 8831, 6.6).
        if text.is_empty() {
            return self.send(ppid::EMPTY_STRING, Bytes::from_static(b" ")).await;
        }
        self.send(ppid::STRING, text.into()).await
    }

    /// Sends bytes of the application's own to the endpoint.
    ///
    /// # Errors
    /// As [`DataConsumer::send_text`].
    pub async fn send_binary(&self, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return self.send(ppid::EMPTY_BINARY, Bytes::from_static(&[0])).await;
        }
        self.send(ppid::BINARY, bytes).await
    }

    async fn send(&self, ppid: u32, message: Bytes) -> Result<(), Error> {
        self.inner.entity.check_open()?;
        self.inner.entity.channel().payload()?.send_on_data_consumer(self.id(), ppid, message).await
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
