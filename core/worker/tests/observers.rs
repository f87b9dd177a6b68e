//! RTP observers: what they tell of producers whose packets carry levels (RFC 6464).

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::Worker;
use common::media::*;
use serde_json::{Value, json};

/// The id of the level's header extension.
const LEVEL: u8 = 5;
const OPUS: u8 = 111;

/// A router `r` with audio producers `p0`, `p1`... of SSRC 1000, 1001... on transport `in`.
fn scene(producers: u32) -> (Worker, Peer, SocketAddr) {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
    for number in 0..producers {
        let ssrc = 1000 + number;
        let data = json!({
            "producerId": format!("p{number}"), "kind": "audio",
            "rtpParameters": {
                "codecs": [{"mimeType": "audio/opus", "payloadType": OPUS, "clockRate": 48000, "channels": 2}],
                "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "id": LEVEL}],
                "encodings": [{"ssrc": ssrc}],
            },
            "rtpMapping": {
                "codecs": [{"payloadType": OPUS, "mappedPayloadType": 100}],
                "encodings": [{"ssrc": ssrc, "mappedSsrc": 5000 + number}],
            },
        });
        worker.ask("transport.produce", "in", data);
    }
    (worker, Peer::new(), inlet)
}

fn observe_levels(worker: &mut Worker, data: Value) {
    let mut request = json!({"rtpObserverId": "o", "maxEntries": 2, "threshold": -70, "interval": 250});
    merge(&mut request, data);
    assert_eq!(worker.ask("router.createAudioLevelObserver", "r", request), Value::Null);
}

fn add(worker: &mut Worker, producer: &str) {
    worker.ask("rtpObserver.addProducer", "o", json!({"producerId": producer}));
}

/// A packet of a producer, with a level in dBov without the sign.
fn packet(producer: u32, number: u16, level: u8) -> Vec<u8> {
    rtp_with(&[(LEVEL, &[level])], &rtp(OPUS, number, 0, 1000 + producer, &[1; 40]))
}

/// Sends packets with these levels until there is a notification of that name, and returns it.
fn speak_until(worker: &mut Worker, peer: &Peer, to: SocketAddr, levels: &[u8], event: &str) -> Value {
    let deadline = Instant::now() + common::PATIENCE;
    for number in 0.. {
        for (producer, level) in (0..).zip(levels) {
            peer.send(to, &packet(producer, number, *level));
        }
        if let Some(notification) = worker.notification_within(event, Duration::from_millis(20)) {
            return notification;
        }
        assert!(Instant::now() < deadline, "no {event}");
    }
    unreachable!()
}

#[test]
fn the_loudest_producers_and_then_silence() {
    let (mut worker, peer, inlet) = scene(4);
    observe_levels(&mut worker, json!({}));
    for producer in ["p0", "p1", "p2"] {
        add(&mut worker, producer);
    }
    // The first intervals may have had too few packets of some; p3 is the loudest, and not observed.
    let volumes = loop {
        let told = speak_until(&mut worker, &peer, inlet, &[60, 40, 50, 1], "volumes");
        assert_eq!(told["targetId"], json!("o"));
        if told["data"].as_array().unwrap().len() == 2 {
            break told["data"].clone();
        }
    };
    assert_eq!(volumes, json!([{"producerId": "p1", "volume": -40}, {"producerId": "p2", "volume": -50}]));
    assert_eq!(worker.notification("silence")["targetId"], json!("o"));
}

#[test]
fn a_producer_that_is_paused_or_closed_is_heard_no_more() {
    let (mut worker, peer, inlet) = scene(2);
    observe_levels(&mut worker, json!({}));
    add(&mut worker, "p0");
    add(&mut worker, "p0");
    speak_until(&mut worker, &peer, inlet, &[30, 30], "volumes");
    worker.ask("producer.pause", "p0", Value::Null);
    speak_until(&mut worker, &peer, inlet, &[30, 30], "silence");
    worker.ask("producer.resume", "p0", Value::Null);
    speak_until(&mut worker, &peer, inlet, &[30, 30], "volumes");

    let dump = worker.ask("router.dump", "r", Value::Null);
    assert_eq!(dump["rtpObserverIds"], json!(["o"]));
    assert_eq!(dump["mapProducerIdObserverIds"], json!({"p0": ["o"], "p1": []}));
    worker.ask("transport.closeProducer", "in", json!({"producerId": "p0"}));
    speak_until(&mut worker, &peer, inlet, &[30, 30], "silence");
    assert_eq!(worker.ask("router.dump", "r", Value::Null)["mapProducerIdObserverIds"], json!({"p1": []}));
}

#[test]
fn pausing_an_observer_is_silence_and_closing_it_leaves_nothing() {
    let (mut worker, peer, inlet) = scene(1);
    observe_levels(&mut worker, json!({}));
    add(&mut worker, "p0");
    speak_until(&mut worker, &peer, inlet, &[30], "volumes");
    worker.ask("rtpObserver.pause", "o", Value::Null);
    worker.notification("silence");
    worker.ask("rtpObserver.resume", "o", Value::Null);
    speak_until(&mut worker, &peer, inlet, &[30], "volumes");
    worker.ask("rtpObserver.removeProducer", "o", json!({"producerId": "p0"}));
    worker.notification("silence");

    add(&mut worker, "p0");
    let handlers = |worker: &mut Worker| worker.dump()["channelMessageHandlers"]["channelRequestHandlers"].clone();
    assert!(handlers(&mut worker).as_array().unwrap().contains(&json!("o")));
    worker.ask("router.closeRtpObserver", "r", json!({"rtpObserverId": "o"}));
    assert!(!handlers(&mut worker).as_array().unwrap().contains(&json!("o")));
    let dump = worker.ask("router.dump", "r", Value::Null);
    assert_eq!((&dump["rtpObserverIds"], &dump["mapProducerIdObserverIds"]), (&json!([]), &json!({"p0": []})));
    assert_eq!(worker.refused("rtpObserver.pause", "o", Value::Null).class, "Error");
    // And with its router.
    observe_levels(&mut worker, json!({}));
    worker.ask("worker.closeRouter", "undefined", json!({"routerId": "r"}));
    assert_eq!(handlers(&mut worker), json!([]));
}

#[test]
fn who_speaks_is_dominant_and_another_when_that_one_leaves() {
    let (mut worker, peer, inlet) = scene(3);
    worker.ask("router.createActiveSpeakerObserver", "r", json!({"rtpObserverId": "o", "interval": 100}));
    for producer in ["p0", "p1", "p2"] {
        add(&mut worker, producer);
    }
    let told = |notification: Value| notification["data"]["producerId"].as_str().unwrap().to_owned();
    let first = speak_until(&mut worker, &peer, inlet, &[110, 110, 110], "dominantspeaker");
    assert_eq!(first["targetId"], json!("o"));
    assert_eq!(told(first), "p0", "someone always is");
    assert_eq!(told(speak_until(&mut worker, &peer, inlet, &[110, 110, 20], "dominantspeaker")), "p2");
    worker.ask("transport.closeProducer", "in", json!({"producerId": "p2"}));
    assert_eq!(told(worker.notification("dominantspeaker")), "p0");
    assert_eq!(told(speak_until(&mut worker, &peer, inlet, &[110, 20], "dominantspeaker")), "p1");

    let again = worker.refused("rtpObserver.addProducer", "o", json!({"producerId": "p1"}));
    assert_eq!(again.class, "Error");
}

#[test]
fn only_audio_producers_are_observed() {
    let (mut worker, _, _) = scene(1);
    worker.ask("transport.produce", "in", produce("video"));
    observe_levels(&mut worker, json!({}));
    let before = worker.ask("router.dump", "r", Value::Null);
    for (data, class, named) in [
        (json!({"producerId": "video"}), "TypeError", "producerId"),
        (json!({"producerId": "nobody"}), "Error", "nobody"),
        (json!({}), "Error", "producerId"),
    ] {
        let refused = worker.refused("rtpObserver.addProducer", "o", data.clone());
        assert_eq!(refused.class, class, "{data}: {}", refused.reason);
        assert!(refused.reason.contains(named), "{data}: {}", refused.reason);
    }
    assert_eq!(worker.ask("router.dump", "r", Value::Null), before);
    assert_eq!(worker.refused("router.closeRtpObserver", "r", json!({"rtpObserverId": "p0"})).class, "Error");
}
