//! What a router can be made to route: the codecs, feedback and header extensions of mediasoup 3.12.16.

use sfu_channel::{
    MediaKind, ParameterValue, RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpHeaderExtension,
    RtpHeaderExtensionDirection,
};

/// RTCP feedback as type and parameter.
type Feedback = &'static [(&'static str, &'static str)];

const VIDEO_FEEDBACK: Feedback =
    &[("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("goog-remb", ""), ("transport-cc", "")];
const OPUS_FEEDBACK: Feedback = &[("nack", ""), ("transport-cc", "")];
const AUDIO_FEEDBACK: Feedback = &[("transport-cc", "")];

/// Audio codecs of one channel: name, static payload type (RFC 3551) if it has one, clock rate, feedback.
const MONO_CODECS: &[(&str, Option<u8>, u32, Feedback)] = &[
    ("PCMU", Some(0), 8000, AUDIO_FEEDBACK),
    ("PCMA", Some(8), 8000, AUDIO_FEEDBACK),
    ("ISAC", None, 32000, AUDIO_FEEDBACK),
    ("ISAC", None, 16000, AUDIO_FEEDBACK),
    ("G722", Some(9), 8000, AUDIO_FEEDBACK),
    ("iLBC", None, 8000, AUDIO_FEEDBACK),
    ("SILK", None, 24000, AUDIO_FEEDBACK),
    ("SILK", None, 16000, AUDIO_FEEDBACK),
    ("SILK", None, 12000, AUDIO_FEEDBACK),
    ("SILK", None, 8000, AUDIO_FEEDBACK),
    ("CN", Some(13), 32000, &[]),
    ("CN", Some(13), 16000, &[]),
    ("CN", Some(13), 8000, &[]),
    ("telephone-event", None, 48000, &[]),
    ("telephone-event", None, 32000, &[]),
    ("telephone-event", None, 16000, &[]),
    ("telephone-event", None, 8000, &[]),
];

/// Opus of more than two channels: channels, their mapping, streams, coupled streams.
const MULTIOPUS: &[(u8, &str, i64, i64)] =
    &[(4, "0,1,2,3", 2, 2), (6, "0,4,1,2,3,5", 4, 2), (8, "0,6,1,2,3,4,5,7", 5, 3)];

/// Video codecs, and whether levels may differ between the directions (H264 and its kin).
const VIDEO_CODECS: &[(&str, bool)] =
    &[("VP8", false), ("VP9", false), ("H264", true), ("H264-SVC", true), ("H265", true)];

/// Header extensions: URI, id, direction for audio, direction for video.
const HEADER_EXTENSIONS: &[(&str, u8, Option<RtpHeaderExtensionDirection>, Option<RtpHeaderExtensionDirection>)] = {
    use RtpHeaderExtensionDirection::{RecvOnly, SendRecv};
    &[
        (super::MID_URI, 1, Some(SendRecv), Some(SendRecv)),
        ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", 2, None, Some(RecvOnly)),
        ("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", 3, None, Some(RecvOnly)),
        (super::ABS_SEND_TIME_URI, 4, Some(SendRecv), Some(SendRecv)),
        // Browsers count audio into their estimate, but audio is never sent with it.
        (super::TRANSPORT_CC_URI, 5, Some(RecvOnly), Some(SendRecv)),
        ("http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07", 6, None, Some(SendRecv)),
        ("urn:ietf:params:rtp-hdrext:framemarking", 7, None, Some(SendRecv)),
        ("urn:ietf:params:rtp-hdrext:ssrc-audio-level", 10, Some(SendRecv), None),
        ("urn:3gpp:video-orientation", 11, None, Some(SendRecv)),
        ("urn:ietf:params:rtp-hdrext:toffset", 12, None, Some(SendRecv)),
        ("http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", 13, Some(SendRecv), Some(SendRecv)),
    ]
};

/// Everything that a router can be made with. Directions are the router's: `recvonly` is read from producers, but not sent to consumers.
pub fn supported_rtp_capabilities() -> RtpCapabilities {
    let mut codecs = vec![codec(MediaKind::Audio, "opus", 48000, OPUS_FEEDBACK)];
    codecs[0].channels = Some(2);
    codecs.extend(MULTIOPUS.iter().map(|&(channels, mapping, streams, coupled)| {
        let mut multiopus = codec(MediaKind::Audio, "multiopus", 48000, OPUS_FEEDBACK);
        multiopus.channels = Some(channels);
        multiopus.parameters.insert("channel_mapping".into(), mapping.into());
        multiopus.parameters.insert("num_streams".into(), streams.into());
        multiopus.parameters.insert("coupled_streams".into(), coupled.into());
        multiopus
    }));
    codecs.extend(MONO_CODECS.iter().map(|&(name, preferred_payload_type, clock_rate, feedback)| {
        let codec = codec(MediaKind::Audio, name, clock_rate, feedback);
        RtpCodecCapability { preferred_payload_type, channels: Some(1), ..codec }
    }));
    codecs.extend(VIDEO_CODECS.iter().map(|&(name, has_levels)| {
        let mut codec = codec(MediaKind::Video, name, 90000, VIDEO_FEEDBACK);
        if has_levels {
            codec.parameters.insert("level-asymmetry-allowed".into(), ParameterValue::Int(1));
        }
        codec
    }));
    RtpCapabilities { codecs, header_extensions: header_extensions() }
}

fn codec(kind: MediaKind, name: &str, clock_rate: u32, feedback: Feedback) -> RtpCodecCapability {
    RtpCodecCapability {
        kind,
        mime_type: format!("{kind}/{name}"),
        preferred_payload_type: None,
        clock_rate,
        channels: None,
        parameters: Default::default(),
        rtcp_feedback: feedback.iter().map(|(kind, parameter)| RtcpFeedback::new(kind, parameter)).collect(),
    }
}

fn header_extensions() -> Vec<RtpHeaderExtension> {
    let of_kinds = HEADER_EXTENSIONS.iter().flat_map(|&(uri, preferred_id, audio, video)| {
        [(MediaKind::Audio, audio), (MediaKind::Video, video)].into_iter().filter_map(move |(kind, direction)| {
            Some(RtpHeaderExtension {
                kind: Some(kind),
                uri: uri.to_owned(),
                preferred_id,
                preferred_encrypt: Some(false),
                direction: Some(direction?),
            })
        })
    });
    of_kinds.collect()
}
