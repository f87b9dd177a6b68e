//! Video through the worker, a frame at a time: the next is sent when every consumer has the last. So nothing is lost, nothing
//! waits, and a simple consumer and one of a simulcast producer, whose layer changes now and then, can be held against each other.

use super::measure::Cost;
use crate::machine::{self, monotonic_ns};
use crate::scene::{self, ROUTER};
use crate::session::Subject;
use crate::traffic::Media;
use crate::worker::Worker;
use crate::workload::{
    CONSUMER_PAYLOAD_TYPE, DESCRIPTOR_LEN, HEADER_LEN, Mode, PRODUCER_PAYLOAD_TYPE, mapped_ssrc, producer_ssrc,
    write_vp8,
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sfu_proto::rtcp::{Ntp, SenderInfo, write_sender_report};
use sfu_proto::rtp::{FixedHeader, Header, HeaderWriter, is_rtcp};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Consumers, each on a transport of its own, where the cost of a packet is told.
const CONSUMERS: usize = 20;

/// Packets of a frame in each encoding: three sizes of simulcast, and the one of a simple producer.
const SIMULCAST: &[u64] = &[1, 3, 8];
const SIMPLE: &[u64] = &[4];

/// Frames from one key frame to the next.
const KEY_FRAME_EVERY: u64 = 30;

/// Frames after which every consumer asks for its next layer, and has it: a worker may need a second key frame for that (mediasoup's does
/// when timestamps would jump too far).
const SWITCH_EVERY: u64 = 3 * KEY_FRAME_EVERY;

/// Bytes of a packet.
const PACKET_LEN: usize = 1_200;

/// Ticks of the RTP clock, and milliseconds, from a frame to the next.
const TICKS: u64 = 3_000;
const MILLISECONDS: u64 = 33;

/// While a worker finds its layers, what does not come within this isn't waited for.
const SETTLING: Duration = Duration::from_millis(100);

/// Afterwards, what does not come within this is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a packet costs that goes to a simple consumer.
///
/// # Errors
/// The worker refuses something, or does other work than it has to.
pub fn simple(worker: &mut Worker, frames: u64) -> Result<Cost> {
    Bench::new(worker, SIMPLE, CONSUMERS, CONSUMERS)?.run(frames)
}

/// The same of a consumer of simulcast: a third of them each at each layer, and each at another one every ninety frames.
///
/// # Errors
/// The worker refuses something, or does other work than it has to.
pub fn simulcast(worker: &mut Worker, frames: u64) -> Result<Cost> {
    Bench::new(worker, SIMULCAST, CONSUMERS, CONSUMERS)?.run(frames)
}

/// Bytes of resident memory of each consumer of a simple producer that has been sent three seconds of its video, 1.2 Mbit/s. So many of
/// them are on one transport with another one, whose memory is not counted: it had the same before.
///
/// # Errors
/// The worker refuses something, or does other work than it has to.
pub fn memory(worker: &mut Worker, consumers: usize) -> Result<f64> {
    let mut bench = Bench::new(worker, SIMPLE, 1, 1)?;
    bench.carry(0..SWITCH_EVERY)?;
    let before = machine::memory(bench.worker.id())?.now;
    for index in 1..=consumers {
        bench.worker.request("transport.consume", "egress-0", &consume(index, 1, 0))?;
    }
    bench.watched = vec![Watched::default(); consumers + 1];
    bench.carry(SWITCH_EVERY..2 * SWITCH_EVERY)?;
    let after = machine::memory(bench.worker.id())?.now;
    Ok((after as f64 - before as f64) / consumers as f64)
}

struct Bench<'a> {
    worker: &'a mut Worker,
    /// Packets of a frame, by encoding.
    sizes: &'static [u64],
    ingress: SocketAddr,
    sender: UdpSocket,
    receiver: UdpSocket,
    poller: Poller,
    batch: RecvBatch,
    /// The next sequence number of each encoding.
    sequences: Vec<u16>,
    watched: Vec<Watched>,
    packets: u64,
}

/// What a consumer has got.
#[derive(Debug, Clone, Default)]
struct Watched {
    sequence: Option<u16>,
    /// The encoding of the last packet.
    layer: usize,
    /// The encoding that was asked for.
    asked: usize,
    /// Packets of the current frame, by encoding.
    got: [u64; 3],
}

impl<'a> Bench<'a> {
    fn new(worker: &'a mut Worker, sizes: &'static [u64], consumers: usize, transports: usize) -> Result<Self> {
        let options = UdpOptions { receive_buffer: Some(1 << 22), gro: false, ..UdpOptions::default() };
        let bind = || UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options);
        let (sender, receiver) = (bind()?, bind()?);
        let poller = Poller::new()?;
        poller.add(&receiver, Token(0), Interest::READ)?;

        worker.request("worker.createRouter", "undefined", &json!({ "routerId": ROUTER }))?;
        let port = scene::listening_port(&scene::create_transport(worker, ROUTER, "ingress", true, Mode::Plain)?)?;
        worker.request("transport.produce", "ingress", &produce(sizes.len()))?;
        let id = |index: usize| format!("egress-{}", index % transports);
        for index in 0..transports {
            scene::create_transport(worker, ROUTER, &id(index), false, Mode::Plain)?;
            scene::connect(worker, &id(index), receiver.local_addr().port(), Mode::Plain)?;
        }
        let mut watched = vec![Watched::default(); consumers];
        for (index, watched) in watched.iter_mut().enumerate() {
            watched.asked = index % sizes.len();
            worker.request("transport.consume", &id(index), &consume(index, sizes.len(), watched.asked))?;
        }
        Ok(Self {
            worker,
            sizes,
            ingress: ([127, 0, 0, 1], port).into(),
            sender,
            receiver,
            poller,
            batch: RecvBatch::new(64, 2_048),
            sequences: vec![0; sizes.len()],
            watched,
            packets: 0,
        })
    }

    /// Sends these frames at their own pace; everybody gets each of them.
    fn carry(&mut self, frames: std::ops::Range<u64>) -> Result<()> {
        let begin = Instant::now();
        for (position, frame) in (0..).zip(frames) {
            wait_for(begin, position);
            self.send(frame)?;
            self.receive(frame, true)?;
        }
        Ok(())
    }

    fn run(mut self, frames: u64) -> Result<Cost> {
        // Layers are found, and all consumers are at the one that they have asked for, before anything counts. That takes three seconds of
        // real time: mediasoup's worker switches to no layer that it has had for less than two.
        let settled = SWITCH_EVERY;
        let begin = Instant::now();
        let mut counted = None;
        for frame in 0..settled + frames {
            if frame == settled {
                // What was not waited for may have been lost.
                self.watched.iter_mut().for_each(|watched| watched.sequence = None);
                counted = Some((machine::cpu_ns(self.worker.id())?, monotonic_ns(), self.packets));
            }
            match frame % SWITCH_EVERY {
                // What is asked for is to be there by now.
                0 if frame >= settled => self.check_layers()?,
                15 if self.sizes.len() > 1 && frame > settled => self.ask_for_others()?,
                _ => {}
            }
            if frame < settled {
                wait_for(begin, frame);
            }
            self.send(frame)?;
            self.receive(frame, frame >= settled)?;
        }
        let (cpu, begin, packets) = counted.context("no frame is counted")?;
        let packets = (self.packets - packets) as f64;
        let seconds = (monotonic_ns() - begin) as f64 / 1e9;
        let used = machine::cpu_ns(self.worker.id())? - cpu;
        Ok(Cost { cpu_ns: used as f64 / packets, per_second: packets / seconds })
    }

    fn ask_for_others(&mut self) -> Result<()> {
        for (index, watched) in self.watched.iter_mut().enumerate() {
            watched.asked = (watched.asked + 1) % self.sizes.len();
            let layers = json!({ "spatialLayer": watched.asked, "temporalLayer": 0 });
            self.worker.request("consumer.setPreferredLayers", &consumer_id(index), &layers)?;
        }
        Ok(())
    }

    fn check_layers(&self) -> Result<()> {
        for (index, Watched { layer, asked, .. }) in self.watched.iter().enumerate() {
            ensure!(layer == asked, "consumer {index} gets layer {layer}, and has asked for {asked}");
        }
        Ok(())
    }

    /// Sends a frame in each encoding; before a key frame, what its time is by the wall clock.
    fn send(&mut self, frame: u64) -> Result<()> {
        let timestamp = (frame * TICKS) as u32;
        if frame.is_multiple_of(KEY_FRAME_EVERY) || frame == 1 {
            let mut reports = Vec::new();
            for layer in 0..self.sizes.len() {
                let ntp =
                    Ntp::from_unix(Duration::from_secs(1_700_000_000) + Duration::from_millis(frame * MILLISECONDS));
                let ssrc = producer_ssrc(layer);
                let info = SenderInfo { ssrc, ntp, rtp_timestamp: timestamp, packet_count: 0, octet_count: 0 };
                write_sender_report(&mut reports, &info, &[]);
            }
            self.sender.send_to(self.ingress, &reports);
        }
        for (layer, &count) in self.sizes.iter().enumerate() {
            for index in 0..count {
                let fixed = FixedHeader {
                    marker: index + 1 == count,
                    payload_type: PRODUCER_PAYLOAD_TYPE,
                    sequence_number: self.sequences[layer],
                    timestamp,
                    ssrc: producer_ssrc(layer),
                };
                let mut packet = [FILLER; PACKET_LEN];
                HeaderWriter::new(&mut packet, &fixed).finish()?;
                write_payload(&mut packet[HEADER_LEN..], Mark { frame, layer, index });
                self.sender.send_to(self.ingress, &packet);
                self.sequences[layer] = self.sequences[layer].wrapping_add(1);
            }
        }
        Ok(())
    }

    /// Receives until every consumer has a whole frame of some layer; or, where that isn't `required` yet, until nothing comes.
    fn receive(&mut self, frame: u64, required: bool) -> Result<()> {
        let patience = if required { PATIENCE } else { SETTLING };
        for watched in &mut self.watched {
            watched.got = [0; 3];
        }
        let sizes = self.sizes;
        let has_frame = |watched: &Watched| sizes.iter().zip(watched.got).any(|(&size, got)| got == size);
        let mut events = Events::with_capacity(1);
        while let Some(index) = self.watched.iter().position(|watched| !has_frame(watched)) {
            self.poller.wait(&mut events, Some(patience))?;
            self.batch.clear();
            if self.receiver.recv_batch(&mut self.batch)? == 0 {
                if !required {
                    return Ok(());
                }
                bail!("consumer {index} has packets {:?} of frame {frame} and gets no more", self.watched[index].got);
            }
            for (_, packet) in self.batch.iter().filter(|(_, packet)| !is_rtcp(packet)) {
                self.packets += 1;
                take(packet, frame, &mut self.watched)?;
            }
        }
        Ok(())
    }
}

/// Waits until a frame is due.
fn wait_for(begin: Instant, frame: u64) {
    std::thread::sleep(Duration::from_millis(frame * MILLISECONDS).saturating_sub(begin.elapsed()));
}

fn take(packet: &[u8], frame: u64, watched: &mut [Watched]) -> Result<()> {
    let header = Header::parse(packet)?;
    let index = header.ssrc.wrapping_sub(CONSUMER_SSRC) as usize;
    let watched = watched.get_mut(index).with_context(|| format!("SSRC {:#x} belongs to nobody", header.ssrc))?;
    let payload = header.payload(packet);
    let right = header.payload_type == CONSUMER_PAYLOAD_TYPE && payload.len() == PACKET_LEN - HEADER_LEN;
    ensure!(right, "a payload to consumer {index} has type {} and {} bytes", header.payload_type, payload.len());
    if let Some(last) = watched.sequence.replace(header.sequence_number) {
        ensure!(
            header.sequence_number == last.wrapping_add(1),
            "consumer {index} gets {} after {last}",
            header.sequence_number
        );
    }
    let mark = read_payload(payload).context("a payload isn't one that was sent")?;
    // The rest of a frame of which another layer was complete before, or that was not waited for.
    if mark.frame < frame {
        return Ok(());
    }
    ensure!(mark.frame == frame && mark.layer < 3, "consumer {index} gets frame {} at {frame}", mark.frame);
    watched.layer = mark.layer;
    watched.got[mark.layer] += 1;
    Ok(())
}

/// Which packet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    frame: u64,
    layer: usize,
    index: u64,
}

fn write_payload(payload: &mut [u8], mark: Mark) {
    write_vp8(payload, mark.frame, mark.index == 0, mark.frame.is_multiple_of(KEY_FRAME_EVERY));
    payload[MARK..MARK + 8].copy_from_slice(&mark.frame.to_be_bytes());
    payload[MARK + 8] = mark.layer as u8;
}

/// Of a payload that is otherwise what was sent; the picture id may be another.
fn read_payload(payload: &[u8]) -> Option<Mark> {
    let frame = u64::from_be_bytes(payload.get(MARK..MARK + 8)?.try_into().ok()?);
    let layer = usize::from(*payload.get(MARK + 8)?);
    payload[MARK + 9..].iter().all(|&byte| byte == FILLER).then_some(Mark { frame, layer, index: 0 })
}

/// Where the mark is: after VP8's descriptor and header.
const MARK: usize = DESCRIPTOR_LEN + 10;

const FILLER: u8 = 0x5A;

/// Consumers' SSRCs count up from here.
const CONSUMER_SSRC: u32 = 0x0300_0000;

fn consumer_id(index: usize) -> String {
    format!("consumer-{index}")
}

fn produce(encodings: usize) -> Value {
    let mut options = scene::produce(0, Media::Video);
    let each = |one: &dyn Fn(usize) -> Value| (0..encodings).map(one).collect::<Vec<Value>>();
    options["rtpParameters"]["encodings"] =
        json!(each(&|layer| json!({ "ssrc": producer_ssrc(layer), "codecPayloadType": PRODUCER_PAYLOAD_TYPE })));
    options["rtpMapping"]["encodings"] =
        json!(each(&|layer| json!({ "ssrc": producer_ssrc(layer), "mappedSsrc": mapped_ssrc(layer) })));
    options
}

fn consume(index: usize, encodings: usize, layer: usize) -> Value {
    let mut options = scene::consume(&consumer_id(index), 0, CONSUMER_SSRC + index as u32, Media::Video);
    if encodings > 1 {
        options["type"] = json!("simulcast");
        options["rtpParameters"]["encodings"][0]["scalabilityMode"] = json!(format!("L{encodings}T1"));
        options["preferredLayers"] = json!({ "spatialLayer": layer, "temporalLayer": 0 });
        let each = |layer| json!({ "ssrc": mapped_ssrc(layer), "codecPayloadType": CONSUMER_PAYLOAD_TYPE });
        options["consumableRtpEncodings"] = json!((0..encodings).map(each).collect::<Vec<Value>>());
    }
    options
}
