//! The template structure that a key frame brings.

use super::bits::BitReader;
use super::{DescriptorError, LayerSet, layer_index};

const MAX_TEMPLATES: usize = 64;
const MAX_TARGETS: usize = 32;

/// What a frame is to a decode target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    /// No part of it.
    NotPresent,
    /// Part of it, and nothing refers to it.
    Discardable,
    /// If this frame can be decoded, the target can be from here on.
    Switch,
    /// Part of it.
    Required,
}

/// Indications of one frame for all decode targets, two bits each, target 0 at the bottom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Indications(u64);

impl Indications {
    pub(super) fn read(bits: &mut BitReader<'_>, targets: u32) -> Option<Indications> {
        let mut packed = 0;
        for target in 0..targets {
            packed |= u64::from(bits.read(2)?) << (2 * target);
        }
        Some(Indications(packed))
    }

    pub(super) fn get(self, target: u32) -> Indication {
        match self.0 >> (2 * target) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }
}

/// As many frames as a frame can refer to (AV1 specification, section 3: REFS_PER_FRAME is 7; the decoder keeps 8).
const MAX_REFERENCES: usize = 8;

/// The earlier frames that a frame refers to, by how many frames before it they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct References {
    differences: [u16; MAX_REFERENCES],
    count: u8,
    /// There are more of them than a decoder has frames.
    pub has_more: bool,
}

impl References {
    /// How many frames before each one is: 1 to 4096.
    pub fn differences(&self) -> &[u16] {
        &self.differences[..usize::from(self.count)]
    }

    /// One of them is more than `reach` frames before.
    pub fn exceed(&self, reach: u16) -> bool {
        self.differences().iter().any(|difference| *difference > reach)
    }

    /// Adds a difference of at most 12 bits and one.
    pub(super) fn add(&mut self, difference: u32) {
        match self.differences.get_mut(usize::from(self.count)) {
            Some(slot) => {
                *slot = difference as u16;
                self.count += 1;
            }
            None => self.has_more = true,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) spatial_id: u8,
    pub(super) temporal_id: u8,
    pub(super) indications: Indications,
    pub(super) references: References,
}

/// The templates of a coded video sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Structure {
    pub(super) id_offset: u8,
    pub(super) decode_targets: u32,
    templates: [Template; MAX_TEMPLATES],
    pub(super) template_count: usize,
    pub(super) chains: u32,
    /// Highest spatial and temporal layer of each decode target.
    target_layers: [(u8, u8); MAX_TARGETS],
}

impl Structure {
    pub(super) fn read(bits: &mut BitReader<'_>, truncated: DescriptorError) -> Result<Structure, DescriptorError> {
        let mut structure = Structure {
            id_offset: bits.read(6).ok_or(truncated)? as u8,
            decode_targets: bits.read(5).ok_or(truncated)? + 1,
            templates: [Template::default(); MAX_TEMPLATES],
            template_count: 0,
            chains: 0,
            target_layers: [(0, 0); MAX_TARGETS],
        };
        structure.read_layers(bits, truncated)?;
        let decode_targets = structure.decode_targets;
        for template in structure.templates_mut() {
            template.indications = Indications::read(bits, decode_targets).ok_or(truncated)?;
        }
        for template in structure.templates_mut() {
            while bits.flag().ok_or(truncated)? {
                template.references.add(bits.read(4).ok_or(truncated)? + 1);
            }
        }
        structure.chains = structure.read_over_chains(bits).ok_or(truncated)?;
        let max_spatial_id = structure.templates().last().map_or(0, |template| template.spatial_id);
        if bits.flag().ok_or(truncated)? {
            for _ in 0..=max_spatial_id {
                bits.read(32).ok_or(truncated)?;
            }
        }
        structure.target_layers = std::array::from_fn(|target| structure.layers_of(target as u32));
        Ok(structure)
    }

    pub(super) fn templates(&self) -> &[Template] {
        &self.templates[..self.template_count]
    }

    /// The template that the low six bits of an identifier name.
    pub(super) fn template(&self, id: u8) -> Option<&Template> {
        self.templates().get(usize::from(self.template_index(id)))
    }

    /// Where the template of an identifier would be.
    pub(super) fn template_index(&self, id: u8) -> u8 {
        id.wrapping_sub(self.id_offset) & 0x3f
    }

    fn templates_mut(&mut self) -> &mut [Template] {
        &mut self.templates[..self.template_count]
    }

    /// Highest spatial and temporal layer of each decode target.
    pub(super) fn target_layers(&self) -> &[(u8, u8)] {
        &self.target_layers[..self.decode_targets as usize]
    }

    /// The decode targets of a mask, by their layers.
    pub(super) fn layer_set(&self, mut includes: impl FnMut(u32) -> bool) -> LayerSet {
        let targets = (0..).zip(self.target_layers());
        LayerSet(
            targets
                .filter(|(target, _)| includes(*target))
                .fold(0, |set, (_, &(spatial, temporal))| set | 1 << layer_index(spatial, temporal)),
        )
    }

    /// Whether each frame of one decode target is a frame of the other, too.
    pub(super) fn contains(&self, outer: u32, inner: u32) -> bool {
        let present = |template: &Template, target| template.indications.get(target) != Indication::NotPresent;
        self.templates().iter().all(|template| !present(template, inner) || present(template, outer))
    }

    /// The layers of the templates, each given by how it differs from the one before.
    fn read_layers(&mut self, bits: &mut BitReader<'_>, truncated: DescriptorError) -> Result<(), DescriptorError> {
        let mut template = Template::default();
        loop {
            if template.temporal_id > 7 || template.spatial_id > 3 {
                return Err(DescriptorError::TooManyTemplates);
            }
            let slot = self.templates.get_mut(self.template_count).ok_or(DescriptorError::TooManyTemplates)?;
            *slot = template;
            self.template_count += 1;
            match bits.read(2).ok_or(truncated)? {
                0 => {}
                1 => template.temporal_id += 1,
                2 => (template.temporal_id, template.spatial_id) = (0, template.spatial_id + 1),
                _ => return Ok(()),
            }
        }
    }

    /// Reads over the chains and returns their number.
    fn read_over_chains(&self, bits: &mut BitReader<'_>) -> Option<u32> {
        let chains = bits.read_below(self.decode_targets + 1)?;
        if chains > 0 {
            for _ in 0..self.decode_targets {
                bits.read_below(chains)?;
            }
            for _ in 0..self.template_count {
                for _ in 0..chains {
                    bits.read(4)?;
                }
            }
        }
        Some(chains)
    }

    fn layers_of(&self, target: u32) -> (u8, u8) {
        let present =
            self.templates().iter().filter(|template| template.indications.get(target) != Indication::NotPresent);
        present.fold((0, 0), |(spatial, temporal), template| {
            (template.spatial_id.max(spatial), template.temporal_id.max(temporal))
        })
    }
}
