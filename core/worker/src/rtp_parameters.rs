//! What the worker demands of RTP parameters, and what it fills in.
//!
//! The library has negotiated them already; here they are checked once more, because the media path relies on them:
//! payload types are unique, each encoding names a media codec, and each RTX codec repeats one.

use sfu_channel::{
    MAX_ENCODINGS, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionParameters, RtpParameters, RtpType,
    ScalabilityMode,
};
use sfu_proto::codec::{Codec, MimeType, UnknownMimeType};
use sfu_proto::rtp::{ExtensionIds, ExtensionKind};

use sfu_channel::response::Refusal;

/// Brings the parameters into the form in which they are kept and dumped: canonical MIME types, a codec for each
/// encoding, layers spelt out.
///
/// # Errors
/// A `TypeError` that names what is wrong.
pub fn normalize(parameters: &mut RtpParameters) -> Result<(), Refusal> {
    if parameters.mid.as_deref() == Some("") {
        return Err(Refusal::type_error("empty mid"));
    }
    if parameters.codecs.is_empty() {
        return Err(Refusal::type_error("empty codecs"));
    }
    if parameters.encodings.is_empty() {
        return Err(Refusal::type_error("empty encodings"));
    }
    // Each costs streams of its own, and is compared with all others of its transport.
    if parameters.encodings.len() > MAX_ENCODINGS {
        return Err(Refusal::type_error(format!("more than {MAX_ENCODINGS} encodings")));
    }
    for codec in &mut parameters.codecs {
        normalize_codec(codec)?;
    }
    check_payload_types(&parameters.codecs)?;
    for extension in &parameters.header_extensions {
        if extension.id == 0 {
            return Err(Refusal::type_error("RTP extension id cannot be 0"));
        }
    }
    let first = parameters
        .codecs
        .iter()
        .find(|codec| is_media(codec))
        .map(|codec| codec.payload_type)
        .ok_or_else(|| Refusal::type_error("no media codecs found"))?;
    let several = parameters.encodings.len() > 1;
    for encoding in &mut parameters.encodings {
        normalize_encoding(encoding);
        if several && encoding.spatial_layers.is_some_and(|layers| layers > 1) {
            return Err(Refusal::type_error(
                "cannot use both simulcast and encodings with multiple SVC spatial layers",
            ));
        }
        match encoding.codec_payload_type {
            None => encoding.codec_payload_type = Some(first),
            Some(payload_type) => match parameters.codecs.iter().find(|codec| codec.payload_type == payload_type) {
                Some(codec) if is_media(codec) => {}
                Some(_) => return Err(Refusal::type_error("invalid codecPayloadType")),
                None => return Err(Refusal::type_error("unknown codecPayloadType")),
            },
        }
    }
    if parameters.rtcp != Default::default() {
        parameters.rtcp.reduced_size.get_or_insert(true);
    }
    // They are kept, and reading them has left room for more.
    parameters.codecs.shrink_to_fit();
    parameters.header_extensions.shrink_to_fit();
    parameters.encodings.shrink_to_fit();
    Ok(())
}

fn normalize_codec(codec: &mut RtpCodecParameters) -> Result<(), Refusal> {
    let mime_type: MimeType = codec
        .mime_type
        .parse()
        .map_err(|error: UnknownMimeType| Refusal::type_error(format!("wrong mimeType: {error}")))?;
    codec.mime_type = mime_type.to_string();
    codec.channels = codec.channels.filter(|channels| *channels > 1);
    codec.rtcp_feedback.shrink_to_fit();
    if codec.payload_type > 127 {
        return Err(Refusal::type_error(format!("invalid payloadType {}", codec.payload_type)));
    }
    if codec.clock_rate == 0 {
        return Err(Refusal::type_error("invalid clockRate 0"));
    }
    if codec.is_rtx() && codec.apt().is_none() {
        return Err(Refusal::type_error("missing apt parameter in RTX codec"));
    }
    Ok(())
}

fn check_payload_types(codecs: &[RtpCodecParameters]) -> Result<(), Refusal> {
    for (index, codec) in codecs.iter().enumerate() {
        if codecs[..index].iter().any(|earlier| earlier.payload_type == codec.payload_type) {
            return Err(Refusal::type_error("duplicated payloadType"));
        }
        if !codec.is_rtx() {
            continue;
        }
        match codecs.iter().find(|target| Some(target.payload_type) == codec.apt()) {
            None => return Err(Refusal::type_error("apt in RTX codec points to a non existing codec")),
            Some(target) if is_feature(target) => {
                return Err(Refusal::type_error(format!("apt in RTX codec points to {}", target.mime_type)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Leaves out what stands for nothing, and spells the layers out.
pub fn normalize_encoding(encoding: &mut RtpEncodingParameters) {
    encoding.ssrc = encoding.ssrc.filter(|ssrc| *ssrc != 0);
    encoding.rid = encoding.rid.take().filter(|rid| !rid.is_empty());
    encoding.dtx = encoding.dtx.filter(|dtx| *dtx);
    let layers = encoding.scalability_mode.as_deref().map(ScalabilityMode::parse);
    encoding.spatial_layers = layers.map(|layers| layers.spatial_layers);
    encoding.temporal_layers = layers.map(|layers| layers.temporal_layers);
    encoding.ksvc = layers.map(|layers| layers.ksvc);
}

/// The type of a producer with these (normalized) parameters.
///
/// # Errors
/// A `TypeError` if the codec cannot be sent in such encodings.
pub fn producer_type(parameters: &RtpParameters) -> Result<RtpType, Refusal> {
    let Some(encoding) = parameters.encodings.first() else {
        return Err(Refusal::type_error("empty encodings"));
    };
    let codec = media_codec(&parameters.codecs, encoding).and_then(mime_type).map(|mime_type| mime_type.codec);
    let simulcast = codec.is_some_and(can_simulcast);
    let svc = codec.is_some_and(can_svc);
    let layered = encoding.spatial_layers.unwrap_or(1) > 1 || encoding.temporal_layers.unwrap_or(1) > 1;
    match (parameters.encodings.len(), layered) {
        (1, false) => Ok(RtpType::Simple),
        (1, true) if svc => Ok(RtpType::Svc),
        _ if simulcast => Ok(RtpType::Simulcast),
        _ => Err(Refusal::type_error(format!("{codec:?} codec not supported for simulcast"))),
    }
}

/// Whether several encodings of a codec, or temporal layers of a codec without [SVC](can_svc), can be chosen from.
/// (mediasoup 3.12 does so with VP8 and H.264 only.)
pub fn can_simulcast(codec: Codec) -> bool {
    matches!(codec, Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::Av1)
}

/// Whether layers within one stream of a codec can be chosen from. (mediasoup 3.12 has no AV1.)
pub fn can_svc(codec: Codec) -> bool {
    matches!(codec, Codec::Vp9 | Codec::H264Svc | Codec::Av1)
}

/// The media codec of an encoding, of these (normalized) codecs.
pub fn media_codec<'a>(
    codecs: &'a [RtpCodecParameters],
    encoding: &RtpEncodingParameters,
) -> Option<&'a RtpCodecParameters> {
    codecs.iter().find(|codec| Some(codec.payload_type) == encoding.codec_payload_type)
}

/// The RTX codec that repeats the codec of an encoding, if there is one.
pub fn rtx_codec<'a>(
    codecs: &'a [RtpCodecParameters],
    encoding: &RtpEncodingParameters,
) -> Option<&'a RtpCodecParameters> {
    codecs.iter().find(|codec| codec.is_rtx() && codec.apt() == encoding.codec_payload_type)
}

/// The MIME type of a normalized codec.
pub fn mime_type(codec: &RtpCodecParameters) -> Option<MimeType> {
    codec.mime_type.parse().ok()
}

/// Whether a codec carries media itself.
pub fn is_media(codec: &RtpCodecParameters) -> bool {
    mime_type(codec).is_some_and(|mime_type| mime_type.is_media_codec())
}

fn is_feature(codec: &RtpCodecParameters) -> bool {
    mime_type(codec).is_some_and(|mime_type| mime_type.is_feature_codec())
}

/// Whether the codec has this feedback (`parameter` empty for none).
pub fn has_feedback(codec: &RtpCodecParameters, kind: &str, parameter: &str) -> bool {
    codec.rtcp_feedback.iter().any(|feedback| feedback.kind == kind && feedback.parameter == parameter)
}

/// The ids of the header extensions that the worker knows; of two with one meaning, the first counts.
pub fn extension_ids(extensions: &[RtpHeaderExtensionParameters]) -> ExtensionIds {
    let mut ids = ExtensionIds::new();
    for extension in extensions {
        if let Ok(kind) = extension.uri.parse::<ExtensionKind>()
            && ids.id(kind).is_none()
            && ids.kind(extension.id).is_none()
        {
            ids.set(kind, extension.id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(json: serde_json::Value) -> RtpParameters {
        serde_json::from_value(json).expect("well-formed")
    }

    fn video(encodings: serde_json::Value) -> RtpParameters {
        parameters(serde_json::json!({
            "mid": "0",
            "codecs": [
                {"mimeType": "Video/vp8", "payloadType": 96, "clockRate": 90000, "channels": 1},
                {"mimeType": "video/RTX", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 96}},
            ],
            "encodings": encodings,
        }))
    }

    #[test]
    fn a_normal_form() {
        let mut p = video(serde_json::json!([{"ssrc": 1, "dtx": false, "scalabilityMode": "L1T3"}]));
        normalize(&mut p).unwrap();
        assert_eq!(p.codecs[0].mime_type, "video/VP8");
        assert_eq!(p.codecs[0].channels, None);
        assert_eq!(p.codecs[1].mime_type, "video/rtx");
        assert_eq!(p.encodings[0].codec_payload_type, Some(96));
        assert_eq!(
            (p.encodings[0].spatial_layers, p.encodings[0].temporal_layers, p.encodings[0].dtx),
            (Some(1), Some(3), None)
        );
        assert_eq!(producer_type(&p), Ok(RtpType::Simulcast));
    }

    #[test]
    fn types() {
        let of = |encodings| {
            let mut p = video(encodings);
            normalize(&mut p).unwrap();
            producer_type(&p).unwrap()
        };
        assert_eq!(of(serde_json::json!([{"ssrc": 1}])), RtpType::Simple);
        assert_eq!(of(serde_json::json!([{"rid": "a"}, {"rid": "b"}])), RtpType::Simulcast);
    }

    #[test]
    fn the_number_of_encodings_is_bounded() {
        let with = |count: usize| {
            let rids = (0..count).map(|index| serde_json::json!({"rid": format!("r{index}")}));
            normalize(&mut video(rids.collect()))
        };
        assert_eq!(with(MAX_ENCODINGS), Ok(()));
        let error = with(MAX_ENCODINGS + 1).expect_err("too many");
        assert_eq!(error.class, sfu_channel::response::ErrorClass::TypeError);
        assert!(error.reason.contains("encodings"), "{error}");
    }

    #[test]
    fn wrong_parameters_are_type_errors() {
        let cases = [
            (serde_json::json!({"codecs": [], "encodings": [{"ssrc": 1}]}), "empty codecs"),
            (
                serde_json::json!({"codecs": [{"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000}], "encodings": []}),
                "empty encodings",
            ),
            (
                serde_json::json!({"codecs": [{"mimeType": "chicken/VP8", "payloadType": 96, "clockRate": 90000}], "encodings": [{}]}),
                "chicken",
            ),
            (
                serde_json::json!({"codecs": [{"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000}], "encodings": [{}]}),
                "apt",
            ),
            (
                serde_json::json!({"codecs": [
                    {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000},
                    {"mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": {"apt": 111}},
                ], "encodings": [{}]}),
                "non existing",
            ),
            (
                serde_json::json!({"codecs": [
                    {"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000},
                    {"mimeType": "video/VP9", "payloadType": 96, "clockRate": 90000},
                ], "encodings": [{}]}),
                "duplicated",
            ),
            (
                serde_json::json!({"codecs": [{"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000}],
                    "encodings": [{"codecPayloadType": 1}]}),
                "codecPayloadType",
            ),
            (
                serde_json::json!({"codecs": [{"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000}],
                    "encodings": [{}], "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 0}]}),
                "extension id",
            ),
        ];
        for (json, named) in cases {
            let error = normalize(&mut parameters(json)).expect_err(named);
            assert!(error.reason.contains(named), "{named}: {error}");
            assert_eq!(error.class, sfu_channel::response::ErrorClass::TypeError);
        }
    }
}
