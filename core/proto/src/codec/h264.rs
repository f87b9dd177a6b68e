//! H.264 payloads (RFC 6184 section 5): single NAL units, STAP-A aggregates and FU-A fragments.

use super::PayloadInfo;
use crate::rtp::FrameMarking;

const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETER_SET: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Tells which packets of one stream begin a key frame.
///
/// Decoding starts at a sequence parameter set, if the stream brings any: from the first one on, only they begin key
/// frames, so that nobody starts behind one that was lost. Without, the sets come by signalling, and an IDR picture does.
#[derive(Clone, Debug, Default)]
pub struct KeyFrameDetector {
    has_parameter_sets: bool,
}

impl KeyFrameDetector {
    /// A detector for a stream of which nothing is known.
    pub fn new() -> KeyFrameDetector {
        KeyFrameDetector::default()
    }

    /// Whether the payload begins a key frame: by a unit that is alone, first in a fragment, or anywhere in an aggregate.
    pub fn is_key_frame(&mut self, payload: &[u8]) -> bool {
        let has_parameter_set = begun_units(payload).any(|unit| unit.nal_type == SEQUENCE_PARAMETER_SET);
        self.has_parameter_sets |= has_parameter_set;
        has_parameter_set || !self.has_parameter_sets && begun_units(payload).any(Unit::begins_idr_picture)
    }

    pub(super) fn inspect(&mut self, payload: &[u8], marking: Option<FrameMarking>) -> PayloadInfo {
        let in_payload = self.is_key_frame(payload);
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
            ..PayloadInfo::default()
        }
    }
}

/// The beginning of a NAL unit.
#[derive(Clone, Copy)]
struct Unit {
    nal_type: u8,
    /// The byte after its header, which in a slice begins with the number of its first macroblock.
    second: Option<u8>,
}

impl Unit {
    fn begins_idr_picture(self) -> bool {
        // Numbers are Exp-Golomb coded (ITU-T H.264 section 9.1): that of the first macroblock, 0, is a one.
        self.nal_type == IDR_SLICE && self.second.is_some_and(|second| second & 0x80 != 0)
    }
}

/// The NAL units that begin in the payload. In an aggregate each comes after two bytes of length; one that is cut short
/// ends the list.
fn begun_units(payload: &[u8]) -> impl Iterator<Item = Unit> {
    let unit = |head: &u8, second: Option<&u8>| Unit { nal_type: nal_type(*head), second: second.copied() };
    let (only, mut aggregate) = match payload {
        [head, units @ ..] if nal_type(*head) == STAP_A => (None, units),
        [head, fragment, rest @ ..] if nal_type(*head) == FU_A => {
            // The fragment's header has the unit's type, and a bit for its first fragment.
            ((fragment & 0x80 != 0).then(|| unit(fragment, rest.first())), &[][..])
        }
        [head, rest @ ..] => (Some(unit(head, rest.first())), &[][..]),
        [] => (None, &[][..]),
    };
    let aggregated = std::iter::from_fn(move || {
        let (len, rest) = aggregate.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        aggregate = rest;
        let (head, rest) = bytes.split_first()?;
        Some(unit(head, rest.first()))
    });
    only.into_iter().chain(aggregated)
}

fn nal_type(head: u8) -> u8 {
    head & 0x1f
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_key_frame(payload: &[u8]) -> bool {
        KeyFrameDetector::new().is_key_frame(payload)
    }

    #[test]
    fn single_units() {
        assert!(is_key_frame(&[0x65, 0x88]) && is_key_frame(&[0x67, 0x42]));
        assert!(!is_key_frame(&[0x41, 0x9a]) && !is_key_frame(&[0x68]) && !is_key_frame(&[]) && !is_key_frame(&[0x65]));
    }

    #[test]
    fn aggregates_are_searched_to_their_end() {
        // PPS, then IDR.
        assert!(is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x65, 0x88]));
        assert!(is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x67, 0x42]));
        assert!(!is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x41, 0x88]));
        // The second unit claims more than there is; a unit of nothing.
        assert!(!is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 9, 0x65, 0x88]));
        assert!(!is_key_frame(&[0x78, 0, 0, 0, 2, 0x65, 0x88]));
    }

    #[test]
    fn only_the_first_fragment_begins_a_key_frame() {
        assert!(is_key_frame(&[0x7c, 0x85, 0x88]));
        assert!(!is_key_frame(&[0x7c, 0x05, 0x88]) && !is_key_frame(&[0x7c, 0x45, 0x88]));
        assert!(!is_key_frame(&[0x7c, 0x81, 0x88]) && !is_key_frame(&[0x7c]));
    }

    #[test]
    fn only_the_first_slice_begins_a_picture() {
        // first_mb_in_slice 1 is 010, alone, fragmented and aggregated.
        assert!(!is_key_frame(&[0x65, 0x40]) && !is_key_frame(&[0x7c, 0x85, 0x40]));
        assert!(!is_key_frame(&[0x78, 0, 2, 0x65, 0x40, 0, 2, 0x65, 0x20]));
    }

    #[test]
    fn once_parameter_sets_come_in_the_stream_only_they_begin_key_frames() {
        let mut detector = KeyFrameDetector::new();
        assert!(detector.is_key_frame(&[0x65, 0x88]));
        assert!(detector.is_key_frame(&[0x67, 0x42]));
        assert!(!detector.is_key_frame(&[0x65, 0x88]) && !detector.is_key_frame(&[0x7c, 0x85, 0x88]));
        assert!(!detector.is_key_frame(&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x65, 0x88]));
        assert!(detector.is_key_frame(&[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x65, 0x88]));
    }

    #[test]
    fn frame_marking_gives_the_layers() {
        let marking = FrameMarking::decode(&[0x8a, 0, 3]);
        let info = KeyFrameDetector::new().inspect(&[0x41, 0x9a], marking);
        assert!(!info.is_key_frame && info.starts_frame && info.switches_temporal);
        assert_eq!(info.temporal_layer, 2);
        let independent = FrameMarking::decode(&[0xa0, 0, 3]);
        assert!(KeyFrameDetector::new().inspect(&[0x41, 0x9a], independent).is_key_frame);
    }

    proptest! {
        #[test]
        fn arbitrary_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
            is_key_frame(&payload);
        }
    }
}
