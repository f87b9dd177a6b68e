//! Session descriptions as text, and what is derived from them: capabilities, what to produce, what a browser receives.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::json;
use sfu_channel::{MediaKind, RtpCapabilities, RtpCodecCapability, RtpParameters};
use sfu_control::ortc;
use sfu_control::sdp::{
    EncodingHint, LocalTransport, ReceiveNegotiator, ReceiveSection, SendNegotiator, SessionDescription,
    extract_rtp_capabilities,
};

/// A description, which is read as each of the things that a browser can send.
pub fn sdp(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    offer(text);
    answer(text);
    let Ok(description) = text.parse::<SessionDescription>() else { return };
    let written = description.to_string();
    assert_eq!(written.parse::<SessionDescription>().as_ref(), Ok(&description), "{written}");
    let capabilities = extract_rtp_capabilities(&description);
    let size = serde_json::to_string(&capabilities).expect("capabilities are JSON").len();
    // 128 payload types, each with feedback of some kinds.
    assert!(size <= 128 * 1200 + 4 * text.len(), "{size} bytes of capabilities from {}", text.len());
    let mut validated = capabilities.clone();
    if ortc::validate_rtp_capabilities(&mut validated).is_ok() {
        let receives = ortc::get_recv_rtp_capabilities(&validated, &ROUTER);
        assert!(receives.codecs.len() <= ROUTER.codecs.len());
    }
}

/// The text as an offer: what is accepted can be produced and consumed, and the answer is a description of as many
/// sections.
fn offer(text: &str) {
    let hint = EncodingHint { scalability_mode: Some("L1T3".to_owned()), ..EncodingHint::default() };
    let hints = HashMap::from([("0".to_owned(), vec![hint])]);
    let mut negotiator = SendNegotiator::new(transport(), ROUTER.clone());
    for _ in 0..2 {
        let Ok(outcome) = negotiator.offer(text, &hints) else { return };
        for section in &outcome.started {
            produce(section.kind, section.rtp_parameters.clone());
        }
        let answer = negotiator.answer();
        let answer: SessionDescription = answer.parse().unwrap_or_else(|error| panic!("{error} in\n{answer}"));
        let offer: SessionDescription = text.parse().expect("it was taken");
        assert_eq!(answer.media.len(), offer.media.len());
        for section in &outcome.started {
            assert!(answer.section(&section.mid).is_some_and(|answered| answered.is_live()));
        }
        for mid in outcome.started.iter().map(|section| section.mid.as_str()).take(1) {
            negotiator.reject(mid);
        }
    }
}

fn produce(kind: MediaKind, mut parameters: RtpParameters) {
    ortc::validate_rtp_parameters(&mut parameters).expect("what is negotiated is valid");
    let mapping = ortc::get_producer_rtp_parameters_mapping(&mut parameters, &ROUTER).expect("the router has it");
    let consumable = ortc::get_consumable_rtp_parameters(kind, &parameters, &ROUTER, &mapping).expect("it is mapped");
    if ortc::can_consume(&consumable, &ROUTER) {
        let consumer = ortc::get_consumer_rtp_parameters(&consumable, &ROUTER, false, true);
        assert!(consumer.is_ok_and(|consumer| !consumer.encodings.is_empty()));
    }
}

/// The text as an answer to an offer of three sections.
fn answer(text: &str) {
    let mut negotiator = ReceiveNegotiator::new(transport());
    for (mid, kind, mime_type) in [
        ("0", MediaKind::Audio, "audio/opus"),
        ("1", MediaKind::Video, "video/VP8"),
        ("2", MediaKind::Video, "video/H264"),
    ] {
        let section = receive_section(mid, kind, mime_type);
        negotiator.add(section).expect("its mid is free");
    }
    let offer = negotiator.offer().expect("there is something to offer");
    assert_eq!(negotiator.offer(), None, "the first is not answered");
    let before = format!("{negotiator:?}");
    match negotiator.answer(text) {
        Err(_) => assert_eq!(format!("{negotiator:?}"), before, "a refused answer changes nothing"),
        Ok(outcome) => {
            assert!(outcome.accepted.len() + outcome.rejected.len() <= 3);
            negotiator.remove("1");
            if let Some(next) = negotiator.offer() {
                let next: SessionDescription = next.parse().unwrap_or_else(|error| panic!("{error} in\n{next}"));
                let offer: SessionDescription = offer.parse().expect("it is ours");
                assert!(next.media.len() >= offer.media.len(), "sections never go");
            }
        }
    }
}

static ROUTER: LazyLock<RtpCapabilities> = LazyLock::new(|| {
    let codecs: Vec<RtpCodecCapability> = serde_json::from_value(json!([
        {"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2},
        {"kind": "video", "mimeType": "video/VP8", "clockRate": 90000},
        {"kind": "video", "mimeType": "video/VP9", "clockRate": 90000, "parameters": {"profile-id": 0}},
        {"kind": "video", "mimeType": "video/H264", "clockRate": 90000,
         "parameters": {"packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1}},
    ]))
    .expect("codecs");
    ortc::generate_router_rtp_capabilities(&codecs).expect("supported codecs")
});

fn receive_section(mid: &str, kind: MediaKind, mime_type: &str) -> ReceiveSection {
    let codec = ROUTER.codecs.iter().find(|codec| codec.mime_type == mime_type).expect("the router has it");
    let rtp_parameters = serde_json::from_value(json!({
        "mid": mid,
        "codecs": [{"mimeType": mime_type, "payloadType": codec.preferred_payload_type, "clockRate": codec.clock_rate,
                    "channels": codec.channels, "parameters": codec.parameters}],
        "encodings": [{"ssrc": 1000}],
        "rtcp": {"cname": "somebody"},
    }))
    .expect("parameters");
    ReceiveSection { kind, rtp_parameters, stream_id: "stream".to_owned(), track_id: format!("track{mid}") }
}

fn transport() -> LocalTransport {
    let parts = || -> Result<LocalTransport, serde_json::Error> {
        Ok(LocalTransport {
            ice_parameters: serde_json::from_value(
                json!({"usernameFragment": "ufrag", "password": "password", "iceLite": true}),
            )?,
            ice_candidates: serde_json::from_value(json!([
                {"foundation": "udpcandidate", "priority": 1_076_302_079, "ip": "192.0.2.1", "protocol": "udp",
                 "port": 44444, "type": "host"},
            ]))?,
            dtls_parameters: serde_json::from_value(json!({"role": "auto", "fingerprints": [
                {"algorithm": "sha-256", "value": vec!["AB"; 32].join(":")},
            ]}))?,
            max_message_size: Some(262_144),
        })
    };
    parts().expect("a transport")
}
