//! A consumer: a producer's media on its way to an endpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sfu_channel::dump::ConsumerDump;
use sfu_channel::notification::{Event, Trace};
use sfu_channel::reply::Consumed;
use sfu_channel::request::{ConsumerId, EnableTraceEvent, Priority, Request};
use sfu_channel::stats::RtpStreamStat;
use sfu_channel::{ConsumerLayers, ConsumerScore, MediaKind, PreferredLayers, RtpParameters, RtpType, TraceEventType};
use tokio::sync::broadcast;
use tokio_util::bytes::Bytes;
use tracing::debug;

use crate::channel::Subscription;
use crate::entity::{Entity, Pause, entity_accessors, lock, run_events};
use crate::error::Error;
use crate::transport::Transport;

/// The weight of a consumer at first.
const LOWEST_PRIORITY: u8 = 1;

/// A consumer's handle. Clones are the same consumer, which lives until it, its producer, its transport, or what they
/// belong to is closed.
#[derive(Clone)]
pub struct Consumer {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<ConsumerEvent>,
    transport: Transport,
    producer_id: String,
    kind: MediaKind,
    rtp_type: RtpType,
    rtp_parameters: RtpParameters,
    producer_closed: AtomicBool,
    state: Mutex<State>,
    pause: Pause,
}

struct State {
    producer_paused: bool,
    priority: u8,
    score: ConsumerScore,
    preferred_layers: Option<ConsumerLayers>,
    current_layers: Option<ConsumerLayers>,
}

/// What happens to a consumer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// It was closed.
    Close,
    /// Its producer was closed, and it is closed thereby.
    ProducerClose,
    /// Its transport, or what that belongs to, was closed, and it is closed thereby.
    TransportClose,
    /// Its producer was paused.
    ProducerPause,
    /// Its producer was resumed.
    ProducerResume,
    /// How well its stream goes.
    Score(ConsumerScore),
    /// Other layers are sent; `None` when nothing is.
    LayersChange(Option<ConsumerLayers>),
    /// Something of what is traced.
    Trace(Trace),
}

/// A consumer that the worker has just made.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) producer_id: String,
    pub(crate) kind: MediaKind,
    pub(crate) rtp_type: RtpType,
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) consumed: Consumed,
}

impl Consumer {
    pub(crate) fn new(transport: Transport, made: Made, events: Subscription) -> Self {
        let closed = transport.entity().child_token();
        let consumed = made.consumed;
        let consumer = Self {
            inner: Arc::new(Inner {
                entity: Entity::new(made.id, transport.entity().channel().clone(), closed.clone()),
                transport,
                producer_id: made.producer_id,
                kind: made.kind,
                rtp_type: made.rtp_type,
                rtp_parameters: made.rtp_parameters,
                producer_closed: AtomicBool::new(false),
                state: Mutex::new(State {
                    producer_paused: consumed.producer_paused,
                    priority: LOWEST_PRIORITY,
                    score: consumed.score,
                    preferred_layers: consumed.preferred_layers,
                    current_layers: None,
                }),
                pause: Pause::new(consumed.paused),
            }),
        };
        let (on_event, on_close) = (consumer.clone(), consumer.clone());
        run_events(events, closed, move |event| on_event.take(event), move || on_close.take_close());
        consumer
    }

    entity_accessors!(inner.entity => ConsumerEvent);

    /// The producer that it consumes.
    pub fn producer_id(&self) -> &str {
        &self.inner.producer_id
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// How streams are forwarded.
    pub fn rtp_type(&self) -> RtpType {
        self.inner.rtp_type
    }

    /// What the endpoint receives.
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner.rtp_parameters
    }

    /// The transport that it goes over.
    pub fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    /// Whether it is paused.
    pub fn paused(&self) -> bool {
        self.inner.pause.is_paused()
    }

    /// Whether its producer is paused.
    pub fn producer_paused(&self) -> bool {
        lock(&self.inner.state).producer_paused
    }

    /// 1 (lowest) to 255.
    pub fn priority(&self) -> u8 {
        lock(&self.inner.state).priority
    }

    /// How well its stream and its producer's go.
    pub fn score(&self) -> ConsumerScore {
        lock(&self.inner.state).score.clone()
    }

    /// The layers that are wanted at most (simulcast and SVC).
    pub fn preferred_layers(&self) -> Option<ConsumerLayers> {
        lock(&self.inner.state).preferred_layers
    }

    /// The layers that are sent (simulcast and SVC).
    pub fn current_layers(&self) -> Option<ConsumerLayers> {
        lock(&self.inner.state).current_layers
    }

    /// Closes it. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.entity.close(Some(self.inner.transport.id()), &self.close_request()).await
    }

    /// The same without waiting for the worker's answer.
    pub(crate) fn close_unheard(&self) {
        self.inner.entity.close_unheard(Some(self.inner.transport.id()), &self.close_request());
    }

    fn close_request(&self) -> Request {
        Request::TransportCloseConsumer(ConsumerId { consumer_id: self.id().to_owned() })
    }

    /// RTP packets that come from now on, on a direct transport; elsewhere none comes. Ends with the consumer. Who is slow
    /// misses some, and is told how many. A consumer that begins paused lets the application listen before the first.
    pub fn rtp(&self) -> broadcast::Receiver<Bytes> {
        self.inner.entity.packets()
    }

    /// Sends nothing until resumed.
    pub async fn pause(&self) -> Result<(), Error> {
        self.inner.pause.set(&self.inner.entity, Request::ConsumerPause, true).await
    }

    /// Sends again, from a key frame on.
    pub async fn resume(&self) -> Result<(), Error> {
        self.inner.pause.set(&self.inner.entity, Request::ConsumerResume, false).await
    }

    /// Wants those layers at most. Returns those that it can have: none if it is not simulcast or SVC.
    pub async fn set_preferred_layers(&self, layers: PreferredLayers) -> Result<Option<ConsumerLayers>, Error> {
        let request = Request::ConsumerSetPreferredLayers(layers);
        let layers = self.inner.entity.ask_option(request).await?;
        lock(&self.inner.state).preferred_layers = layers;
        Ok(layers)
    }

    /// Sets its weight among the transport's consumers when bandwidth is short: 1 (lowest) to 255.
    pub async fn set_priority(&self, priority: u8) -> Result<(), Error> {
        if priority == 0 {
            return Err(Error::WrongOption("priority is 0"));
        }
        let request = Request::ConsumerSetPriority(Priority { priority });
        let Priority { priority } = self.inner.entity.ask(request).await?;
        lock(&self.inner.state).priority = priority;
        Ok(())
    }

    /// Sets its weight back to the lowest, as at first.
    pub async fn unset_priority(&self) -> Result<(), Error> {
        self.set_priority(LOWEST_PRIORITY).await
    }

    /// Asks the producer's endpoint for a key frame.
    pub async fn request_key_frame(&self) -> Result<(), Error> {
        self.inner.entity.tell(Request::ConsumerRequestKeyFrame).await
    }

    /// Traces those things from now on, and nothing else.
    pub async fn enable_trace_event(&self, types: Vec<TraceEventType>) -> Result<(), Error> {
        let request = Request::ConsumerEnableTraceEvent(EnableTraceEvent { types });
        self.inner.entity.tell(request).await
    }

    /// Statistics of the stream that is sent, and of the producer's that is forwarded.
    pub async fn get_stats(&self) -> Result<Vec<RtpStreamStat>, Error> {
        self.inner.entity.ask(Request::ConsumerGetStats).await
    }

    /// What it has.
    pub async fn dump(&self) -> Result<ConsumerDump, Error> {
        self.inner.entity.ask(Request::ConsumerDump).await
    }

    fn take(&self, event: Event) {
        let event = {
            let mut state = lock(&self.inner.state);
            match event {
                Event::ProducerClose => {
                    self.inner.producer_closed.store(true, Ordering::Relaxed);
                    // The worker has removed it already. Listeners are told by `take_close`.
                    self.inner.entity.closed_token().cancel();
                    return;
                }
                Event::ProducerPause => {
                    state.producer_paused = true;
                    ConsumerEvent::ProducerPause
                }
                Event::ProducerResume => {
                    state.producer_paused = false;
                    ConsumerEvent::ProducerResume
                }
                Event::ConsumerScore(score) => {
                    state.score = score.clone();
                    ConsumerEvent::Score(score)
                }
                Event::LayersChange(layers) => {
                    state.current_layers = layers;
                    ConsumerEvent::LayersChange(layers)
                }
                Event::Trace(trace) => ConsumerEvent::Trace(trace),
                other => {
                    debug!(consumer = self.id(), event = ?other, "unexpected event of a consumer");
                    return;
                }
            }
        };
        self.inner.entity.emit(event);
    }

    fn take_close(&self) {
        self.inner.entity.channel().forget_payloads(self.id());
        let producer_closed = self.inner.producer_closed.load(Ordering::Relaxed);
        self.inner.entity.emit(if self.inner.entity.closed_itself() {
            ConsumerEvent::Close
        } else if producer_closed {
            ConsumerEvent::ProducerClose
        } else {
            ConsumerEvent::TransportClose
        });
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("id", &self.id()).field("kind", &self.kind()).finish_non_exhaustive()
    }
}
