//! Pipe transports: every stream of a producer goes from one router to another, each under its own numbers.

mod common;

use common::Worker;
use common::media::*;
use serde_json::{Value, json};

/// The SSRCs of three layers: as the sender sends them, inside the router, and as the pipe's consumer sends them.
const SENT: [u32; 3] = [2001, 2002, 2003];
const MAPPED: [u32; 3] = [5001, 5002, 5003];
const PIPED: [u32; 3] = [8001, 8002, 8003];
const PIPED_RTX: [u32; 3] = [9001, 9002, 9003];

/// A request to produce three streams with these SSRCs and payload type.
fn produce_layers(id: &str, ssrcs: [u32; 3], payload_type: u8) -> Value {
    let mut data = produce(id);
    data["rtpParameters"]["codecs"][0]["payloadType"] = json!(payload_type);
    data["rtpParameters"]["codecs"].as_array_mut().unwrap().truncate(1);
    data["rtpParameters"]["encodings"] = ssrcs.map(|ssrc| json!({"ssrc": ssrc})).to_vec().into();
    data["rtpMapping"]["codecs"] = json!([{"payloadType": payload_type, "mappedPayloadType": PT}]);
    let mapping = ssrcs.iter().zip(MAPPED).map(|(ssrc, mapped)| json!({"ssrc": ssrc, "mappedSsrc": mapped}));
    data["rtpMapping"]["encodings"] = mapping.collect();
    data
}

/// A request to consume all of them.
fn consume_layers(id: &str, producer: &str, rtx: bool) -> Value {
    let mut data = consume(id, producer);
    data["type"] = json!("pipe");
    data["consumableRtpEncodings"] = MAPPED.map(|ssrc| json!({"ssrc": ssrc})).to_vec().into();
    let encodings = PIPED.iter().zip(PIPED_RTX).map(|(ssrc, rtx_ssrc)| match rtx {
        true => json!({"ssrc": ssrc, "rtx": {"ssrc": rtx_ssrc}}),
        false => json!({"ssrc": ssrc}),
    });
    data["rtpParameters"]["encodings"] = encodings.collect();
    data
}

fn create_pipe(worker: &mut Worker, router: &str, id: &str, options: Value) -> Value {
    let mut data = json!({"transportId": id, "listenIp": {"ip": "127.0.0.1"}, "enableRtx": true});
    merge(&mut data, options);
    worker.ask("router.createPipeTransport", router, data)
}

/// A sender of three streams on plain transport `in`, and its producer `p`.
fn sender(worker: &mut Worker) -> (Peer, std::net::SocketAddr) {
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let inlet = listens(&create_plain(worker, "r", "in", json!({"comedia": true})));
    let produced = worker.ask("transport.produce", "in", produce_layers("p", SENT, SENT_PT));
    assert_eq!(produced, json!({"type": "simulcast"}));
    (Peer::new(), inlet)
}

/// Sends a packet of one layer.
fn send(peer: &Peer, to: std::net::SocketAddr, layer: usize, number: u16, key_frame: bool) {
    let filler = layer as u8 * 50 + number as u8;
    peer.send(to, &rtp(SENT_PT, 1000 * layer as u16 + number, 0, SENT[layer], &vp8(key_frame, filler)));
}

/// The SSRCs of the sender reports in a datagram (RFC 3550, 6.4.1).
fn reported_by(datagram: &[u8]) -> Vec<u32> {
    let mut rest = if is_rtcp(datagram) { datagram } else { &[] };
    let mut found = Vec::new();
    while let [_, packet_type, high, low, body @ ..] = rest {
        if *packet_type == 200 {
            found.push(u32::from_be_bytes(body[..4].try_into().unwrap()));
        }
        rest = &body[4 * usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    found
}

#[test]
fn every_stream_goes_through_with_numbers_feedback_and_statistics_of_its_own() {
    let mut worker = Worker::start();
    let (camera, inlet) = sender(&mut worker);
    let router = Peer::new();
    let dump = create_pipe(&mut worker, "r", "pipe", json!({}));
    assert_eq!((&dump["rtx"], &dump["tuple"]["protocol"]), (&json!(true), &json!("udp")));
    assert!(dump.get("srtpParameters").is_none() && dump["tuple"].get("remoteIp").is_none());
    let outlet = listens(&dump);
    let address = json!({"ip": "127.0.0.1", "port": router.address().port()});
    let connected = worker.ask("transport.connect", "pipe", address);
    assert_eq!(connected["tuple"]["remotePort"], json!(router.address().port()));
    let consumed = worker.ask("transport.consume", "pipe", consume_layers("c", "p", true));
    assert_eq!(consumed["score"], json!({"score": 10, "producerScore": 10, "producerScores": [0, 0, 0]}));

    // Two packets a layer; those before a layer's key frame stay behind.
    for layer in 0..3 {
        send(&camera, inlet, layer, 1, false);
        send(&camera, inlet, layer, 2, true);
        send(&camera, inlet, layer, 3, false);
    }
    let packets: Vec<Vec<u8>> = (0..6).map(|_| router.receive_rtp()).collect();
    for (layer, ssrc_of_layer) in PIPED.into_iter().enumerate() {
        let of_layer: Vec<_> = packets.iter().filter(|packet| ssrc(packet) == ssrc_of_layer).collect();
        assert_eq!(of_layer.len(), 2, "layer {layer}");
        for (index, packet) in (0..2_u16).zip(&of_layer) {
            assert_eq!(payload(packet), vp8(index == 0, layer as u8 * 50 + 2 + index as u8));
            assert_eq!((sequence(packet), payload_type(packet)), (1 + index, PT));
        }
    }
    let stats = worker.ask("consumer.getStats", "c", Value::Null);
    let counts: Vec<_> = stats.as_array().unwrap().iter().map(|stat| (&stat["type"], &stat["ssrc"])).collect();
    assert_eq!(
        counts,
        PIPED.map(|ssrc| (json!("outbound-rtp"), json!(ssrc))).iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
    );
    assert!(stats.as_array().unwrap().iter().all(|stat| stat["packetCount"] == json!(2)), "{stats}");

    // A packet of the second layer again, on that layer's own stream of retransmissions.
    router.send(outlet, &nack(PIPED[1], 2));
    let again = router.receive_rtp();
    assert_eq!((ssrc(&again), payload_type(&again)), (PIPED_RTX[1], RTX_PT));
    assert_eq!(payload(&again)[2..], vp8(false, 53));
    let stats = worker.ask("consumer.getStats", "c", Value::Null);
    let sent_again: Vec<_> = (0..3).map(|layer| stats[layer]["packetsRetransmitted"].as_u64()).collect();
    assert_eq!(sent_again, [Some(0), Some(1), Some(0)]);

    // A report about each of them, in one packet.
    let reported = loop {
        let reported = reported_by(&router.receive());
        if !reported.is_empty() {
            break reported;
        }
    };
    assert_eq!(reported, PIPED);

    let dump = worker.ask("consumer.dump", "c", Value::Null);
    assert!(dump.get("rtpStream").is_none());
    let streams: Vec<_> = dump["rtpStreams"].as_array().unwrap().iter().map(|one| &one["params"]).collect();
    assert_eq!(
        streams.iter().map(|params| &params["ssrc"]).collect::<Vec<_>>(),
        PIPED.map(|ssrc| json!(ssrc)).each_ref()
    );
    assert_eq!(
        streams.iter().map(|params| &params["encodingIdx"]).collect::<Vec<_>>(),
        [0, 1, 2].map(|index| json!(index)).each_ref()
    );
    let map = worker.ask("transport.dump", "pipe", Value::Null)["mapSsrcConsumerId"].clone();
    assert_eq!(map, json!({"8001": "c", "8002": "c", "8003": "c"}));
    assert_eq!(worker.ask("transport.getStats", "pipe", Value::Null)[0]["type"], json!("pipe-transport"));
}

#[test]
fn a_key_frame_is_asked_of_every_stream() {
    let mut worker = Worker::start();
    let (camera, inlet) = sender(&mut worker);
    let router = Peer::new();
    create_pipe(&mut worker, "r", "pipe", json!({}));
    worker.ask("transport.connect", "pipe", json!({"ip": "127.0.0.1", "port": router.address().port()}));
    for layer in 0..3 {
        send(&camera, inlet, layer, 1, true);
    }
    worker.ask("transport.consume", "pipe", consume_layers("c", "p", true));
    let mut asked = [0; 3].map(|_| camera.receive_rtcp(206, 1)[8..12].to_vec());
    asked.sort();
    assert_eq!(asked, SENT.map(|ssrc| ssrc.to_be_bytes().to_vec()));
}

#[test]
fn two_routers_over_srtp() {
    let mut worker = Worker::start();
    let (camera, inlet) = sender(&mut worker);
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r2"}));
    let ends = [("r", "a"), ("r2", "b")]
        .map(|(router, id)| create_pipe(&mut worker, router, id, json!({"enableSrtp": true, "enableRtx": false})));
    for (id, other) in [("a", &ends[1]), ("b", &ends[0])] {
        assert_eq!(other["srtpParameters"]["cryptoSuite"], json!("AEAD_AES_256_GCM"));
        let connect = json!({
            "ip": "127.0.0.1", "port": other["tuple"]["localPort"], "srtpParameters": other["srtpParameters"],
        });
        worker.ask("transport.connect", id, connect);
    }
    worker.ask("transport.consume", "a", consume_layers("c", "p", false));
    worker.ask("transport.produce", "b", produce_layers("p2", PIPED, PT));
    // At the other end, out of the router as it came in.
    worker.ask("router.createDirectTransport", "r2", json!({"transportId": "d", "direct": true, "maxMessageSize": 1}));
    worker.ask("transport.consume", "d", consume_layers("c2", "p2", false));

    for layer in 0..3 {
        for number in 1..=20 {
            send(&camera, inlet, layer, number, number == 1);
        }
    }
    let mut next = [1_u16; 3];
    while next != [21; 3] {
        let header = worker.payload_answer();
        let packet = worker.payload();
        if header["event"] != json!("rtp") {
            continue;
        }
        let layer = PIPED.iter().position(|known| *known == ssrc(&packet)).expect("a layer's SSRC");
        assert_eq!(payload(&packet), vp8(next[layer] == 1, layer as u8 * 50 + next[layer] as u8));
        next[layer] += 1;
    }
    // One end of the pipe counts what the other sent, and none of it was in the clear.
    let (sent, received) =
        (worker.ask("transport.getStats", "a", Value::Null), worker.ask("transport.getStats", "b", Value::Null));
    assert!(sent[0]["rtpBytesSent"].as_u64() >= Some(60 * (212 + 16)), "{sent}");
    assert_eq!(received[0]["rtpBytesReceived"], json!(60 * 212), "{received}");
}

#[test]
fn what_comes_from_another_address_is_not_the_peers() {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let inlet = listens(&create_pipe(&mut worker, "r", "pipe", json!({})));
    worker.ask("transport.produce", "pipe", produce_layers("p", SENT, SENT_PT));
    let (router, stranger) = (Peer::new(), Peer::new());
    send(&router, inlet, 0, 1, true);
    worker.ask("transport.connect", "pipe", json!({"ip": "127.0.0.1", "port": router.address().port()}));
    send(&stranger, inlet, 0, 2, true);
    send(&router, inlet, 0, 3, true);
    assert_eq!(worker.notification("score")["targetId"], json!("p"));
    assert_eq!(worker.ask("producer.getStats", "p", Value::Null)[0]["packetCount"], json!(1));
}

#[test]
fn connect_takes_all_or_nothing() {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    create_pipe(&mut worker, "r", "clear", json!({}));
    create_pipe(&mut worker, "r", "secret", json!({"enableSrtp": true}));
    let key = |suite: &str, length: usize| {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(vec![7; length]);
        json!({"ip": "127.0.0.1", "port": 9, "srtpParameters": {"cryptoSuite": suite, "keyBase64": key}})
    };
    for (transport, data, named) in [
        ("clear", json!({}), "ip"),
        ("clear", json!({"ip": "127.0.0.1"}), "port"),
        ("clear", json!({"ip": "chicken", "port": 9}), "ip"),
        ("clear", json!({"ip": "::1", "port": 9}), "ip"),
        ("clear", key("AEAD_AES_256_GCM", 44), "srtpParameters"),
        ("secret", json!({"ip": "127.0.0.1", "port": 9}), "srtpParameters"),
        ("secret", key("AEAD_AES_128_GCM", 28), "cryptoSuite"),
        ("secret", key("ROT13", 44), "cryptoSuite"),
        ("secret", key("AEAD_AES_256_GCM", 43), "key"),
    ] {
        let before = worker.ask("transport.dump", transport, Value::Null);
        let refused = worker.refused("transport.connect", transport, data.clone());
        assert_eq!(refused.class, "TypeError", "{data}: {}", refused.reason);
        assert!(refused.reason.contains(named), "{data}: {}", refused.reason);
        assert_eq!(worker.ask("transport.dump", transport, Value::Null), before);
    }
    worker.ask("transport.connect", "secret", key("AEAD_AES_256_GCM", 44));
    let refused = worker.refused("transport.connect", "secret", key("AEAD_AES_256_GCM", 44));
    assert_eq!(refused.class, "Error", "{}", refused.reason);
    assert_eq!(worker.refused("transport.restartIce", "clear", Value::Null).class, "Error");
}

#[test]
fn a_pipe_consumer_has_an_encoding_for_each_of_its_producers() {
    let mut worker = Worker::start();
    sender(&mut worker);
    create_pipe(&mut worker, "r", "pipe", json!({}));
    let mut fewer = consume_layers("c", "p", true);
    fewer["rtpParameters"]["encodings"].as_array_mut().unwrap().pop();
    let refused = worker.refused("transport.consume", "pipe", fewer);
    assert_eq!(refused.class, "TypeError");
    assert!(refused.reason.contains("encodings"), "{}", refused.reason);
}
