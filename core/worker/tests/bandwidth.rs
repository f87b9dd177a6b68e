//! The bandwidth towards a receiver: estimated from its feedback, probed, and followed by the layers that it is sent.

mod common;

use std::time::{Duration, Instant};

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
    /// Packets that only probe, and layers that the library was told of.
    probes: usize,
    layers: Value,
}

impl Stage {
    fn new(feedback: &str, extensions: &[(&str, u8)], options: Value) -> Stage {
        let mut produced = produce("p");
        let encodings = |ssrcs: [u32; 2]| ssrcs.map(|ssrc| json!({"ssrc": ssrc}));
        produced["rtpParameters"]["encodings"] = json!(encodings(LAYERS));
        let mapping = LAYERS.iter().zip(MAPPED).map(|(ssrc, mapped)| json!({"ssrc": ssrc, "mappedSsrc": mapped}));
        produced["rtpMapping"]["encodings"] = mapping.collect();
        let mut consumed = consume("c", "p");
        consumed["type"] = json!("simulcast");
        consumed["rtpParameters"]["encodings"][0]["scalabilityMode"] = json!("L2T1");
        consumed["rtpParameters"]["codecs"][0]["rtcpFeedback"].as_array_mut().unwrap().push(json!({"type": feedback}));
        let extensions = extensions.iter().map(|(uri, id)| json!({"uri": uri, "id": id}));
        consumed["rtpParameters"]["headerExtensions"] = extensions.collect();
        consumed["consumableRtpEncodings"] = json!(encodings(MAPPED));
        merge(&mut consumed, options);
        let mut scene = Scene::with(produced, consumed);
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
            probes: 0,
            layers: Value::Null,
        }
    }

    /// Sends pictures in real time, and takes in and reports what comes, until `done`.
    fn run(&mut self, what: &str, mut done: impl FnMut(&mut Stage) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(Instant::now() < deadline, "{what} within 30 s; layers {}", self.layers);
            if self.start + STEP * self.pictures <= Instant::now() {
                self.send_pictures();
            }
            self.receive();
            let patience = Duration::from_millis(1);
            if let Some(message) = self.scene.worker.notification_within("layerschange", patience) {
                self.layers = message["data"]["spatialLayer"].clone();
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
            self.probes += usize::from(ssrc(packet) == PROBATION_SSRC);
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

    fn stat(&mut self, field: &str) -> u64 {
        self.scene.worker.ask("transport.getStats", "out", Value::Null)[0][field].as_u64().unwrap_or_default()
    }
}

#[test]
fn layers_follow_what_the_receiver_tells_of_arrivals() {
    let extensions = [(MID, 1), (ABS_SEND_TIME, 4), (TRANSPORT_CC, TRANSPORT_CC_ID)];
    let mut stage = Stage::new("transport-cc", &extensions, json!({}));
    assert_eq!(stage.stat("availableOutgoingBitrate"), 600_000, "what is assumed");
    stage.run("the lower layer", |stage| stage.layers == 0);
    // The higher one takes 800 kbit/s: only probing can show that there is as much.
    stage.capacity = 5e6;
    stage.run("the higher layer", |stage| stage.layers == 1);
    assert!(stage.probes > 0, "padding on the SSRC for it");
    assert!(stage.stat("availableOutgoingBitrate") > 600_000, "more than what is assumed");
    assert!(stage.stat("probationBytesSent") > 0);
    stage.capacity = 3e5;
    stage.run("the lower layer again", |stage| stage.layers == 0);
    let available = stage.stat("availableOutgoingBitrate");
    assert!((30_000..600_000).contains(&available), "{available}");
}

#[test]
fn the_library_bounds_the_estimate_and_the_layers_follow() {
    let extensions = [(TRANSPORT_CC, TRANSPORT_CC_ID)];
    let mut stage = Stage::new("transport-cc", &extensions, json!({}));
    stage.run("the higher layer", |stage| stage.layers == 1);
    stage.scene.worker.ask("transport.setMaxOutgoingBitrate", "out", json!({"bitrate": 400_000}));
    assert_eq!(stage.stat("availableOutgoingBitrate"), 400_000);
    stage.run("the lower layer", |stage| stage.layers == 0);
}

#[test]
fn without_transport_wide_feedback_the_receivers_bound_counts() {
    let mut stage = Stage::new("goog-remb", &[(ABS_SEND_TIME, 4)], json!({}));
    stage.run("the lower layer", |stage| stage.layers == 0);
    for (bitrate, layer) in [(2_000_000, 1), (300_000, 0)] {
        let mut remb = Vec::new();
        write_remb(&mut remb, 4242, bitrate, &[RECEIVED_SSRC]);
        stage.scene.receiver.send(stage.scene.outlet, &remb);
        stage.run("another layer", |stage| stage.layers == layer);
        let available = stage.stat("availableOutgoingBitrate");
        // REMB has 18 bits of mantissa.
        assert!(available.abs_diff(bitrate) < bitrate / 1000, "{available} of {bitrate}");
    }
}
