//! What `dump` answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sfu_channel::dump::*;
use sfu_channel::json::from_value;
use sfu_channel::*;

use super::{assert_shape, tuple, tuple_json};

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
