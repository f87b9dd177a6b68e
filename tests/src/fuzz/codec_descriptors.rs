//! Payload descriptors and dependency descriptors, of one stream whose packets are looked into one after the other.

use sfu_proto::codec::{Codec, Inspector, PayloadInfo, dependency_descriptor, h264, opus, vp8, vp9};

use super::input::Input;

const CODECS: [Codec; 7] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H264Svc, Codec::Av1, Codec::H265, Codec::Opus];

/// The codec, then for each packet: payload, frame marking and dependency descriptor; of the latter none at all if they are
/// empty.
pub fn codec_descriptors(data: &[u8]) {
    let mut input = Input::new(data);
    let codec = CODECS[input.below(CODECS.len())];
    let mut inspector = Inspector::new(codec);
    let mut parser = dependency_descriptor::Parser::new();
    let mut key_frames = h264::KeyFrameDetector::new();
    while !input.is_empty() {
        let payload = input.datagram();
        let [marking, descriptor] = [input.datagram(), input.datagram()];
        let marking = Some(marking).filter(|value| !value.is_empty());
        let descriptor = Some(descriptor).filter(|value| !value.is_empty());
        let info = inspector.inspect(payload, marking, descriptor);
        assert!(info.spatial_layer < 8 || marking.is_some(), "{info:?}");
        assert!(info.temporal_layer < 8, "{info:?}");
        if info.is_key_frame {
            assert!(Inspector::knows_key_frames(codec));
        }
        match codec {
            Codec::Vp8 => rewrite_vp8(payload, &info),
            Codec::Vp9 => check_vp9(payload, &info),
            Codec::H264 => assert!(key_frames.is_key_frame(payload) == info.is_key_frame || marking.is_some()),
            Codec::Opus => assert!(!opus::is_dtx(payload) || payload.len() < 3),
            _ => {}
        }
        if let Some(descriptor) = descriptor {
            read_dependencies(&mut parser, descriptor);
        }
    }
}

/// What a forwarder rewrites changes, and nothing else.
fn rewrite_vp8(payload: &[u8], info: &PayloadInfo) {
    let Ok(before) = vp8::Descriptor::parse(payload) else {
        assert_eq!(*info, PayloadInfo::default());
        return;
    };
    assert!(before.len <= payload.len());
    let mut rewritten = payload[..before.len].to_vec();
    before.set_picture_id(&mut rewritten, 0x1234);
    before.set_tl0_pic_idx(&mut rewritten, 77);
    let picture_id = if before.picture_id_is_long { 0x1234 } else { 0x34 };
    let expected = vp8::Descriptor {
        picture_id: before.picture_id.map(|_| picture_id),
        tl0_pic_idx: before.tl0_pic_idx.map(|_| 77),
        ..before
    };
    assert_eq!(vp8::Descriptor::parse(&rewritten), Ok(expected));
}

fn check_vp9(payload: &[u8], info: &PayloadInfo) {
    let Ok(descriptor) = vp9::Descriptor::parse(payload) else {
        assert_eq!(*info, PayloadInfo::default());
        return;
    };
    assert!(descriptor.picture_id.is_none_or(|id| id < 1 << 15));
    assert_eq!(descriptor.is_key_frame(), info.is_key_frame);
}

/// A descriptor that can't be read leaves the templates as they were.
fn read_dependencies(parser: &mut dependency_descriptor::Parser, value: &[u8]) {
    let before = (parser.decode_target_layers().to_vec(), parser.chain_count());
    let result = parser.parse(value);
    let targets = parser.decode_target_layers().len();
    assert!(targets <= 32 && parser.chain_count() <= 32);
    match result {
        Ok(descriptor) => {
            assert!(descriptor.spatial_id < 4 && descriptor.temporal_id < 8);
            assert!(targets > 0, "without templates nothing is read");
            let active = descriptor.active_decode_targets.unwrap_or(0);
            assert!(u64::from(active) < 1 << targets, "{active:#x} of {targets} targets");
            // The same packet again, now that its templates are known.
            let again = parser.parse(value).expect("it was read before");
            assert_eq!(again, descriptor);
        }
        Err(_) => assert_eq!((parser.decode_target_layers().to_vec(), parser.chain_count()), before),
    }
}
