//! Checks what an application gave, and fills in what may be left out. What has the wrong JSON type is refused earlier,
//! where the JSON is read.

use sfu_channel::{
    MediaKind, ParameterValue, Parameters, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability,
    RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionDirection, RtpParameters,
};

use super::{OrtcError, Result};

/// Checks capabilities and normalises them: a codec's kind is that of its MIME type, audio has one channel unless it
/// says more, video has none, a header extension is `sendrecv` and not encrypted unless it says so.
pub fn validate_rtp_capabilities(capabilities: &mut RtpCapabilities) -> Result<()> {
    capabilities.codecs.iter_mut().try_for_each(validate_rtp_codec_capability)?;
    capabilities.header_extensions.iter_mut().try_for_each(validate_rtp_header_extension)
}

/// Checks one codec of capabilities, as [`validate_rtp_capabilities`] says.
pub fn validate_rtp_codec_capability(codec: &mut RtpCodecCapability) -> Result<()> {
    codec.kind = kind_of(&codec.mime_type)?;
    normalise_channels(codec.kind, &mut codec.channels);
    validate_codec_values(&codec.parameters)?;
    validate_rtcp_feedback(&codec.rtcp_feedback)
}

/// Checks one header extension of capabilities, as [`validate_rtp_capabilities`] says.
pub fn validate_rtp_header_extension(extension: &mut RtpHeaderExtension) -> Result<()> {
    if extension.kind.is_none() {
        return Err(OrtcError::MissingHeaderExtensionKind(extension.uri.clone()));
    }
    validate_uri(&extension.uri)?;
    extension.preferred_encrypt.get_or_insert(false);
    extension.direction.get_or_insert(RtpHeaderExtensionDirection::SendRecv);
    Ok(())
}

/// Checks a producer's parameters and normalises them: channels as in [`validate_rtp_capabilities`], `dtx` false and
/// RTCP's reduced size true unless they say otherwise.
pub fn validate_rtp_parameters(parameters: &mut RtpParameters) -> Result<()> {
    parameters.codecs.iter_mut().try_for_each(validate_rtp_codec_parameters)?;
    for extension in &parameters.header_extensions {
        validate_uri(&extension.uri)?;
        if let Some(key) = odd_value(&extension.parameters) {
            return Err(OrtcError::InvalidHeaderExtensionParameter(key.to_owned()));
        }
    }
    parameters.encodings.iter_mut().for_each(validate_rtp_encoding_parameters);
    validate_rtcp_parameters(&mut parameters.rtcp);
    Ok(())
}

/// Checks one codec of parameters, as [`validate_rtp_parameters`] says.
pub fn validate_rtp_codec_parameters(codec: &mut RtpCodecParameters) -> Result<()> {
    let kind = kind_of(&codec.mime_type)?;
    normalise_channels(kind, &mut codec.channels);
    validate_codec_values(&codec.parameters)?;
    validate_rtcp_feedback(&codec.rtcp_feedback)
}

/// Normalises one encoding, as [`validate_rtp_parameters`] says.
pub fn validate_rtp_encoding_parameters(encoding: &mut RtpEncodingParameters) {
    encoding.dtx.get_or_insert(false);
}

/// Normalises RTCP settings: the reduced size is always allowed.
pub fn validate_rtcp_parameters(rtcp: &mut RtcpParameters) {
    rtcp.reduced_size = Some(true);
}

fn kind_of(mime_type: &str) -> Result<MediaKind> {
    match mime_type.split_once('/') {
        Some((kind, subtype)) if !subtype.is_empty() && kind.eq_ignore_ascii_case("audio") => Ok(MediaKind::Audio),
        Some((kind, subtype)) if !subtype.is_empty() && kind.eq_ignore_ascii_case("video") => Ok(MediaKind::Video),
        _ => Err(OrtcError::InvalidMimeType(mime_type.to_owned())),
    }
}

fn normalise_channels(kind: MediaKind, channels: &mut Option<u8>) {
    *channels = match kind {
        MediaKind::Audio => Some(channels.unwrap_or(1)),
        MediaKind::Video => None,
    };
}

fn validate_codec_values(parameters: &Parameters) -> Result<()> {
    if let Some(key) = odd_value(parameters) {
        return Err(OrtcError::InvalidCodecParameter(key.to_owned()));
    }
    match parameters.get("apt") {
        None | Some(ParameterValue::Int(_)) => Ok(()),
        Some(_) => Err(OrtcError::InvalidApt),
    }
}

/// The first parameter whose value is neither a text nor a number.
fn odd_value(parameters: &Parameters) -> Option<&str> {
    let is_odd = |value: &ParameterValue| matches!(value, ParameterValue::Bool(_) | ParameterValue::IntArray(_));
    parameters.iter().find(|(_, value)| is_odd(value)).map(|(key, _)| key.as_str())
}

fn validate_rtcp_feedback(feedback: &[RtcpFeedback]) -> Result<()> {
    if feedback.iter().any(|feedback| feedback.kind.is_empty()) {
        return Err(OrtcError::MissingRtcpFeedbackType);
    }
    Ok(())
}

fn validate_uri(uri: &str) -> Result<()> {
    if uri.is_empty() { Err(OrtcError::MissingHeaderExtensionUri) } else { Ok(()) }
}
