//! RTP observers: they listen to a router's audio producers, and tell who is loud or who speaks.

use std::sync::Arc;

use sfu_channel::notification::{AudioVolume, Event};
use sfu_channel::request::{ProducerId, Request, RtpObserverId};
use tracing::debug;

use crate::channel::Subscription;
use crate::entity::{Entity, Pause, entity_accessors, run_events};
use crate::error::Error;
use crate::router::Router;

/// An RTP observer's handle: [`Router::create_audio_level_observer`] and [`Router::create_active_speaker_observer`] make
/// them. Clones are the same observer, which lives until it, its router, or its worker is closed.
#[derive(Clone)]
pub struct RtpObserver {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<RtpObserverEvent>,
    router: Router,
    pause: Pause,
}

/// What happens to an RTP observer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtpObserverEvent {
    /// It was closed.
    Close,
    /// Its router, or that one's worker, was closed or died, and it is closed thereby.
    RouterClose,
    /// The loudest producers of the last interval, loudest first (audio levels).
    Volumes(Vec<AudioVolume>),
    /// None is loud any more (audio levels).
    Silence,
    /// The producer of that id has become the dominant speaker (active speaker).
    DominantSpeaker(String),
}

/// How an observer of audio levels is made.
#[derive(Debug, Clone, Copy)]
pub struct AudioLevelObserverOptions {
    /// The most producers that are reported, at least 1.
    pub max_entries: u16,
    /// The lowest volume that is reported, -127 to 0 dBov.
    pub threshold: i8,
    /// Milliseconds between reports; the worker keeps it within 250 to 5000.
    pub interval: i32,
}

impl Default for AudioLevelObserverOptions {
    /// One producer, from -80 dBov on, each second.
    fn default() -> Self {
        Self { max_entries: 1, threshold: -80, interval: 1000 }
    }
}

impl RtpObserver {
    pub(crate) fn new(router: Router, id: String, events: Subscription) -> Self {
        let token = router.entity().child_token();
        let entity = Entity::new(id, router.entity().channel().clone(), token.clone());
        let observer = Self { inner: Arc::new(Inner { entity, router, pause: Pause::new(false) }) };
        let (on_event, on_close) = (observer.clone(), observer.clone());
        run_events(events, token, move |event| on_event.take(event), move || on_close.take_close());
        observer
    }

    entity_accessors!(inner.entity => RtpObserverEvent);

    /// The router whose producers it listens to.
    pub fn router(&self) -> &Router {
        &self.inner.router
    }

    /// Lets it listen to an audio producer of its router.
    pub async fn add_producer(&self, producer_id: &str) -> Result<(), Error> {
        let producer_id = self.known_producer(producer_id)?;
        self.inner.entity.tell(Request::RtpObserverAddProducer(producer_id)).await
    }

    /// Lets it listen to a producer no more.
    pub async fn remove_producer(&self, producer_id: &str) -> Result<(), Error> {
        let producer_id = self.known_producer(producer_id)?;
        self.inner.entity.tell(Request::RtpObserverRemoveProducer(producer_id)).await
    }

    /// Whether it is paused.
    pub fn paused(&self) -> bool {
        self.inner.pause.is_paused()
    }

    /// Stops it. Stopping it again does nothing.
    pub async fn pause(&self) -> Result<(), Error> {
        self.inner.pause.set(&self.inner.entity, Request::RtpObserverPause, true).await
    }

    /// Lets it go on.
    pub async fn resume(&self) -> Result<(), Error> {
        self.inner.pause.set(&self.inner.entity, Request::RtpObserverResume, false).await
    }

    /// Closes it. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        let request = Request::RouterCloseRtpObserver(RtpObserverId { rtp_observer_id: self.id().to_owned() });
        self.inner.entity.close(Some(self.inner.router.id()), &request).await
    }

    fn known_producer(&self, id: &str) -> Result<ProducerId, Error> {
        match self.inner.router.producer(id) {
            Some(_) => Ok(ProducerId { producer_id: id.to_owned() }),
            None => Err(Error::ProducerNotFound(id.to_owned())),
        }
    }

    fn take(&self, event: Event) {
        let event = match event {
            Event::Volumes(volumes) => RtpObserverEvent::Volumes(volumes),
            Event::Silence => RtpObserverEvent::Silence,
            Event::DominantSpeaker(producer_id) => RtpObserverEvent::DominantSpeaker(producer_id),
            other => {
                debug!(observer = self.id(), event = ?other, "unexpected event of an RTP observer");
                return;
            }
        };
        self.inner.entity.emit(event);
    }

    fn take_close(&self) {
        let entity = &self.inner.entity;
        entity.emit(if entity.closed_itself() { RtpObserverEvent::Close } else { RtpObserverEvent::RouterClose });
    }
}

impl std::fmt::Debug for RtpObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtpObserver").field("id", &self.id()).finish_non_exhaustive()
    }
}
