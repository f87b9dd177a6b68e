//! Writing a descriptor anew for a receiver that is sent only some of the layers.

use super::bits::{BitReader, BitWriter};
use super::structure::Structure;
use super::{DescriptorError, Extended, MAX_LEN, Parser};

impl Parser {
    /// Writes a descriptor that this parser has read (or could have) for another receiver: with `frame_number`, and, if
    /// `forwarded` names the layers of the decode target that the receiver is sent, with the decode targets that it can
    /// decode as the active ones. Returns the length in bytes, or `None` if the value does not fit or can't be read.
    ///
    /// Active are those of the sender's active targets whose frames all are frames of the forwarded one. A receiver that
    /// was told once keeps to it until it is told otherwise, so it suffices to say so with each structure and after each
    /// switch.
    pub fn rewrite(
        &self,
        value: &[u8],
        frame_number: u16,
        forwarded: Option<(u8, u8)>,
        out: &mut [u8; MAX_LEN],
    ) -> Option<usize> {
        if value.len() > MAX_LEN || value.len() < 3 {
            return None;
        }
        let len = match forwarded {
            Some(layers) => self.rewrite_active(value, layers, out)?,
            None => {
                out.get_mut(..value.len())?.copy_from_slice(value);
                value.len()
            }
        };
        out[1..3].copy_from_slice(&frame_number.to_be_bytes());
        Some(len)
    }

    fn rewrite_active(&self, value: &[u8], layers: (u8, u8), out: &mut [u8; MAX_LEN]) -> Option<usize> {
        let mut bits = BitReader::new(value);
        let mut writer = BitWriter::new(out);
        copy(&mut bits, &mut writer, Extended::START)?;
        let extended = Extended::read(&mut bits, value.len())?;
        for flag in [extended.structure, true, extended.indications, extended.references, extended.chains] {
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
        writer.write(active & decodable(structure, layers), structure.decode_targets);
        let rest = value.len() * 8 - bits.position();
        copy(&mut bits, &mut writer, rest as u32)?;
        writer.finish()
    }
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
