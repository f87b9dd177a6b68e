//! A protoo peer over an accepted WebSocket.
//!
//! Two tasks serve a connection. One reads: it hands requests over in their order and matches responses to the
//! requests that wait for them. The other writes what has been queued, and pings. What is sent through one
//! [`Connection`] therefore arrives in the order of the calls.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::{self, CloseFrame, WebSocket};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde_json::{Number, Value};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::message::{ErrorResponse, Message};

/// A ping goes out this often.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// A client that has not answered a ping, or has not taken a message, within this time is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that may wait to be sent; a client that lets more pile up is cut off.
const SEND_QUEUE: usize = 4096;
/// Requests that may wait to be handled; beyond, the socket is not read.
const REQUEST_QUEUE: usize = 256;

/// How the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client must stay away: it was replaced by a newer connection of the same peer.
    Replaced,
    /// The client must stay away: what it asks for is never possible, for this reason of at most 123 bytes.
    Refused(&'static str),
    /// The client must stay away: it has ended, or failed at, the encryption of a transport.
    DtlsEnded,
    /// The server stops; the client may try again.
    Shutdown,
    /// What the client's room ran on is gone; the client comes back at once to a fresh one.
    Restart,
}

impl CloseReason {
    fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::Replaced => (4000, "this peer connected again from elsewhere"),
            Self::Refused(reason) => (4000, reason),
            Self::DtlsEnded => (4000, "the encrypted connection for media has ended"),
            Self::Shutdown => (1001, "the server is stopping"),
            Self::Restart => (1012, "the room moves to another worker"),
        };
        CloseFrame { code, reason: reason.into() }
    }
}

/// A request of the client.
#[derive(Debug)]
pub struct Request {
    /// To be echoed in [`Connection::respond`].
    pub id: Number,
    /// What it asks for.
    pub method: String,
    /// The arguments.
    pub data: Value,
}

/// Why a request of ours has no answer.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RequestError {
    /// The client refused.
    #[error("the client refused: {0}")]
    Refused(#[from] ErrorResponse),
    /// The client did not answer in time.
    #[error("the client did not answer in time")]
    Timeout,
    /// The connection ended first.
    #[error("the connection is closed")]
    Closed,
}

type Waiting = oneshot::Sender<Result<Value, ErrorResponse>>;

/// The sending face of a connection. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<ws::Message>,
    waiting: Mutex<HashMap<u32, Waiting>>,
    next_id: AtomicU32,
    closed: CancellationToken,
}

impl Connection {
    /// Takes over an accepted WebSocket. The receiver yields the client's requests until the connection ends.
    #[must_use]
    pub fn open(socket: WebSocket) -> (Self, mpsc::Receiver<Request>) {
        let (queue, queued) = mpsc::channel(SEND_QUEUE);
        let (requests, receiver) = mpsc::channel(REQUEST_QUEUE);
        let (sink, stream) = socket.split();
        let (heard, hearing) = mpsc::channel(1);
        let connection = Self(Arc::new(Inner {
            queue,
            waiting: Mutex::default(),
            next_id: AtomicU32::new(1),
            closed: CancellationToken::new(),
        }));
        tokio::spawn(write(sink, queued, hearing, connection.0.closed.clone()));
        tokio::spawn(connection.clone().read(stream, requests, heard));
        (connection, receiver)
    }

    /// Answers a request.
    pub fn respond(&self, id: Number, result: Result<Value, ErrorResponse>) {
        self.send(&Message::Response { id, result });
    }

    /// Tells the client something.
    pub fn notify(&self, method: &str, data: Value) {
        self.send(&Message::Notification { method: method.into(), data });
    }

    /// Asks the client something.
    ///
    /// The request is queued at the first poll; the time allowed grows with the number of requests that wait.
    ///
    /// # Errors
    ///
    /// [`RequestError`] when the client refuses, is silent, or leaves.
    pub async fn request(&self, method: &str, data: Value) -> Result<Value, RequestError> {
        if self.is_closed() {
            return Err(RequestError::Closed);
        }
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        let pending = {
            let mut waiting = self.waiting();
            waiting.insert(id, sender);
            u32::try_from(waiting.len()).unwrap_or(u32::MAX)
        };
        self.send(&Message::Request { id: id.into(), method: method.into(), data });
        let allowed = Duration::from_secs(30).saturating_add(Duration::from_millis(200).saturating_mul(pending - 1));
        let result = tokio::select! {
            answer = timeout(allowed, answer) => match answer {
                Ok(Ok(result)) => result.map_err(RequestError::Refused),
                Ok(Err(_)) => Err(RequestError::Closed),
                Err(_) => Err(RequestError::Timeout),
            },
            () = self.0.closed.cancelled() => Err(RequestError::Closed),
        };
        self.waiting().remove(&id);
        result
    }

    /// Ends the connection after what has been queued. Nothing more is read from it.
    pub fn close(&self, reason: CloseReason) {
        self.queue(ws::Message::Close(Some(reason.frame())));
    }

    /// Pings now, so that a client that has vanished is noticed within ten seconds.
    pub fn probe(&self) {
        self.queue(ws::Message::Ping(ws_payload()));
    }

    /// Resolves when the connection has ended.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    fn send(&self, message: &Message) {
        self.queue(ws::Message::Text(message.to_text().into()));
    }

    fn queue(&self, message: ws::Message) {
        if self.0.queue.try_send(message).is_err() && !self.is_closed() {
            debug!("the client does not read: cut off");
            self.0.closed.cancel();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, Waiting>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(self, mut stream: SplitStream<WebSocket>, requests: mpsc::Sender<Request>, heard: mpsc::Sender<()>) {
        loop {
            let received = tokio::select! {
                received = stream.next() => received,
                () = self.0.closed.cancelled() => break,
            };
            let Some(Ok(message)) = received else { break };
            // Anything at all from the client shows that it lives. A full channel says so already.
            let _ = heard.try_send(());
            match message {
                ws::Message::Text(text) => match Message::parse(&text) {
                    Ok(Message::Request { id, method, data }) => {
                        if requests.send(Request { id, method, data }).await.is_err() {
                            break;
                        }
                    }
                    Ok(Message::Response { id, result }) => self.resolve(&id, result),
                    Ok(Message::Notification { method, .. }) => debug!("notification \"{method}\" ignored"),
                    Err(error) => debug!("message dropped: {error}"),
                },
                ws::Message::Binary(_) => debug!("binary message dropped"),
                ws::Message::Close(_) => break,
                ws::Message::Ping(_) | ws::Message::Pong(_) => {}
            }
        }
        self.0.closed.cancel();
    }

    fn resolve(&self, id: &Number, result: Result<Value, ErrorResponse>) {
        let waiting = id.as_u64().and_then(|id| u32::try_from(id).ok()).and_then(|id| self.waiting().remove(&id));
        match waiting {
            // The asker may have given up at this very moment.
            Some(waiting) => drop(waiting.send(result)),
            None => debug!("response to nothing: id {id}"),
        }
    }
}

fn ws_payload() -> axum::body::Bytes {
    axum::body::Bytes::new()
}

async fn write(
    mut sink: SplitSink<WebSocket, ws::Message>,
    mut queued: mpsc::Receiver<ws::Message>,
    mut heard: mpsc::Receiver<()>,
    closed: CancellationToken,
) {
    let mut pings = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    let mut answer_by: Option<Instant> = None;
    loop {
        let message = tokio::select! {
            () = closed.cancelled() => break,
            message = queued.recv() => match message {
                Some(message) => message,
                None => break,
            },
            Some(()) = heard.recv() => {
                answer_by = None;
                continue;
            }
            _ = pings.tick() => ws::Message::Ping(ws_payload()),
            () = sleep_until(answer_by) => {
                debug!("the client does not answer pings: dropped");
                break;
            }
        };
        if matches!(message, ws::Message::Ping(_)) {
            answer_by.get_or_insert_with(|| Instant::now() + PATIENCE);
        }
        let last = matches!(message, ws::Message::Close(_));
        if !matches!(timeout(PATIENCE, sink.send(message)).await, Ok(Ok(()))) || last {
            break;
        }
    }
    closed.cancel();
    // A socket that is already gone cannot be closed more.
    let _ = timeout(PATIENCE, sink.close()).await;
}

/// Never resolves without a deadline.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
