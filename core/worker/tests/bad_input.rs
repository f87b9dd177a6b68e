//! The channel under what it should never be sent: a clear error or silence, no state left behind, no exit.

mod common;

use common::Worker;
use common::media::{RECEIVED_RTX_SSRC, RECEIVED_SSRC, consume, create_plain, produce};
use serde_json::{Value, json};

fn with_entities() -> Worker {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    create_plain(&mut worker, "r", "t", json!({"comedia": true}));
    worker.ask("transport.produce", "t", produce("p"));
    worker.ask("transport.consume", "t", consume("c", "p"));
    worker
}

/// All that the worker tells of itself.
fn everything(worker: &mut Worker) -> [Value; 5] {
    [
        ("worker.dump", "undefined"),
        ("router.dump", "r"),
        ("transport.dump", "t"),
        ("producer.dump", "p"),
        ("consumer.dump", "c"),
    ]
    .map(|(method, handler)| worker.ask(method, handler, Value::Null))
}

#[test]
fn unknown_methods_handlers_and_closed_ids_are_errors() {
    let mut worker = with_entities();
    for (method, handler, reason) in [
        ("worker.makeCoffee", "undefined", "unknown method"),
        ("router.dump", "nobody", "Channel request handler with ID nobody not found"),
        ("producer.pause", "t", "unknown method"),
        ("transport.restartIce", "t", "unknown method"),
        ("transport.dump", "undefined", "not found"),
    ] {
        let refused = worker.refused(method, handler, Value::Null);
        assert_eq!(refused.class, "Error", "{method}");
        assert!(refused.reason.contains(reason), "{method}: {}", refused.reason);
    }
    worker.ask("worker.closeRouter", "undefined", json!({"routerId": "r"}));
    for (method, handler) in
        [("router.dump", "r"), ("transport.dump", "t"), ("producer.dump", "p"), ("consumer.dump", "c")]
    {
        let refused = worker.refused(method, handler, Value::Null);
        assert!(refused.reason.contains("not found"), "{}", refused.reason);
    }
    let handlers = &worker.dump()["channelMessageHandlers"];
    assert_eq!(handlers["channelRequestHandlers"], json!([]), "nothing is left behind");
}

#[test]
fn a_refused_request_names_its_method() {
    let mut worker = Worker::start();
    let refused = worker.refused("router.dump", "nobody", Value::Null);
    assert!(refused.reason.ends_with(" [method:router.dump]"), "{}", refused.reason);
}

#[test]
fn frames_that_cannot_be_read_get_no_answer_and_do_no_harm() {
    let mut worker = with_entities();
    let before = everything(&mut worker);
    for frame in [
        &b""[..],
        b"no colons at all",
        b":::",
        b"abc:worker.dump:undefined:undefined",
        b"-1:worker.dump:undefined:undefined",
        b"99999999999999999999:worker.dump:undefined:undefined",
        b"77:router.dump:r:{not json",
        b"\xff\xfe\x00binary\x80",
    ] {
        worker.send_frame(frame);
    }
    assert_eq!(everything(&mut worker), before);
}

#[test]
fn trailing_fields_may_be_missing_and_data_of_another_kind_counts_as_empty() {
    let mut worker = Worker::start();
    worker.send_frame(b"501:worker.dump");
    assert!(worker.answer(501).is_ok());
    worker.send_frame(b"502:worker.createRouter:undefined:[1,2]");
    assert!(worker.answer(502).unwrap_err().reason.contains("routerId"));
}

#[test]
fn a_frame_that_is_too_long_is_passed_over() {
    let mut worker = Worker::start();
    let length = 4_194_305_usize;
    worker.send_bytes(&(length as u32).to_ne_bytes());
    for chunk in vec![b'x'; length].chunks(65_536) {
        worker.send_bytes(chunk);
    }
    worker.dump();
    assert!(worker.log.iter().any(|line| line.starts_with(['W', 'E'])), "it is logged: {:?}", worker.log);
}

#[test]
fn frames_may_come_cut_anywhere_and_several_at_once() {
    let mut worker = Worker::start();
    let mut bytes = Vec::new();
    for id in 900..950 {
        let text = format!("{id}:worker.dump:undefined:undefined");
        bytes.extend_from_slice(&(text.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    for piece in bytes.chunks(7) {
        worker.send_bytes(piece);
    }
    for id in 900..950 {
        worker.answer(id).unwrap();
    }
}

#[test]
fn each_missing_or_wrong_field_is_named_and_nothing_changes() {
    let mut worker = with_entities();
    let before = everything(&mut worker);
    let plain = json!({"transportId": "n", "listenIp": {"ip": "127.0.0.1"}, "rtcpMux": true, "comedia": false});
    let webrtc = json!({
        "transportId": "n", "listenIps": [{"ip": "127.0.0.1"}],
        "enableUdp": true, "enableTcp": true, "preferUdp": true, "preferTcp": false,
    });
    let with = |base: &Value, key: &str, value: Value| {
        let mut data = base.clone();
        data[key] = value;
        data
    };
    let without = |base: &Value, key: &str| {
        let mut data = base.clone();
        data.as_object_mut().unwrap().remove(key);
        data
    };
    let mut other = produce("n");
    other["rtpParameters"]["encodings"][0]["ssrc"] = json!(9999);
    other["rtpParameters"]["encodings"][0]["rtx"]["ssrc"] = json!(9998);
    other["rtpParameters"]["mid"] = json!("w");
    let consumed = consume("n", "p");
    let on = |ssrc: u32, rtx: u32| {
        let mut data = consumed.clone();
        data["rtpParameters"]["encodings"] = json!([{"ssrc": ssrc, "rtx": {"ssrc": rtx}}]);
        data
    };
    for (method, handler, data, class, named) in [
        ("worker.createRouter", "undefined", json!({}), "Error", "routerId"),
        ("worker.createRouter", "undefined", json!({"routerId": "r"}), "Error", "r"),
        ("worker.closeRouter", "undefined", json!({"routerId": "nobody"}), "Error", "nobody"),
        ("worker.updateSettings", "undefined", json!({"logLevel": "chatty"}), "TypeError", "logLevel"),
        ("router.createPlainTransport", "r", without(&plain, "listenIp"), "TypeError", "listenIp"),
        ("router.createPlainTransport", "r", with(&plain, "listenIp", json!({"ip": "chicken"})), "TypeError", "ip"),
        ("router.createPlainTransport", "r", with(&plain, "listenIp", json!("127.0.0.1")), "TypeError", "listenIp"),
        ("router.createPlainTransport", "r", with(&plain, "listenIp", json!({"ip": "198.51.100.7"})), "Error", "bind"),
        ("router.createPlainTransport", "r", with(&plain, "transportId", json!("t")), "Error", "t"),
        ("router.createPlainTransport", "r", with(&plain, "port", json!("many")), "TypeError", "port"),
        ("router.createWebRtcTransport", "r", without(&webrtc, "listenIps"), "TypeError", "listenIps"),
        ("router.createWebRtcTransport", "r", with(&webrtc, "listenIps", json!([])), "TypeError", "listenIps"),
        ("router.createWebRtcTransport", "r", with(&webrtc, "listenIps", json!([7])), "TypeError", "listenIps"),
        ("router.createWebRtcTransport", "r", with(&webrtc, "enableUdp", json!("yes")), "TypeError", "enableUdp"),
        ("router.closeTransport", "r", json!({"transportId": "nobody"}), "Error", "nobody"),
        ("transport.produce", "t", with(&other, "producerId", json!("p")), "Error", "p"),
        ("transport.produce", "t", without(&other, "kind"), "TypeError", "kind"),
        ("transport.produce", "t", with(&other, "kind", json!("smell")), "TypeError", "kind"),
        ("transport.produce", "t", without(&other, "rtpParameters"), "TypeError", "rtpParameters"),
        ("transport.produce", "t", with(&other, "rtpParameters", json!({})), "TypeError", "codecs"),
        ("transport.produce", "t", without(&other, "rtpMapping"), "TypeError", "rtpMapping"),
        ("transport.produce", "t", produce("n"), "Error", "already exists"),
        ("transport.consume", "t", with(&consumed, "producerId", json!("nobody")), "Error", "nobody"),
        ("transport.consume", "t", with(&consumed, "type", json!("chicken")), "TypeError", "type"),
        (
            "transport.consume",
            "t",
            with(&consumed, "consumableRtpEncodings", json!([])),
            "TypeError",
            "consumableRtpEncodings",
        ),
        ("transport.consume", "t", with(&consumed, "consumerId", json!("c")), "Error", "c"),
        ("transport.consume", "t", on(RECEIVED_SSRC, 9998), "Error", "7001"),
        ("transport.consume", "t", on(9999, RECEIVED_RTX_SSRC), "Error", "7002"),
        ("transport.consume", "t", on(RECEIVED_RTX_SSRC, 9998), "Error", "7002"),
        ("transport.consume", "t", on(9999, 9999), "Error", "9999"),
        ("transport.closeProducer", "t", json!({}), "TypeError", "producerId"),
        ("transport.closeConsumer", "t", json!({"consumerId": "nobody"}), "Error", "nobody"),
        ("transport.setMaxIncomingBitrate", "t", json!({}), "TypeError", "bitrate"),
        ("transport.setMaxOutgoingBitrate", "t", json!({"bitrate": 1000}), "TypeError", "30000"),
        ("transport.enableTraceEvent", "t", json!({"types": "bwe"}), "TypeError", "types"),
        ("consumer.setPriority", "c", json!({"priority": 0}), "TypeError", "priority"),
        ("consumer.setPreferredLayers", "c", json!({"spatialLayer": "top"}), "TypeError", "spatialLayer"),
        ("producer.enableTraceEvent", "p", json!({"types": [1]}), "TypeError", "types"),
    ] {
        let refused = worker.refused(method, handler, data.clone());
        assert_eq!(refused.class, class, "{method} {data}: {}", refused.reason);
        assert!(refused.reason.contains(named), "{method} {data}: {}", refused.reason);
        assert_eq!(everything(&mut worker), before, "{method} {data} changed something");
    }
}

#[test]
fn a_thousand_mutated_requests_are_answered_or_passed_over() {
    let mut worker = with_entities();
    let templates = [
        format!("1:transport.produce:t:{}", produce("x")),
        format!("1:transport.consume:t:{}", consume("y", "p")),
        "1:router.createPlainTransport:r:{\"transportId\":\"z\",\"listenIp\":{\"ip\":\"127.0.0.1\"}}".to_owned(),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for round in 0..1_000 {
        let mut frame = templates[round % templates.len()].clone().into_bytes();
        for _ in 0..1 + random(4) {
            let place = random(frame.len());
            match random(3) {
                0 => frame[place] = random(256) as u8,
                1 => drop(frame.drain(place..(place + 1 + random(20)).min(frame.len()))),
                _ => frame.insert(place, b"{}[]\",:0-9e"[random(11)]),
            }
        }
        // The worker's close is a request like any other; no mutation of these spells it.
        worker.send_frame(&frame);
    }
    // Answers to the mutants come first, and are passed over.
    worker.send_frame(b"4000000000:worker.dump:undefined:undefined");
    worker.pass_over_until(4_000_000_000);
}
