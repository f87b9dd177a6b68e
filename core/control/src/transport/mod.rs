//! What all transports have in common: they carry producers and consumers.

mod data;
mod media;
mod options;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use sfu_channel::dump::{SctpParameters, TransportDump};
use sfu_channel::notification::{DtlsStateChange, Event, TransportTrace};
use sfu_channel::request::{Bitrate, EnableTransportTraceEvent, Request, TransportId};
use sfu_channel::stats::TransportStat;
use sfu_channel::{IceState, SctpState, TransportTraceEventType, TransportTuple};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use self::options::{ConsumerOptions, DataConsumerOptions, DataProducerOptions, ProducerOptions};
use crate::channel::Subscription;
use crate::entity::{Entity, entity_accessors, lock, run_events};
use crate::error::Error;
use crate::router::Router;
use crate::stream_ids::StreamIds;

/// The common part of a transport's handle, which all kinds of transports deref to. Clones are the same transport,
/// which lives until it, its router, or its worker is closed.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<TransportEvent>,
    router: Router,
    /// Whether it was closed because the WebRTC server was whose ports it uses.
    closed_by_server: AtomicBool,
    next_mid: AtomicU32,
    /// The canonical name of all of the transport's producers: one endpoint has one clock.
    cname: Mutex<Option<String>>,
    /// The longest message that a direct transport takes, in bytes; `None` on other kinds.
    direct: Option<u32>,
    sctp_parameters: Option<SctpParameters>,
    sctp_state: Mutex<Option<SctpState>>,
    /// The streams of its data consumers; `None` without SCTP.
    stream_ids: Option<Mutex<StreamIds>>,
}

/// What happens to a transport.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// It was closed.
    Close,
    /// Its router, or that one's worker, was closed or died, and it is closed thereby.
    RouterClose,
    /// The WebRTC server whose ports it uses was closed, and it is closed thereby.
    WebRtcServerClose,
    /// The state of ICE changed (WebRTC).
    IceStateChange(IceState),
    /// Another tuple is nominated (WebRTC).
    IceSelectedTupleChange(TransportTuple),
    /// The state of DTLS changed (WebRTC).
    DtlsStateChange(DtlsStateChange),
    /// The state of SCTP changed.
    SctpStateChange(SctpState),
    /// It is known where RTP comes from (plain, comedia).
    Tuple(TransportTuple),
    /// It is known where RTCP comes from (plain, comedia).
    RtcpTuple(TransportTuple),
    /// Something of what is traced.
    Trace(TransportTrace),
}

impl Transport {
    pub(crate) fn new(router: Router, id: String, dump: TransportDump) -> Self {
        let closed = router.entity().child_token();
        Self {
            inner: Arc::new(Inner {
                entity: Entity::new(id, router.entity().channel().clone(), closed),
                router,
                closed_by_server: AtomicBool::new(false),
                next_mid: AtomicU32::new(0),
                cname: Mutex::default(),
                direct: dump.direct.then_some(dump.max_receive_message_size),
                stream_ids: dump.sctp_parameters.as_ref().map(|sctp| Mutex::new(StreamIds::new(sctp.mis))),
                sctp_parameters: dump.sctp_parameters,
                sctp_state: Mutex::new(dump.sctp_state),
            }),
        }
    }

    entity_accessors!(inner.entity => TransportEvent);

    /// The router that it belongs to.
    pub fn router(&self) -> &Router {
        &self.inner.router
    }

    /// SCTP's settings, when enabled.
    pub fn sctp_parameters(&self) -> Option<&SctpParameters> {
        self.inner.sctp_parameters.as_ref()
    }

    /// The state of SCTP, when enabled.
    pub fn sctp_state(&self) -> Option<SctpState> {
        *lock(&self.inner.sctp_state)
    }

    /// Closes it, and its producers and consumers. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        self.inner.entity.close(Some(self.router().id()), &self.close_request()).await
    }

    /// The same without waiting for the worker's answer.
    pub(crate) fn close_unheard(&self) {
        self.inner.entity.close_unheard(Some(self.router().id()), &self.close_request());
    }

    fn close_request(&self) -> Request {
        Request::RouterCloseTransport(TransportId { transport_id: self.id().to_owned() })
    }

    /// Its statistics.
    pub async fn get_stats(&self) -> Result<Vec<TransportStat>, Error> {
        self.inner.entity.ask(Request::TransportGetStats).await
    }

    /// Bounds what the peer may send, in bits per second; 0 for no bound.
    pub async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), Error> {
        let request = Request::TransportSetMaxIncomingBitrate(Bitrate { bitrate });
        self.inner.entity.tell(request).await
    }

    /// Bounds what is sent to the peer, in bits per second; 0 for no bound, else at least 30000.
    pub async fn set_max_outgoing_bitrate(&self, bitrate: u64) -> Result<(), Error> {
        let request = Request::TransportSetMaxOutgoingBitrate(Bitrate { bitrate });
        self.inner.entity.tell(request).await
    }

    /// Bounds the bandwidth estimate from below, in bits per second; 0 for no bound, else at least 30000.
    pub async fn set_min_outgoing_bitrate(&self, bitrate: u64) -> Result<(), Error> {
        let request = Request::TransportSetMinOutgoingBitrate(Bitrate { bitrate });
        self.inner.entity.tell(request).await
    }

    /// Traces those things from now on, and nothing else.
    pub async fn enable_trace_event(&self, types: Vec<TransportTraceEventType>) -> Result<(), Error> {
        let request = Request::TransportEnableTraceEvent(EnableTransportTraceEvent { types });
        self.inner.entity.tell(request).await
    }

    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.inner.entity.ask(request).await
    }

    /// Closes it when the server is closed whose ports it uses.
    pub(crate) fn close_with(&self, server_closed: CancellationToken) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let closed = inner.entity.closed_token();
            tokio::select! {
                biased;
                () = closed.cancelled() => {}
                () = server_closed.cancelled() => {
                    inner.closed_by_server.store(true, Ordering::Relaxed);
                    closed.cancel();
                }
            }
        });
    }

    /// The longest message that it takes, in bytes, if it is a direct transport.
    pub(crate) fn direct(&self) -> Option<u32> {
        self.inner.direct
    }

    /// Takes what happens to it: events of its kind are `on_event`'s, which says what listeners hear, `None` if it does not
    /// know the event; `on_close` is called before listeners hear that it is closed.
    pub(crate) fn follow(
        &self,
        events: Subscription,
        mut on_event: impl FnMut(&Event) -> Option<TransportEvent> + Send + 'static,
        on_close: impl FnOnce() + Send + 'static,
    ) {
        let (listening, closing) = (self.clone(), self.clone());
        run_events(
            events,
            self.inner.entity.closed_token().clone(),
            move |event| {
                let heard = match event {
                    Event::SctpStateChange(state) => {
                        *lock(&listening.inner.sctp_state) = Some(state);
                        Some(TransportEvent::SctpStateChange(state))
                    }
                    Event::TransportTrace(trace) => return listening.inner.entity.emit(TransportEvent::Trace(trace)),
                    ref of_its_kind => on_event(of_its_kind),
                };
                match heard {
                    Some(heard) => listening.inner.entity.emit(heard),
                    None => debug!(transport = listening.id(), ?event, "unexpected event of a transport"),
                }
            },
            move || {
                on_close();
                closing.take_close();
            },
        );
    }

    fn take_close(&self) {
        let mut sctp_state = lock(&self.inner.sctp_state);
        *sctp_state = sctp_state.map(|_| SctpState::Closed);
        drop(sctp_state);
        let entity = &self.inner.entity;
        let by_server = self.inner.closed_by_server.load(Ordering::Relaxed) && !self.router().closed();
        entity.emit(match (entity.closed_itself(), by_server) {
            (true, _) => TransportEvent::Close,
            (false, true) => TransportEvent::WebRtcServerClose,
            (false, false) => TransportEvent::RouterClose,
        });
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("id", &self.id()).finish_non_exhaustive()
    }
}
