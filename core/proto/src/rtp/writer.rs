//! Writing headers straight into a slot of a send buffer.

use super::header::{FIXED_HEADER_LEN, set_extension_bit, set_padding_bit};

/// Why a header could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The slot is too small.
    #[error("RTP {field} needs {needed} bytes in a slot of {len}")]
    NoRoom {
        /// What does not fit.
        field: &'static str,
        /// Bytes up to the end of it.
        needed: usize,
        /// Length of the slot.
        len: usize,
    },
    /// More than 15 CSRCs, a length that is no multiple of 4, or CSRCs after an extension.
    #[error("CSRC list of {0} bytes can't be written here")]
    Csrcs(usize),
    /// Id 0 is padding.
    #[error("header extension id 0 is not allowed")]
    ExtensionId,
    /// A value that even the two-byte form can't carry.
    #[error("value of header extension {id} has {len} bytes, more than 255")]
    ExtensionTooLong {
        /// The extension's id.
        id: u8,
        /// Length of the value in bytes.
        len: usize,
    },
    /// The packet has no header to set the padding bit in.
    #[error("padding a packet of {0} bytes, which is shorter than a header")]
    PaddingWithoutHeader(usize),
}

/// The fields of the fixed header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedHeader {
    /// The marker bit.
    pub marker: bool,
    /// Payload type, of which the low 7 bits count.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence_number: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Writes a header front to back: fixed part, then CSRCs, then extensions, then [`finish`](Self::finish).
///
/// Extensions are in the one-byte form, until one comes that it can't carry (an id over 14, an empty value or one of
/// more than 16 bytes): then those already written are spread to the two-byte form. The first error is kept, and
/// `finish` returns it.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    slot: &'a mut [u8],
    len: usize,
    /// Offset of the extension's elements, once there is one.
    elements: Option<usize>,
    two_byte: bool,
    error: Option<WriteError>,
}

impl<'a> HeaderWriter<'a> {
    /// Starts with the fixed header.
    pub fn new(slot: &'a mut [u8], fixed: &FixedHeader) -> HeaderWriter<'a> {
        let mut writer = HeaderWriter { slot, len: 0, elements: None, two_byte: false, error: None };
        let mut bytes = [0; FIXED_HEADER_LEN];
        bytes[0] = 0x80;
        bytes[1] = u8::from(fixed.marker) << 7 | fixed.payload_type & 0x7f;
        bytes[2..4].copy_from_slice(&fixed.sequence_number.to_be_bytes());
        bytes[4..8].copy_from_slice(&fixed.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&fixed.ssrc.to_be_bytes());
        writer.put("fixed header", &bytes);
        writer
    }

    /// Writes the CSRC list, as it is on the wire. Must come before the extensions, and once.
    pub fn csrcs(mut self, csrcs: &[u8]) -> Self {
        let fits = csrcs.len() <= 60 && csrcs.len().is_multiple_of(4) && self.len <= FIXED_HEADER_LEN;
        if !fits {
            self.fail(WriteError::Csrcs(csrcs.len()));
        } else if self.put("CSRC list", csrcs) {
            self.slot[0] |= (csrcs.len() / 4) as u8;
        }
        self
    }

    /// Writes one extension.
    pub fn extension(mut self, id: u8, value: &[u8]) -> Self {
        if id == 0 {
            self.fail(WriteError::ExtensionId);
            return self;
        }
        let Ok(value_len) = u8::try_from(value.len()) else {
            self.fail(WriteError::ExtensionTooLong { id, len: value.len() });
            return self;
        };
        if self.elements.is_none() && self.put("extension header", &[0xbe, 0xde, 0, 0]) {
            self.elements = Some(self.len);
        }
        if id > 14 || value.is_empty() || value.len() > 16 {
            self.spread();
        }
        if self.two_byte {
            self.put("extension", &[id, value_len]);
        } else {
            self.put("extension", &[id << 4 | (value_len - 1)]);
        }
        self.put("extension", value);
        self
    }

    /// Writes one extension, if it has both an id and a value.
    pub fn optional_extension(self, id: Option<u8>, value: Option<&[u8]>) -> Self {
        match (id, value) {
            (Some(id), Some(value)) => self.extension(id, value),
            _ => self,
        }
    }

    /// Pads the extension to whole words and returns the length of the header in bytes.
    pub fn finish(mut self) -> Result<usize, WriteError> {
        if let Some(start) = self.elements {
            let padding = (self.len - start).next_multiple_of(4) - (self.len - start);
            self.put("extension padding", &[0; 3][..padding]);
            if let Some(error) = self.error {
                return Err(error);
            }
            let profile: u16 = if self.two_byte { 0x1000 } else { 0xbede };
            self.slot[start - 4..start - 2].copy_from_slice(&profile.to_be_bytes());
            let words = ((self.len - start) / 4) as u16;
            self.slot[start - 2..start].copy_from_slice(&words.to_be_bytes());
            set_extension_bit(self.slot);
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.len),
        }
    }

    /// Turns the one-byte elements written so far into two-byte ones.
    fn spread(&mut self) {
        let Some(start) = self.elements.filter(|_| !self.two_byte && self.error.is_none()) else {
            return;
        };
        self.two_byte = true;
        let mut at = start;
        while at < self.len {
            if self.len == self.slot.len() {
                return self.fail(WriteError::NoRoom {
                    field: "extension",
                    needed: self.len + 1,
                    len: self.slot.len(),
                });
            }
            let head = self.slot[at];
            let value_len = (head & 0x0f) + 1;
            // The value and all after it move up by the second byte of header.
            self.slot.copy_within(at + 1..self.len, at + 2);
            self.slot[at] = head >> 4;
            self.slot[at + 1] = value_len;
            self.len += 1;
            at += 2 + usize::from(value_len);
        }
    }

    fn put(&mut self, field: &'static str, bytes: &[u8]) -> bool {
        if self.error.is_some() {
            return false;
        }
        let end = self.len + bytes.len();
        match self.slot.get_mut(self.len..end) {
            Some(target) => {
                target.copy_from_slice(bytes);
                self.len = end;
                true
            }
            None => {
                self.fail(WriteError::NoRoom { field, needed: end, len: self.slot.len() });
                false
            }
        }
    }

    fn fail(&mut self, error: WriteError) {
        self.error.get_or_insert(error);
    }
}

/// Appends `padding` bytes to the packet in `slot[..len]`, the last of which is their count, and sets the padding bit
/// (RFC 3550 section 5.1). Returns the new length. With `len` the length of a bare header the result is a padding-only
/// packet. A `padding` of 0 changes nothing.
pub fn pad(slot: &mut [u8], len: usize, padding: u8) -> Result<usize, WriteError> {
    if len < FIXED_HEADER_LEN {
        return Err(WriteError::PaddingWithoutHeader(len));
    }
    if padding == 0 {
        return Ok(len);
    }
    let end = len + usize::from(padding);
    let slot_len = slot.len();
    let Some(target) = slot.get_mut(len..end) else {
        return Err(WriteError::NoRoom { field: "padding", needed: end, len: slot_len });
    };
    target.fill(0);
    target[usize::from(padding) - 1] = padding;
    set_padding_bit(slot, true);
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{ExtensionForm, ExtensionIds, ExtensionKind, Header, parse_extensions};
    use proptest::prelude::*;

    const FIXED: FixedHeader =
        FixedHeader { marker: true, payload_type: 100, sequence_number: 7, timestamp: 8, ssrc: 9 };

    #[test]
    fn one_byte_form_is_as_in_rfc_8285() {
        let mut slot = [0xff; 40];
        let len = HeaderWriter::new(&mut slot, &FIXED).extension(1, b"a").extension(3, &[1, 2, 3]).finish().unwrap();
        assert_eq!(&slot[..len][12..], [0xbe, 0xde, 0, 2, 0x10, b'a', 0x32, 1, 2, 3, 0, 0]);
        assert_eq!(slot[0], 0x90);
    }

    #[test]
    fn a_long_value_spreads_what_was_written() {
        let mut slot = [0xff; 60];
        let writer = HeaderWriter::new(&mut slot, &FIXED).csrcs(&[1, 2, 3, 4]).extension(1, b"ab").extension(2, b"c");
        let len = writer.extension(4, &[]).finish().unwrap();
        assert_eq!(&slot[..len][16..], [0x10, 0, 0, 3, 1, 2, b'a', b'b', 2, 1, b'c', 4, 0, 0, 0, 0]);
        let header = Header::parse(&slot[..len]).unwrap();
        assert_eq!((header.extension, header.csrc_count), (Some(ExtensionForm::TwoByte), 1));
    }

    #[test]
    fn errors_say_what_did_not_fit() {
        let error = HeaderWriter::new(&mut [0; 14], &FIXED).extension(1, b"a").finish();
        assert_eq!(error, Err(WriteError::NoRoom { field: "extension header", needed: 16, len: 14 }));
        let mut slot = [0; 400];
        assert_eq!(HeaderWriter::new(&mut slot, &FIXED).extension(0, b"a").finish(), Err(WriteError::ExtensionId));
        let error = HeaderWriter::new(&mut slot, &FIXED).extension(5, &[0; 256]).finish();
        assert_eq!(error, Err(WriteError::ExtensionTooLong { id: 5, len: 256 }));
        assert_eq!(HeaderWriter::new(&mut slot, &FIXED).csrcs(&[0; 3]).finish(), Err(WriteError::Csrcs(3)));
        let error = HeaderWriter::new(&mut [0; 19], &FIXED).extension(1, b"a").extension(15, b"").finish();
        assert!(matches!(error, Err(WriteError::NoRoom { .. })));
    }

    #[test]
    fn padding_only_packets_parse_as_empty() {
        let mut slot = [0xff; 300];
        let len = HeaderWriter::new(&mut slot, &FIXED).finish().unwrap();
        let len = pad(&mut slot, len, 255).unwrap();
        let header = Header::parse(&slot[..len]).unwrap();
        assert_eq!((header.padding_len, header.payload_len(), header.packet_len()), (255, 0, 267));
        assert!(matches!(pad(&mut slot, 100, 255), Err(WriteError::NoRoom { field: "padding", .. })));
        assert_eq!(pad(&mut slot, 3, 1), Err(WriteError::PaddingWithoutHeader(3)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_parsed(
            marker: bool, payload_type in 0u8..128, sequence_number: u16, timestamp: u32, ssrc: u32,
            csrcs in (0usize..=15).prop_map(|count| vec![7; count * 4]),
            values in proptest::collection::vec((1u8..=255, proptest::collection::vec(any::<u8>(), 0..30)), 0..12),
        ) {
            let fixed = FixedHeader { marker, payload_type, sequence_number, timestamp, ssrc };
            let mut ids = ExtensionIds::new();
            let mut slot = [0xff; 800];
            let mut writer = HeaderWriter::new(&mut slot, &fixed).csrcs(&csrcs);
            for (kind, (id, value)) in ExtensionKind::ALL.into_iter().zip(&values) {
                ids.set(kind, *id);
                writer = writer.extension(*id, value);
            }
            let len = writer.finish().unwrap();
            let packet = &slot[..len];
            let header = Header::parse(packet).unwrap();
            prop_assert_eq!(header.header_len(), len);
            prop_assert_eq!(header.csrcs(packet), &csrcs[..]);
            let parsed = FixedHeader {
                marker: header.marker, payload_type: header.payload_type, sequence_number: header.sequence_number,
                timestamp: header.timestamp, ssrc: header.ssrc,
            };
            prop_assert_eq!(parsed, fixed);
            let spans = parse_extensions(packet, &header, &ids);
            for (kind, id) in ids.iter() {
                let last = values.iter().rev().find(|(value_id, _)| *value_id == id).unwrap();
                prop_assert_eq!(spans.value(kind, packet), Some(&last.1[..]));
            }
        }
    }
}
