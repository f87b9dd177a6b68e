//! AV1 payloads: the aggregation header (AV1 RTP specification section 4.4), and OBU headers as far as a sequence
//! header is to be noticed.
//!
//! ```text
//! |Z|Y| W |N|-|-|-|
//! ```

use super::PayloadInfo;
use super::dependency_descriptor::Descriptor;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;

/// Whether the payload begins a key frame: it starts a new coded video sequence (N), or its first OBU is a sequence
/// header.
pub fn is_key_frame(payload: &[u8]) -> bool {
    let Some((&aggregation, elements)) = payload.split_first() else {
        return false;
    };
    let continues = aggregation & 0x80 != 0;
    let new_sequence = aggregation & 0x08 != 0;
    !continues && (new_sequence || first_obu_type(aggregation >> 4 & 3, elements) == Some(OBU_SEQUENCE_HEADER))
}

/// The type of the first OBU that is not a temporal delimiter. `count` is the W field: the number of elements, the last
/// of which has no length in front, or 0 if all have one.
fn first_obu_type(count: u8, mut elements: &[u8]) -> Option<u8> {
    let mut left = count;
    loop {
        let element;
        if left == 1 {
            (element, elements) = (elements, &[]);
        } else {
            let len = leb128(&mut elements)?;
            (element, elements) = elements.split_at_checked(len)?;
            left = left.saturating_sub(1);
        }
        let obu_type = element.first()? >> 3 & 0x0f;
        if obu_type != OBU_TEMPORAL_DELIMITER {
            return Some(obu_type);
        }
    }
}

/// Reads a length of at most eight bytes of seven bits, the least significant first (AV1 specification 4.10.5).
fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..56).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

pub(super) fn inspect(payload: &[u8], descriptor: Option<Descriptor>) -> PayloadInfo {
    let Some(descriptor) = descriptor else {
        let is_key_frame = is_key_frame(payload);
        return PayloadInfo {
            is_key_frame,
            switches_spatial: is_key_frame,
            switches_temporal: is_key_frame,
            ..PayloadInfo::default()
        };
    };
    // The structure comes with the first packet of a key frame, which the lowest spatial layer begins.
    let is_key_frame = descriptor.has_structure && descriptor.start_of_frame && descriptor.spatial_id == 0;
    PayloadInfo {
        is_key_frame,
        starts_frame: descriptor.start_of_frame,
        ends_frame: descriptor.end_of_frame,
        spatial_layer: descriptor.spatial_id,
        temporal_layer: descriptor.temporal_id,
        has_spatial_layer: true,
        has_temporal_layer: true,
        switches_spatial: is_key_frame || descriptor.switches_spatial,
        switches_temporal: is_key_frame || descriptor.switches_temporal,
        is_discardable: descriptor.is_discardable,
        dependency: Some(descriptor),
        ..PayloadInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_sequence_by_flag_or_by_header() {
        assert!(is_key_frame(&[0x18, 0x0a, 0x01]));
        // W = 1, a sequence header OBU without N; then with a length (W = 2 and W = 0).
        assert!(is_key_frame(&[0x10, 0x0a, 0x01]));
        assert!(is_key_frame(&[0x20, 0x02, 0x0a, 0x01, 0x30]));
        assert!(is_key_frame(&[0x00, 0x02, 0x0a, 0x01]));
        // After a temporal delimiter.
        assert!(is_key_frame(&[0x20, 0x01, 0x10, 0x0a]));
    }

    #[test]
    fn other_packets_are_no_key_frames() {
        // A frame OBU (type 6), a continuation, nothing, a length beyond the end.
        assert!(!is_key_frame(&[0x10, 0x30, 0x01]));
        assert!(!is_key_frame(&[0x90, 0x0a, 0x01]));
        assert!(!is_key_frame(&[]) && !is_key_frame(&[0x10]) && !is_key_frame(&[0x00, 0x7f, 0x0a]));
        // A temporal delimiter alone: what follows in its element is no further OBU.
        assert!(!is_key_frame(&[0x10, 0x10, 0x0a, 0x01, 0x02]) && !is_key_frame(&[0x20, 0x01, 0x10, 0x12, 0x00]));
        // A length that does not end in eight bytes.
        assert!(!is_key_frame(&[0x00, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x0a]));
    }

    proptest! {
        #[test]
        fn arbitrary_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            is_key_frame(&payload);
        }
    }
}
