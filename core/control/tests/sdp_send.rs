//! A connection on which a browser sends: the offers are captures of one connection's life.

mod common;

use std::collections::HashMap;

use common::{fingerprint, fixture, outline, parse, router, transport};
use proptest::prelude::*;
use serde_json::json;
use sfu_channel::{DtlsRole, MediaKind, RtpParameters};
use sfu_control::ortc;
use sfu_control::sdp::{Attribute, EncodingHint, NegotiationError, SendAnswer, SendNegotiator, Setup};

fn negotiator() -> SendNegotiator {
    SendNegotiator::new(transport(true), router())
}

fn offer(negotiator: &mut SendNegotiator, name: &str) -> SendAnswer {
    negotiator.offer(&fixture(name), &HashMap::new()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a first offer begins to send.
fn started(name: &str) -> Vec<(String, MediaKind, RtpParameters)> {
    let sections = offer(&mut negotiator(), name).started.into_iter();
    sections.map(|section| (section.mid, section.kind, section.rtp_parameters)).collect()
}

#[test]
fn the_parameters_of_chromium() {
    let sections = started("chromium/send-audio-video");
    let [(audio_mid, MediaKind::Audio, audio), (video_mid, MediaKind::Video, video)] = sections.as_slice() else {
        panic!("audio and video: {sections:?}");
    };
    assert_eq!((audio_mid.as_str(), video_mid.as_str()), ("1", "2"));
    assert_eq!(
        serde_json::to_value(&audio.codecs).unwrap(),
        json!([{
            "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2,
            "parameters": {"minptime": 10, "useinbandfec": 1, "usedtx": 1},
            "rtcpFeedback": [{"type": "transport-cc"}, {"type": "nack"}],
        }])
    );
    let extension = |parameters: &RtpParameters, uri: &str| {
        parameters.header_extensions.iter().find(|extension| extension.uri.contains(uri)).map(|extension| extension.id)
    };
    assert_eq!(extension(audio, "sdes:mid"), Some(4));
    assert_eq!(extension(audio, "ssrc-audio-level"), Some(1));
    assert_eq!(extension(video, "transport-wide-cc"), Some(3));
    assert_eq!(extension(video, "playout-delay"), None, "the router does not know it");
    let numbers: Vec<_> = video.codecs.iter().map(|codec| (codec.mime_type.as_str(), codec.payload_type)).collect();
    assert_eq!(numbers, [("video/VP8", 96), ("video/rtx", 97)]);
    let kinds: Vec<_> = video.codecs[0].rtcp_feedback.iter().map(|feedback| feedback.kind.as_str()).collect();
    assert_eq!(kinds, ["transport-cc", "ccm", "nack", "nack"]);

    let section = &parse("chromium/send-audio-video").media[1];
    let group = section.attributes.iter().find_map(|attribute| match attribute {
        Attribute::SsrcGroup { ssrcs, .. } => Some(ssrcs.clone()),
        _ => None,
    });
    let encoding = &video.encodings[0];
    assert_eq!(group, Some(vec![encoding.ssrc.unwrap(), encoding.rtx.unwrap().ssrc]));
    assert_eq!(video.rtcp.cname.as_deref(), section.cname());
    assert_eq!(audio.rtcp.cname, video.rtcp.cname);
    assert!(section.cname().is_some());
}

#[test]
fn each_codec_is_taken_by_its_payload_type() {
    for (name, mime_type, payload_type) in [
        ("chromium/send-vp9", "video/VP9", 98),
        ("chromium/send-h264", "video/H264", 108),
        ("firefox/send-audio-video", "video/VP8", 120),
    ] {
        let (_, _, parameters) = started(name).pop().unwrap();
        let codec = &parameters.codecs[0];
        assert_eq!((codec.mime_type.as_str(), codec.payload_type), (mime_type, payload_type), "{name}");
        assert_eq!(parameters.codecs[1].apt(), Some(payload_type), "{name}");
        let mut parameters = parameters;
        ortc::validate_rtp_parameters(&mut parameters).unwrap();
        ortc::get_producer_rtp_parameters_mapping(&mut parameters, &router()).unwrap();
    }
}

#[test]
fn no_codec_in_common() {
    let mut negotiator = negotiator();
    let outcome = offer(&mut negotiator, "chromium/send-av1");
    assert_eq!((outcome.started.len(), outcome.rejected), (0, vec!["0".to_owned()]));
    assert_eq!(
        outline(&negotiator.answer())[0].split(' ').take(4).collect::<Vec<_>>(),
        ["video", "0", "0", "Inactive"]
    );
}

#[test]
fn simulcast_takes_its_layers_from_the_senders_encodings() {
    for name in ["chromium/send-simulcast", "firefox/session-send-simulcast"] {
        let text = fixture(name);
        let mid = parse(name).media.last().unwrap().mid().unwrap().to_owned();
        let hints: Vec<EncodingHint> = serde_json::from_value(json!([
            {"rid": "r2", "active": true, "scalabilityMode": "L1T2", "maxBitrate": 5000000},
            {"rid": "r0", "scaleResolutionDownBy": 4, "scalabilityMode": "L1T3"},
            {"rid": "r1"},
        ]))
        .unwrap();
        let mut negotiator = negotiator();
        let outcome = negotiator.offer(&text, &HashMap::from([(mid.clone(), hints)])).unwrap();
        let section = outcome.started.iter().find(|section| section.mid == mid).unwrap();
        assert_eq!(
            serde_json::to_value(&section.rtp_parameters.encodings).unwrap(),
            json!([
                {"rid": "r0", "scalabilityMode": "L1T3"}, {"rid": "r1"},
                {"rid": "r2", "scalabilityMode": "L1T2", "maxBitrate": 5000000},
            ]),
            "{name}"
        );
        let answer = negotiator.answer();
        assert!(
            answer.contains("a=rid:r0 recv\r\na=rid:r1 recv\r\na=rid:r2 recv\r\na=simulcast:recv r0;r1;r2\r\n"),
            "{answer}"
        );
    }
}

#[test]
fn a_section_has_a_bounded_number_of_distinct_encodings() {
    let offered = |layers: &str| {
        let text = format!(
            "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\na=group:BUNDLE v\na=setup:actpass\na=fingerprint:sha-256 AB:CD\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:v\na=sendonly\na=rtcp-mux\na=rtpmap:96 VP8/90000\n{layers}"
        );
        let outcome = negotiator().offer(&text, &HashMap::new()).unwrap();
        outcome.started.first().map(|section| section.rtp_parameters.encodings.len())
    };
    let rids = |count: u32| {
        let rids: Vec<String> = (0..count).map(|index| format!("r{index}")).collect();
        format!("a=simulcast:send {}\n", rids.join(";"))
    };
    let ssrcs = |count: u32| {
        let ssrcs: Vec<String> = (1..=count).map(|ssrc| ssrc.to_string()).collect();
        format!("a=ssrc-group:SIM {}\n", ssrcs.join(" "))
    };
    assert_eq!((offered(&rids(16)), offered(&rids(17))), (Some(16), None));
    assert_eq!((offered(&ssrcs(16)), offered(&ssrcs(17))), (Some(16), None));
    assert_eq!(offered("a=simulcast:send a;b;a\n"), None);
}

#[test]
fn hints_are_for_their_rid_and_change_what_is_sent_only_by_its_layers() {
    let name = "chromium/send-simulcast";
    let mut negotiator = negotiator();
    let mut offer = |text: &str, hints: serde_json::Value| {
        let hints: Vec<EncodingHint> = serde_json::from_value(hints).unwrap();
        negotiator.offer(text, &HashMap::from([("0".to_owned(), hints)])).unwrap()
    };
    let encodings = |outcome: &SendAnswer| serde_json::to_value(&outcome.started[0].rtp_parameters.encodings).unwrap();
    // There is no hint for r0 and r1, though others stand in their places.
    let outcome = offer(&fixture(name), json!([{"rid": "r2", "maxBitrate": 1500000.5}, {"rid": "x", "maxBitrate": 7}]));
    assert_eq!(encodings(&outcome), json!([{"rid": "r0"}, {"rid": "r1"}, {"rid": "r2", "maxBitrate": 1500000}]));
    // The bound goes with the bandwidth; the stream stays.
    let outcome = offer(&fixture(name), json!([{"rid": "r2", "maxBitrate": 900000}]));
    assert!(outcome.stopped.is_empty() && outcome.started.is_empty(), "{outcome:?}");
    let outcome = offer(&fixture(name), json!([{"rid": "r2", "scalabilityMode": "L1T3"}]));
    assert_eq!((outcome.stopped.len(), outcome.started.len()), (1, 1));

    // A browser does not write the rid of its only encoding.
    let single = fixture("chromium/send-vp9");
    let hints = serde_json::from_value(json!([{"rid": "r0", "scalabilityMode": "L1T2"}])).unwrap();
    let mid = parse("chromium/send-vp9").media[0].mid().unwrap().to_owned();
    let outcome = self::negotiator().offer(&single, &HashMap::from([(mid, hints)])).unwrap();
    assert_eq!(encodings(&outcome)[0]["scalabilityMode"], "L1T2");
}

#[test]
fn an_answer_has_only_what_was_offered() {
    let text = fixture("chromium/send-audio-video");
    for line in ["a=extmap-allow-mixed\r\n", "a=rtcp-rsize\r\n"] {
        for (text, expected) in [(&text, true), (&text.replace(line, ""), false)] {
            let mut negotiator = negotiator();
            negotiator.offer(text, &HashMap::new()).unwrap();
            assert_eq!(negotiator.answer().contains(line), expected, "{line}");
        }
    }
    // Firefox allows them section by section.
    let text_of_firefox = fixture("firefox/send-audio-video");
    let mut negotiator = negotiator();
    negotiator.offer(&text_of_firefox, &HashMap::new()).unwrap();
    let answer: sfu_control::sdp::SessionDescription = negotiator.answer().parse().unwrap();
    assert!(!answer.attributes.contains(&Attribute::ExtmapAllowMixed));
    assert!(answer.media.iter().all(|section| section.attributes.contains(&Attribute::ExtmapAllowMixed)));
    let outcome = self::negotiator().offer(&text.replace("a=rtcp-mux\r\n", ""), &HashMap::new()).unwrap();
    assert_eq!((outcome.started.len(), outcome.rejected.len()), (0, 2), "RTCP needs a port of its own");
}

#[test]
fn the_answer_in_full() {
    let mut negotiator = negotiator();
    let outcome = offer(&mut negotiator, "chromium/send-data-gathered");
    let dtls = outcome.dtls_parameters.unwrap();
    assert_eq!((dtls.role, outcome.has_data, outcome.ice_restart), (DtlsRole::Client, true, false));
    assert!(fixture("chromium/send-data-gathered").contains(&dtls.fingerprints[0].value));
    let answer = negotiator.answer();
    assert_eq!(
        outline(&answer),
        ["audio 9 0 RecvOnly 111", "video 9 1 RecvOnly 96 97", "application 9 2 SendRecv webrtc-datachannel"]
    );
    let session = answer.split("m=").next().unwrap();
    assert!(session.contains("\r\na=ice-lite\r\n") && session.contains("\r\na=group:BUNDLE 0 1 2\r\n"), "{session}");
    let fingerprint = format!("a=fingerprint:sha-256 {}\r\n", fingerprint());
    for line in [
        "a=ice-ufrag:ufrag1\r\n",
        "a=ice-pwd:password1\r\n",
        "a=setup:passive\r\n",
        &fingerprint,
        "a=candidate:udpcandidate 1 udp 1076302079 192.0.2.1 44444 typ host\r\n",
        "a=candidate:tcpcandidate 1 tcp 1076276479 2001:db8::1 44445 typ host tcptype passive\r\n",
        "a=end-of-candidates\r\n",
    ] {
        assert_eq!(answer.matches(line).count(), 3, "{line}");
    }
    for line in [
        "a=rtpmap:111 opus/48000/2\r\n",
        "a=fmtp:111 minptime=10;usedtx=1;useinbandfec=1\r\n",
        "a=rtpmap:96 VP8/90000\r\n",
        "a=fmtp:96 x-google-start-bitrate=1000\r\n",
        "a=rtcp-fb:96 transport-cc\r\n",
        "a=fmtp:97 apt=96\r\n",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
        "a=rtcp-mux\r\n",
        "a=sctp-port:5000\r\n",
        "a=max-message-size:262144\r\n",
    ] {
        assert!(answer.contains(line), "{line} in\n{answer}");
    }
    assert!(!answer.contains("goog-remb") && !answer.contains("sha-1"));
}

#[test]
fn without_sctp_there_are_no_data_channels() {
    let mut negotiator = SendNegotiator::new(transport(false), router());
    let outcome = offer(&mut negotiator, "chromium/send-data-gathered");
    assert_eq!((outcome.has_data, outcome.rejected), (false, vec!["2".to_owned()]));
    let answer = negotiator.answer();
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n") && answer.contains("m=application 0 "), "{answer}");
}

/// The offers of one connection in their order, and what each begins, ends and refuses.
#[test]
fn a_connections_life() {
    type Step = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
    const STEPS: &[Step] = &[
        ("audio", &["0"], &[], &[]),
        ("simulcast", &["1"], &[], &[]),
        ("data", &[], &[], &[]),
        ("vp9", &["3"], &[], &[]),
        ("inactive", &[], &["1"], &[]),
        ("active-again", &["1"], &[], &[]),
        ("stopped", &[], &["3"], &[]),
        ("recycled", &["4"], &[], &[]),
        ("restart", &[], &[], &[]),
        ("av1-rejected", &[], &[], &["5"]),
    ];
    for browser in ["chromium", "firefox"] {
        let mut negotiator = negotiator();
        let mut version = 0;
        for &(step, started, stopped, rejected) in STEPS {
            let name = format!("{browser}/session-send-{step}");
            if browser == "firefox" && step == "av1-rejected" {
                continue;
            }
            let outcome = offer(&mut negotiator, &name);
            let mids: Vec<_> = outcome.started.iter().map(|section| section.mid.as_str()).collect();
            assert_eq!(mids, started, "{name}: started");
            assert_eq!(outcome.stopped, stopped, "{name}: stopped");
            assert_eq!(outcome.rejected, rejected, "{name}: rejected");
            assert_eq!(outcome.dtls_parameters.is_some(), step == "audio", "{name}");
            assert_eq!(outcome.ice_restart, step == "restart", "{name}");
            if outcome.ice_restart {
                let mut fresh = transport(true).ice_parameters;
                fresh.username_fragment = "ufrag2".to_owned();
                negotiator.restart_ice(fresh);
            }
            let answer = negotiator.answer();
            let offered = outline(&fixture(&name));
            let answered = outline(&answer);
            assert_eq!(answered.len(), offered.len(), "{name}: RFC 8829 section 5.3.1");
            assert_eq!(answer.contains("a=ice-ufrag:ufrag2"), ["restart", "av1-rejected"].contains(&step), "{name}");
            version += 1;
            assert!(answer.contains(&format!(" {version} IN IP4 0.0.0.0\r\n")), "{name}: the version grows");
        }
    }
}

#[test]
fn a_stopped_section_is_answered_with_port_0_and_used_again() {
    let mut negotiator = negotiator();
    for step in ["audio", "simulcast", "data", "vp9", "inactive"] {
        offer(&mut negotiator, &format!("chromium/session-send-{step}"));
    }
    assert!(outline(&negotiator.answer())[1].starts_with("video 9 1 Inactive"));
    offer(&mut negotiator, "chromium/session-send-active-again");
    assert!(outline(&negotiator.answer())[1].starts_with("video 9 1 RecvOnly"));
    offer(&mut negotiator, "chromium/session-send-stopped");
    assert!(outline(&negotiator.answer())[3].starts_with("video 0 3"));
    let outcome = offer(&mut negotiator, "chromium/session-send-recycled");
    assert_eq!(outcome.started[0].rtp_parameters.codecs[0].mime_type, "video/H264");
    assert!(outline(&negotiator.answer())[3].starts_with("video 9 4 RecvOnly"));
}

#[test]
fn a_section_that_can_not_be_produced_is_refused_after_all() {
    let mut negotiator = negotiator();
    offer(&mut negotiator, "chromium/send-audio-video");
    negotiator.reject("2");
    let answer = negotiator.answer();
    assert!(answer.contains("a=group:BUNDLE 1\r\n") && answer.contains("m=video 0 "), "{answer}");
    let outcome = offer(&mut negotiator, "chromium/send-audio-video");
    assert!(outcome.stopped.is_empty(), "it never began");
}

#[test]
fn the_peer_can_be_the_dtls_server() {
    let text = fixture("chromium/send-audio-video").replace("a=setup:actpass", "a=setup:passive");
    let mut negotiator = negotiator();
    let outcome = negotiator.offer(&text, &HashMap::new()).unwrap();
    assert_eq!(outcome.dtls_parameters.unwrap().role, DtlsRole::Server);
    let answer = negotiator.answer();
    assert!(answer.contains("a=setup:active") && !answer.contains("a=setup:passive"));
    // The role holds, whatever later offers say.
    offer(&mut negotiator, "chromium/send-audio-video");
    assert!(negotiator.answer().contains("a=setup:active"));
}

#[test]
fn encoders_that_are_not_browsers() {
    // ICE, fingerprint and setup of the session, no header extensions, capitals, a bundle-only section, no channels.
    let text = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE a0 v0\r\na=setup:actpass\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:SHA-256 ab:cd\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a0\r\na=sendonly\r\na=rtcp-mux\r\na=rtpmap:111 OPUS/48000\r\n\
        a=ssrc:1 cname:x\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 106\r\na=bundle-only\r\na=mid:v0\r\na=sendonly\r\na=rtcp-mux\r\n\
        a=rtpmap:106 H264/90000\r\na=fmtp:106 packetization-mode=1;profile-level-id=42001f;level-asymmetry-allowed=1\r\n\
        a=ssrc:2 cname:x\r\n";
    let mut router = router();
    let h264 = router.codecs.iter_mut().find(|codec| codec.mime_type == "video/H264").unwrap();
    h264.parameters.insert("profile-level-id".to_owned(), "42001f".into());
    let mut negotiator = SendNegotiator::new(transport(false), router);
    let outcome = negotiator.offer(text, &HashMap::new()).unwrap();
    let streams: Vec<_> = outcome.started.iter().map(|section| section.rtp_parameters.encodings[0].ssrc).collect();
    assert_eq!(streams, [Some(1), Some(2)]);
    assert_eq!(outcome.dtls_parameters.unwrap().fingerprints[0].value, "AB:CD");
    assert_eq!(outline(&negotiator.answer()), ["audio 9 a0 RecvOnly 111", "video 9 v0 RecvOnly 106"]);
}

#[test]
fn offers_that_are_refused_change_nothing() {
    let mut negotiator = negotiator();
    offer(&mut negotiator, "chromium/session-send-audio");
    offer(&mut negotiator, "chromium/session-send-simulcast");
    let text = fixture("chromium/session-send-simulcast");
    let error = |text: &str| negotiator.offer(text, &HashMap::new()).unwrap_err();
    let mut error = error;
    assert_eq!(error(&text.replace("a=mid:1", "a=mid:0")), NegotiationError::DuplicateMid("0".to_owned()));
    assert_eq!(error(&text.replace("a=mid:1\r\n", "")), NegotiationError::MissingMid(1));
    let renamed = NegotiationError::SectionMismatch { index: 0, expected: "0".to_owned() };
    assert_eq!(error(&text.replace("a=mid:0", "a=mid:7")), renamed);
    assert_eq!(error(&text.replace("m=audio", "m=video")), renamed);
    let fewer = fixture("chromium/session-send-audio");
    assert_eq!(error(&fewer), NegotiationError::SectionCount { expected: 2, found: 1 });
    assert_eq!(error(&text.replace("a=setup:actpass\r\n", "")), NegotiationError::Setup("0".to_owned()));
    assert_eq!(error(&text.replace("a=setup:actpass", "a=setup:holdconn")), NegotiationError::Setup("0".to_owned()));
    let unknown = text.replace("a=fingerprint:sha-256", "a=fingerprint:md5");
    assert_eq!(error(&unknown), NegotiationError::MissingFingerprint("0".to_owned()));
    let other = fixture("chromium/send-data-gathered");
    assert!(matches!(error(&other), NegotiationError::FingerprintChanged(_)));
    assert!(matches!(error("v=1"), NegotiationError::Parse(_)));

    let outcome = offer(&mut negotiator, "chromium/session-send-data");
    assert!(outcome.started.is_empty() && outcome.stopped.is_empty() && outcome.has_data);
}

#[test]
fn changed_streams_end_and_begin() {
    let mut negotiator = negotiator();
    offer(&mut negotiator, "chromium/session-send-audio");
    let text = fixture("chromium/session-send-audio");
    let ssrc = text.split("a=ssrc:").nth(1).unwrap().split(' ').next().unwrap();
    let outcome = negotiator.offer(&text.replace(ssrc, "77"), &HashMap::new()).unwrap();
    assert_eq!((outcome.stopped.as_slice(), outcome.started.len()), (["0".to_owned()].as_slice(), 1));
    assert_eq!(outcome.started[0].rtp_parameters.encodings[0].ssrc, Some(77));
}

#[test]
fn sections_outside_the_bundle_are_refused() {
    let text = fixture("chromium/send-audio-video").replace("a=group:BUNDLE 1 2\r\n", "");
    let mut negotiator = negotiator();
    let outcome = negotiator.offer(&text, &HashMap::new()).unwrap();
    assert_eq!((outcome.started.len(), outcome.rejected), (1, vec!["2".to_owned()]));
}

proptest! {
    #[test]
    fn mutated_offers_never_panic(
        step in 0usize..6,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..2, 0usize..3), 1..6),
    ) {
        let steps = ["audio", "simulcast", "data", "vp9", "inactive", "active-again"];
        let mut negotiator = negotiator();
        for name in &steps[..step] {
            offer(&mut negotiator, &format!("chromium/session-send-{name}"));
        }
        let text = fixture(&format!("chromium/session-send-{}", steps[step]));
        let mut lines: Vec<&str> = text.lines().collect();
        for (at, remove, repeat) in cuts {
            let index = at.index(lines.len());
            let line = lines[index];
            lines.splice(index..index + remove, std::iter::repeat_n(line, repeat));
        }
        if let Ok(outcome) = negotiator.offer(&lines.join("\n"), &HashMap::new()) {
            for section in outcome.started {
                let mut parameters = section.rtp_parameters;
                ortc::validate_rtp_parameters(&mut parameters).unwrap();
                let _ = ortc::get_producer_rtp_parameters_mapping(&mut parameters, &router());
            }
            let answer: sfu_control::sdp::SessionDescription = negotiator.answer().parse().unwrap();
            let is_passive = |attribute: &Attribute| *attribute == Attribute::Setup(Setup::Passive);
            let mut live = answer.media.iter().filter(|section| section.is_live());
            prop_assert!(live.all(|section| section.attributes.iter().any(is_passive)));
        }
    }
}
