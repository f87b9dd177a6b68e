//! The messages, against the protocol's own examples and against nonsense.

use ch06_channel::message::Malformed;
use ch06_channel::{FromWorker, Notification, Refusal, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

fn request(id: u32, method: &str, handler: Option<&str>, data: Value) -> Request {
    Request { id, method: method.to_owned(), handler: handler.map(str::to_owned), data }
}

#[test]
fn requests_are_written_and_read_as_the_protocol_says() {
    let dump = request(1, "worker.dump", None, Value::Null);
    assert_eq!(dump.to_text(), "1:worker.dump:undefined:undefined");
    let create = request(7, "router.createDirectTransport", Some("r1"), json!({"direct": true, "url": "a:b"}));
    assert_eq!(create.to_text(), r#"7:router.createDirectTransport:r1:{"direct":true,"url":"a:b"}"#);
    assert_eq!(Request::parse(create.to_text().as_bytes()).unwrap(), create);
    // What is missing is not there, and what is no object says nothing.
    for text in ["10:worker.dump", "10:worker.dump:", "10:worker.dump:undefined:undefined", "10:worker.dump::[1]"] {
        assert_eq!(Request::parse(text.as_bytes()).unwrap(), request(10, "worker.dump", None, json!({})), "{text}");
    }
    assert_eq!(Request::parse(b"4294967295:m:h:null").unwrap(), request(u32::MAX, "m", Some("h"), json!({})));
}

#[test]
fn what_can_t_be_answered_is_no_request() {
    for (text, why) in [
        (&b""[..], Malformed::NoId),
        (b"worker.dump", Malformed::NoId),
        (b"0:worker.dump", Malformed::NoId),
        (b"-1:worker.dump", Malformed::NoId),
        (b"4294967296:worker.dump", Malformed::NoId),
        (b" 1:worker.dump", Malformed::NoId),
        (b"1", Malformed::NoMethod),
        (b"1::h", Malformed::NoMethod),
        (b"1:\xff", Malformed::NotText),
    ] {
        assert_eq!(Request::parse(text), Err(why), "{:?}", String::from_utf8_lossy(text));
    }
    assert!(matches!(Request::parse(b"1:worker.dump::{"), Err(Malformed::Json(_))));
}

#[test]
fn the_worker_s_messages_are_written_and_read_as_the_protocol_says() {
    let refusal = Refusal { error: "TypeError".to_owned(), reason: "no".to_owned() };
    let notification = |target: Value, event: &str, data: Value| {
        FromWorker::Notification(Notification { target, event: event.to_owned(), data })
    };
    for (message, text) in [
        (FromWorker::Answer(1, Ok(Value::Null)), r#"{"id":1,"accepted":true}"#),
        (FromWorker::Answer(2, Ok(json!([1]))), r#"{"id":2,"accepted":true,"data":[1]}"#),
        (FromWorker::Answer(3, Err(refusal)), r#"{"id":3,"error":"TypeError","reason":"no"}"#),
        (notification(json!(771), "running", Value::Null), r#"{"targetId":771,"event":"running"}"#),
        (notification(json!("t1"), "sctp", json!({"s": 1})), r#"{"targetId":"t1","event":"sctp","data":{"s":1}}"#),
        (FromWorker::Log("Dworker: hello".to_owned()), "Dworker: hello"),
    ] {
        assert_eq!(message.to_text(), text);
        assert_eq!(FromWorker::parse(text.as_bytes()).unwrap(), message);
    }
    // The keys' order is free, and there may be others.
    let other = br#"{"more":0,"data":{},"accepted":true,"id":5}"#;
    assert_eq!(FromWorker::parse(other).unwrap(), FromWorker::Answer(5, Ok(json!({}))));
}

proptest! {
    #[test]
    fn a_request_comes_out_as_it_went_in(
        id in 1_u32..,
        method in "[a-zA-Z.]{1,20}",
        handler in prop::option::of("[^:]{1,20}".prop_filter("it stands for none", |handler| handler != "undefined")),
        data in prop::collection::btree_map(".*", ".*", 0..4),
    ) {
        let data: serde_json::Map<String, Value> = data.into_iter().map(|(key, text)| (key, Value::String(text))).collect();
        let request = Request { id, method, handler, data: Value::Object(data) };
        prop_assert_eq!(Request::parse(request.to_text().as_bytes()), Ok(request));
    }

    #[test]
    fn a_message_of_the_worker_s_comes_out_as_it_went_in(
        id in any::<u32>(),
        texts in ("\\PC*|[\"\\\\\n{}]*", ".*"),
        data in prop::option::of(prop::collection::vec(".*", 0..4)),
    ) {
        let data = data.map_or(Value::Null, |texts| json!({ "texts": texts }));
        let (error, reason) = texts;
        let notification = Notification { target: json!(error), event: reason.clone(), data: data.clone() };
        for message in [
            FromWorker::Answer(id, Ok(data)),
            FromWorker::Answer(id, Err(Refusal { error, reason })),
            FromWorker::Notification(notification),
        ] {
            prop_assert_eq!(FromWorker::parse(message.to_text().as_bytes()), Ok(message));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Request::parse(&bytes), FromWorker::parse(&bytes));
    }

    #[test]
    fn arbitrary_fields_never_panic(text in "[0-9]{0,11}:[a-z.]{0,4}:.{0,4}:.{0,10}", json in r#"\{("id":[0-9]{1,11},?)?("(accepted|error|data)":(true|1|"x"))?\}"#) {
        let _ = (Request::parse(text.as_bytes()), FromWorker::parse(json.as_bytes()));
    }
}
