//! What an endpoint can receive from a router, in the router's numbers.

use sfu_channel::{MediaKind, RtpCapabilities, RtpCodecCapability, RtpHeaderExtension, RtpHeaderExtensionDirection};

use super::codecs::{Strictness, agreed_profile_level_id, match_codecs};

/// The part of `local`, what an endpoint says of itself, that a router with `router` capabilities can send to it: the
/// codecs and header extensions of both, with the router's payload types and ids, the feedback of both, and the
/// endpoint's codec parameters. Both are validated ones.
///
/// This is what mediasoup-client computes in the browser.
pub fn get_recv_rtp_capabilities(local: &RtpCapabilities, router: &RtpCapabilities) -> RtpCapabilities {
    let mut codecs = Vec::new();
    for of_router in router.codecs.iter().filter(|codec| !codec.is_rtx()) {
        let is_same = |local: &&RtpCodecCapability| match_codecs((*local).into(), of_router.into(), Strictness::Strict);
        let Some(of_local) = local.codecs.iter().filter(|codec| !codec.is_rtx()).find(is_same) else { continue };
        let mut codec = of_local.clone();
        codec.preferred_payload_type = of_router.preferred_payload_type;
        codec.rtcp_feedback.retain(|feedback| of_router.rtcp_feedback.contains(feedback));
        if let Some(agreed) = agreed_profile_level_id(of_local.into(), of_router.into()) {
            codec.parameters.insert("profile-level-id".to_owned(), agreed.as_str().into());
        }
        codecs.push(codec);
        // An endpoint that can't repeat the codec is not to be given RTX.
        if rtx_of(local, of_local).is_some() {
            codecs.extend(rtx_of(router, of_router).cloned());
        }
    }
    let header_extensions = router.header_extensions.iter().filter(|extension| {
        is_sent(extension) && local.header_extensions.iter().any(|local| same_extension(local, extension))
    });
    let header_extensions = header_extensions.cloned().collect();
    RtpCapabilities { codecs, header_extensions }
}

fn rtx_of<'a>(capabilities: &'a RtpCapabilities, codec: &RtpCodecCapability) -> Option<&'a RtpCodecCapability> {
    let payload_type = i64::from(codec.preferred_payload_type?);
    let repeats = |codec: &&RtpCodecCapability| {
        codec.is_rtx() && codec.parameters.get("apt").and_then(|apt| apt.as_int()) == Some(payload_type)
    };
    capabilities.codecs.iter().find(repeats)
}

fn is_sent(extension: &RtpHeaderExtension) -> bool {
    use RtpHeaderExtensionDirection::{SendOnly, SendRecv};
    matches!(extension.direction.unwrap_or_default(), SendRecv | SendOnly)
}

fn same_extension(a: &RtpHeaderExtension, b: &RtpHeaderExtension) -> bool {
    let is_kind = |kind: Option<MediaKind>| kind.is_none() || kind == b.kind;
    a.uri == b.uri && is_kind(a.kind)
}
