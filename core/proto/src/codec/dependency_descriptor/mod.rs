//! The dependency descriptor header extension (AV1 RTP specification, appendix A).
//!
//! Every packet says which of the stream's frame templates its frame follows. The templates, with their layers, their
//! references and what they are to each decode target, come as a structure with the first packet of a key frame, so that
//! the parser keeps it. [`Parser::rewrite`] writes a descriptor anew for a receiver that is not sent all of the stream.
//!
//! Chains and resolutions are read over: a forwarder that knows the references needs none of them.

mod bits;
mod rewrite;
mod structure;
#[cfg(test)]
mod tests;

pub use rewrite::Changes;
pub use structure::{Indication, References};

use bits::BitReader;
use structure::{Indications, Structure};

/// Why a dependency descriptor can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// It ends inside a field.
    #[error("dependency descriptor of {0} bytes ends early")]
    Truncated(usize),
    /// It uses templates, and no key frame has brought the structure yet.
    #[error("dependency descriptor before any template structure")]
    NoStructure,
    /// The structure has no such template.
    #[error("dependency descriptor refers to template {template}, the structure has {count}")]
    UnknownTemplate {
        /// Index of the template in the structure.
        template: u8,
        /// How many there are.
        count: u8,
    },
    /// More than 64 templates or more layers than the identifiers can tell.
    #[error("dependency descriptor with too many templates or layers")]
    TooManyTemplates,
}

/// The longest value of the extension, in bytes: what the two-byte form of header extensions can carry.
pub const MAX_LEN: usize = 255;

/// What one packet's descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// First packet of the frame.
    pub start_of_frame: bool,
    /// Last packet of the frame.
    pub end_of_frame: bool,
    /// Running index of frames.
    pub frame_number: u16,
    /// Spatial layer, 0 to 3.
    pub spatial_id: u8,
    /// Temporal layer, 0 to 7.
    pub temporal_id: u8,
    /// A structure came with it: the frame is a key frame.
    pub has_structure: bool,
    /// One of the decode targets of the frame's spatial layer can be joined here.
    pub switches_spatial: bool,
    /// A decode target of the frame's temporal layer or a higher one can be joined here.
    pub switches_temporal: bool,
    /// Wherever the frame is present, nothing depends on it.
    pub is_discardable: bool,
    /// Bit mask of the decode targets that are being sent, if the packet says so.
    pub active_decode_targets: Option<u32>,
    /// The earlier frames that this one refers to.
    pub references: References,
    /// The decode targets that the frame is part of.
    pub present: LayerSet,
    /// Those of them that can be joined with it, if it can be decoded.
    pub switches: LayerSet,
    /// Those of them in which nothing depends on it.
    pub discardable: LayerSet,
    /// The decode targets that are being sent, as last said.
    pub active: LayerSet,
}

/// A set of decode targets, each known by its highest spatial (0 to 3) and temporal (0 to 7) layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerSet(pub u32);

impl LayerSet {
    /// The targets of no higher spatial and no higher temporal layer than these.
    pub fn up_to(spatial: u8, temporal: u8) -> LayerSet {
        let row = 0xff >> (7 - u32::from(temporal.min(7)));
        LayerSet((0..=spatial.min(3)).fold(0, |set, spatial| set | row << layer_index(spatial, 0)))
    }

    /// The targets of this spatial layer.
    pub fn of_spatial(spatial: u8) -> LayerSet {
        LayerSet(0xff << layer_index(spatial.min(3), 0))
    }

    /// Whether a target is among them.
    pub fn contains(self, spatial: u8, temporal: u8) -> bool {
        self.0 >> layer_index(spatial, temporal) & 1 != 0
    }

    /// The target of the highest spatial layer, and of those the one of the highest temporal layer.
    pub fn highest(self) -> Option<(u8, u8)> {
        let index = self.0.checked_ilog2()? as u8;
        Some((index >> 3, index & 7))
    }
}

/// Where a target stands in a set: 0 to 31.
fn layer_index(spatial: u8, temporal: u8) -> u32 {
    u32::from(spatial & 3) << 3 | u32::from(temporal & 7)
}

/// Reads the descriptors of one stream.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    structure: Option<Box<Structure>>,
    /// The decode targets that are being sent, as last said.
    active: u32,
}

/// The flags of the extended fields, in their order.
#[derive(Clone, Copy, Default)]
struct Extended {
    structure: bool,
    active_targets: bool,
    indications: bool,
    references: bool,
    chains: bool,
}

impl Extended {
    /// Bits of the fields that every descriptor has.
    const START: u32 = 24;

    /// Reads the flags, if the value of `len` bytes has more than the fields that every one has.
    fn read(bits: &mut BitReader<'_>, len: usize) -> Option<Extended> {
        if len <= 3 {
            return Some(Extended::default());
        }
        Some(Extended {
            structure: bits.flag()?,
            active_targets: bits.flag()?,
            indications: bits.flag()?,
            references: bits.flag()?,
            chains: bits.flag()?,
        })
    }
}

impl Parser {
    /// A parser that waits for the first structure.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Reads the extension's value. Keeps the structure if one came with it.
    pub fn parse(&mut self, value: &[u8]) -> Result<Descriptor, DescriptorError> {
        let (descriptor, new_structure, active) = self.read(value)?;
        self.active = active;
        if let Some(new) = new_structure {
            match &mut self.structure {
                Some(known) => **known = new,
                none => *none = Some(Box::new(new)),
            }
        }
        Ok(descriptor)
    }

    /// Reads the extension's value, and keeps nothing of it: for packets of before.
    pub fn peek(&self, value: &[u8]) -> Result<Descriptor, DescriptorError> {
        self.read(value).map(|(descriptor, ..)| descriptor)
    }

    /// What a value says, the structure that comes with it, and the mask of active decode targets as of now.
    fn read(&self, value: &[u8]) -> Result<(Descriptor, Option<Structure>, u32), DescriptorError> {
        let truncated = DescriptorError::Truncated(value.len());
        let mut bits = BitReader::new(value);
        let start_of_frame = bits.flag().ok_or(truncated)?;
        let end_of_frame = bits.flag().ok_or(truncated)?;
        let template_id = bits.read(6).ok_or(truncated)? as u8;
        let frame_number = bits.read(16).ok_or(truncated)? as u16;
        let extended = Extended::read(&mut bits, value.len()).ok_or(truncated)?;
        let new_structure = match extended.structure {
            true => Some(Structure::read(&mut bits, truncated)?),
            false => None,
        };
        let structure = new_structure.as_ref().or(self.structure.as_deref()).ok_or(DescriptorError::NoStructure)?;
        let active_decode_targets = match (extended.active_targets, extended.structure) {
            (true, _) => Some(bits.read(structure.decode_targets).ok_or(truncated)?),
            (false, true) => Some(u32::MAX >> (32 - structure.decode_targets)),
            (false, false) => None,
        };
        let Some(&template) = structure.template(template_id) else {
            let count = structure.template_count as u8;
            return Err(DescriptorError::UnknownTemplate { template: structure.template_index(template_id), count });
        };
        let indications = match extended.indications {
            true => Indications::read(&mut bits, structure.decode_targets).ok_or(truncated)?,
            false => template.indications,
        };
        let references = match extended.references {
            true => read_references(&mut bits).ok_or(truncated)?,
            false => template.references,
        };
        let switches = |wanted: fn(u8, u8) -> bool, own: fn((u8, u8)) -> u8, layer| {
            (0..)
                .zip(structure.target_layers())
                .any(|(target, &layers)| indications.get(target) == Indication::Switch && wanted(own(layers), layer))
        };
        let mut present = (0..structure.decode_targets)
            .map(|target| indications.get(target))
            .filter(|indication| *indication != Indication::NotPresent)
            .peekable();
        let is_discardable =
            present.peek().is_some() && present.all(|indication| indication == Indication::Discardable);
        let active = active_decode_targets.unwrap_or(self.active);
        let descriptor = Descriptor {
            start_of_frame,
            end_of_frame,
            frame_number,
            spatial_id: template.spatial_id,
            temporal_id: template.temporal_id,
            has_structure: extended.structure,
            switches_spatial: switches(|target, frame| target == frame, |layers| layers.0, template.spatial_id),
            switches_temporal: switches(|target, frame| target >= frame, |layers| layers.1, template.temporal_id),
            is_discardable,
            active_decode_targets,
            references,
            present: structure.layer_set(|target| indications.get(target) != Indication::NotPresent),
            switches: structure.layer_set(|target| indications.get(target) == Indication::Switch),
            discardable: structure.layer_set(|target| indications.get(target) == Indication::Discardable),
            active: structure.layer_set(|target| active >> target & 1 != 0),
        };
        Ok((descriptor, new_structure, active))
    }

    /// The highest spatial and temporal layer of each decode target of the current structure.
    pub fn decode_target_layers(&self) -> &[(u8, u8)] {
        self.structure.as_ref().map_or(&[], |structure| structure.target_layers())
    }

    /// How many chains the current structure has.
    pub fn chain_count(&self) -> u32 {
        self.structure.as_ref().map_or(0, |structure| structure.chains)
    }
}

/// The references that a packet gives itself: each as its size in nibbles, and the difference less one.
fn read_references(bits: &mut BitReader<'_>) -> Option<References> {
    let mut references = References::default();
    loop {
        match bits.read(2)? {
            0 => return Some(references),
            nibbles => references.add(bits.read(4 * nibbles)? + 1),
        }
    }
}
