//! The receiver's side: no gaps, and no frame that refers to one that is not there.

use std::collections::{HashMap, HashSet};

use sfu_proto::codec::dependency_descriptor::Parser;
use sfu_proto::codec::{Codec, PayloadDescriptor, vp8, vp9};
use sfu_proto::layers::Kind;
use sfu_proto::rtp::seq::timestamp_newer;

use super::stream::{Capture, Forwarded, Received};

pub fn all(capture: &Capture, forwarded: &[Forwarded<'_>]) {
    packets(capture, forwarded);
    match capture.codec {
        _ if capture.packets[0].dependency.is_some() => by_descriptor(capture, forwarded),
        Codec::Vp8 => vp8(capture, forwarded),
        Codec::Vp9 => vp9(capture, forwarded),
        _ => one_by_one(capture, forwarded),
    }
}

/// Sequence numbers follow one another, timestamps go up from picture to picture, and each picture has one end.
fn packets(capture: &Capture, forwarded: &[Forwarded<'_>]) {
    for pair in forwarded.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let told = || format!("{} between {} and {}", capture.name, before.at, after.at);
        let step = after.sequence_number.wrapping_sub(before.sequence_number);
        if after.timestamp == before.timestamp {
            // In S modes Chromium marks the end of each layer's frame.
            let is_marked = before.marker && !before.input.header.marker;
            assert!(!is_marked, "a packet behind the end of its picture, {}", told());
            assert_eq!(step, 1, "{}", told());
            continue;
        }
        assert!(timestamp_newer(after.timestamp, before.timestamp), "{}", told());
        // A number is left out if another stream begins in the middle of a picture: that picture must not look whole.
        let cut_off = after.input.stream != before.input.stream && !before.marker;
        assert_eq!(step, if cut_off { 2 } else { 1 }, "{}", told());
        assert!(before.marker || cut_off, "a picture without an end, {}", told());
        // Ten pictures a second were captured, of which one in four is left in the lowest of three layers.
        let elapsed = after.timestamp.wrapping_sub(before.timestamp);
        assert!(elapsed < 20 * 9000, "{elapsed} ticks, {}", told());
    }
}

/// By the dependency descriptors: read as a receiver does, which knows only what it was sent.
fn by_descriptor(capture: &Capture, forwarded: &[Forwarded<'_>]) {
    let mut parser = Parser::new();
    let mut frames: HashSet<u16> = HashSet::new();
    let mut last = None;
    for packet in forwarded {
        let told = || format!("{} {}", capture.name, packet.at);
        let value = packet.dependency.as_ref().expect("every packet has one");
        let frame = parser.parse(value).unwrap_or_else(|error| panic!("{}: {error}", told()));
        if packet.input.info.is_key_frame {
            frames.clear();
        }
        if last != Some(frame.frame_number) {
            assert!(frame.start_of_frame, "a frame without its beginning, {}", told());
            if let Some(last) = last {
                assert!(
                    (1..0x8000).contains(&frame.frame_number.wrapping_sub(last)),
                    "back to an older frame, {}",
                    told()
                );
            }
        }
        last = Some(frame.frame_number);
        assert!(!frame.references.has_more, "{}", told());
        for difference in frame.references.differences() {
            let reference = frame.frame_number.wrapping_sub(*difference);
            assert!(frames.contains(&reference), "frame {} refers to {reference}, {}", frame.frame_number, told());
        }
        frames.insert(frame.frame_number);
        // It has been told of the targets that it can decode, and the frame is of one of them.
        assert_ne!(frame.present.0 & frame.active.0, 0, "no active target has the frame, {}", told());
    }
}

/// What an input frame refers to, as indices of frames of the capture.
type References = Vec<usize>;

/// VP8: what is between a sync frame and the next is unknown, so each frame refers to the last ones of all layers up to its
/// own; a sync frame to the last one of the lowest layer.
fn vp8(capture: &Capture, forwarded: &[Forwarded<'_>]) {
    let mut last: HashMap<u8, [Option<usize>; 4]> = HashMap::new();
    check_frames(capture, forwarded, |packet, frame| {
        let PayloadDescriptor::Vp8(descriptor) = packet.info.descriptor else { panic!("no VP8") };
        let layers = last.entry(packet.stream).or_default();
        let temporal = usize::from(descriptor.temporal_id.unwrap_or(0));
        let references: References = match (packet.info.is_key_frame, descriptor.layer_sync) {
            (true, _) => Vec::new(),
            (false, true) => layers[0].into_iter().collect(),
            (false, false) => layers[..=temporal].iter().flatten().copied().collect(),
        };
        if packet.info.is_key_frame {
            *layers = [None; 4];
        }
        layers[temporal] = Some(frame);
        references
    });
    let mut previous: Option<vp8::Descriptor> = None;
    for packet in forwarded {
        let told = || format!("{} {}", capture.name, packet.at);
        let descriptor = vp8::Descriptor::parse(&packet.payload).unwrap();
        if let Some(before) = previous.filter(|before| before.picture_id != descriptor.picture_id) {
            let next = before.picture_id.map(|id| (id + 1) & 0x7fff);
            assert_eq!(descriptor.picture_id, next, "a gap in the picture ids, {}", told());
            let step = u8::from(descriptor.temporal_id == Some(0));
            let next = before.tl0_pic_idx.map(|index| index.wrapping_add(step));
            assert_eq!(descriptor.tl0_pic_idx, next, "a gap in TL0PICIDX, {}", told());
        }
        previous = Some(descriptor);
    }
}

/// VP9: by the differences that flexible mode gives, or else as VP8 but by points to switch up at.
fn vp9(capture: &Capture, forwarded: &[Forwarded<'_>]) {
    // Frames by picture id and spatial layer.
    let mut frames: HashMap<(u16, u8), usize> = HashMap::new();
    // Of each spatial layer the last frame of each temporal layer, as far as later ones may refer to it.
    let mut streams: HashMap<u8, [[Option<usize>; 8]; 8]> = HashMap::new();
    check_frames(capture, forwarded, |packet, frame| {
        let PayloadDescriptor::Vp9(descriptor) = packet.info.descriptor else { panic!("no VP9") };
        let layers = descriptor.layers.expect("it has layers");
        let picture_id = descriptor.picture_id.expect("it has picture ids");
        let (spatial, temporal) = (usize::from(layers.spatial_id), usize::from(layers.temporal_id));
        let mut references = References::new();
        let last = streams.entry(packet.stream).or_default();
        if packet.info.is_key_frame {
            *last = Default::default();
        }
        if descriptor.inter_picture_predicted {
            match differences(&packet.payload, &descriptor) {
                Some(differences) if capture.kind != Kind::Simulcast => {
                    references.extend(differences.into_iter().map(|difference| {
                        frames[&(picture_id.wrapping_sub(difference.into()) & 0x7fff, layers.spatial_id)]
                    }));
                }
                // Those of Chromium's simulcast are not what the frames mean once pictures have been left out.
                _ => references.extend(last[spatial][..=temporal].iter().flatten()),
            }
        }
        if layers.inter_layer_dependency {
            references.push(frames[&(picture_id, layers.spatial_id - 1)]);
        }
        frames.insert((picture_id, layers.spatial_id), frame);
        if layers.switching_up {
            last[spatial][temporal + 1..].fill(None);
        }
        last[spatial][temporal] = Some(frame);
        references
    });
    let mut previous = None;
    for packet in forwarded {
        let before = previous.replace(vp9::Descriptor::parse(&packet.payload).unwrap().picture_id.unwrap());
        let step = before.map_or(0, |before| previous.unwrap().wrapping_sub(before) & 0x7fff);
        assert!(step < 16, "{} pictures left out, {} {}", step, capture.name, packet.at);
    }
    refers_to_what_was_sent(capture, forwarded);
}

/// The differences that a receiver of VP9 reads are of pictures which it was sent since the last key frame, each once: else
/// it waits for them.
fn refers_to_what_was_sent(capture: &Capture, forwarded: &[Forwarded<'_>]) {
    let mut sent: HashSet<(u16, u8)> = HashSet::new();
    for packet in forwarded {
        let descriptor = vp9::Descriptor::parse(&packet.payload).unwrap();
        let picture_id = descriptor.picture_id.unwrap();
        let spatial = descriptor.layers.unwrap().spatial_id;
        if packet.input.info.is_key_frame {
            sent.clear();
        }
        let mut differences = differences(&packet.payload, &descriptor).unwrap_or_default();
        for difference in &differences {
            let reference = picture_id.wrapping_sub((*difference).into()) & 0x7fff;
            assert!(
                sent.contains(&(reference, spatial)),
                "{picture_id} refers to {reference}, {} {}",
                capture.name,
                packet.at
            );
        }
        differences.sort_unstable();
        assert!(differences.windows(2).all(|pair| pair[0] != pair[1]), "{} {}", capture.name, packet.at);
        sent.insert((picture_id, spatial));
    }
}

/// The differences of picture ids in flexible mode (RFC 9628, 4.2): up to three bytes, each with a bit that tells of more.
fn differences(payload: &[u8], descriptor: &vp9::Descriptor) -> Option<Vec<u8>> {
    if !descriptor.flexible || !descriptor.inter_picture_predicted {
        return None;
    }
    let start = 2 + usize::from(descriptor.picture_id.is_some()) + usize::from(descriptor.picture_id_is_long);
    let count = 1 + payload[start..].iter().take_while(|byte| *byte & 1 != 0).count();
    Some(payload[start..start + count].iter().map(|byte| byte >> 1).collect())
}

/// Each frame refers to the one before it.
fn one_by_one(capture: &Capture, forwarded: &[Forwarded<'_>]) {
    let mut last = HashMap::new();
    check_frames(capture, forwarded, |packet, frame| {
        let before = last.insert(packet.stream, frame);
        before.filter(|_| !packet.info.is_key_frame).into_iter().collect()
    });
}

/// Numbers the frames of the capture, asks for the references of each, and sees to it that those of each frame that was
/// forwarded were forwarded too. Frames that were begun by the capture only may refer to what it does not have.
fn check_frames(
    capture: &Capture,
    forwarded: &[Forwarded<'_>],
    mut references: impl FnMut(&Received, usize) -> References,
) {
    let name = |packet: &Received| (packet.stream, packet.header.timestamp, packet.info.spatial_layer);
    let mut frames = HashMap::new();
    let mut needed: Vec<References> = Vec::new();
    for packet in &capture.packets {
        frames.entry(name(packet)).or_insert_with(|| {
            needed.push(references(packet, needed.len()));
            needed.len() - 1
        });
    }
    let mut decoded = HashSet::new();
    for packet in forwarded {
        let frame = frames[&name(packet.input)];
        for reference in &needed[frame] {
            assert!(decoded.contains(reference), "frame {frame} refers to {reference}, {} {}", capture.name, packet.at);
        }
        decoded.insert(frame);
    }
}
