//! A connection on which a browser receives: the answers are captures of one connection's life.

mod common;

use common::{fixture, outline, parse, router, transport};
use proptest::prelude::*;
use serde_json::json;
use sfu_channel::{DtlsRole, MediaKind, RtpCapabilities, RtpParameters};
use sfu_control::ortc;
use sfu_control::sdp::{NegotiationError, ReceiveNegotiator, ReceiveSection, extract_rtp_capabilities};

fn capabilities(browser: &str) -> RtpCapabilities {
    ortc::get_recv_rtp_capabilities(&extract_rtp_capabilities(&parse(&format!("{browser}/probe"))), &router())
}

/// A consumer of a producer with this codec, for what that browser has said of itself; SSRC 1000 + mid, RTX one thousand
/// higher.
fn consumer_for(browser: &str, mid: u32, mime_type: &str, stream: &str) -> ReceiveSection {
    let kind = if mime_type.starts_with("audio") { MediaKind::Audio } else { MediaKind::Video };
    let offered = ortc::supported_rtp_capabilities().codecs;
    let codec = offered.iter().find(|codec| codec.mime_type == mime_type).unwrap();
    let mut parameters: RtpParameters = serde_json::from_value(json!({
        "codecs": [{"mimeType": mime_type, "payloadType": 96, "clockRate": codec.clock_rate, "channels": codec.channels,
                    "parameters": if mime_type == "video/H264" { json!({"packetization-mode": 1}) } else { json!({}) }}],
        "encodings": [{"ssrc": 1}],
        "rtcp": {"cname": format!("cname of {stream}")},
    }))
    .unwrap();
    let mapping = ortc::get_producer_rtp_parameters_mapping(&mut parameters, &router()).unwrap();
    let consumable = ortc::get_consumable_rtp_parameters(kind, &parameters, &router(), &mapping).unwrap();
    let capabilities = capabilities(browser);
    assert!(ortc::can_consume(&consumable, &capabilities), "{mime_type}");
    let mut rtp_parameters =
        ortc::get_consumer_rtp_parameters(&consumable, &capabilities, false, kind == MediaKind::Video).unwrap();
    rtp_parameters.mid = Some(mid.to_string());
    rtp_parameters.encodings[0].ssrc = Some(1000 + mid);
    if let Some(rtx) = &mut rtp_parameters.encodings[0].rtx {
        rtx.ssrc = 2000 + mid;
    }
    ReceiveSection { kind, rtp_parameters, stream_id: stream.to_owned(), track_id: format!("track{mid}") }
}

fn consumer(mid: u32, mime_type: &str, stream: &str) -> ReceiveSection {
    consumer_for("chromium", mid, mime_type, stream)
}

fn add(negotiator: &mut ReceiveNegotiator, mid: u32, mime_type: &str, stream: &str) {
    negotiator.add(consumer(mid, mime_type, stream)).unwrap();
}

#[test]
fn what_chromium_can_receive() {
    let capabilities = capabilities("chromium");
    let numbers: Vec<_> =
        capabilities.codecs.iter().map(|c| (c.mime_type.as_str(), c.preferred_payload_type.unwrap())).collect();
    assert_eq!(
        numbers,
        [
            ("audio/opus", 100),
            ("video/VP8", 101),
            ("video/rtx", 102),
            ("video/VP9", 103),
            ("video/rtx", 104),
            ("video/H264", 105),
            ("video/rtx", 106),
        ],
        "the router's payload types"
    );
    assert!(capabilities.header_extensions.iter().all(|extension| router().header_extensions.contains(extension)));
    let uris: Vec<_> = capabilities.header_extensions.iter().map(|e| (e.uri.as_str(), e.preferred_id)).collect();
    assert!(uris.contains(&("urn:ietf:params:rtp-hdrext:sdes:mid", 1)));
    assert!(!uris.iter().any(|(uri, _)| uri.contains("rtp-stream-id")), "consumers have no rids");
    let h264 = serde_json::to_value(&capabilities.codecs[5].parameters).unwrap();
    assert_eq!(h264["profile-level-id"], "42e01f");
}

/// Parameters may come from a peer's JSON, and go into the offers of others.
#[test]
fn what_would_become_another_line_is_refused() {
    let mut negotiator = ReceiveNegotiator::new(transport(true));
    let refused = |change: &dyn Fn(&mut RtpParameters)| {
        let mut consumer = consumer(0, "video/VP8", "peer");
        change(&mut consumer.rtp_parameters);
        negotiator.add(consumer)
    };
    let mut refused = refused;
    let line = "x\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host";
    let control = Err(NegotiationError::ControlCharacter);
    assert_eq!(refused(&|parameters| parameters.rtcp.cname = Some(line.to_owned())), control);
    assert_eq!(
        refused(&|parameters| drop(parameters.codecs[0].parameters.insert("x".to_owned(), line.into()))),
        control
    );
    assert_eq!(refused(&|parameters| parameters.header_extensions[0].uri = line.to_owned()), control);
    assert_eq!(refused(&|parameters| parameters.codecs[0].rtcp_feedback[0].parameter = "\r".to_owned()), control);
    assert_eq!(refused(&|_| ()), Ok(()), "its mid is still free");
}

#[test]
fn what_firefox_can_receive() {
    // This one has no H264.
    let capabilities = capabilities("firefox");
    let names: Vec<_> = capabilities.codecs.iter().map(|codec| codec.mime_type.as_str()).collect();
    assert_eq!(names, ["audio/opus", "video/VP8", "video/rtx", "video/VP9", "video/rtx"]);
}

#[test]
fn what_the_browser_says_of_itself() {
    let capabilities = extract_rtp_capabilities(&parse("chromium/probe"));
    let opus = capabilities.codecs.iter().find(|codec| codec.mime_type == "audio/opus").unwrap();
    assert_eq!((opus.preferred_payload_type, opus.channels), (Some(111), Some(2)));
    let profiles = capabilities.codecs.iter().filter(|codec| codec.mime_type == "video/H264");
    assert!(profiles.count() > 2);
    assert!(capabilities.codecs.iter().any(|codec| codec.mime_type == "video/AV1"));
}

#[test]
fn the_offer_in_full() {
    let mut negotiator = ReceiveNegotiator::new(transport(false));
    assert_eq!(negotiator.offer(), None, "nothing to offer yet");
    add(&mut negotiator, 0, "audio/opus", "alice");
    add(&mut negotiator, 1, "video/VP8", "alice");
    let offer = negotiator.offer().unwrap();
    assert_eq!(outline(&offer), ["audio 9 0 SendOnly 100", "video 9 1 SendOnly 101 102"]);
    for line in [
        "a=ice-lite\r\n",
        "a=group:BUNDLE 0 1\r\n",
        "a=msid:alice track0\r\n",
        "a=msid:alice track1\r\n",
        "a=rtpmap:100 opus/48000/2\r\n",
        "a=rtpmap:101 VP8/90000\r\n",
        "a=fmtp:102 apt=101\r\n",
        "a=rtcp-fb:101 nack pli\r\n",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
        "a=ssrc:1001 cname:cname of alice\r\n",
        "a=ssrc:2001 msid:alice track1\r\n",
        "a=ssrc-group:FID 1001 2001\r\n",
        "a=rtcp-rsize\r\n",
    ] {
        assert!(offer.contains(line), "{line} in\n{offer}");
    }
    assert_eq!(offer.matches("a=setup:actpass\r\n").count(), 2);
    assert_eq!(offer.matches("a=candidate:").count(), 4);
    assert!(!offer.contains("100000000"), "no random SSRC is left");
}

/// The answers of one connection in their order, the sections offered, and what the answer accepts.
#[test]
fn a_connections_life() {
    for browser in ["chromium", "firefox"] {
        let add = |negotiator: &mut ReceiveNegotiator, mid, mime_type: &str, stream: &str| {
            negotiator.add(consumer_for(browser, mid, mime_type, stream)).unwrap();
        };
        let mut negotiator = ReceiveNegotiator::new(transport(true));
        let mut round = |step: &str, change: &dyn Fn(&mut ReceiveNegotiator), sections: &[&str], accepted: &[&str]| {
            change(&mut negotiator);
            let offer = negotiator.offer().unwrap_or_else(|| panic!("{browser} {step}: an offer"));
            let lines: Vec<_> =
                outline(&offer).iter().map(|line| line.split(' ').take(4).collect::<Vec<_>>().join(" ")).collect();
            assert_eq!(lines, sections, "{browser} {step}");
            assert_eq!(negotiator.offer(), None, "{browser} {step}: one offer at a time");
            let text = fixture(&format!("{browser}/session-receive-{step}"));
            // The browser answered this very offer: it takes every codec of what it has said that it can receive.
            let formats = |sdp: &str| -> Vec<String> {
                outline(sdp)
                    .iter()
                    .filter(|line| !line.contains(" 0 "))
                    .map(|line| line.split(' ').skip(4).collect())
                    .collect()
            };
            assert_eq!(formats(&text), formats(&offer), "{browser} {step}");
            let answer = negotiator.answer(&text).unwrap();
            assert_eq!(answer.accepted, accepted, "{browser} {step}");
            assert!(answer.rejected.is_empty(), "{browser} {step}");
            assert_eq!(answer.dtls_parameters.is_some(), step == "empty", "{browser} {step}");
            assert_eq!(negotiator.offer(), None, "{browser} {step}: nothing more");
            (offer, answer)
        };
        let data = "application 9 data SendRecv";
        let (_, answer) = round("empty", &|_| {}, &[data], &[]);
        assert_eq!(answer.dtls_parameters.unwrap().role, DtlsRole::Client, "browsers choose setup:active");
        let two = |negotiator: &mut ReceiveNegotiator| {
            add(negotiator, 0, "audio/opus", "alice");
            add(negotiator, 1, "video/VP8", "alice");
        };
        let (audio, video) = ("audio 9 0 SendOnly", "video 9 1 SendOnly");
        round("two", &two, &[data, audio, video], &["0", "1"]);
        let vp9 = |negotiator: &mut ReceiveNegotiator| add(negotiator, 2, "video/VP9", "bob");
        round("vp9", &vp9, &[data, audio, video, "video 9 2 SendOnly"], &["2"]);
        // Firefox was without H264 and got VP8.
        let codec = if browser == "firefox" { "video/VP8" } else { "video/H264" };
        let third = |negotiator: &mut ReceiveNegotiator| add(negotiator, 3, codec, "bob");
        let last = "video 9 3 SendOnly";
        round("h264", &third, &[data, audio, video, "video 9 2 SendOnly", last], &["3"]);
        let remove = |negotiator: &mut ReceiveNegotiator| assert!(negotiator.remove("2"));
        round("removed", &remove, &[data, audio, video, "video 0 2 Inactive", last], &[]);
        let again = |negotiator: &mut ReceiveNegotiator| add(negotiator, 4, "video/VP8", "carol");
        let carol = "video 9 4 SendOnly";
        round("recycled", &again, &[data, audio, video, carol, last], &["4"]);
        let remove = |negotiator: &mut ReceiveNegotiator| assert!(negotiator.remove("0"));
        round("first-removed", &remove, &[data, "audio 0 0 Inactive", video, carol, last], &[]);
        let audio_again = |negotiator: &mut ReceiveNegotiator| add(negotiator, 5, "audio/opus", "dave");
        let dave = "audio 9 5 SendOnly";
        round("audio-again", &audio_again, &[data, dave, video, carol, last], &["5"]);
        let restart = |negotiator: &mut ReceiveNegotiator| {
            let mut fresh = transport(true).ice_parameters;
            fresh.username_fragment = "ufrag2".to_owned();
            negotiator.restart_ice(fresh);
        };
        let (offer, _) = round("restart", &restart, &[data, dave, video, carol, last], &[]);
        assert_eq!(offer.matches("a=ice-ufrag:ufrag2\r\n").count(), 5);
        assert!(!offer.contains("ufrag1"));
    }
}

#[test]
fn the_first_section_is_kept() {
    for browser in ["chromium", "firefox"] {
        let add = |negotiator: &mut ReceiveNegotiator, mid, mime_type: &str, stream: &str| {
            negotiator.add(consumer_for(browser, mid, mime_type, stream)).unwrap();
        };
        let mut negotiator = ReceiveNegotiator::new(transport(false));
        add(&mut negotiator, 0, "audio/opus", "alice");
        add(&mut negotiator, 1, "video/VP8", "alice");
        negotiator.offer().unwrap();
        let answer = negotiator.answer(&fixture(&format!("{browser}/session-receive-nodata-two"))).unwrap();
        assert_eq!(answer.accepted, ["0", "1"]);
        assert!(negotiator.remove("0"));
        assert!(!negotiator.remove("0"), "gone already");
        assert!(outline(&negotiator.offer().unwrap())[0].starts_with("audio 9 0 Inactive"));
    }
}

/// An answer as a browser gives it to `offer`, refusing the given mids.
fn answer_to(offer: &str, refuse: &[&str]) -> String {
    let mut answer: sfu_control::sdp::SessionDescription = offer.parse().unwrap();
    for section in &mut answer.media {
        if refuse.contains(&section.mid().unwrap()) {
            section.port = 0;
        }
    }
    answer.to_string().replace("a=sendonly", "a=recvonly").replace("a=setup:actpass", "a=setup:active")
}

#[test]
fn a_consumer_that_the_browser_refuses() {
    let mut negotiator = ReceiveNegotiator::new(transport(false));
    add(&mut negotiator, 0, "audio/opus", "alice");
    add(&mut negotiator, 1, "video/VP8", "alice");
    let offer = negotiator.offer().unwrap();
    let answer = negotiator.answer(&answer_to(&offer, &["1"])).unwrap();
    assert_eq!((answer.accepted, answer.rejected), (vec!["0".to_owned()], vec!["1".to_owned()]));
    let offer = negotiator.offer().unwrap();
    assert!(outline(&offer)[1].starts_with("video 0 1"));
    negotiator.answer(&answer_to(&offer, &[])).unwrap();
    add(&mut negotiator, 2, "video/VP8", "bob");
    assert_eq!(outline(&negotiator.offer().unwrap()).len(), 2);
}

#[test]
fn changes_while_an_offer_is_open_wait() {
    let mut negotiator = ReceiveNegotiator::new(transport(true));
    let first = negotiator.offer().unwrap();
    add(&mut negotiator, 0, "audio/opus", "alice");
    add(&mut negotiator, 1, "audio/opus", "bob");
    assert!(negotiator.remove("1"));
    assert_eq!(negotiator.offer(), None);
    assert!(negotiator.answer(&answer_to(&first, &[])).unwrap().accepted.is_empty());
    let second = negotiator.offer().unwrap();
    assert!(outline(&second)[2].starts_with("audio 0 1"));
    assert_eq!(negotiator.answer(&answer_to(&second, &[])).unwrap().accepted, ["0"]);
    assert_eq!(negotiator.offer(), None);
}

#[test]
fn sections_do_not_pile_up() {
    let mut negotiator = ReceiveNegotiator::new(transport(true));
    for round in 0..50 {
        add(&mut negotiator, 2 * round, "audio/opus", "alice");
        add(&mut negotiator, 2 * round + 1, "video/VP8", "alice");
        let offer = negotiator.offer().unwrap();
        assert_eq!(outline(&offer).len(), 3);
        assert_eq!(negotiator.answer(&answer_to(&offer, &[])).unwrap().accepted.len(), 2);
        assert!(negotiator.remove(&(2 * round).to_string()) && negotiator.remove(&(2 * round + 1).to_string()));
        let offer = negotiator.offer().unwrap();
        negotiator.answer(&answer_to(&offer, &[])).unwrap();
    }
}

#[test]
fn answers_that_do_not_fit() {
    let mut negotiator = ReceiveNegotiator::new(transport(true));
    assert_eq!(negotiator.answer("v=0"), Err(NegotiationError::NoOffer));
    add(&mut negotiator, 0, "audio/opus", "alice");
    assert_eq!(negotiator.add(consumer(0, "audio/opus", "x")), Err(NegotiationError::Mid("0".to_owned())));
    let mut nameless = consumer(1, "audio/opus", "x");
    nameless.rtp_parameters.mid = None;
    assert_eq!(negotiator.add(nameless), Err(NegotiationError::Mid(String::new())));
    let offer = negotiator.offer().unwrap();
    let good = answer_to(&offer, &[]);
    let mut error = |answer: &str| negotiator.answer(answer).unwrap_err();
    let (sections, _) = good.split_once("m=audio").unwrap();
    assert_eq!(error(sections), NegotiationError::SectionCount { expected: 2, found: 1 });
    let mismatch = NegotiationError::SectionMismatch { index: 1, expected: "0".to_owned() };
    assert_eq!(error(&good.replace("a=mid:0", "a=mid:1")), mismatch);
    assert_eq!(error(&good.replace("m=audio", "m=video")), mismatch);
    assert_eq!(error(&good.replace("a=setup:active", "a=setup:actpass")), NegotiationError::Setup("data".to_owned()));
    let stray = good.replace("SAVPF 100", "SAVPF 100 101");
    assert_eq!(error(&stray), NegotiationError::PayloadType { mid: "0".to_owned(), payload_type: 101 });
    assert!(matches!(error("hello"), NegotiationError::Parse(_)));
    negotiator.answer(&good).unwrap();

    add(&mut negotiator, 1, "audio/opus", "alice");
    let offer = negotiator.offer().unwrap();
    let other = answer_to(&offer, &[]).replace("AB:AB", "AB:AC");
    assert_eq!(negotiator.answer(&other), Err(NegotiationError::FingerprintChanged("data".to_owned())));
}

proptest! {
    #[test]
    fn mutated_answers_never_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..2, 0usize..3), 1..6),
    ) {
        let mut negotiator = ReceiveNegotiator::new(transport(true));
        add(&mut negotiator, 0, "audio/opus", "alice");
        add(&mut negotiator, 1, "video/VP8", "alice");
        negotiator.offer().unwrap();
        let text = fixture("chromium/session-receive-two");
        let mut lines: Vec<&str> = text.lines().collect();
        for (at, remove, repeat) in cuts {
            let index = at.index(lines.len());
            let line = lines[index];
            lines.splice(index..index + remove, std::iter::repeat_n(line, repeat));
        }
        if let Ok(answer) = negotiator.answer(&lines.join("\n")) {
            prop_assert_eq!(answer.accepted.len() + answer.rejected.len(), 2);
        }
        let _ = negotiator.offer();
    }
}
