//! The VP9 payload descriptor (RFC 9628 section 4.2).
//!
//! ```text
//! |I|P|L|F|B|E|V|Z|
//! |M| PICTURE ID  |   if I; 15 bits in two bytes if M
//! | TID |U| SID |D|   if L
//! |   TL0PICIDX   |   if L and not F
//! | P_DIFF      |N|   if P and F, one to three times
//! | SS ..             if V
//! ```

use super::{DescriptorReader, PayloadDescriptor, PayloadInfo, TruncatedDescriptor};

/// A parsed payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// Running index of pictures, 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Whether the picture id has 15 bits.
    pub picture_id_is_long: bool,
    /// The frame refers to earlier pictures.
    pub inter_picture_predicted: bool,
    /// References are given by differences of picture ids (flexible mode).
    pub flexible: bool,
    /// First packet of a layer frame.
    pub starts_frame: bool,
    /// Last packet of a layer frame.
    pub ends_frame: bool,
    /// A scalability structure is given.
    pub has_scalability_structure: bool,
    /// Z: no frame of a higher spatial layer refers to this one. Those of its own layer may.
    pub not_reference_for_upper: bool,
    /// The layer indices, if given.
    pub layers: Option<Layers>,
    /// The earlier pictures that the frame refers to, in flexible mode.
    pub references: References,
}

/// The most earlier pictures that a frame can refer to.
const MAX_REFERENCES: usize = 3;

/// Earlier pictures of the frame's spatial layer, by how many picture ids before the frame's own they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct References {
    differences: [u8; MAX_REFERENCES],
    count: u8,
}

impl References {
    /// The differences, at most three.
    pub fn differences(&self) -> &[u8] {
        &self.differences[..usize::from(self.count)]
    }

    /// Adds one, if there is room.
    fn add(&mut self, difference: u8) {
        if let Some(slot) = self.differences.get_mut(usize::from(self.count)) {
            *slot = difference;
            self.count += 1;
        }
    }

    /// What they are for a receiver that has (bit `n` for the picture `n + 1` before) or may still get these pictures only.
    /// For one that it hasn't stands the next after it that it has, each once.
    pub fn among(&self, pictures: u128) -> References {
        let mut among = References::default();
        for difference in self.differences() {
            // The bits of that picture and those after it, of which the highest is the nearest to it.
            let since = u128::MAX.checked_shr(128 - u32::from(*difference)).unwrap_or(0);
            let nearest = (128 - (pictures & since).leading_zeros()) as u8;
            let stands = if nearest == 0 { *difference } else { nearest };
            if !among.differences().contains(&stands) {
                among.add(stands);
            }
        }
        among
    }
}

/// The layer indices of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Temporal layer, 0 to 7.
    pub temporal_id: u8,
    /// U: the pictures of higher temporal layers after this one refer to no picture before it that is above its layer. A
    /// receiver of its layer can take higher ones from there on.
    pub switching_up: bool,
    /// Spatial layer, 0 to 7.
    pub spatial_id: u8,
    /// The frame refers to the lower spatial layer of its picture.
    pub inter_layer_dependency: bool,
    /// Running index of pictures of the base temporal layer; not in flexible mode.
    pub tl0_pic_idx: Option<u8>,
}

impl Descriptor {
    /// Parses the descriptor in front of a payload, up to the differences.
    pub fn parse(payload: &[u8]) -> Result<Descriptor, TruncatedDescriptor> {
        let mut bytes = DescriptorReader::new(payload);
        let first = bytes.next("first byte")?;
        let flexible = first & 0x10 != 0;
        let (picture_id, picture_id_is_long) = match first & 0x80 {
            0 => (None, false),
            _ => {
                let (picture_id, is_long) = bytes.picture_id()?;
                (Some(picture_id), is_long)
            }
        };
        let layers = match first & 0x20 {
            0 => None,
            _ => {
                let byte = bytes.next("layer indices")?;
                Some(Layers {
                    temporal_id: byte >> 5,
                    switching_up: byte & 0x10 != 0,
                    spatial_id: byte >> 1 & 0x07,
                    inter_layer_dependency: byte & 0x01 != 0,
                    tl0_pic_idx: if flexible { None } else { Some(bytes.next("TL0PICIDX")?) },
                })
            }
        };
        let mut references = References::default();
        let mut has_more = flexible && first & 0x40 != 0;
        while has_more {
            let byte = bytes.next("P_DIFF")?;
            references.add(byte >> 1);
            has_more = byte & 0x01 != 0 && references.differences().len() < MAX_REFERENCES;
        }
        Ok(Descriptor {
            picture_id,
            picture_id_is_long,
            inter_picture_predicted: first & 0x40 != 0,
            flexible,
            starts_frame: first & 0x08 != 0,
            ends_frame: first & 0x04 != 0,
            has_scalability_structure: first & 0x02 != 0,
            not_reference_for_upper: first & 0x01 != 0,
            layers,
            references,
        })
    }

    /// Whether the payload begins a key frame: the first packet of the lowest spatial layer of a picture that refers to
    /// no earlier one.
    pub fn is_key_frame(&self) -> bool {
        self.starts_frame && !self.inter_picture_predicted && self.layers.is_none_or(|layers| layers.spatial_id == 0)
    }

    /// Overwrites the picture id in a copy of the descriptor, in the width that it has. Without one, nothing happens.
    pub fn set_picture_id(&self, descriptor: &mut [u8], picture_id: u16) {
        let [high, low] = picture_id.to_be_bytes();
        match descriptor.get_mut(1..) {
            Some([first, second, ..]) if self.picture_id_is_long => (*first, *second) = (high | 0x80, low),
            Some([only, ..]) if self.picture_id.is_some() && !self.picture_id_is_long => *only = low & 0x7f,
            _ => {}
        }
    }

    /// Overwrites TL0PICIDX in a copy of the descriptor. Without one, nothing happens.
    pub fn set_tl0_pic_idx(&self, descriptor: &mut [u8], tl0_pic_idx: u8) {
        let has_it = self.layers.is_some_and(|layers| layers.tl0_pic_idx.is_some());
        if let Some(byte) = descriptor.get_mut(2 + self.picture_id_len()).filter(|_| has_it) {
            *byte = tl0_pic_idx;
        }
    }

    /// How many pictures it is before the one with this id.
    pub fn pictures_before(&self, picture_id: u16) -> Option<u16> {
        let mask = if self.picture_id_is_long { 0x7fff } else { 0x7f };
        Some(picture_id.wrapping_sub(self.picture_id?) & mask)
    }

    /// How many pictures it is after the one with this id.
    pub fn pictures_since(&self, picture_id: u16) -> Option<u16> {
        let mask = if self.picture_id_is_long { 0x7fff } else { 0x7f };
        Some(self.picture_id?.wrapping_sub(picture_id) & mask)
    }

    /// How many bytes [`set_references`](Self::set_references) takes away.
    pub fn excess(&self, references: &References) -> usize {
        usize::from(self.references.count.saturating_sub(references.count))
    }

    /// Overwrites the references in a copy of the descriptor by as many or fewer. With fewer it becomes shorter, and the
    /// payload begins later by the number of bytes that is returned.
    pub fn set_references(&self, descriptor: &mut [u8], references: &References) -> usize {
        let excess = self.excess(references);
        let fixed = 1 + self.picture_id_len() + usize::from(self.layers.is_some());
        let Some(descriptor) = descriptor.get_mut(..fixed + usize::from(self.references.count)) else { return 0 };
        descriptor.copy_within(..fixed, excess);
        let places = descriptor.iter_mut().skip(excess + fixed);
        for (index, (place, difference)) in places.zip(references.differences()).enumerate() {
            let has_more = index + 1 < references.differences().len();
            *place = difference << 1 | u8::from(has_more);
        }
        excess
    }

    fn picture_id_len(&self) -> usize {
        usize::from(self.picture_id.is_some()) + usize::from(self.picture_id_is_long)
    }
}

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Ok(descriptor) = Descriptor::parse(payload) else {
        return PayloadInfo::default();
    };
    let is_key_frame = descriptor.is_key_frame();
    let layers = descriptor.layers;
    let switching_up = layers.is_some_and(|layers| layers.switching_up);
    PayloadInfo {
        is_key_frame,
        starts_frame: descriptor.starts_frame,
        ends_frame: descriptor.ends_frame,
        spatial_layer: layers.map_or(0, |layers| layers.spatial_id),
        temporal_layer: layers.map_or(0, |layers| layers.temporal_id),
        has_spatial_layer: layers.is_some(),
        has_temporal_layer: layers.is_some(),
        // A layer frame without references to earlier pictures can be joined from the layer below it.
        switches_spatial: descriptor.starts_frame && !descriptor.inter_picture_predicted,
        switches_temporal: is_key_frame || switching_up,
        // Z speaks of higher spatial layers only.
        is_discardable: false,
        descriptor: PayloadDescriptor::Vp9(descriptor),
        dependency: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn key_frame_of_a_non_flexible_stream() {
        // I, L, B, V; 15-bit picture id 0x1234; TID 0, U, SID 0; TL0PICIDX 9.
        let payload = [0xaa, 0x92, 0x34, 0x10, 9, 0xff];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.picture_id, Some(0x1234));
        let layers = descriptor.layers.unwrap();
        assert_eq!((layers.temporal_id, layers.spatial_id, layers.tl0_pic_idx), (0, 0, Some(9)));
        assert!(layers.switching_up && descriptor.has_scalability_structure && descriptor.is_key_frame());
        let info = inspect(&payload);
        assert!(info.is_key_frame && info.starts_frame && !info.ends_frame && info.switches_temporal);
    }

    #[test]
    fn an_upper_layer_of_a_key_picture_is_no_key_frame_but_a_spatial_switch() {
        // I, L, F, B, E; 7-bit picture id; TID 0, SID 2, D.
        let info = inspect(&[0xbc, 0x05, 0x05]);
        assert!(!info.is_key_frame && info.switches_spatial && info.ends_frame);
        assert_eq!((info.spatial_layer, info.temporal_layer), (2, 0));
        // TID 5, SID 6.
        let info = inspect(&[0xbc, 0x05, 0xad]);
        assert_eq!((info.spatial_layer, info.temporal_layer), (6, 5));
    }

    #[test]
    fn predicted_and_later_packets_are_no_key_frames() {
        // I, P, L, B: TID 2, U.
        let info = inspect(&[0xe8, 0x05, 0x50, 3]);
        assert!(!info.is_key_frame && info.switches_temporal && !info.switches_spatial);
        assert_eq!(info.temporal_layer, 2);
        // Without B.
        assert!(!inspect(&[0xa0, 0x05, 0x00, 3]).is_key_frame);
    }

    #[test]
    fn what_no_upper_layer_refers_to_may_be_referred_to_by_its_own() {
        // I, P, L, B, E, Z: the only spatial layer.
        let payload = [0xed, 0x05, 0x00, 3];
        assert!(Descriptor::parse(&payload).unwrap().not_reference_for_upper && !inspect(&payload).is_discardable);
    }

    #[test]
    fn a_cut_descriptor_names_the_field_that_does_not_fit() {
        let payload = [0xa8, 0x85, 0x12, 0x00, 3];
        let fields = ["first byte", "picture id", "picture id", "layer indices", "TL0PICIDX"];
        for (len, field) in fields.into_iter().enumerate() {
            assert_eq!(Descriptor::parse(&payload[..len]), Err(TruncatedDescriptor { field, len }));
        }
        let predicted = [0xf8, 0x05, 0x00, 3];
        assert_eq!(Descriptor::parse(&predicted), Err(TruncatedDescriptor { field: "P_DIFF", len: 4 }));
        assert_eq!(inspect(&payload[..3]), PayloadInfo::default());
    }

    #[test]
    fn references_to_what_a_receiver_has_not_are_replaced() {
        // I, P, L, F, B; 15-bit picture id 0x0123; TID 1, SID 0; 1, 4 and 6 pictures before; what follows.
        let payload = [0xf8, 0x81, 0x23, 0x20, 1 << 1 | 1, 4 << 1 | 1, 6 << 1, 0xaa, 0xbb];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.references.differences(), [1, 4, 6]);
        assert_eq!((descriptor.pictures_since(0x011f), descriptor.pictures_since(0x7f24)), (Some(4), Some(0x1ff)));
        for (pictures, expected) in [
            (u128::MAX, &[1, 4, 6][..]),
            (0b101001, &[1, 4, 6]),
            (0b011001, &[1, 4, 5]),
            (0b000101, &[1, 3]),
            (0b000001, &[1]),
            // Nothing stands for the first one.
            (0b000010, &[1, 2]),
            (0, &[1, 4, 6]),
        ] {
            let references = descriptor.references.among(pictures);
            assert_eq!(references.differences(), expected, "{pictures:b}");
            let mut changed = payload;
            let excess = descriptor.set_references(&mut changed, &references);
            assert_eq!(excess, 3 - expected.len());
            assert_eq!(Descriptor::parse(&changed[excess..]), Ok(Descriptor { references, ..descriptor }));
            assert_eq!(changed[7..], [0xaa, 0xbb]);
        }
        let farthest = References { differences: [127, 0, 0], count: 1 };
        assert_eq!(farthest.among(1 << 126), farthest);
        assert_eq!(farthest.among(1 << 127 | 1 << 125).differences(), [126]);
    }

    proptest! {
        #[test]
        fn what_is_rewritten_is_read(
            mut payload in proptest::collection::vec(any::<u8>(), 0..12), picture_id: u16, tl0: u8, pictures: u128
        ) {
            inspect(&payload);
            if let Ok(before) = Descriptor::parse(&payload) {
                before.set_picture_id(&mut payload, picture_id);
                before.set_tl0_pic_idx(&mut payload, tl0);
                let mask = if before.picture_id_is_long { 0x7fff } else { 0x7f };
                let layers = before.layers.map(|layers| Layers { tl0_pic_idx: layers.tl0_pic_idx.map(|_| tl0), ..layers });
                let picture_id = before.picture_id.map(|_| picture_id & mask);
                let expected = Descriptor { picture_id, layers, ..before };
                prop_assert_eq!(Descriptor::parse(&payload), Ok(expected));
                let references = expected.references.among(pictures);
                let excess = expected.set_references(&mut payload, &references);
                prop_assert_eq!(Descriptor::parse(&payload[excess..]), Ok(Descriptor { references, ..expected }));
            }
        }
    }
}
