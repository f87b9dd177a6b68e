//! What a browser can do, read from an offer that it made for nothing else.

use std::collections::HashSet;

use sfu_channel::{MediaKind, RtpCapabilities, RtpCodecCapability, RtpHeaderExtension, RtpHeaderExtensionDirection};

use super::attribute::Attribute;
use super::description::{MediaDescription, SessionDescription};
use super::fmtp;

/// The capabilities that the first audio and the first video section state, in the browser's payload types and header
/// extension ids.
///
/// An offer for this has both sections `recvonly`. What a router can send to that browser is
/// [`get_recv_rtp_capabilities`](crate::ortc::get_recv_rtp_capabilities) of the result.
pub fn extract_rtp_capabilities(description: &SessionDescription) -> RtpCapabilities {
    let mut capabilities = RtpCapabilities::default();
    for kind in [MediaKind::Audio, MediaKind::Video] {
        if let Some(section) = description.media.iter().find(|section| fmtp::kind_of(section) == Some(kind)) {
            capabilities.codecs.extend(codec_capabilities(kind, section));
            capabilities.header_extensions.extend(header_extensions(kind, section));
        }
    }
    capabilities
}

/// The codecs of a section as capabilities.
pub(super) fn codec_capabilities(kind: MediaKind, section: &MediaDescription) -> Vec<RtpCodecCapability> {
    let codecs = fmtp::codecs(kind, section).into_iter().map(|codec| RtpCodecCapability {
        kind,
        mime_type: codec.mime_type,
        preferred_payload_type: Some(codec.payload_type),
        clock_rate: codec.clock_rate,
        channels: codec.channels,
        parameters: codec.parameters,
        rtcp_feedback: codec.rtcp_feedback,
    });
    codecs.collect()
}

fn header_extensions(kind: MediaKind, section: &MediaDescription) -> Vec<RtpHeaderExtension> {
    let mut seen = HashSet::new();
    let extensions = section.attributes.iter().filter_map(|attribute| match attribute {
        Attribute::Extmap { id, uri, .. } if seen.insert(uri) => Some(RtpHeaderExtension {
            kind: Some(kind),
            uri: uri.clone(),
            preferred_id: *id,
            preferred_encrypt: Some(false),
            direction: Some(RtpHeaderExtensionDirection::SendRecv),
        }),
        _ => None,
    });
    extensions.collect()
}
