//! Requests: what is written, what is read, and how the errors name what is wrong.

mod common;

use common::{ip, read, samples, with_unknown_members, written};
use serde_json::{Value, json};
use sfu_channel::json::{BadRequest, RequestFrame, write_request};
use sfu_channel::request::*;
use sfu_channel::response::ErrorClass;
use sfu_channel::{ListenInfo, LogLevel, PortRange, Protocol};

#[test]
fn frames_are_read_leniently() {
    let parse = |text: &str| RequestFrame::parse(text.as_bytes());
    let frame = parse("10:worker.dump").unwrap();
    assert_eq!((frame.id, frame.method, frame.handler_id, frame.data), (10, Method::WorkerDump, None, json!({})));
    let frame = parse("4294967295:router.dump:undefined:undefined").unwrap();
    assert_eq!((frame.id, frame.handler_id, frame.data), (u32::MAX, None, json!({})));
    let frame = parse("1:router.dump:a-b:{\"a\":\":::\"}").unwrap();
    assert_eq!((frame.handler_id.as_deref(), frame.data), (Some("a-b"), json!({"a": ":::"})));
    for other_type in ["[1]", "5", "\"x\"", "null", "true"] {
        assert_eq!(parse(&format!("1:router.dump:r:{other_type}")).unwrap().data, json!({}));
    }
}

#[test]
fn unreadable_frames_and_unknown_methods() {
    for text in ["", "1", "x:worker.dump", "-1:worker.dump", "0:worker.dump", "4294967296:worker.dump", ":::"] {
        let error = RequestFrame::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, BadRequest::Unreadable(_)), "{text:?}: {error}");
    }
    let error = RequestFrame::parse(b"1:worker.dump::{\"a\":").unwrap_err();
    assert!(matches!(error, BadRequest::Unreadable(_)), "{error}");
    let error = RequestFrame::parse(b"1:worker.dump:\xff:{}").unwrap_err();
    assert!(matches!(error, BadRequest::Unreadable(_)), "{error}");
    let error = RequestFrame::parse(b"5:worker.fly:undefined:{\"a\":").unwrap_err();
    assert_eq!(error, BadRequest::UnknownMethod { id: 5, method: "worker.fly".to_owned() });
}

#[test]
fn written_as_the_library_does() {
    let request = Request::WorkerCreateRouter(RouterId { router_id: "r1".to_owned() });
    assert_eq!(write_request(1, None, &request), r#"1:worker.createRouter:undefined:{"routerId":"r1"}"#);
    assert_eq!(write_request(2, Some("c1"), &Request::ConsumerPause), "2:consumer.pause:c1:undefined");
}

/// All methods of the protocol, each with all that it can say, survive being read and written.
#[test]
fn every_request_round_trips() {
    assert_eq!(Method::ALL.len(), 58);
    for (method, data) in samples() {
        assert_eq!(Method::from_name(method.as_str()), Some(method));
        let request = read(method, &data).unwrap_or_else(|error| panic!("{method}: {error}"));
        assert_eq!(request.method(), method);
        let again = written(&request);
        assert_eq!(read(method, &again).unwrap(), request, "{method}");
        for (name, value) in data.as_object().into_iter().flatten() {
            // The samples say everything in the library's words, so that each of them comes out again.
            assert_eq!(&again[name], value, "{method} {name}");
        }
    }
}

/// The paths of all members, such as `listenIps[0].ip`.
fn paths(value: &Value, prefix: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                all.push(path.clone());
                paths(member, &path, all);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{prefix}[{index}]");
                all.push(path.clone());
                paths(item, &path, all);
            }
        }
        _ => {}
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('[', "/").replace(']', "").replace('.', "/"))
}

/// What is left out without an error when it is of a wrong type, as in mediasoup.
fn may_be_odd(path: &str) -> bool {
    path.contains(".parameters.") || path.starts_with("logTags[") || path.ends_with("direct")
}

#[test]
fn every_member_of_a_wrong_type_is_named() {
    for (method, data) in samples() {
        let mut all = Vec::new();
        paths(&data, "", &mut all);
        for path in all.iter().filter(|path| !may_be_odd(path)) {
            let mut wrong = data.clone();
            let member = wrong.pointer_mut(&pointer(path)).unwrap();
            *member = if member.is_number() || member.is_boolean() { json!("odd") } else { json!(5) };
            let error = read(method, &wrong).expect_err(path);
            let named = format!("wrong type of field {path}: ");
            assert!(error.reason.starts_with(&named), "{method} {path}: {error}");
        }
    }
}

#[test]
fn every_required_member_is_named() {
    let mut required = Vec::new();
    for (method, data) in samples() {
        let mut all = Vec::new();
        paths(&data, "", &mut all);
        let mut of_method = Vec::new();
        for path in all.iter().filter(|path| !path.ends_with(']')) {
            let mut without = data.clone();
            let (parent, name) = match path.rsplit_once('.') {
                Some((parent, name)) => (without.pointer_mut(&pointer(parent)).unwrap(), name),
                None => (&mut without, path.as_str()),
            };
            parent.as_object_mut().unwrap().remove(name);
            if let Err(error) = read(method, &without) {
                assert_eq!(error.reason, format!("missing field {path}"), "{method}");
                let class = if error.class == ErrorClass::Error { "E" } else { "T" };
                of_method.push(format!("{path} {class}"));
            }
        }
        if !of_method.is_empty() {
            required.push(format!("{method}: {}", of_method.join(", ")));
        }
    }
    insta::assert_snapshot!(required.join("\n"));
}

fn refused(method: Method, data: Value) -> String {
    let error = read(method, &data).unwrap_err();
    assert_eq!(error.class, ErrorClass::TypeError);
    error.reason
}

#[test]
fn values_out_of_range_are_named() {
    let cases = [
        (Method::WorkerUpdateSettings, json!({"logLevel": "chicken"}), "logLevel"),
        (Method::WorkerCreateWebRtcServer, json!({"webRtcServerId": "s", "listenInfos": []}), "listenInfos"),
        (
            Method::WorkerCreateWebRtcServer,
            json!({"webRtcServerId": "s", "listenInfos": vec![json!({"protocol": "udp", "ip": "::1"}); 9]}),
            "listenInfos",
        ),
        (
            Method::WorkerCreateWebRtcServer,
            json!({"webRtcServerId": "s", "listenInfos": [{"protocol": "sctp", "ip": "::1"}]}),
            "listenInfos[0].protocol",
        ),
        (
            Method::RouterCreateWebRtcTransport,
            json!({"transportId": "t", "listenIps": [{"ip": "chicken"}]}),
            "listenIps[0].ip",
        ),
        (Method::RouterCreateWebRtcTransport, json!({"transportId": "t", "listenIps": []}), "listenIps"),
        (
            Method::RouterCreateWebRtcTransport,
            json!({"transportId": "t", "listenIps": [{"ip": "::1"}], "port": 65536}),
            "port",
        ),
        (Method::RouterCreatePlainTransport, json!({"transportId": "t", "listenIp": {"ip": "123"}}), "listenIp.ip"),
        (
            Method::RouterCreatePlainTransport,
            json!({"transportId": "t", "listenIp": {"ip": "::1"}, "enableSrtp": true, "srtpCryptoSuite": "FOO"}),
            "srtpCryptoSuite",
        ),
        (
            Method::RouterCreatePlainTransport,
            json!({"transportId": "t", "listenInfo": {"ip": "::1", "protocol": "tcp"}}),
            "listenInfo.protocol",
        ),
        (Method::RouterCreateDirectTransport, json!({"transportId": "t", "maxMessageSize": -1}), "maxMessageSize"),
        (
            Method::RouterCreateAudioLevelObserver,
            json!({"rtpObserverId": "o", "maxEntries": 0, "threshold": -80, "interval": 1}),
            "maxEntries",
        ),
        (
            Method::RouterCreateAudioLevelObserver,
            json!({"rtpObserverId": "o", "maxEntries": 1, "threshold": 1, "interval": 1}),
            "threshold",
        ),
        (
            Method::TransportConnect,
            json!({"dtlsParameters": {"fingerprints": [{"algorithm": "md5", "value": "A"}]}}),
            "dtlsParameters.fingerprints[0].algorithm",
        ),
        (Method::TransportConnect, json!({"dtlsParameters": {"fingerprints": []}}), "dtlsParameters.fingerprints"),
        (Method::TransportConnect, json!({"ip": "::::1234"}), "ip"),
        (Method::ConsumerSetPriority, json!({"priority": 0}), "priority"),
        (Method::ConsumerSetPriority, json!({"priority": 256}), "priority"),
        (
            Method::TransportProduceData,
            json!({"dataProducerId": "d", "type": "sctp", "sctpStreamParameters": {"streamId": 65535}}),
            "sctpStreamParameters.streamId",
        ),
        (
            Method::TransportProduceData,
            json!({"dataProducerId": "d", "type": "sctp",
                   "sctpStreamParameters": {"streamId": 1, "ordered": true, "maxRetransmits": 1}}),
            "sctpStreamParameters.ordered",
        ),
        (
            Method::TransportProduceData,
            json!({"dataProducerId": "d", "type": "sctp",
                   "sctpStreamParameters": {"streamId": 1, "maxPacketLifeTime": 1, "maxRetransmits": 1}}),
            "sctpStreamParameters.maxRetransmits",
        ),
    ];
    for (method, data, field) in cases {
        let reason = refused(method, data);
        assert!(reason.starts_with(&format!("wrong value of field {field}: ")), "{method}: {reason}");
    }
    let sctp = json!({"transportId": "t", "listenIps": [{"ip": "::1"}], "enableSctp": true,
                      "numSctpStreams": {"OS": 1, "MIS": 1}, "maxSctpMessageSize": 1, "sctpSendBufferSize": 268435457});
    let reason = refused(Method::RouterCreateWebRtcTransport, sctp);
    assert!(reason.starts_with("wrong value of field sctpSendBufferSize: "), "{reason}");
}

/// A newer library may say more, anywhere.
#[test]
fn unknown_members_are_ignored_everywhere() {
    for (method, data) in samples().into_iter().filter(|(_, data)| data.is_object()) {
        let more = with_unknown_members(&data);
        assert_eq!(read(method, &more), read(method, &data), "{method}");
        assert!(read(method, &data).is_ok());
    }
}

#[test]
fn unknown_members_are_ignored_and_nulls_are_absent() {
    let request = read(
        Method::TransportConsume,
        &json!({"consumerId": "c", "producerId": "p", "kind": "audio", "type": "simple", "future": {"x": 1},
                "rtpParameters": {"codecs": [], "encodings": [], "mid": null, "rtcp": {"mux": true}},
                "consumableRtpEncodings": [{"ssrc": 1, "rid": null, "rtx": null}], "preferredLayers": null}),
    );
    let Ok(Request::TransportConsume(consume)) = request else { panic!("{request:?}") };
    assert_eq!(consume.rtp_parameters.mid, None);
    assert_eq!(consume.preferred_layers, None);
}

#[test]
fn settings_are_lenient() {
    let request = read(Method::WorkerUpdateSettings, &json!({"logLevel": "WARN", "logTags": ["ice", 5, null, "rtp"]}));
    let Ok(Request::WorkerUpdateSettings(settings)) = request else { panic!("{request:?}") };
    assert_eq!(settings.log_level, Some(LogLevel::Warn));
    assert_eq!(settings.log_tags, Some(vec!["ice".to_owned(), "rtp".to_owned()]));
    // Any number will do as an interval; the worker clamps it.
    for (number, interval) in [(json!(300.7), 300), (json!(-5), -5), (json!(1e30), i32::MAX)] {
        let data = json!({"rtpObserverId": "o", "interval": number});
        let request = read(Method::RouterCreateActiveSpeakerObserver, &data);
        let Ok(Request::RouterCreateActiveSpeakerObserver(observer)) = request else { panic!("{request:?}") };
        assert_eq!(observer.interval, interval);
    }
    let types = json!({"types": ["rtp", "chicken", "fir"]});
    let request = read(Method::ProducerEnableTraceEvent, &types);
    let Ok(Request::ProducerEnableTraceEvent(trace)) = request else { panic!("{request:?}") };
    assert_eq!(trace.types.len(), 2);
}

fn web_rtc(data: Value) -> CreateWebRtcTransport {
    match read(Method::RouterCreateWebRtcTransport, &data) {
        Ok(Request::RouterCreateWebRtcTransport(request)) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn listen_ips_become_listeners_address_by_address() {
    let request = web_rtc(json!({
        "transportId": "t", "listenIps": [{"ip": "127.0.0.1", "announcedIp": "9.9.9.1"}, {"ip": "::1"}],
        "port": 5000, "enableUdp": true, "enableTcp": true, "preferTcp": true
    }));
    let listener = |protocol, address, announced: Option<&str>| ListenInfo {
        announced_address: announced.map(str::to_owned),
        port: 5000,
        ..ListenInfo::new(protocol, ip(address))
    };
    assert_eq!(
        request.listen_infos,
        [
            listener(Protocol::Udp, "127.0.0.1", Some("9.9.9.1")),
            listener(Protocol::Tcp, "127.0.0.1", Some("9.9.9.1")),
            listener(Protocol::Udp, "::1", None),
            listener(Protocol::Tcp, "::1", None),
        ]
    );
    assert_eq!(request.local_preferences(), [10_000, 11_000, 9_900, 10_900]);
    // One IP address behind two NATs is two addresses.
    for (tcp, expected) in
        [(false, vec![10_000, 9_900, 9_800]), (true, vec![10_000, 10_000, 9_900, 9_900, 9_800, 9_800])]
    {
        let twice = json!([{"ip": "127.0.0.1", "announcedIp": "9.9.9.1"}, {"ip": "127.0.0.1", "announcedIp": "9.9.9.2"}, {"ip": "127.0.0.1"}]);
        let request = web_rtc(json!({"transportId": "t", "listenIps": twice, "enableTcp": tcp}));
        assert_eq!(request.local_preferences(), expected);
    }
    // Without a word about protocols there is UDP only.
    let request = web_rtc(json!({"transportId": "t", "listenIps": [{"ip": "::1"}]}));
    assert_eq!(request.listen_infos, [ListenInfo::new(Protocol::Udp, ip("::1"))]);
    assert_eq!(request.options.sctp, None);
}

#[test]
fn a_bound_of_the_bit_rate_is_any_number() {
    let max_bitrate = |value: &str| -> Result<Option<u64>, _> {
        serde_json::from_str::<sfu_channel::RtpEncodingParameters>(&format!("{{\"maxBitrate\":{value}}}"))
            .map(|read| read.max_bitrate)
    };
    for (value, expected) in [
        ("500000", Some(500_000)),
        ("1500000.5", Some(1_500_000)),
        ("1e6", Some(1_000_000)),
        ("1e300", Some(u64::MAX)),
        ("18446744073709551615", Some(u64::MAX)),
        ("-1", None),
        ("-0.5", None),
        ("null", None),
    ] {
        assert_eq!(max_bitrate(value).unwrap(), expected, "{value}");
    }
    assert!(max_bitrate("\"fast\"").is_err());
}

#[test]
fn listeners_that_the_old_words_cannot_say_are_written_in_new_ones() {
    let old = |infos: Vec<ListenInfo>| {
        let mut request = web_rtc(json!({"transportId": "t", "listenIps": [{"ip": "::1"}]}));
        request.listen_infos = infos;
        let data = written(&Request::RouterCreateWebRtcTransport(request.clone()));
        assert_eq!(web_rtc(data.clone()), request);
        data.get("listenIps").is_some()
    };
    let info = |protocol, address| ListenInfo::new(protocol, ip(address));
    let (udp, tcp) = (Protocol::Udp, Protocol::Tcp);
    assert!(old(vec![info(udp, "::1"), info(udp, "127.0.0.1")]));
    assert!(old(vec![info(tcp, "::1")]));
    assert!(old(vec![info(udp, "::1"), info(tcp, "::1")]));
    assert!(!old(vec![info(tcp, "::1"), info(udp, "::1")]));
    assert!(!old(vec![info(udp, "::1"), info(tcp, "127.0.0.1")]));
    assert!(!old(vec![info(udp, "::1"), ListenInfo { port: 7, ..info(udp, "127.0.0.1") }]));
    let range = Some(PortRange { min: 1, max: 2 });
    assert!(!old(vec![ListenInfo { port_range: range, ..info(udp, "::1") }]));
}
