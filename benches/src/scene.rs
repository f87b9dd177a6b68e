//! What the worker is asked to make for a case: routers, transports, producers and consumers.

use crate::case::Case;
use crate::traffic::Media;
use crate::worker::Worker;
use crate::workload::{CONSUMER_PAYLOAD_TYPE, Mode, PRODUCER_PAYLOAD_TYPE, mapped_ssrc, producer_ssrc};
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What was made.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Where each stream goes.
    pub(crate) ports: Vec<u16>,
    /// Where what each receiver gets comes from.
    pub(crate) sources: Vec<u16>,
    /// The keys of what each receiver gets.
    pub(crate) keys: Vec<String>,
}

/// Makes all of it: a transport for each stream, and one for each receiver, whose ports are given.
pub(crate) fn set_up(worker: &mut Worker, case: Case, receivers: &[u16]) -> Result<Scene> {
    let Case { audience, mode, traffic } = case;
    for router in 0..audience.routers() {
        worker.request("worker.createRouter", "undefined", &json!({ "routerId": router_id(router) }))?;
    }
    let mut ports = Vec::new();
    for stream in 0..audience.streams() {
        let id = format!("ingress-{stream}");
        let router = router_id(audience.router_of(stream));
        ports.push(listening_port(&create_transport(worker, &router, &id, true, Mode::Plain)?)?);
        worker.request("transport.produce", &id, &produce(stream, traffic.media))?;
    }
    let (mut sources, mut keys) = (Vec::new(), Vec::new());
    for (index, &port) in receivers.iter().enumerate() {
        let id = egress_id(index);
        let dump = create_transport(worker, &router_id(audience.router_of(index)), &id, false, mode)?;
        sources.push(listening_port(&dump)?);
        keys.extend(connect(worker, &id, port, mode)?);
    }
    for feed in audience.feeds() {
        let request = consume(&format!("consumer-{:x}", feed.ssrc), feed.stream, feed.ssrc, traffic.media);
        worker.request("transport.consume", &egress_id(feed.socket), &request)?;
    }
    Ok(Scene { ports, sources, keys })
}

/// The first router, where there is but one.
pub(crate) const ROUTER: &str = "router-0";

fn router_id(router: usize) -> String {
    format!("router-{router}")
}

fn egress_id(index: usize) -> String {
    format!("egress-{index}")
}

/// Where a transport listens, by its dump.
pub(crate) fn listening_port(dump: &Value) -> Result<u16> {
    let port = dump.pointer("/tuple/localPort").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    port.context("the dump of a transport has no tuple.localPort")
}

/// Tells a transport where it sends. Returns the key of what it sends, if it is protected.
pub(crate) fn connect(worker: &mut Worker, id: &str, port: u16, mode: Mode) -> Result<Option<String>> {
    let mut connect = json!({ "ip": "127.0.0.1", "port": port });
    let Some(suite) = mode.suite() else {
        worker.request("transport.connect", id, &connect)?;
        return Ok(None);
    };
    // The key of what we would send; we send nothing.
    let ours = STANDARD.encode(vec![1; suite.key_and_salt_len()]);
    connect["srtpParameters"] = json!({ "cryptoSuite": suite.name(), "keyBase64": ours });
    let connected = worker.request("transport.connect", id, &connect)?;
    let key = connected.pointer("/srtpParameters/keyBase64").and_then(Value::as_str);
    Ok(Some(key.context("the answer to transport.connect has no srtpParameters.keyBase64")?.to_owned()))
}

pub(crate) fn create_transport(
    worker: &mut Worker,
    router: &str,
    id: &str,
    comedia: bool,
    mode: Mode,
) -> Result<Value> {
    let mut options = transport_options(id, comedia);
    options["enableSrtp"] = json!(mode.suite().is_some());
    if let Some(suite) = mode.suite() {
        options["srtpCryptoSuite"] = json!(suite.name());
    }
    worker.request("router.createPlainTransport", router, &options)
}

/// Of a PlainTransport without SRTP and SCTP.
pub(crate) fn transport_options(id: &str, comedia: bool) -> Value {
    json!({
        "transportId": id,
        "listenIp": { "ip": "127.0.0.1" },
        "rtcpMux": true,
        "comedia": comedia,
        "enableSctp": false,
        "numSctpStreams": { "OS": 1024, "MIS": 1024 },
        "maxSctpMessageSize": 262_144,
        "sctpSendBufferSize": 262_144,
        "isDataChannel": false,
        "enableSrtp": false,
    })
}

fn kind(media: Media) -> &'static str {
    match media {
        Media::Video => "video",
        Media::Audio => "audio",
    }
}

fn codec(media: Media, payload_type: u8) -> Value {
    match media {
        Media::Video => json!({
            "mimeType": "video/VP8",
            "payloadType": payload_type,
            "clockRate": 90_000,
            "parameters": {},
            "rtcpFeedback": [
                { "type": "nack", "parameter": "" },
                { "type": "nack", "parameter": "pli" },
                { "type": "ccm", "parameter": "fir" },
            ],
        }),
        Media::Audio => json!({
            "mimeType": "audio/opus",
            "payloadType": payload_type,
            "clockRate": 48_000,
            "channels": 2,
            "parameters": { "useinbandfec": 1 },
            "rtcpFeedback": [],
        }),
    }
}

/// RTP parameters with these encodings.
pub(crate) fn rtp_parameters(media: Media, payload_type: u8, encodings: &Value) -> Value {
    json!({
        "codecs": [codec(media, payload_type)],
        "headerExtensions": [],
        "encodings": encodings,
        "rtcp": { "cname": "bench", "reducedSize": true },
    })
}

/// A producer of one stream.
pub(crate) fn produce(stream: usize, media: Media) -> Value {
    let encodings = json!([{ "ssrc": producer_ssrc(stream), "codecPayloadType": PRODUCER_PAYLOAD_TYPE }]);
    json!({
        "producerId": producer_id(stream),
        "kind": kind(media),
        "rtpParameters": rtp_parameters(media, PRODUCER_PAYLOAD_TYPE, &encodings),
        "rtpMapping": {
            "codecs": [{ "payloadType": PRODUCER_PAYLOAD_TYPE, "mappedPayloadType": CONSUMER_PAYLOAD_TYPE }],
            "encodings": [{ "ssrc": producer_ssrc(stream), "mappedSsrc": mapped_ssrc(stream) }],
        },
        "keyFrameRequestDelay": 0,
        "paused": false,
    })
}

/// A consumer of it.
pub(crate) fn consume(id: &str, stream: usize, ssrc: u32, media: Media) -> Value {
    let encodings = json!([{ "ssrc": ssrc, "codecPayloadType": CONSUMER_PAYLOAD_TYPE }]);
    json!({
        "consumerId": id,
        "producerId": producer_id(stream),
        "kind": kind(media),
        "rtpParameters": rtp_parameters(media, CONSUMER_PAYLOAD_TYPE, &encodings),
        "type": "simple",
        "consumableRtpEncodings": [{ "ssrc": mapped_ssrc(stream), "codecPayloadType": CONSUMER_PAYLOAD_TYPE }],
        "paused": false,
        "ignoreDtx": false,
    })
}

pub(crate) fn producer_id(stream: usize) -> String {
    format!("producer-{stream}")
}
