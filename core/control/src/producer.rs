//! A producer: one audio or video source that an endpoint sends.

use std::sync::{Arc, Mutex};

use sfu_channel::dump::ProducerDump;
use sfu_channel::notification::{Event, Trace, VideoOrientation};
use sfu_channel::request::{EnableTraceEvent, ProducerId, Request};
use sfu_channel::stats::RtpStreamStat;
use sfu_channel::{MediaKind, ProducerScore, RtpParameters, RtpType, TraceEventType};
use tokio::sync::broadcast;
use tracing::debug;

use crate::channel::Subscription;
use crate::entity::{Entity, lock, run_events};
use crate::error::Error;
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
    state: Mutex<State>,
    /// Held while the worker pauses or resumes it, so that what it does last is what is known of it.
    pausing: tokio::sync::Mutex<()>,
}

struct State {
    paused: bool,
    score: Vec<ProducerScore>,
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
                state: Mutex::new(State { paused: made.paused, score: Vec::new() }),
                pausing: tokio::sync::Mutex::default(),
            }),
        };
        producer.inner.transport.router().add_producer(&producer);
        let (on_event, on_close) = (producer.clone(), producer.clone());
        run_events(events, closed, move |event| on_event.take(event), move || on_close.take_close());
        producer
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.inner.entity.id()
    }

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
        lock(&self.inner.state).paused
    }

    /// How well each of its streams goes; empty until known.
    pub fn score(&self) -> Vec<ProducerScore> {
        lock(&self.inner.state).score.clone()
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
    pub fn events(&self) -> broadcast::Receiver<ProducerEvent> {
        self.inner.entity.listen()
    }

    /// Closes it; its consumers are closed thereby. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        if !self.inner.entity.close_locally() {
            return Ok(());
        }
        let request = Request::TransportCloseProducer(ProducerId { producer_id: self.id().to_owned() });
        let transport = self.inner.transport.entity();
        transport.channel().close(Some(transport.id()), &request).await
    }

    /// Forwards nothing until resumed.
    pub async fn pause(&self) -> Result<(), Error> {
        let _pausing = self.inner.pausing.lock().await;
        self.inner.entity.tell(Request::ProducerPause).await?;
        lock(&self.inner.state).paused = true;
        Ok(())
    }

    /// Forwards again.
    pub async fn resume(&self) -> Result<(), Error> {
        let _pausing = self.inner.pausing.lock().await;
        self.inner.entity.tell(Request::ProducerResume).await?;
        lock(&self.inner.state).paused = false;
        Ok(())
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
                lock(&self.inner.state).score = score.clone();
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
