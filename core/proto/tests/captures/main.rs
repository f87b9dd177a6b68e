//! What a browser really sends: see README.md beside this file.

mod mutations;
mod rtcp;
mod rtp;

use sfu_proto::rtp::{ExtensionIds, ExtensionKind, ExtensionSpans, Header, parse_extensions};

const VP8: &str = include_str!("vp8.hex");
const VP9: &str = include_str!("vp9.hex");
const VP9_L2T2: &str = include_str!("vp9-l2t2.hex");
const AV1_L2T2: &str = include_str!("av1-l2t2.hex");
const H264: &str = include_str!("h264.hex");
const OPUS: &str = include_str!("opus.hex");
const RTCP: &str = include_str!("rtcp.hex");

fn packets(capture: &str) -> Vec<Vec<u8>> {
    capture.lines().map(|line| hex::decode(line).unwrap()).collect()
}

/// The ids that all captures have in common, and those of the captures with a scalability mode.
fn extension_ids() -> ExtensionIds {
    let mut ids = ExtensionIds::new();
    for (kind, id) in [
        (ExtensionKind::TransmissionOffset, 1),
        (ExtensionKind::AbsSendTime, 2),
        (ExtensionKind::VideoOrientation, 3),
        (ExtensionKind::TransportWideCc, 4),
        (ExtensionKind::PlayoutDelay, 5),
        (ExtensionKind::Mid, 9),
        (ExtensionKind::Rid, 10),
        (ExtensionKind::RepairedRid, 11),
        (ExtensionKind::DependencyDescriptor, 13),
    ] {
        ids.set(kind, id);
    }
    ids
}

fn parse(packet: &[u8]) -> (Header, ExtensionSpans) {
    let header = Header::parse(packet).unwrap();
    (header, parse_extensions(packet, &header, &extension_ids()))
}
