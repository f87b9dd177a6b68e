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

/// Kinds of feedback that one codec has at most, and bytes that one of them has at most: browsers state seven short
/// ones. `a=rtcp-fb:*` counts for each of 128 payload types, so that what one line costs has to be bounded.
const MAX_FEEDBACK: usize = 32;
const MAX_FEEDBACK_LENGTH: usize = 64;

/// The codecs of a browser's section in the order of its `m=` line, with their parameters and feedback. Payload types
/// without `a=rtpmap` are left out, as is the second mention of a payload type.
///
/// Opus always has `nack`: browsers ask for lost audio again and send it again once that is negotiated, but do not
/// offer it.
pub(super) fn codecs(kind: MediaKind, section: &MediaDescription) -> Vec<RtpCodecParameters> {
    let mut known = known_codecs(kind, section);
    let mut of_all = Vec::new();
    for attribute in &section.attributes {
        match attribute {
            Attribute::Fmtp { payload_type, parameters } => {
                if let Some(codec) = of(&mut known, *payload_type) {
                    codec.parameters.extend(parse_parameters(parameters));
                }
            }
            Attribute::RtcpFb { payload_type: None, kind, parameter } => add_feedback(&mut of_all, kind, parameter),
            Attribute::RtcpFb { payload_type: Some(payload_type), kind, parameter } => {
                if let Some(codec) = of(&mut known, *payload_type) {
                    add_feedback(&mut codec.rtcp_feedback, kind, parameter);
                }
            }
            _ => {}
        }
    }
    let formats = section.formats.iter().filter_map(|format| format.parse::<u8>().ok());
    let codecs = formats.filter_map(|payload_type| known.get_mut(usize::from(payload_type))?.take());
    let codecs = codecs.map(|mut codec| {
        let feedback = &mut codec.rtcp_feedback;
        of_all.iter().for_each(|other| add_feedback(feedback, &other.kind, &other.parameter));
        if codec.mime_type.eq_ignore_ascii_case("audio/opus") {
            add_feedback(feedback, "nack", "");
        }
        codec
    });
    codecs.collect()
}

/// The codecs that `a=rtpmap` names, by payload type. The first of two counts.
fn known_codecs(kind: MediaKind, section: &MediaDescription) -> [Option<RtpCodecParameters>; 128] {
    let mut known = [const { None }; 128];
    for attribute in &section.attributes {
        if let Attribute::Rtpmap { payload_type, encoding, clock_rate, channels } = attribute
            && let Some(slot @ None) = known.get_mut(usize::from(*payload_type))
        {
            *slot = Some(RtpCodecParameters {
                mime_type: format!("{kind}/{encoding}"),
                payload_type: *payload_type,
                clock_rate: *clock_rate,
                channels: channels_of(kind, encoding, *channels),
                parameters: Parameters::new(),
                rtcp_feedback: Vec::new(),
            });
        }
    }
    known
}

fn of(known: &mut [Option<RtpCodecParameters>], payload_type: u8) -> Option<&mut RtpCodecParameters> {
    known.get_mut(usize::from(payload_type))?.as_mut()
}

/// Adds what is not there yet, as far as there is room for it.
fn add_feedback(all: &mut Vec<RtcpFeedback>, kind: &str, parameter: &str) {
    let fits = all.len() < MAX_FEEDBACK && kind.len() + parameter.len() <= MAX_FEEDBACK_LENGTH;
    if fits && !all.iter().any(|other| other.kind == kind && other.parameter == parameter) {
        all.push(RtcpFeedback::new(kind, parameter));
    }
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
