//! The requests that the measured functions are given.

use crate::scene::transport_options;
use serde_json::{Value, json};
use sfu_proto::srtp::Suite;

/// The producer's payload type.
pub(super) const PAYLOAD_TYPE: u8 = 96;
/// The producer's SSRC.
pub(super) const SSRC: u32 = 0x0100_0000;
const MAPPED_SSRC: u32 = 0x0200_0000;
const MAPPED_PAYLOAD_TYPE: u8 = 101;

fn rtp_parameters(payload_type: u8, ssrc: u32) -> Value {
    json!({
        "codecs": [{
            "mimeType": "video/VP8",
            "payloadType": payload_type,
            "clockRate": 90_000,
            "parameters": {},
            "rtcpFeedback": [
                { "type": "nack", "parameter": "" },
                { "type": "nack", "parameter": "pli" },
                { "type": "ccm", "parameter": "fir" },
            ],
        }],
        "headerExtensions": [],
        "encodings": [{ "ssrc": ssrc, "codecPayloadType": payload_type }],
        "rtcp": { "cname": "bench", "reducedSize": true },
    })
}

/// The data of `transport.produce`: one VP8 stream with NACK.
pub(super) fn produce() -> Value {
    json!({
        "producerId": "producer",
        "kind": "video",
        "rtpParameters": rtp_parameters(PAYLOAD_TYPE, SSRC),
        "rtpMapping": {
            "codecs": [{ "payloadType": PAYLOAD_TYPE, "mappedPayloadType": MAPPED_PAYLOAD_TYPE }],
            "encodings": [{ "ssrc": SSRC, "mappedSsrc": MAPPED_SSRC }],
        },
        "keyFrameRequestDelay": 0,
        "paused": false,
    })
}

/// The data of `transport.consume`, of a consumer of it.
pub(super) fn consume(index: usize) -> Value {
    json!({
        "consumerId": format!("consumer-{index}"),
        "producerId": "producer",
        "kind": "video",
        "rtpParameters": rtp_parameters(MAPPED_PAYLOAD_TYPE, 0x0300_0000 + index as u32),
        "type": "simple",
        "consumableRtpEncodings": [{ "ssrc": MAPPED_SSRC, "codecPayloadType": MAPPED_PAYLOAD_TYPE }],
        "paused": false,
        "ignoreDtx": false,
    })
}

/// The data of `router.createPlainTransport`.
pub(super) fn plain_transport(id: &str, comedia: bool, suite: Option<Suite>) -> Value {
    let mut options = transport_options(id, comedia);
    if let Some(suite) = suite {
        options["enableSrtp"] = json!(true);
        options["srtpCryptoSuite"] = json!(suite.name());
    }
    options
}
