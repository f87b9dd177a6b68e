//! The same packets with some bytes changed, cut or repeated: whatever is wrong with them, nothing panics, and what is found
//! lies inside of the packet.

use proptest::prelude::*;
use sfu_proto::codec::{Codec, Inspector};
use sfu_proto::rtcp::{Packet, packets as walk};
use sfu_proto::rtp::{self, rtx};

use super::*;

/// A capture with changes: which byte of which packet becomes what, and where packets are cut.
fn mutated(capture: &'static str) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let packets = packets(capture);
    let count = packets.len();
    let changes = proptest::collection::vec((0..count, any::<prop::sample::Index>(), any::<u8>()), 0..60);
    let cuts = proptest::collection::vec((0..count, any::<prop::sample::Index>()), 0..6);
    (changes, cuts).prop_map(move |(changes, cuts)| {
        let mut packets = packets.clone();
        for (packet, at, value) in changes {
            // Headers are where most is to be broken.
            let len = packets[packet].len();
            packets[packet][at.index(len.min(64))] = value;
        }
        for (packet, at) in cuts {
            let len = at.index(packets[packet].len());
            packets[packet].truncate(len.max(1));
        }
        packets
    })
}

fn drain(packet: Packet<'_>) {
    match packet {
        Packet::SenderReport(report) => assert!(report.blocks.iter().count() < 32),
        Packet::ReceiverReport(report) => assert!(report.blocks.iter().count() < 32),
        Packet::Sdes(sdes) => assert!(sdes.cnames().count() < 32),
        Packet::Bye(bye) => assert!(bye.ssrcs().count() < 32),
        Packet::TransportCc(feedback) => assert_eq!(feedback.statuses().count(), feedback.status_count.into()),
        Packet::Nack(nack) => drop(nack.sequence_numbers().count()),
        Packet::Fir(fir) => drop(fir.entries().count()),
        Packet::Remb(remb) => drop(remb.ssrcs().count()),
        Packet::ExtendedReport(report) => drop(report.blocks().count()),
        _ => {}
    }
}

proptest! {
    #[test]
    fn rtp(
        captured in prop::sample::select(vec![
            (VP8, Codec::Vp8), (VP9, Codec::Vp9), (VP9_L2T2, Codec::Vp9), (AV1_L2T2, Codec::Av1), (H264, Codec::H264),
        ]).prop_flat_map(|(capture, codec)| (mutated(capture), Just(codec)))
    ) {
        let (packets, codec) = captured;
        let mut inspector = Inspector::new(codec);
        for mut packet in packets {
            let Ok(header) = Header::parse(&packet) else { continue };
            prop_assert!(header.payload_range().end <= packet.len());
            let extensions = parse_extensions(&packet, &header, &extension_ids());
            let value = |kind| extensions.value(kind, &packet);
            for kind in ExtensionKind::ALL {
                prop_assert_eq!(extensions.get(kind).is_some(), value(kind).is_some());
            }
            value(ExtensionKind::PlayoutDelay).and_then(rtp::PlayoutDelay::decode);
            value(ExtensionKind::VideoOrientation).and_then(rtp::VideoOrientation::decode);
            let descriptor = value(ExtensionKind::DependencyDescriptor);
            let info = inspector.inspect(header.payload(&packet), value(ExtensionKind::Mid), descriptor);
            prop_assert!(info.temporal_layer < 8 && info.spatial_layer < 8 || codec == Codec::H264);
            if let Ok(original) = rtx::decapsulate(&mut packet, &header, 96, 7) {
                let bytes = &packet[rtx::PREFIX_LEN..];
                prop_assert_eq!(Header::parse(&bytes[..original.packet_len()]), Ok(original));
            }
        }
    }

    #[test]
    fn rtcp(compounds in mutated(RTCP)) {
        for compound in compounds {
            walk(&compound).flatten().for_each(drain);
        }
    }
}
