//! The library's end of a worker's payload channel: binary messages, each of them two frames, a header and its bytes.
//!
//! Like the channel itself it has a task that writes from a bounded queue, and one that reads and ends with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use sfu_channel::MAX_FRAME_PAYLOAD;
use sfu_channel::json::payload::{PayloadFromWorker, read_from_worker, write_to_worker};
use sfu_channel::notification::Target;
use sfu_channel::payload::{MAX_RTP_PAYLOAD, PayloadEvent, PayloadNotification, PayloadToWorker};
use sfu_channel::response::Refusal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite};
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace, warn};

use crate::channel::codec;
use crate::data_message::DataMessage;
use crate::entity::lock;
use crate::error::Error;

/// Messages that may wait to be written before senders have to wait.
const WRITE_QUEUE: usize = 16;
/// Payloads of one entity that a slow listener may be behind before it misses some.
const LISTEN_QUEUE: usize = 256;

/// A client of one worker's payload channel. Clones share it.
#[derive(Clone)]
pub(crate) struct PayloadChannel {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    queue: mpsc::Sender<[Bytes; 2]>,
    timeout: Duration,
    ended: CancellationToken,
}

struct State {
    last_id: u32,
    /// Messages that the worker has not answered.
    waiting: HashMap<u32, oneshot::Sender<Result<(), Refusal>>>,
    /// Who listens to the packets of a consumer or a direct transport, by its id.
    packets: HashMap<String, broadcast::Sender<Bytes>>,
    /// Who listens to the messages of a data consumer, by its id.
    messages: HashMap<String, broadcast::Sender<DataMessage>>,
}

/// A message whose answer somebody waits for until this is dropped.
struct Pending<'a> {
    shared: &'a Shared,
    id: u32,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        lock(&self.shared.state).waiting.remove(&self.id);
    }
}

impl PayloadChannel {
    /// Over these streams, until `ended`.
    pub(crate) fn start(
        to_worker: impl AsyncWrite + Unpin + Send + 'static,
        from_worker: impl AsyncRead + Unpin + Send + 'static,
        timeout: Duration,
        ended: CancellationToken,
    ) -> Self {
        let (queue, messages) = mpsc::channel(WRITE_QUEUE);
        let state = Mutex::new(State {
            last_id: 0,
            waiting: HashMap::new(),
            packets: HashMap::new(),
            messages: HashMap::new(),
        });
        let channel = Self { shared: Arc::new(Shared { state, queue, timeout, ended: ended.clone() }) };
        tokio::spawn(write_messages(messages, to_worker, ended.clone()));
        tokio::spawn(read_frames(from_worker, channel.shared.clone(), ended));
        channel
    }

    /// Sends what is not answered. Waits while much else waits to be written.
    pub(crate) async fn send(&self, header: &PayloadToWorker, payload: Bytes) -> Result<(), Error> {
        check_frame(&payload)?;
        let message = [write_to_worker(header).into(), payload];
        self.shared.queue.send(message).await.map_err(|_| Error::Closed)
    }

    /// Sends a message on a data consumer, and waits until the worker has taken it. If this future is dropped, it is sent
    /// or not.
    pub(crate) async fn send_on_data_consumer(&self, id: &str, message: &DataMessage) -> Result<(), Error> {
        let payload = message.payload().clone();
        check_frame(&payload)?;
        let (sender, answer) = oneshot::channel();
        let pending = self.shared.register(sender);
        let header = write_to_worker(&PayloadToWorker::DataConsumerSend {
            id: pending.id,
            data_consumer_id: id.to_owned(),
            ppid: Some(message.ppid()),
        });
        let exchange = async {
            self.shared.queue.send([header.into(), payload]).await.map_err(|_| Error::Closed)?;
            tokio::select! {
                outcome = answer => outcome.map_err(|_| Error::Closed)?.map_err(Error::Refused),
                () = self.shared.ended.cancelled() => Err(Error::Closed),
            }
        };
        tokio::time::timeout(self.shared.timeout, exchange).await.unwrap_or(Err(Error::SendTimeout))
    }

    /// The packets of a consumer or a direct transport from now on, until they are forgotten.
    pub(crate) fn packets(&self, id: &str) -> broadcast::Receiver<Bytes> {
        subscribe(&mut lock(&self.shared.state).packets, id)
    }

    /// The messages of a data consumer from now on, until they are forgotten.
    pub(crate) fn messages(&self, id: &str) -> broadcast::Receiver<DataMessage> {
        subscribe(&mut lock(&self.shared.state).messages, id)
    }

    /// What an entity is sent ends: it is closed.
    pub(crate) fn forget(&self, id: &str) {
        let mut state = lock(&self.shared.state);
        state.packets.remove(id);
        state.messages.remove(id);
    }
}

fn subscribe<T: Clone>(senders: &mut HashMap<String, broadcast::Sender<T>>, id: &str) -> broadcast::Receiver<T> {
    senders.entry(id.to_owned()).or_insert_with(|| broadcast::Sender::new(LISTEN_QUEUE)).subscribe()
}

/// Whether the worker takes an RTP or RTCP packet of that length.
pub(crate) fn check_packet(packet: &[u8]) -> Result<(), Error> {
    if packet.len() > MAX_RTP_PAYLOAD {
        return Err(Error::WrongOption("the packet is longer than 1600 bytes"));
    }
    Ok(())
}

fn check_frame(payload: &[u8]) -> Result<(), Error> {
    if payload.len() > MAX_FRAME_PAYLOAD {
        return Err(Error::WrongOption("the message is too long for the channel"));
    }
    Ok(())
}

impl Shared {
    fn register(&self, sender: oneshot::Sender<Result<(), Refusal>>) -> Pending<'_> {
        let mut state = lock(&self.state);
        loop {
            state.last_id = state.last_id.checked_add(1).unwrap_or(1);
            let id = state.last_id;
            if let std::collections::hash_map::Entry::Vacant(place) = state.waiting.entry(id) {
                place.insert(sender);
                return Pending { shared: self, id };
            }
        }
    }

    /// Takes a header. Returns it if a payload follows.
    fn take_header(&self, frame: &[u8]) -> Option<PayloadNotification> {
        match read_from_worker(frame) {
            Ok(PayloadFromWorker::Response(response)) => {
                let sender = lock(&self.state).waiting.remove(&response.id);
                match sender {
                    // Who asked may have gone away in this moment.
                    Some(sender) => drop(sender.send(response.outcome.map(drop))),
                    None => debug!(id = response.id, "nobody waits for this answer"),
                }
                None
            }
            Ok(PayloadFromWorker::Notification(notification)) => Some(notification),
            Err(error) => {
                warn!("ignoring a frame of the worker's payload channel: {error}");
                None
            }
        }
    }

    fn take_payload(&self, header: PayloadNotification, payload: Bytes) {
        let PayloadNotification { target: Target::Entity(id), event } = header else { return };
        let state = lock(&self.state);
        // Sending fails when all who have listened are gone. Until the entity is closed others may come.
        let listening = match event {
            PayloadEvent::Rtp | PayloadEvent::Rtcp => {
                state.packets.get(&id).is_some_and(|listeners| listeners.send(payload).is_ok())
            }
            PayloadEvent::Message { ppid } => {
                let message = DataMessage::from_wire(ppid, payload);
                state.messages.get(&id).is_some_and(|listeners| listeners.send(message).is_ok())
            }
        };
        if !listening {
            trace!(id, ?event, "nobody listens");
        }
    }
}

async fn write_messages(
    mut messages: mpsc::Receiver<[Bytes; 2]>,
    to_worker: impl AsyncWrite + Unpin,
    ended: CancellationToken,
) {
    let mut sink = FramedWrite::new(to_worker, codec());
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = ended.cancelled() => return,
        };
        let Some([header, payload]) = message else {
            // The worker ends when this stream does, which is not for those who send to decide.
            return ended.cancelled().await;
        };
        let write = async {
            sink.feed(header).await?;
            sink.send(payload).await
        };
        let written = tokio::select! {
            written = write => written,
            () = ended.cancelled() => return,
        };
        if let Err(error) = written {
            debug!("can't write to the worker's payload channel: {error}");
            return;
        }
    }
}

async fn read_frames(from_worker: impl AsyncRead + Unpin, shared: Arc<Shared>, ended: CancellationToken) {
    let mut frames = FramedRead::new(from_worker, codec());
    let mut header = None;
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = ended.cancelled() => break,
        };
        let Some(Ok(frame)) = frame else { break };
        match header.take() {
            Some(header) => shared.take_payload(header, frame.freeze()),
            None => header = shared.take_header(&frame),
        }
    }
    // Whoever waits gets no answer any more, and who listens hears no more.
    let mut state = lock(&shared.state);
    state.waiting.clear();
    state.packets.clear();
    state.messages.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};
    use tokio_util::codec::LengthDelimitedCodec;

    struct Bench {
        channel: PayloadChannel,
        ended: CancellationToken,
        /// The worker's end.
        frames: FramedRead<DuplexStream, LengthDelimitedCodec>,
        answers: FramedWrite<DuplexStream, LengthDelimitedCodec>,
    }

    fn bench() -> Bench {
        let (to_worker, requests) = duplex(1 << 16);
        let (out, from_worker) = duplex(1 << 16);
        let ended = CancellationToken::new();
        let channel = PayloadChannel::start(to_worker, from_worker, Duration::from_secs(5), ended.clone());
        let (frames, answers) = (FramedRead::new(requests, codec()), FramedWrite::new(out, codec()));
        Bench { channel, ended, frames, answers }
    }

    impl Bench {
        async fn frame(&mut self) -> Vec<u8> {
            self.frames.next().await.expect("a frame").expect("a whole one").to_vec()
        }

        async fn answer(&mut self, text: &str) {
            self.answers.send(Bytes::copy_from_slice(text.as_bytes())).await.expect("it is read");
        }

        fn send(&self, message: &'static [u8]) -> tokio::task::JoinHandle<Result<(), Error>> {
            let channel = self.channel.clone();
            tokio::spawn(async move { channel.send_on_data_consumer("c", &DataMessage::binary(message)).await })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_two_frames_and_has_an_answer() {
        let mut bench = bench();
        let sending = bench.send(b"\x00bytes");
        assert_eq!(bench.frame().await, b"r:1:dataConsumer.send:c:53");
        assert_eq!(bench.frame().await, b"\x00bytes");
        // What direct transports bring comes in between, and a payload may look like an answer.
        bench.answer(r#"{"targetId":"d","event":"message","data":{"ppid":51}}"#).await;
        bench.answer(r#"{"id":1,"error":"Error","reason":"a payload"}"#).await;
        bench.answer(r#"{"id":1,"accepted":true}"#).await;
        assert!(sending.await.unwrap().is_ok());

        let sending = bench.send(b"more");
        assert_eq!(bench.frame().await, b"r:2:dataConsumer.send:c:53");
        bench.answer(r#"{"id":2,"error":"Error","reason":"sctpsendbufferfull"}"#).await;
        assert!(
            matches!(sending.await.unwrap(), Err(Error::Refused(refusal)) if refusal.reason == "sctpsendbufferfull")
        );
        assert!(lock(&bench.channel.shared.state).waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let bench = bench();
        assert!(matches!(bench.send(b"x").await.unwrap(), Err(Error::SendTimeout)));
        let long = Bytes::from(vec![0; MAX_FRAME_PAYLOAD + 1]);
        let refused = bench.channel.send_on_data_consumer("c", &DataMessage::binary(long)).await;
        assert!(matches!(refused, Err(Error::WrongOption(_))));
        let sending = bench.send(b"x");
        tokio::task::yield_now().await;
        bench.ended.cancel();
        assert!(matches!(sending.await.unwrap(), Err(Error::Closed)));
        assert!(matches!(bench.send(b"x").await.unwrap(), Err(Error::Closed)));
        assert!(lock(&bench.channel.shared.state).waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_worker_is_the_end_of_waiting() {
        let mut bench = bench();
        let sending = bench.send(b"x");
        bench.frame().await;
        let Bench { frames, answers, .. } = bench;
        drop((frames, answers));
        assert!(matches!(sending.await.unwrap(), Err(Error::Closed)));
    }
}
