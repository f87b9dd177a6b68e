//! H.264 payloads (RFC 6184 section 5): single NAL units, STAP-A aggregates and FU-A fragments.

use super::PayloadInfo;
use crate::rtp::FrameMarking;

const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETER_SET: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether the payload begins a key frame: an IDR slice or a sequence parameter set, alone, first in a fragment, or
/// anywhere in an aggregate.
pub fn is_key_frame(payload: &[u8]) -> bool {
    match payload {
        [head, units @ ..] if nal_type(*head) == STAP_A => aggregated(units).any(begins_key_frame),
        [head, fu, ..] if nal_type(*head) == FU_A => fu & 0x80 != 0 && begins_key_frame(nal_type(*fu)),
        [head, ..] => begins_key_frame(nal_type(*head)),
        [] => false,
    }
}

fn begins_key_frame(nal_type: u8) -> bool {
    matches!(nal_type, IDR_SLICE | SEQUENCE_PARAMETER_SET)
}

fn nal_type(head: u8) -> u8 {
    head & 0x1f
}

/// The types of the NAL units in a STAP-A, each after two bytes of length. One that is cut short ends the list.
fn aggregated(mut units: &[u8]) -> impl Iterator<Item = u8> + '_ {
    std::iter::from_fn(move || {
        let (len, rest) = units.split_first_chunk()?;
        let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        units = rest;
        unit.first().copied().map(nal_type)
    })
}

pub(super) fn inspect(payload: &[u8], marking: Option<FrameMarking>) -> PayloadInfo {
    let in_payload = is_key_frame(payload);
    let Some(marking) = marking else {
        return PayloadInfo { is_key_frame: in_payload, switches_spatial: in_payload, ..PayloadInfo::default() };
    };
    let is_key_frame = in_payload || marking.independent && marking.start_of_frame;
    PayloadInfo {
        is_key_frame,
        starts_frame: marking.start_of_frame,
        ends_frame: marking.end_of_frame,
        spatial_layer: marking.layer_id,
        temporal_layer: marking.temporal_id,
        has_spatial_layer: false,
        has_temporal_layer: true,
        switches_spatial: is_key_frame,
        switches_temporal: is_key_frame || marking.base_layer_sync,
        is_discardable: marking.discardable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn single_units() {
        assert!(is_key_frame(&[0x65, 0x88]) && is_key_frame(&[0x67, 0x42]));
        assert!(!is_key_frame(&[0x41, 0x9a]) && !is_key_frame(&[0x68]) && !is_key_frame(&[]));
    }

    #[test]
    fn aggregates_are_searched_to_their_end() {
        // PPS, then IDR.
        assert!(is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x65, 0x88]));
        assert!(!is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x41, 0x88]));
        // The second unit claims more than there is.
        assert!(!is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 9, 0x65, 0x88]));
    }

    #[test]
    fn only_the_first_fragment_begins_a_key_frame() {
        assert!(is_key_frame(&[0x7c, 0x85, 0x88]));
        assert!(!is_key_frame(&[0x7c, 0x05, 0x88]) && !is_key_frame(&[0x7c, 0x45]) && !is_key_frame(&[0x7c, 0x81]));
    }

    #[test]
    fn frame_marking_gives_the_layers() {
        let marking = FrameMarking::decode(&[0x8a, 0, 3]);
        let info = inspect(&[0x41, 0x9a], marking);
        assert!(!info.is_key_frame && info.starts_frame && info.switches_temporal);
        assert_eq!(info.temporal_layer, 2);
    }

    proptest! {
        #[test]
        fn arbitrary_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            is_key_frame(&payload);
        }
    }
}
