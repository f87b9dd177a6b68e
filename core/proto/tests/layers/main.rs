//! Whatever layers of a captured stream are wanted in turn, what is forwarded has no gap and can be decoded.
//!
//! The captures are described in README.md beside this file. A script says which layers are wanted from which packet on; the
//! receiver's side of the story is checked by [`check`], which knows what each frame refers to and nothing of how it was
//! chosen.

mod check;
mod stream;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use sfu_proto::codec::Codec;
use sfu_proto::layers::{Kind, Layers};

use stream::{Capture, run, run_in_order};

const SIMULCAST: Kind = Kind::Simulcast;
const SVC: Kind = Kind::Svc { independent: false };
const INDEPENDENT: Kind = Kind::Svc { independent: true };

/// Each capture with its codec, where its layers are, and how many spatial and temporal ones there are.
static CAPTURES: LazyLock<Vec<(Capture, u8, u8)>> = LazyLock::new(|| {
    let capture =
        |name, text, codec, kind, layers: (u8, u8)| (Capture::new(name, text, codec, kind), layers.0, layers.1);
    vec![
        capture("vp8-simulcast", include_str!("vp8-simulcast.hex"), Codec::Vp8, SIMULCAST, (3, 3)),
        capture("h264-simulcast", include_str!("h264-simulcast.hex"), Codec::H264, SIMULCAST, (3, 1)),
        capture("h264-simulcast-dd", include_str!("h264-simulcast-dd.hex"), Codec::H264, SIMULCAST, (3, 2)),
        capture("av1-simulcast", include_str!("av1-simulcast.hex"), Codec::Av1, SIMULCAST, (3, 2)),
        capture("vp9-simulcast", include_str!("vp9-simulcast.hex"), Codec::Vp9, SIMULCAST, (3, 2)),
        capture("vp9-l3t3", include_str!("vp9-l3t3.hex"), Codec::Vp9, SVC, (3, 3)),
        capture("vp9-l3t3-key", include_str!("vp9-l3t3-key.hex"), Codec::Vp9, INDEPENDENT, (3, 3)),
        capture("vp9-s2t1-dd", include_str!("vp9-s2t1-dd.hex"), Codec::Vp9, INDEPENDENT, (2, 1)),
        capture("av1-l1t2", include_str!("av1-l1t2.hex"), Codec::Av1, SVC, (1, 2)),
        capture("av1-l3t3", include_str!("av1-l3t3.hex"), Codec::Av1, SVC, (3, 3)),
        capture("av1-l3t3-drops", include_str!("av1-l3t3-drops.hex"), Codec::Av1, SVC, (3, 3)),
        capture("av1-l3t3-key", include_str!("av1-l3t3-key.hex"), Codec::Av1, INDEPENDENT, (3, 3)),
        capture("av1-s2t1", include_str!("av1-s2t1.hex"), Codec::Av1, INDEPENDENT, (2, 1)),
    ]
});

#[test]
fn the_highest_layers_are_forwarded_as_they_came() {
    for (capture, spatial, temporal) in CAPTURES.iter() {
        let highest = Layers { spatial: *spatial - 1, temporal: *temporal - 1 };
        let forwarded = run(capture, &[(0, highest)]);
        check::all(capture, &forwarded);
        let key = |packet: &&stream::Received| packet.info.is_key_frame && capture.is_of(packet, highest.spatial);
        let begin = capture.packets.iter().position(|packet| key(&packet)).expect("it has a key frame");
        let expected = capture.packets[begin..].iter().filter(|packet| capture.is_of(packet, highest.spatial)).count();
        // In K-SVC and S modes the lower layers are left out after the key frames.
        match capture.kind {
            INDEPENDENT => assert!(forwarded.len() * 4 >= expected, "{}", capture.name),
            _ => assert_eq!(forwarded.len(), expected, "{}", capture.name),
        }
    }
}

#[test]
fn every_layer_can_be_forwarded_alone_from_the_beginning() {
    for (capture, spatial_layers, temporal_layers) in CAPTURES.iter() {
        for spatial in 0..*spatial_layers {
            for temporal in 0..*temporal_layers {
                let forwarded = run(capture, &[(0, Layers { spatial, temporal })]);
                check::all(capture, &forwarded);
                let told = || format!("{} {spatial}.{temporal}", capture.name);
                assert!(forwarded.len() > 5, "{}", told());
                assert!(forwarded.iter().all(|packet| packet.input.info.temporal_layer <= temporal), "{}", told());
                let highest = forwarded.iter().map(|packet| capture.spatial_layer(packet.input)).max();
                assert_eq!(highest, Some(spatial), "{}", told());
            }
        }
    }
}

/// A switch that key frames allow happens with the first of them; one down that needs none, with the next picture.
#[test]
fn switches_happen_when_they_can() {
    for (capture, spatial_layers, temporal_layers) in CAPTURES.iter() {
        let temporal = temporal_layers - 1;
        let (low, high) = (Layers { spatial: 0, temporal }, Layers { spatial: spatial_layers - 1, temporal });
        for (from, to) in [(low, high), (high, low)].into_iter().filter(|_| *spatial_layers > 1) {
            let is_key =
                |at: usize| capture.packets[at].info.is_key_frame && capture.is_of(&capture.packets[at], to.spatial);
            let half = capture.packets.len() / 4;
            let Some(key) = (half..capture.packets.len()).find(|at| is_key(*at)) else { continue };
            let forwarded = run(capture, &[(0, from), (half, to)]);
            check::all(capture, &forwarded);
            let after = forwarded.iter().filter(|packet| packet.at >= key);
            let highest = after.map(|packet| capture.spatial_layer(packet.input)).max();
            assert_eq!(highest, Some(to.spatial), "{} to {to:?}", capture.name);
        }
    }
}

/// libaom leaves out frames of one layer for itself. A picture that has no frame of the layer which is wanted ends with the
/// one below, and the receiver is told so as soon as that shows; and what comes after a key frame does not refer to what was
/// before it, whatever the sender's descriptors say: they do where a layer has had no frame since.
#[test]
fn frames_that_the_encoder_has_left_out_are_not_waited_for() {
    let captured = |(capture, ..): &&(Capture, u8, u8)| capture.name == "av1-l3t3-drops";
    let (capture, ..) = CAPTURES.iter().find(captured).expect("it is one of them");
    let layers_of = |timestamp| {
        let packets = capture.packets.iter().filter(|packet| packet.header.timestamp == timestamp);
        packets.map(|packet| packet.info.spatial_layer).collect::<HashSet<u8>>()
    };
    let forwarded = run(capture, &[(0, Layers { spatial: 1, temporal: 2 })]);
    let last_of_lowest =
        forwarded.iter().filter(|packet| packet.input.info.spatial_layer == 0 && packet.input.info.ends_frame);
    let (mut ends, mut goes_on) = (0, 0);
    for packet in last_of_lowest {
        let has_middle = layers_of(packet.input.header.timestamp).contains(&1);
        assert_eq!(packet.marker, !has_middle, "{} {}", capture.name, packet.at);
        *if has_middle { &mut goes_on } else { &mut ends } += 1;
    }
    assert!(ends > 10 && goes_on > 10, "{ends} pictures without the middle layer, {goes_on} with it");
    let mut first = 0;
    let mut beyond = HashSet::new();
    for packet in run(capture, &[(0, Layers { spatial: 2, temporal: 2 })]) {
        let frame = packet.input.info.dependency.expect("it has a descriptor");
        if packet.input.info.is_key_frame {
            first = frame.frame_number;
        }
        if frame.references.exceed(frame.frame_number.wrapping_sub(first)) {
            beyond.insert(frame.frame_number);
        }
    }
    assert!(beyond.len() > 5, "{} frames refer to what was before the key frame", beyond.len());
}

/// Chromium's encoder of VP9 leaves out pictures too, and the differences in its payload descriptors count them, while the
/// picture ids do not: a frame then refers to one of a higher temporal layer, or of before the key frame.
#[test]
fn what_a_frame_refers_to_by_mistake_is_corrected() {
    let captured = |(capture, ..): &&(Capture, u8, u8)| capture.name == "vp9-simulcast";
    let (capture, ..) = CAPTURES.iter().find(captured).expect("it is one of them");
    let forwarded = run(capture, &[(0, Layers { spatial: 0, temporal: 0 })]);
    let corrected = forwarded.iter().filter(|packet| {
        // The first byte of the differences is behind the picture id of two bytes and the layers.
        let difference = |payload: &[u8]| payload[4] >> 1;
        let is_predicted = packet.payload[0] & 0x40 != 0;
        is_predicted && difference(&packet.payload) < difference(&packet.input.payload)
    });
    assert!(corrected.count() > 5);
    check::all(capture, &forwarded);
}

/// The second packet of a key frame overtakes the first, and a switch to another layer and back comes between: the first one
/// begins no picture, since its other half has been sent as part of another.
#[test]
fn a_picture_whose_end_was_sent_before_a_switch_is_not_begun_after_it() {
    let captured = |(capture, ..): &&(Capture, u8, u8)| capture.name == "vp9-simulcast";
    let (capture, ..) = CAPTURES.iter().find(captured).expect("it is one of them");
    let (other, first, second) = (253, 255, 256);
    let begins = |at: usize, stream| capture.packets[at].stream == stream && capture.packets[at].info.is_key_frame;
    assert!(begins(other, 0) && begins(first, 1), "these are key frames of the capture");
    assert_eq!(capture.packets[first].header.timestamp, capture.packets[second].header.timestamp);

    let held_back = [other, first];
    let before = (0..second).filter(|at| !held_back.contains(at)).count();
    let order = (0..second).filter(|at| !held_back.contains(at)).chain([second, other, first]);
    let order: Vec<usize> = order.chain(second + 1..capture.packets.len()).collect();
    let wants = |place, spatial| (place, Layers { spatial, temporal: 2 });
    let script = [wants(0, 1), wants(before + 1, 0), wants(before + 2, 1)];
    let forwarded = run_in_order(capture, order.into_iter(), &script);
    let is_sent = |at| forwarded.iter().any(|packet| packet.at == at);
    assert!(is_sent(second) && is_sent(other) && !is_sent(first));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_script_of_switches_leaves_a_stream_that_can_be_decoded(
        which in 0usize..13, switches in proptest::collection::vec((0usize..400, 0u8..3, 0u8..3), 0..14)
    ) {
        let (capture, spatial_layers, temporal_layers) = &CAPTURES[which];
        let mut script: Vec<(usize, Layers)> = switches
            .into_iter()
            .map(|(at, spatial, temporal)| {
                (at, Layers { spatial: spatial % spatial_layers, temporal: temporal % temporal_layers })
            })
            .collect();
        script.push((0, Layers { spatial: 0, temporal: 0 }));
        script.sort_by_key(|(at, _)| *at);
        let forwarded = run(capture, &script);
        check::all(capture, &forwarded);
    }

    /// Packets get lost and overtake one another on the way to the forwarder. Whatever it does then, no number stands for two
    /// packets (they would be encrypted under one nonce), and a picture keeps its timestamp and its numbers.
    #[test]
    fn loss_and_reordering_never_make_a_number_stand_for_two_packets(
        which in 0usize..13, switches in proptest::collection::vec((0usize..300, 0u8..3, 0u8..3), 0..10),
        delays in proptest::collection::vec(0usize..40, 64)
    ) {
        let (capture, spatial_layers, temporal_layers) = &CAPTURES[which];
        let mut arrivals: Vec<(usize, usize)> = (0..capture.packets.len())
            .filter_map(|at| match delays[at % delays.len()] {
                0..4 => None,
                delay @ 4..12 => Some((at + delay, at)),
                _ => Some((at, at)),
            })
            .collect();
        arrivals.sort_unstable();
        let script: Vec<(usize, Layers)> = std::iter::once((0, 0, 0))
            .chain(switches)
            .map(|(at, spatial, temporal)| {
                (at, Layers { spatial: spatial % spatial_layers, temporal: temporal % temporal_layers })
            })
            .collect();
        let forwarded = run_in_order(capture, arrivals.iter().map(|(_, at)| *at), &script);
        let mut numbers = HashSet::new();
        let mut timestamps = HashMap::new();
        for packet in &forwarded {
            prop_assert!(numbers.insert(packet.sequence_number), "{} {}", capture.name, packet.at);
            let picture = (packet.input.stream, packet.input.header.timestamp);
            prop_assert_eq!(*timestamps.entry(picture).or_insert(packet.timestamp), packet.timestamp);
        }
    }
}
