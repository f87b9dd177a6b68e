//! One contender set up for one case: a worker with a router, a producer and its consumers, between a load generator and a receiver.

use crate::generator::{Generated, Load, Target};
use crate::link::Helper;
use crate::machine::{self, Cores, Memory};
use crate::receiver::{Received, Request};
use crate::worker::Worker;
use crate::workload::{
    CONSUMER_PAYLOAD_TYPE, MAPPED_SSRC, Mode, PRODUCER_PAYLOAD_TYPE, PRODUCER_SSRC, Pattern, consumer_ssrc,
};
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contender {
    /// Its name in tables.
    pub name: String,
    /// The worker's program; `None` for the control, where the generator itself sends to every receiver, on the worker's core.
    pub program: Option<PathBuf>,
    /// Arguments beyond the protocol's own.
    pub arguments: Vec<String>,
    /// The modes that it is measured in.
    pub modes: Vec<Mode>,
}

/// What it has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Case {
    /// How many consumers the one producer has.
    pub consumers: usize,
    /// How packets leave.
    pub mode: Mode,
    /// How packets come.
    pub pattern: Pattern,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1 to {}, {}, {}", self.consumers, self.mode.name(), self.pattern.name())
    }
}

/// What holds for all contenders and cases of an invocation.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Which process runs where.
    pub cores: Cores,
    /// Whether receivers take trains of datagrams as they are (UDP_GRO).
    ///
    /// Off, the kernel cuts the trains that a worker sends before it queues them, in the worker's time, as it does for most network
    /// cards. On, a train passes loopback as one packet, which flatters a worker that sends trains.
    pub receive_trains: bool,
    /// For files that pass between the processes.
    pub directory: &'a Path,
}

/// How a step is checked.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// Of how many packets one is decrypted and compared.
    pub check_every: u64,
    /// Of how many packets one is timed.
    pub time_every: u64,
}

/// A stretch of constant load, and what came of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// Packets that should have arrived, all consumers together.
    pub expected: u64,
    /// For so long, in seconds.
    pub seconds: f64,
    /// The receiver's account.
    pub received: Received,
    /// Processor time of the worker, in nanoseconds; of the generator where it is the control.
    pub worker_ns: u64,
    /// How much of the time the worker was busy while the load lasted, 0 to 1.
    pub worker_busy: f64,
    /// How much of it the busier of the load's cores was, 0 to 1.
    pub load_busy: f64,
    /// Whether the generator kept its schedule.
    pub on_schedule: bool,
    /// Whether the last packets came soon after they were sent. A load that only fills the contender's receive buffer, to be
    /// worked off afterwards, loses nothing either and is still too much.
    pub kept_up: bool,
}

impl Step {
    /// The share of packets that are missing, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        1.0 - self.received.packets as f64 / self.expected.max(1) as f64
    }

    /// Packets a second that arrived.
    #[must_use]
    pub fn packets_per_second(&self) -> f64 {
        self.received.packets as f64 / self.seconds
    }

    /// Processor time of the worker for each packet that arrived.
    #[must_use]
    pub fn worker_ns_per_packet(&self) -> f64 {
        self.worker_ns as f64 / self.received.packets.max(1) as f64
    }
}

/// A process that forwards, while it is measured.
pub trait Subject: std::fmt::Debug {
    /// Its process id.
    fn id(&self) -> u32;

    /// Whether it still runs.
    ///
    /// # Errors
    /// Says how it ended, if it has.
    fn check_alive(&mut self) -> Result<()>;
}

/// What a session consists of, each part started and known to the others.
#[derive(Debug)]
pub(crate) struct Parts {
    /// What is measured; `None` for the control.
    pub(crate) subject: Option<Box<dyn Subject>>,
    pub(crate) generator: Helper,
    pub(crate) receiver: Helper,
    /// Where packets go.
    pub(crate) targets: Vec<Target>,
    /// Their payload type.
    pub(crate) payload_type: u8,
}

/// A contender at work on a case.
#[derive(Debug)]
pub struct Session {
    case: Case,
    cores: Cores,
    worker: Option<Box<dyn Subject>>,
    generator: Helper,
    receiver: Helper,
    targets: Vec<Target>,
    payload_type: u8,
    times: PathBuf,
    next: u64,
}

impl Session {
    /// Sets it up.
    ///
    /// # Errors
    /// Something can't be started, or the worker refuses a request.
    pub fn start(contender: &Contender, case: Case, setting: Setting<'_>) -> Result<Self> {
        let Setting { cores, receive_trains, directory } = setting;
        let generator_core = if contender.program.is_some() { cores.generator } else { cores.worker };
        let generator = Helper::start("generator", generator_core)?;
        let mut receiver = Helper::start("receiver", cores.receiver)?;
        let ports: Vec<u16> = receiver.ask(&Request::Open { consumers: case.consumers, trains: receive_trains })?;
        let (subject, targets, payload_type): (Option<Box<dyn Subject>>, _, _) = match &contender.program {
            Some(program) => {
                let mut worker = Worker::start(program, &contender.arguments, cores.worker, directory)?;
                let (port, keys) = set_up(&mut worker, case, &ports)?;
                let () = receiver.ask(&Request::Keys { mode: case.mode, keys })?;
                let target = Target { address: local(port), ssrc: PRODUCER_SSRC };
                (Some(Box::new(worker)), vec![target], PRODUCER_PAYLOAD_TYPE)
            }
            None => (None, control_targets(&ports), CONSUMER_PAYLOAD_TYPE),
        };
        Ok(Self::new(Parts { subject, generator, receiver, targets, payload_type }, case, setting))
    }

    /// Of what is set up already.
    pub(crate) fn new(parts: Parts, case: Case, setting: Setting<'_>) -> Self {
        let Parts { subject, generator, receiver, targets, payload_type } = parts;
        let times = setting.directory.join("times");
        Self { case, cores: setting.cores, worker: subject, generator, receiver, targets, payload_type, times, next: 0 }
    }

    /// Runs a constant load of so many packets a second into the worker, and says what came out.
    ///
    /// # Errors
    /// A process has failed, or what came out isn't what had to: then the measurement is worth nothing.
    pub fn step(&mut self, rate: f64, seconds: f64, checks: Checks) -> Result<Step> {
        let Checks { check_every, time_every } = checks;
        let () = self.receiver.ask(&Request::Begin { first: self.next, check_every, time_every })?;
        let before = self.usage()?;
        let generated: Generated = self.generator.ask(&Load {
            targets: self.targets.clone(),
            payload_type: self.payload_type,
            first: self.next,
            rate,
            seconds,
            pattern: self.case.pattern,
            times: self.times.clone(),
        })?;
        self.next += generated.packets;
        let loaded = self.usage()?;
        let received: Received =
            self.receiver.ask(&Request::End { packets: generated.packets, times: self.times.clone() })?;
        let worker_ns = self.usage()?.worker.saturating_sub(before.worker);
        if let Some(wrong) = &received.wrong {
            bail!("{} of the packets that came out are wrong, the first: {wrong}", received.wrong_count);
        }
        if received.duplicates > 0 {
            bail!("{} packets came out twice", received.duplicates);
        }
        let (generator, receiver) = (loaded.generator - before.generator, loaded.receiver - before.receiver);
        let load_ns = match (&self.worker, self.cores.generator == self.cores.receiver) {
            (Some(_), true) => generator + receiver,
            (Some(_), false) => generator.max(receiver),
            (None, _) => receiver,
        };
        let lag = received.last.saturating_sub(generated.ended) as f64 / 1e9;
        Ok(Step {
            expected: generated.packets * self.case.consumers as u64,
            seconds: generated.seconds,
            received,
            worker_ns,
            worker_busy: loaded.worker.saturating_sub(before.worker) as f64 / 1e9 / generated.seconds,
            load_busy: load_ns as f64 / 1e9 / generated.seconds,
            on_schedule: generated.seconds < seconds * 1.03 + 0.01 && generated.refused == 0,
            kept_up: lag < seconds * 0.03 + 0.02,
        })
    }

    /// The worker's resident memory, in bytes; `None` for the control.
    ///
    /// # Errors
    /// The worker has died.
    pub(crate) fn memory(&self) -> Result<Option<Memory>> {
        self.worker.as_ref().map(|worker| machine::memory(worker.id())).transpose()
    }

    /// Processor time so far. What has died has none any more, so that is asked first.
    fn usage(&mut self) -> Result<Usage> {
        let generator = machine::cpu_ns(self.generator.id())?;
        let receiver = machine::cpu_ns(self.receiver.id())?;
        let worker = match &mut self.worker {
            Some(worker) => {
                worker.check_alive()?;
                machine::cpu_ns(worker.id())?
            }
            None => generator,
        };
        Ok(Usage { worker, generator, receiver })
    }
}

struct Usage {
    worker: u64,
    generator: u64,
    receiver: u64,
}

/// Every receiver's socket, for a generator that sends to them itself.
pub(crate) fn control_targets(ports: &[u16]) -> Vec<Target> {
    ports.iter().enumerate().map(|(index, &port)| Target { address: local(port), ssrc: consumer_ssrc(index) }).collect()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new([127, 0, 0, 1].into(), port)
}

const ROUTER: &str = "router";
const PRODUCER: &str = "producer";

/// Makes the router, the transports, the producer and the consumers. Returns the producer's port, and the keys of each consumer's packets.
fn set_up(worker: &mut Worker, case: Case, ports: &[u16]) -> Result<(u16, Vec<String>)> {
    worker.request("worker.createRouter", "undefined", &json!({ "routerId": ROUTER }))?;

    let ingress = "ingress";
    let dump = create_transport(worker, ingress, true, Mode::Plain)?;
    let port = dump.pointer("/tuple/localPort").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let port = port.context("the dump of the producer's transport has no tuple.localPort")?;
    worker.request("transport.produce", ingress, &produce())?;

    let mut keys = Vec::new();
    for (index, receiver_port) in ports.iter().enumerate() {
        let id = format!("egress-{index}");
        create_transport(worker, &id, false, case.mode)?;
        let mut connect = json!({ "ip": "127.0.0.1", "port": receiver_port });
        if let Some(suite) = case.mode.suite() {
            // The key of what we would send; we send nothing.
            let ours = STANDARD.encode(vec![index as u8; suite.key_and_salt_len()]);
            connect["srtpParameters"] = json!({ "cryptoSuite": suite.name(), "keyBase64": ours });
        }
        let connected = worker.request("transport.connect", &id, &connect)?;
        if case.mode.suite().is_some() {
            let key = connected.pointer("/srtpParameters/keyBase64").and_then(Value::as_str);
            keys.push(key.context("the answer to transport.connect has no srtpParameters.keyBase64")?.to_owned());
        }
        worker.request("transport.consume", &id, &consume(index))?;
    }
    Ok((port, keys))
}

pub(crate) fn create_transport(worker: &mut Worker, id: &str, comedia: bool, mode: Mode) -> Result<Value> {
    let mut options = json!({
        "transportId": id,
        "listenIp": { "ip": "127.0.0.1" },
        "rtcpMux": true,
        "comedia": comedia,
        "enableSctp": false,
        "numSctpStreams": { "OS": 1024, "MIS": 1024 },
        "maxSctpMessageSize": 262_144,
        "sctpSendBufferSize": 262_144,
        "isDataChannel": false,
        "enableSrtp": mode.suite().is_some(),
    });
    if let Some(suite) = mode.suite() {
        options["srtpCryptoSuite"] = json!(suite.name());
    }
    worker.request("router.createPlainTransport", ROUTER, &options)
}

fn codec(payload_type: u8) -> Value {
    json!({
        "mimeType": "video/VP8",
        "payloadType": payload_type,
        "clockRate": 90_000,
        "parameters": {},
        "rtcpFeedback": [
            { "type": "nack", "parameter": "" },
            { "type": "nack", "parameter": "pli" },
            { "type": "ccm", "parameter": "fir" },
        ],
    })
}

fn rtp_parameters(payload_type: u8, ssrc: u32) -> Value {
    json!({
        "codecs": [codec(payload_type)],
        "headerExtensions": [],
        "encodings": [{ "ssrc": ssrc, "codecPayloadType": payload_type }],
        "rtcp": { "cname": "bench", "reducedSize": true },
    })
}

pub(crate) fn produce() -> Value {
    json!({
        "producerId": PRODUCER,
        "kind": "video",
        "rtpParameters": rtp_parameters(PRODUCER_PAYLOAD_TYPE, PRODUCER_SSRC),
        "rtpMapping": {
            "codecs": [{ "payloadType": PRODUCER_PAYLOAD_TYPE, "mappedPayloadType": CONSUMER_PAYLOAD_TYPE }],
            "encodings": [{ "ssrc": PRODUCER_SSRC, "mappedSsrc": MAPPED_SSRC }],
        },
        "keyFrameRequestDelay": 0,
        "paused": false,
    })
}

pub(crate) fn consume(index: usize) -> Value {
    json!({
        "consumerId": format!("consumer-{index}"),
        "producerId": PRODUCER,
        "kind": "video",
        "rtpParameters": rtp_parameters(CONSUMER_PAYLOAD_TYPE, consumer_ssrc(index)),
        "type": "simple",
        "consumableRtpEncodings": [{ "ssrc": MAPPED_SSRC, "codecPayloadType": CONSUMER_PAYLOAD_TYPE }],
        "paused": false,
        "ignoreDtx": false,
    })
}
