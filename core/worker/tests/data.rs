//! Data producers and data consumers, over SCTP and direct.

mod common;

use common::Worker;
use common::media::*;
use common::sctp::{Records, SctpPeer, reliable};
use common::webrtc::{self, Tcp, Udp, associate, connect_parameters, nominate, text};
use serde_json::{Value, json};
use sfu_proto::dtls::Certificate;
use sfu_proto::sctp::{Event, Ppid, State, StreamParameters};

fn sctp_options() -> Value {
    json!({"enableSctp": true, "numSctpStreams": {"OS": 1024, "MIS": 1024}, "maxSctpMessageSize": 262_144})
}

fn produce_data(id: &str, stream: Value) -> Value {
    json!({"dataProducerId": id, "type": "sctp", "sctpStreamParameters": stream, "label": "chat", "protocol": "p1"})
}

fn consume_data(id: &str, producer: &str, stream: Value) -> Value {
    json!({
        "dataConsumerId": id, "dataProducerId": producer, "type": "sctp", "sctpStreamParameters": stream,
        "label": "chat", "protocol": "p1",
    })
}

fn direct(mut data: Value) -> Value {
    data["type"] = json!("direct");
    data
}

fn create_direct(worker: &mut Worker, router: &str, id: &str) {
    let data = json!({"transportId": id, "direct": true, "maxMessageSize": 262_144});
    worker.ask("router.createDirectTransport", router, data);
}

/// The next message for the library: whose it is, what it holds, its bytes.
fn message(worker: &mut Worker) -> (Value, Value, Vec<u8>) {
    let header = worker.payload_answer();
    assert_eq!(header["event"], json!("message"));
    (header["targetId"].clone(), header["data"]["ppid"].clone(), worker.payload())
}

/// Waits until a transport's SCTP has come to that state.
fn wait_for_sctp(worker: &mut Worker, transport: &str, state: &str) {
    loop {
        let change = worker.notification("sctpstatechange");
        if change["targetId"] == json!(transport) && change["data"]["sctpState"] == json!(state) {
            return;
        }
    }
}

/// Two routers, `r` and `s`, with a direct transport each (`rd`, `sd`), joined by a pair of transports (`a`, `b`).
fn joined(kind: &str, options: Value) -> Worker {
    let mut worker = Worker::start();
    for (router, direct, join) in [("r", "rd", "a"), ("s", "sd", "b")] {
        worker.ask("worker.createRouter", "undefined", json!({"routerId": router}));
        create_direct(&mut worker, router, direct);
        let mut data = json!({"transportId": join, "listenIp": {"ip": "127.0.0.1"}});
        merge(&mut data, sctp_options());
        merge(&mut data, options.clone());
        worker.ask(&format!("router.create{kind}Transport"), router, data);
    }
    for (from, to) in [("a", "b"), ("b", "a")] {
        let address = listens(&worker.ask("transport.dump", to, Value::Null));
        worker.ask("transport.connect", from, json!({"ip": "127.0.0.1", "port": address.port()}));
    }
    let mut states: Vec<(Value, Value)> = Vec::new();
    while states.len() < 4 {
        let change = worker.notification("sctpstatechange");
        states.push((change["targetId"].clone(), change["data"]["sctpState"].clone()));
    }
    for transport in ["a", "b"] {
        let of_one: Vec<&Value> =
            states.iter().filter(|(target, _)| *target == json!(transport)).map(|(_, state)| state).collect();
        assert_eq!(of_one, [&json!("connecting"), &json!("connected")]);
    }
    worker
}

/// From the library by `rp` on `rd` to `ac` on `a`, by SCTP to `bp` on `b`, and to the library by `sc` on `sd`.
fn through(worker: &mut Worker, stream: Value) {
    worker.ask("transport.produceData", "rd", direct(produce_data("rp", Value::Null)));
    worker.ask("transport.consumeData", "a", consume_data("ac", "rp", stream.clone()));
    worker.ask("transport.produceData", "b", produce_data("bp", stream));
    worker.ask("transport.consumeData", "sd", direct(consume_data("sc", "bp", Value::Null)));
}

#[test]
fn messages_go_from_router_to_router() {
    for kind in ["Pipe", "Plain"] {
        let mut worker = joined(kind, json!({"sctpSendBufferSize": 1_000_000}));
        through(&mut worker, json!({"streamId": 77}));
        let mut total = 0;
        let long = vec![7; 262_144];
        let messages = [(51, b"text".to_vec()), (53, long), (56, b" ".to_vec()), (57, vec![0]), (53, vec![1, 2, 3])];
        for (ppid, bytes) in &messages {
            worker.send_payload(&format!("n:dataProducer.send:rp:{ppid}"), bytes);
            total += bytes.len();
            assert_eq!(message(&mut worker), (json!("sc"), json!(ppid), bytes.clone()), "by {kind}");
        }
        for (method, id, expected) in [
            (
                "dataProducer.getStats",
                "rp",
                json!({"type": "data-producer", "messagesReceived": 5, "bytesReceived": total}),
            ),
            ("dataConsumer.getStats", "ac", json!({"type": "data-consumer", "messagesSent": 5, "bytesSent": total})),
            (
                "dataProducer.getStats",
                "bp",
                json!({"type": "data-producer", "messagesReceived": 5, "bytesReceived": total}),
            ),
            ("dataConsumer.getStats", "sc", json!({"type": "data-consumer", "messagesSent": 5, "bytesSent": total})),
        ] {
            let mut stat = worker.ask(method, id, Value::Null)[0].clone();
            let stat = stat.as_object_mut().unwrap();
            assert!(stat.remove("timestamp").unwrap().is_u64());
            if method == "dataConsumer.getStats" {
                assert!(stat.remove("bufferedAmount").unwrap().is_u64());
            }
            let mut expected = expected;
            merge(&mut expected, json!({"label": "chat", "protocol": "p1"}));
            assert_eq!(Value::Object(stat.clone()), expected, "{id}");
        }
        let stats = worker.ask("transport.getStats", "a", Value::Null);
        assert_eq!(stats[0]["sctpState"], json!("connected"));
        assert!(stats[0]["bytesSent"].as_u64().unwrap() as usize > total);
    }
}

#[test]
fn everything_shows_itself() {
    let mut worker = joined("Plain", json!({"sctpSendBufferSize": 100_000}));
    through(&mut worker, json!({"streamId": 5, "ordered": false, "maxRetransmits": 2}));
    let stream = json!({"streamId": 5, "ordered": false, "maxRetransmits": 2});
    assert_eq!(
        worker.ask("dataProducer.dump", "bp", Value::Null),
        json!({"id": "bp", "type": "sctp", "sctpStreamParameters": stream, "label": "chat", "protocol": "p1"})
    );
    assert_eq!(
        worker.ask("dataConsumer.dump", "ac", Value::Null),
        json!({
            "id": "ac", "type": "sctp", "dataProducerId": "rp", "sctpStreamParameters": stream, "label": "chat",
            "protocol": "p1", "bufferedAmountLowThreshold": 0,
        })
    );
    assert_eq!(
        worker.ask("dataConsumer.dump", "sc", Value::Null),
        json!({
            "id": "sc", "type": "direct", "dataProducerId": "bp", "label": "chat", "protocol": "p1",
            "bufferedAmountLowThreshold": 0,
        })
    );
    let a = worker.ask("transport.dump", "a", Value::Null);
    assert_eq!(
        a["sctpParameters"],
        json!({
            "port": 5000, "OS": 1024, "MIS": 1024, "maxMessageSize": 262_144, "sendBufferSize": 100_000,
            "sctpBufferedAmount": 0, "isDataChannel": false,
        })
    );
    assert_eq!((&a["sctpState"], &a["dataConsumerIds"]), (&json!("connected"), &json!(["ac"])));
    assert_eq!(a["sctpListener"], json!({"streamIdTable": {}}));
    let b = worker.ask("transport.dump", "b", Value::Null);
    assert_eq!((&b["dataProducerIds"], &b["maxMessageSize"]), (&json!(["bp"]), &json!(262_144)));
    assert_eq!(b["sctpListener"], json!({"streamIdTable": {"5": "bp"}}));
    let rd = worker.ask("transport.dump", "rd", Value::Null);
    assert_eq!((&rd["dataProducerIds"], rd.get("sctpParameters")), (&json!(["rp"]), None));
    let router = worker.ask("router.dump", "r", Value::Null);
    assert_eq!(router["mapDataProducerIdDataConsumerIds"], json!({"rp": ["ac"]}));
    assert_eq!(router["mapDataConsumerIdDataProducerId"], json!({"ac": "rp"}));
    let handlers = &worker.dump()["channelMessageHandlers"];
    let has = |list: &str, id: &str| handlers[list].as_array().unwrap().contains(&json!(id));
    for id in ["rp", "bp", "ac", "sc"] {
        assert!(has("channelRequestHandlers", id));
        assert_eq!(has("payloadChannelRequestHandlers", id), id.ends_with('c'), "{id}");
        assert_eq!(has("payloadChannelNotificationHandlers", id), id.ends_with('p'), "{id}");
    }
}

/// A consumer goes with its producer, is told, and everything that knew of them forgets them.
#[test]
fn closing_leaves_nothing() {
    let mut worker = joined("Pipe", json!({}));
    let before: Vec<Value> = ["a", "b", "rd", "sd"].map(|id| worker.ask("transport.dump", id, Value::Null)).to_vec();
    through(&mut worker, json!({"streamId": 5}));
    worker.ask("transport.closeDataProducer", "rd", json!({"dataProducerId": "rp"}));
    assert_eq!(worker.notification("dataproducerclose")["targetId"], json!("ac"));
    worker.ask("transport.closeDataConsumer", "sd", json!({"dataConsumerId": "sc"}));
    worker.ask("transport.closeDataProducer", "b", json!({"dataProducerId": "bp"}));
    for (id, before) in ["a", "b", "rd", "sd"].iter().zip(&before) {
        assert_eq!(worker.ask("transport.dump", id, Value::Null), *before);
    }
    for router in ["r", "s"] {
        assert_eq!(worker.ask("router.dump", router, Value::Null)["mapDataProducerIdDataConsumerIds"], json!({}));
    }
    // The same ids and the same stream can be used again, and messages come.
    through(&mut worker, json!({"streamId": 5}));
    worker.send_payload("n:dataProducer.send:rp:51", b"anew");
    assert_eq!(message(&mut worker), (json!("sc"), json!(51), b"anew".to_vec()));
    // A transport takes its own with it, and tells its peer.
    worker.ask("router.closeTransport", "r", json!({"transportId": "rd"}));
    assert_eq!(worker.notification("dataproducerclose")["targetId"], json!("ac"));
    worker.ask("router.closeTransport", "r", json!({"transportId": "a"}));
    wait_for_sctp(&mut worker, "b", "closed");
    assert_eq!(worker.ask("transport.dump", "b", Value::Null)["sctpState"], json!("closed"));
    worker.ask("worker.closeRouter", "undefined", json!({"routerId": "s"}));
    let handlers = worker.dump()["channelMessageHandlers"].clone();
    assert_eq!(handlers["channelRequestHandlers"], json!(["r"]));
}

#[test]
fn the_library_sends_on_a_consumer_and_is_told_what_waits() {
    let mut worker = joined("Pipe", json!({"sctpSendBufferSize": 1000}));
    through(&mut worker, json!({"streamId": 9}));
    let ask = |worker: &mut Worker, id: u32, ppid: &str, bytes: &[u8]| {
        worker.send_payload(&format!("r:{id}:dataConsumer.send:ac:{ppid}"), bytes);
    };
    assert_eq!(worker.ask("dataConsumer.getBufferedAmount", "ac", Value::Null), json!({"bufferedAmount": 0}));
    worker.ask("dataConsumer.setBufferedAmountLowThreshold", "ac", json!({"threshold": 100}));
    let low = worker.notification("bufferedamountlow");
    assert_eq!((&low["targetId"], &low["data"]), (&json!("ac"), &json!({"bufferedAmount": 0})));
    // Both are there when it wakes, so that the first can't have been acknowledged.
    worker.stop();
    ask(&mut worker, 1, "53", &[1; 800]);
    ask(&mut worker, 2, "53", &[2; 300]);
    worker.go_on();
    let mut answers = Vec::new();
    let mut came = Vec::new();
    while answers.len() < 2 || came.is_empty() {
        let header = worker.payload_answer();
        if header.get("id").is_some() {
            answers.push(header);
        } else {
            came.push(worker.payload());
        }
    }
    assert_eq!(answers[0], json!({"id": 1, "accepted": true}));
    assert_eq!((&answers[1]["id"], &answers[1]["error"]), (&json!(2), &json!("Error")));
    assert!(text(&answers[1], "reason").starts_with("sctpsendbufferfull"));
    assert_eq!(came, [vec![1; 800]]);
    assert_eq!(worker.notification("sctpsendbufferfull")["targetId"], json!("ac"));
    let low = worker.notification("bufferedamountlow");
    assert_eq!((&low["targetId"], &low["data"]), (&json!("ac"), &json!({"bufferedAmount": 0})));

    for (header, class, reason) in [
        ("r:3:dataConsumer.send:ac:x", "TypeError", "PPID"),
        ("r:3:dataConsumer.send:ac:50", "TypeError", "PPID"),
        ("r:3:dataConsumer.send:sc:51", "TypeError", "type"),
        ("r:3:dataConsumer.send:nobody:51", "Error", "nobody"),
    ] {
        worker.send_payload(header, b"x");
        let answer = worker.payload_answer();
        assert_eq!((&answer["id"], &answer["error"]), (&json!(3), &json!(class)), "{header}");
        assert!(text(&answer, "reason").contains(reason), "{header}: {answer}");
    }
    ask(&mut worker, 4, "53", &vec![0; 262_145]);
    let answer = worker.payload_answer();
    assert_eq!(answer["error"], json!("TypeError"));
    assert!(text(&answer, "reason").contains("maxMessageSize"), "{answer}");
    // Longer than the buffer will ever take, and empty, which SCTP does not have.
    for bytes in [vec![0; 1001], Vec::new()] {
        ask(&mut worker, 5, "53", &bytes);
        let answer = worker.payload_answer();
        assert_eq!((&answer["id"], &answer["error"]), (&json!(5), &json!("Error")));
        assert!(text(&answer, "reason").starts_with("message send failed"));
    }
    worker.ask("router.closeTransport", "s", json!({"transportId": "b"}));
    wait_for_sctp(&mut worker, "a", "closed");
    ask(&mut worker, 6, "53", b"nobody is there");
    assert!(text(&worker.payload_answer(), "reason").starts_with("message send failed"));
}

#[test]
fn wrong_requests_change_nothing() {
    let mut worker = joined("Plain", json!({}));
    through(&mut worker, json!({"streamId": 5}));
    create_plain(&mut worker, "r", "media", json!({}));
    let everything = |worker: &mut Worker| -> Vec<Value> {
        let mut dumps = vec![worker.dump(), worker.ask("router.dump", "r", Value::Null)];
        dumps.extend(["a", "b", "rd", "sd", "media"].map(|id| worker.ask("transport.dump", id, Value::Null)));
        dumps
    };
    let before = everything(&mut worker);
    let stream = json!({"streamId": 6});
    let with = |mut data: Value, key: &str, value: Value| {
        data[key] = value;
        data
    };
    let produced = produce_data("x", stream.clone());
    let consumed = consume_data("x", "rp", stream.clone());
    for (method, handler, data, class, named) in [
        ("transport.produceData", "b", produce_data("x", json!({"streamId": 5})), "Error", "streamId"),
        ("transport.produceData", "b", produce_data("bp", stream.clone()), "Error", "bp"),
        (
            "transport.produceData",
            "b",
            with(produced.clone(), "dataProducerId", json!(3)),
            "TypeError",
            "dataProducerId",
        ),
        ("transport.produceData", "b", with(produced.clone(), "type", json!("x")), "TypeError", "type"),
        (
            "transport.produceData",
            "b",
            with(produced.clone(), "sctpStreamParameters", Value::Null),
            "TypeError",
            "sctpStreamParameters",
        ),
        ("transport.produceData", "b", produce_data("x", json!({})), "TypeError", "streamId"),
        ("transport.produceData", "b", produce_data("x", json!({"streamId": 65_535})), "TypeError", "streamId"),
        (
            "transport.produceData",
            "b",
            produce_data("x", json!({"streamId": 1, "ordered": true, "maxRetransmits": 1})),
            "TypeError",
            "ordered",
        ),
        (
            "transport.produceData",
            "b",
            produce_data("x", json!({"streamId": 1, "maxPacketLifeTime": 1, "maxRetransmits": 1})),
            "TypeError",
            "maxRetransmits",
        ),
        ("transport.produceData", "b", direct(produced.clone()), "TypeError", "direct"),
        ("transport.produceData", "rd", produced.clone(), "TypeError", "sctp"),
        ("transport.produceData", "media", produced.clone(), "Error", "SCTP not enabled"),
        ("transport.consumeData", "a", with(consumed.clone(), "dataConsumerId", json!("ac")), "Error", "ac"),
        ("transport.consumeData", "a", with(consumed.clone(), "dataProducerId", json!("bp")), "Error", "bp"),
        (
            "transport.consumeData",
            "a",
            with(consumed.clone(), "sctpStreamParameters", Value::Null),
            "TypeError",
            "sctpStreamParameters",
        ),
        ("transport.consumeData", "a", direct(consumed.clone()), "TypeError", "direct"),
        ("transport.consumeData", "rd", consumed.clone(), "TypeError", "sctp"),
        ("transport.consumeData", "media", consumed.clone(), "Error", "SCTP not enabled"),
        ("transport.closeDataProducer", "a", json!({"dataProducerId": "rp"}), "Error", "rp"),
        ("transport.closeDataProducer", "a", json!({}), "TypeError", "dataProducerId"),
        ("transport.closeDataConsumer", "b", json!({"dataConsumerId": "ac"}), "Error", "ac"),
        ("dataConsumer.getBufferedAmount", "sc", Value::Null, "TypeError", "type"),
        ("dataConsumer.setBufferedAmountLowThreshold", "sc", json!({"threshold": 1}), "TypeError", "type"),
        ("dataConsumer.setBufferedAmountLowThreshold", "ac", json!({"threshold": -1}), "TypeError", "threshold"),
        ("dataConsumer.setBufferedAmountLowThreshold", "ac", json!({}), "TypeError", "threshold"),
        ("dataConsumer.dump", "rp", Value::Null, "Error", "unknown method"),
        ("dataProducer.getStats", "ac", Value::Null, "Error", "unknown method"),
        ("consumer.pause", "ac", Value::Null, "Error", "unknown method"),
    ] {
        let refused = worker.refused(method, handler, data.clone());
        assert_eq!(refused.class, class, "{method} {handler} {data}: {}", refused.reason);
        assert!(refused.reason.contains(named), "{method} {data}: {}", refused.reason);
        assert_eq!(everything(&mut worker), before, "{method} {data} changed something");
    }
}

/// A plain transport learns its peer from an SCTP packet, as from any other; what comes from elsewhere is not its peer's.
#[test]
fn comedia_learns_from_sctp() {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let mut options = sctp_options();
    merge(&mut options, json!({"comedia": true}));
    let inlet = listens(&create_plain(&mut worker, "r", "t", options));
    create_direct(&mut worker, "r", "d");
    worker.ask("transport.produceData", "t", produce_data("p", json!({"streamId": 123})));
    worker.ask("transport.consumeData", "d", direct(consume_data("dc", "p", Value::Null)));
    worker.ask("transport.consumeData", "t", consume_data("tc", "p", json!({"streamId": 666})));
    assert_eq!(worker.ask("transport.dump", "t", Value::Null)["sctpState"], json!("new"));

    let udp = Peer::new();
    let mut peer = SctpPeer::connect(Udp { peer: &udp, to: inlet });
    let tuple = worker.notification("tuple")["data"]["tuple"].clone();
    assert_eq!(tuple["remotePort"], json!(udp.address().port()));
    wait_for_sctp(&mut worker, "t", "connected");
    for number in 0..200 {
        peer.send(&reliable(123), Ppid::String, format!("message {number}").as_bytes());
    }
    peer.run_until(|peer| peer.messages(666).len() == 200);
    for (number, got) in peer.messages(666).iter().enumerate() {
        assert_eq!(*got, (Ppid::String, format!("message {number}").into_bytes()));
        assert_eq!(message(&mut worker).2, got.1, "and to the library");
    }
    let stranger = Peer::new();
    let mut stranger = SctpPeer::start(Udp { peer: &stranger, to: inlet });
    stranger.send_nothing_until_answered(&mut worker);
    assert!(stranger.events.iter().all(|event| *event != Event::StateChange(State::Connected)));
    peer.send(&reliable(123), Ppid::Binary, b"still the peer");
    peer.run_until(|peer| peer.messages(666).len() == 201);
}

impl<L: webrtc::Link> SctpPeer<L> {
    /// Sends what it has to, and gives the worker time to look at it: a request comes after it.
    fn send_nothing_until_answered(&mut self, worker: &mut Worker) {
        self.transmit();
        worker.dump();
        worker.dump();
        assert_eq!(self.link.receive_within(std::time::Duration::from_millis(50)), None);
    }
}

/// A browser's data channel: ICE, DTLS, and SCTP in it.
#[test]
fn data_channels_run_in_dtls() {
    let mut options = sctp_options();
    merge(&mut options, json!({"isDataChannel": true, "sctpSendBufferSize": 1_000_000}));
    let (mut worker, dump, address) = webrtc::transport(options);
    let udp = Peer::new();
    let mut link = Udp { peer: &udp, to: address };
    nominate(&mut link, &dump["iceParameters"]);
    let certificate = Certificate::generate().unwrap();
    worker.ask("transport.connect", "t", connect_parameters(&certificate));
    let (dtls, _) = associate(&mut link, &certificate, &dump["dtlsParameters"]["fingerprints"]);
    let mut peer = SctpPeer::connect(Records { link, dtls });
    wait_for_sctp(&mut worker, "t", "connected");

    worker.ask("transport.produceData", "t", produce_data("p", json!({"streamId": 0})));
    worker.ask("transport.consumeData", "t", consume_data("c", "p", json!({"streamId": 1, "ordered": false})));
    let long = vec![3; 262_144];
    peer.send(&reliable(0), Ppid::Binary, &long);
    peer.send(&StreamParameters { ordered: false, ..reliable(0) }, Ppid::String, b"short");
    peer.run_until(|peer| peer.messages(1).len() == 2);
    let mut messages = peer.messages(1);
    messages.sort_by_key(|(_, bytes)| bytes.len());
    assert_eq!(messages, [(Ppid::String, b"short".to_vec()), (Ppid::Binary, long)]);

    // Closing either end closes the channel: the stream is reset in our direction.
    for (method, data, stream_id) in [
        ("transport.closeDataConsumer", json!({"dataConsumerId": "c"}), 1),
        ("transport.closeDataProducer", json!({"dataProducerId": "p"}), 0),
    ] {
        worker.ask(method, "t", data);
        peer.run_until(|peer| peer.events.contains(&Event::StreamReset { stream_id }));
    }
    // The peer may close one too, and the transport goes on.
    worker.ask("transport.produceData", "t", produce_data("p", json!({"streamId": 4})));
    worker.ask("transport.consumeData", "t", consume_data("c", "p", json!({"streamId": 5})));
    peer.send(&reliable(4), Ppid::String, b"before");
    peer.run_until(|peer| peer.messages(5).len() == 1);
    peer.association.reset_stream(4);
    peer.run_until(|peer| peer.events.contains(&Event::StreamReset { stream_id: 4 }));
    peer.send(&reliable(4), Ppid::String, b"after");
    peer.run_until(|peer| peer.messages(5).len() == 2);

    worker.ask("router.closeTransport", "r", json!({"transportId": "t"}));
    peer.run_until(|peer| peer.association.state() == State::Closed);
}

/// The same over ICE-TCP, where a message is more than the connection takes at once.
#[test]
fn data_channels_run_over_tcp() {
    let mut options = sctp_options();
    merge(&mut options, json!({"enableUdp": false, "enableTcp": true, "sctpSendBufferSize": 1_000_000}));
    let (mut worker, dump, address) = webrtc::transport(options);
    let mut link = Tcp::connect(address);
    nominate(&mut link, &dump["iceParameters"]);
    let certificate = Certificate::generate().unwrap();
    worker.ask("transport.connect", "t", connect_parameters(&certificate));
    let (dtls, _) = associate(&mut link, &certificate, &dump["dtlsParameters"]["fingerprints"]);
    let mut peer = SctpPeer::connect(Records { link, dtls });
    worker.ask("transport.produceData", "t", produce_data("p", json!({"streamId": 0})));
    worker.ask("transport.consumeData", "t", consume_data("c", "p", json!({"streamId": 1})));
    for value in 0..3 {
        peer.send(&reliable(0), Ppid::Binary, &vec![value; 262_144]);
    }
    peer.run_until(|peer| peer.messages(1).len() == 3);
    let messages: Vec<_> = (0..3).map(|value| (Ppid::Binary, vec![value; 262_144])).collect();
    assert!(peer.messages(1) == messages, "they come whole and in order");
}
