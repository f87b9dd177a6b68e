//! What the worker writes, literally as the protocol has it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use sfu_channel::dump::*;
use sfu_channel::json::{BadFrame, FromWorker, from_value, write_response};
use sfu_channel::notification::Event;
use sfu_channel::reply::*;
use sfu_channel::response::{Refusal, Reply, Response};
use sfu_channel::stats::*;
use sfu_channel::*;

fn accepted(id: u32, data: Option<Reply>) -> Value {
    serde_json::from_str(&write_response(&Response { id, outcome: Ok(data) })).unwrap()
}

/// What the worker answers has just these members, and the library reads the same struct out of them, names a member
/// that is of a wrong type, and passes over those that it does not know.
fn assert_shape<T>(value: &T, expected: Value)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_value(value).unwrap(), expected);
    assert_eq!(&from_value::<T>(&expected).unwrap(), value);
    // The type of some is only written, since the request tells it.
    for name in expected.as_object().unwrap().keys().filter(|name| *name != "type") {
        let mut wrong = expected.clone();
        // Nothing is a list of lists of such numbers; a list alone may stand for a struct.
        wrong[name] = json!([[-1]]);
        let field = from_value::<T>(&wrong).unwrap_err().field;
        assert!(field == *name || field.starts_with(&format!("{name}[")), "{name}: {field:?}");
    }
    let mut more = expected;
    more["unheardOf"] = json!({"of": [1]});
    assert_eq!(&from_value::<T>(&more).unwrap(), value);
}

#[test]
fn responses() {
    assert_eq!(write_response(&Response { id: 7, outcome: Ok(None) }), r#"{"id":7,"accepted":true}"#);
    let layers = Reply::ConsumerLayers(ConsumerLayers { spatial_layer: 2, temporal_layer: 0 });
    let expected = json!({"id": 8, "accepted": true, "data": {"spatialLayer": 2, "temporalLayer": 0}});
    assert_eq!(accepted(8, Some(layers)), expected);
    let refuse = |refusal: Refusal| write_response(&Response { id: 9, outcome: Err(refusal) });
    let refusal = Refusal::type_error("missing field routerId").in_method("worker.createRouter");
    assert_eq!(
        refuse(refusal),
        r#"{"id":9,"error":"TypeError","reason":"missing field routerId [method:worker.createRouter]"}"#
    );
    // This generation has no word for the third class.
    assert_eq!(refuse(Refusal::not_found("x")), r#"{"id":9,"error":"Error","reason":"x"}"#);
}

#[test]
fn responses_of_another_worker() {
    let parse = |text: &str| FromWorker::parse(text.as_bytes());
    let response = |id, outcome| Ok(FromWorker::Response(Response { id, outcome }));
    // mediasoup's worker sorts keys.
    assert_eq!(parse(r#"{"accepted":true,"data":{"a":1},"id":3}"#), response(3, Ok(Some(json!({"a": 1})))));
    assert_eq!(parse(r#"{"id":3,"error":"Error"}"#), response(3, Err(Refusal::error(""))));
    assert_eq!(parse(r#"{"id":3,"error":"Whatever","reason":"r"}"#), response(3, Err(Refusal::error("r"))));
    assert!(matches!(parse(r#"{"id":3}"#), Err(BadFrame::Field(_))));
    assert!(matches!(parse(r#"{"accepted":true}"#), Err(BadFrame::Field(_))));
    assert!(matches!(parse("nonsense"), Err(BadFrame::Unreadable(_))));
    assert!(matches!(parse("[]"), Err(BadFrame::Field(_))));
    assert_eq!(parse(r#"{"targetId":"x","event":"party"}"#), Err(BadFrame::UnknownEvent("party".to_owned())));
}

#[test]
fn notifications_of_another_worker() {
    // What mediasoup's worker says of a connection: it sorts keys.
    let text =
        r#"{"data":{"dtlsRemoteCert":"-----BEGIN","dtlsState":"connected"},"event":"dtlsstatechange","targetId":"t"}"#;
    let Ok(FromWorker::Notification(notification)) = FromWorker::parse(text.as_bytes()) else { panic!() };
    let Event::DtlsStateChange(change) = notification.event else { panic!() };
    assert_eq!((change.dtls_state, change.dtls_remote_cert.as_deref()), (DtlsState::Connected, Some("-----BEGIN")));
}

#[test]
fn worker_and_router_dumps() {
    assert_shape(
        &WorkerDump { pid: 5, ..WorkerDump::default() },
        json!({"pid": 5, "webRtcServerIds": [], "routerIds": [], "channelMessageHandlers": {
            "channelRequestHandlers": [], "payloadChannelRequestHandlers": [], "payloadChannelNotificationHandlers": []
        }}),
    );
    let mut router = RouterDump { id: "r".to_owned(), ..RouterDump::default() };
    router.map_producer_id_consumer_ids.insert("p".to_owned(), Vec::new());
    assert_shape(
        &router,
        json!({"id": "r", "transportIds": [], "rtpObserverIds": [], "mapProducerIdConsumerIds": {"p": []},
               "mapConsumerIdProducerId": {}, "mapProducerIdObserverIds": {}, "mapDataProducerIdDataConsumerIds": {},
               "mapDataConsumerIdDataProducerId": {}}),
    );
    let usage = serde_json::to_value(ResourceUsage::default()).unwrap();
    assert_eq!(usage.as_object().unwrap().len(), 16);
    assert!(usage.as_object().unwrap().iter().all(|(name, value)| name.starts_with("ru_") && value == &json!(0)));
}

fn base() -> TransportDump {
    TransportDump {
        id: "t".to_owned(),
        map_ssrc_consumer_id: BTreeMap::from([(1234, "c".to_owned())]),
        recv_rtp_header_extensions: RecvRtpHeaderExtensions {
            mid: Some(1),
            transport_wide_cc: Some(5),
            ..RecvRtpHeaderExtensions::default()
        },
        rtp_listener: RtpListenerDump {
            ssrc_table: BTreeMap::from([(99, "p".to_owned())]),
            mid_table: BTreeMap::from([("0".to_owned(), "p".to_owned())]),
            rid_table: BTreeMap::new(),
        },
        max_send_message_size: 262_144,
        max_receive_message_size: 262_144,
        trace_event_types: vec![TransportTraceEventType::Probation, TransportTraceEventType::Bwe],
        ..TransportDump::default()
    }
}

fn base_json() -> Value {
    json!({
        "id": "t", "direct": false, "producerIds": [], "consumerIds": [], "mapSsrcConsumerId": {"1234": "c"},
        "mapRtxSsrcConsumerId": {}, "dataProducerIds": [], "dataConsumerIds": [],
        "recvRtpHeaderExtensions": {"mid": 1, "transportWideCc01": 5},
        "rtpListener": {"ssrcTable": {"99": "p"}, "midTable": {"0": "p"}, "ridTable": {}},
        "maxMessageSize": 262144, "traceEventTypes": "probation,bwe"
    })
}

fn joined(own: Value) -> Value {
    let mut all = base_json();
    all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    all
}

fn tuple() -> TransportTuple {
    TransportTuple {
        local_address: "9.9.9.1".to_owned(),
        local_port: 4000,
        remote_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        remote_port: Some(5000),
        protocol: Protocol::Udp,
    }
}

fn tuple_json() -> Value {
    json!({"localIp": "9.9.9.1", "localPort": 4000, "remoteIp": "127.0.0.1", "remotePort": 5000, "protocol": "udp"})
}

#[test]
fn transport_dumps() {
    assert_shape(&base(), base_json());
    let sctp = TransportDump {
        sctp_parameters: Some(SctpParameters {
            port: 5000,
            os: 1024,
            mis: 1024,
            max_message_size: 1000,
            send_buffer_size: 2000,
            sctp_buffered_amount: 0,
            is_data_channel: true,
        }),
        sctp_state: Some(SctpState::New),
        sctp_listener: Some(SctpListenerDump { stream_id_table: BTreeMap::from([(7, "d".to_owned())]) }),
        ..base()
    };
    assert_shape(
        &sctp,
        joined(json!({
            "sctpParameters": {"port": 5000, "OS": 1024, "MIS": 1024, "maxMessageSize": 1000, "sendBufferSize": 2000,
                               "sctpBufferedAmount": 0, "isDataChannel": true},
            "sctpState": "new", "sctpListener": {"streamIdTable": {"7": "d"}}
        })),
    );
    let candidate = IceCandidate {
        foundation: "tcpcandidate".to_owned(),
        priority: 1_076_302_079,
        address: "9.9.9.1".to_owned(),
        protocol: Protocol::Tcp,
        port: 4000,
        kind: IceCandidateType::Host,
        tcp_type: Some(IceCandidateTcpType::Passive),
    };
    assert_shape(
        &WebRtcTransportDump {
            base: base(),
            ice_role: IceRole::Controlled,
            ice_parameters: IceParameters {
                username_fragment: "u".to_owned(),
                password: "p".to_owned(),
                ice_lite: true,
            },
            ice_candidates: vec![candidate],
            ice_state: IceState::New,
            ice_selected_tuple: Some(tuple()),
            dtls_parameters: DtlsParameters {
                role: DtlsRole::Auto,
                fingerprints: vec![DtlsFingerprint {
                    algorithm: FingerprintAlgorithm::Sha512,
                    value: "AA:BB".to_owned(),
                }],
            },
            dtls_state: DtlsState::New,
        },
        joined(json!({
            "iceRole": "controlled", "iceParameters": {"usernameFragment": "u", "password": "p", "iceLite": true},
            "iceCandidates": [{"foundation": "tcpcandidate", "priority": 1076302079, "ip": "9.9.9.1", "protocol": "tcp",
                               "port": 4000, "type": "host", "tcpType": "passive"}],
            "iceState": "new", "iceSelectedTuple": tuple_json(),
            "dtlsParameters": {"fingerprints": [{"algorithm": "sha-512", "value": "AA:BB"}], "role": "auto"},
            "dtlsState": "new"
        })),
    );
    let unknown = TransportTuple { remote_ip: None, remote_port: None, ..tuple() };
    assert_shape(
        &PlainTransportDump {
            base: base(),
            rtcp_mux: false,
            comedia: true,
            tuple: unknown,
            rtcp_tuple: Some(tuple()),
            srtp_parameters: Some(SrtpParameters {
                crypto_suite: SrtpCryptoSuite::AesCm128HmacSha1_32,
                key_base64: "AAAA".to_owned(),
            }),
        },
        joined(json!({
            "rtcpMux": false, "comedia": true, "tuple": {"localIp": "9.9.9.1", "localPort": 4000, "protocol": "udp"},
            "rtcpTuple": tuple_json(), "srtpParameters": {"cryptoSuite": "AES_CM_128_HMAC_SHA1_32", "keyBase64": "AAAA"}
        })),
    );
    assert_shape(
        &PipeTransportDump { base: base(), tuple: tuple(), rtx: true, srtp_parameters: None },
        joined(json!({"tuple": tuple_json(), "rtx": true})),
    );
}

fn stream() -> RtpStreamDump {
    RtpStreamDump {
        params: RtpStreamParams {
            ssrc: 1,
            payload_type: 101,
            mime_type: "video/VP8".to_owned(),
            clock_rate: 90_000,
            cname: "c".to_owned(),
            rtx_ssrc: Some(2),
            rtx_payload_type: Some(102),
            use_nack: true,
            spatial_layers: 1,
            temporal_layers: 1,
            ..RtpStreamParams::default()
        },
        score: 10,
        rtx_stream: Some(RtxStreamDump {
            params: RtxStreamParams {
                ssrc: 2,
                payload_type: 102,
                mime_type: "video/rtx".to_owned(),
                clock_rate: 90_000,
                rrid: None,
                cname: "c".to_owned(),
            },
        }),
    }
}

fn stream_json() -> Value {
    json!({
        "params": {"encodingIdx": 0, "ssrc": 1, "payloadType": 101, "mimeType": "video/VP8", "clockRate": 90000,
                   "cname": "c", "rtxSsrc": 2, "rtxPayloadType": 102, "useNack": true, "usePli": false, "useFir": false,
                   "useInBandFec": false, "useDtx": false, "spatialLayers": 1, "temporalLayers": 1},
        "score": 10,
        "rtxStream": {"params": {"ssrc": 2, "payloadType": 102, "mimeType": "video/rtx", "clockRate": 90000, "cname": "c"}}
    })
}

#[test]
fn producer_and_consumer_dumps() {
    let no_parameters = json!({"codecs": [], "encodings": [], "headerExtensions": [], "rtcp": {}});
    assert_shape(
        &ProducerDump {
            id: "p".to_owned(),
            kind: MediaKind::Video,
            rtp_parameters: RtpParameters::default(),
            rtp_type: RtpType::Simple,
            rtp_mapping: RtpMappingDump {
                codecs: vec![RtpMappingCodec { payload_type: 96, mapped_payload_type: 101 }],
                encodings: vec![RtpMappingEncodingDump { rid: None, ssrc: Some(1), mapped_ssrc: 5 }],
            },
            rtp_streams: vec![stream()],
            paused: false,
            trace_event_types: vec![TraceEventType::KeyFrame, TraceEventType::Fir],
        },
        json!({
            "id": "p", "kind": "video", "rtpParameters": no_parameters.clone(), "type": "simple",
            "rtpMapping": {"codecs": [{"payloadType": 96, "mappedPayloadType": 101}],
                           "encodings": [{"rid": null, "ssrc": 1, "mappedSsrc": 5}]},
            "rtpStreams": [stream_json()], "paused": false, "traceEventTypes": "keyframe,fir"
        }),
    );
    let simple = ConsumerDump {
        id: "c".to_owned(),
        producer_id: "p".to_owned(),
        kind: MediaKind::Video,
        rtp_parameters: RtpParameters::default(),
        rtp_type: RtpType::Simple,
        consumable_rtp_encodings: vec![RtpEncodingParameters { ssrc: Some(5), ..RtpEncodingParameters::default() }],
        supported_codec_payload_types: vec![101],
        paused: false,
        producer_paused: true,
        priority: 1,
        trace_event_types: Vec::new(),
        rtp_stream: Some(stream()),
        rtp_streams: None,
        layers: None,
    };
    let simple_json = json!({
        "id": "c", "producerId": "p", "kind": "video", "rtpParameters": no_parameters, "type": "simple",
        "consumableRtpEncodings": [{"ssrc": 5}], "supportedCodecPayloadTypes": [101], "paused": false,
        "producerPaused": true, "priority": 1, "traceEventTypes": "", "rtpStream": stream_json()
    });
    assert_shape(&simple, simple_json.clone());
    let layers = ConsumerLayersDump {
        preferred_spatial_layer: 2,
        target_spatial_layer: -1,
        current_spatial_layer: -1,
        preferred_temporal_layer: 1,
        target_temporal_layer: -1,
        current_temporal_layer: -1,
    };
    let mut svc_json = simple_json;
    svc_json["type"] = json!("svc");
    for (name, value) in [
        ("preferredSpatialLayer", 2),
        ("targetSpatialLayer", -1),
        ("currentSpatialLayer", -1),
        ("preferredTemporalLayer", 1),
        ("targetTemporalLayer", -1),
        ("currentTemporalLayer", -1),
    ] {
        svc_json[name] = json!(value);
    }
    assert_shape(&ConsumerDump { rtp_type: RtpType::Svc, layers: Some(layers), ..simple }, svc_json);
}

#[test]
fn data_dumps() {
    let stream = SctpStreamParameters {
        stream_id: 5,
        ordered: Some(false),
        max_packet_life_time: None,
        max_retransmits: Some(3),
    };
    let stream_json = json!({"streamId": 5, "ordered": false, "maxRetransmits": 3});
    assert_shape(
        &DataProducerDump {
            id: "d".to_owned(),
            data_type: DataType::Sctp,
            sctp_stream_parameters: Some(stream),
            label: "l".to_owned(),
            protocol: "p".to_owned(),
            paused: false,
        },
        json!({"id": "d", "type": "sctp", "sctpStreamParameters": stream_json.clone(), "label": "l", "protocol": "p"}),
    );
    assert_shape(
        &DataConsumerDump {
            id: "c".to_owned(),
            data_type: DataType::Direct,
            data_producer_id: "d".to_owned(),
            sctp_stream_parameters: Some(stream),
            label: "l".to_owned(),
            protocol: "p".to_owned(),
            buffered_amount_low_threshold: 7,
            buffered_amount: 0,
            paused: false,
            data_producer_paused: false,
            subchannels: Vec::new(),
        },
        json!({"id": "c", "type": "direct", "dataProducerId": "d", "sctpStreamParameters": stream_json, "label": "l",
               "protocol": "p", "bufferedAmountLowThreshold": 7}),
    );
}

#[test]
fn replies() {
    let ice_parameters = IceParameters { username_fragment: "u".to_owned(), password: "p".to_owned(), ice_lite: true };
    let srtp_parameters =
        Some(SrtpParameters { crypto_suite: SrtpCryptoSuite::AeadAes256Gcm, key_base64: "AAAA".to_owned() });
    assert_shape(&WebRtcConnected { dtls_local_role: DtlsRole::Server }, json!({"dtlsLocalRole": "server"}));
    assert_shape(
        &PlainConnected { tuple: Some(tuple()), rtcp_tuple: Some(tuple()), srtp_parameters },
        json!({"tuple": tuple_json(), "rtcpTuple": tuple_json(),
               "srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": "AAAA"}}),
    );
    assert_shape(&PlainConnected::default(), json!({}));
    assert_shape(
        &IceRestarted { ice_parameters },
        json!({"iceParameters": {"usernameFragment": "u", "password": "p", "iceLite": true}}),
    );
    assert_shape(&Produced { rtp_type: RtpType::Simulcast }, json!({"type": "simulcast"}));
    assert_shape(
        &Consumed {
            paused: true,
            producer_paused: false,
            score: ConsumerScore { score: 10, producer_score: 9, producer_scores: vec![9, 8] },
            preferred_layers: Some(ConsumerLayers { spatial_layer: 1, temporal_layer: 2 }),
        },
        json!({"paused": true, "producerPaused": false,
               "score": {"score": 10, "producerScore": 9, "producerScores": [9, 8]},
               "preferredLayers": {"spatialLayer": 1, "temporalLayer": 2}}),
    );
    assert_shape(&BufferedAmount { buffered_amount: 5 }, json!({"bufferedAmount": 5}));
}

/// The layers of a consumer are all there or none.
#[test]
fn a_consumer_without_one_of_its_layers_is_refused() {
    let dump = json!({
        "id": "c", "producerId": "p", "kind": "video", "type": "svc", "consumableRtpEncodings": [],
        "rtpParameters": {"codecs": [], "encodings": []}, "supportedCodecPayloadTypes": [], "paused": false,
        "producerPaused": true, "priority": 1, "traceEventTypes": "", "preferredSpatialLayer": 1,
    });
    assert_eq!(from_value::<ConsumerDump>(&dump).unwrap_err().field, "targetSpatialLayer");
}

#[test]
fn statistics() {
    let name = |stat_type| serde_json::to_value::<TransportStatType>(stat_type).unwrap();
    assert_eq!(name(TransportStatType::WebRtcTransport), "webrtc-transport");
    assert_eq!(name(TransportStatType::PlainRtpTransport), "plain-rtp-transport");
    assert_eq!(name(TransportStatType::PipeTransport), "pipe-transport");
    assert_eq!(name(TransportStatType::DirectTransport), "direct-transport");
    let least = TransportStat { transport_id: "t".to_owned(), ..TransportStat::default() };
    assert_shape(
        &least,
        json!({"type": "direct-transport", "transportId": "t", "timestamp": 0, "bytesReceived": 0, "recvBitrate": 0,
               "bytesSent": 0, "sendBitrate": 0, "rtpBytesReceived": 0, "rtpRecvBitrate": 0, "rtpBytesSent": 0,
               "rtpSendBitrate": 0, "rtxBytesReceived": 0, "rtxRecvBitrate": 0, "rtxBytesSent": 0, "rtxSendBitrate": 0,
               "probationBytesSent": 0, "probationSendBitrate": 0}),
    );
    assert_shape(
        &TransportStat {
            stat_type: TransportStatType::WebRtcTransport,
            transport_id: "t".to_owned(),
            timestamp: 1,
            sctp_state: Some(SctpState::Connected),
            bytes_received: 2,
            recv_bitrate: 3,
            bytes_sent: 4,
            send_bitrate: 5,
            rtp_bytes_received: 6,
            rtp_recv_bitrate: 7,
            rtp_bytes_sent: 8,
            rtp_send_bitrate: 9,
            rtx_bytes_received: 10,
            rtx_recv_bitrate: 11,
            rtx_bytes_sent: 12,
            rtx_send_bitrate: 13,
            probation_bytes_sent: 14,
            probation_send_bitrate: 15,
            available_outgoing_bitrate: Some(16),
            available_incoming_bitrate: Some(17),
            max_incoming_bitrate: Some(18),
            max_outgoing_bitrate: None,
            min_outgoing_bitrate: None,
            rtp_packet_loss_received: Some(0.25),
            rtp_packet_loss_sent: Some(0.5),
            ice_role: Some(IceRole::Controlled),
            ice_state: Some(IceState::Completed),
            ice_selected_tuple: Some(tuple()),
            dtls_state: Some(DtlsState::Connected),
            rtcp_mux: Some(false),
            comedia: Some(true),
            tuple: Some(tuple()),
            rtcp_tuple: Some(tuple()),
        },
        json!({"type": "webrtc-transport", "transportId": "t", "timestamp": 1, "sctpState": "connected",
               "bytesReceived": 2, "recvBitrate": 3, "bytesSent": 4, "sendBitrate": 5, "rtpBytesReceived": 6,
               "rtpRecvBitrate": 7, "rtpBytesSent": 8, "rtpSendBitrate": 9, "rtxBytesReceived": 10,
               "rtxRecvBitrate": 11, "rtxBytesSent": 12, "rtxSendBitrate": 13, "probationBytesSent": 14,
               "probationSendBitrate": 15, "availableOutgoingBitrate": 16, "availableIncomingBitrate": 17,
               "maxIncomingBitrate": 18, "rtpPacketLossReceived": 0.25, "rtpPacketLossSent": 0.5,
               "iceRole": "controlled", "iceState": "completed", "iceSelectedTuple": tuple_json(),
               "dtlsState": "connected", "rtcpMux": false, "comedia": true, "tuple": tuple_json(),
               "rtcpTuple": tuple_json()}),
    );
    assert_shape(
        &DataProducerStat {
            timestamp: 1,
            label: "l".to_owned(),
            protocol: String::new(),
            messages_received: 2,
            bytes_received: 3,
        },
        json!({"type": "data-producer", "timestamp": 1, "label": "l", "protocol": "", "messagesReceived": 2,
               "bytesReceived": 3}),
    );
    let stream = json!({
        "type": "inbound-rtp", "timestamp": 1, "ssrc": 5, "kind": "audio", "mimeType": "audio/opus", "packetsLost": 0,
        "fractionLost": 0, "packetsDiscarded": 0, "packetsRetransmitted": 0, "packetsRepaired": 0, "nackCount": 0,
        "nackPacketCount": 0, "pliCount": 0, "firCount": 0, "score": 10, "jitter": 3, "packetCount": 9, "byteCount": 90,
        "bitrate": 100, "bitrateByLayer": {"0.0": 50}, "roundTripTime": 1.5
    });
    let read: RtpStreamStat = serde_json::from_value(stream.clone()).unwrap();
    assert_shape(&read, stream);
}

#[test]
fn secrets_stay_out_of_logs() {
    let ice = IceParameters { username_fragment: "ufrag".to_owned(), password: "secret".to_owned(), ice_lite: true };
    let srtp = SrtpParameters { crypto_suite: SrtpCryptoSuite::AesCm128HmacSha1_32, key_base64: "secret".to_owned() };
    let shown = format!("{ice:?} {srtp:?}");
    assert!(shown.contains("ufrag") && !shown.contains("secret"), "{shown}");
}
