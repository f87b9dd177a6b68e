//! Headers, extensions and payloads.

use std::collections::HashMap;

use sfu_proto::codec::{Codec, Inspector, PayloadInfo, av1, dependency_descriptor, opus, vp8, vp9};
use sfu_proto::rtp::{AudioLevel, ExtensionIds, ExtensionKind, TransportSequence, parse_extensions, rtx};

use super::*;

/// The packets of one payload type, as an inspector of the codec sees them.
fn inspect(capture: &str, codec: Codec, payload_type: u8) -> Vec<(u16, PayloadInfo)> {
    let mut inspector = Inspector::new(codec);
    let mut seen = Vec::new();
    for packet in packets(capture) {
        let (header, extensions) = parse(&packet);
        if header.payload_type == payload_type && header.padding_len == 0 {
            let descriptor = extensions.value(ExtensionKind::DependencyDescriptor, &packet);
            seen.push((header.sequence_number, inspector.inspect(header.payload(&packet), None, descriptor)));
        }
    }
    seen
}

fn key_frames(seen: &[(u16, PayloadInfo)]) -> Vec<u16> {
    seen.iter().filter(|(_, info)| info.is_key_frame).map(|(number, _)| *number).collect()
}

#[test]
fn the_first_packet_of_each_stream_and_no_other_begins_a_key_frame() {
    for (capture, codec, payload_type, first) in [
        (VP8, Codec::Vp8, 96, 0x7750),
        (VP9, Codec::Vp9, 98, 0x769f),
        (VP9_L2T2, Codec::Vp9, 98, 0x5486),
        (AV1_L2T2, Codec::Av1, 45, 0x70f0),
        (H264, Codec::H264, 102, 0x2c48),
    ] {
        let seen = inspect(capture, codec, payload_type);
        assert!(seen.len() > 15);
        assert_eq!(key_frames(&seen), [first], "{codec:?}");
    }
}

#[test]
fn every_packet_has_its_transport_wide_number() {
    for capture in [VP8, VP9, VP9_L2T2, AV1_L2T2, H264] {
        let mut numbers: Vec<u16> = Vec::new();
        for packet in packets(capture) {
            let (_, extensions) = parse(&packet);
            let value = extensions.value(ExtensionKind::TransportWideCc, &packet).unwrap();
            numbers.push(TransportSequence::decode(value).unwrap().0);
            assert!(extensions.get(ExtensionKind::AbsSendTime).is_some());
        }
        assert!(numbers.is_sorted_by(|before, after| before < after), "{numbers:?}");
        let first = &packets(capture)[0];
        assert_eq!(parse(first).1.value(ExtensionKind::Mid, first), Some(&b"0"[..]));
    }
}

#[test]
fn vp8_descriptors_count_pictures() {
    let mut ids = Vec::new();
    for packet in packets(VP8) {
        let (header, _) = parse(&packet);
        if header.payload_type != 96 {
            continue;
        }
        let descriptor = vp8::Descriptor::parse(header.payload(&packet)).unwrap();
        assert!(descriptor.picture_id_is_long && descriptor.temporal_id.is_none());
        if descriptor.starts_partition {
            ids.push(descriptor.picture_id.unwrap());
        }
    }
    assert_eq!(ids[0], 0x0c18);
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
}

/// Chromium describes VP9's layers twice, once in the payload and once in the header extension.
#[test]
fn vp9_layers_are_those_of_the_dependency_descriptor() {
    let mut parser = dependency_descriptor::Parser::new();
    let mut layers = HashMap::new();
    for packet in packets(VP9_L2T2) {
        let (header, extensions) = parse(&packet);
        if header.payload_type != 98 {
            continue;
        }
        let payload = vp9::Descriptor::parse(header.payload(&packet)).unwrap();
        let extension = parser.parse(extensions.value(ExtensionKind::DependencyDescriptor, &packet).unwrap()).unwrap();
        let in_payload = payload.layers.unwrap();
        assert_eq!(
            (in_payload.spatial_id, in_payload.temporal_id, payload.starts_frame, payload.ends_frame),
            (extension.spatial_id, extension.temporal_id, extension.start_of_frame, extension.end_of_frame),
        );
        *layers.entry((extension.spatial_id, extension.temporal_id)).or_insert(0) += 1;
    }
    // All four layers are among them.
    assert_eq!(layers.len(), 4);
    assert_eq!(parser.decode_target_layers(), [(0, 0), (0, 1), (1, 0), (1, 1)]);
}

/// The descriptor says of AV1 what the payload says: a new coded video sequence begins with the packet.
#[test]
fn av1_key_frames_are_those_of_the_dependency_descriptor() {
    let seen = inspect(AV1_L2T2, Codec::Av1, 45);
    let of_payload: Vec<u16> = packets(AV1_L2T2)
        .iter()
        .map(|packet| (parse(packet).0, packet))
        .filter(|(header, packet)| header.payload_type == 45 && av1::is_key_frame(header.payload(packet)))
        .map(|(header, _)| header.sequence_number)
        .collect();
    assert_eq!(key_frames(&seen), of_payload);
    // The upper spatial layer of the key picture can be joined there, and has no key frame of its own.
    let upper = seen.iter().find(|(_, info)| info.spatial_layer == 1 && info.starts_frame).unwrap();
    assert!(upper.1.switches_spatial && !upper.1.is_key_frame);
    // Only the frames of the uppermost layer can be left out: the others have one above that refers to them.
    let layers = |info: &PayloadInfo| (info.spatial_layer, info.temporal_layer);
    assert!(seen.iter().any(|(_, info)| layers(info) == (1, 1)) && seen.iter().any(|(_, info)| layers(info) == (0, 1)));
    assert!(seen.iter().all(|(_, info)| info.is_discardable == (layers(info) == (1, 1))));
}

/// Retransmissions, with which Chromium probes, are the media's packets behind their numbers.
#[test]
fn rtx_packets_become_the_originals() {
    for (capture, payload_type) in [(VP8, 96), (VP9, 98), (VP9_L2T2, 98), (AV1_L2T2, 45), (H264, 102)] {
        let mut media = HashMap::new();
        let mut restored = 0;
        for mut packet in packets(capture) {
            let (header, _) = parse(&packet);
            if header.payload_type == payload_type {
                media.insert(
                    header.sequence_number,
                    (header.timestamp, header.marker, header.payload(&packet).to_vec()),
                );
            } else if header.padding_len == 0 {
                let original = rtx::decapsulate(&mut packet, &header, payload_type, 7).unwrap();
                let Some((timestamp, marker, payload)) = media.get(&original.sequence_number) else { continue };
                assert_eq!((original.timestamp, original.marker), (*timestamp, *marker));
                let shown = original.payload(&packet[rtx::PREFIX_LEN..]);
                assert!(!shown.is_empty() && payload.starts_with(shown) || shown.starts_with(payload));
                restored += 1;
            }
        }
        assert!(restored > 0);
    }
}

#[test]
fn padding_alone_is_no_retransmission() {
    let mut packet = packets(VP8).into_iter().find(|packet| packet[0] & 0x20 != 0).unwrap();
    let (header, _) = parse(&packet);
    assert_eq!((header.payload_type, header.payload_len()), (97, 0));
    assert_eq!(rtx::decapsulate(&mut packet, &header, 96, 7), Err(rtx::RtxError::NoOriginalSequence(0)));
}

#[test]
fn opus_packets_have_an_audio_level_and_sound() {
    let mut ids = ExtensionIds::new();
    ids.set(ExtensionKind::AudioLevel, 14);
    for packet in packets(OPUS) {
        let (header, _) = parse(&packet);
        let extensions = parse_extensions(&packet, &header, &ids);
        let level = AudioLevel::decode(extensions.value(ExtensionKind::AudioLevel, &packet).unwrap()).unwrap();
        assert!(level.level < 127 && !opus::is_dtx(header.payload(&packet)));
    }
}
