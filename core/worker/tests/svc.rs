//! Consumers of SVC: AV1 in L3T3, as Chromium has sent it with frames of layers left out.

mod common;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::media::*;
use serde_json::{Value, json};
use sfu_proto::codec::dependency_descriptor::{Descriptor, Parser};
use sfu_proto::rtcp::FeedbackBuilder;
use sfu_proto::rtp::{ExtensionIds, ExtensionKind, Header, parse_extensions};

/// See the README beside it.
const CAPTURE: &str = include_str!("../../proto/tests/layers/av1-l3t3-drops.hex");
/// The identifiers of the dependency descriptor's header extension: there, and to the receiver.
const SENT_ID: u8 = 9;
const RECEIVED_ID: u8 = 4;
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const TRANSPORT_CC_ID: u8 = 5;

/// A producer of the captured stream, and a consumer that prefers its lowest layers.
fn scene() -> Scene {
    let (produced, consumed) = requests();
    Scene::with(produced, consumed)
}

/// What is asked for in that scene.
fn requests() -> (Value, Value) {
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
    (produced, consumed)
}

/// Has a consumer's packets numbered for its transport, with feedback about them.
fn with_transport_feedback(mut consumed: Value) -> Value {
    let parameters = &mut consumed["rtpParameters"];
    let extension = json!({"uri": TRANSPORT_CC, "id": TRANSPORT_CC_ID, "encrypt": false, "parameters": {}});
    parameters["headerExtensions"].as_array_mut().expect("a list").push(extension);
    let feedback = parameters["codecs"][0]["rtcpFeedback"].as_array_mut().expect("a list");
    feedback.push(json!({"type": "transport-cc"}));
    consumed
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
    parser.parse(extension(packet, ExtensionKind::DependencyDescriptor, id)).expect("well-formed")
}

/// The value of a packet's header extension.
fn extension(packet: &[u8], kind: ExtensionKind, id: u8) -> &[u8] {
    let mut ids = ExtensionIds::new();
    ids.set(kind, id);
    let extensions = parse_extensions(packet, &Header::parse(packet).expect("RTP"), &ids);
    extensions.value(kind, packet).expect("it has one")
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

/// The next packet that is sent again, after all that is sent for the first time and what only probes.
fn receive_again(scene: &Scene) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let packet = scene.receiver.receive_rtp();
        if ssrc(&packet) == RECEIVED_RTX_SSRC {
            return packet;
        }
        assert!(Instant::now() < deadline, "nothing is sent again");
    }
}

/// Tells that a packet has been lost: those beside it have arrived.
fn report_lost(scene: &Scene, packet: &[u8]) {
    let value = extension(packet, ExtensionKind::TransportWideCc, TRANSPORT_CC_ID);
    let number = u16::from_be_bytes([value[0], value[1]]);
    let start = Instant::now();
    let mut feedback = FeedbackBuilder::new(start, 4242, RECEIVED_SSRC);
    for neighbour in [number.wrapping_sub(1), number.wrapping_add(1)] {
        feedback.handle_packet(neighbour, start + Duration::from_millis(1));
    }
    let mut bytes = Vec::new();
    assert!(feedback.poll_feedback(&mut bytes, 1200));
    scene.receiver.send(scene.outlet, &bytes);
}

/// A receiver has one packet sent again, and that is lost on its way. Libwebrtc does not ask for it once more when a later
/// picture's lowest layer has come, but without it there is no picture until it asks for a key frame, seconds later.
#[test]
fn what_is_lost_again_is_sent_again_unasked_and_replaced_by_a_key_frame_at_last() {
    let (produced, consumed) = requests();
    let mut scene = Scene::with(produced, with_transport_feedback(consumed));
    let mut parser = Parser::new();
    let mut key_frames = 0;
    for (count, packet) in packets().enumerate() {
        key_frames += u32::from(describe(&mut parser, &packet, SENT_ID).has_structure);
        if key_frames == 2 {
            // By now it is known what the layers take, so that some become the target. The key frame brings them.
            scene.settle(count as u64);
            scene.worker.ask("consumer.setPreferredLayers", "c", json!({"spatialLayer": 1, "temporalLayer": 2}));
            scene.receiver.drain_rtp();
            scene.sender.send(scene.inlet, &packet);
            break;
        }
        scene.sender.send(scene.inlet, &packet);
    }
    let first = scene.receiver.receive_rtp();
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&first)));
    let mut again = receive_again(&scene);
    for _ in 0..2 {
        report_lost(&scene, &again);
        let next = receive_again(&scene);
        assert_eq!(sequence(&next), sequence(&again).wrapping_add(1));
        assert_eq!(payload(&next), payload(&again), "the same packet");
        again = next;
    }
    // What was asked for so far.
    scene.worker.dump();
    scene.sender.drain_rtp();
    report_lost(&scene, &again);
    scene.sender.receive_rtcp(206, 1);
}

/// One stream's receivers ask again until they have what they need.
#[test]
fn what_has_no_layers_is_sent_again_when_it_is_asked_for_alone() {
    let mut scene = Scene::with(produce("p"), with_transport_feedback(consume("c", "p")));
    scene.send(1, &vp8(true, 1));
    let first = scene.receiver.receive_rtp();
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&first)));
    report_lost(&scene, &receive_again(&scene));
    scene.worker.dump();
    assert!(scene.receiver.drain_rtp().iter().all(|packet| ssrc(packet) != RECEIVED_RTX_SSRC));
}
