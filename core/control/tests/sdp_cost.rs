//! What a description costs whoever reads it: no more than some times its own length, however it is made.

mod common;

use std::collections::HashMap;

use common::{router, transport};
use sfu_control::sdp::{MAX_LINES, ParseErrorReason, SendNegotiator, SessionDescription, extract_rtp_capabilities};

/// An offer of one video section with these words in its `m=` line and these attributes.
fn offer(formats: &str, attributes: &str) -> String {
    format!(
        "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\na=group:BUNDLE v\na=setup:actpass\na=fingerprint:sha-256 AB:CD\n\
         m=video 9 UDP/TLS/RTP/SAVPF{formats}\na=mid:v\na=sendonly\na=rtcp-mux\n{attributes}"
    )
}

fn repeated(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

/// The bytes of what the text says of capabilities, and of what it makes the server produce and answer.
fn size_of_results(text: &str) -> (usize, usize) {
    let description: SessionDescription = text.parse().expect("it is sound SDP");
    let capabilities = serde_json::to_string(&extract_rtp_capabilities(&description)).unwrap();
    let mut negotiator = SendNegotiator::new(transport(false), router());
    let outcome = negotiator.offer(text, &HashMap::new()).expect("it is a sound offer");
    let parameters =
        outcome.started.iter().map(|section| serde_json::to_string(&section.rtp_parameters).unwrap().len());
    (capabilities.len(), parameters.sum::<usize>() + negotiator.answer().len())
}

#[test]
fn payload_types_and_feedback_do_not_multiply() {
    let every_payload_type = repeated(128, |index| format!("a=rtpmap:{index} VP8/90000\n"));
    for lines in [500, 1000, 4000] {
        let words = repeated(lines, |index| format!(" {}", index % 128));
        let feedback = repeated(lines, |index| format!("a=rtcp-fb:* x{index}\n"));
        let (capabilities, rest) = size_of_results(&offer(&words, &format!("{every_payload_type}{feedback}")));
        // 128 codecs with 32 kinds of feedback of some 30 bytes each.
        assert!(capabilities < 128 * (32 * 30 + 200), "{lines} lines: {capabilities} bytes");
        assert!(rest < 10_000, "{lines} lines: {rest} bytes");
    }
}

#[test]
fn feedback_of_any_length_does_not_multiply() {
    let every_payload_type = repeated(128, |index| format!("a=rtpmap:{index} VP8/90000\n"));
    let words = repeated(128, |index| format!(" {index}"));
    let feedback = repeated(32, |index| format!("a=rtcp-fb:* x{index}{}\n", "y".repeat(3000)));
    let text = offer(&words, &format!("{every_payload_type}{feedback}"));
    let (capabilities, _) = size_of_results(&text);
    assert!(capabilities < text.len(), "{capabilities} bytes from {}", text.len());
}

#[test]
fn a_payload_type_counts_once() {
    let text = offer(
        " 96 97 96 97",
        "a=rtpmap:96 VP8/90000\na=rtpmap:96 VP9/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n\
        a=rtcp-fb:96 nack pli\na=rtcp-fb:* nack pli\na=rtcp-fb:* goog-remb\na=rtcp-fb:96 nack pli\n",
    );
    let capabilities = extract_rtp_capabilities(&text.parse().unwrap());
    let [vp8, rtx] = capabilities.codecs.as_slice() else { panic!("two codecs: {:?}", capabilities.codecs) };
    assert_eq!((vp8.mime_type.as_str(), rtx.mime_type.as_str()), ("video/VP8", "video/rtx"));
    let kinds: Vec<_> = vp8.rtcp_feedback.iter().map(|f| (f.kind.as_str(), f.parameter.as_str())).collect();
    assert_eq!(kinds, [("nack", "pli"), ("goog-remb", "")]);
}

#[test]
fn the_lines_of_a_description_are_bounded() {
    let text = offer(" 96", "");
    let attributes = |lines: usize| "a=x\n".repeat(lines - text.lines().count());
    assert!(format!("{text}{}", attributes(MAX_LINES)).parse::<SessionDescription>().is_ok());
    let error = format!("{text}{}", attributes(MAX_LINES + 1)).parse::<SessionDescription>().unwrap_err();
    assert_eq!((error.line, error.reason), (MAX_LINES + 1, ParseErrorReason::TooManyLines));
}
