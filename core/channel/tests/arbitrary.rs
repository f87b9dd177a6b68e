//! Whatever arrives: no panic; and what we write, we read.

mod common;

use std::collections::BTreeMap;

use common::{read, samples, written};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use sfu_channel::json::payload::{
    PayloadFromWorker, read_from_worker, read_to_worker, write_notification as write_payload_notification,
    write_to_worker,
};
use sfu_channel::json::{FromWorker, RequestFrame, write_notification, write_response};
use sfu_channel::notification::*;
use sfu_channel::payload::*;
use sfu_channel::request::{Method, Produce, Request};
use sfu_channel::response::{Refusal, Reply, Response};
use sfu_channel::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    let name = prop_oneof![
        "[a-zA-Z]{0,6}",
        proptest::sample::select(&["codecs", "encodings", "ssrc", "ip", "type", "data", "event", "id", "targetId"][..])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(name.clone(), inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn method() -> impl Strategy<Value = Method> {
    proptest::sample::select(Method::ALL)
}

/// A sample with one member exchanged for something arbitrary.
fn mutated_sample() -> impl Strategy<Value = (Method, Value)> {
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any_json()).prop_map(|(which, member, value)| {
        let all = samples();
        let (method, mut data) = all[which.index(all.len())].clone();
        if let Some(members) = data.as_object_mut().filter(|members| !members.is_empty()) {
            let index = member.index(members.len());
            if let Some(slot) = members.values_mut().nth(index) {
                *slot = value;
            }
        }
        (method, data)
    })
}

fn parameter_value() -> impl Strategy<Value = ParameterValue> {
    prop_oneof![
        any::<bool>().prop_map(ParameterValue::Bool),
        any::<i64>().prop_map(ParameterValue::Int),
        proptest::num::f64::NORMAL.prop_map(ParameterValue::Float),
        ".{0,8}".prop_map(ParameterValue::String),
        vec(any::<i64>(), 0..4).prop_map(ParameterValue::IntArray),
    ]
}

fn parameters() -> impl Strategy<Value = Parameters> {
    btree_map("[a-z-]{1,8}", parameter_value(), 0..3)
}

fn codec() -> impl Strategy<Value = RtpCodecParameters> {
    let feedback = ("[a-z-]{1,8}", "[a-z]{0,4}").prop_map(|(kind, parameter)| RtcpFeedback { kind, parameter });
    (
        "(audio|video)/[A-Za-z0-9]{1,6}",
        any::<u8>(),
        any::<u32>(),
        option::of(any::<u8>()),
        parameters(),
        vec(feedback, 0..3),
    )
        .prop_map(|(mime_type, payload_type, clock_rate, channels, parameters, rtcp_feedback)| {
            RtpCodecParameters { mime_type, payload_type, clock_rate, channels, parameters, rtcp_feedback }
        })
}

fn encoding() -> impl Strategy<Value = RtpEncodingParameters> {
    (
        option::of(any::<u32>()),
        option::of(".{0,8}"),
        option::of(any::<u8>()),
        option::of(any::<u32>()),
        option::of(any::<bool>()),
        option::of(any::<u64>()),
        option::of(0u16..1000),
    )
        .prop_map(|(ssrc, rid, codec_payload_type, rtx, dtx, max_bitrate, max_framerate)| RtpEncodingParameters {
            ssrc,
            rid,
            codec_payload_type,
            rtx: rtx.map(|ssrc| RtpEncodingRtx { ssrc }),
            dtx,
            max_bitrate,
            max_framerate: max_framerate.map(f64::from),
            ..RtpEncodingParameters::default()
        })
}

fn rtp_parameters() -> impl Strategy<Value = RtpParameters> {
    let extension = (".{0,20}", any::<u8>(), any::<bool>(), parameters())
        .prop_map(|(uri, id, encrypt, parameters)| RtpHeaderExtensionParameters { uri, id, encrypt, parameters });
    let rtcp = (option::of(".{0,8}"), option::of(any::<u32>()), option::of(any::<bool>()))
        .prop_map(|(cname, ssrc, reduced_size)| RtcpParameters { cname, ssrc, reduced_size });
    (option::of(".{0,8}"), vec(codec(), 0..3), vec(extension, 0..3), vec(encoding(), 0..3), rtcp).prop_map(
        |(mid, codecs, header_extensions, encodings, rtcp)| RtpParameters {
            mid,
            codecs,
            header_extensions,
            encodings,
            rtcp,
            msid: None,
        },
    )
}

fn tuple() -> impl Strategy<Value = TransportTuple> {
    (".{0,12}", any::<u16>(), option::of((any::<std::net::IpAddr>(), any::<u16>())), any::<bool>()).prop_map(
        |(local_address, local_port, remote, tcp)| TransportTuple {
            local_address,
            local_port,
            remote_ip: remote.map(|(ip, _)| ip),
            remote_port: remote.map(|(_, port)| port),
            protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
        },
    )
}

fn consumer_layers() -> impl Strategy<Value = ConsumerLayers> {
    (any::<i16>(), any::<i16>())
        .prop_map(|(spatial_layer, temporal_layer)| ConsumerLayers { spatial_layer, temporal_layer })
}

fn packet_info() -> impl Strategy<Value = RtpPacketInfo> {
    (any::<u16>(), any::<u32>(), any::<bool>(), option::of(".{0,8}"), option::of(any::<u16>()), any::<bool>()).prop_map(
        |(sequence_number, ssrc, marker, mid, wide_sequence_number, is_rtx)| RtpPacketInfo {
            sequence_number,
            ssrc,
            marker,
            mid,
            wide_sequence_number,
            is_rtx,
            ..RtpPacketInfo::default()
        },
    )
}

fn trace_info() -> impl Strategy<Value = (TraceEventType, TraceInfo)> {
    use TraceEventType::{Fir, KeyFrame, Nack, Pli, Rtp};
    let one_of = |types: [TraceEventType; 2]| proptest::sample::select(types.to_vec());
    prop_oneof![
        (one_of([Rtp, KeyFrame]), packet_info().prop_map(TraceInfo::Rtp)),
        (one_of([Pli, Fir]), any::<u32>().prop_map(|ssrc| TraceInfo::Ssrc { ssrc })),
        Just((Nack, TraceInfo::Nothing {})),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let ice = [IceState::New, IceState::Connected, IceState::Completed, IceState::Disconnected];
    let dtls = [DtlsState::New, DtlsState::Connecting, DtlsState::Connected, DtlsState::Failed, DtlsState::Closed];
    let score = (any::<u32>(), any::<u32>(), option::of(".{0,4}"), any::<u8>())
        .prop_map(|(encoding_idx, ssrc, rid, score)| ProducerScore { encoding_idx, ssrc, rid, score });
    let volume = (".{0,8}", any::<i8>()).prop_map(|(producer_id, volume)| AudioVolume { producer_id, volume });
    let bwe = any::<u64>().prop_map(|rate| BweInfo {
        bwe_type: BweType::TransportCc,
        desired_bitrate: rate,
        effective_desired_bitrate: 1,
        min_bitrate: 2,
        max_bitrate: 3,
        start_bitrate: 4,
        max_padding_bitrate: 5,
        available_bitrate: 6,
    });
    let transport_trace = prop_oneof![
        packet_info().prop_map(|info| (TransportTraceEventType::Probation, TransportTraceInfo::Rtp(info))),
        bwe.prop_map(|info| (TransportTraceEventType::Bwe, TransportTraceInfo::Bwe(info))),
    ];
    prop_oneof![
        Just(Event::Running),
        proptest::sample::select(ice.to_vec()).prop_map(Event::IceStateChange),
        tuple().prop_map(Event::IceSelectedTupleChange),
        (proptest::sample::select(dtls.to_vec()), option::of(".{0,30}")).prop_map(|(dtls_state, dtls_remote_cert)| {
            Event::DtlsStateChange(DtlsStateChange { dtls_state, dtls_remote_cert })
        }),
        Just(Event::SctpStateChange(SctpState::Connected)),
        tuple().prop_map(Event::Tuple),
        tuple().prop_map(Event::RtcpTuple),
        (transport_trace, any::<u64>()).prop_map(|((trace_type, info), timestamp)| {
            Event::TransportTrace(TransportTrace { trace_type, timestamp, direction: TraceDirection::Out, info })
        }),
        vec(score, 0..3).prop_map(Event::ProducerScore),
        (any::<bool>(), any::<bool>(), any::<u16>()).prop_map(|(camera, flip, rotation)| {
            Event::VideoOrientationChange(VideoOrientation { camera, flip, rotation })
        }),
        (any::<u64>(), trace_info()).prop_map(|(timestamp, (trace_type, info))| {
            Event::Trace(Trace { trace_type, timestamp, direction: TraceDirection::In, info })
        }),
        Just(Event::ProducerClose),
        Just(Event::ProducerPause),
        Just(Event::ProducerResume),
        (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..4)).prop_map(|(score, producer_score, producer_scores)| {
            Event::ConsumerScore(ConsumerScore { score, producer_score, producer_scores })
        }),
        option::of(consumer_layers()).prop_map(Event::LayersChange),
        Just(Event::DataProducerClose),
        Just(Event::SctpSendBufferFull),
        any::<u32>().prop_map(Event::BufferedAmountLow),
        vec(volume, 0..3).prop_map(Event::Volumes),
        Just(Event::Silence),
        ".{0,8}".prop_map(Event::DominantSpeaker),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![any::<u32>().prop_map(Target::Worker), ".{0,12}".prop_map(Target::Entity)]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = RequestFrame::parse(&bytes).map(|frame| frame.request());
        let _ = FromWorker::parse(&bytes);
        let _ = read_to_worker(&bytes);
        let _ = read_from_worker(&bytes);
        let _ = log::LogLine::parse(&bytes);
    }

    #[test]
    fn arbitrary_text_in_the_form_of_frames_never_panics(parts in vec(".{0,12}", 1..6), id in 0u32..3) {
        let text = format!("{id}:{}", parts.join(":"));
        let _ = RequestFrame::parse(text.as_bytes()).map(|frame| frame.request());
        let _ = read_to_worker(format!("n:{text}").as_bytes());
        let _ = read_to_worker(format!("r:{text}").as_bytes());
    }

    #[test]
    fn arbitrary_json_never_panics(method in method(), value in any_json()) {
        let _ = read(method, &value);
        let _ = FromWorker::parse(value.to_string().as_bytes());
        let _ = read_from_worker(value.to_string().as_bytes());
    }

    #[test]
    fn a_mutated_request_is_refused_by_name_or_survives((method, data) in mutated_sample()) {
        match read(method, &data) {
            Ok(request) => prop_assert_eq!(read(method, &written(&request)).unwrap(), request),
            Err(error) => prop_assert!(error.reason.contains(" field "), "{}", error),
        }
    }

    #[test]
    fn notifications_with_arbitrary_data_never_panic(value in any_json(), example in event()) {
        let text = write_notification(&Notification { target: Target::Entity("e".into()), event: example });
        let mut object: Value = serde_json::from_str(&text).unwrap();
        object["data"] = value;
        let _ = FromWorker::parse(object.to_string().as_bytes());
    }

    #[test]
    fn rtp_parameters_round_trip(parameters in rtp_parameters(), codec in codec()) {
        let text = serde_json::to_string(&parameters).unwrap();
        prop_assert_eq!(&serde_json::from_str::<RtpParameters>(&text).unwrap(), &parameters);
        let produce = Request::TransportProduce(Produce {
            producer_id: codec.mime_type,
            kind: MediaKind::Video,
            rtp_parameters: parameters,
            rtp_mapping: RtpMapping::default(),
            paused: false,
            key_frame_request_delay: None,
            enable_mediasoup_packet_id_header_extension: false,
        });
        prop_assert_eq!(read(Method::TransportProduce, &written(&produce)).unwrap(), produce);
    }

    #[test]
    fn notifications_round_trip(target in target(), event in event()) {
        let notification = Notification { target, event };
        let text = write_notification(&notification);
        prop_assert_eq!(FromWorker::parse(text.as_bytes()).unwrap(), FromWorker::Notification(notification));
    }

    #[test]
    fn responses_round_trip(id in any::<u32>(), reason in ".{0,30}", layers in option::of(consumer_layers())) {
        let accepted = Response { id, outcome: Ok(layers.map(Reply::ConsumerLayers)) };
        let expected = Response { id, outcome: Ok(layers.map(|layers| json!(layers))) };
        let text = write_response(&accepted);
        prop_assert_eq!(FromWorker::parse(text.as_bytes()).unwrap(), FromWorker::Response(expected));
        for refusal in [Refusal::error(&reason), Refusal::type_error(&reason)] {
            let text = write_response(&Response { id, outcome: Err(refusal.clone()) });
            let expected = Response { id, outcome: Err(refusal) };
            prop_assert_eq!(FromWorker::parse(text.as_bytes()).unwrap(), FromWorker::Response(expected));
        }
    }

    #[test]
    fn payload_headers_round_trip(id in any::<u32>(), entity in "[a-zA-Z0-9-]{1,36}", ppid in option::of(any::<u32>()), target in target()) {
        let headers = [
            PayloadToWorker::ProducerSend { producer_id: entity.clone() },
            PayloadToWorker::SendRtcp { transport_id: entity.clone() },
            PayloadToWorker::DataProducerSend { data_producer_id: entity.clone(), ppid },
            PayloadToWorker::DataConsumerSend { id, data_consumer_id: entity, ppid },
        ];
        for header in headers {
            prop_assert_eq!(read_to_worker(write_to_worker(&header).as_bytes()).unwrap(), header);
        }
        for event in [PayloadEvent::Rtp, PayloadEvent::Rtcp, PayloadEvent::Message { ppid: ppid.unwrap_or(51) }] {
            let notification = PayloadNotification { target: target.clone(), event };
            let text = write_payload_notification(&notification);
            prop_assert_eq!(read_from_worker(text.as_bytes()).unwrap(), PayloadFromWorker::Notification(notification));
        }
    }

    #[test]
    fn number_keyed_maps_survive_flattening(table in btree_map(any::<u32>(), "[a-z]{1,8}", 0..5)) {
        let table: BTreeMap<u32, String> = table;
        let base = dump::TransportDump { map_ssrc_consumer_id: table.clone(), ..Default::default() };
        let tuple = TransportTuple {
            local_address: "127.0.0.1".into(),
            local_port: 1,
            remote_ip: None,
            remote_port: None,
            protocol: Protocol::Udp,
        };
        let dump = dump::PipeTransportDump { base, tuple, rtx: false, srtp_parameters: None };
        let value = serde_json::to_value(&dump).unwrap();
        prop_assert_eq!(serde_json::from_value::<dump::PipeTransportDump>(value).unwrap(), dump);
    }
}
