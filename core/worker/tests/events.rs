//! What a producer and a consumer notify of while media flows: traces, how the camera is held; and how key frames are
//! asked for.

mod common;

use std::time::{Duration, Instant};

use common::PATIENCE;
use common::media::*;
use serde_json::{Value, json};

/// The next trace: whose, of which type, in which direction, and its info.
fn next_trace(scene: &mut Scene) -> (String, String, String, Value) {
    let event = scene.worker.notification("trace");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let data = &event["data"];
    assert!(data["timestamp"].is_u64(), "{event}");
    (text(&event["targetId"]), text(&data["type"]), text(&data["direction"]), data["info"].clone())
}

/// A full intra request (RFC 5104, 4.3.1).
fn fir(media_ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend_from_slice(&4242_u32.to_be_bytes());
    packet.extend_from_slice(&[0x84, 206, 0, 4]);
    packet.extend_from_slice(&4242_u32.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(&media_ssrc.to_be_bytes());
    packet.extend_from_slice(&[1, 0, 0, 0]);
    packet
}

/// A scene where both ends trace all, the producer answers to that kind of key frame request alone.
fn traced(feedback: &Value) -> Scene {
    let mut produce = produce("p");
    produce["rtpParameters"]["codecs"][0]["rtcpFeedback"] = json!([{"type": "nack"}, feedback]);
    let mut scene = Scene::with(produce, consume("c", "p"));
    let all = json!({"types": ["rtp", "keyframe", "nack", "pli", "fir"]});
    scene.worker.ask("producer.enableTraceEvent", "p", all.clone());
    scene.worker.ask("consumer.enableTraceEvent", "c", all);
    scene
}

#[test]
fn packets_are_traced_as_they_come_and_as_they_go() {
    let mut scene = traced(&json!({"type": "nack", "parameter": "pli"}));
    for (number, kind) in [(100, "keyframe"), (101, "rtp")] {
        let key_frame = kind == "keyframe";
        scene.send(number, &vp8(key_frame, 0));
        let (target, found, direction, info) = next_trace(&mut scene);
        assert_eq!((&*target, &*found, &*direction), ("p", kind, "in"));
        assert_eq!((&info["ssrc"], &info["payloadType"]), (&json!(SENT_SSRC), &json!(SENT_PT)));
        assert_eq!((&info["sequenceNumber"], &info["size"]), (&json!(number), &json!(212)));
        assert_eq!((&info["isKeyFrame"], &info["isRtx"]), (&json!(key_frame), &Value::Null));

        let (target, found, direction, info) = next_trace(&mut scene);
        assert_eq!((&*target, &*found, &*direction), ("c", kind, "out"));
        let packet = scene.receiver.receive_rtp();
        assert_eq!((&info["ssrc"], &info["payloadType"]), (&json!(RECEIVED_SSRC), &json!(PT)));
        assert_eq!((&info["sequenceNumber"], &info["size"]), (&json!(sequence(&packet)), &json!(packet.len())));
        assert_eq!((&info["payloadSize"], &info["isKeyFrame"]), (&json!(200), &json!(key_frame)));
        assert_eq!(info["isRtx"], Value::Null);
    }
}

#[test]
fn traces_tell_the_layer() {
    let mut scene = Scene::new();
    let types = json!({"types": ["rtp"]});
    scene.worker.ask("producer.enableTraceEvent", "p", types.clone());
    scene.worker.ask("consumer.enableTraceEvent", "c", types);
    for (number, temporal) in [(100, 0), (101, 2), (102, 1)] {
        // VP8 of several temporal layers (RFC 7741, 4.2): picture id of 7 bits, TL0PICIDX, TID; the first is a key frame.
        let descriptor = [0x90, 0xe0, 5, 1, temporal << 6];
        scene.send(number, &[&descriptor[..], &vp8(number == 100, 0)[1..]].concat());
        for side in ["p", "c"] {
            let (target, kind, _, info) = next_trace(&mut scene);
            assert_eq!((&*target, &*kind), (side, "rtp"));
            assert_eq!(
                (&info["spatialLayer"], &info["temporalLayer"]),
                (&json!(0), &json!(temporal)),
                "{side} {number}"
            );
        }
    }
    // The same when one is sent again.
    let sent: Vec<_> = (0..3).map(|_| scene.receiver.receive_rtp()).collect();
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&sent[1])));
    let (.., again) = next_trace(&mut scene);
    assert_eq!((&again["isRtx"], &again["temporalLayer"]), (&json!(true), &json!(2)));
}

#[test]
fn retransmissions_are_traced_on_both_sides() {
    let mut scene = traced(&json!({"type": "nack", "parameter": "pli"}));
    scene.send(1, &vp8(true, 0));
    let lost = scene.receiver.receive_rtp();
    (0..2).for_each(|_| drop(next_trace(&mut scene)));

    // The receiver misses the key frame.
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&lost)));
    let (target, kind, direction, _) = next_trace(&mut scene);
    assert_eq!((&*target, &*kind, &*direction), ("c", "nack", "in"));
    let (target, kind, direction, info) = next_trace(&mut scene);
    assert_eq!((&*target, &*kind, &*direction), ("c", "keyframe", "out"));
    let again = scene.receiver.receive_rtp();
    assert_eq!((&info["isRtx"], &info["isKeyFrame"]), (&json!(true), &json!(true)));
    assert_eq!((&info["ssrc"], &info["payloadType"]), (&json!(RECEIVED_RTX_SSRC), &json!(RTX_PT)));
    assert_eq!((&info["sequenceNumber"], &info["size"]), (&json!(sequence(&again)), &json!(again.len())));

    // The worker misses 2, which comes by RTX.
    scene.send(3, &vp8(false, 0));
    let mut traces: Vec<_> = (0..3).map(|_| next_trace(&mut scene)).collect();
    let asked = traces.iter().position(|(_, kind, ..)| kind == "nack").expect("a NACK is traced");
    let (target, _, direction, _) = traces.remove(asked);
    assert_eq!((&*target, &*direction), ("p", "out"));
    let payload = [&2_u16.to_be_bytes()[..], &vp8(false, 0)].concat();
    scene.sender.send(scene.inlet, &rtp(SENT_RTX_PT, 9, 0, SENT_RTX_SSRC, &payload));
    let (target, kind, direction, info) = next_trace(&mut scene);
    assert_eq!((&*target, &*kind, &*direction), ("p", "rtp", "in"));
    assert_eq!((&info["isRtx"], &info["sequenceNumber"]), (&json!(true), &json!(2)));
    let (target, kind, direction, info) = next_trace(&mut scene);
    assert_eq!((&*target, &*kind, &*direction), ("c", "rtp", "out"));
    assert_eq!(info["isRtx"], Value::Null, "to this receiver it is new");
}

#[test]
fn key_frame_requests_are_traced_as_they_come_and_as_they_go() {
    for (feedback, asked) in
        [(json!({"type": "nack", "parameter": "pli"}), "pli"), (json!({"type": "ccm", "parameter": "fir"}), "fir")]
    {
        for (request, kind) in [(pli(RECEIVED_SSRC), "pli"), (fir(RECEIVED_SSRC), "fir")] {
            let mut scene = traced(&feedback);
            scene.send(1, &vp8(true, 0));
            (0..2).for_each(|_| drop(next_trace(&mut scene)));
            scene.receiver.send(scene.outlet, &request);
            let (target, found, direction, info) = next_trace(&mut scene);
            assert_eq!((&*target, &*found, &*direction), ("c", kind, "in"));
            assert_eq!(info["ssrc"], json!(RECEIVED_SSRC));
            let (target, found, direction, info) = next_trace(&mut scene);
            assert_eq!((&*target, &*found, &*direction), ("p", asked, "out"));
            assert_eq!(info["ssrc"], json!(SENT_SSRC));
        }
    }
}

#[test]
fn only_what_was_asked_for_is_traced() {
    let mut scene = Scene::new();
    scene.worker.ask("producer.enableTraceEvent", "p", json!({"types": ["keyframe"]}));
    for number in 1..=3 {
        scene.send(number, &vp8(number != 2, 0));
    }
    for number in [1, 3] {
        let (target, kind, _, info) = next_trace(&mut scene);
        assert_eq!((&*target, &*kind), ("p", "keyframe"));
        assert_eq!(info["sequenceNumber"], json!(number));
    }
}

#[test]
fn a_turned_camera_is_told_once() {
    let mut produce = produce("p");
    produce["rtpParameters"]["headerExtensions"] = json!([{"uri": "urn:3gpp:video-orientation", "id": 6}]);
    let mut scene = Scene::with(produce, consume("c", "p"));
    // 3GPP TS 26.114, 6.2.3: which camera, whether it is mirrored, and quarter turns.
    for (number, value) in [0b1010_u8, 0b1010, 0b0100, 0b0100, 0b1010].into_iter().enumerate() {
        let packet = rtp(SENT_PT, number as u16, 0, SENT_SSRC, &vp8(number == 0, 0));
        scene.sender.send(scene.inlet, &rtp_with(&[(6, &[value])], &packet));
    }
    for (camera, flip, rotation) in [(true, false, 180), (false, true, 0), (true, false, 180)] {
        let event = scene.worker.notification("videoorientationchange");
        assert_eq!(event["targetId"], json!("p"));
        assert_eq!(event["data"], json!({"camera": camera, "flip": flip, "rotation": rotation}));
    }
}

#[test]
fn key_frames_are_asked_for_no_more_often_than_the_library_says() {
    const DELAY: Duration = Duration::from_millis(700);
    let mut produce = produce("p");
    produce["keyFrameRequestDelay"] = json!(DELAY.as_millis() as u64);
    let scene = Scene::with(produce, consume("c", "p"));
    scene.send(1, &vp8(true, 0));
    scene.receiver.receive_rtp();

    let start = Instant::now();
    scene.receiver.send(scene.outlet, &pli(RECEIVED_SSRC));
    scene.sender.receive_rtcp(206, 1);
    // The key frame comes, and the receiver loses it, too.
    scene.send(2, &vp8(true, 0));
    scene.receiver.receive_rtp();
    scene.receiver.send(scene.outlet, &pli(RECEIVED_SSRC));
    scene.sender.receive_rtcp(206, 1);
    let passed = start.elapsed();
    assert!((DELAY..PATIENCE).contains(&passed), "asked again after {passed:?}");
}
