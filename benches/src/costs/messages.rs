//! Data channels' messages through the worker: from one SCTP peer to others, each over UDP on a PlainTransport. So many are sent
//! at a time, and the next when every peer has the last.

use super::measure::Cost;
use crate::machine::{self, monotonic_ns};
use crate::scene::{self, ROUTER};
use crate::session::Subject;
use crate::worker::Worker;
use crate::workload::Mode;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use sfu_proto::sctp::{Association, Config, Event, Ppid, Reliability, State, StreamParameters};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Peers that get each message.
const CONSUMERS: usize = 10;

/// Bytes of a message: a packet's worth.
const MESSAGE_LEN: usize = 1_100;

/// Messages on their way at a time.
const AT_ONCE: u64 = 16;

/// What does not come within this never does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everybody's stream: in order and without loss.
const STREAM: StreamParameters = StreamParameters { id: 1, ordered: true, reliability: Reliability::Reliable };

/// What a message costs for each peer that gets it.
///
/// # Errors
/// The worker refuses something, or messages don't come as they were sent.
pub fn measure(worker: &mut Worker, messages: u64) -> Result<Cost> {
    let mut bench = Bench::new(worker)?;
    bench.connect()?;
    // The congestion window opens before anything counts.
    bench.send(messages / 10 + AT_ONCE)?;
    let (before, begin) = (machine::cpu_ns(bench.worker.id())?, monotonic_ns());
    let delivered = bench.send(messages)? as f64;
    let seconds = (monotonic_ns() - begin) as f64 / 1e9;
    let used = machine::cpu_ns(bench.worker.id())? - before;
    Ok(Cost { cpu_ns: used as f64 / delivered, per_second: delivered / seconds })
}

struct Bench<'a> {
    worker: &'a mut Worker,
    poller: Poller,
    /// The first one sends, the others receive.
    peers: Vec<Peer>,
    /// Messages so far.
    sent: u64,
}

struct Peer {
    socket: UdpSocket,
    worker: SocketAddr,
    association: Association,
    batch: RecvBatch,
    received: u64,
}

impl<'a> Bench<'a> {
    fn new(worker: &'a mut Worker) -> Result<Self> {
        worker.request("worker.createRouter", "undefined", &json!({ "routerId": ROUTER }))?;
        let poller = Poller::new()?;
        let mut peers = Vec::new();
        for index in 0..=CONSUMERS {
            let id = transport_id(index);
            let mut options = scene::transport_options(&id, false);
            options["enableSctp"] = json!(true);
            let dump = worker.request("router.createPlainTransport", ROUTER, &options)?;
            let peer = Peer::new(([127, 0, 0, 1], scene::listening_port(&dump)?).into())?;
            poller.add(&peer.socket, Token(index as u64), Interest::READ)?;
            scene::connect(worker, &id, peer.socket.local_addr().port(), Mode::Plain)?;
            let mut request = json!({
                "dataProducerId": "producer",
                "type": "sctp",
                "sctpStreamParameters": { "streamId": STREAM.id, "ordered": true },
                "label": "bench",
                "protocol": "",
            });
            let method = if index == 0 {
                "transport.produceData"
            } else {
                request["dataConsumerId"] = json!(format!("consumer-{index}"));
                "transport.consumeData"
            };
            worker.request(method, &id, &request)?;
            peers.push(peer);
        }
        Ok(Self { worker, poller, peers, sent: 0 })
    }

    fn connect(&mut self) -> Result<()> {
        let now = Instant::now();
        self.peers.iter_mut().for_each(|peer| peer.association.start(now));
        let connected = |peer: &Peer| peer.association.state() == State::Connected;
        self.run_until(|peers| peers.iter().all(connected)).context("SCTP does not connect")?;
        // A peer may be connected before the worker knows that it is, and the worker drops what it would have to send until then.
        let deadline = Instant::now() + PATIENCE;
        for index in 0..self.peers.len() {
            while self.worker.request("transport.dump", &transport_id(index), &json!({}))?["sctpState"] != "connected" {
                ensure!(Instant::now() < deadline, "the worker's SCTP does not connect");
                for peer in &mut self.peers {
                    peer.work()?;
                }
            }
        }
        Ok(())
    }

    /// Sends so many, and returns how many came.
    fn send(&mut self, count: u64) -> Result<u64> {
        let before = self.sent;
        while self.sent < before + count {
            for _ in 0..AT_ONCE {
                let message = message(self.sent);
                let sent = self.peers[0].association.send(&STREAM, Ppid::Binary, message.into());
                sent.context("a message can't be sent")?;
                self.sent += 1;
            }
            let sent = self.sent;
            self.run_until(|peers| peers[1..].iter().all(|peer| peer.received == sent)).with_context(|| {
                let fewest = self.peers[1..].iter().map(|peer| peer.received).min().unwrap_or(0);
                format!("of {sent} messages a peer has {fewest}")
            })?;
        }
        Ok((self.sent - before) * CONSUMERS as u64)
    }

    fn run_until(&mut self, done: impl Fn(&[Peer]) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Events::with_capacity(64);
        loop {
            for peer in &mut self.peers {
                peer.work()?;
            }
            if done(&self.peers) {
                return Ok(());
            }
            let now = Instant::now();
            ensure!(now < deadline, "nothing more comes");
            let timeout = self.peers.iter().filter_map(|peer| peer.association.poll_timeout()).min();
            let timeout = timeout.map_or(PATIENCE, |at| at.saturating_duration_since(now));
            self.poller.wait(&mut events, Some(timeout.min(PATIENCE)))?;
        }
    }
}

impl Peer {
    fn new(worker: SocketAddr) -> Result<Self> {
        let options = UdpOptions { receive_buffer: Some(1 << 21), gro: false, ..UdpOptions::default() };
        Ok(Self {
            socket: UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options)?,
            worker,
            association: Association::new(Config {
                outgoing_streams: 1024,
                incoming_streams: 1024,
                max_message_size: 262_144,
                send_buffer_size: 1 << 20,
                receive_window: None,
            }),
            batch: RecvBatch::new(64, 2_048),
            received: 0,
        })
    }

    /// Takes what has come, and sends what there is to send.
    fn work(&mut self) -> Result<()> {
        let now = Instant::now();
        loop {
            self.batch.clear();
            if self.socket.recv_batch(&mut self.batch)? == 0 {
                break;
            }
            for (_, packet) in self.batch.iter() {
                self.association.handle_packet(now, packet)?;
            }
        }
        if self.association.poll_timeout().is_some_and(|at| at <= now) {
            self.association.handle_timeout(now);
        }
        while let Some(event) = self.association.poll_event() {
            match event {
                Event::Message { stream_id, payload, .. } => {
                    let expected = message(self.received);
                    ensure!(
                        stream_id == STREAM.id && *payload == *expected,
                        "message {} isn't as it was sent: it comes on stream {stream_id} with {} bytes",
                        self.received,
                        payload.len()
                    );
                    self.received += 1;
                }
                Event::StateChange(State::Failed | State::Closed) => bail!("SCTP has ended"),
                _ => {}
            }
        }
        while let Some(packet) = self.association.poll_transmit(now) {
            self.socket.send_to(self.worker, &packet);
        }
        Ok(())
    }
}

fn transport_id(index: usize) -> String {
    format!("transport-{index}")
}

fn message(number: u64) -> Vec<u8> {
    let mut message = vec![number as u8; MESSAGE_LEN];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}
