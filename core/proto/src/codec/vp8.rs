//! The VP8 payload descriptor (RFC 7741 section 4.2).
//!
//! ```text
//! |X|R|N|S|R| PID |
//! |I|L|T|K|  RSV  |   if X
//! |M| PictureID   |   if I; 15 bits in two bytes if M
//! |   TL0PICIDX   |   if L
//! |TID|Y| KEYIDX  |   if T or K
//! ```

use super::{DescriptorReader, PayloadDescriptor, PayloadInfo, TruncatedDescriptor};

/// A parsed payload descriptor, with offsets of what a forwarder rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// Length in bytes of the descriptor.
    pub len: usize,
    /// Nothing refers to the frame: it may be left out.
    pub non_reference: bool,
    /// The payload begins a VP8 partition.
    pub starts_partition: bool,
    /// Index of the partition.
    pub partition: u8,
    /// Running index of frames, 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Whether the picture id has 15 bits.
    pub picture_id_is_long: bool,
    /// Running index of frames of the base temporal layer.
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer, 0 to 3.
    pub temporal_id: Option<u8>,
    /// The frame depends on the base layer alone: a point to switch up at.
    pub layer_sync: bool,
    /// Running index of key frames, 5 bits.
    pub key_index: Option<u8>,
}

/// Offset of the picture id in the payload, if it has one.
const PICTURE_ID_OFFSET: usize = 2;

impl Descriptor {
    /// Parses the descriptor in front of a payload.
    pub fn parse(payload: &[u8]) -> Result<Descriptor, TruncatedDescriptor> {
        let mut bytes = DescriptorReader::new(payload);
        let first = bytes.next("first byte")?;
        let mut descriptor = Descriptor {
            non_reference: first & 0x20 != 0,
            starts_partition: first & 0x10 != 0,
            partition: first & 0x07,
            ..Descriptor::default()
        };
        if first & 0x80 != 0 {
            let extended = bytes.next("extension byte")?;
            if extended & 0x80 != 0 {
                let (picture_id, is_long) = bytes.picture_id()?;
                descriptor.picture_id = Some(picture_id);
                descriptor.picture_id_is_long = is_long;
            }
            if extended & 0x40 != 0 {
                descriptor.tl0_pic_idx = Some(bytes.next("TL0PICIDX")?);
            }
            if extended & 0x30 != 0 {
                let byte = bytes.next("TID and KEYIDX")?;
                if extended & 0x20 != 0 {
                    descriptor.temporal_id = Some(byte >> 6);
                    descriptor.layer_sync = byte & 0x20 != 0;
                }
                if extended & 0x10 != 0 {
                    descriptor.key_index = Some(byte & 0x1f);
                }
            }
        }
        descriptor.len = bytes.read;
        Ok(descriptor)
    }

    /// Whether the payload begins a key frame: the first partition's first byte has its lowest bit clear
    /// (RFC 7741 section 4.3).
    pub fn is_key_frame(&self, payload: &[u8]) -> bool {
        self.starts_partition && self.partition == 0 && payload.get(self.len).is_some_and(|first| first & 1 == 0)
    }

    /// Overwrites the picture id in a copy of the descriptor, in the width that it has. Without one, nothing happens.
    pub fn set_picture_id(&self, descriptor: &mut [u8], picture_id: u16) {
        let [high, low] = picture_id.to_be_bytes();
        match descriptor.get_mut(PICTURE_ID_OFFSET..) {
            Some([first, second, ..]) if self.picture_id_is_long => (*first, *second) = (high | 0x80, low),
            Some([only, ..]) if self.picture_id.is_some() && !self.picture_id_is_long => *only = low & 0x7f,
            _ => {}
        }
    }

    /// Overwrites TL0PICIDX in a copy of the descriptor. Without one, nothing happens.
    pub fn set_tl0_pic_idx(&self, descriptor: &mut [u8], tl0_pic_idx: u8) {
        let picture_id_len = usize::from(self.picture_id.is_some()) + usize::from(self.picture_id_is_long);
        if let (Some(_), Some(byte)) = (self.tl0_pic_idx, descriptor.get_mut(PICTURE_ID_OFFSET + picture_id_len)) {
            *byte = tl0_pic_idx;
        }
    }
}

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Ok(descriptor) = Descriptor::parse(payload) else {
        return PayloadInfo::default();
    };
    let is_key_frame = descriptor.is_key_frame(payload);
    PayloadInfo {
        is_key_frame,
        starts_frame: descriptor.starts_partition && descriptor.partition == 0,
        temporal_layer: descriptor.temporal_id.unwrap_or(0),
        has_temporal_layer: descriptor.temporal_id.is_some() && descriptor.tl0_pic_idx.is_some(),
        switches_spatial: is_key_frame,
        switches_temporal: is_key_frame || descriptor.layer_sync,
        is_discardable: descriptor.non_reference,
        descriptor: PayloadDescriptor::Vp8(descriptor),
        ..PayloadInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shortest_descriptor() {
        let descriptor = Descriptor::parse(&[0x10, 0x00]).unwrap();
        assert_eq!((descriptor.len, descriptor.picture_id, descriptor.temporal_id), (1, None, None));
        assert!(descriptor.is_key_frame(&[0x10, 0x00]));
        assert!(!descriptor.is_key_frame(&[0x10, 0x01]) && !descriptor.is_key_frame(&[0x10]));
    }

    #[test]
    fn every_field_of_the_longest_descriptor() {
        let payload = [0xb0, 0xf0, 0x91, 0x23, 0x07, 0xa9, 0x01];
        let descriptor = Descriptor::parse(&payload).unwrap();
        let expected = Descriptor {
            len: 6,
            non_reference: true,
            starts_partition: true,
            partition: 0,
            picture_id: Some(0x1123),
            picture_id_is_long: true,
            tl0_pic_idx: Some(7),
            temporal_id: Some(2),
            layer_sync: true,
            key_index: Some(9),
        };
        assert_eq!(descriptor, expected);
        let info = inspect(&payload);
        assert!(!info.is_key_frame && info.starts_frame && info.switches_temporal && info.is_discardable);
        assert_eq!(info.temporal_layer, 2);
    }

    #[test]
    fn a_cut_descriptor_names_the_field_that_does_not_fit() {
        let payload = [0xb0, 0xf0, 0x91, 0x23, 0x07, 0xa9];
        let fields = ["first byte", "extension byte", "picture id", "picture id", "TL0PICIDX", "TID and KEYIDX"];
        for (len, field) in fields.into_iter().enumerate() {
            assert_eq!(Descriptor::parse(&payload[..len]), Err(TruncatedDescriptor { field, len }));
        }
        assert_eq!(inspect(&payload[..5]), PayloadInfo::default());
    }

    #[test]
    fn a_later_packet_of_a_key_frame_is_none() {
        // The first byte after the descriptor is coded data here.
        assert!(!inspect(&[0x80, 0x80, 0x11, 0x00]).is_key_frame);
        assert!(!inspect(&[0x11, 0x00]).is_key_frame);
    }

    #[test]
    fn rewriting_keeps_the_width() {
        let mut long = [0xb0, 0xf0, 0x91, 0x23, 0x07, 0xa9, 0x01];
        let descriptor = Descriptor::parse(&long).unwrap();
        descriptor.set_picture_id(&mut long, 0x7fff);
        descriptor.set_tl0_pic_idx(&mut long, 200);
        assert_eq!(long, [0xb0, 0xf0, 0xff, 0xff, 200, 0xa9, 0x01]);
        let mut short = [0x90, 0xc0, 0x05, 0x07, 0x01];
        let descriptor = Descriptor::parse(&short).unwrap();
        descriptor.set_picture_id(&mut short, 0x1ff);
        descriptor.set_tl0_pic_idx(&mut short, 8);
        assert_eq!(short, [0x90, 0xc0, 0x7f, 0x08, 0x01]);
    }

    proptest! {
        #[test]
        fn what_is_rewritten_is_read(
            mut payload in proptest::collection::vec(any::<u8>(), 0..10), picture_id: u16, tl0: u8
        ) {
            inspect(&payload);
            if let Ok(before) = Descriptor::parse(&payload) {
                prop_assert!(before.len <= payload.len());
                before.set_picture_id(&mut payload, picture_id);
                before.set_tl0_pic_idx(&mut payload, tl0);
                let mask = if before.picture_id_is_long { 0x7fff } else { 0x7f };
                let expected = Descriptor {
                    picture_id: before.picture_id.map(|_| picture_id & mask),
                    tl0_pic_idx: before.tl0_pic_idx.map(|_| tl0),
                    ..before
                };
                prop_assert_eq!(Descriptor::parse(&payload), Ok(expected));
            }
        }
    }
}
