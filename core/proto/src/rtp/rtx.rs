//! The retransmission payload format, RTX (RFC 4588): a packet sent again on a stream of its own, with the original
//! sequence number (OSN) in front of the original payload.

use super::header::{Header, set_padding_bit, set_payload_type, set_sequence_number, set_ssrc};

/// Length in bytes of the OSN in front of the original payload.
pub const PREFIX_LEN: usize = 2;

/// Why a packet is no retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtxError {
    /// The payload has no room for the OSN. Senders use such packets as padding, to probe the bandwidth.
    #[error("RTX payload of {0} bytes has no original sequence number")]
    NoOriginalSequence(usize),
    /// The header was not parsed from this packet.
    #[error("RTX packet of {given} bytes does not match its header, which was parsed from {parsed}")]
    OtherPacket {
        /// Length of the packet given, in bytes.
        given: usize,
        /// Length of the packet that the header came from, in bytes.
        parsed: usize,
    },
}

/// The bytes in front of the original payload. A sender's header is that of the RTX stream: its SSRC, payload type and
/// sequence number.
pub fn prefix(original_sequence_number: u16) -> [u8; PREFIX_LEN] {
    original_sequence_number.to_be_bytes()
}

/// Turns an RTX packet back into the original, in place: the header moves up over the OSN, so that the payload stays
/// where it is. The original begins at [`PREFIX_LEN`] and the returned header describes `packet[PREFIX_LEN..]`, without
/// padding; extension spans parsed before hold relative to it. `payload_type` and `ssrc` are those of the original
/// stream.
pub fn decapsulate(packet: &mut [u8], header: &Header, payload_type: u8, ssrc: u32) -> Result<Header, RtxError> {
    if packet.len() != header.packet_len() {
        return Err(RtxError::OtherPacket { given: packet.len(), parsed: header.packet_len() });
    }
    let Some(osn) = header.payload(packet).first_chunk::<PREFIX_LEN>() else {
        return Err(RtxError::NoOriginalSequence(header.payload_len()));
    };
    let sequence_number = u16::from_be_bytes(*osn);
    packet.copy_within(..header.header_len(), PREFIX_LEN);
    let original = packet.get_mut(PREFIX_LEN..).unwrap_or_default();
    set_padding_bit(original, false);
    set_payload_type(original, payload_type);
    set_sequence_number(original, sequence_number);
    set_ssrc(original, ssrc);
    let mut restored = header.shortened(PREFIX_LEN as u16);
    restored.payload_type = payload_type & 0x7f;
    restored.sequence_number = sequence_number;
    restored.ssrc = ssrc;
    Ok(restored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{FixedHeader, HeaderWriter, pad};
    use proptest::prelude::*;

    fn fixed(payload_type: u8, sequence_number: u16, ssrc: u32) -> FixedHeader {
        FixedHeader { marker: true, payload_type, sequence_number, timestamp: 90, ssrc }
    }

    #[test]
    fn a_padding_packet_has_no_original() {
        let mut slot = [0; 64];
        let len = HeaderWriter::new(&mut slot, &fixed(97, 1, 2)).finish().unwrap();
        let len = pad(&mut slot, len, 20).unwrap();
        let header = Header::parse(&slot[..len]).unwrap();
        assert_eq!(decapsulate(&mut slot[..len], &header, 96, 1), Err(RtxError::NoOriginalSequence(0)));
        let error = decapsulate(&mut slot, &header, 96, 1);
        assert_eq!(error, Err(RtxError::OtherPacket { given: 64, parsed: 32 }));
    }

    proptest! {
        #[test]
        fn decapsulation_restores_the_original(
            osn: u16, payload in proptest::collection::vec(any::<u8>(), 0..100), padding in 0u8..20, value in 1usize..30
        ) {
            let value = vec![5; value];
            let mut original = [0; 300];
            let len = HeaderWriter::new(&mut original, &fixed(96, osn, 11)).extension(3, &value).finish().unwrap();
            original[len..len + payload.len()].copy_from_slice(&payload);
            let original = &original[..len + payload.len()];

            let mut slot = [0; 300];
            let len = HeaderWriter::new(&mut slot, &fixed(97, 500, 22)).extension(3, &value).finish().unwrap();
            let body = [&prefix(osn)[..], &payload].concat();
            slot[len..len + body.len()].copy_from_slice(&body);
            let len = pad(&mut slot, len + body.len(), padding).unwrap();
            let packet = &mut slot[..len];
            let header = Header::parse(packet).unwrap();
            let restored = decapsulate(packet, &header, 96, 11).unwrap();
            let packet = &packet[PREFIX_LEN..][..restored.packet_len()];
            prop_assert_eq!(packet, original);
            prop_assert_eq!(restored, Header::parse(original).unwrap());
        }
    }
}
