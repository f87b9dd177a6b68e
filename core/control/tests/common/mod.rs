//! What the tests of negotiation share.
#![allow(dead_code, reason = "each test file uses its part")]

use serde_json::json;
use sfu_channel::{RtpCapabilities, RtpCodecCapability};
use sfu_control::ortc;
use sfu_control::sdp::{LocalTransport, SessionDescription};

/// The text of a captured description, such as `chromium/probe`.
pub fn fixture(name: &str) -> String {
    let path = format!("{}/tests/sdp/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every captured description with its name.
pub fn fixtures() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for browser in ["chromium", "firefox"] {
        let directory = format!("{}/tests/sdp/{browser}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let name = format!("{browser}/{}", name.strip_suffix(".sdp").unwrap());
            let text = fixture(&name);
            all.push((name, text));
        }
    }
    assert!(all.len() > 40, "the captures are there");
    all
}

pub fn parse(name: &str) -> SessionDescription {
    fixture(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Opus 100, VP8 101, VP9 103, H264 105; RTX one after each video codec.
pub fn router() -> RtpCapabilities {
    let codecs: Vec<RtpCodecCapability> = serde_json::from_value(json!([
        {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "parameters": {"usedtx": 1}},
        {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "parameters": {"x-google-start-bitrate": 1000}},
        {"kind": "video", "mimeType": "video/VP9", "clockRate": 90000, "parameters": {"profile-id": 0}},
        {"kind": "video", "mimeType": "video/H264", "clockRate": 90000,
         "parameters": {"packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1}},
    ]))
    .unwrap();
    ortc::generate_router_rtp_capabilities(&codecs).unwrap()
}

/// The fingerprint that [`transport`] has.
pub fn fingerprint() -> String {
    vec!["AB"; 32].join(":")
}

/// A transport with a UDP and a TCP candidate, with or without SCTP.
pub fn transport(with_sctp: bool) -> LocalTransport {
    LocalTransport {
        ice_parameters: serde_json::from_value(
            json!({"usernameFragment": "ufrag1", "password": "password1", "iceLite": true}),
        )
        .unwrap(),
        ice_candidates: serde_json::from_value(json!([
            {"foundation": "udpcandidate", "priority": 1076302079, "ip": "192.0.2.1", "protocol": "udp",
             "port": 44444, "type": "host"},
            {"foundation": "tcpcandidate", "priority": 1076276479, "ip": "2001:db8::1", "protocol": "tcp",
             "port": 44445, "type": "host", "tcpType": "passive"},
        ]))
        .unwrap(),
        dtls_parameters: serde_json::from_value(json!({"role": "auto", "fingerprints": [
            {"algorithm": "sha-1", "value": "AA:BB"}, {"algorithm": "sha-256", "value": fingerprint()},
        ]}))
        .unwrap(),
        max_message_size: with_sctp.then_some(262_144),
    }
}

/// The media sections in short: kind, port, mid, direction and payload types.
pub fn outline(sdp: &str) -> Vec<String> {
    let description: SessionDescription = sdp.parse().unwrap();
    let sections = description.media.iter().map(|section| {
        let mid = section.mid().unwrap_or("?");
        let formats = section.formats.join(" ");
        format!("{} {} {mid} {:?} {formats}", section.media, section.port, section.direction())
    });
    sections.collect()
}
