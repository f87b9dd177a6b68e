//! The bandwidth towards a receiver: estimated from its feedback, probed, and followed by the layers that it is sent.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::media::*;
use serde_json::{Value, json};
use sfu_proto::rtcp::{FeedbackBuilder, Ntp, SenderInfo, write_remb, write_sender_report};

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const TRANSPORT_CC_ID: u8 = 5;
const PROBATION_SSRC: u32 = 1234;
const LAYERS: [u32; 2] = [3001, 3002];
const MAPPED: [u32; 2] = [4001, 4002];
/// Pictures are sent so often; one of the lower layer is 100 kbit/s then, one of the higher one 800 kbit/s.
const STEP: Duration = Duration::from_millis(20);
const SIZES: [usize; 2] = [250, 1000];
const PACKETS: [u16; 2] = [1, 2];

/// A simulcast and its receiver, behind a link of so many bits per second that exists in the receiver's mind only: what it
/// tells of arrivals is what such a link would bring about.
struct Stage {
    scene: Scene,
    start: Instant,
    pictures: u32,
    feedback: FeedbackBuilder,
    link_free: Instant,
    told: Instant,
    capacity: f64,
    /// Packets that only probe: their sequence numbers and sizes.
    probes: Vec<(u16, usize)>,
    /// The spatial layers that the library was told of, by consumer.
    layers: BTreeMap<String, Value>,
}

fn encodings(ssrcs: [u32; 2]) -> Value {
    ssrcs.into_iter().map(|ssrc| json!({"ssrc": ssrc})).collect()
}

/// A request for consumer `c` of both layers, with that kind of feedback and these header extensions.
fn consumer_of_layers(feedback: &str, extensions: &[(&str, u8)]) -> Value {
    let mut request = consume("c", "p");
    request["type"] = json!("simulcast");
    request["rtpParameters"]["encodings"][0]["scalabilityMode"] = json!("L2T1");
    request["rtpParameters"]["codecs"][0]["rtcpFeedback"].as_array_mut().unwrap().push(json!({"type": feedback}));
    request["rtpParameters"]["headerExtensions"] =
        extensions.iter().map(|(uri, id)| json!({"uri": uri, "id": id})).collect();
    request["consumableRtpEncodings"] = encodings(MAPPED);
    request
}

impl Stage {
    fn new(feedback: &str, extensions: &[(&str, u8)]) -> Stage {
        let mut produced = produce("p");
        produced["rtpParameters"]["encodings"] = encodings(LAYERS);
        let mapping = LAYERS.iter().zip(MAPPED).map(|(ssrc, mapped)| json!({"ssrc": ssrc, "mappedSsrc": mapped}));
        produced["rtpMapping"]["encodings"] = mapping.collect();
        let mut scene = Scene::with(produced, consumer_of_layers(feedback, extensions));
        scene.worker.ask("transport.enableTraceEvent", "out", json!({"types": ["probation", "bwe"]}));
        scene.receiver.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let start = Instant::now();
        let feedback = FeedbackBuilder::new(start, 1, 2);
        Stage {
            scene,
            start,
            pictures: 0,
            feedback,
            link_free: start,
            told: start,
            capacity: 1e9,
            probes: Vec::new(),
            layers: BTreeMap::new(),
        }
    }

    /// Sends pictures in real time, and takes in and reports what comes, until `done`.
    fn run(&mut self, what: &str, mut done: impl FnMut(&mut Stage) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(Instant::now() < deadline, "{what} within 30 s; layers {:?}", self.layers);
            if self.start + STEP * self.pictures <= Instant::now() {
                self.send_pictures();
            }
            self.receive();
            let patience = Duration::from_millis(1);
            if let Some(message) = self.scene.worker.notification_within("layerschange", patience) {
                let consumer = message["targetId"].as_str().unwrap().to_owned();
                self.layers.insert(consumer, message["data"]["spatialLayer"].clone());
            }
        }
    }

    fn send_pictures(&mut self) {
        let picture = self.pictures;
        self.pictures += 1;
        for layer in 0..2 {
            for index in 0..PACKETS[layer] {
                let mut payload = vp8(true, 0);
                payload.resize(SIZES[layer] - 12, 0);
                if index > 0 {
                    // It begins no partition.
                    payload[0] = 0;
                }
                let number = picture as u16 * PACKETS[layer] + index;
                let mut packet = rtp(SENT_PT, number, picture * 1800, LAYERS[layer], &payload);
                packet[1] |= if index + 1 == PACKETS[layer] { 0x80 } else { 0 };
                self.scene.sender.send(self.scene.inlet, &packet);
            }
        }
        if picture.is_multiple_of(25) {
            let mut reports = Vec::new();
            for ssrc in LAYERS {
                let ntp = Ntp((1000 << 32) + (u64::from(picture) << 32) / 50);
                let info = SenderInfo { ssrc, ntp, rtp_timestamp: picture * 1800, packet_count: 1, octet_count: 1 };
                write_sender_report(&mut reports, &info, &[]);
            }
            self.scene.sender.send(self.scene.inlet, &reports);
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok(length) = self.scene.receiver.socket.recv(&mut buffer) {
            let packet = &buffer[..length];
            if is_rtcp(packet) {
                continue;
            }
            if ssrc(packet) == PROBATION_SSRC {
                self.probes.push((sequence(packet), length));
            }
            let takes = Duration::from_secs_f64(length as f64 * 8.0 / self.capacity);
            self.link_free = self.link_free.max(Instant::now()) + takes;
            if let Some((_, value)) = extensions(packet).into_iter().find(|(id, _)| *id == TRANSPORT_CC_ID) {
                self.feedback.handle_packet(u16::from_be_bytes([value[0], value[1]]), self.link_free);
            }
        }
        if self.told.elapsed() >= Duration::from_millis(50) {
            self.told = Instant::now();
            let mut bytes = Vec::new();
            while self.feedback.poll_feedback(&mut bytes, 1200) {
                self.scene.receiver.send(self.scene.outlet, &std::mem::take(&mut bytes));
            }
        }
    }

    /// Whether consumer `c` is sent that layer.
    fn sends(&self, layer: u8) -> bool {
        self.layers.get("c").is_some_and(|sent| *sent == layer)
    }

    /// The receiver tells how much it can take, in bit/s.
    fn tell_bound(&mut self, bitrate: u64) {
        let mut remb = Vec::new();
        write_remb(&mut remb, 4242, bitrate, &[RECEIVED_SSRC]);
        self.scene.receiver.send(self.scene.outlet, &remb);
    }

    fn stat(&mut self, field: &str) -> u64 {
        self.scene.worker.ask("transport.getStats", "out", Value::Null)[0][field].as_u64().unwrap_or_default()
    }
}

#[test]
fn layers_follow_what_the_receiver_tells_of_arrivals() {
    let extensions = [(MID, 1), (ABS_SEND_TIME, 4), (TRANSPORT_CC, TRANSPORT_CC_ID)];
    let mut stage = Stage::new("transport-cc", &extensions);
    assert_eq!(stage.stat("availableOutgoingBitrate"), 600_000, "what is assumed");
    stage.capacity = 5e6;
    stage.scene.worker.ask("transport.setMaxOutgoingBitrate", "out", json!({"bitrate": 300_000}));
    stage.run("the lower layer, and the rates of both", |stage| stage.sends(0) && stage.pictures > 150);
    assert!(stage.probes.is_empty(), "the library allows no more");
    stage.scene.worker.ask("transport.setMaxOutgoingBitrate", "out", json!({"bitrate": 0}));
    // The higher one takes 800 kbit/s: only probing can show that there is as much.
    stage.run("the higher layer", |stage| stage.sends(1));
    assert!(!stage.probes.is_empty(), "padding on the SSRC for it");
    // A machine that stands still for a moment looks like a jam, from which the estimate comes back.
    stage.run("more than what is assumed", |stage| stage.stat("availableOutgoingBitrate") > 600_000);
    assert!(stage.stat("probationBytesSent") > 0);
    stage.capacity = 3e5;
    stage.run("the lower layer again", |stage| stage.sends(0));
    let available = stage.stat("availableOutgoingBitrate");
    assert!((30_000..600_000).contains(&available), "{available}");
}

#[test]
fn the_library_bounds_the_estimate_and_the_layers_follow() {
    let extensions = [(TRANSPORT_CC, TRANSPORT_CC_ID)];
    let mut stage = Stage::new("transport-cc", &extensions);
    stage.run("the higher layer", |stage| stage.sends(1));
    stage.scene.worker.ask("transport.setMaxOutgoingBitrate", "out", json!({"bitrate": 400_000}));
    assert_eq!(stage.stat("availableOutgoingBitrate"), 400_000);
    stage.run("the lower layer", |stage| stage.sends(0));
}

#[test]
fn without_transport_wide_feedback_the_receivers_bound_counts() {
    let mut stage = Stage::new("goog-remb", &[(ABS_SEND_TIME, 4)]);
    stage.run("the lower layer", |stage| stage.sends(0));
    for (bitrate, layer) in [(2_000_000, 1), (300_000, 0)] {
        stage.tell_bound(bitrate);
        stage.run("another layer", |stage| stage.sends(layer));
        let available = stage.stat("availableOutgoingBitrate");
        // REMB has 18 bits of mantissa.
        assert!(available.abs_diff(bitrate) < bitrate / 1000, "{available} of {bitrate}");
    }
}

#[test]
fn padding_fills_up_to_the_receivers_bound_until_that_is_enough() {
    let mut stage = Stage::new("goog-remb", &[(MID, 1), (ABS_SEND_TIME, 4)]);
    // The rates of layers are known by then.
    stage.run("the lower layer", |stage| stage.sends(0) && stage.pictures > 150);
    stage.tell_bound(500_000);
    // 100 kbit/s of media leave 400 kbit/s. It is not a cluster, but goes on.
    let until = Instant::now() + Duration::from_millis(1500);
    stage.run("padding", |_| Instant::now() >= until);
    let bytes: usize = stage.probes.iter().map(|(_, size)| size).sum();
    assert!((40_000..200_000).contains(&bytes), "{bytes} bytes");
    assert!(stage.stat("availableOutgoingBitrate").abs_diff(500_000) < 500);
    // The higher layer is wanted and fits; there is nothing more to be found out.
    stage.tell_bound(2_000_000);
    stage.run("the higher layer", |stage| stage.sends(1));
    let (probes, pictures) = (stage.probes.len(), stage.pictures);
    stage.run("some pictures", |stage| stage.pictures > pictures + 25);
    assert!(stage.probes.len() - probes < 5, "{} more", stage.probes.len() - probes);
    // What the library allows goes before what the receiver does, in both directions.
    stage.scene.worker.ask("transport.setMinOutgoingBitrate", "out", json!({"bitrate": 250_000}));
    stage.tell_bound(60_000);
    stage.run("the lower layer", |stage| stage.sends(0));
    assert_eq!(stage.stat("availableOutgoingBitrate"), 250_000);
    stage.scene.worker.ask("transport.setMinOutgoingBitrate", "out", json!({"bitrate": 0}));
    stage.scene.worker.ask("transport.setMaxOutgoingBitrate", "out", json!({"bitrate": 400_000}));
    stage.tell_bound(3_000_000);
    stage.run("the bound", |stage| stage.stat("availableOutgoingBitrate") == 400_000);
}

#[test]
fn where_a_bound_allows_no_layer_the_lowest_takes_the_place_of_padding() {
    let mut stage = Stage::new("goog-remb", &[(MID, 1), (ABS_SEND_TIME, 4)]);
    stage.run("the lower layer", |stage| stage.sends(0) && stage.pictures > 150);
    // It takes 100 kbit/s, and there is padding of 75.
    stage.tell_bound(50_000);
    stage.run("no layer", |stage| stage.layers.get("c").is_some_and(Value::is_null));
    stage.run("padding", |stage| !stage.probes.is_empty());
    // There would be 120.
    stage.tell_bound(80_000);
    stage.run("the lower layer", |stage| stage.sends(0));
}

#[test]
fn what_is_available_is_shared_by_priority_and_then_layer_by_layer() {
    let mut stage = Stage::new("goog-remb", &[(ABS_SEND_TIME, 4)]);
    let mut request = consumer_of_layers("goog-remb", &[(ABS_SEND_TIME, 4)]);
    request["consumerId"] = json!("d");
    request["rtpParameters"]["mid"] = json!("1");
    request["rtpParameters"]["encodings"] = json!([{"ssrc": 7101, "rtx": {"ssrc": 7102}, "scalabilityMode": "L2T1"}]);
    stage.scene.worker.ask("transport.consume", "out", request);
    let sent = |stage: &Stage, layers: [Value; 2]| {
        ["c", "d"].map(|consumer| stage.layers.get(consumer).cloned().unwrap_or_default()) == layers
    };
    // Enough for both lower layers, 100 kbit/s each; and for one higher one, 800 kbit/s, beside a lower one.
    for (bitrate, priorities, layers) in [
        (450_000, [1, 2], [json!(0), json!(0)]),
        (1_100_000, [1, 2], [json!(0), json!(1)]),
        (1_100_000, [5, 2], [json!(1), json!(0)]),
        (2_500_000, [5, 2], [json!(1), json!(1)]),
        // Of a lower layer only one fits.
        (150_000, [5, 200], [Value::Null, json!(0)]),
    ] {
        for (consumer, priority) in ["c", "d"].into_iter().zip(priorities) {
            stage.scene.worker.ask("consumer.setPriority", consumer, json!({"priority": priority}));
        }
        stage.tell_bound(bitrate);
        let what = format!("{layers:?} at {bitrate} bit/s by priorities {priorities:?}");
        stage.run(&what, |stage| sent(stage, layers.clone()));
    }
    // Who is paused leaves its share to the other.
    stage.scene.worker.ask("consumer.pause", "d", Value::Null);
    stage.run("the other consumer's lower layer", |stage| stage.sends(0));
}

#[test]
fn traces_tell_what_is_estimated_and_each_packet_that_probes() {
    let extensions = [(MID, 1), (ABS_SEND_TIME, 4), (TRANSPORT_CC, TRANSPORT_CC_ID)];
    let mut stage = Stage::new("transport-cc", &extensions);
    stage.scene.worker.ask("transport.setMaxOutgoingBitrate", "out", json!({"bitrate": 3_000_000}));
    stage.capacity = 5e6;
    stage.run("a probe", |stage| stage.probes.len() >= 3);
    let (number, size) = stage.probes[2];
    let (mut estimate, mut probe) = (Value::Null, Value::Null);
    let deadline = Instant::now() + PATIENCE;
    while estimate.is_null() || probe.is_null() {
        assert!(Instant::now() < deadline, "estimate {estimate}, packet {number} {probe}");
        let message = stage.scene.worker.notification("trace");
        let data = &message["data"];
        assert_eq!((&message["targetId"], &data["direction"]), (&json!("out"), &json!("out")));
        assert!(data["timestamp"].is_u64(), "{data}");
        match data["type"].as_str() {
            Some("bwe") if data["info"]["maxBitrate"] == 3_000_000 => estimate = data["info"].clone(),
            Some("probation") if data["info"]["sequenceNumber"] == number => probe = data["info"].clone(),
            Some("bwe" | "probation") => {}
            _ => panic!("{message}"),
        }
    }
    assert_eq!(estimate["type"], "transport-cc");
    assert_eq!((&estimate["minBitrate"], &estimate["startBitrate"]), (&json!(30_000), &json!(600_000)));
    for field in ["desiredBitrate", "effectiveDesiredBitrate", "maxPaddingBitrate", "availableBitrate"] {
        assert!(estimate[field].as_u64() > Some(0), "{field} of {estimate}");
    }
    assert_eq!((&probe["ssrc"], &probe["mid"]), (&json!(PROBATION_SSRC), &json!("probator")));
    assert_eq!((&probe["payloadType"], &probe["size"]), (&json!(127), &json!(size)));
    assert!(probe["payloadSize"].as_u64() < Some(size as u64), "{probe}");
    assert!(probe["wideSequenceNumber"].is_u64() && probe["timestamp"].is_u64(), "{probe}");
    for field in ["marker", "isKeyFrame"] {
        assert_eq!(probe[field], false, "{field}");
    }
}
