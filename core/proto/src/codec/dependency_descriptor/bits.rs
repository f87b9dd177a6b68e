//! Reading and writing bits, the most significant first.

/// Reads bits.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    pub(super) fn new(bytes: &[u8]) -> BitReader<'_> {
        BitReader { bytes, at: 0 }
    }

    /// How many bits have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit != 0)
    }

    /// Reads `count` bits, at most 32.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// Reads a number below `limit` (at least 1), coded in no more bits than it needs: `ns(n)` of the AV1 specification
    /// (4.10.7).
    pub(super) fn read_below(&mut self, limit: u32) -> Option<u32> {
        let width = u32::BITS - limit.leading_zeros();
        let short = (1 << width) - limit;
        let value = self.read(width - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1 | self.read(1)?) - short)
    }
}

/// Writes bits into a slot. Those that don't fit are counted and lost.
pub(super) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl BitWriter<'_> {
    pub(super) fn new(bytes: &mut [u8]) -> BitWriter<'_> {
        BitWriter { bytes, at: 0 }
    }

    /// Writes the low `count` bits of a value.
    pub(super) fn write(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            self.flag(value >> shift & 1 != 0);
        }
    }

    pub(super) fn flag(&mut self, bit: bool) {
        if let Some(byte) = self.bytes.get_mut(self.at / 8) {
            let mask = 0x80 >> (self.at % 8);
            *byte = if bit { *byte | mask } else { *byte & !mask };
        }
        self.at += 1;
    }

    /// Fills the last byte with zeros and returns the length in bytes, or `None` if something did not fit.
    pub(super) fn finish(mut self) -> Option<usize> {
        while !self.at.is_multiple_of(8) {
            self.flag(false);
        }
        let len = self.at / 8;
        (len <= self.bytes.len()).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn non_symmetric_numbers_of_the_av1_specification() {
        // n = 5: 0, 1, 2 in two bits, 3 and 4 in three.
        for (bits, count, value) in [(0b00, 2, 0), (0b01, 2, 1), (0b10, 2, 2), (0b110, 3, 3), (0b111, 3, 4)] {
            let bytes = [bits << (8 - count)];
            let mut reader = BitReader::new(&bytes);
            assert_eq!((reader.read_below(5), reader.position()), (Some(value), count));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec((any::<u32>(), 0u32..33), 0..20)) {
            let mut bytes = [0xff; 80];
            let mut writer = BitWriter::new(&mut bytes);
            fields.iter().for_each(|&(value, count)| writer.write(value, count));
            let len = writer.finish().unwrap();
            let mut reader = BitReader::new(&bytes[..len]);
            for (value, count) in fields {
                let mask = if count == 32 { u32::MAX } else { (1 << count) - 1 };
                prop_assert_eq!(reader.read(count), Some(value & mask));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_noticed() {
        let mut bytes = [0; 2];
        let mut writer = BitWriter::new(&mut bytes);
        writer.write(1, 16);
        writer.flag(true);
        assert_eq!(writer.finish(), None);
    }
}
