//! The library's end of a worker's channel: requests out, each with its answer; notifications in, by entity.
//!
//! Two tasks: one writes the frames that wait in a bounded queue, so that a worker that does not read slows its callers
//! down; one reads, and ends with the channel. Once it has ended, all that waits fails and nothing new is taken.
//!
//! Callers may give up at any time, since futures are dropped. What they asked to be made is closed again when the
//! worker says that it is there, and what they asked to be closed is closed: requests to close have a queue that never
//! makes one wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use sfu_channel::MAX_FRAME_PAYLOAD;
use sfu_channel::json::{FromWorker, from_value, write_request};
use sfu_channel::log::{LogKind, LogLine};
use sfu_channel::notification::{Event, Notification, Target};
use sfu_channel::request::Request;
use sfu_channel::response::{Refusal, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::error::Error;
use crate::payload_channel::PayloadChannel;

/// Requests that may wait to be written before callers have to wait.
const WRITE_QUEUE: usize = 64;
/// Events of one entity that may wait before some are lost. They are taken as they come, unless nothing gets its turn.
const EVENT_QUEUE: usize = 1024;

/// A client of one worker's channel. Clones share it.
#[derive(Clone)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    queue: mpsc::Sender<Bytes>,
    /// Frames that close something: at most one for each entity that was made, so that they need no bound.
    closing: mpsc::UnboundedSender<Bytes>,
    timeout: Duration,
    ended: CancellationToken,
    /// The channel beside this one, for what is binary.
    payload: OnceLock<PayloadChannel>,
}

/// What an answer says: data, if there is any, or why not.
type Outcome = Result<Option<Value>, Refusal>;

struct State {
    last_id: u32,
    last_subscription: u64,
    /// Requests without an answer, by id.
    waiting: HashMap<u32, Waiting>,
    /// Where events go, by entity: one listener, or two while one replaces the other.
    subscribers: HashMap<String, Vec<Subscriber>>,
    /// Set once nothing will come any more.
    ended: bool,
}

enum Waiting {
    /// Somebody waits for the answer.
    Caller(oneshot::Sender<Outcome>),
    /// Nobody does any more; if the worker accepts, this is to be sent.
    Orphan(Box<Undo>),
}

/// A request that closes what another one has made.
struct Undo {
    entity: Option<String>,
    request: Request,
}

struct Subscriber {
    number: u64,
    events: mpsc::Sender<Event>,
    /// Events that found its queue full.
    lost: u64,
}

impl Channel {
    /// Takes over both directions of a channel. Requests that get no answer within `timeout` fail. Returns the events
    /// of `first` too, of which none is missed.
    pub(crate) fn start<W, R>(to_worker: W, from_worker: R, timeout: Duration, first: String) -> (Self, Subscription)
    where
        W: AsyncWrite + Send + Unpin + 'static,
        R: AsyncRead + Send + Unpin + 'static,
    {
        let (queue, frames) = mpsc::channel(WRITE_QUEUE);
        let (closing, closing_frames) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                last_id: 0,
                last_subscription: 0,
                waiting: HashMap::new(),
                subscribers: HashMap::new(),
                ended: false,
            }),
            queue,
            closing,
            timeout,
            ended: CancellationToken::new(),
            payload: OnceLock::new(),
        });
        let channel = Self { shared };
        let events = channel.subscribe(first);
        tokio::spawn(write_frames(frames, closing_frames, to_worker, channel.shared.clone()));
        tokio::spawn(read_frames(from_worker, channel.shared.clone()));
        (channel, events)
    }

    /// Sends a request to an entity (`None` for the worker itself) and waits for its answer's data. If the request makes
    /// something, and this future is dropped or times out, what is made is closed again.
    pub(crate) async fn request(&self, entity: Option<&str>, request: &Request) -> Result<Option<Value>, Error> {
        let exchange = async {
            let (mut pending, frame) = self.begin(entity, request)?;
            self.shared.queue.send(frame).await.map_err(|_| Error::Closed)?;
            pending.sent = true;
            pending.answer().await
        };
        self.in_time(request, exchange).await
    }

    /// Sends a request that closes something. It is sent even if this future is dropped as soon as it has begun.
    pub(crate) async fn close(&self, entity: Option<&str>, request: &Request) -> Result<(), Error> {
        let exchange = async {
            let (mut pending, frame) = self.begin(entity, request)?;
            self.shared.closing.send(frame).map_err(|_| Error::Closed)?;
            pending.sent = true;
            pending.answer().await
        };
        self.in_time(request, exchange).await.map(drop)
    }

    /// Sends a request that closes something, whose answer nobody waits for.
    pub(crate) fn close_unheard(&self, entity: Option<&str>, request: &Request) {
        self.shared.close_unheard(entity, request);
    }

    /// The same as [`Channel::request`], for a request whose answer has data.
    pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        entity: Option<&str>,
        request: &Request,
    ) -> Result<T, Error> {
        let data = self.request(entity, request).await?.unwrap_or_default();
        from_value(&data).map_err(|source| {
            // Without its answer there is no handle by which it could be closed.
            if let Some(undo) = Undo::of(entity, request) {
                self.shared.undo(&undo);
            }
            Error::BadReply { method: request.method(), source }
        })
    }

    /// Registers a request, and writes its frame.
    fn begin(&self, entity: Option<&str>, request: &Request) -> Result<(Pending<'_>, Bytes), Error> {
        let mut state = self.shared.state();
        if state.ended {
            return Err(Error::Closed);
        }
        let id = state.next_id();
        let frame = Bytes::from(write_request(id, entity, request));
        if frame.len() > MAX_FRAME_PAYLOAD {
            return Err(Error::TooLong { method: request.method(), bytes: frame.len() });
        }
        let (sender, answer) = oneshot::channel();
        state.waiting.insert(id, Waiting::Caller(sender));
        Ok((Pending { shared: &self.shared, id, answer, sent: false, undo: Undo::of(entity, request) }, frame))
    }

    async fn in_time<T>(
        &self,
        request: &Request,
        exchange: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.shared.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout(request.method())),
        }
    }

    /// Events of an entity from now on. To miss none, subscribe before the request that creates it is sent.
    pub(crate) fn subscribe(&self, entity: String) -> Subscription {
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let mut state = self.shared.state();
        state.last_subscription += 1;
        let number = state.last_subscription;
        // After the end the sender is dropped here, and with it the stream of events ends.
        if !state.ended {
            let subscriber = Subscriber { number, events: sender, lost: 0 };
            state.subscribers.entry(entity.clone()).or_default().push(subscriber);
        }
        drop(state);
        Subscription { channel: self.clone(), entity, number, events }
    }

    /// Opens the channel for what is binary, which ends with this one. To be called once.
    pub(crate) fn open_payload_channel(
        &self,
        to_worker: impl AsyncWrite + Unpin + Send + 'static,
        from_worker: impl AsyncRead + Unpin + Send + 'static,
    ) {
        let Shared { timeout, ended, payload, .. } = &*self.shared;
        payload.get_or_init(|| PayloadChannel::start(to_worker, from_worker, *timeout, ended.clone()));
    }

    /// The channel for what is binary.
    pub(crate) fn payload(&self) -> Result<&PayloadChannel, Error> {
        self.shared.payload.get().ok_or(Error::Closed)
    }

    /// What the payload channel brings to an entity has come to its end.
    pub(crate) fn forget_payloads(&self, id: &str) {
        if let Some(payload) = self.shared.payload.get() {
            payload.forget(id);
        }
    }

    /// Waits until the worker's end is closed or broken.
    pub(crate) async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }

    /// Takes no more requests, and lets those that wait fail.
    pub(crate) fn end(&self) {
        self.shared.end();
    }
}

impl Undo {
    fn of(entity: Option<&str>, request: &Request) -> Option<Box<Self>> {
        request.undo().map(|request| Box::new(Self { entity: entity.map(str::to_owned), request }))
    }
}

/// A request on its way, whose answer somebody waits for until this is dropped.
struct Pending<'a> {
    shared: &'a Shared,
    id: u32,
    answer: oneshot::Receiver<Outcome>,
    /// Whether the worker will see it.
    sent: bool,
    undo: Option<Box<Undo>>,
}

impl Pending<'_> {
    async fn answer(mut self) -> Result<Option<Value>, Error> {
        Ok((&mut self.answer).await.map_err(|_| Error::Closed)??)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let undo = self.undo.take().filter(|_| self.sent);
        let mut state = self.shared.state();
        match (state.waiting.remove(&self.id), undo) {
            // The answer will come, and nobody takes it.
            (Some(_), Some(undo)) => drop(state.waiting.insert(self.id, Waiting::Orphan(undo))),
            // It has come already. Has it been taken?
            (None, Some(undo)) => {
                drop(state);
                if matches!(self.answer.try_recv(), Ok(Ok(_))) {
                    self.shared.undo(&undo);
                }
            }
            (_, None) => {}
        }
    }
}

/// The events of one entity, in order. Ends with the channel; unsubscribes when dropped.
pub(crate) struct Subscription {
    channel: Channel,
    entity: String,
    number: u64,
    events: mpsc::Receiver<Event>,
}

impl Subscription {
    /// The next event; `None` when the channel has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.channel.shared.state();
        if let Some(subscribers) = state.subscribers.get_mut(&self.entity) {
            subscribers.retain(|subscriber| subscriber.number != self.number);
            if subscribers.is_empty() {
                state.subscribers.remove(&self.entity);
            }
        }
    }
}

impl State {
    /// Counts up from 1, wraps to 1, and leaves out ids that still wait.
    fn next_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl Shared {
    /// No code panics while it holds the lock; were it to, the maps would still be whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.waiting.clear();
        state.subscribers.clear();
        drop(state);
        self.ended.cancel();
    }

    fn take(&self, frame: &[u8]) {
        match FromWorker::parse(frame) {
            Ok(FromWorker::Response(response)) => self.take_response(response),
            Ok(FromWorker::Notification(notification)) => self.take_notification(notification),
            Ok(FromWorker::Log(line)) => log(&line),
            Err(error) => warn!("ignoring a frame of the worker's: {error}"),
        }
    }

    fn take_response(&self, response: Response<Value>) {
        let mut state = self.state();
        match state.waiting.remove(&response.id) {
            // The lock is held, so that a caller who goes away finds the answer either here or in its own hands.
            Some(Waiting::Caller(sender)) => drop(sender.send(response.outcome)),
            Some(Waiting::Orphan(undo)) => {
                drop(state);
                if response.outcome.is_ok() {
                    self.undo(&undo);
                }
            }
            None => debug!(id = response.id, "nobody waits for this answer"),
        }
    }

    /// Closes what nobody has a handle of.
    fn undo(&self, undo: &Undo) {
        debug!(method = %undo.request.method(), "closing what nobody waits for any more");
        self.close_unheard(undo.entity.as_deref(), &undo.request);
    }

    fn close_unheard(&self, entity: Option<&str>, request: &Request) {
        let id = self.state().next_id();
        let frame = write_request(id, entity, request);
        // Nobody takes the queue any more once the channel has ended; then the worker is gone, or will be.
        let _ = self.closing.send(Bytes::from(frame));
    }

    fn take_notification(&self, notification: Notification) {
        let entity = match notification.target {
            Target::Worker(pid) => pid.to_string(),
            Target::Entity(id) => id,
        };
        let mut state = self.state();
        let Some(subscribers) = state.subscribers.get_mut(&entity) else {
            debug!(entity, event = ?notification.event, "nobody listens for this event");
            return;
        };
        for subscriber in subscribers {
            if let Err(TrySendError::Full(event)) = subscriber.events.try_send(notification.event.clone()) {
                subscriber.lost += 1;
                if subscriber.lost.is_power_of_two() {
                    warn!(entity, ?event, lost = subscriber.lost, "the event is lost: too many wait");
                }
            }
        }
    }
}

fn log(line: &LogLine) {
    let text = &line.text;
    match line.kind {
        LogKind::Debug => debug!(target: "sfu_worker", "{text}"),
        LogKind::Warn => warn!(target: "sfu_worker", "{text}"),
        LogKind::Error => error!(target: "sfu_worker", "{text}"),
        LogKind::Dump => info!(target: "sfu_worker", "{text}"),
    }
}

/// Frames are a length of 4 bytes in host byte order, and the payload.
pub(crate) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .length_field_length(4)
        .native_endian()
        .max_frame_length(MAX_FRAME_PAYLOAD)
        .new_codec()
}

async fn write_frames<W>(
    mut frames: mpsc::Receiver<Bytes>,
    mut closing: mpsc::UnboundedReceiver<Bytes>,
    to_worker: W,
    shared: Arc<Shared>,
) where
    W: AsyncWrite + Unpin,
{
    let mut sink = FramedWrite::new(to_worker, codec());
    let write = async {
        loop {
            let frame = tokio::select! {
                biased;
                Some(frame) = closing.recv() => frame,
                Some(frame) = frames.recv() => frame,
                else => return,
            };
            if let Err(error) = sink.send(frame).await {
                debug!("can't write to the worker: {error}");
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = shared.ended.cancelled() => {}
    }
    // A worker that takes no requests is of no use, even if it still writes.
    shared.end();
}

async fn read_frames<R: AsyncRead + Unpin>(from_worker: R, shared: Arc<Shared>) {
    let mut stream = FramedRead::new(from_worker, codec());
    loop {
        let frame = tokio::select! {
            frame = stream.next() => frame,
            () = shared.ended.cancelled() => break,
        };
        match frame {
            Some(Ok(frame)) => shared.take(&frame),
            Some(Err(error)) => {
                warn!("the worker's channel is broken: {error}");
                break;
            }
            None => break,
        }
    }
    shared.end();
}

#[cfg(test)]
mod tests;
