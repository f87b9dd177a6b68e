//! A producer: one audio or video source that an endpoint sends.

use std::sync::{Arc, Mutex};

use sfu_channel::dump::ProducerDump;
use sfu_channel::notification::{Event, Trace, VideoOrientation};
use sfu_channel::payload::PayloadToWorker;
use sfu_channel::request::{EnableTraceEvent, ProducerId, Request};
use sfu_channel::stats::RtpStreamStat;
use sfu_channel::{MediaKind, ProducerScore, RtpParameters, RtpType, TraceEventType};
use tokio_util::bytes::Bytes;
use tracing::debug;

use crate::channel::Subscription;
use crate::entity::{Entity, Pause, entity_accessors, lock, run_events};
use crate::error::Error;
use crate::payload_channel::check_packet;
use crate::transport::Transport;

/// A producer's handle. Clones are the same producer, which lives until it, its transport, or what that belongs to is
/// closed.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<ProducerEvent>,
    transport: Transport,
    kind: MediaKind,
    rtp_type: RtpType,
    rtp_parameters: RtpParameters,
    consumable_rtp_parameters: RtpParameters,
    score: Mutex<Vec<ProducerScore>>,
    pause: Pause,
}

/// What happens to a producer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ProducerEvent {
    /// It was closed.
    Close,
    /// Its transport, or what that belongs to, was closed, and it is closed thereby.
    TransportClose,
    /// How well its streams go.
    Score(Vec<ProducerScore>),
    /// The camera is held another way.
    VideoOrientationChange(VideoOrientation),
    /// Something of what is traced.
    Trace(Trace),
}

/// A producer that the worker has just made.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) kind: MediaKind,
    pub(crate) rtp_type: RtpType,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) consumable_rtp_parameters: RtpParameters,
    pub(crate) paused: bool,
}

impl Producer {
    pub(crate) fn new(transport: Transport, made: Made, events: Subscription) -> Self {
        let closed = transport.entity().child_token();
        let producer = Self {
            inner: Arc::new(Inner {
                entity: Entity::new(made.id, transport.entity().channel().clone(), closed.clone()),
                transport,
                kind: made.kind,
                rtp_type: made.rtp_type,
                rtp_parameters: made.rtp_parameters,
                consumable_rtp_parameters: made.consumable_rtp_parameters,
                score: Mutex::default(),
                pause: Pause::new(made.paused),
            }),
        };
        producer.inner.transport.router().add_producer(&producer);
        let (on_event, on_close) = (producer.clone(), producer.clone());
        run_events(events, closed, move |event| on_event.take(event), move || on_close.take_close());
        producer
    }

    entity_accessors!(inner.entity => ProducerEvent);

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// How its streams relate.
    pub fn rtp_type(&self) -> RtpType {
        self.inner.rtp_type
    }

    /// What the endpoint sends.
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner.rtp_parameters
    }

    /// What it is inside the router.
    pub fn consumable_rtp_parameters(&self) -> &RtpParameters {
        &self.inner.consumable_rtp_parameters
    }

    /// The transport that it comes over.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Whether it is paused.
    pub fn paused(&self) -> bool {
        self.inner.pause.is_paused()
    }

    /// How well each of its streams goes; empty until known.
    pub fn score(&self) -> Vec<ProducerScore> {
        lock(&self.inner.score).clone()
    }

    /// Closes it; its consumers are closed thereby. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.entity.close(Some(self.inner.transport.id()), &self.close_request()).await
    }

    /// The same without waiting for the worker's answer.
    pub(crate) fn close_unheard(&self) {
        self.inner.entity.close_unheard(Some(self.inner.transport.id()), &self.close_request());
    }

    fn close_request(&self) -> Request {
        Request::TransportCloseProducer(ProducerId { producer_id: self.id().to_owned() })
    }

    /// Forwards nothing until resumed.
    pub async fn pause(&self) -> Result<(), Error> {
        self.inner.pause.set(&self.inner.entity, Request::ProducerPause, true).await
    }

    /// Forwards again.
    pub async fn resume(&self) -> Result<(), Error> {
        self.inner.pause.set(&self.inner.entity, Request::ProducerResume, false).await
    }

    /// Sends an RTP packet of the application's own, on a direct transport. Whether it is forwarded is not told.
    ///
    /// # Errors
    /// [`Error::WrongOption`] if it is not on a direct transport, or the packet is longer than 1600 bytes.
    pub async fn send(&self, packet: impl Into<Bytes>) -> Result<(), Error> {
        if self.inner.transport.direct().is_none() {
            return Err(Error::WrongOption("the producer is not on a direct transport"));
        }
        let packet = packet.into();
        check_packet(&packet)?;
        let header = PayloadToWorker::ProducerSend { producer_id: self.id().to_owned() };
        self.inner.entity.check_open()?;
        self.inner.entity.channel().payload()?.send(&header, packet).await
    }

    /// Traces those things from now on, and nothing else.
    pub async fn enable_trace_event(&self, types: Vec<TraceEventType>) -> Result<(), Error> {
        let request = Request::ProducerEnableTraceEvent(EnableTraceEvent { types });
        self.inner.entity.tell(request).await
    }

    /// Statistics of each stream that has been seen.
    pub async fn get_stats(&self) -> Result<Vec<RtpStreamStat>, Error> {
        self.inner.entity.ask(Request::ProducerGetStats).await
    }

    /// What it has.
    pub async fn dump(&self) -> Result<ProducerDump, Error> {
        self.inner.entity.ask(Request::ProducerDump).await
    }

    fn take(&self, event: Event) {
        let event = match event {
            Event::ProducerScore(score) => {
                *lock(&self.inner.score) = score.clone();
                ProducerEvent::Score(score)
            }
            Event::VideoOrientationChange(orientation) => ProducerEvent::VideoOrientationChange(orientation),
            Event::Trace(trace) => ProducerEvent::Trace(trace),
            other => {
                debug!(producer = self.id(), event = ?other, "unexpected event of a producer");
                return;
            }
        };
        self.inner.entity.emit(event);
    }

    fn take_close(&self) {
        self.inner.transport.router().forget_producer(self.id());
        self.inner.entity.emit(if self.inner.entity.closed_itself() {
            ProducerEvent::Close
        } else {
            ProducerEvent::TransportClose
        });
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("id", &self.id()).field("kind", &self.kind()).finish_non_exhaustive()
    }
}
