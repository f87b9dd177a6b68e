//! Whether two codecs are the same one.

use sfu_channel::{ParameterValue, Parameters, RtpCodecCapability, RtpCodecParameters};

use super::h264;

/// What codecs in capabilities and in parameters have in common.
#[derive(Clone, Copy)]
pub(crate) struct Codec<'a> {
    mime_type: &'a str,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: &'a Parameters,
}

impl<'a> From<&'a RtpCodecCapability> for Codec<'a> {
    fn from(codec: &'a RtpCodecCapability) -> Self {
        Self {
            mime_type: &codec.mime_type,
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            parameters: &codec.parameters,
        }
    }
}

impl<'a> From<&'a RtpCodecParameters> for Codec<'a> {
    fn from(codec: &'a RtpCodecParameters) -> Self {
        Self {
            mime_type: &codec.mime_type,
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            parameters: &codec.parameters,
        }
    }
}

/// Whether profiles count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// H264 and VP9 match whatever their profile.
    Lax,
    /// Profile and packetization mode must be the same.
    Strict,
}

/// Whether `a` and `b` are the same codec: MIME type, clock rate, channels, multiopus's streams; and if `strict`, profiles.
pub(crate) fn match_codecs(a: Codec<'_>, b: Codec<'_>, strictness: Strictness) -> bool {
    if !a.mime_type.eq_ignore_ascii_case(b.mime_type) || a.clock_rate != b.clock_rate || a.channels != b.channels {
        return false;
    }
    let same = |name: &str| a.parameters.get(name) == b.parameters.get(name);
    let same_or_zero = |name: &str| number(a.parameters, name) == number(b.parameters, name);
    match a.mime_type.to_ascii_lowercase().as_str() {
        "audio/multiopus" => same("num_streams") && same("coupled_streams"),
        "video/h264" | "video/h264-svc" if strictness == Strictness::Strict => {
            same_or_zero("packetization-mode") && h264::is_same_profile(a.parameters, b.parameters)
        }
        "video/vp9" if strictness == Strictness::Strict => same_or_zero("profile-id"),
        _ => true,
    }
}

/// The `profile-level-id` that the two ends of an H264 codec that [`match_codecs`] agree on; `None` for other codecs
/// and where neither names one.
pub(crate) fn agreed_profile_level_id(local: Codec<'_>, remote: Codec<'_>) -> Option<String> {
    match local.mime_type.to_ascii_lowercase().as_str() {
        "video/h264" | "video/h264-svc" => h264::profile_level_id_for_answer(local.parameters, remote.parameters),
        _ => None,
    }
}

/// A parameter as a number; absent and unreadable count as 0.
fn number(parameters: &Parameters, name: &str) -> i64 {
    parameters.get(name).and_then(ParameterValue::as_int).unwrap_or(0)
}
