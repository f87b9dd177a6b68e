//! A router's capabilities, from the codecs that it is made with.

use sfu_channel::{RtpCapabilities, RtpCodecCapability};

use super::codecs::{Strictness, match_codecs};
use super::{OrtcError, Result, supported_rtp_capabilities, validate_rtp_codec_capability};

/// Payload types that are handed out, in this order: those that browsers seldom use for something else come first.
fn dynamic_payload_types() -> impl Iterator<Item = u8> {
    (100..=127).chain(96..=99)
}

/// The capabilities of a router made with `media_codecs`.
///
/// Each codec gets its own preferred payload type, or its static one, or the next dynamic one from 100; each video codec
/// is followed by an RTX codec. Feedback is that of [`supported_rtp_capabilities`]; parameters are those of both, the
/// given ones winning. All supported header extensions are there.
///
/// Errors: a codec that is malformed or that no router supports, two with the same payload type, too many.
pub fn generate_router_rtp_capabilities(media_codecs: &[RtpCodecCapability]) -> Result<RtpCapabilities> {
    let supported = supported_rtp_capabilities();
    let mut free: Vec<u8> = dynamic_payload_types().collect();
    let mut codecs: Vec<RtpCodecCapability> = Vec::new();
    for media_codec in media_codecs {
        let mut media_codec = media_codec.clone();
        validate_rtp_codec_capability(&mut media_codec)?;
        let matched = supported
            .codecs
            .iter()
            .find(|supported| match_codecs((&media_codec).into(), (*supported).into(), Strictness::Lax));
        let mut codec = matched.cloned().ok_or_else(|| OrtcError::UnsupportedCodec {
            mime_type: media_codec.mime_type.clone(),
            payload_type: media_codec.preferred_payload_type,
        })?;
        let payload_type = match media_codec.preferred_payload_type.or(codec.preferred_payload_type) {
            Some(payload_type) => payload_type,
            None => next(&mut free)?,
        };
        if codecs.iter().any(|codec| codec.preferred_payload_type == Some(payload_type)) {
            return Err(OrtcError::DuplicatedPayloadType(payload_type));
        }
        free.retain(|&other| other != payload_type);
        codec.preferred_payload_type = Some(payload_type);
        codec.parameters.extend(media_codec.parameters);
        let rtx = match codec.kind {
            sfu_channel::MediaKind::Audio => None,
            sfu_channel::MediaKind::Video => Some(rtx_of(&codec, payload_type, next(&mut free)?)),
        };
        codecs.push(codec);
        codecs.extend(rtx);
    }
    Ok(RtpCapabilities { codecs, header_extensions: supported.header_extensions })
}

fn next(free: &mut Vec<u8>) -> Result<u8> {
    if free.is_empty() { Err(OrtcError::NoPayloadType) } else { Ok(free.remove(0)) }
}

fn rtx_of(codec: &RtpCodecCapability, apt: u8, payload_type: u8) -> RtpCodecCapability {
    RtpCodecCapability {
        kind: codec.kind,
        mime_type: format!("{}/rtx", codec.kind),
        preferred_payload_type: Some(payload_type),
        clock_rate: codec.clock_rate,
        channels: None,
        parameters: [("apt".to_owned(), i64::from(apt).into())].into(),
        rtcp_feedback: Vec::new(),
    }
}
