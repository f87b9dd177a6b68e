//! A whole worker without its sockets: what the library sends on a direct transport goes all the way through a router to a
//! consumer on another one.

use std::os::fd::OwnedFd;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sfu_channel::json::payload::{PayloadFromWorker, read_from_worker, read_to_worker};
use sfu_channel::json::{FromWorker, RequestFrame};
use sfu_channel::payload::PayloadEvent;
use sfu_proto::dtls::Certificate;
use sfu_proto::rtcp::packets;
use sfu_proto::rtp::{Header, is_rtcp, set_payload_type, set_ssrc};
use sfu_proto::srtp::Backend;
use sfu_reactor::frame::FrameReader;
use sfu_reactor::poll::Poller;
use sfu_reactor::udp::RecvBatch;
use sfu_worker::channel::Output;
use sfu_worker::event_loop::OUTPUT;
use sfu_worker::requests;
use sfu_worker::sockets::Sockets;
use sfu_worker::worker::{Config, Worker};

use super::input::Input;

static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().expect("AWS-LC makes one"));

/// The producer's streams, by encoding, and RTX one higher.
const SSRCS: [u32; 2] = [1111, 1113];
/// The consumer's stream, and RTX one higher.
const CONSUMER_SSRC: u32 = 7001;
/// The media payload type on both sides, and RTX one higher.
const PAYLOAD_TYPE: u8 = 96;
const CODECS: [(&str, &str); 5] =
    [("video", "VP8"), ("video", "VP9"), ("video", "H264"), ("video", "AV1"), ("audio", "opus")];
/// The longest message of a data producer.
const MAX_MESSAGE_SIZE: usize = 1000;
/// Those of the captured streams.
const EXTENSIONS: [(&str, u8); 9] = [
    ("urn:ietf:params:rtp-hdrext:toffset", 1),
    ("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", 2),
    ("urn:3gpp:video-orientation", 3),
    ("http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 4),
    ("urn:ietf:params:rtp-hdrext:ssrc-audio-level", 6),
    ("urn:ietf:params:rtp-hdrext:sdes:mid", 9),
    ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", 10),
    ("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", 11),
    ("https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension", 13),
];
/// What goes out on the payload channel besides: what the consumer's side and the data producer's have to say.
const HEADERS: [&[u8]; 4] = [
    b"n:transport.sendRtcp:out:undefined",
    b"n:dataProducer.send:dp:51",
    b"n:dataProducer.send:dp:7",
    b"r:5:dataConsumer.send:dc:53",
];
/// Requests that would open sockets, or send to where they say.
const OUTSIDE: [&str; 6] = [
    "worker.createWebRtcServer",
    "router.createWebRtcTransport",
    "router.createWebRtcTransportWithServer",
    "router.createPlainTransport",
    "router.createPipeTransport",
    "transport.connect",
];

/// The codec and whether there is simulcast; then packets, feedback, requests, and time that passes.
pub fn worker(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let mut scene = Scene::new(usize::from(choice & 7) % CODECS.len(), choice >> 3 & 3);
    while !input.is_empty() {
        let operation = input.u8();
        match operation & 7 {
            0..=3 => scene.send_rtp(operation >> 3, input.datagram()),
            4 => scene.send(b"n:transport.sendRtcp:in:undefined", input.datagram()),
            5 => {
                let header = HEADERS[usize::from(operation >> 3) % HEADERS.len()];
                scene.send(header, input.datagram());
            }
            6 => scene.pass(Duration::from_millis(u64::from(input.u8()) * u64::from(operation >> 3))),
            _ => scene.ask(input.datagram()),
        }
    }
    scene.pass(Duration::from_secs(3));
    scene.check_dump();
}

/// Router `r`; producer `p` on the direct transport `in`, its consumer `c` on `out`.
struct Scene {
    worker: Worker,
    batch: RecvBatch,
    now: Instant,
    /// The other ends of the worker's output.
    frames: FrameReader,
    payloads: FrameReader,
    /// The last frame on the payload channel was a header, which says what its payload is.
    payload_due: Option<PayloadEvent>,
}

impl Scene {
    fn new(codec: usize, layers: u8) -> Scene {
        let (frames, output) = std::io::pipe().expect("a pipe");
        let (payloads, payload_output) = std::io::pipe().expect("a pipe");
        let output = Output::new(OwnedFd::from(output), OwnedFd::from(payload_output), OUTPUT).expect("pipes will do");
        let sockets = Sockets::new(Poller::new().expect("a poller"), 40_000, 49_999);
        let config = Config { certificate: CERTIFICATE.clone(), srtp_backend: Backend::Evp };
        let mut scene = Scene {
            worker: Worker::new(config, output, sockets),
            batch: RecvBatch::new(4, 2048),
            now: Instant::now(),
            frames: FrameReader::new(OwnedFd::from(frames)).expect("pipes will do"),
            payloads: FrameReader::new(OwnedFd::from(payloads)).expect("pipes will do"),
            payload_due: None,
        };
        scene.request("worker.createRouter", "undefined", &json!({"routerId": "r"})).expect("a router");
        for id in ["in", "out"] {
            let data = json!({"transportId": id, "direct": true, "maxMessageSize": MAX_MESSAGE_SIZE});
            scene.request("router.createDirectTransport", "r", &data).expect("a transport");
        }
        let (produce, consume) = parameters(codec, layers);
        // Not every codec has layers. What is refused is not there for what follows.
        let outcome = scene
            .request("transport.produce", "in", &produce)
            .and_then(|()| scene.request("transport.consume", "out", &consume));
        assert!(outcome.is_ok() || layers > 0, "{outcome:?}");
        for (method, transport, data) in [
            (
                "transport.produceData",
                "in",
                json!({"dataProducerId": "dp", "type": "direct", "label": "", "protocol": ""}),
            ),
            (
                "transport.consumeData",
                "out",
                json!({"dataConsumerId": "dc", "dataProducerId": "dp", "type": "direct",
                                                    "label": "", "protocol": ""}),
            ),
            (
                "router.createAudioLevelObserver",
                "r",
                json!({"rtpObserverId": "levels", "maxEntries": 1, "threshold": -80,
                                                            "interval": 1000}),
            ),
            ("router.createActiveSpeakerObserver", "r", json!({"rtpObserverId": "speakers", "interval": 300})),
        ] {
            scene.request(method, transport, &data).expect("it is sound");
        }
        if CODECS[codec].0 == "audio" {
            for observer in ["levels", "speakers"] {
                scene.request("rtpObserver.addProducer", observer, &json!({"producerId": "p"})).expect("it is audio");
            }
        }
        scene
    }

    fn request(&mut self, method: &str, handler: &str, data: &Value) -> Result<(), String> {
        let frame = RequestFrame::parse(format!("1:{method}:{handler}:{data}").as_bytes()).expect("it is sound");
        let outcome = requests::handle(&mut self.worker, self.now, &frame).map(drop).map_err(|refusal| refusal.reason);
        self.finish();
        outcome
    }

    /// Any request, but those that lead outside.
    fn ask(&mut self, text: &[u8]) {
        let Ok(frame) = RequestFrame::parse(text) else { return };
        if OUTSIDE.contains(&frame.method.as_str()) {
            return;
        }
        self.worker.output.begin_request();
        let _ = requests::handle(&mut self.worker, self.now, &frame);
        self.worker.output.reply(None);
        self.finish();
    }

    /// An RTP packet as it is, or made one of the producer's streams.
    fn send_rtp(&mut self, choice: u8, packet: &[u8]) {
        let mut packet = packet.to_vec();
        if Header::parse(&packet).is_ok() && choice & 4 == 0 {
            let rtx = choice & 2 != 0;
            set_payload_type(&mut packet, PAYLOAD_TYPE + u8::from(rtx));
            set_ssrc(&mut packet, SSRCS[usize::from(choice & 1)] + u32::from(rtx));
        }
        self.send(b"n:producer.send:p:undefined", &packet);
    }

    fn send(&mut self, header: &[u8], payload: &[u8]) {
        let header = read_to_worker(header).expect("it is sound");
        sfu_worker::payloads::handle(&mut self.worker, self.now, &header, payload, &mut self.batch);
        self.finish();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.worker.handle_timers(self.now);
        self.finish();
    }

    /// Ends the turn, and reads what the worker has to say.
    fn finish(&mut self) {
        self.worker.finish_routing(self.now, &mut self.batch);
        self.batch.clear();
        // As often as the pipes need to be emptied.
        loop {
            self.worker.output.flush(self.worker.sockets.poller()).expect("pipes can be written");
            let more = self.worker.output.has_queued();
            self.read();
            if !more {
                break;
            }
        }
    }

    fn read(&mut self) {
        self.frames.fill().expect("pipes can be read");
        while let Some(frame) = self.frames.next_frame().expect("frames are within bounds") {
            let frame = FromWorker::parse(frame);
            assert!(frame.is_ok(), "{frame:?}");
        }
        self.payloads.fill().expect("pipes can be read");
        while let Some(frame) = self.payloads.next_frame().expect("frames are within bounds") {
            match self.payload_due.take() {
                None => {
                    if let PayloadFromWorker::Notification(header) = read_from_worker(frame).expect("a header") {
                        self.payload_due = Some(header.event);
                    }
                }
                Some(PayloadEvent::Rtp) => assert!(Header::parse(frame).is_ok(), "the worker sent {frame:02x?}"),
                Some(PayloadEvent::Rtcp) => {
                    assert!(
                        is_rtcp(frame) && packets(frame).all(|packet| packet.is_ok()),
                        "the worker sent {frame:02x?}"
                    );
                }
                Some(PayloadEvent::Message { .. }) => assert!(frame.len() <= MAX_MESSAGE_SIZE),
            }
        }
    }

    /// All that there is can still be shown.
    fn check_dump(&mut self) {
        self.request("worker.dump", "undefined", &Value::Null).expect("the worker is there");
        for (method, id) in [
            ("router.dump", "r"),
            ("transport.dump", "in"),
            ("transport.getStats", "in"),
            ("transport.getStats", "out"),
            ("producer.dump", "p"),
            ("producer.getStats", "p"),
            ("consumer.dump", "c"),
            ("consumer.getStats", "c"),
        ] {
            // A request may have closed it.
            if self.worker.registry.get(id).is_some() {
                self.request(method, id, &Value::Null).expect("what is there can be shown");
            }
        }
    }
}

/// The data of requests to produce and to consume.
fn parameters(codec: usize, layers: u8) -> (Value, Value) {
    let (kind, name) = CODECS[codec];
    let is_video = kind == "video";
    let mut codecs = vec![json!({
        "mimeType": format!("{kind}/{name}"), "payloadType": PAYLOAD_TYPE,
        "clockRate": if is_video { 90_000 } else { 48_000 }, "channels": if is_video { 1 } else { 2 }, "parameters": {},
        "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "ccm", "parameter": "fir"},
                         {"type": "transport-cc"}],
    })];
    if is_video {
        codecs.push(json!({"mimeType": "video/rtx", "payloadType": PAYLOAD_TYPE + 1, "clockRate": 90_000,
                           "parameters": {"apt": PAYLOAD_TYPE}}));
    }
    let extensions: Vec<Value> = EXTENSIONS.iter().map(|(uri, id)| json!({"uri": uri, "id": id})).collect();
    let simulcast = is_video && layers == 1;
    let svc = is_video && layers == 2;
    let mode = if svc { Some("L3T3") } else { simulcast.then_some("L1T3") };
    let ssrcs = &SSRCS[..if simulcast { 2 } else { 1 }];
    let encoding = |ssrc: u32| match is_video {
        true => json!({"ssrc": ssrc, "rtx": {"ssrc": ssrc + 1}, "scalabilityMode": mode}),
        false => json!({"ssrc": ssrc}),
    };
    let encodings: Vec<Value> = ssrcs.iter().map(|ssrc| encoding(*ssrc)).collect();
    let consumable: Vec<Value> =
        ssrcs.iter().map(|ssrc| json!({"ssrc": ssrc + 4000, "scalabilityMode": mode})).collect();
    let mapped: Vec<Value> =
        ssrcs.iter().map(|ssrc| json!({"ssrc": ssrc, "mappedSsrc": ssrc + 4000, "scalabilityMode": mode})).collect();
    let rtp_parameters = |encodings: &[Value]| {
        json!({"mid": "0", "codecs": codecs, "headerExtensions": extensions, "encodings": encodings,
               "rtcp": {"cname": "sender", "reducedSize": true}})
    };
    let payload_types: Vec<Value> = (0..codecs.len() as u8)
        .map(|index| json!({"payloadType": PAYLOAD_TYPE + index, "mappedPayloadType": PAYLOAD_TYPE + index}))
        .collect();
    let produce = json!({
        "producerId": "p", "kind": kind, "rtpParameters": rtp_parameters(&encodings), "paused": false,
        "rtpMapping": {"codecs": payload_types, "encodings": mapped},
    });
    let consume = json!({
        "consumerId": "c", "producerId": "p", "kind": kind, "rtpParameters": rtp_parameters(&[encoding(CONSUMER_SSRC)]),
        "type": if simulcast { "simulcast" } else if svc { "svc" } else { "simple" },
        "consumableRtpEncodings": consumable, "paused": false,
    });
    (produce, consume)
}
