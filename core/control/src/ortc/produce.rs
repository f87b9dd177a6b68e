//! From a producer's parameters to those that the router has inside.

use sfu_channel::{
    MediaKind, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters,
    RtpHeaderExtensionDirection, RtpHeaderExtensionParameters, RtpMapping, RtpMappingCodec, RtpMappingEncoding,
    RtpParameters,
};

use super::codecs::{Strictness, agreed_profile_level_id, match_codecs};
use super::{OrtcError, Result, random_ssrc};

/// How the payload types and SSRCs of a producer become those of a router with `capabilities`.
///
/// `parameters` are validated ones. The `profile-level-id` of their H264 codecs becomes the one agreed on.
///
/// Errors: a codec that the router lacks, RTX for a codec that is not there or that the router does not retransmit.
pub fn get_producer_rtp_parameters_mapping(
    parameters: &mut RtpParameters,
    capabilities: &RtpCapabilities,
) -> Result<RtpMapping> {
    let mut codecs = Vec::new();
    for codec in parameters.codecs.iter_mut().filter(|codec| !codec.is_rtx()) {
        let matched = capabilities
            .codecs
            .iter()
            .find(|capability| match_codecs((&*codec).into(), (*capability).into(), Strictness::Strict));
        let matched = matched.and_then(|capability| Some((capability, capability.preferred_payload_type?)));
        let (capability, mapped_payload_type) = matched.ok_or_else(|| OrtcError::UnsupportedCodec {
            mime_type: codec.mime_type.clone(),
            payload_type: Some(codec.payload_type),
        })?;
        if let Some(agreed) = agreed_profile_level_id((&*codec).into(), capability.into()) {
            codec.parameters.insert("profile-level-id".to_owned(), agreed.as_str().into());
        }
        codecs.push(RtpMappingCodec { payload_type: codec.payload_type, mapped_payload_type });
    }
    for codec in parameters.codecs.iter().filter(|codec| codec.is_rtx()) {
        let media = codecs.iter().find(|media| Some(media.payload_type) == codec.apt());
        let media = media.ok_or(OrtcError::MissingMediaCodec(codec.payload_type))?.mapped_payload_type;
        let rtx = rtx_of(capabilities, media).and_then(|rtx| rtx.preferred_payload_type);
        let mapped_payload_type = rtx.ok_or(OrtcError::NoRtxCodec(media))?;
        codecs.push(RtpMappingCodec { payload_type: codec.payload_type, mapped_payload_type });
    }
    let first_ssrc = random_ssrc();
    let encodings = (first_ssrc..).zip(&parameters.encodings).map(|(mapped_ssrc, encoding)| RtpMappingEncoding {
        ssrc: encoding.ssrc,
        rid: encoding.rid.clone(),
        scalability_mode: encoding.scalability_mode.clone(),
        mapped_ssrc,
    });
    let encodings = encodings.collect();
    Ok(RtpMapping { codecs, encodings })
}

/// What consumers can be made of: the producer's streams in the router's payload types, header extension ids and SSRCs.
///
/// `mapping` comes from [`get_producer_rtp_parameters_mapping`] with the same `parameters` and `capabilities`; the
/// error is that it does not.
pub fn get_consumable_rtp_parameters(
    kind: MediaKind,
    parameters: &RtpParameters,
    capabilities: &RtpCapabilities,
    mapping: &RtpMapping,
) -> Result<RtpParameters> {
    let mut codecs = Vec::new();
    for codec in parameters.codecs.iter().filter(|codec| !codec.is_rtx()) {
        let mapped = mapping.codecs.iter().find(|entry| entry.payload_type == codec.payload_type);
        let payload_type = mapped.ok_or(OrtcError::IncompleteMapping("a payload type"))?.mapped_payload_type;
        let of_router =
            capabilities.codecs.iter().find(|capability| capability.preferred_payload_type == Some(payload_type));
        let of_router = of_router.ok_or(OrtcError::IncompleteMapping("a payload type of the router"))?;
        codecs.push(RtpCodecParameters {
            parameters: codec.parameters.clone(),
            ..codec_parameters(of_router, payload_type)
        });
        if let Some(rtx) = rtx_of(capabilities, payload_type) {
            codecs.extend(rtx.preferred_payload_type.map(|payload_type| codec_parameters(rtx, payload_type)));
        }
    }
    let sent = |direction: Option<RtpHeaderExtensionDirection>| {
        use RtpHeaderExtensionDirection::{SendOnly, SendRecv};
        matches!(direction.unwrap_or_default(), SendRecv | SendOnly)
    };
    let header_extensions = capabilities.header_extensions.iter();
    let header_extensions = header_extensions
        .filter(|extension| extension.kind == Some(kind) && sent(extension.direction))
        .map(|extension| RtpHeaderExtensionParameters {
            uri: extension.uri.clone(),
            id: extension.preferred_id,
            encrypt: extension.preferred_encrypt.unwrap_or(false),
            parameters: Default::default(),
        });
    if mapping.encodings.len() < parameters.encodings.len() {
        return Err(OrtcError::IncompleteMapping("an encoding"));
    }
    let encodings = parameters.encodings.iter().zip(&mapping.encodings).map(|(encoding, mapped)| {
        let ssrc = Some(mapped.mapped_ssrc);
        RtpEncodingParameters { ssrc, rid: None, rtx: None, codec_payload_type: None, ..encoding.clone() }
    });
    Ok(RtpParameters {
        mid: None,
        codecs,
        header_extensions: header_extensions.collect(),
        encodings: encodings.collect(),
        rtcp: RtcpParameters { cname: parameters.rtcp.cname.clone(), ssrc: None, reduced_size: Some(true) },
        msid: parameters.msid.clone(),
    })
}

/// The router's RTX codec for its own payload type `apt`.
fn rtx_of(capabilities: &RtpCapabilities, apt: u8) -> Option<&RtpCodecCapability> {
    let is_it = |codec: &&RtpCodecCapability| {
        codec.is_rtx() && codec.parameters.get("apt").and_then(|apt| apt.as_int()) == Some(i64::from(apt))
    };
    capabilities.codecs.iter().find(is_it)
}

fn codec_parameters(capability: &RtpCodecCapability, payload_type: u8) -> RtpCodecParameters {
    RtpCodecParameters {
        mime_type: capability.mime_type.clone(),
        payload_type,
        clock_rate: capability.clock_rate,
        channels: capability.channels,
        parameters: capability.parameters.clone(),
        rtcp_feedback: capability.rtcp_feedback.clone(),
    }
}
