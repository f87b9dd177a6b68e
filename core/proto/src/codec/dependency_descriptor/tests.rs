//! Tests: a structure made by hand, captured ones, and arbitrary bytes.

use super::*;
use proptest::prelude::*;

/// Writes fields of (value, bits).
fn pack(fields: &[(u32, u32)]) -> Vec<u8> {
    let mut bits = Vec::new();
    for &(value, count) in fields {
        bits.extend((0..count).rev().map(|shift| (value >> shift & 1) as u8));
    }
    bits.resize(bits.len().next_multiple_of(8), 0);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

/// L1T2: templates (T0 key: switch, switch), (T0: switch, switch), (T1: not present, discardable).
fn key_frame() -> Vec<u8> {
    pack(&[
        (1, 1),
        (1, 1),
        (10, 6),
        (500, 16),
        (1, 1),
        (0, 1),
        (0, 1),
        (0, 1),
        (0, 1),
        (10, 6),
        (1, 5),
        // Layers: same, next temporal, end.
        (0, 2),
        (1, 2),
        (3, 2),
        // Indications.
        (2, 2),
        (2, 2),
        (2, 2),
        (2, 2),
        (0, 2),
        (1, 2),
        // Frame differences: none; 2; 1.
        (0, 1),
        (1, 1),
        (1, 4),
        (0, 1),
        (1, 1),
        (0, 4),
        (0, 1),
        // One chain (ns(3) of 1 is 10), which protects both (ns(1) takes no bits), and its differences.
        (0b10, 2),
        (0, 4),
        (2, 4),
        (1, 4),
        // Resolution of the one spatial layer.
        (1, 1),
        (639, 16),
        (359, 16),
    ])
}

#[test]
fn a_key_frame_brings_the_structure_that_later_packets_use() {
    let mut parser = Parser::new();
    let later = pack(&[(1, 1), (0, 1), (12, 6), (501, 16)]);
    assert_eq!(parser.parse(&later), Err(DescriptorError::NoStructure));
    let key = parser.parse(&key_frame()).unwrap();
    let expected = Descriptor {
        start_of_frame: true,
        end_of_frame: true,
        frame_number: 500,
        spatial_id: 0,
        temporal_id: 0,
        has_structure: true,
        switches_spatial: true,
        switches_temporal: true,
        is_discardable: false,
        active_decode_targets: Some(0b11),
        references: References::default(),
        present: LayerSet(0b11),
        switches: LayerSet(0b11),
        discardable: LayerSet(0),
        active: LayerSet(0b11),
    };
    assert_eq!(key, expected);
    assert_eq!((parser.decode_target_layers(), parser.chain_count()), (&[(0, 0), (0, 1)][..], 1));
    let upper = parser.parse(&later).unwrap();
    assert_eq!((upper.temporal_id, upper.frame_number, upper.has_structure), (1, 501, false));
    assert!(upper.is_discardable && !upper.switches_temporal && !upper.end_of_frame);
    let unknown = pack(&[(1, 1), (0, 1), (13, 6), (501, 16)]);
    assert_eq!(parser.parse(&unknown), Err(DescriptorError::UnknownTemplate { template: 3, count: 3 }));
}

/// Captured from Chrome sending AV1 as L3T3; the capture is also in LiveKit's tests.
#[test]
fn a_captured_stream_of_three_spatial_and_three_temporal_layers() {
    let key = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082\
               b04a0941b820ac1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d";
    let mut parser = Parser::new();
    let mut parse = |value: &str| parser.parse(&hex::decode(value).unwrap()).unwrap();
    let first = parse(key);
    assert!(first.has_structure && first.start_of_frame && first.end_of_frame && first.switches_spatial);
    assert_eq!((first.frame_number, first.active_decode_targets), (370, Some(0b1_1111_1111)));
    let layers = |descriptor: Descriptor| (descriptor.spatial_id, descriptor.temporal_id);
    assert_eq!(layers(first), (0, 0));
    // The rest of the key picture; then with the targets of the lower two spatial layers active; then without
    // extended fields.
    let upper = parse("86017340fc");
    assert_eq!((layers(upper), upper.active_decode_targets), ((1, 0), Some(0b11_1111)));
    assert!(upper.start_of_frame && !upper.end_of_frame && upper.switches_spatial);
    assert!(parse("46017340fc").end_of_frame);
    for (value, expected) in [("c3017540fc", (0, 2)), ("88017640fc", (1, 2)), ("c2017840fc", (0, 1))] {
        assert_eq!(layers(parse(value)), expected);
    }
    let top = parse("8b0174");
    assert_eq!((layers(top), top.frame_number, top.active_decode_targets), ((2, 0), 372, None));
    let targets: Vec<(u8, u8)> = (0..3).flat_map(|spatial| (0..3).map(move |temporal| (spatial, temporal))).collect();
    assert_eq!((parser.decode_target_layers(), parser.chain_count()), (&targets[..], 3));
}

#[test]
fn custom_indications_and_active_targets_override() {
    let mut parser = Parser::new();
    parser.parse(&key_frame()).unwrap();
    let custom =
        pack(&[(1, 1), (1, 1), (12, 6), (7, 16), (0, 1), (1, 1), (1, 1), (0, 1), (0, 1), (0b01, 2), (0, 2), (2, 2)]);
    let descriptor = parser.parse(&custom).unwrap();
    assert_eq!(descriptor.active_decode_targets, Some(1));
    assert!(descriptor.switches_temporal && !descriptor.is_discardable);
}

#[test]
fn a_cut_structure_is_an_error_and_leaves_the_old_one() {
    let mut parser = Parser::new();
    parser.parse(&key_frame()).unwrap();
    let key = key_frame();
    for len in 4..key.len() {
        assert_eq!(parser.parse(&key[..len]), Err(DescriptorError::Truncated(len)));
    }
    assert_eq!(parser.decode_target_layers().len(), 2);
}

/// The key frame's descriptor and one of each other frame of the captured stream that `a_captured_stream..` reads.
const CAPTURED_KEY: &str = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082\
                            b04a0941b820ac1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d";

#[test]
fn references_and_targets_of_a_captured_stream() {
    let mut parser = Parser::new();
    let mut parse = |value: &str| parser.parse(&hex::decode(value).unwrap()).unwrap();
    let key = parse(CAPTURED_KEY);
    assert_eq!((key.references.differences(), key.present), (&[][..], LayerSet(0x07_0707)));
    assert_eq!((key.switches, key.discardable), (LayerSet(0x07_0707), LayerSet(0)));
    // The upper layers of the key picture refer to the frame before; the active targets are those of the packet.
    let upper = parse("86017340fc");
    assert_eq!((upper.references.differences(), upper.present), (&[1][..], LayerSet(0x07_0700)));
    assert_eq!(upper.active, LayerSet(0x0707));
    let top = parse("8b0174");
    assert_eq!((top.references.differences(), top.active), (&[1][..], LayerSet(0x0707)), "as last said");
    // A T2 frame of the lowest layer: to be left out wherever there are fewer temporal layers.
    let temporal = parse("c3017540fc");
    assert_eq!((temporal.references.differences(), temporal.present), (&[3][..], LayerSet(0x04_0404)));
    assert_eq!(temporal.discardable, LayerSet(0x04));
}

#[test]
fn what_is_rewritten_for_fewer_layers_says_so() {
    let mut parser = Parser::new();
    let key = hex::decode(CAPTURED_KEY).unwrap();
    let read = parser.parse(&key).unwrap();
    let mut out = [0; MAX_LEN];
    // Everything: only the number changes, not even the length does.
    assert_eq!(parser.rewrite(&key, &changes(7, None), &mut out), Some(key.len()));
    assert_eq!((&out[1..3], &out[3..key.len()]), (&[0, 7][..], &key[3..]));
    // The lowest spatial layer: of nine targets the first three are active. Read by a parser that knows nothing yet.
    let len = parser.rewrite(&key, &changes(8, Some((0, 2))), &mut out).unwrap();
    let mut receiver = Parser::new();
    let lower = receiver.parse(&out[..len]).unwrap();
    assert_eq!((lower.active_decode_targets, lower.active), (Some(0b111), LayerSet(0x07)));
    let expected = Descriptor {
        frame_number: 8,
        active_decode_targets: lower.active_decode_targets,
        active: lower.active,
        ..read
    };
    assert_eq!(lower, expected);
    assert_eq!(receiver.decode_target_layers(), parser.decode_target_layers());
    // A packet of three bytes gets its first extended field; of the targets that the sender has, those below.
    let short = hex::decode("8b0174").unwrap();
    parser.parse(&hex::decode("86017340fc").unwrap()).unwrap();
    let len = parser.rewrite(&short, &changes(9, Some((2, 1))), &mut out).unwrap();
    let lower = receiver.parse(&out[..len]).unwrap();
    assert_eq!((lower.frame_number, lower.active), (9, LayerSet(0x0303)));
}

#[test]
fn what_cannot_be_rewritten_is_not() {
    let mut parser = Parser::new();
    let mut out = [0; MAX_LEN];
    let later = pack(&[(1, 1), (0, 1), (12, 6), (501, 16)]);
    assert_eq!(parser.rewrite(&later, &changes(1, Some((0, 0))), &mut out), None, "no structure");
    assert_eq!(parser.rewrite(&later[..2], &changes(1, None), &mut out), None);
    assert_eq!(parser.rewrite(&[0; 300], &changes(1, None), &mut out), None);
    parser.parse(&key_frame()).unwrap();
    assert_eq!(parser.rewrite(&key_frame()[..9], &changes(1, Some((0, 0))), &mut out), None, "a cut structure");
}

#[test]
fn references_that_a_packet_gives_itself() {
    let mut parser = Parser::new();
    parser.parse(&key_frame()).unwrap();
    // Custom references: 1 less one in a nibble, 64 less one in two, 4096 less one in three.
    let fields = [(1, 1), (1, 1), (12, 6), (7, 16), (0, 3), (1, 1), (0, 1), (1, 2), (0, 4), (2, 2), (63, 8), (3, 2)];
    let value = pack(&[&fields[..], &[(4095, 12), (0, 2)]].concat());
    let far = parser.parse(&value).unwrap();
    assert_eq!(far.references.differences(), [1, 64, 4096]);
    assert!(!far.references.has_more && far.references.exceed(4095) && !far.references.exceed(4096));
    // Those that reach back too far are left out.
    let mut out = [0; MAX_LEN];
    for (reach, expected) in [(4096, &[1, 64, 4096][..]), (4095, &[1, 64]), (63, &[1]), (0, &[])] {
        let changes = Changes { frame_number: 8, forwarded: None, reach: Some(reach) };
        let len = parser.rewrite(&value, &changes, &mut out).unwrap();
        let written = parser.peek(&out[..len]).unwrap();
        assert_eq!((written.references.differences(), written.frame_number), (expected, 8));
    }
    // So are those of the template: the second one refers to the frame two before.
    let short = pack(&[(1, 1), (1, 1), (11, 6), (7, 16)]);
    let changes = Changes { frame_number: 8, forwarded: Some((0, 0)), reach: Some(1) };
    let len = parser.rewrite(&short, &changes, &mut out).unwrap();
    let written = parser.peek(&out[..len]).unwrap();
    assert_eq!(parser.peek(&short).unwrap().references.differences(), [2]);
    assert_eq!((written.references.differences(), written.active_decode_targets), (&[][..], Some(1)));
    let many = [&fields[..7], &[(1, 2), (0, 4)].repeat(9), &[(0, 2)]].concat();
    let many = parser.parse(&pack(&many)).unwrap();
    assert!(many.references.has_more && many.references.differences() == [1; 8]);
}

#[test]
fn sets_of_targets() {
    assert_eq!(LayerSet::up_to(1, 2), LayerSet(0x0707));
    assert_eq!(LayerSet::up_to(9, 9), LayerSet(u32::MAX));
    assert_eq!((LayerSet(0x0107).highest(), LayerSet(0).highest()), (Some((1, 0)), None));
    assert!(LayerSet(0x0107).contains(1, 0) && !LayerSet(0x0107).contains(1, 1));
}

fn changes(frame_number: u16, forwarded: Option<(u8, u8)>) -> Changes {
    Changes { frame_number, forwarded, reach: None }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(values in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..120), 1..8
    )) {
        let mut parser = Parser::new();
        for value in values {
            let _ = parser.parse(&value);
        }
    }

    #[test]
    fn arbitrary_structures_never_panic(mut value in proptest::collection::vec(any::<u8>(), 4..200)) {
        value[3] |= 0x80;
        let _ = Parser::new().parse(&value);
    }

    /// Whatever can be read can be written anew, unless that makes it too long, and says the same.
    #[test]
    fn what_is_rewritten_is_read(
        mut value in proptest::collection::vec(any::<u8>(), 3..80), structured: bool, number: u16,
        spatial in 0u8..4, temporal in 0u8..8, reach in proptest::option::of(1u16..300)
    ) {
        let mut parser = Parser::new();
        parser.parse(&key_frame()).unwrap();
        let mut receiver = parser.clone();
        if let Some(flags) = value.get_mut(3).filter(|_| structured) {
            *flags |= 0x80;
        }
        if let Ok(read) = parser.parse(&value) {
            let mut out = [0; MAX_LEN];
            let changes = Changes { frame_number: number, forwarded: Some((spatial, temporal)), reach };
            let len = parser.rewrite(&value, &changes, &mut out).unwrap();
            let again = receiver.parse(&out[..len]).unwrap();
            let Descriptor { active_decode_targets, active, references, .. } = again;
            prop_assert!(active_decode_targets.is_some());
            let expected =
                Descriptor { frame_number: number, active_decode_targets, active, references, ..read };
            prop_assert_eq!(again, expected);
            let reach = reach.unwrap_or(u16::MAX);
            let near = read.references.differences().iter().filter(|difference| **difference <= reach);
            prop_assert!(references.differences().iter().eq(near));
        }
    }
}
