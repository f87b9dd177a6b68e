//! Each request with each of its fields missing, of another type, and out of range: the class of the refusal is the one
//! that the protocol has, its reason names the field, and all that the worker shows of itself is as before.

#[path = "../common/mod.rs"]
mod common;
mod requests;

use common::Worker;
use common::media::{consume, create_plain, merge, produce};
use requests::{connect_rows, data_rows, media_rows, router_rows, transport_rows, worker_rows};
use serde_json::{Value, json};

/// What a field may be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Integer(i64, i64),
    /// Any number: what is out of range is brought into it.
    Number,
    /// One of some words.
    Name,
    Ip,
    List,
    Object,
}
use Kind::{Flag, Integer, Ip, List, Name, Number, Object, Text};

impl Kind {
    /// Values that a field of this kind can't have.
    fn bad_values(self) -> Vec<Value> {
        let (text, number, flag) = (json!("chicken"), json!(7), json!(true));
        let (list, object) = (json!([[]]), json!({"chicken": []}));
        match self {
            Text => vec![number, flag, list, object],
            Flag => vec![text, number, list, object],
            Number => vec![text, flag, list, object],
            Name | Ip => vec![text, number, flag, list, object],
            List => vec![text, number, flag, object],
            Object => vec![text, number, flag],
            Integer(least, most) => {
                let mut values = vec![text, flag, list, object, json!(1.5), json!(1e300), json!(least - 1)];
                values.extend(most.checked_add(1).map(|value| json!(value)));
                values
            }
        }
    }
}

/// A field, by its JSON pointer (RFC 6901).
struct Field {
    pointer: &'static str,
    kind: Kind,
    required: bool,
    class: &'static str,
}

/// The request of one method to one entity.
struct Row {
    method: &'static str,
    handler: &'static str,
    /// Data that is accepted.
    good: Value,
    fields: Vec<Field>,
    /// Further data that is wrong: changes to the good one, the class, and what the reason names.
    wrong: Vec<(Value, &'static str, &'static str)>,
    /// The request that ends what the good one makes.
    undo: Option<(&'static str, &'static str, Value)>,
}

/// One of each kind of entity.
fn scene() -> Worker {
    let mut worker = Worker::start();
    let infos = json!([{"protocol": "udp", "ip": "127.0.0.1"}]);
    worker.ask("worker.createWebRtcServer", "undefined", json!({"webRtcServerId": "s", "listenInfos": infos}));
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let webrtc = json!({"transportId": "webrtc", "webRtcServerId": "s"});
    worker.ask("router.createWebRtcTransportWithServer", "r", webrtc);
    create_plain(&mut worker, "r", "plain", json!({}));
    create_plain(&mut worker, "r", "secret", json!({"enableSrtp": true, "srtpCryptoSuite": "AEAD_AES_256_GCM"}));
    let sctp = json!({"enableSctp": true, "numSctpStreams": {"OS": 16, "MIS": 16}});
    create_plain(&mut worker, "r", "sctp", sctp);
    let pipe = json!({"transportId": "pipe", "listenIp": {"ip": "127.0.0.1"}});
    worker.ask("router.createPipeTransport", "r", pipe);
    let direct = json!({"transportId": "direct", "direct": true, "maxMessageSize": 1000});
    worker.ask("router.createDirectTransport", "r", direct);
    worker.ask("transport.produce", "plain", produce("p"));
    worker.ask("transport.produce", "plain", audio("a", 1));
    worker.ask("transport.consume", "plain", consume("c", "p"));
    let data = json!({"dataProducerId": "dp", "type": "sctp", "sctpStreamParameters": {"streamId": 1}});
    worker.ask("transport.produceData", "sctp", data);
    let data = json!({"dataConsumerId": "dc", "dataProducerId": "dp", "type": "sctp", "sctpStreamParameters": {"streamId": 1}});
    worker.ask("transport.consumeData", "sctp", data);
    worker.ask(
        "router.createAudioLevelObserver",
        "r",
        json!({"rtpObserverId": "o", "maxEntries": 1, "threshold": -80, "interval": 5000}),
    );
    worker
}

fn audio(id: &str, ssrc: u32) -> Value {
    json!({
        "producerId": id, "kind": "audio",
        "rtpParameters": {
            "codecs": [{"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}],
            "encodings": [{"ssrc": ssrc}],
        },
        "rtpMapping": {
            "codecs": [{"payloadType": 111, "mappedPayloadType": 100}],
            "encodings": [{"ssrc": ssrc, "mappedSsrc": 6000}],
        },
    })
}

/// All that the worker shows of itself.
fn everything(worker: &mut Worker) -> Vec<Value> {
    let mut dumps = vec![worker.dump()];
    for (method, handlers) in [
        ("webRtcServer.dump", &["s"][..]),
        ("router.dump", &["r"]),
        ("transport.dump", &["webrtc", "plain", "secret", "sctp", "pipe", "direct"]),
        ("producer.dump", &["p", "a"]),
        ("consumer.dump", &["c"]),
        ("dataProducer.dump", &["dp"]),
        ("dataConsumer.dump", &["dc"]),
    ] {
        dumps.extend(handlers.iter().map(|handler| worker.ask(method, handler, Value::Null)));
    }
    dumps
}

/// The data with a field replaced, or left out.
fn with(good: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut data = good.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match (data.pointer_mut(parent).expect("the good data have it"), value) {
        (Value::Object(object), Some(value)) => drop(object.insert(key.to_owned(), value)),
        (Value::Object(object), None) => drop(object.remove(key)),
        (Value::Array(list), Some(value)) => list[key.parse::<usize>().unwrap()] = value,
        (parent, _) => panic!("{pointer} in {parent}"),
    }
    data
}

/// Sends each wrong form of the request, and returns how many there were.
fn check(worker: &mut Worker, row: &Row) -> usize {
    let Row { method, handler, good, .. } = row;
    let before = everything(worker);
    let mut cases: Vec<(Value, &str, &str)> = Vec::new();
    for Field { pointer, kind, required, class } in &row.fields {
        let name = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap();
        let values = kind.bad_values().into_iter().map(Some);
        for value in values.chain(required.then_some(None)) {
            cases.push((with(good, pointer, value), class, name));
        }
    }
    for (change, class, named) in &row.wrong {
        let mut data = good.clone();
        merge(&mut data, change.clone());
        cases.push((data, class, named));
    }
    let mut failures = Vec::new();
    for (data, class, named) in &cases {
        match worker.request(method, handler, data.clone()) {
            Ok(answer) => failures.push(format!("{method} {data} was accepted with {answer}")),
            Err(refused) if refused.class == *class && refused.reason.contains(named) => {}
            Err(refused) => failures.push(format!("{method} {data}, {class} that names {named}: {refused:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(everything(worker), before, "{method}: something has changed");
    cases.len()
}

#[test]
fn every_field_of_every_request() {
    let mut worker = scene();
    let mut cases = 0;
    let tables = [worker_rows(), router_rows(), transport_rows(), media_rows(), data_rows(), connect_rows()];
    for row in tables.iter().flatten() {
        cases += check(&mut worker, row);
        // But for those whose one field is all, nothing is wrong with the good one.
        if row.good != json!({}) {
            worker.ask(row.method, row.handler, row.good.clone());
        }
        if let Some((method, handler, data)) = &row.undo {
            worker.ask(method, handler, data.clone());
        }
    }
    assert!(cases > 900, "only {cases} cases");
}
