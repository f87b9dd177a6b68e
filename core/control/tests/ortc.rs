//! ORTC negotiation: known results of mediasoup 3.12.16.

mod common;

use common::router;
use serde_json::{Value, json};
use sfu_channel::{MediaKind, RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpMapping, RtpParameters};
use sfu_control::ortc::{self, OrtcError};

fn codecs(value: Value) -> Vec<RtpCodecCapability> {
    serde_json::from_value(value).unwrap()
}

fn generate(value: Value) -> Result<RtpCapabilities, OrtcError> {
    ortc::generate_router_rtp_capabilities(&codecs(value))
}

fn numbers(capabilities: &RtpCapabilities) -> Vec<(String, u8)> {
    let number = |codec: &RtpCodecCapability| (codec.mime_type.clone(), codec.preferred_payload_type.unwrap());
    capabilities.codecs.iter().map(number).collect()
}

fn opus() -> Value {
    json!({"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2})
}

fn video(name: &str, parameters: Value) -> Value {
    json!({"kind": "video", "mimeType": format!("video/{name}"), "clockRate": 90000, "parameters": parameters})
}

/// Webcam and microphone as mediasoup-client sends them from Chromium.
fn webcam() -> RtpParameters {
    let mut parameters: RtpParameters = serde_json::from_value(json!({
        "mid": "1",
        "codecs": [
            {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "parameters": {},
             "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "transport-cc"}]},
            {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}},
        ],
        "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 4}],
        "encodings": [
            {"rid": "r0", "scalabilityMode": "L1T3", "maxBitrate": 500000},
            {"rid": "r1", "scalabilityMode": "L1T3", "maxBitrate": 1000000},
            {"rid": "r2", "scalabilityMode": "L1T3", "maxBitrate": 5000000},
        ],
        "rtcp": {"cname": "alice"},
    }))
    .unwrap();
    ortc::validate_rtp_parameters(&mut parameters).unwrap();
    parameters
}

fn consumable_webcam() -> RtpParameters {
    let mut parameters = webcam();
    let mapping = ortc::get_producer_rtp_parameters_mapping(&mut parameters, &router()).unwrap();
    ortc::get_consumable_rtp_parameters(MediaKind::Video, &parameters, &router(), &mapping).unwrap()
}

#[test]
fn payload_types_of_the_demo() {
    let capabilities = generate(json!([
        opus(),
        video("VP8", json!({"x-google-start-bitrate": 1000})),
        video("VP9", json!({"profile-id": 2})),
        video("H264", json!({"packetization-mode": 1, "profile-level-id": "4d0032"})),
        video("h264", json!({"packetization-mode": 1, "profile-level-id": "42e01f"})),
    ]))
    .unwrap();
    let expected = [
        ("audio/opus", 100),
        ("video/VP8", 101),
        ("video/rtx", 102),
        ("video/VP9", 103),
        ("video/rtx", 104),
        ("video/H264", 105),
        ("video/rtx", 106),
        ("video/H264", 107),
        ("video/rtx", 108),
    ];
    assert_eq!(numbers(&capabilities), expected.map(|(name, number)| (name.to_owned(), number)));
    let json = serde_json::to_value(&capabilities.codecs[7]).unwrap();
    assert_eq!(
        json["parameters"],
        json!({"level-asymmetry-allowed": 1, "packetization-mode": 1, "profile-level-id": "42e01f"})
    );
    assert_eq!(json["rtcpFeedback"][1], json!({"type": "nack", "parameter": "pli"}));
    assert_eq!(json["rtcpFeedback"].as_array().unwrap().len(), 5);
    assert_eq!(serde_json::to_value(&capabilities.codecs[8]).unwrap()["parameters"], json!({"apt": 107}));
    assert_eq!(capabilities.header_extensions.len(), 15);
    assert_eq!(capabilities, {
        let mut again = capabilities.clone();
        ortc::validate_rtp_capabilities(&mut again).unwrap();
        again
    });
}

#[test]
fn payload_types_that_are_asked_for() {
    let mut vp8 = video("VP8", json!({}));
    vp8["preferredPayloadType"] = json!(100);
    let pcmu = json!({"kind": "audio", "mimeType": "audio/PCMU", "clockRate": 8000});
    let capabilities = generate(json!([vp8, opus(), pcmu])).unwrap();
    let expected = [("video/VP8", 100), ("video/rtx", 101), ("audio/opus", 102), ("audio/PCMU", 0)];
    assert_eq!(numbers(&capabilities), expected.map(|(name, number)| (name.to_owned(), number)));
}

#[test]
fn codecs_that_no_router_has() {
    let error = generate(json!([video("chicken", json!({}))])).unwrap_err();
    assert_eq!(error.name(), "UnsupportedError");
    let mono = json!({"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 1});
    assert_eq!(generate(json!([mono])).unwrap_err().name(), "UnsupportedError");
    let five = json!({"kind": "audio", "mimeType": "audio/multiopus", "clockRate": 48000, "channels": 5});
    assert_eq!(generate(json!([five])).unwrap_err().name(), "UnsupportedError");
    let no_kind = json!({"kind": "audio", "mimeType": "application/x", "clockRate": 1});
    assert_eq!(generate(json!([no_kind])).unwrap_err(), OrtcError::InvalidMimeType("application/x".to_owned()));
    let pcmu = json!({"kind": "audio", "mimeType": "audio/PCMU", "clockRate": 8000});
    let twice = generate(json!([pcmu, pcmu])).unwrap_err();
    assert_eq!((twice.clone(), twice.name()), (OrtcError::DuplicatedPayloadType(0), "TypeError"));
    let many = vec![video("VP8", json!({})); 17];
    assert_eq!(generate(json!(many)).unwrap_err().name(), "Error");
    let odd = video("VP8", json!({"flag": true}));
    assert_eq!(generate(json!([odd])).unwrap_err(), OrtcError::InvalidCodecParameter("flag".to_owned()));
    let apt = video("VP8", json!({"apt": "96"}));
    assert_eq!(generate(json!([apt])).unwrap_err(), OrtcError::InvalidApt);
}

#[test]
fn validation_fills_in_what_is_left_out() {
    let mut capabilities: RtpCapabilities = serde_json::from_value(json!({
        "codecs": [{"kind": "video", "mimeType": "audio/opus", "clockRate": 48000}],
        "headerExtensions": [{"kind": "audio", "uri": "urn:x", "preferredId": 1}],
    }))
    .unwrap();
    ortc::validate_rtp_capabilities(&mut capabilities).unwrap();
    assert_eq!((capabilities.codecs[0].kind, capabilities.codecs[0].channels), (MediaKind::Audio, Some(1)));
    let extension = serde_json::to_value(&capabilities.header_extensions[0]).unwrap();
    assert_eq!((&extension["direction"], &extension["preferredEncrypt"]), (&json!("sendrecv"), &json!(false)));
    capabilities.header_extensions[0].kind = None;
    let error = ortc::validate_rtp_capabilities(&mut capabilities).unwrap_err();
    assert_eq!((error.name(), error), ("TypeError", OrtcError::MissingHeaderExtensionKind("urn:x".to_owned())));

    let parameters = webcam();
    assert_eq!(parameters.encodings[0].dtx, Some(false));
    assert_eq!(parameters.rtcp.reduced_size, Some(true));
}

#[test]
fn a_producers_numbers_become_the_routers() {
    let mut parameters = webcam();
    let mapping = ortc::get_producer_rtp_parameters_mapping(&mut parameters, &router()).unwrap();
    let json = serde_json::to_value(&mapping).unwrap();
    assert_eq!(
        json["codecs"],
        json!([{"payloadType": 96, "mappedPayloadType": 101}, {"payloadType": 97, "mappedPayloadType": 102}])
    );
    let first = mapping.encodings[0].mapped_ssrc;
    assert!((100_000_000..1_000_000_000).contains(&first));
    let rids: Vec<_> = mapping.encodings.iter().map(|encoding| encoding.rid.as_deref().unwrap()).collect();
    assert_eq!(rids, ["r0", "r1", "r2"]);
    let ssrcs: Vec<_> = mapping.encodings.iter().map(|encoding| encoding.mapped_ssrc - first).collect();
    assert_eq!(ssrcs, [0, 1, 2]);

    let consumable = ortc::get_consumable_rtp_parameters(MediaKind::Video, &parameters, &router(), &mapping).unwrap();
    let numbers: Vec<_> =
        consumable.codecs.iter().map(|codec| (codec.mime_type.as_str(), codec.payload_type)).collect();
    assert_eq!(numbers, [("video/VP8", 101), ("video/rtx", 102)]);
    // The producer's parameters, but the feedback of the router.
    assert!(consumable.codecs[0].parameters.is_empty());
    assert_eq!(consumable.codecs[0].rtcp_feedback.len(), 5);
    assert_eq!(consumable.encodings[2].ssrc, Some(first + 2));
    assert_eq!(consumable.encodings[2].rid, None);
    assert_eq!(consumable.encodings[2].scalability_mode.as_deref(), Some("L1T3"));
    assert_eq!(consumable.rtcp.cname.as_deref(), Some("alice"));
    // Rids are for the router only.
    let ids: Vec<_> = consumable.header_extensions.iter().map(|extension| extension.id).collect();
    assert_eq!(ids, [1, 4, 5, 6, 7, 11, 12, 13]);

    let error = ortc::get_consumable_rtp_parameters(MediaKind::Video, &parameters, &router(), &RtpMapping::default());
    assert_eq!(error.unwrap_err().name(), "Error");
}

#[test]
fn producers_that_a_router_refuses() {
    let refuse = |change: &dyn Fn(&mut RtpParameters)| {
        let mut parameters = webcam();
        change(&mut parameters);
        ortc::get_producer_rtp_parameters_mapping(&mut parameters, &router()).unwrap_err()
    };
    let error = refuse(&|parameters| parameters.codecs[0].mime_type = "video/AV1".to_owned());
    assert_eq!(error.to_string(), "unsupported codec [mimeType:video/AV1, payloadType:96]");
    assert_eq!(error.name(), "UnsupportedError");
    let error = refuse(&|parameters| parameters.codecs[0].payload_type = 98);
    assert_eq!((error.name(), error), ("TypeError", OrtcError::MissingMediaCodec(97)));

    let audio_only = generate(json!([opus()])).unwrap();
    let mut parameters: RtpParameters = serde_json::from_value(json!({
        "codecs": [
            {"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2},
            {"mimeType": "audio/rtx", "payloadType": 112, "clockRate": 48000, "channels": 2, "parameters": {"apt": 111}},
        ],
        "encodings": [],
    }))
    .unwrap();
    let error = ortc::get_producer_rtp_parameters_mapping(&mut parameters, &audio_only).unwrap_err();
    assert_eq!((error.name(), error), ("UnsupportedError", OrtcError::NoRtxCodec(100)));
}

#[test]
fn profiles_of_h264_and_vp9() {
    let produce = |name: &str, parameters: Value| {
        let mut producer: RtpParameters = serde_json::from_value(json!({
            "codecs": [{"mimeType": format!("video/{name}"), "payloadType": 96, "clockRate": 90000, "parameters": parameters}],
            "encodings": [{"ssrc": 1}],
        }))
        .unwrap();
        let mapping = ortc::get_producer_rtp_parameters_mapping(&mut producer, &router()).ok()?;
        let agreed = producer.codecs[0].parameters.get("profile-level-id");
        Some((mapping.codecs[0].mapped_payload_type, agreed.and_then(|id| id.as_str()).map(str::to_owned)))
    };
    let h264 = |id: &str, mode: u8| produce("H264", json!({"profile-level-id": id, "packetization-mode": mode}));
    assert_eq!(h264("42e01f", 1), Some((105, Some("42e01f".to_owned()))));
    assert_eq!(h264("42e015", 1), Some((105, Some("42e015".to_owned()))), "the lower level");
    assert_eq!(h264("4de01f", 1), Some((105, Some("42e01f".to_owned()))), "Constrained Baseline in other words");
    assert_eq!(h264("42e01f", 0), None, "another packetization mode");
    assert_eq!(h264("64001f", 1), None, "another profile");
    assert_eq!(h264("chicken", 1), None);
    assert_eq!(produce("H264", json!({"packetization-mode": 1})), Some((105, Some("42e01f".to_owned()))));
    assert_eq!(produce("VP9", json!({})), Some((103, None)), "profile 0 may be left out");
    assert_eq!(produce("VP9", json!({"profile-id": 2})), None);
}

/// What a browser with all codecs and extensions receives, in the router's numbers.
fn receiver() -> RtpCapabilities {
    router()
}

#[test]
fn one_encoding_for_a_consumer_of_a_simulcast() {
    let consumable = consumable_webcam();
    assert!(ortc::can_consume(&consumable, &receiver()));
    let consumer = ortc::get_consumer_rtp_parameters(&consumable, &receiver(), false, true).unwrap();
    let [encoding] = consumer.encodings.as_slice() else { panic!("one encoding") };
    let ssrc = encoding.ssrc.unwrap();
    assert_eq!(encoding.rtx.unwrap().ssrc, ssrc + 1);
    assert_eq!(encoding.scalability_mode.as_deref(), Some("L3T3"));
    assert_eq!(encoding.max_bitrate, Some(5_000_000));
    assert_eq!(consumer.rtcp.cname.as_deref(), Some("alice"));
    let feedback: Vec<_> = consumer.codecs[0].rtcp_feedback.clone();
    assert!(feedback.contains(&RtcpFeedback::new("transport-cc", "")));
    assert!(!feedback.contains(&RtcpFeedback::new("goog-remb", "")), "transport-cc makes REMB superfluous");

    let other = ortc::get_consumer_rtp_parameters(&consumable, &receiver(), false, true).unwrap();
    assert_ne!(other.encodings[0].ssrc, consumer.encodings[0].ssrc);
}

#[test]
fn a_receiver_reduces_what_it_gets() {
    let consume = |change: &dyn Fn(&mut RtpCapabilities), rtx: bool| {
        let mut capabilities = receiver();
        change(&mut capabilities);
        ortc::get_consumer_rtp_parameters(&consumable_webcam(), &capabilities, false, rtx)
    };
    let kinds = |parameters: &RtpParameters| -> Vec<String> {
        let feedback = parameters.codecs[0].rtcp_feedback.iter();
        feedback.map(|feedback| format!("{} {}", feedback.kind, feedback.parameter).trim().to_owned()).collect()
    };
    let without = |uri: &'static str| {
        move |capabilities: &mut RtpCapabilities| {
            capabilities.header_extensions.retain(|extension| !extension.uri.contains(uri));
        }
    };

    let remb = consume(&without("transport-wide-cc"), true).unwrap();
    assert_eq!(kinds(&remb), ["nack", "nack pli", "ccm fir", "goog-remb"]);
    let neither = consume(
        &|c| {
            without("transport-wide-cc")(c);
            without("abs-send-time")(c)
        },
        true,
    )
    .unwrap();
    assert_eq!(kinds(&neither), ["nack", "nack pli", "ccm fir"]);
    let no_rtx = consume(&|_| {}, false).unwrap();
    assert_eq!(kinds(&no_rtx), ["nack pli", "ccm fir", "transport-cc"]);
    assert_eq!((no_rtx.codecs.len(), no_rtx.encodings[0].rtx), (1, None));
    let no_feedback = consume(&|c| c.codecs.iter_mut().for_each(|codec| codec.rtcp_feedback.clear()), true).unwrap();
    assert!(kinds(&no_feedback).is_empty());
    let no_rtx_codec = consume(&|c| c.codecs.retain(|codec| !codec.is_rtx()), true).unwrap();
    assert_eq!((no_rtx_codec.codecs.len(), no_rtx_codec.encodings[0].rtx), (1, None));
    let other_id = consume(&|c| c.header_extensions.iter_mut().for_each(|e| e.preferred_id += 1), true).unwrap();
    assert!(other_id.header_extensions.is_empty(), "an extension counts under the router's id only");
    let no_vp8 = |c: &mut RtpCapabilities| c.codecs.retain(|codec| codec.mime_type != "video/VP8");
    assert_eq!(consume(&no_vp8, true).unwrap_err(), OrtcError::NoCompatibleCodecs);
    let mut capabilities = receiver();
    no_vp8(&mut capabilities);
    assert!(!ortc::can_consume(&consumable_webcam(), &capabilities), "RTX alone is nothing");
}

#[test]
fn pipes_take_every_encoding() {
    let consumable = consumable_webcam();
    let piped = ortc::get_pipe_consumer_rtp_parameters(&consumable, true);
    let base = piped.encodings[0].ssrc.unwrap();
    let ssrcs: Vec<_> = piped.encodings.iter().map(|encoding| encoding.ssrc.unwrap() - base).collect();
    assert_eq!(ssrcs, [0, 1, 2]);
    assert!(piped.encodings.iter().all(|encoding| encoding.rtx.is_some()));
    let feedback: Vec<_> = piped.codecs[0].rtcp_feedback.iter().map(|feedback| feedback.kind.as_str()).collect();
    assert_eq!(feedback, ["nack", "nack", "ccm"]);
    let ids: Vec<_> = piped.header_extensions.iter().map(|extension| extension.id).collect();
    assert_eq!(ids, [6, 7, 11, 12, 13]);
    let plain = ortc::get_pipe_consumer_rtp_parameters(&consumable, false);
    assert_eq!((plain.codecs.len(), plain.encodings[0].rtx), (1, None));
    let pipe = ortc::get_consumer_rtp_parameters(&consumable, &receiver(), true, true).unwrap();
    assert_eq!(pipe.encodings.len(), 3);
    assert_eq!(pipe.encodings[1].scalability_mode.as_deref(), Some("L1T3"));
}
