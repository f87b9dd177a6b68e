//! The library's end of a worker's channel: requests out, each with its answer; notifications in, by entity.
//!
//! Two tasks: one writes the frames that wait in a bounded queue, so that a worker that does not read slows its callers
//! down; one reads, and ends with the channel. Once it has ended, all that waits fails and nothing new is taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::error::Error;

/// Requests that may wait to be written before callers have to wait.
const WRITE_QUEUE: usize = 64;

/// A client of one worker's channel. Clones share it.
#[derive(Clone)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    queue: mpsc::Sender<Bytes>,
    timeout: Duration,
    ended: CancellationToken,
}

/// What an answer says: data, if there is any, or why not.
type Outcome = Result<Option<Value>, Refusal>;

struct State {
    last_id: u32,
    /// Where answers go, by request id.
    waiting: HashMap<u32, oneshot::Sender<Outcome>>,
    /// Where events go, by entity.
    subscribers: HashMap<String, mpsc::UnboundedSender<Event>>,
    /// Set once nothing will come any more.
    ended: bool,
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
        let shared = Arc::new(Shared {
            state: Mutex::new(State { last_id: 0, waiting: HashMap::new(), subscribers: HashMap::new(), ended: false }),
            queue,
            timeout,
            ended: CancellationToken::new(),
        });
        let channel = Self { shared };
        let events = channel.subscribe(first);
        tokio::spawn(write_frames(frames, to_worker, channel.shared.ended.clone()));
        tokio::spawn(read_frames(from_worker, channel.shared.clone()));
        (channel, events)
    }

    /// Sends a request to an entity (`None` for the worker itself) and waits for its answer's data.
    pub(crate) async fn request(&self, entity: Option<&str>, request: &Request) -> Result<Option<Value>, Error> {
        let method = request.method();
        let exchange = async {
            let (answer, id) = self.expect_answer().ok_or(Error::Closed)?;
            // Forgets the request when this future is dropped, so that answers nobody waits for leave nothing behind.
            let _forget = Forget { channel: self, id };
            let frame = Bytes::from(write_request(id, entity, request));
            if frame.len() > MAX_FRAME_PAYLOAD {
                let bytes = frame.len();
                return Err(Error::TooLong { method, bytes });
            }
            self.shared.queue.send(frame).await.map_err(|_| Error::Closed)?;
            Ok(answer.await.map_err(|_| Error::Closed)??)
        };
        match tokio::time::timeout(self.shared.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout(method)),
        }
    }

    /// The same, for a request whose answer has data.
    pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        entity: Option<&str>,
        request: &Request,
    ) -> Result<T, Error> {
        let data = self.request(entity, request).await?.unwrap_or_default();
        from_value(&data).map_err(|source| Error::BadReply { method: request.method(), source })
    }

    /// Events of an entity from now on. To miss none, subscribe before the request that creates it is sent.
    pub(crate) fn subscribe(&self, entity: String) -> Subscription {
        let (sender, events) = mpsc::unbounded_channel();
        let mut state = self.shared.state();
        // After the end the sender is dropped here, and with it the stream of events ends.
        if !state.ended {
            state.subscribers.insert(entity.clone(), sender);
        }
        drop(state);
        Subscription { channel: self.clone(), entity, events }
    }

    /// Waits until the worker's end is closed or broken.
    pub(crate) async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }

    /// Takes no more requests, and lets those that wait fail.
    pub(crate) fn end(&self) {
        self.shared.end();
    }

    fn expect_answer(&self) -> Option<(oneshot::Receiver<Outcome>, u32)> {
        let mut state = self.shared.state();
        if state.ended {
            return None;
        }
        let id = state.next_id();
        let (sender, answer) = oneshot::channel();
        state.waiting.insert(id, sender);
        Some((answer, id))
    }
}

/// Forgets a request when dropped.
struct Forget<'a> {
    channel: &'a Channel,
    id: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.channel.shared.state().waiting.remove(&self.id);
    }
}

/// The events of one entity, in order. Ends with the channel; unsubscribes when dropped.
pub(crate) struct Subscription {
    channel: Channel,
    entity: String,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Subscription {
    /// The next event; `None` when the channel has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.channel.shared.state().subscribers.remove(&self.entity);
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
        match self.state().waiting.remove(&response.id) {
            // The caller may have gone away in between.
            Some(sender) => drop(sender.send(response.outcome)),
            None => debug!(id = response.id, "nobody waits for this answer"),
        }
    }

    fn take_notification(&self, notification: Notification) {
        let entity = match notification.target {
            Target::Worker(pid) => pid.to_string(),
            Target::Entity(id) => id,
        };
        match self.state().subscribers.get(&entity) {
            Some(subscriber) => drop(subscriber.send(notification.event)),
            None => debug!(entity, event = ?notification.event, "nobody listens for this event"),
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

async fn write_frames<W>(mut frames: mpsc::Receiver<Bytes>, to_worker: W, ended: CancellationToken)
where
    W: AsyncWrite + Unpin,
{
    let mut sink = FramedWrite::new(to_worker, codec());
    let write = async {
        while let Some(frame) = frames.recv().await {
            if let Err(error) = sink.send(frame).await {
                debug!("can't write to the worker: {error}");
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = ended.cancelled() => {}
    }
    // Dropping the queue's receiver refuses further requests; the reader notices the end on its own side.
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
