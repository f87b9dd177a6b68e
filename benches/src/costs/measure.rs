//! One worker's one run of everything.

use super::{connect, frames, messages};
use crate::awake::Awake;
use crate::machine::{self, Core, monotonic_ns};
use crate::scene::{self, ROUTER};
use crate::session::Subject;
use crate::traffic::Media;
use crate::worker::Worker;
use crate::workload::Mode;
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use sfu_proto::dtls::Certificate;
use std::path::Path;

/// How much of each is made.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Amounts {
    /// Transports, producers or consumers whose memory is told apart.
    pub entities: usize,
    /// Times a transport, a producer or a consumer is made and closed again.
    pub requests: usize,
    /// Peers that connect.
    pub connects: usize,
    /// Video frames that are forwarded.
    pub frames: u64,
    /// Messages that are.
    pub messages: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Bytes of resident memory with a router alone.
    pub idle: f64,
    /// And of each entity of a kind, by its name.
    pub memory: Vec<(&'static str, f64)>,
    /// Processor nanoseconds, and requests a second, by what is asked for.
    pub requests: Vec<(&'static str, Cost)>,
    /// A peer that connects, without what its transport alone costs.
    pub connect: Cost,
    /// What is forwarded a frame, or some messages, at a time; none where that has failed.
    pub forwarded: Vec<(&'static str, Option<Cost>)>,
    /// Why it has.
    pub failed: Vec<String>,
}

/// What an operation costs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// Processor nanoseconds of the worker.
    pub cpu_ns: f64,
    /// Operations a second, one at a time.
    pub per_second: f64,
}

/// Consumers' SSRCs count up from here.
const CONSUMER_SSRC: u32 = 0x0300_0000;

/// Runs it all on a worker that is started for it. `keep_awake` keeps the cores awake while one request waits for the one before:
/// else that would be the time that cores take to wake up.
///
/// # Errors
/// The worker refuses something, or dies.
pub fn run(
    program: &Path,
    core: Core,
    directory: &Path,
    amounts: Amounts,
    keep_awake: &dyn Fn() -> Result<Option<Awake>>,
) -> Result<Run> {
    let bare = || Worker::start(program, &[], core, directory);
    let start = || -> Result<Worker> {
        let mut worker = bare()?;
        worker.request("worker.createRouter", "undefined", &json!({ "routerId": ROUTER }))?;
        Ok(worker)
    };
    let idle = resident(&start()?)?;
    let memory = vec![
        (
            "PlainTransport",
            memory(&mut start()?, amounts.entities, |worker, index| create_plain(worker, &format!("plain-{index}")))?,
        ),
        (
            "WebRtcTransport",
            memory(&mut start()?, amounts.entities, |worker, index| {
                create_webrtc(worker, &format!("webrtc-{index}")).map(drop)
            })?,
        ),
        ("video Producer", {
            let mut worker = start()?;
            create_plain(&mut worker, "plain")?;
            memory(&mut worker, amounts.entities, make_producer)?
        }),
        ("video Consumer", {
            let mut worker = start()?;
            create_plain(&mut worker, "plain")?;
            make_producer(&mut worker, 0)?;
            memory(&mut worker, amounts.entities, make_consumer)?
        }),
        ("video Consumer, after three seconds of video", {
            // They are sent every frame at once; more would overflow the receiver.
            frames::memory(&mut bare()?, amounts.entities.min(200))?
        }),
    ];

    let awake = keep_awake()?;
    let mut worker = start()?;
    create_plain(&mut worker, "plain")?;
    make_producer(&mut worker, 0)?;
    let close = |worker: &mut Worker, method: &str, handler: &str, data: Value| {
        worker.request(method, handler, &data).map(drop)
    };
    let requests = vec![
        (
            "worker.dump",
            cost(&mut worker, 2 * amounts.requests, |worker, _| {
                worker.request("worker.dump", "undefined", &json!({})).map(drop)
            })?,
        ),
        (
            "create a WebRtcTransport and close it",
            cost(&mut worker, amounts.requests, |worker, _| {
                create_webrtc(worker, "t")?;
                close(worker, "router.closeTransport", ROUTER, json!({ "transportId": "t" }))
            })?,
        ),
        (
            "produce and close",
            cost(&mut worker, amounts.requests, |worker, _| {
                make_producer(worker, 1)?;
                close(worker, "transport.closeProducer", "plain", json!({ "producerId": "producer-1" }))
            })?,
        ),
        (
            "consume and close",
            cost(&mut worker, amounts.requests, |worker, _| {
                make_consumer(worker, 1)?;
                close(worker, "transport.closeConsumer", "plain", json!({ "consumerId": "consumer-1" }))
            })?,
        ),
    ];

    let certificate = Certificate::generate()?;
    let parameters = connect::parameters(&certificate)?;
    let transport = |worker: &mut Worker, connects: bool| -> Result<()> {
        let dump = create_webrtc(worker, "t")?;
        worker.request("transport.connect", "t", &parameters)?;
        if connects {
            connect::connect(&certificate, &dump)?;
        }
        close(worker, "router.closeTransport", ROUTER, json!({ "transportId": "t" }))
    };
    let without = cost(&mut worker, amounts.connects, |worker, _| transport(worker, false))?;
    let with = cost(&mut worker, amounts.connects, |worker, _| transport(worker, true))?;
    let connect = Cost { cpu_ns: with.cpu_ns - without.cpu_ns, per_second: with.per_second };
    drop(awake);
    let mut failed = Vec::new();
    let mut forwarded = Vec::new();
    let mut forward = |name: &'static str, measure: &dyn Fn(&mut Worker) -> Result<Cost>| -> Result<()> {
        let cost = measure(&mut bare()?);
        forwarded.push((name, cost.as_ref().ok().copied()));
        failed.extend(cost.err().map(|error| format!("{name}: {error:#}")));
        Ok(())
    };
    forward("packet of 1,200 bytes to a simple Consumer", &|worker| frames::simple(worker, amounts.frames))?;
    forward("the same to a simulcast Consumer", &|worker| frames::simulcast(worker, amounts.frames))?;
    forward("message of 1,100 bytes to a DataConsumer", &|worker| messages::measure(worker, amounts.messages))?;
    Ok(Run { idle, memory, requests, connect, forwarded, failed })
}

fn resident(worker: &Worker) -> Result<f64> {
    Ok(machine::memory(worker.id())?.now as f64)
}

/// Bytes of each entity that is made.
fn memory(worker: &mut Worker, count: usize, make: impl Fn(&mut Worker, usize) -> Result<()>) -> Result<f64> {
    // What the first one brings along is not the price of each.
    make(worker, 0)?;
    let before = resident(worker)?;
    for index in 1..=count {
        make(worker, index)?;
    }
    Ok((resident(worker)? - before) / count as f64)
}

/// Processor time and rate of an operation, after some that don't count.
fn cost(worker: &mut Worker, count: usize, operation: impl Fn(&mut Worker, usize) -> Result<()>) -> Result<Cost> {
    for index in 0..count / 10 + 1 {
        operation(worker, index)?;
    }
    let (before, begin) = (machine::cpu_ns(worker.id())?, monotonic_ns());
    for index in 0..count {
        operation(worker, index)?;
    }
    let seconds = (monotonic_ns() - begin) as f64 / 1e9;
    let used = machine::cpu_ns(worker.id())? - before;
    Ok(Cost { cpu_ns: used as f64 / count as f64, per_second: count as f64 / seconds })
}

fn create_webrtc(worker: &mut Worker, id: &str) -> Result<Value> {
    let options = json!({
        "transportId": id,
        "listenIps": [{ "ip": "127.0.0.1" }],
        "enableUdp": true,
        "enableTcp": false,
        "preferUdp": true,
        "preferTcp": false,
        "initialAvailableOutgoingBitrate": 600_000,
        "enableSctp": false,
        "numSctpStreams": { "OS": 1024, "MIS": 1024 },
        "maxSctpMessageSize": 262_144,
        "sctpSendBufferSize": 262_144,
        "isDataChannel": true,
    });
    worker.request("router.createWebRtcTransport", ROUTER, &options).context("a WebRtcTransport can't be made")
}

fn create_plain(worker: &mut Worker, id: &str) -> Result<()> {
    scene::create_transport(worker, ROUTER, id, true, Mode::Plain).map(drop)
}

fn make_producer(worker: &mut Worker, index: usize) -> Result<()> {
    worker.request("transport.produce", "plain", &scene::produce(index, Media::Video)).map(drop)
}

fn make_consumer(worker: &mut Worker, index: usize) -> Result<()> {
    let request = scene::consume(&format!("consumer-{index}"), 0, CONSUMER_SSRC + index as u32, Media::Video);
    worker.request("transport.consume", "plain", &request).map(drop)
}
