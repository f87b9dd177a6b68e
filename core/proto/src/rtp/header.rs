//! The RTP header (RFC 3550 section 5.1) as a small `Copy` struct of fields and offsets.
//!
//! ```text
//!  0                   1                   2                   3
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |                     CSRCs (CC of 4 bytes)                     |
//! |    extension profile          |   extension length (words)    |   if X
//! |                        extension elements                     |
//! |                            payload                            |
//! |                     padding          | padding length         |   if P
//! ```

use std::ops::Range;

/// Length in bytes of the fixed part of the header.
pub const FIXED_HEADER_LEN: usize = 12;

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const EXTENSION_BIT: u8 = 0x10;
const MARKER_BIT: u8 = 0x80;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpError {
    /// Fewer bytes than a field needs.
    #[error("RTP packet of {len} bytes ends inside its {field}, which needs {needed}")]
    Truncated {
        /// The field that does not fit.
        field: &'static str,
        /// Length of the packet up to the end of that field, in bytes.
        needed: usize,
        /// Length of what was given, in bytes.
        len: usize,
    },
    /// More bytes than a UDP datagram can carry.
    #[error("RTP packet of {0} bytes is longer than a datagram")]
    TooLong(usize),
    /// The version field is not 2.
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// The padding length is zero, or longer than what follows the header.
    #[error("RTP padding of {padding} bytes in {available} bytes after the header")]
    Padding {
        /// The padding length that the last byte claims.
        padding: u8,
        /// Bytes after the header.
        available: usize,
    },
}

/// The form of the header extension (RFC 8285 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionForm {
    /// Profile 0xBEDE: elements with a one-byte header, ids 1 to 14, values of 1 to 16 bytes.
    OneByte,
    /// Profile 0x1000 to 0x100F: elements with a two-byte header, ids 1 to 255, values of 0 to 255 bytes.
    TwoByte,
    /// Another profile, which this crate does not look into.
    Other(u16),
}

/// What an RTP header says and where its parts lie. It borrows nothing: keep the packet beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The marker bit: the last packet of a video frame, the first of a talkspurt.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number, which wraps at 2^16.
    pub sequence_number: u16,
    /// Media timestamp, in units of the codec's clock rate.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Number of contributing sources, 0 to 15.
    pub csrc_count: u8,
    /// Bytes of padding at the end, with the length byte; 0 if there is none.
    pub padding_len: u8,
    /// The form of the header extension, if there is one.
    pub extension: Option<ExtensionForm>,
    extension_words: u16,
    packet_len: u16,
}

impl Header {
    /// Parses and checks the header of a (decrypted) packet.
    // Returned through memory, a header would be read in larger pieces than it was written in, and the processor would wait for that.
    #[inline(always)]
    pub fn parse(packet: &[u8]) -> Result<Header, RtpError> {
        let len = packet.len();
        let Some((fixed, _)) = packet.split_first_chunk::<FIXED_HEADER_LEN>() else {
            return Err(RtpError::Truncated { field: "fixed header", needed: FIXED_HEADER_LEN, len });
        };
        let packet_len = u16::try_from(len).map_err(|_| RtpError::TooLong(len))?;
        let version = fixed[0] >> 6;
        if version != VERSION {
            return Err(RtpError::Version(version));
        }
        let mut header = Header {
            marker: fixed[1] & MARKER_BIT != 0,
            payload_type: fixed[1] & !MARKER_BIT,
            sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            csrc_count: fixed[0] & 0x0f,
            padding_len: 0,
            extension: None,
            extension_words: 0,
            packet_len,
        };
        let csrc_end = header.csrc_range().end;
        if csrc_end > len {
            return Err(RtpError::Truncated { field: "CSRC list", needed: csrc_end, len });
        }
        if fixed[0] & EXTENSION_BIT != 0 {
            let Some((head, _)) = packet[csrc_end..].split_first_chunk::<4>() else {
                return Err(RtpError::Truncated { field: "extension header", needed: csrc_end + 4, len });
            };
            header.extension = Some(match u16::from_be_bytes([head[0], head[1]]) {
                0xbede => ExtensionForm::OneByte,
                0x1000..=0x100f => ExtensionForm::TwoByte,
                profile => ExtensionForm::Other(profile),
            });
            header.extension_words = u16::from_be_bytes([head[2], head[3]]);
            let end = header.extension_range().end;
            if end > len {
                return Err(RtpError::Truncated { field: "extension", needed: end, len });
            }
        }
        if fixed[0] & PADDING_BIT != 0 {
            let available = len - header.header_len();
            let padding = packet[len - 1];
            if padding == 0 || usize::from(padding) > available {
                return Err(RtpError::Padding { padding, available });
            }
            header.padding_len = padding;
        }
        Ok(header)
    }

    /// Length in bytes of the header with CSRCs and extension: the offset of the payload.
    pub fn header_len(&self) -> usize {
        self.extension_range().end
    }

    /// Length in bytes of the whole packet.
    pub fn packet_len(&self) -> usize {
        usize::from(self.packet_len)
    }

    /// Where the payload lies, without the padding.
    pub fn payload_range(&self) -> Range<usize> {
        self.header_len()..self.packet_len() - usize::from(self.padding_len)
    }

    /// Length in bytes of the payload, without the padding.
    pub fn payload_len(&self) -> usize {
        self.payload_range().len()
    }

    /// Where the CSRC list lies.
    pub fn csrc_range(&self) -> Range<usize> {
        FIXED_HEADER_LEN..FIXED_HEADER_LEN + 4 * usize::from(self.csrc_count)
    }

    /// Where the extension's elements lie, after the four bytes of profile and length. Empty if there are none.
    pub fn extension_range(&self) -> Range<usize> {
        let csrc_end = self.csrc_range().end;
        let start = if self.extension.is_some() { csrc_end + 4 } else { csrc_end };
        start..start + 4 * usize::from(self.extension_words)
    }

    /// The payload of `packet`, without the padding; empty if `packet` is not the one that was parsed.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.payload_range()).unwrap_or_default()
    }

    /// The CSRC list of `packet` as it is on the wire; empty if `packet` is not the one that was parsed.
    pub fn csrcs<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.csrc_range()).unwrap_or_default()
    }

    /// This header for the same packet without the last `removed` bytes of its payload and all of its padding.
    pub(super) fn shortened(mut self, removed: u16) -> Header {
        self.packet_len -= u16::from(self.padding_len) + removed;
        self.padding_len = 0;
        self
    }
}

/// Whether the datagram is RTP, by its first two bytes (RFC 7983 section 7, RFC 5761 section 4).
pub fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if datagram.len() >= FIXED_HEADER_LEN && !is_rtcp_type(*second))
}

/// Whether the datagram is RTCP, by its first two bytes (RFC 7983 section 7, RFC 5761 section 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if datagram.len() >= 4 && is_rtcp_type(*second))
}

/// RFC 5761: RTCP packet types 192 to 223 are kept apart from marker and payload type.
fn is_rtcp_type(second_byte: u8) -> bool {
    (192..=223).contains(&second_byte)
}

/// Sets the payload type, of which the low 7 bits count. Does nothing to a packet shorter than the fixed header, like all
/// setters here.
pub fn set_payload_type(packet: &mut [u8], payload_type: u8) {
    if let Some(fixed) = packet.first_chunk_mut::<FIXED_HEADER_LEN>() {
        fixed[1] = fixed[1] & MARKER_BIT | payload_type & !MARKER_BIT;
    }
}

/// Sets the sequence number.
pub fn set_sequence_number(packet: &mut [u8], sequence_number: u16) {
    if let Some(fixed) = packet.first_chunk_mut::<FIXED_HEADER_LEN>() {
        fixed[2..4].copy_from_slice(&sequence_number.to_be_bytes());
    }
}

/// Sets the timestamp.
pub fn set_timestamp(packet: &mut [u8], timestamp: u32) {
    if let Some(fixed) = packet.first_chunk_mut::<FIXED_HEADER_LEN>() {
        fixed[4..8].copy_from_slice(&timestamp.to_be_bytes());
    }
}

/// Sets the SSRC.
pub fn set_ssrc(packet: &mut [u8], ssrc: u32) {
    if let Some(fixed) = packet.first_chunk_mut::<FIXED_HEADER_LEN>() {
        fixed[8..12].copy_from_slice(&ssrc.to_be_bytes());
    }
}

/// Sets or clears the padding bit.
pub(super) fn set_padding_bit(packet: &mut [u8], padding: bool) {
    if let Some(first) = packet.first_mut() {
        *first = *first & !PADDING_BIT | if padding { PADDING_BIT } else { 0 };
    }
}

/// Sets the extension bit.
pub(super) fn set_extension_bit(packet: &mut [u8]) {
    if let Some(first) = packet.first_mut() {
        *first |= EXTENSION_BIT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Version 2, padding, extension, one CSRC, marker, PT 111, seq 0x1234.
    fn full_packet() -> Vec<u8> {
        let mut packet = vec![0xb1, 0xef, 0x12, 0x34, 0, 0, 0, 5, 0, 0, 0, 6];
        packet.extend([0, 0, 0, 9]);
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
        packet.extend([1, 2, 3]);
        packet.extend([0, 0, 3]);
        packet
    }

    #[test]
    fn every_field_and_range_of_a_full_header() {
        let packet = full_packet();
        let header = Header::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!(header.payload_type, 111);
        assert_eq!(header.sequence_number, 0x1234);
        assert_eq!((header.timestamp, header.ssrc), (5, 6));
        assert_eq!(header.csrcs(&packet), [0, 0, 0, 9]);
        assert_eq!(header.extension, Some(ExtensionForm::OneByte));
        assert_eq!(header.extension_range(), 20..24);
        assert_eq!(header.header_len(), 24);
        assert_eq!(header.payload(&packet), [1, 2, 3]);
        assert_eq!(header.padding_len, 3);
    }

    #[test]
    fn a_cut_packet_names_the_field_that_does_not_fit() {
        let packet = full_packet();
        let field = |len: usize| match Header::parse(&packet[..len]) {
            Err(RtpError::Truncated { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(0), "fixed header");
        assert_eq!(field(11), "fixed header");
        assert_eq!(field(15), "CSRC list");
        assert_eq!(field(19), "extension header");
        assert_eq!(field(23), "extension");
    }

    #[test]
    fn bad_version_and_padding_are_refused() {
        let mut packet = full_packet();
        packet[0] = 0x71;
        assert_eq!(Header::parse(&packet), Err(RtpError::Version(1)));
        let mut packet = full_packet();
        *packet.last_mut().unwrap() = 7;
        assert_eq!(Header::parse(&packet), Err(RtpError::Padding { padding: 7, available: 6 }));
        *packet.last_mut().unwrap() = 0;
        assert_eq!(Header::parse(&packet), Err(RtpError::Padding { padding: 0, available: 6 }));
        *packet.last_mut().unwrap() = 6;
        assert_eq!(Header::parse(&packet).unwrap().payload_len(), 0);
    }

    #[test]
    fn classification_follows_rfc_5761() {
        let mut packet = [0x80; 12];
        for (second, rtcp) in [(0x60, false), (0xe0, false), (191, false), (192, true), (200, true), (223, true)] {
            packet[1] = second;
            assert_eq!((is_rtp(&packet), is_rtcp(&packet)), (!rtcp, rtcp), "{second}");
        }
        assert!(!is_rtp(&[0, 1, 0, 0]) && !is_rtcp(&[]) && !is_rtp(&[22; 20]));
    }

    #[test]
    fn setters_change_their_field_alone() {
        let mut packet = full_packet();
        let before = Header::parse(&packet).unwrap();
        set_payload_type(&mut packet, 96);
        set_sequence_number(&mut packet, 65535);
        set_timestamp(&mut packet, u32::MAX);
        set_ssrc(&mut packet, 77);
        let after = Header::parse(&packet).unwrap();
        let expected = Header { payload_type: 96, sequence_number: 65535, timestamp: u32::MAX, ssrc: 77, ..before };
        assert_eq!(after, expected);
        set_ssrc(&mut [0; 11], 1);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_ranges_stay_inside(
            mut packet in proptest::collection::vec(any::<u8>(), 0..200), force in any::<bool>()
        ) {
            if force && !packet.is_empty() {
                packet[0] = packet[0] & 0x3f | 0x80;
            }
            if let Ok(header) = Header::parse(&packet) {
                prop_assert!(header.payload_range().end <= packet.len());
                prop_assert!(header.payload_range().start <= header.payload_range().end);
                prop_assert!(header.extension_range().end <= packet.len());
            }
        }
    }
}
