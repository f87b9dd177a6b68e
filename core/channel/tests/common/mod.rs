//! One request of each method, with every member filled.

use std::net::IpAddr;

use serde_json::{Value, json};
use sfu_channel::json::{RequestFrame, write_request};
use sfu_channel::request::{Method, Request};
use sfu_channel::response::Refusal;

/// Every member that a request may have, as mediasoup's library writes it.
#[allow(dead_code, reason = "not every test file that shares this module has requests")]
pub fn samples() -> Vec<(Method, Value)> {
    let rtp_parameters = json!({
        "mid": "0",
        "codecs": [
            {"mimeType": "video/VP8", "payloadType": 101, "clockRate": 90000, "channels": 1,
             "parameters": {"x-google-start-bitrate": 1000, "float": 0.5, "flag": true, "text": "t", "list": [1, 2]},
             "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}]},
            {"mimeType": "video/rtx", "payloadType": 102, "clockRate": 90000, "parameters": {"apt": 101}, "rtcpFeedback": []}
        ],
        "headerExtensions": [
            {"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1, "encrypt": false, "parameters": {}}
        ],
        "encodings": [
            {"ssrc": 1111, "rid": "r0", "codecPayloadType": 101, "rtx": {"ssrc": 1112}, "dtx": true,
             "scalabilityMode": "L1T3", "maxBitrate": 500000, "maxFramerate": 30.5, "scaleResolutionDownBy": 2.5}
        ],
        "rtcp": {"cname": "abc", "reducedSize": true, "ssrc": 77}
    });
    let common = json!({
        "transportId": "t1",
        "initialAvailableOutgoingBitrate": 600000,
        "enableSctp": true,
        "numSctpStreams": {"OS": 1024, "MIS": 2048},
        "maxSctpMessageSize": 262144,
        "sctpSendBufferSize": 300000,
        "isDataChannel": true
    });
    let with = |own: Value| {
        let mut all = common.clone();
        all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        all
    };
    let sctp_stream = json!({"streamId": 5, "ordered": false, "maxRetransmits": 3});
    let data_of = |method: Method| match method {
        Method::WorkerUpdateSettings => json!({"logLevel": "warn", "logTags": ["ice", "dtls"]}),
        Method::WorkerCreateWebRtcServer => json!({"webRtcServerId": "s1", "listenInfos": [
            {"protocol": "udp", "ip": "127.0.0.1", "announcedIp": "9.9.9.1", "port": 4000},
            {"protocol": "tcp", "ip": "::1", "port": 4001}
        ]}),
        Method::WorkerCloseWebRtcServer => json!({"webRtcServerId": "s1"}),
        Method::WorkerCreateRouter | Method::WorkerCloseRouter => json!({"routerId": "r1"}),
        Method::RouterCreateWebRtcTransport => with(json!({
            "listenIps": [{"ip": "127.0.0.1", "announcedIp": "9.9.9.1"}, {"ip": "::1"}], "port": 5000,
            "enableUdp": true, "enableTcp": true, "preferUdp": true, "preferTcp": false
        })),
        Method::RouterCreateWebRtcTransportWithServer => with(json!({
            "webRtcServerId": "s1", "enableUdp": true, "enableTcp": true, "preferUdp": false, "preferTcp": true
        })),
        Method::RouterCreatePlainTransport => with(json!({
            "listenIp": {"ip": "127.0.0.1", "announcedIp": "9.9.9.1"}, "port": 5000, "rtcpMux": false, "comedia": true,
            "enableSrtp": true, "srtpCryptoSuite": "AES_CM_128_HMAC_SHA1_80"
        })),
        Method::RouterCreatePipeTransport => with(json!({
            "listenIp": {"ip": "127.0.0.1"}, "port": 5000, "enableRtx": true, "enableSrtp": true
        })),
        Method::RouterCreateDirectTransport => json!({"transportId": "t1", "direct": true, "maxMessageSize": 262144}),
        Method::RouterCloseTransport => json!({"transportId": "t1"}),
        Method::RouterCreateActiveSpeakerObserver => json!({"rtpObserverId": "o1", "interval": 300}),
        Method::RouterCreateAudioLevelObserver => {
            json!({"rtpObserverId": "o1", "maxEntries": 1, "threshold": -80, "interval": 1000})
        }
        Method::RouterCloseRtpObserver => json!({"rtpObserverId": "o1"}),
        Method::TransportConnect => json!({
            "dtlsParameters": {"role": "client", "fingerprints": [{"algorithm": "sha-256", "value": "AA:BB"}]},
            "ip": "127.0.0.1", "port": 1, "rtcpPort": 2,
            "srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": "AAAA"}
        }),
        Method::TransportSetMaxIncomingBitrate
        | Method::TransportSetMaxOutgoingBitrate
        | Method::TransportSetMinOutgoingBitrate => json!({"bitrate": 100000}),
        Method::TransportProduce => json!({
            "producerId": "p1", "kind": "video", "rtpParameters": rtp_parameters.clone(),
            "rtpMapping": {
                "codecs": [{"payloadType": 101, "mappedPayloadType": 96}],
                "encodings": [{"ssrc": 1111, "rid": "r0", "scalabilityMode": "L1T3", "mappedSsrc": 2222}]
            },
            "paused": true, "keyFrameRequestDelay": 100
        }),
        Method::TransportConsume => json!({
            "consumerId": "c1", "producerId": "p1", "kind": "video", "rtpParameters": rtp_parameters.clone(),
            "type": "simulcast", "consumableRtpEncodings": [{"ssrc": 2222}], "paused": true,
            "preferredLayers": {"spatialLayer": 1, "temporalLayer": 2}, "ignoreDtx": true
        }),
        Method::TransportProduceData => json!({
            "dataProducerId": "dp1", "type": "sctp", "sctpStreamParameters": sctp_stream.clone(), "label": "chat",
            "protocol": "p"
        }),
        Method::TransportConsumeData => json!({
            "dataConsumerId": "dc1", "dataProducerId": "dp1", "type": "sctp",
            "sctpStreamParameters": sctp_stream.clone(), "label": "chat", "protocol": "p"
        }),
        Method::TransportEnableTraceEvent => json!({"types": ["probation", "bwe"]}),
        Method::TransportCloseProducer | Method::RtpObserverAddProducer | Method::RtpObserverRemoveProducer => {
            json!({"producerId": "p1"})
        }
        Method::TransportCloseConsumer => json!({"consumerId": "c1"}),
        Method::TransportCloseDataProducer => json!({"dataProducerId": "dp1"}),
        Method::TransportCloseDataConsumer => json!({"dataConsumerId": "dc1"}),
        Method::ProducerEnableTraceEvent | Method::ConsumerEnableTraceEvent => {
            json!({"types": ["rtp", "keyframe", "nack", "pli", "fir"]})
        }
        Method::ConsumerSetPreferredLayers => json!({"spatialLayer": 2, "temporalLayer": 1}),
        Method::ConsumerSetPriority => json!({"priority": 2}),
        Method::DataConsumerSetBufferedAmountLowThreshold => json!({"threshold": 1000}),
        _ => Value::Null,
    };
    Method::ALL.iter().map(|method| (*method, data_of(*method))).collect()
}

/// Reads a request with that data.
#[allow(dead_code, reason = "not every test file that shares this module has requests")]
pub fn read(method: Method, data: &Value) -> Result<Request, Refusal> {
    let text = format!("7:{method}:h1:{data}");
    RequestFrame::parse(text.as_bytes()).expect("the frame is sound").request()
}

/// The data that a request is written with.
#[allow(dead_code, reason = "not every test file that shares this module has requests")]
pub fn written(request: &Request) -> Value {
    let text = write_request(7, Some("h1"), request);
    RequestFrame::parse(text.as_bytes()).expect("we read what we write").data
}

/// An address.
#[allow(dead_code, reason = "not every test file that shares this module has addresses")]
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The same with one member more in every object, but for those that have no fixed members: parameters of codecs and
/// header extensions.
#[allow(dead_code, reason = "not every test file that shares this module adds members")]
pub fn with_unknown_members(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let more = |(name, value): (&String, &Value)| {
                let value = if name == "parameters" { value.clone() } else { with_unknown_members(value) };
                (name.clone(), value)
            };
            let mut members: serde_json::Map<_, _> = members.iter().map(more).collect();
            members.insert("unheardOf".to_owned(), json!({"of": [1]}));
            Value::Object(members)
        }
        Value::Array(items) => items.iter().map(with_unknown_members).collect(),
        other => other.clone(),
    }
}
