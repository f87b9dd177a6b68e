//! Consumers of SVC: AV1 in L3T3, as Chromium has sent it with frames of layers left out.

mod common;

use std::collections::HashSet;

use common::media::*;
use serde_json::json;
use sfu_proto::codec::dependency_descriptor::{Descriptor, Parser};
use sfu_proto::rtp::{ExtensionIds, ExtensionKind, Header, parse_extensions};

/// See the README beside it.
const CAPTURE: &str = include_str!("../../proto/tests/layers/av1-l3t3-drops.hex");
/// The identifiers of the dependency descriptor's header extension: there, and to the receiver.
const SENT_ID: u8 = 9;
const RECEIVED_ID: u8 = 4;

/// A producer of the captured stream, and a consumer that prefers its lowest layers.
fn scene() -> Scene {
    let uri = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
    let extension = |id: u8| json!([{"uri": uri, "id": id, "encrypt": false, "parameters": {}}]);
    let mut produced = produce("p");
    produced["rtpParameters"]["codecs"][0]["mimeType"] = json!("video/AV1");
    produced["rtpParameters"]["headerExtensions"] = extension(SENT_ID);
    produced["rtpParameters"]["encodings"][0]["scalabilityMode"] = json!("L3T3");
    let mut consumed = consume("c", "p");
    consumed["type"] = json!("svc");
    consumed["rtpParameters"]["codecs"][0]["mimeType"] = json!("video/AV1");
    consumed["rtpParameters"]["headerExtensions"] = extension(RECEIVED_ID);
    consumed["rtpParameters"]["encodings"][0]["scalabilityMode"] = json!("L3T3");
    consumed["consumableRtpEncodings"][0]["scalabilityMode"] = json!("L3T3");
    consumed["preferredLayers"] = json!({"spatialLayer": 0, "temporalLayer": 0});
    Scene::with(produced, consumed)
}

/// The packets of the capture, as the scene's sender sends them.
fn packets() -> impl Iterator<Item = Vec<u8>> {
    CAPTURE.lines().map(|line| {
        let mut packet = hex::decode(line).expect("hexadecimal");
        packet[1] = packet[1] & 0x80 | SENT_PT;
        packet[8..12].copy_from_slice(&SENT_SSRC.to_be_bytes());
        packet
    })
}

/// A packet's descriptor, read with what those before have told.
fn describe(parser: &mut Parser, packet: &[u8], id: u8) -> Descriptor {
    let mut ids = ExtensionIds::new();
    ids.set(ExtensionKind::DependencyDescriptor, id);
    let extensions = parse_extensions(packet, &Header::parse(packet).expect("RTP"), &ids);
    let value = extensions.value(ExtensionKind::DependencyDescriptor, packet).expect("it has one");
    parser.parse(value).expect("well-formed")
}

#[test]
fn every_picture_has_its_end_and_needs_nothing_that_was_not_sent() {
    let mut scene = scene();
    let mut parser = Parser::new();
    let mut expected = Vec::new();
    let mut key_frames = 0;
    for (count, packet) in packets().enumerate() {
        let frame = describe(&mut parser, &packet, SENT_ID);
        key_frames += u32::from(frame.has_structure);
        if frame.has_structure && key_frames == 2 {
            // By now it is known which layers come, so that others become the target. The key frame brings them.
            scene.settle(count as u64);
            scene.worker.ask("consumer.setPreferredLayers", "c", json!({"spatialLayer": 1, "temporalLayer": 2}));
            scene.receiver.drain_rtp();
        }
        scene.sender.send(scene.inlet, &packet);
        if key_frames >= 2 && frame.spatial_id <= 1 {
            expected.push(packet[4..8].to_vec());
        }
    }
    let mut parser = Parser::new();
    let mut sent = HashSet::new();
    let mut before: Option<Header> = None;
    for timestamp in &expected {
        let packet = scene.receiver.receive_rtp();
        assert_eq!(packet[4..8], timestamp[..], "everything of the layers");
        let header = Header::parse(&packet).expect("RTP");
        if let Some(before) = before {
            assert_eq!(header.sequence_number, before.sequence_number.wrapping_add(1), "in order, without a gap");
            assert_eq!(before.marker, header.timestamp != before.timestamp, "a picture's end is marked");
        }
        before = Some(header);
        let frame = describe(&mut parser, &packet, RECEIVED_ID);
        if frame.has_structure {
            sent.clear();
        }
        for difference in frame.references.differences() {
            let reference = frame.frame_number.wrapping_sub(*difference);
            assert!(sent.contains(&reference), "frame {} refers to {reference}", frame.frame_number);
        }
        sent.insert(frame.frame_number);
    }
    assert!(expected.len() > 80, "{} packets", expected.len());
}

#[test]
fn traces_tell_the_layers() {
    let mut scene = scene();
    let types = json!({"types": ["rtp"]});
    scene.worker.ask("producer.enableTraceEvent", "p", types.clone());
    scene.worker.ask("consumer.enableTraceEvent", "c", types);
    let mut parser = Parser::new();
    let mut layers = Vec::new();
    for packet in packets().take(60) {
        scene.sender.send(scene.inlet, &packet);
        let frame = describe(&mut parser, &packet, SENT_ID);
        layers.push((frame.spatial_id, frame.temporal_id));
    }
    // The lowest layer is what is sent on.
    let lowest: Vec<_> = layers.iter().copied().filter(|layers| *layers == (0, 0)).collect();
    assert!(lowest.len() > 3 && lowest.len() < layers.len());
    let mut told = [Vec::new(), Vec::new()];
    for _ in 0..layers.len() + lowest.len() {
        let event = scene.worker.notification("trace");
        let info = &event["data"]["info"];
        let layer = |name: &str| info[name].as_u64().expect("a number") as u8;
        told[usize::from(event["targetId"] == "c")].push((layer("spatialLayer"), layer("temporalLayer")));
    }
    assert_eq!(told, [layers, lowest]);
}
