//! Every notification and every header of the payload channel, literally as the protocol has it: a name that is wrong
//! in what is written and in what is read alike shows only here.

mod common;

use common::with_unknown_members;
use serde_json::{Value, json};
use sfu_channel::json::payload::{
    PayloadFromWorker, read_from_worker, read_to_worker, write_notification as write_payload_notification,
    write_to_worker,
};
use sfu_channel::json::{BadFrame, BadRequest, FromWorker, write_notification};
use sfu_channel::notification::*;
use sfu_channel::payload::*;
use sfu_channel::*;

fn tuple() -> TransportTuple {
    TransportTuple {
        local_address: "9.9.9.1".to_owned(),
        local_port: 4000,
        remote_ip: Some("127.0.0.1".parse().unwrap()),
        remote_port: Some(5000),
        protocol: Protocol::Tcp,
    }
}

fn tuple_json() -> Value {
    json!({"localIp": "9.9.9.1", "localPort": 4000, "remoteIp": "127.0.0.1", "remotePort": 5000, "protocol": "tcp"})
}

fn packet() -> RtpPacketInfo {
    RtpPacketInfo {
        payload_type: 101,
        sequence_number: 2,
        timestamp: 3,
        marker: true,
        ssrc: 4,
        is_key_frame: true,
        size: 1200,
        payload_size: 1180,
        spatial_layer: 1,
        temporal_layer: 2,
        mid: Some("0".to_owned()),
        rid: Some("r0".to_owned()),
        rrid: Some("r1".to_owned()),
        wide_sequence_number: Some(9),
        is_rtx: true,
    }
}

fn packet_json() -> Value {
    json!({"payloadType": 101, "sequenceNumber": 2, "timestamp": 3, "marker": true, "ssrc": 4, "isKeyFrame": true,
           "size": 1200, "payloadSize": 1180, "spatialLayer": 1, "temporalLayer": 2, "mid": "0", "rid": "r0",
           "rrid": "r1", "wideSequenceNumber": 9, "isRtx": true})
}

fn trace(trace_type: TraceEventType, info: TraceInfo) -> Event {
    Event::Trace(Trace { trace_type, timestamp: 7, direction: TraceDirection::In, info })
}

fn trace_json(trace_type: &str, info: Value) -> Value {
    json!({"type": trace_type, "timestamp": 7, "direction": "in", "info": info})
}

/// Each event, its name, and its data where it has any.
fn events() -> Vec<(Event, &'static str, Option<Value>)> {
    let bare = RtpPacketInfo { ssrc: 4, ..RtpPacketInfo::default() };
    let bare_json = json!({"payloadType": 0, "sequenceNumber": 0, "timestamp": 0, "marker": false, "ssrc": 4,
        "isKeyFrame": false, "size": 0, "payloadSize": 0, "spatialLayer": 0, "temporalLayer": 0});
    let bwe = BweInfo {
        bwe_type: BweType::TransportCc,
        desired_bitrate: 1,
        effective_desired_bitrate: 2,
        min_bitrate: 3,
        max_bitrate: 4,
        start_bitrate: 5,
        max_padding_bitrate: 6,
        available_bitrate: 7,
    };
    let bwe_json = |name: &str| {
        json!({"type": name, "desiredBitrate": 1, "effectiveDesiredBitrate": 2, "minBitrate": 3, "maxBitrate": 4,
               "startBitrate": 5, "maxPaddingBitrate": 6, "availableBitrate": 7})
    };
    let of_transport = |trace_type, info| {
        Event::TransportTrace(TransportTrace { trace_type, timestamp: 7, direction: TraceDirection::Out, info })
    };
    let of_transport_json =
        |name: &str, info: Value| Some(json!({"type": name, "timestamp": 7, "direction": "out", "info": info}));
    let dtls = |dtls_state, cert: Option<&str>| {
        Event::DtlsStateChange(DtlsStateChange { dtls_state, dtls_remote_cert: cert.map(str::to_owned) })
    };
    let score = |rid: Option<&str>| ProducerScore { encoding_idx: 1, ssrc: 5, rid: rid.map(str::to_owned), score: 10 };
    let mut events = vec![
        (Event::Running, "running", None),
        (
            Event::IceSelectedTupleChange(tuple()),
            "iceselectedtuplechange",
            Some(json!({"iceSelectedTuple": tuple_json()})),
        ),
        (dtls(DtlsState::Connecting, None), "dtlsstatechange", Some(json!({"dtlsState": "connecting"}))),
        (
            dtls(DtlsState::Connected, Some("PEM")),
            "dtlsstatechange",
            Some(json!({"dtlsState": "connected", "dtlsRemoteCert": "PEM"})),
        ),
        (Event::Tuple(tuple()), "tuple", Some(json!({"tuple": tuple_json()}))),
        (Event::RtcpTuple(tuple()), "rtcptuple", Some(json!({"rtcpTuple": tuple_json()}))),
        (
            of_transport(TransportTraceEventType::Probation, TransportTraceInfo::Rtp(packet())),
            "trace",
            of_transport_json("probation", packet_json()),
        ),
        (
            of_transport(TransportTraceEventType::Bwe, TransportTraceInfo::Bwe(bwe.clone())),
            "trace",
            of_transport_json("bwe", bwe_json("transport-cc")),
        ),
        (
            of_transport(
                TransportTraceEventType::Bwe,
                TransportTraceInfo::Bwe(BweInfo { bwe_type: BweType::Remb, ..bwe }),
            ),
            "trace",
            of_transport_json("bwe", bwe_json("remb")),
        ),
        (trace(TraceEventType::Rtp, TraceInfo::Rtp(packet())), "trace", Some(trace_json("rtp", packet_json()))),
        (trace(TraceEventType::KeyFrame, TraceInfo::Rtp(bare)), "trace", Some(trace_json("keyframe", bare_json))),
        (trace(TraceEventType::Nack, TraceInfo::Nothing {}), "trace", Some(trace_json("nack", json!({})))),
        (trace(TraceEventType::Pli, TraceInfo::Ssrc { ssrc: 8 }), "trace", Some(trace_json("pli", json!({"ssrc": 8})))),
        (trace(TraceEventType::Fir, TraceInfo::Ssrc { ssrc: 8 }), "trace", Some(trace_json("fir", json!({"ssrc": 8})))),
        (
            Event::ProducerScore(vec![score(None), score(Some("r0"))]),
            "score",
            Some(
                json!([{"encodingIdx": 1, "ssrc": 5, "score": 10}, {"encodingIdx": 1, "ssrc": 5, "rid": "r0", "score": 10}]),
            ),
        ),
        (
            Event::ConsumerScore(ConsumerScore { score: 9, producer_score: 8, producer_scores: vec![7, 8] }),
            "score",
            Some(json!({"score": 9, "producerScore": 8, "producerScores": [7, 8]})),
        ),
        (
            Event::VideoOrientationChange(VideoOrientation { camera: true, flip: false, rotation: 270 }),
            "videoorientationchange",
            Some(json!({"camera": true, "flip": false, "rotation": 270})),
        ),
        (Event::ProducerClose, "producerclose", None),
        (Event::ProducerPause, "producerpause", None),
        (Event::ProducerResume, "producerresume", None),
        (
            Event::LayersChange(Some(ConsumerLayers { spatial_layer: 2, temporal_layer: 0 })),
            "layerschange",
            Some(json!({"spatialLayer": 2, "temporalLayer": 0})),
        ),
        (Event::LayersChange(None), "layerschange", Some(Value::Null)),
        (Event::DataProducerClose, "dataproducerclose", None),
        (Event::SctpSendBufferFull, "sctpsendbufferfull", None),
        (Event::BufferedAmountLow(6), "bufferedamountlow", Some(json!({"bufferedAmount": 6}))),
        (
            Event::Volumes(vec![AudioVolume { producer_id: "p".to_owned(), volume: -127 }]),
            "volumes",
            Some(json!([{"producerId": "p", "volume": -127}])),
        ),
        (Event::Silence, "silence", None),
        (Event::DominantSpeaker("p".to_owned()), "dominantspeaker", Some(json!({"producerId": "p"}))),
    ];
    for (state, name) in [
        (IceState::New, "new"),
        (IceState::Connected, "connected"),
        (IceState::Completed, "completed"),
        (IceState::Disconnected, "disconnected"),
        (IceState::Closed, "closed"),
    ] {
        events.push((Event::IceStateChange(state), "icestatechange", Some(json!({"iceState": name}))));
    }
    for (state, name) in [
        (SctpState::New, "new"),
        (SctpState::Connecting, "connecting"),
        (SctpState::Connected, "connected"),
        (SctpState::Failed, "failed"),
        (SctpState::Closed, "closed"),
    ] {
        events.push((Event::SctpStateChange(state), "sctpstatechange", Some(json!({"sctpState": name}))));
    }
    events
}

#[test]
fn notifications_are_those_of_the_protocol() {
    for (event, name, data) in events() {
        for (target, target_json) in [(Target::Entity("e".to_owned()), json!("e")), (Target::Worker(42), json!(42))] {
            let mut expected = json!({"targetId": target_json, "event": name});
            if let Some(data) = &data {
                expected["data"] = data.clone();
            }
            let notification = Notification { target, event: event.clone() };
            assert_eq!(serde_json::from_str::<Value>(&write_notification(&notification)).unwrap(), expected);
            let read = FromWorker::parse(expected.to_string().as_bytes());
            assert_eq!(read, Ok(FromWorker::Notification(notification)), "{expected}");
        }
    }
}

/// Newer workers may say more.
#[test]
fn unknown_members_of_notifications_are_passed_over() {
    for (event, name, data) in events() {
        let mut notification = json!({"targetId": "e", "event": name});
        if let Some(data) = data {
            notification["data"] = data;
        }
        let more = with_unknown_members(&notification);
        let read = FromWorker::parse(more.to_string().as_bytes());
        assert_eq!(read, Ok(FromWorker::Notification(Notification { target: Target::Entity("e".to_owned()), event })));
    }
}

#[test]
fn a_wrong_member_of_a_notification_is_named() {
    let field = |name: &str, data: Value| {
        let text = json!({"targetId": "e", "event": name, "data": data}).to_string();
        match FromWorker::parse(text.as_bytes()) {
            Err(BadFrame::Field(error)) => error.field,
            other => panic!("{other:?}"),
        }
    };
    let mut packet = packet_json();
    packet["payloadType"] = json!("x");
    for (trace_type, info, expected) in [
        ("rtp", packet.clone(), "info.payloadType"),
        ("probation", packet, "info.payloadType"),
        ("keyframe", json!({"ssrc": 5}), "info.payloadType"),
        ("bwe", json!({"type": "guess"}), "info.type"),
        ("pli", json!({"ssrc": -1}), "info.ssrc"),
        ("fir", json!({}), "info.ssrc"),
        ("nack", json!(5), "info"),
    ] {
        assert_eq!(field("trace", trace_json(trace_type, info)), expected, "{trace_type}");
    }
    assert_eq!(field("trace", trace_json("party", packet_json())), "type");
    assert_eq!(
        field("iceselectedtuplechange", json!({"iceSelectedTuple": {"localIp": 5}})),
        "iceSelectedTuple.localIp"
    );
    assert_eq!(field("volumes", json!([{"producerId": "p", "volume": 1000}])), "[0].volume");
}

#[test]
fn payload_headers_are_those_of_the_protocol() {
    let id = "e".to_owned();
    for (header, text) in [
        (PayloadToWorker::ProducerSend { producer_id: id.clone() }, "n:producer.send:e:undefined"),
        (PayloadToWorker::SendRtcp { transport_id: id.clone() }, "n:transport.sendRtcp:e:undefined"),
        (
            PayloadToWorker::DataProducerSend { data_producer_id: id.clone(), ppid: Some(ppid::STRING) },
            "n:dataProducer.send:e:51",
        ),
        (
            PayloadToWorker::DataConsumerSend { id: 3, data_consumer_id: id.clone(), ppid: Some(ppid::BINARY) },
            "r:3:dataConsumer.send:e:53",
        ),
    ] {
        assert_eq!(write_to_worker(&header), text);
        assert_eq!(read_to_worker(text.as_bytes()), Ok(header));
    }
    // A payload follows whatever the PPID is, and a request is to be answered.
    for wrong in ["x", "", "-1", "4294967296", "undefined"] {
        assert_eq!(
            read_to_worker(format!("r:3:dataConsumer.send:e:{wrong}").as_bytes()),
            Ok(PayloadToWorker::DataConsumerSend { id: 3, data_consumer_id: id.clone(), ppid: None }),
        );
        assert_eq!(
            read_to_worker(format!("n:dataProducer.send:e:{wrong}").as_bytes()),
            Ok(PayloadToWorker::DataProducerSend { data_producer_id: id.clone(), ppid: None }),
        );
    }
    assert!(matches!(read_to_worker(b"r:x:dataConsumer.send:e:51"), Err(BadRequest::Unreadable(_))));
    assert!(matches!(read_to_worker(b"r:3:dataConsumer.fly:e:51"), Err(BadRequest::UnknownMethod { id: 3, .. })));

    for (event, expected) in [
        (PayloadEvent::Rtp, json!({"targetId": "e", "event": "rtp"})),
        (PayloadEvent::Rtcp, json!({"targetId": "e", "event": "rtcp"})),
        (PayloadEvent::Message { ppid: 51 }, json!({"targetId": "e", "event": "message", "data": {"ppid": 51}})),
    ] {
        let notification = PayloadNotification { target: Target::Entity(id.clone()), event };
        assert_eq!(serde_json::from_str::<Value>(&write_payload_notification(&notification)).unwrap(), expected);
        let read = read_from_worker(with_unknown_members(&expected).to_string().as_bytes());
        assert_eq!(read, Ok(PayloadFromWorker::Notification(notification)));
    }
    assert_eq!((ppid::STRING, ppid::BINARY, ppid::EMPTY_STRING, ppid::EMPTY_BINARY), (51, 53, 56, 57));
}
