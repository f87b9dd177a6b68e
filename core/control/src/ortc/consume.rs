//! From what a router has inside to what one receiver gets.

use sfu_channel::{
    RtcpFeedback, RtpCapabilities, RtpCodecParameters, RtpEncodingParameters, RtpEncodingRtx, RtpParameters,
    ScalabilityMode,
};

use super::codecs::{Strictness, match_codecs};
use super::{ABS_SEND_TIME_URI, MID_URI, OrtcError, Result, TRANSPORT_CC_URI, random_ssrc};

/// Whether a receiver with `capabilities` (validated ones) has a media codec of `consumable`.
pub fn can_consume(consumable: &RtpParameters, capabilities: &RtpCapabilities) -> bool {
    let first = consumable.codecs.iter().find(|codec| supported(codec, capabilities).is_some());
    first.is_some_and(|codec| !codec.is_rtx())
}

/// The parameters of a consumer of `consumable` for a receiver with `capabilities` (validated ones).
///
/// - Codecs are those that the receiver has, with its feedback; RTX without its media codec goes.
/// - Header extensions are those that the receiver has under the router's id.
/// - Where the transport-wide sequence number goes along, `goog-remb` goes; else, where the absolute send time does,
///   `transport-cc` goes; else both.
/// - There is one encoding with an SSRC of its own, and the one after it for RTX. It says the layers that the receiver
///   may choose from: for a simulcast, as many spatial ones as there are encodings. It carries the highest `maxBitrate`.
/// - With `pipe`, there is an encoding for each of the producer's instead.
/// - Without `enable_rtx` there is no RTX, and nothing is asked for again: generic `nack` goes.
///
/// Error: no codec in common.
pub fn get_consumer_rtp_parameters(
    consumable: &RtpParameters,
    capabilities: &RtpCapabilities,
    pipe: bool,
    enable_rtx: bool,
) -> Result<RtpParameters> {
    let mut codecs = Vec::new();
    for codec in consumable.codecs.iter().filter(|codec| enable_rtx || !codec.is_rtx()) {
        if let Some(feedback) = supported(codec, capabilities) {
            let wanted =
                |feedback: &&RtcpFeedback| enable_rtx || feedback.kind != "nack" || !feedback.parameter.is_empty();
            let rtcp_feedback = feedback.iter().filter(wanted).cloned().collect();
            codecs.push(RtpCodecParameters { rtcp_feedback, ..codec.clone() });
        }
    }
    let media: Vec<u8> = codecs.iter().filter(|codec| !codec.is_rtx()).map(|codec| codec.payload_type).collect();
    codecs.retain(|codec| !codec.is_rtx() || codec.apt().is_some_and(|apt| media.contains(&apt)));
    let rtx_supported = codecs.iter().any(RtpCodecParameters::is_rtx);
    if codecs.first().is_none_or(RtpCodecParameters::is_rtx) {
        return Err(OrtcError::NoCompatibleCodecs);
    }

    let mut header_extensions = consumable.header_extensions.clone();
    header_extensions.retain(|extension| {
        let capabilities = &capabilities.header_extensions;
        capabilities.iter().any(|other| other.preferred_id == extension.id && other.uri == extension.uri)
    });
    let has = |uri: &str| header_extensions.iter().any(|extension| extension.uri == uri);
    reduce_feedback(&mut codecs, has(TRANSPORT_CC_URI), has(ABS_SEND_TIME_URI));

    let encodings = match pipe {
        true => pipe_encodings(consumable, rtx_supported),
        false => vec![single_encoding(consumable, rtx_supported)],
    };
    Ok(RtpParameters {
        mid: None,
        codecs,
        header_extensions,
        encodings,
        rtcp: consumable.rtcp.clone(),
        msid: consumable.msid.clone(),
    })
}

/// The parameters of a consumer on a pipe transport, where the other end is a router: all encodings, no bandwidth
/// estimation, no MID; RTX and generic `nack` only with `enable_rtx`.
pub fn get_pipe_consumer_rtp_parameters(consumable: &RtpParameters, enable_rtx: bool) -> RtpParameters {
    let mut codecs = consumable.codecs.clone();
    codecs.retain(|codec| enable_rtx || !codec.is_rtx());
    for codec in &mut codecs {
        codec.rtcp_feedback.retain(|feedback| match (feedback.kind.as_str(), feedback.parameter.as_str()) {
            ("nack", "pli") | ("ccm", "fir") => true,
            ("nack", "") => enable_rtx,
            _ => false,
        });
    }
    let mut header_extensions = consumable.header_extensions.clone();
    header_extensions
        .retain(|extension| ![MID_URI, ABS_SEND_TIME_URI, TRANSPORT_CC_URI].contains(&extension.uri.as_str()));
    let encodings = pipe_encodings(consumable, enable_rtx);
    RtpParameters {
        mid: None,
        codecs,
        header_extensions,
        encodings,
        rtcp: consumable.rtcp.clone(),
        msid: consumable.msid.clone(),
    }
}

/// The feedback of the first codec of `capabilities` that matches.
fn supported<'a>(codec: &RtpCodecParameters, capabilities: &'a RtpCapabilities) -> Option<&'a [RtcpFeedback]> {
    let matches =
        capabilities.codecs.iter().find(|other| match_codecs((*other).into(), codec.into(), Strictness::Strict));
    matches.map(|capability| capability.rtcp_feedback.as_slice())
}

/// Leaves one way of estimating bandwidth: the transport-wide one if its header extension goes along, else REMB if the absolute send time does.
pub(crate) fn reduce_feedback(codecs: &mut [RtpCodecParameters], transport_cc: bool, abs_send_time: bool) {
    for codec in codecs {
        codec.rtcp_feedback.retain(|feedback| match feedback.kind.as_str() {
            "transport-cc" => transport_cc,
            "goog-remb" => abs_send_time && !transport_cc,
            _ => true,
        });
    }
}

fn single_encoding(consumable: &RtpParameters, rtx_supported: bool) -> RtpEncodingParameters {
    let ssrc = random_ssrc();
    let stated = consumable.encodings.iter().find_map(|encoding| encoding.scalability_mode.clone());
    let scalability_mode = match consumable.encodings.len() {
        0 | 1 => stated,
        spatial_layers => {
            let temporal_layers = ScalabilityMode::parse(stated.as_deref().unwrap_or("")).temporal_layers;
            Some(format!("L{spatial_layers}T{temporal_layers}"))
        }
    };
    RtpEncodingParameters {
        ssrc: Some(ssrc),
        rtx: rtx_supported.then_some(RtpEncodingRtx { ssrc: ssrc + 1 }),
        scalability_mode,
        max_bitrate: consumable.encodings.iter().filter_map(|encoding| encoding.max_bitrate).max(),
        ..Default::default()
    }
}

fn pipe_encodings(consumable: &RtpParameters, rtx: bool) -> Vec<RtpEncodingParameters> {
    let (base, rtx_base) = (random_ssrc(), random_ssrc());
    let numbered = (0..).zip(&consumable.encodings);
    let encodings = numbered.map(|(index, encoding)| RtpEncodingParameters {
        ssrc: Some(base + index),
        rtx: rtx.then_some(RtpEncodingRtx { ssrc: rtx_base + index }),
        ..encoding.clone()
    });
    encodings.collect()
}
