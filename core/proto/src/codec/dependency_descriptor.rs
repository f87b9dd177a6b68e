//! The dependency descriptor header extension (AV1 RTP specification, appendix A).
//!
//! Every packet says which of the stream's frame templates its frame follows. The templates, with their layers and what
//! they are to each decode target, come as a structure with the first packet of a key frame, so that the parser keeps it.
//! Frame differences, chains and resolutions are read over: a forwarder that selects by layers needs none of them.

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
}

/// What a frame is to a decode target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    /// No part of it.
    NotPresent,
    /// Part of it, and nothing refers to it.
    Discardable,
    /// From here on the target can be decoded.
    Switch,
    /// Part of it.
    Required,
}

const MAX_TEMPLATES: usize = 64;

/// Indications of one frame for all decode targets, two bits each, target 0 at the bottom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Indications(u64);

impl Indications {
    fn read(bits: &mut BitReader<'_>, targets: u32) -> Option<Indications> {
        let mut packed = 0;
        for target in 0..targets {
            packed |= u64::from(bits.read(2)?) << (2 * target);
        }
        Some(Indications(packed))
    }

    fn get(self, target: u32) -> Indication {
        match self.0 >> (2 * target) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial_id: u8,
    temporal_id: u8,
    indications: Indications,
}

/// The templates of a coded video sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Structure {
    id_offset: u8,
    decode_targets: u32,
    templates: Vec<Template>,
    chains: u32,
    /// Highest spatial and temporal layer of each decode target.
    target_layers: Vec<(u8, u8)>,
}

/// Reads the descriptors of one stream.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    structure: Option<Structure>,
}

impl Parser {
    /// A parser that waits for the first structure.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Reads the extension's value. Keeps the structure if one came with it.
    pub fn parse(&mut self, value: &[u8]) -> Result<Descriptor, DescriptorError> {
        let truncated = DescriptorError::Truncated(value.len());
        let mut bits = BitReader { bytes: value, at: 0 };
        let start_of_frame = bits.flag().ok_or(truncated)?;
        let end_of_frame = bits.flag().ok_or(truncated)?;
        let template_id = bits.read(6).ok_or(truncated)? as u8;
        let frame_number = bits.read(16).ok_or(truncated)? as u16;
        let mut flags = [false; 5];
        if value.len() > 3 {
            for flag in &mut flags {
                *flag = bits.flag().ok_or(truncated)?;
            }
        }
        let [has_structure, has_active_targets, custom_indications, _, _] = flags;
        let new_structure = if has_structure { Some(Structure::read(&mut bits, truncated)?) } else { None };
        let structure = new_structure.as_ref().or(self.structure.as_ref()).ok_or(DescriptorError::NoStructure)?;
        let active_decode_targets = match (has_active_targets, has_structure) {
            (true, _) => Some(bits.read(structure.decode_targets).ok_or(truncated)?),
            (false, true) => Some(u32::MAX >> (32 - structure.decode_targets)),
            (false, false) => None,
        };
        let index = template_id.wrapping_sub(structure.id_offset) & 0x3f;
        let count = structure.templates.len() as u8;
        let Some(&template) = structure.templates.get(usize::from(index)) else {
            return Err(DescriptorError::UnknownTemplate { template: index, count });
        };
        let indications = match custom_indications {
            true => Indications::read(&mut bits, structure.decode_targets).ok_or(truncated)?,
            false => template.indications,
        };
        let switches = |wanted: fn(&Template, (u8, u8)) -> bool| {
            (0..structure.decode_targets)
                .zip(&structure.target_layers)
                .any(|(target, &layers)| indications.get(target) == Indication::Switch && wanted(&template, layers))
        };
        let mut present = (0..structure.decode_targets)
            .map(|target| indications.get(target))
            .filter(|indication| *indication != Indication::NotPresent)
            .peekable();
        let is_discardable =
            present.peek().is_some() && present.all(|indication| indication == Indication::Discardable);
        let descriptor = Descriptor {
            start_of_frame,
            end_of_frame,
            frame_number,
            spatial_id: template.spatial_id,
            temporal_id: template.temporal_id,
            has_structure,
            switches_spatial: switches(|template, (spatial, _)| spatial == template.spatial_id),
            switches_temporal: switches(|template, (_, temporal)| temporal >= template.temporal_id),
            is_discardable,
            active_decode_targets,
        };
        if new_structure.is_some() {
            self.structure = new_structure;
        }
        Ok(descriptor)
    }

    /// The highest spatial and temporal layer of each decode target of the current structure.
    pub fn decode_target_layers(&self) -> &[(u8, u8)] {
        self.structure.as_ref().map_or(&[], |structure| &structure.target_layers)
    }

    /// How many chains the current structure has.
    pub fn chain_count(&self) -> u32 {
        self.structure.as_ref().map_or(0, |structure| structure.chains)
    }
}

impl Structure {
    fn read(bits: &mut BitReader<'_>, truncated: DescriptorError) -> Result<Structure, DescriptorError> {
        let id_offset = bits.read(6).ok_or(truncated)? as u8;
        let decode_targets = bits.read(5).ok_or(truncated)? + 1;
        let mut templates = read_layers(bits, truncated)?;
        for template in &mut templates {
            template.indications = Indications::read(bits, decode_targets).ok_or(truncated)?;
        }
        let chains = read_over_references(bits, templates.len(), decode_targets).ok_or(truncated)?;
        let max_spatial_id = templates.last().map_or(0, |template| template.spatial_id);
        let has_resolutions = bits.flag().ok_or(truncated)?;
        if has_resolutions {
            for _ in 0..=max_spatial_id {
                bits.read(32).ok_or(truncated)?;
            }
        }
        let target_layers = (0..decode_targets)
            .map(|target| {
                let present =
                    templates.iter().filter(|template| template.indications.get(target) != Indication::NotPresent);
                present.fold((0, 0), |(spatial, temporal), template| {
                    (template.spatial_id.max(spatial), template.temporal_id.max(temporal))
                })
            })
            .collect();
        Ok(Structure { id_offset, decode_targets, templates, chains, target_layers })
    }
}

/// The layers of the templates, each given by how it differs from the one before.
fn read_layers(bits: &mut BitReader<'_>, truncated: DescriptorError) -> Result<Vec<Template>, DescriptorError> {
    let mut templates = Vec::new();
    let mut template = Template::default();
    loop {
        if templates.len() == MAX_TEMPLATES || template.temporal_id > 7 || template.spatial_id > 3 {
            return Err(DescriptorError::TooManyTemplates);
        }
        templates.push(template);
        match bits.read(2).ok_or(truncated)? {
            0 => {}
            1 => template.temporal_id += 1,
            2 => (template.temporal_id, template.spatial_id) = (0, template.spatial_id + 1),
            _ => return Ok(templates),
        }
    }
}

/// Reads over the frame differences and chains of the templates, and returns the number of chains.
fn read_over_references(bits: &mut BitReader<'_>, templates: usize, decode_targets: u32) -> Option<u32> {
    for _ in 0..templates {
        while bits.flag()? {
            bits.read(4)?;
        }
    }
    let chains = bits.read_below(decode_targets + 1)?;
    if chains > 0 {
        for _ in 0..decode_targets {
            bits.read_below(chains)?;
        }
        for _ in 0..templates {
            for _ in 0..chains {
                bits.read(4)?;
            }
        }
    }
    Some(chains)
}

/// Reads bits, the most significant first.
struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

impl BitReader<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit != 0)
    }

    /// Reads `count` bits, at most 32.
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// Reads a number below `limit` (at least 1), coded in no more bits than it needs: `ns(n)` of the AV1 specification
    /// (4.10.7).
    fn read_below(&mut self, limit: u32) -> Option<u32> {
        let width = u32::BITS - limit.leading_zeros();
        let short = (1 << width) - limit;
        let value = self.read(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1 | self.read(1)?) - short)
    }
}

#[cfg(test)]
mod tests {
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
        let targets: Vec<(u8, u8)> =
            (0..3).flat_map(|spatial| (0..3).map(move |temporal| (spatial, temporal))).collect();
        assert_eq!((parser.decode_target_layers(), parser.chain_count()), (&targets[..], 3));
    }

    #[test]
    fn custom_indications_and_active_targets_override() {
        let mut parser = Parser::new();
        parser.parse(&key_frame()).unwrap();
        let custom = pack(&[
            (1, 1),
            (1, 1),
            (12, 6),
            (7, 16),
            (0, 1),
            (1, 1),
            (1, 1),
            (0, 1),
            (0, 1),
            (0b01, 2),
            (0, 2),
            (2, 2),
        ]);
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

    #[test]
    fn non_symmetric_numbers_of_the_av1_specification() {
        // n = 5: 0, 1, 2 in two bits, 3 and 4 in three.
        for (bits, count, value) in [(0b00, 2, 0), (0b01, 2, 1), (0b10, 2, 2), (0b110, 3, 3), (0b111, 3, 4)] {
            let bytes = pack(&[(bits, count)]);
            let mut reader = BitReader { bytes: &bytes, at: 0 };
            assert_eq!((reader.read_below(5), reader.at), (Some(value), count as usize));
        }
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
    }
}
