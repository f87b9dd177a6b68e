//! SDP as text and as a tree.

mod common;

use common::{fixture, fixtures, parse};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sfu_control::sdp::{
    Attribute, Candidate, Direction, MediaDescription, Origin, ParseErrorReason, RidDirection, SessionDescription,
    Setup, SimulcastRid, SimulcastStream,
};

#[test]
fn every_captured_description_survives_a_round_trip() {
    for (name, text) in fixtures() {
        let description: SessionDescription = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let written = description.to_string();
        assert_eq!(written.parse::<SessionDescription>().unwrap(), description, "{name}");
        // Nothing is lost or reordered; Firefox alone writes transports in capitals.
        let lines = |text: &str| text.lines().map(|line| line.trim_end().to_lowercase()).collect::<Vec<_>>();
        let (mut before, mut after) = (lines(&text), lines(&written));
        before.sort();
        after.sort();
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn what_browsers_write_is_understood() {
    let known = ["rtcp", "msid-semantic", "rtcp-xr", "sctpmap"];
    for (name, text) in fixtures() {
        let description: SessionDescription = text.parse().unwrap();
        let sections = description.media.iter().flat_map(|section| &section.attributes);
        for attribute in description.attributes.iter().chain(sections) {
            if let Attribute::Other { name: other, .. } = attribute {
                assert!(known.contains(&other.as_str()), "{name}: {attribute}");
            }
        }
    }
}

#[test]
fn a_simulcast_offer_in_detail() {
    let description = parse("chromium/send-simulcast");
    assert_eq!(description.bundle(), ["0"]);
    assert!(description.attributes.contains(&Attribute::ExtmapAllowMixed));
    let section = description.section("0").unwrap();
    assert_eq!((section.media.as_str(), section.port, section.direction()), ("video", 9, Direction::SendOnly));
    assert_eq!(section.formats.first().map(String::as_str), Some("96"));
    let has = |text: &str| section.attributes.contains(&Attribute::parse(text).unwrap());
    assert!(has("setup:actpass") && has("rtcp-mux") && has("rtcp-rsize"));
    assert!(section.attributes.contains(&Attribute::Fmtp { payload_type: 97, parameters: "apt=96".into() }));
    assert!(section.attributes.contains(&Attribute::RtcpFb {
        payload_type: Some(96),
        kind: "nack".into(),
        parameter: "pli".into()
    }));
    assert!(section.attributes.contains(&Attribute::Extmap {
        id: 10,
        direction: None,
        uri: "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id".into(),
        attributes: None
    }));
    let stream = |id: &str| SimulcastStream { alternatives: vec![SimulcastRid { id: id.into(), paused: false }] };
    let send = vec![stream("r0"), stream("r1"), stream("r2")];
    assert!(section.attributes.contains(&Attribute::Simulcast { send, recv: vec![] }));
}

#[test]
fn candidates_of_a_browser() {
    let description = parse("chromium/send-data-gathered");
    let candidates: Vec<&Candidate> = description.media[0].candidates().collect();
    assert!(candidates.iter().any(|candidate| candidate.transport == "udp" && candidate.kind == "host"));
    let tcp = candidates.iter().find(|candidate| candidate.transport == "tcp").unwrap();
    assert_eq!(tcp.port, 9);
    assert_eq!(tcp.extensions[0], ("tcptype".to_owned(), "active".to_owned()));
    let hidden = "1 1 udp 2113937151 0c8a.local 50000 typ host generation 0 network-cost 999";
    assert_eq!(Candidate::parse(hidden).unwrap().address, "0c8a.local");
}

#[test]
fn other_spellings() {
    let section = |attributes: &str| -> MediaDescription {
        let text = format!("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\nm=video 0/2 RTP/AVP 96\n{attributes}\n\n");
        text.parse::<SessionDescription>().unwrap().media.remove(0)
    };
    assert_eq!(section("a=mid:x").port, 0);
    assert!(!section("a=mid:x").is_live());
    assert!(section("a=bundle-only").is_live(), "RFC 9143 section 6: port 0 and bundle-only is not rejected");
    assert_eq!(section("b=AS:500\na=inactive ").direction(), Direction::Inactive);
    assert_eq!(section("b=TIAS:5").bandwidths, [("TIAS".to_owned(), 5)]);
    let feedback = Attribute::RtcpFb { payload_type: None, kind: "ccm".into(), parameter: "tmmbr smaxpr=120".into() };
    assert_eq!(section("a=rtcp-fb:* ccm tmmbr smaxpr=120").attributes, [feedback]);
    let paused = section("a=simulcast:recv ~a,b;c send d").attributes.remove(0);
    assert_eq!(paused.to_string(), "simulcast:send d recv ~a,b;c");
    let fingerprint = section("a=fingerprint:SHA-256 ab:CD").attributes.remove(0);
    assert_eq!(fingerprint.to_string(), "fingerprint:sha-256 AB:CD");
}

#[test]
fn errors_name_the_line() {
    let start = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let reason = |rest: &str| {
        let error = format!("{start}{rest}\r\n").parse::<SessionDescription>().unwrap_err();
        assert_eq!(error.line, 4 + rest.lines().count(), "{rest}");
        assert_eq!(error.text, rest.lines().last().unwrap());
        error.reason
    };
    assert_eq!(reason("m=audio x UDP 1"), ParseErrorReason::Media);
    assert_eq!(reason("m=audio 70000 UDP 1"), ParseErrorReason::Media);
    assert_eq!(reason("m=audio 9"), ParseErrorReason::Media);
    assert_eq!(reason("b=AS:fast"), ParseErrorReason::Bandwidth);
    assert_eq!(reason("t=0"), ParseErrorReason::Timing);
    assert_eq!(reason("o=- a b"), ParseErrorReason::Origin);
    assert_eq!(reason("hello"), ParseErrorReason::NotALine);
    assert_eq!(reason("aa=b"), ParseErrorReason::NotALine);
    // Nothing may become another line in somebody else's offer.
    for control in ["a=ssrc:1 cname:x\ra=inactive", "a=fmtp:96 x=\u{0}", "s=\u{b}", "s=\u{85}"] {
        assert_eq!(reason(control), ParseErrorReason::ControlCharacter, "{control:?}");
    }
    for attribute in [
        "a=",
        "a=mid:",
        "a=mid:a b",
        "a=setup:maybe",
        "a=rtpmap:128 VP8/90000",
        "a=rtpmap:96 VP8",
        "a=rtpmap:96",
        "a=fmtp:x a=b",
        "a=rtcp-fb:96",
        "a=extmap:0 urn:x",
        "a=extmap:256 urn:x",
        "a=extmap:1/sideways urn:x",
        "a=extmap:1",
        "a=ssrc:4294967296 cname:x",
        "a=ssrc:-1 cname:x",
        "a=ssrc:1",
        "a=ssrc-group:FID 1 x",
        "a=rid:r0",
        "a=rid:r0 both",
        "a=simulcast:send",
        "a=simulcast:send a send b",
        "a=candidate:1 1 udp 1 127.0.0.1 9",
        "a=candidate:1 1 udp 1 127.0.0.1 9 host typ",
        "a=fingerprint:sha-256 AB:C",
        "a=sctp-port:70000",
    ] {
        assert!(
            matches!(reason(&format!("m=video 9 UDP 96\n{attribute}")), ParseErrorReason::Attribute(_)),
            "{attribute}"
        );
    }
    let error = "m=audio 9 UDP 1".parse::<SessionDescription>().unwrap_err();
    assert_eq!(error.to_string(), "SDP line 1, `m=audio 9 UDP 1`: expected `v=0` as the first line");
    assert_eq!("".parse::<SessionDescription>().unwrap_err().reason, ParseErrorReason::Version);
    assert_eq!("v=0".parse::<SessionDescription>().unwrap_err().reason, ParseErrorReason::MissingOrigin);
    let many = "m=audio 9 UDP 1\n".repeat(1025);
    let error = format!("{start}{many}").parse::<SessionDescription>().unwrap_err();
    assert_eq!((error.line, error.reason), (4 + 1025, ParseErrorReason::TooManySections));
}

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9-]{0,8}"
}

fn direction() -> impl Strategy<Value = Direction> {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    prop_oneof![Just(SendRecv), Just(SendOnly), Just(RecvOnly), Just(Inactive)]
}

fn simulcast() -> impl Strategy<Value = Vec<SimulcastStream>> {
    let rid = (token(), any::<bool>()).prop_map(|(id, paused)| SimulcastRid { id, paused });
    vec(vec(rid, 1..3).prop_map(|alternatives| SimulcastStream { alternatives }), 1..4)
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let fields = (token(), 1u16..3, any::<u32>(), any::<u16>(), vec((token(), token()), 0..3));
    (fields, "(udp|tcp)", "[0-9a-f:.]{3,20}", "(host|srflx|relay)").prop_map(
        |((foundation, component, priority, port, extensions), transport, address, kind)| Candidate {
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            kind,
            extensions,
        },
    )
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let flag = prop_oneof![
        Just(Attribute::ExtmapAllowMixed),
        Just(Attribute::IceLite),
        Just(Attribute::RtcpMux),
        Just(Attribute::RtcpMuxOnly),
        Just(Attribute::RtcpRsize),
        Just(Attribute::BundleOnly),
        Just(Attribute::EndOfCandidates),
        Just(Attribute::Setup(Setup::Active)),
        Just(Attribute::Setup(Setup::HoldConn)),
        direction().prop_map(Attribute::Direction),
    ];
    let named = prop_oneof![
        (token(), vec(token(), 0..4)).prop_map(|(semantics, mids)| Attribute::Group { semantics, mids }),
        vec(token(), 1..3).prop_map(Attribute::IceOptions),
        token().prop_map(Attribute::IceUfrag),
        token().prop_map(Attribute::IcePwd),
        token().prop_map(Attribute::Mid),
        "[0-9A-F]{2}(:[0-9A-F]{2}){0,31}"
            .prop_map(|value| Attribute::Fingerprint { algorithm: "sha-256".into(), value }),
        candidate().prop_map(Attribute::Candidate),
        any::<u16>().prop_map(Attribute::SctpPort),
        any::<u64>().prop_map(Attribute::MaxMessageSize),
        (token(), option::of(token())).prop_map(|(stream, track)| Attribute::Msid { stream, track }),
        ("x-[a-z]{1,8}", option::of("[ -~]{0,20}")).prop_map(|(name, value)| Attribute::Other { name, value }),
    ];
    let rtp = prop_oneof![
        (0u8..128, token(), any::<u32>(), option::of(1u8..9)).prop_map(
            |(payload_type, encoding, clock_rate, channels)| Attribute::Rtpmap {
                payload_type,
                encoding,
                clock_rate,
                channels
            }
        ),
        (0u8..128, "([a-z]{1,8}=[a-z0-9]{1,8}(;[a-z]{1,8}=[a-z0-9]{1,8}){0,3})?")
            .prop_map(|(payload_type, parameters)| Attribute::Fmtp { payload_type, parameters }),
        (option::of(0u8..128), token(), "([a-z]{1,8}( [a-z]{1,8})?)?")
            .prop_map(|(payload_type, kind, parameter)| Attribute::RtcpFb { payload_type, kind, parameter }),
        (1u8.., option::of(direction()), "[a-z:/#.-]{1,30}", option::of(token()))
            .prop_map(|(id, direction, uri, attributes)| Attribute::Extmap { id, direction, uri, attributes }),
        (any::<u32>(), token(), option::of("[!-~]([ -~]{0,10}[!-~])?"))
            .prop_map(|(ssrc, attribute, value)| Attribute::Ssrc { ssrc, attribute, value }),
        (token(), vec(any::<u32>(), 0..4)).prop_map(|(semantics, ssrcs)| Attribute::SsrcGroup { semantics, ssrcs }),
        (token(), any::<bool>(), option::of("[a-z]{1,6}=[0-9]{1,4}")).prop_map(|(id, send, restrictions)| {
            let direction = if send { RidDirection::Send } else { RidDirection::Recv };
            Attribute::Rid { id, direction, restrictions }
        }),
        simulcast().prop_map(|send| Attribute::Simulcast { send, recv: vec![] }),
        (simulcast(), simulcast()).prop_map(|(send, recv)| Attribute::Simulcast { send, recv }),
    ];
    prop_oneof![flag, named, rtp]
}

fn media() -> impl Strategy<Value = MediaDescription> {
    let line = (token(), any::<u16>(), "[A-Z]{1,4}(/[A-Z]{1,5}){0,3}", vec(token(), 0..5));
    let connection = option::of("IN IP4 [0-9.]{7,12}");
    (line, connection, vec((token(), any::<u64>()), 0..2), vec(attribute(), 0..12)).prop_map(
        |((media, port, protocol, formats), connection, bandwidths, attributes)| MediaDescription {
            media,
            port,
            protocol,
            formats,
            connection,
            bandwidths,
            attributes,
        },
    )
}

fn description() -> impl Strategy<Value = SessionDescription> {
    let origin = (token(), any::<u64>(), any::<u64>()).prop_map(|(username, session_id, session_version)| Origin {
        username,
        session_id,
        session_version,
        address: "IN IP4 0.0.0.0".to_owned(),
    });
    let head = (origin, "[!-~]{1,10}", any::<(u64, u64)>(), option::of("IN IP6 [0-9a-f:]{2,12}"));
    (head, vec(attribute(), 0..6), vec(media(), 0..4)).prop_map(
        |((origin, session_name, timing, connection), attributes, media)| SessionDescription {
            origin,
            session_name,
            timing,
            connection,
            attributes,
            media,
        },
    )
}

proptest! {
    #[test]
    fn any_tree_survives_a_round_trip(description in description()) {
        prop_assert_eq!(description.to_string().parse::<SessionDescription>().unwrap(), description);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*", lines in vec("[vosctmbaxk]=\\PC{0,40}", 0..20)) {
        let _ = text.parse::<SessionDescription>();
        let _ = format!("v=0\n{}", lines.join("\n")).parse::<SessionDescription>();
    }

    #[test]
    fn any_attribute_is_read_or_refused(
        name in "(group|fingerprint|setup|rtpmap|fmtp|rtcp-fb|extmap|ssrc|ssrc-group|msid|rid|simulcast|candidate|mid)",
        value in "[ -~é]{0,40}",
    ) {
        let text = format!("{name}:{value}");
        if let Ok(attribute) = Attribute::parse(&text) {
            prop_assert_eq!(Attribute::parse(&attribute.to_string()), Ok(attribute));
        }
    }

    #[test]
    fn mutated_captures_are_read_or_refused(
        capture in any::<prop::sample::Index>(),
        cuts in vec((any::<prop::sample::Index>(), 0usize..40, "[ -~\\r\\n]{0,6}"), 1..8),
    ) {
        let names = ["chromium/send-simulcast", "chromium/send-data-gathered", "firefox/session-send-simulcast"];
        let mut text = fixture(names[capture.index(names.len())]).into_bytes();
        for (at, length, insert) in cuts {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, insert.bytes());
        }
        if let Ok(description) = String::from_utf8_lossy(&text).parse::<SessionDescription>() {
            prop_assert_eq!(description.to_string().parse::<SessionDescription>(), Ok(description));
        }
    }
}
