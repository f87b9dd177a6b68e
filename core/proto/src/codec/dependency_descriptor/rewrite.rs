//! Writing a descriptor anew for a receiver that is sent only some of the layers.

use super::bits::{BitReader, BitWriter};
use super::structure::Structure;
use super::{DescriptorError, Extended, MAX_LEN, Parser, read_references};

/// What is different for another receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The frame's number.
    pub frame_number: u16,
    /// The decode target that the receiver is sent, by its highest spatial and temporal layer, if it must be told that the
    /// targets which it can decode are the active ones. Active are those of the sender's active targets whose frames all
    /// are frames of this one. A receiver that was told once keeps to it until it is told otherwise, so it suffices to say
    /// so with each structure and after each switch.
    pub forwarded: Option<(u8, u8)>,
    /// References to frames that are farther back than so many are left out.
    pub reach: Option<u16>,
}

impl Parser {
    /// Writes a descriptor that this parser has read (or could have) for another receiver. Returns the length in bytes, or
    /// `None` if the value does not fit or can't be read.
    pub fn rewrite(&self, value: &[u8], changes: &Changes, out: &mut [u8; MAX_LEN]) -> Option<usize> {
        if value.len() > MAX_LEN || value.len() < 3 {
            return None;
        }
        let len = match changes {
            Changes { forwarded: None, reach: None, .. } => {
                out.get_mut(..value.len())?.copy_from_slice(value);
                value.len()
            }
            _ => self.rewrite_fields(value, changes, out)?,
        };
        out[1..3].copy_from_slice(&changes.frame_number.to_be_bytes());
        Some(len)
    }

    fn rewrite_fields(&self, value: &[u8], changes: &Changes, out: &mut [u8; MAX_LEN]) -> Option<usize> {
        let mut bits = BitReader::new(value);
        let mut writer = BitWriter::new(out);
        copy(&mut bits, &mut writer, Extended::START)?;
        let extended = Extended::read(&mut bits, value.len())?;
        let tells_active = extended.active_targets || changes.forwarded.is_some();
        let tells_references = extended.references || changes.reach.is_some();
        for flag in [extended.structure, tells_active, extended.indications, tells_references, extended.chains] {
            writer.flag(flag);
        }
        let new_structure = match extended.structure {
            true => {
                let mut copied = bits;
                let structure = Structure::read(&mut bits, DescriptorError::Truncated(value.len())).ok()?;
                let len = bits.position() - copied.position();
                copy(&mut copied, &mut writer, len as u32)?;
                Some(structure)
            }
            false => None,
        };
        let structure = new_structure.as_ref().or(self.structure.as_deref())?;
        let active = match (extended.active_targets, extended.structure) {
            (true, _) => bits.read(structure.decode_targets)?,
            (false, true) => u32::MAX,
            (false, false) => self.active,
        };
        if tells_active {
            let mask = changes.forwarded.map_or(u32::MAX, |layers| decodable(structure, layers));
            writer.write(active & mask, structure.decode_targets);
        }
        if let Some(reach) = changes.reach {
            if extended.indications {
                copy(&mut bits, &mut writer, 2 * structure.decode_targets)?;
            }
            let references = match extended.references {
                true => read_references(&mut bits)?,
                false => structure.template(*value.first()?)?.references,
            };
            write_references(&mut writer, references.differences().iter().filter(|difference| **difference <= reach));
        }
        let rest = value.len() * 8 - bits.position();
        copy(&mut bits, &mut writer, rest as u32)?;
        writer.finish()
    }
}

/// The references of one frame: before each the number of nibbles that hold the difference less one, and 0 at the end.
fn write_references<'a>(writer: &mut BitWriter<'_>, differences: impl Iterator<Item = &'a u16>) {
    for difference in differences {
        let less_one = u32::from(difference.saturating_sub(1));
        let nibbles = (u32::BITS - less_one.leading_zeros()).div_ceil(4).max(1);
        writer.write(nibbles, 2);
        writer.write(less_one, 4 * nibbles);
    }
    writer.write(0, 2);
}

/// Bit mask of the decode targets that are part of the one with these layers; of all, if there is none.
fn decodable(structure: &Structure, layers: (u8, u8)) -> u32 {
    let Some(outer) = (0..).zip(structure.target_layers()).find(|(_, known)| **known == layers) else {
        return u32::MAX;
    };
    (0..structure.decode_targets)
        .filter(|target| structure.contains(outer.0, *target))
        .fold(0, |mask, target| mask | 1 << target)
}

fn copy(bits: &mut BitReader<'_>, writer: &mut BitWriter<'_>, count: u32) -> Option<()> {
    for _ in 0..count {
        writer.flag(bits.flag()?);
    }
    Some(())
}
