//! `a=fmtp` and `a=rtpmap` from and to ORTC's codec parameters.

use sfu_channel::{MediaKind, ParameterValue, Parameters, RtcpFeedback, RtpCodecParameters};

use super::attribute::Attribute;
use super::description::MediaDescription;

/// Reads `name=value;name=value`. Whole numbers become numbers, except in `profile-level-id`, which is hexadecimal; a
/// name without value has the empty text.
pub(super) fn parse_parameters(text: &str) -> Parameters {
    let items = text.split(';').map(str::trim).filter(|item| !item.is_empty());
    let parameter = |item: &str| {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let number = value.parse::<i64>().ok().filter(|number| number.to_string() == value);
        let value = match number {
            Some(number) if name != "profile-level-id" => ParameterValue::Int(number),
            _ => ParameterValue::String(value.to_owned()),
        };
        (name, value)
    };
    items.map(parameter).collect()
}

/// Writes `name=value;name=value`.
pub(super) fn write_parameters(parameters: &Parameters) -> String {
    let items = parameters.iter().map(|(name, value)| match value {
        ParameterValue::String(text) if text.is_empty() => name.clone(),
        ParameterValue::String(text) => format!("{name}={text}"),
        ParameterValue::Int(number) => format!("{name}={number}"),
        ParameterValue::Float(number) => format!("{name}={number}"),
        ParameterValue::Bool(flag) => format!("{name}={}", u8::from(*flag)),
        ParameterValue::IntArray(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
            format!("{name}={}", numbers.join(","))
        }
    });
    items.collect::<Vec<_>>().join(";")
}

/// The codecs of a browser's section in the order of its `m=` line, with their parameters and feedback. Payload types
/// without `a=rtpmap` are left out.
///
/// Opus always has `nack`: browsers ask for lost audio again and send it again once that is negotiated, but do not
/// offer it.
pub(super) fn codecs(kind: MediaKind, section: &MediaDescription) -> Vec<RtpCodecParameters> {
    let formats = section.formats.iter().filter_map(|format| format.parse::<u8>().ok());
    formats.filter_map(|payload_type| codec(kind, section, payload_type)).collect()
}

fn codec(kind: MediaKind, section: &MediaDescription, wanted: u8) -> Option<RtpCodecParameters> {
    let mut codec = section.attributes.iter().find_map(|attribute| match attribute {
        Attribute::Rtpmap { payload_type, encoding, clock_rate, channels } if *payload_type == wanted => {
            Some(RtpCodecParameters {
                mime_type: format!("{kind}/{encoding}"),
                payload_type: wanted,
                clock_rate: *clock_rate,
                channels: channels_of(kind, encoding, *channels),
                parameters: Parameters::new(),
                rtcp_feedback: Vec::new(),
            })
        }
        _ => None,
    })?;
    for attribute in &section.attributes {
        match attribute {
            Attribute::Fmtp { payload_type, parameters } if *payload_type == wanted => {
                codec.parameters.extend(parse_parameters(parameters));
            }
            Attribute::RtcpFb { payload_type, kind, parameter } if payload_type.is_none_or(|other| other == wanted) => {
                codec.rtcp_feedback.push(RtcpFeedback::new(kind, parameter));
            }
            _ => {}
        }
    }
    let nack = RtcpFeedback::new("nack", "");
    if codec.mime_type.eq_ignore_ascii_case("audio/opus") && !codec.rtcp_feedback.contains(&nack) {
        codec.rtcp_feedback.push(nack);
    }
    Some(codec)
}

/// Opus is always written with two channels (RFC 7587 section 7); some programs leave that out.
fn channels_of(kind: MediaKind, encoding: &str, written: Option<u8>) -> Option<u8> {
    match kind {
        MediaKind::Audio if encoding.eq_ignore_ascii_case("opus") => Some(2),
        MediaKind::Audio => Some(written.unwrap_or(1)),
        MediaKind::Video => None,
    }
}

/// `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` of a codec.
pub(super) fn codec_attributes(codec: &RtpCodecParameters) -> Vec<Attribute> {
    let payload_type = codec.payload_type;
    let encoding = codec.mime_type.split_once('/').map_or("", |(_, subtype)| subtype).to_owned();
    let channels = codec.channels.filter(|&channels| channels > 1);
    let mut attributes = vec![Attribute::Rtpmap { payload_type, encoding, clock_rate: codec.clock_rate, channels }];
    if !codec.parameters.is_empty() {
        attributes.push(Attribute::Fmtp { payload_type, parameters: write_parameters(&codec.parameters) });
    }
    attributes.extend(codec.rtcp_feedback.iter().map(|feedback| Attribute::RtcpFb {
        payload_type: Some(payload_type),
        kind: feedback.kind.clone(),
        parameter: feedback.parameter.clone(),
    }));
    attributes
}

/// The kind of a section, if it carries RTP.
pub(super) fn kind_of(section: &MediaDescription) -> Option<MediaKind> {
    match section.media.as_str() {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    }
}
