//! Consumers of simulcast: which stream they are sent, under which numbers, and what the library is told.

mod common;

use std::time::Duration;

use common::media::*;
use serde_json::{Value, json};
use sfu_proto::rtcp::{Ntp, SenderInfo, write_sender_report};

/// The producer's streams, lowest layer first, and their SSRCs inside the router.
const LAYERS: [u32; 3] = [3001, 3002, 3003];
const MAPPED: [u32; 3] = [4001, 4002, 4003];
/// Timestamps of the streams at the same time: each begins elsewhere.
const STARTS: [u32; 3] = [1000, 5_000_000, 3_000_000_000];
/// Ticks from one picture to the next.
const STEP: u32 = 3000;

/// VP8 of two temporal layers: picture id of 15 bits, TL0PICIDX, TID, sync.
fn picture(key_frame: bool, picture_id: u16, tl0: u8, temporal: u8, sync: bool) -> Vec<u8> {
    let [high, low] = picture_id.to_be_bytes();
    let layer = temporal << 6 | u8::from(sync) << 5;
    let head = [0x90, 0xe0, 0x80 | high, low, tl0, layer, u8::from(!key_frame), 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
    [&head[..], &[picture_id as u8; 50]].concat()
}

struct Stage {
    scene: Scene,
    sent: [u16; 3],
}

impl Stage {
    fn new(preferred: Value) -> Stage {
        let mut produced = produce("p");
        let encodings = |ssrcs: [u32; 3]| ssrcs.map(|ssrc| json!({"ssrc": ssrc, "scalabilityMode": "L1T2"}));
        produced["rtpParameters"]["encodings"] = json!(encodings(LAYERS));
        let mapping = LAYERS.iter().zip(MAPPED).map(|(ssrc, mapped)| json!({"ssrc": ssrc, "mappedSsrc": mapped}));
        produced["rtpMapping"]["encodings"] = mapping.collect();
        let mut consumed = consume("c", "p");
        consumed["type"] = json!("simulcast");
        consumed["rtpParameters"]["encodings"][0]["scalabilityMode"] = json!("L3T2");
        consumed["consumableRtpEncodings"] = json!(encodings(MAPPED));
        merge(&mut consumed, preferred);
        Stage { scene: Scene::with(produced, consumed), sent: [0; 3] }
    }

    /// Sends the next picture of a stream, at that time in steps; one packet, which ends it.
    fn send(&mut self, layer: usize, time: u32, key_frame: bool, temporal: u8) {
        let number = &mut self.sent[layer];
        *number += 1;
        // Each stream has counted from elsewhere.
        let id = 1000 * (layer as u16 + 1) + *number;
        let payload = picture(key_frame, id, (id / 2) as u8, temporal, temporal > 0);
        let timestamp = STARTS[layer].wrapping_add(time * STEP);
        let mut packet = rtp(SENT_PT, 7000 * layer as u16 + *number, timestamp, LAYERS[layer], &payload);
        packet[1] |= 0x80;
        self.scene.sender.send(self.scene.inlet, &packet);
    }

    /// Reports the clocks of all streams: at time 0 each was where it starts.
    fn report(&mut self) {
        let mut reports = Vec::new();
        for layer in 0..3 {
            let info = SenderInfo {
                ssrc: LAYERS[layer],
                ntp: Ntp(1000 << 32),
                rtp_timestamp: STARTS[layer],
                packet_count: 1,
                octet_count: 1,
            };
            write_sender_report(&mut reports, &info, &[]);
        }
        self.scene.sender.send(self.scene.inlet, &reports);
    }

    /// Waits until the library has been told that these layers are sent.
    fn until_sent(&mut self, spatial: i64, temporal: i64) {
        let layers = json!({"spatialLayer": spatial, "temporalLayer": temporal});
        while self.scene.worker.notification("layerschange")["data"] != layers {}
    }
}

fn timestamp(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]])
}

fn picture_id(packet: &[u8]) -> u16 {
    let payload = payload(packet);
    u16::from_be_bytes([payload[2] & 0x7f, payload[3]])
}

#[test]
fn a_switch_waits_for_a_key_frame_and_leaves_no_gap() {
    let mut stage = Stage::new(json!({"preferredLayers": {"spatialLayer": 0}}));
    stage.send(0, 0, true, 0);
    stage.send(0, 1, false, 1);
    let first: Vec<_> = (0..2).map(|_| stage.scene.receiver.receive_rtp()).collect();
    stage.until_sent(0, 1);
    stage.send(2, 1, true, 0);
    stage.report();
    let answer =
        stage.scene.worker.ask("consumer.setPreferredLayers", "c", json!({"spatialLayer": 7, "temporalLayer": 9}));
    assert_eq!(answer, json!({"spatialLayer": 2, "temporalLayer": 1}), "cut to what there is");
    // The stream is asked for a key frame; until that comes, the other one goes on.
    while stage.scene.sender.receive_rtcp(206, 1)[8..12] != LAYERS[2].to_be_bytes() {}
    stage.send(2, 2, false, 0);
    stage.send(0, 2, false, 0);
    stage.send(2, 3, true, 0);
    stage.send(2, 4, false, 1);
    stage.send(0, 4, false, 0);
    let more: Vec<_> = (0..3).map(|_| stage.scene.receiver.receive_rtp()).collect();
    let all: Vec<_> = first.iter().chain(&more).collect();
    let start = sequence(all[0]);
    for (index, packet) in all.iter().enumerate() {
        assert_eq!(ssrc(packet), RECEIVED_SSRC);
        assert_eq!(sequence(packet), start + index as u16, "numbers without a gap");
        assert_eq!(timestamp(packet), STARTS[0] + index as u32 * STEP, "timestamps as if of one stream");
        assert_eq!(picture_id(packet), 1001 + index as u16, "picture ids without a gap");
    }
    stage.until_sent(2, 1);
    let dump = stage.scene.worker.ask("consumer.dump", "c", Value::Null);
    for (field, value) in [("currentSpatialLayer", 2), ("targetSpatialLayer", 2), ("preferredTemporalLayer", 1)] {
        assert_eq!(dump[field], value, "{field}");
    }
    // A packet of before the switch is sent again as it was, from the other stream.
    stage.scene.receiver.send(stage.scene.outlet, &nack(RECEIVED_SSRC, sequence(&more[0])));
    let again = stage.scene.receiver.receive_rtp();
    assert_eq!((ssrc(&again), payload_type(&again)), (RECEIVED_RTX_SSRC, RTX_PT));
    assert_eq!(payload(&again)[..2], sequence(&more[0]).to_be_bytes());
    assert_eq!(payload(&again)[2..], *payload(&more[0]));
    assert_eq!(timestamp(&again), timestamp(&more[0]));
    let stats = stage.scene.worker.ask("consumer.getStats", "c", Value::Null);
    assert_eq!(stats[1]["ssrc"], LAYERS[2], "{stats}");
    assert!(stats[1]["bitrateByLayer"]["0.1"].as_u64() > stats[1]["bitrateByLayer"]["0.0"].as_u64(), "{stats}");
}

#[test]
fn fewer_temporal_layers_leave_no_gap_either() {
    let mut stage = Stage::new(json!({"preferredLayers": {"spatialLayer": 1, "temporalLayer": 0}}));
    stage.send(1, 0, true, 0);
    for time in 1..7 {
        stage.send(1, time, false, (time % 2) as u8);
    }
    let received: Vec<_> = (0..4).map(|_| stage.scene.receiver.receive_rtp()).collect();
    for (index, packet) in received.iter().enumerate() {
        assert_eq!(sequence(packet), sequence(&received[0]) + index as u16);
        assert_eq!(picture_id(packet), picture_id(&received[0]) + index as u16);
        assert_eq!(timestamp(packet), STARTS[1] + 2 * index as u32 * STEP);
    }
}

#[test]
fn a_layer_that_stops_is_left_and_pausing_is_told() {
    let mut stage = Stage::new(json!({}));
    for layer in 0..3 {
        stage.send(layer, 0, true, 0);
    }
    stage.report();
    // The first stream that came is sent, then the highest, once it sends a key frame.
    stage.send(2, 1, true, 0);
    stage.until_sent(2, 0);
    // It falls silent while the others go on. A second and a half later it counts as stopped.
    let mut time = 2;
    let left = loop {
        stage.send(0, time, true, 0);
        stage.send(1, time, true, 0);
        time += 1;
        stage.scene.receiver.drain_for(Duration::from_millis(50));
        let dump = stage.scene.worker.ask("consumer.dump", "c", Value::Null);
        if dump["currentSpatialLayer"] == 1 {
            break dump;
        }
        assert!(time < 200, "{dump}");
    };
    assert_eq!(left["targetSpatialLayer"], 1, "{left}");
    stage.scene.worker.ask("consumer.pause", "c", Value::Null);
    while !stage.scene.worker.notification("layerschange")["data"].is_null() {}
    let dump = stage.scene.worker.ask("consumer.dump", "c", Value::Null);
    assert_eq!((&dump["currentSpatialLayer"], &dump["targetTemporalLayer"]), (&json!(-1), &json!(-1)));
    stage.scene.worker.ask("consumer.resume", "c", Value::Null);
    stage.send(1, time, true, 0);
    stage.until_sent(1, 0);
}

#[test]
fn wrong_layers_are_refused_and_named() {
    let mut stage = Stage::new(json!({}));
    let base = || {
        let mut consumed = consume("n", "p");
        consumed["rtpParameters"]["encodings"] = json!([{"ssrc": 99, "scalabilityMode": "L3T2"}]);
        consumed["type"] = json!("simulcast");
        consumed["consumableRtpEncodings"] = json!(MAPPED.map(|ssrc| json!({"ssrc": ssrc})));
        consumed
    };
    let mut wrong = Vec::new();
    let mut fewer = base();
    fewer["consumableRtpEncodings"] = json!([{"ssrc": MAPPED[0]}]);
    wrong.push((fewer, "consumableRtpEncodings"));
    let mut svc = base();
    svc["type"] = json!("svc");
    wrong.push((svc.clone(), "consumableRtpEncodings"));
    svc["consumableRtpEncodings"] = json!([{"ssrc": MAPPED[0]}]);
    wrong.push((svc, "not supported for svc"));
    let mut preferred = base();
    preferred["preferredLayers"] = json!({"temporalLayer": 1});
    wrong.push((preferred, "spatialLayer"));
    for (request, named) in wrong {
        let refused = stage.scene.worker.refused("transport.consume", "out", request);
        assert_eq!(refused.class, "TypeError", "{}", refused.reason);
        assert!(refused.reason.contains(named), "{named}: {}", refused.reason);
    }
}
