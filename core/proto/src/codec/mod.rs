//! Codecs, as far as forwarding looks into them: is it a key frame, which layer, may the layer be switched here.
//!
//! [`Inspector`] answers that for each packet of a producer's stream as a [`PayloadInfo`]; the modules have the payload
//! descriptors themselves.
//!
//! Not here: decoding; H.265 payloads; the scalability structure of VP9; H.264 scalability without frame marking.

pub mod av1;
pub mod dependency_descriptor;
pub mod h264;
mod mime;
pub mod opus;
pub mod vp8;
pub mod vp9;

pub use mime::{Codec, MediaType, MimeType, UnknownMimeType};

use crate::rtp::FrameMarking;

/// A payload ends inside its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload of {len} bytes ends inside the {field} of its descriptor")]
pub struct TruncatedDescriptor {
    /// The field that does not fit.
    pub field: &'static str,
    /// Length of the payload in bytes.
    pub len: usize,
}

/// Reads the bytes of a payload descriptor one after the other.
struct DescriptorReader<'a> {
    payload: &'a [u8],
    read: usize,
}

impl<'a> DescriptorReader<'a> {
    fn new(payload: &'a [u8]) -> DescriptorReader<'a> {
        DescriptorReader { payload, read: 0 }
    }

    fn next(&mut self, field: &'static str) -> Result<u8, TruncatedDescriptor> {
        let byte = self.payload.get(self.read).ok_or(TruncatedDescriptor { field, len: self.payload.len() })?;
        self.read += 1;
        Ok(*byte)
    }

    /// A picture id: 7 bits, or 15 in two bytes if the first bit is set (RFC 7741, RFC 9628). Says whether it has 15.
    fn picture_id(&mut self) -> Result<(u16, bool), TruncatedDescriptor> {
        let high = self.next("picture id")?;
        Ok(match high & 0x80 {
            0 => (high.into(), false),
            _ => (u16::from_be_bytes([high & 0x7f, self.next("picture id")?]), true),
        })
    }
}

/// What a forwarder needs to know of one packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PayloadInfo {
    /// The packet begins a key frame (of the lowest spatial layer).
    pub is_key_frame: bool,
    /// First packet of a frame of its layer, if the payload tells.
    pub starts_frame: bool,
    /// Last packet of a frame of its layer, if the payload tells. The marker bit tells the end of the whole picture.
    pub ends_frame: bool,
    /// Spatial layer; 0 if there are none.
    pub spatial_layer: u8,
    /// Temporal layer; 0 if there are none.
    pub temporal_layer: u8,
    /// The payload tells the spatial layer.
    pub has_spatial_layer: bool,
    /// The payload tells the temporal layer.
    pub has_temporal_layer: bool,
    /// The packet begins a frame at which a receiver of lower spatial layers can start to get this one.
    pub switches_spatial: bool,
    /// A receiver of lower temporal layers can go up here: to the frame's layer with this very frame (VP8, AV1, frame
    /// marking); of VP9, from the frame's layer to higher ones with the pictures after it.
    pub switches_temporal: bool,
    /// Nothing depends on the frame, and the payload tells so.
    pub is_discardable: bool,
    /// The payload's descriptor, where it has numbers that a forwarder must keep without gaps.
    pub descriptor: PayloadDescriptor,
    /// The dependency descriptor, if the packet has one that could be read. Of codecs other than AV1 only an inspector
    /// [for layers](Inspector::for_layers) reads it.
    pub dependency: Option<dependency_descriptor::Descriptor>,
}

impl PayloadInfo {
    /// The frame's place and layers, as its dependency descriptor tells them.
    fn with_dependency(self, descriptor: dependency_descriptor::Descriptor) -> PayloadInfo {
        PayloadInfo {
            starts_frame: descriptor.start_of_frame,
            ends_frame: descriptor.end_of_frame,
            spatial_layer: descriptor.spatial_id,
            temporal_layer: descriptor.temporal_id,
            has_temporal_layer: true,
            dependency: Some(descriptor),
            ..self
        }
    }
}

/// A payload descriptor with numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PayloadDescriptor {
    /// The codec has none.
    #[default]
    None,
    /// RFC 7741.
    Vp8(vp8::Descriptor),
    /// RFC 9628.
    Vp9(vp9::Descriptor),
}

/// Bytes of a payload descriptor within which lies all that is rewritten: see [`PayloadDescriptor::set_numbers`] and
/// [`PayloadDescriptor::set_references`].
pub const MAX_DESCRIPTOR_LEN: usize = 7;

impl PayloadDescriptor {
    /// The descriptor in front of a payload; `None` if there is none, or none that can be read.
    pub fn parse(codec: Codec, payload: &[u8]) -> PayloadDescriptor {
        match codec {
            Codec::Vp8 => vp8::Descriptor::parse(payload).map_or(PayloadDescriptor::None, PayloadDescriptor::Vp8),
            Codec::Vp9 => vp9::Descriptor::parse(payload).map_or(PayloadDescriptor::None, PayloadDescriptor::Vp9),
            _ => PayloadDescriptor::None,
        }
    }

    /// The picture id and its width in bits, if there is one.
    pub fn picture_id(&self) -> Option<(u16, u32)> {
        let (picture_id, is_long) = match self {
            PayloadDescriptor::None => return None,
            PayloadDescriptor::Vp8(descriptor) => (descriptor.picture_id?, descriptor.picture_id_is_long),
            PayloadDescriptor::Vp9(descriptor) => (descriptor.picture_id?, descriptor.picture_id_is_long),
        };
        Some((picture_id, if is_long { 15 } else { 7 }))
    }

    /// TL0PICIDX, if there is one.
    pub fn tl0_pic_idx(&self) -> Option<u8> {
        match self {
            PayloadDescriptor::None => None,
            PayloadDescriptor::Vp8(descriptor) => descriptor.tl0_pic_idx,
            PayloadDescriptor::Vp9(descriptor) => descriptor.layers?.tl0_pic_idx,
        }
    }

    /// Overwrites picture id and TL0PICIDX in a copy of the descriptor, which has them at the same places, within its first
    /// [`MAX_DESCRIPTOR_LEN`] bytes. What it does not have is not written.
    pub fn set_numbers(&self, descriptor: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
        match self {
            PayloadDescriptor::None => {}
            PayloadDescriptor::Vp8(parsed) => {
                parsed.set_picture_id(descriptor, picture_id);
                parsed.set_tl0_pic_idx(descriptor, tl0_pic_idx);
            }
            PayloadDescriptor::Vp9(parsed) => {
                parsed.set_picture_id(descriptor, picture_id);
                parsed.set_tl0_pic_idx(descriptor, tl0_pic_idx);
            }
        }
    }

    /// How many bytes [`set_references`](Self::set_references) takes away.
    pub fn excess(&self, references: &vp9::References) -> usize {
        match self {
            PayloadDescriptor::Vp9(parsed) => parsed.excess(references),
            _ => 0,
        }
    }

    /// Overwrites the references to earlier pictures in a copy of the descriptor by as many or fewer. With fewer it becomes
    /// shorter, and the payload begins later by the number of bytes that is returned. Only VP9's has references.
    pub fn set_references(&self, descriptor: &mut [u8], references: &vp9::References) -> usize {
        match self {
            PayloadDescriptor::Vp9(parsed) => parsed.set_references(descriptor, references),
            _ => 0,
        }
    }
}

/// Looks into the payloads of one stream. Keep one per producer stream: AV1's layers are told by a structure that
/// comes with key frames only, and how H.264's key frames begin depends on what came before.
#[derive(Clone, Debug)]
pub struct Inspector {
    codec: Codec,
    reads_dependencies: bool,
    dependency_descriptor: dependency_descriptor::Parser,
    h264: h264::KeyFrameDetector,
}

impl Inspector {
    /// An inspector for payloads of `codec`.
    pub fn new(codec: Codec) -> Inspector {
        Inspector {
            codec,
            reads_dependencies: codec == Codec::Av1,
            dependency_descriptor: dependency_descriptor::Parser::new(),
            h264: h264::KeyFrameDetector::new(),
        }
    }

    /// The same, which reads the dependency descriptors of every codec: for streams of which layers are chosen.
    pub fn for_layers(codec: Codec) -> Inspector {
        Inspector { reads_dependencies: true, ..Inspector::new(codec) }
    }

    /// What an earlier packet's payload is, as far as it takes to write it again: its descriptors and its layers. Nothing is
    /// learnt from it.
    pub fn peek(
        &self,
        payload: &[u8],
        frame_marking: Option<&[u8]>,
        dependency_descriptor: Option<&[u8]>,
    ) -> PayloadInfo {
        let info = match self.codec {
            Codec::Vp8 => vp8::inspect(payload),
            Codec::Vp9 => vp9::inspect(payload),
            Codec::H264 | Codec::H264Svc => {
                self.h264.clone().inspect(payload, frame_marking.and_then(FrameMarking::decode))
            }
            _ => PayloadInfo::default(),
        };
        match dependency_descriptor.and_then(|value| self.dependency_descriptor.peek(value).ok()) {
            Some(descriptor) if self.reads_dependencies => info.with_dependency(descriptor),
            _ => info,
        }
    }

    /// What it knows of the stream's dependencies.
    pub fn dependencies(&self) -> &dependency_descriptor::Parser {
        &self.dependency_descriptor
    }

    /// Whether a key frame can be told from other packets.
    pub fn knows_key_frames(codec: Codec) -> bool {
        matches!(codec, Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H264Svc | Codec::Av1)
    }

    /// Looks at one packet: its payload (without padding), and the values of its frame marking and dependency
    /// descriptor extensions, if it has them. Malformed descriptors count as absent: the packet is worth forwarding all the
    /// same, as the receiver may make more of it.
    pub fn inspect(
        &mut self,
        payload: &[u8],
        frame_marking: Option<&[u8]>,
        dependency_descriptor: Option<&[u8]>,
    ) -> PayloadInfo {
        let dependency = match dependency_descriptor {
            Some(value) if self.reads_dependencies => self.dependency_descriptor.parse(value).ok(),
            _ => None,
        };
        let info = match self.codec {
            Codec::Vp8 => vp8::inspect(payload),
            Codec::Vp9 => vp9::inspect(payload),
            Codec::H264 | Codec::H264Svc => self.h264.inspect(payload, frame_marking.and_then(FrameMarking::decode)),
            Codec::Av1 => return av1::inspect(payload, dependency),
            _ => PayloadInfo::default(),
        };
        match dependency {
            Some(descriptor) => info.with_dependency(descriptor),
            None => info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_decides_how_a_payload_is_read() {
        let inspect = |codec, payload: &[u8]| Inspector::new(codec).inspect(payload, None, None).is_key_frame;
        assert!(inspect(Codec::Vp8, &[0x10, 0x00]));
        assert!(inspect(Codec::Vp9, &[0x08]));
        assert!(inspect(Codec::H264, &[0x65, 0x88]));
        assert!(inspect(Codec::Av1, &[0x18, 0x0a]));
        assert!(!inspect(Codec::Opus, &[0x10, 0x00]) && !Inspector::knows_key_frames(Codec::Opus));
    }

    #[test]
    fn a_malformed_dependency_descriptor_counts_as_absent() {
        let info = Inspector::new(Codec::Av1).inspect(&[0x18, 0x0a], None, Some(&[0x80]));
        assert!(info.is_key_frame && !info.has_spatial_layer);
    }

    /// The key picture that Chrome sends of AV1 as L3T3, and its next one; the capture is also in LiveKit's tests.
    #[test]
    fn av1_key_frames_by_the_dependency_descriptor() {
        let structure = "0172 80081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082\
                         b04a0941b820ac1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d";
        let structure = structure.replace(' ', "");
        let inspect = |values: &[&str]| {
            let mut inspector = Inspector::new(Codec::Av1);
            let inspect = |value: &&str| inspector.inspect(&[0x30], None, Some(&hex::decode(value).unwrap()));
            values.iter().map(inspect).last().unwrap()
        };
        let key = format!("c1{structure}");
        let info = inspect(&[&key]);
        assert!(info.is_key_frame && info.switches_spatial && info.switches_temporal && info.starts_frame);
        assert!(info.has_spatial_layer && info.has_temporal_layer && info.ends_frame && !info.is_discardable);
        // The rest of the key picture, and the next one.
        for value in ["86017340fc", "46017340fc", "c3017540fc", "88017640fc", "8b0174"] {
            assert!(!inspect(&[&key, value]).is_key_frame, "{value}");
        }
        let upper = inspect(&[&key, "86017340fc"]);
        assert!((upper.spatial_layer, upper.switches_spatial, upper.ends_frame) == (1, true, false));
        // The structure, again in a frame's later packet, and in one of an upper layer.
        assert!(!inspect(&[&format!("41{structure}")]).is_key_frame);
        assert!(!inspect(&[&format!("c6{structure}")]).is_key_frame);
    }
}
