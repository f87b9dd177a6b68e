//! The requests: data that each accepts, what its fields may be, and what else is wrong.

use serde_json::{Value, json};
use sfu_proto::dtls::Certificate;

use super::Kind::{self, Flag, Integer, Ip, List, Name, Number, Object, Text};
use super::common::media::{consume, merge};
use super::{Field, Row, audio};

const PORT: Kind = Integer(0, 65_535);
const U8: Kind = Integer(0, 255);
const U16: Kind = Integer(0, 65_535);
const U32: Kind = Integer(0, 4_294_967_295);
const BITRATE: Kind = Integer(0, i64::MAX);

/// A required field; what is wrong with it is a TypeError.
const fn need(pointer: &'static str, kind: Kind) -> Field {
    Field { pointer, kind, required: true, class: "TypeError" }
}

/// A field that may be left out.
const fn may(pointer: &'static str, kind: Kind) -> Field {
    Field { pointer, kind, required: false, class: "TypeError" }
}

/// An id of which all that is wrong is an Error.
const fn id(pointer: &'static str) -> Field {
    Field { pointer, kind: Text, required: true, class: "Error" }
}

fn row(method: &'static str, handler: &'static str, good: Value, fields: Vec<Field>) -> Row {
    Row { method, handler, good, fields, wrong: Vec::new(), undo: None }
}

impl Row {
    fn wrong(mut self, change: Value, class: &'static str, named: &'static str) -> Row {
        self.wrong.push((change, class, named));
        self
    }

    fn undo(mut self, method: &'static str, handler: &'static str, data: Value) -> Row {
        self.undo = Some((method, handler, data));
        self
    }

    fn closed_by_router(self) -> Row {
        self.undo("router.closeTransport", "r", json!({"transportId": "n"}))
    }

    fn closed_as_observer(self) -> Row {
        self.undo("router.closeRtpObserver", "r", json!({"rtpObserverId": "n"}))
    }
}

/// The fields that all requests for transports with sockets have.
fn common_fields() -> Vec<Field> {
    vec![
        may("/initialAvailableOutgoingBitrate", BITRATE),
        may("/enableSctp", Flag),
        need("/numSctpStreams", Object),
        need("/numSctpStreams/OS", U16),
        need("/numSctpStreams/MIS", U16),
        need("/maxSctpMessageSize", U32),
        may("/sctpSendBufferSize", Integer(0, 268_435_456)),
        may("/isDataChannel", Flag),
    ]
}

/// A request for such a transport.
fn create(own: Value) -> Value {
    let mut data = json!({
        "transportId": "n", "initialAvailableOutgoingBitrate": 100_000,
        "enableSctp": true, "numSctpStreams": {"OS": 1, "MIS": 1}, "maxSctpMessageSize": 1000,
        "sctpSendBufferSize": 1000, "isDataChannel": true,
    });
    merge(&mut data, own);
    data
}

pub fn worker_rows() -> Vec<Row> {
    let info = json!({"protocol": "udp", "ip": "127.0.0.1", "announcedIp": "198.51.100.7", "port": 0});
    vec![
        row(
            "worker.updateSettings",
            "undefined",
            json!({"logLevel": "warn", "logTags": ["ice"]}),
            vec![may("/logLevel", Name), may("/logTags", List)],
        ),
        row(
            "worker.createWebRtcServer",
            "undefined",
            json!({"webRtcServerId": "n", "listenInfos": [info]}),
            vec![
                id("/webRtcServerId"),
                need("/listenInfos", List),
                may("/listenInfos/0", Object),
                need("/listenInfos/0/protocol", Name),
                need("/listenInfos/0/ip", Ip),
                may("/listenInfos/0/announcedIp", Text),
                may("/listenInfos/0/port", PORT),
            ],
        )
        .wrong(json!({"listenInfos": []}), "TypeError", "listenInfos")
        .wrong(json!({"listenInfos": vec![info.clone(); 9]}), "TypeError", "listenInfos")
        .wrong(json!({"webRtcServerId": "s"}), "Error", "s")
        .wrong(json!({"listenInfos": [{"protocol": "udp", "ip": "198.51.100.7"}]}), "Error", "198.51.100.7")
        .undo("worker.closeWebRtcServer", "undefined", json!({"webRtcServerId": "n"})),
        row("worker.closeWebRtcServer", "undefined", json!({}), vec![id("/webRtcServerId")]).wrong(
            json!({"webRtcServerId": "r"}),
            "Error",
            "r",
        ),
        row("worker.createRouter", "undefined", json!({"routerId": "n"}), vec![id("/routerId")])
            .wrong(json!({"routerId": "r"}), "Error", "r")
            .undo("worker.closeRouter", "undefined", json!({"routerId": "n"})),
        row("worker.closeRouter", "undefined", json!({}), vec![id("/routerId")]).wrong(
            json!({"routerId": "plain"}),
            "Error",
            "plain",
        ),
    ]
}

pub fn router_rows() -> Vec<Row> {
    let listen =
        [need("/listenIp", Object), need("/listenIp/ip", Ip), may("/listenIp/announcedIp", Text), may("/port", PORT)];
    let listen_ip = json!({"ip": "127.0.0.1", "announcedIp": "198.51.100.7"});
    let unbindable = json!({"listenIp": {"ip": "198.51.100.7"}});
    let mut plain = vec![
        need("/transportId", Text),
        may("/rtcpMux", Flag),
        may("/comedia", Flag),
        may("/enableSrtp", Flag),
        need("/srtpCryptoSuite", Name),
    ];
    plain.extend(listen);
    plain.extend(common_fields());
    let mut pipe = vec![
        need("/transportId", Text),
        need("/listenIp", Object),
        need("/listenIp/ip", Ip),
        may("/port", PORT),
        may("/enableRtx", Flag),
        may("/enableSrtp", Flag),
    ];
    pipe.extend(common_fields());
    let flags = || [may("/enableUdp", Flag), may("/enableTcp", Flag), may("/preferUdp", Flag), may("/preferTcp", Flag)];
    let mut webrtc = vec![
        need("/transportId", Text),
        need("/listenIps", List),
        need("/listenIps/0/ip", Ip),
        may("/listenIps/0", Object),
        may("/listenIps/0/announcedIp", Text),
        may("/port", PORT),
    ];
    webrtc.extend(flags());
    webrtc.extend(common_fields());
    let mut with_server = vec![need("/transportId", Text), need("/webRtcServerId", Text)];
    with_server.extend(flags());
    with_server.extend(common_fields());
    let enable = json!({"enableUdp": true, "enableTcp": true, "preferUdp": true, "preferTcp": true});
    let mut on_ips = create(json!({"listenIps": [listen_ip], "port": 0}));
    let mut on_server = create(json!({"webRtcServerId": "s"}));
    merge(&mut on_ips, enable.clone());
    merge(&mut on_server, enable);
    let plain_data = json!({
        "listenIp": listen_ip, "port": 0, "rtcpMux": true, "comedia": true,
        "enableSrtp": true, "srtpCryptoSuite": "AEAD_AES_128_GCM",
    });
    let pipe_data = json!({"listenIp": listen_ip, "port": 0, "enableRtx": true, "enableSrtp": true});
    vec![
        row("router.createWebRtcTransport", "r", on_ips, webrtc)
            .wrong(json!({"listenIps": []}), "TypeError", "listenIps")
            .wrong(json!({"listenIps": vec![listen_ip.clone(); 9]}), "TypeError", "listenIps")
            .wrong(json!({"listenIps": [{"ip": "198.51.100.7"}]}), "Error", "198.51.100.7")
            .wrong(json!({"transportId": "plain"}), "Error", "plain")
            .closed_by_router(),
        row("router.createWebRtcTransportWithServer", "r", on_server, with_server)
            .wrong(json!({"webRtcServerId": "nobody"}), "Error", "nobody")
            .wrong(json!({"transportId": "plain"}), "Error", "plain")
            .closed_by_router(),
        row("router.createPlainTransport", "r", create(plain_data), plain)
            .wrong(unbindable.clone(), "Error", "198.51.100.7")
            .wrong(json!({"transportId": "plain"}), "Error", "plain")
            .closed_by_router(),
        row("router.createPipeTransport", "r", create(pipe_data), pipe)
            .wrong(unbindable, "Error", "198.51.100.7")
            .wrong(json!({"transportId": "plain"}), "Error", "plain")
            .closed_by_router(),
        row(
            "router.createDirectTransport",
            "r",
            json!({"transportId": "n", "direct": true, "maxMessageSize": 1}),
            vec![need("/transportId", Text), need("/maxMessageSize", U32)],
        )
        .wrong(json!({"transportId": "plain"}), "Error", "plain")
        .closed_by_router(),
        row("router.closeTransport", "r", json!({}), vec![need("/transportId", Text)]).wrong(
            json!({"transportId": "p"}),
            "Error",
            "p",
        ),
        row(
            "router.createActiveSpeakerObserver",
            "r",
            json!({"rtpObserverId": "n", "interval": 100}),
            vec![need("/rtpObserverId", Text), need("/interval", Number)],
        )
        .wrong(json!({"rtpObserverId": "o"}), "Error", "o")
        .closed_as_observer(),
        row(
            "router.createAudioLevelObserver",
            "r",
            json!({"rtpObserverId": "n", "maxEntries": 1, "threshold": -127, "interval": 1000}),
            vec![
                need("/rtpObserverId", Text),
                need("/maxEntries", Integer(1, 65_535)),
                need("/threshold", Integer(-127, 0)),
                need("/interval", Number),
            ],
        )
        .wrong(json!({"rtpObserverId": "o"}), "Error", "o")
        .closed_as_observer(),
        row("router.closeRtpObserver", "r", json!({}), vec![need("/rtpObserverId", Text)]).wrong(
            json!({"rtpObserverId": "p"}),
            "Error",
            "p",
        ),
    ]
}

pub fn connect_rows() -> Vec<Row> {
    let fingerprint =
        Certificate::generate().unwrap().fingerprint(sfu_proto::dtls::FingerprintAlgorithm::Sha256).unwrap();
    let one = json!({"algorithm": "sha-256", "value": fingerprint.value()});
    use base64::Engine as _;
    let key = |length| base64::engine::general_purpose::STANDARD.encode(vec![7; length]);
    let remote = json!({"ip": "127.0.0.1", "port": 9});
    let mut secret = remote.clone();
    merge(&mut secret, json!({"srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": key(44)}}));
    let suite = |suite: &str, key: String| json!({"srtpParameters": {"cryptoSuite": suite, "keyBase64": key}});
    vec![
        row(
            "transport.connect",
            "webrtc",
            json!({"dtlsParameters": {"fingerprints": [one], "role": "client"}}),
            vec![
                need("/dtlsParameters", Object),
                need("/dtlsParameters/fingerprints", List),
                may("/dtlsParameters/fingerprints/0", Object),
                need("/dtlsParameters/fingerprints/0/algorithm", Name),
                need("/dtlsParameters/fingerprints/0/value", Text),
                may("/dtlsParameters/role", Name),
            ],
        )
        .wrong(json!({"dtlsParameters": {"fingerprints": []}}), "TypeError", "fingerprints")
        .wrong(
            json!({"dtlsParameters": {"fingerprints": [{"algorithm": "sha-256", "value": "AA:BB"}]}}),
            "TypeError",
            "fingerprints",
        ),
        row("transport.connect", "webrtc", json!({}), vec![]).wrong(
            json!({"dtlsParameters": {"fingerprints": [one.clone()], "role": "client"}}),
            "Error",
            "already called",
        ),
        row("transport.connect", "plain", remote.clone(), vec![need("/ip", Ip), need("/port", PORT)])
            .wrong(json!({"rtcpPort": 10}), "TypeError", "rtcpPort")
            .wrong(suite("AEAD_AES_256_GCM", key(44)), "TypeError", "srtpParameters"),
        row(
            "transport.connect",
            "secret",
            secret,
            vec![
                need("/ip", Ip),
                need("/port", PORT),
                need("/srtpParameters", Object),
                need("/srtpParameters/cryptoSuite", Name),
                need("/srtpParameters/keyBase64", Text),
            ],
        )
        .wrong(suite("AEAD_AES_256_GCM", key(43)), "TypeError", "key")
        .wrong(suite("AEAD_AES_256_GCM", "no base64!".to_owned()), "TypeError", "keyBase64"),
        row("transport.connect", "pipe", remote.clone(), vec![need("/ip", Ip), need("/port", PORT)]).wrong(
            suite("AEAD_AES_256_GCM", key(44)),
            "TypeError",
            "srtpParameters",
        ),
        row("transport.connect", "direct", json!({}), vec![]).wrong(remote.clone(), "Error", "unknown method"),
        row("transport.restartIce", "plain", json!({}), vec![]).wrong(json!({}), "Error", "unknown method"),
    ]
}

pub fn transport_rows() -> Vec<Row> {
    let bitrate = |method| row(method, "plain", json!({"bitrate": 40_000}), vec![need("/bitrate", BITRATE)]);
    let types = |method, handler| {
        row(method, handler, json!({"types": ["rtp", "bwe"]}), vec![need("/types", List)]).wrong(
            json!({"types": [7]}),
            "TypeError",
            "types",
        )
    };
    vec![
        bitrate("transport.setMaxIncomingBitrate"),
        bitrate("transport.setMaxOutgoingBitrate").wrong(json!({"bitrate": 29_999}), "TypeError", "bitrate"),
        bitrate("transport.setMinOutgoingBitrate").wrong(json!({"bitrate": 29_999}), "TypeError", "bitrate").wrong(
            json!({"bitrate": 40_001}),
            "TypeError",
            "bitrate",
        ),
        types("transport.enableTraceEvent", "plain"),
        types("producer.enableTraceEvent", "p"),
        types("consumer.enableTraceEvent", "c"),
        row("transport.closeProducer", "plain", json!({}), vec![need("/producerId", Text)]).wrong(
            json!({"producerId": "c"}),
            "Error",
            "c",
        ),
        row("transport.closeConsumer", "plain", json!({}), vec![need("/consumerId", Text)]).wrong(
            json!({"consumerId": "p"}),
            "Error",
            "p",
        ),
        row("transport.closeDataProducer", "sctp", json!({}), vec![need("/dataProducerId", Text)]).wrong(
            json!({"dataProducerId": "dc"}),
            "Error",
            "dc",
        ),
        row("transport.closeDataConsumer", "sctp", json!({}), vec![need("/dataConsumerId", Text)]).wrong(
            json!({"dataConsumerId": "dp"}),
            "Error",
            "dp",
        ),
        row(
            "consumer.setPreferredLayers",
            "c",
            json!({"spatialLayer": 1, "temporalLayer": 1}),
            vec![need("/spatialLayer", U16), may("/temporalLayer", U16)],
        ),
        row("consumer.setPriority", "c", json!({"priority": 255}), vec![need("/priority", Integer(1, 255))]),
        row("dataConsumer.setBufferedAmountLowThreshold", "dc", json!({"threshold": 1}), vec![need("/threshold", U32)]),
        row("rtpObserver.addProducer", "o", json!({"producerId": "a"}), vec![id("/producerId")])
            .wrong(json!({"producerId": "p"}), "TypeError", "producerId")
            .wrong(json!({"producerId": "nobody"}), "Error", "nobody"),
        row("rtpObserver.removeProducer", "o", json!({"producerId": "a"}), vec![id("/producerId")]).wrong(
            json!({"producerId": "nobody"}),
            "Error",
            "nobody",
        ),
    ]
}

pub fn media_rows() -> Vec<Row> {
    let mut produced = audio("n", 2);
    merge(&mut produced, json!({"paused": true, "keyFrameRequestDelay": 0}));
    produced["rtpParameters"]["headerExtensions"] = json!([{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 3}]);
    produced["rtpParameters"]["rtcp"] = json!({"cname": "n", "reducedSize": true});
    let mut consumed = consume("n", "p");
    consumed["rtpParameters"]["encodings"] = json!([{"ssrc": 9001, "rtx": {"ssrc": 9002}}]);
    vec![
        row(
            "transport.produce",
            "plain",
            produced,
            vec![
                need("/producerId", Text),
                need("/kind", Name),
                need("/rtpParameters", Object),
                need("/rtpParameters/codecs", List),
                need("/rtpParameters/codecs/0/mimeType", Name),
                need("/rtpParameters/codecs/0/payloadType", Integer(0, 127)),
                need("/rtpParameters/codecs/0/clockRate", Integer(1, 4_294_967_295)),
                may("/rtpParameters/codecs/0/channels", U8),
                need("/rtpParameters/encodings", List),
                may("/rtpParameters/encodings/0/ssrc", U32),
                need("/rtpParameters/headerExtensions/0/uri", Text),
                need("/rtpParameters/headerExtensions/0/id", Integer(1, 255)),
                may("/rtpParameters/rtcp/cname", Text),
                may("/rtpParameters/rtcp/reducedSize", Flag),
                need("/rtpMapping", Object),
                need("/rtpMapping/codecs", List),
                need("/rtpMapping/codecs/0/payloadType", U8),
                need("/rtpMapping/codecs/0/mappedPayloadType", U8),
                need("/rtpMapping/encodings", List),
                need("/rtpMapping/encodings/0/mappedSsrc", U32),
                may("/paused", Flag),
                may("/keyFrameRequestDelay", U32),
            ],
        )
        .wrong(json!({"producerId": "p"}), "Error", "p")
        .wrong(json!({"rtpMapping": {"codecs": [], "encodings": []}}), "TypeError", "rtpMapping")
        .undo("transport.closeProducer", "plain", json!({"producerId": "n"})),
        row(
            "transport.consume",
            "plain",
            consumed,
            vec![
                need("/consumerId", Text),
                need("/producerId", Text),
                need("/kind", Name),
                need("/rtpParameters", Object),
                need("/rtpParameters/codecs", List),
                need("/rtpParameters/encodings", List),
                need("/rtpParameters/encodings/0/ssrc", U32),
                need("/rtpParameters/encodings/0/rtx/ssrc", U32),
                need("/type", Name),
                need("/consumableRtpEncodings", List),
                need("/consumableRtpEncodings/0/ssrc", U32),
                may("/paused", Flag),
            ],
        )
        .wrong(json!({"consumableRtpEncodings": []}), "TypeError", "consumableRtpEncodings")
        .wrong(json!({"preferredLayers": 7}), "TypeError", "preferredLayers")
        .wrong(json!({"preferredLayers": {}}), "TypeError", "spatialLayer")
        .wrong(json!({"ignoreDtx": "yes"}), "TypeError", "ignoreDtx")
        .wrong(json!({"consumerId": "c"}), "Error", "c")
        .wrong(json!({"producerId": "nobody"}), "Error", "nobody")
        .undo("transport.closeConsumer", "plain", json!({"consumerId": "n"})),
    ]
}

pub fn data_rows() -> Vec<Row> {
    let stream = [
        need("/sctpStreamParameters", Object),
        need("/sctpStreamParameters/streamId", Integer(0, 65_534)),
        may("/sctpStreamParameters/ordered", Flag),
        may("/sctpStreamParameters/maxPacketLifeTime", U16),
    ];
    let both = json!({"sctpStreamParameters": {"streamId": 2, "maxPacketLifeTime": 1, "maxRetransmits": 1}});
    let ordered = json!({"sctpStreamParameters": {"streamId": 2, "ordered": true, "maxRetransmits": 1}});
    let parameters = json!({"streamId": 2, "ordered": false, "maxPacketLifeTime": 100});
    let words = || [may("/label", Text), may("/protocol", Text)];
    let good = |own: Value| {
        let mut data = json!({"type": "sctp", "sctpStreamParameters": parameters, "label": "l", "protocol": "p"});
        merge(&mut data, own);
        data
    };
    let mut produced = vec![need("/dataProducerId", Text), need("/type", Name)];
    produced.extend(stream);
    produced.extend(words());
    let consumed = vec![need("/dataConsumerId", Text), id("/dataProducerId"), need("/type", Name)];
    vec![
        row("transport.produceData", "sctp", good(json!({"dataProducerId": "n"})), produced)
            .wrong(both.clone(), "TypeError", "maxRetransmits")
            .wrong(ordered.clone(), "TypeError", "ordered")
            .wrong(json!({"type": "direct"}), "TypeError", "type")
            .wrong(json!({"dataProducerId": "dp"}), "Error", "dp")
            .wrong(json!({"sctpStreamParameters": {"streamId": 1}}), "Error", "streamId")
            .undo("transport.closeDataProducer", "sctp", json!({"dataProducerId": "n"})),
        row(
            "transport.consumeData",
            "sctp",
            good(json!({"dataConsumerId": "n", "dataProducerId": "dp"})),
            consumed.into_iter().chain(words()).collect(),
        )
        .wrong(both, "TypeError", "maxRetransmits")
        .wrong(ordered, "TypeError", "ordered")
        .wrong(json!({"type": "direct"}), "TypeError", "type")
        .wrong(json!({"dataConsumerId": "dc"}), "Error", "dc")
        .wrong(json!({"dataProducerId": "nobody"}), "Error", "nobody")
        .undo("transport.closeDataConsumer", "sctp", json!({"dataConsumerId": "n"})),
    ]
}
