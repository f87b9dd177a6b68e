//! What all handles have in common: an id, requests, events, and an end.
//!
//! Closing goes from parents to children by tokens: a child's token is cancelled with its parent's. Each entity has one
//! task that takes its events from the channel in order, and that ends with the entity.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use sfu_channel::notification::Event;
use sfu_channel::request::Request;
use tokio::sync::broadcast;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Subscription};
use crate::data_message::DataMessage;
use crate::error::Error;
use crate::payload_channel::PayloadChannel;

/// Events that a slow listener may be behind before it misses some.
const EVENT_QUEUE: usize = 256;

/// The common part of a handle. `E` is the type of its events.
pub(crate) struct Entity<E> {
    id: String,
    channel: Channel,
    closed: CancellationToken,
    /// Whether it is this entity that was closed, rather than one that it belongs to.
    closed_itself: AtomicBool,
    events: broadcast::Sender<E>,
}

impl<E: Clone> Entity<E> {
    pub(crate) fn new(id: String, channel: Channel, closed: CancellationToken) -> Self {
        Self { id, channel, closed, closed_itself: AtomicBool::new(false), events: broadcast::Sender::new(EVENT_QUEUE) }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A token for something that ends with this entity.
    pub(crate) fn child_token(&self) -> CancellationToken {
        self.closed.child_token()
    }

    pub(crate) fn closed_token(&self) -> &CancellationToken {
        &self.closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(crate) fn closed_itself(&self) -> bool {
        self.closed_itself.load(Ordering::Relaxed)
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    /// The packets that the payload channel brings to it from now on, until it is closed.
    pub(crate) fn packets(&self) -> broadcast::Receiver<Bytes> {
        self.payloads(PayloadChannel::packets)
    }

    /// The messages that the payload channel brings to it from now on, until it is closed.
    pub(crate) fn messages(&self) -> broadcast::Receiver<DataMessage> {
        self.payloads(PayloadChannel::messages)
    }

    fn payloads<T: Clone>(
        &self,
        listen: impl FnOnce(&PayloadChannel, &str) -> broadcast::Receiver<T>,
    ) -> broadcast::Receiver<T> {
        // Without a channel they have ended: the sender is dropped here.
        let listener = self.channel.payload().map(|channel| listen(channel, &self.id));
        // What is closed is forgotten once, which may have been just before.
        if self.is_closed() {
            self.channel.forget_payloads(&self.id);
        }
        listener.unwrap_or_else(|_| broadcast::channel(1).1)
    }

    /// Marks it closed, and everything that belongs to it. False if it was closed before.
    pub(crate) fn close_locally(&self) -> bool {
        if self.is_closed() || self.closed_itself.swap(true, Ordering::Relaxed) {
            return false;
        }
        self.closed.cancel();
        true
    }

    /// Closes it by a request to what it belongs to; `None` is the worker. Closing it again does nothing.
    pub(crate) async fn close(&self, parent: Option<&str>, request: &Request) -> Result<(), Error> {
        if !self.close_locally() {
            return Ok(());
        }
        self.channel.close(parent, request).await
    }

    /// The same without waiting for the answer.
    pub(crate) fn close_unheard(&self, parent: Option<&str>, request: &Request) {
        if self.close_locally() {
            self.channel.close_unheard(parent, request);
        }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<E> {
        self.events.subscribe()
    }

    pub(crate) fn emit(&self, event: E) {
        // An error only means that nobody listens.
        let _ = self.events.send(event);
    }

    /// Sends it a request whose answer has no data.
    pub(crate) async fn tell(&self, request: Request) -> Result<(), Error> {
        self.check_open()?;
        self.channel.request(Some(&self.id), &request).await.map(drop)
    }

    /// Sends it a request whose answer may have data.
    pub(crate) async fn ask_option<T: DeserializeOwned>(&self, request: Request) -> Result<Option<T>, Error> {
        self.check_open()?;
        let data = self.channel.request(Some(&self.id), &request).await?;
        let data = data.as_ref().map(sfu_channel::json::from_value).transpose();
        data.map_err(|source| Error::BadReply { method: request.method(), source })
    }

    /// Sends it a request whose answer has data.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.check_open()?;
        self.channel.ask(Some(&self.id), &request).await
    }
}

/// What all handles offer; `$entity` is where a handle keeps its entity.
macro_rules! entity_accessors {
    ($($entity:ident).+ => $event:ty) => {
        /// Its id.
        pub fn id(&self) -> &str {
            self.entity().id()
        }

        /// Whether it is closed.
        pub fn closed(&self) -> bool {
            self.entity().is_closed()
        }

        /// Waits until it is closed.
        pub async fn wait_closed(&self) {
            self.entity().closed_token().cancelled().await;
        }

        /// What happens to it from now on.
        pub fn events(&self) -> tokio::sync::broadcast::Receiver<$event> {
            self.entity().listen()
        }

        pub(crate) fn entity(&self) -> &$crate::entity::Entity<$event> {
            &self.$($entity).+
        }
    };
}
pub(crate) use entity_accessors;

/// Whether the worker has paused an entity.
pub(crate) struct Pause {
    paused: AtomicBool,
    /// Held while the worker pauses or resumes it, so that what it does last is what is known of it.
    changing: tokio::sync::Mutex<()>,
}

impl Pause {
    pub(crate) fn new(paused: bool) -> Self {
        Self { paused: AtomicBool::new(paused), changing: tokio::sync::Mutex::default() }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Sends the entity the request that pauses or resumes it.
    pub(crate) async fn set<E: Clone>(&self, entity: &Entity<E>, request: Request, paused: bool) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        entity.tell(request).await?;
        self.paused.store(paused, Ordering::Relaxed);
        Ok(())
    }
}

/// Hands events to `on_event` until the entity is closed, then calls `on_close`.
pub(crate) fn run_events(
    mut events: Subscription,
    closed: CancellationToken,
    mut on_event: impl FnMut(Event) + Send + 'static,
    on_close: impl FnOnce() + Send + 'static,
) {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Some(event) => on_event(event),
                    None => break,
                },
                () = closed.cancelled() => break,
            }
        }
        // The channel may have ended before the worker's handle knows.
        closed.cancelled().await;
        on_close();
    });
}

/// Locks what is only ever held for a moment, by code that does not panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the channel can carry an id that the application has chosen: requests separate their fields by colons, and
/// write what is absent as `undefined`.
pub(crate) fn check_id(id: &str) -> Result<(), Error> {
    match id {
        "" => Err(Error::WrongOption("id is empty")),
        "undefined" => Err(Error::WrongOption("id is `undefined`")),
        _ if id.contains(':') => Err(Error::WrongOption("id has a colon")),
        _ => Ok(()),
    }
}

/// An id for a new entity.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
