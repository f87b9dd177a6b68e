//! Feedback messages: generic NACK, picture loss, full intra request (RFC 4585, RFC 5104) and REMB
//! (draft-alvestrand-rmcat-remb).

use super::{Reader, packet_type, write_packet};
use crate::rtp::seq;

pub(super) const FMT_NACK: u8 = 1;
pub(super) const FMT_PLI: u8 = 1;
pub(super) const FMT_FIR: u8 = 4;
pub(super) const FMT_AFB: u8 = 15;
const REMB_NAME: [u8; 4] = *b"REMB";

/// Generic NACK: the receiver misses packets (RFC 4585 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// The SSRC of who misses them.
    pub sender_ssrc: u32,
    /// The SSRC of the stream.
    pub media_ssrc: u32,
    items: &'a [u8],
}

impl<'a> Nack<'a> {
    /// The items as they are: a packet id, and a bit mask of the 16 that follow it.
    pub fn items(&self) -> impl Iterator<Item = (u16, u16)> + use<'a> {
        let items = self.items.as_chunks::<4>().0.iter();
        items.map(|item| (u16::from_be_bytes([item[0], item[1]]), u16::from_be_bytes([item[2], item[3]])))
    }

    /// Every missing sequence number.
    pub fn sequence_numbers(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.items().flat_map(|(pid, blp)| {
            let following = (0..16).filter(move |bit| blp >> bit & 1 != 0).map(move |bit| pid.wrapping_add(bit + 1));
            std::iter::once(pid).chain(following)
        })
    }
}

/// Picture loss indication: the receiver wants a key frame (RFC 4585 section 6.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pli {
    /// The SSRC of who asks.
    pub sender_ssrc: u32,
    /// The SSRC of the stream.
    pub media_ssrc: u32,
}

/// One request of a FIR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// The SSRC of the stream.
    pub ssrc: u32,
    /// Command number: a repetition of the same request keeps it, a new request counts up.
    pub sequence_number: u8,
}

/// Full intra request: the receiver must have a key frame (RFC 5104 section 4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fir<'a> {
    /// The SSRC of who asks.
    pub sender_ssrc: u32,
    entries: &'a [u8],
}

impl<'a> Fir<'a> {
    /// The requests.
    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + use<'a> {
        self.entries.as_chunks::<8>().0.iter().map(|entry| FirEntry {
            ssrc: u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]),
            sequence_number: entry[4],
        })
    }
}

/// Receiver estimated maximum bitrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    /// The SSRC of who estimates.
    pub sender_ssrc: u32,
    /// The estimate in bit/s.
    pub bitrate: u64,
    ssrcs: &'a [u8],
}

impl<'a> Remb<'a> {
    /// The streams that share the bitrate.
    pub fn ssrcs(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.ssrcs.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

pub(super) fn parse_nack<'a>(mut body: Reader<'a>) -> Option<Nack<'a>> {
    Some(Nack { sender_ssrc: body.u32()?, media_ssrc: body.u32()?, items: body.rest() })
}

pub(super) fn parse_pli(mut body: Reader<'_>) -> Option<Pli> {
    Some(Pli { sender_ssrc: body.u32()?, media_ssrc: body.u32()? })
}

pub(super) fn parse_fir<'a>(mut body: Reader<'a>) -> Option<Fir<'a>> {
    let sender_ssrc = body.u32()?;
    // The media SSRC is not used: every entry has its own.
    body.u32()?;
    Some(Fir { sender_ssrc, entries: body.rest() })
}

/// Whether the body of an application layer feedback message is a REMB.
pub(super) fn is_remb(body: &[u8]) -> bool {
    body.get(8..12).is_some_and(|name| name == REMB_NAME)
}

pub(super) fn parse_remb<'a>(mut body: Reader<'a>) -> Option<Remb<'a>> {
    let sender_ssrc = body.u32()?;
    body.bytes(8)?;
    let word = body.u32()?;
    let (count, exponent, mantissa) = (word >> 24, word >> 18 & 0x3f, u64::from(word & 0x3ffff));
    let ssrcs = body.bytes(count as usize * 4)?;
    let bitrate = mantissa.saturating_mul(1 << exponent);
    Some(Remb { sender_ssrc, bitrate, ssrcs })
}

/// Appends a generic NACK for the sequence numbers, which must be in ascending (wrapping) order to be packed well.
/// Without any, nothing is written.
pub fn write_nack(out: &mut Vec<u8>, sender_ssrc: u32, media_ssrc: u32, sequence_numbers: &[u16]) {
    let Some((&first, rest)) = sequence_numbers.split_first() else {
        return;
    };
    write_packet(out, FMT_NACK, packet_type::TRANSPORT_FEEDBACK, |out| {
        out.extend_from_slice(&sender_ssrc.to_be_bytes());
        out.extend_from_slice(&media_ssrc.to_be_bytes());
        let (mut pid, mut blp) = (first, 0u16);
        let mut put = |pid: u16, blp: u16| {
            out.extend_from_slice(&pid.to_be_bytes());
            out.extend_from_slice(&blp.to_be_bytes());
        };
        for &number in rest {
            match seq::diff(number, pid) {
                0 => {}
                distance @ 1..=16 => blp |= 1 << (distance - 1),
                _ => {
                    put(pid, blp);
                    (pid, blp) = (number, 0);
                }
            }
        }
        put(pid, blp);
    });
}

/// Appends a picture loss indication.
pub fn write_pli(out: &mut Vec<u8>, sender_ssrc: u32, media_ssrc: u32) {
    write_packet(out, FMT_PLI, packet_type::PAYLOAD_FEEDBACK, |out| {
        out.extend_from_slice(&sender_ssrc.to_be_bytes());
        out.extend_from_slice(&media_ssrc.to_be_bytes());
    });
}

/// Appends a full intra request.
pub fn write_fir(out: &mut Vec<u8>, sender_ssrc: u32, entries: &[FirEntry]) {
    write_packet(out, FMT_FIR, packet_type::PAYLOAD_FEEDBACK, |out| {
        out.extend_from_slice(&sender_ssrc.to_be_bytes());
        out.extend_from_slice(&0u32.to_be_bytes());
        for entry in entries {
            out.extend_from_slice(&entry.ssrc.to_be_bytes());
            out.extend_from_slice(&[entry.sequence_number, 0, 0, 0]);
        }
    });
}

/// Appends a REMB for at most 255 streams. The bitrate, in bit/s, is rounded down to 18 significant bits.
pub fn write_remb(out: &mut Vec<u8>, sender_ssrc: u32, bitrate: u64, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(255)];
    let exponent = (u64::BITS - bitrate.leading_zeros()).saturating_sub(18);
    let word = (ssrcs.len() as u32) << 24 | exponent << 18 | (bitrate >> exponent) as u32;
    write_packet(out, FMT_AFB, packet_type::PAYLOAD_FEEDBACK, |out| {
        out.extend_from_slice(&sender_ssrc.to_be_bytes());
        out.extend_from_slice(&0u32.to_be_bytes());
        out.extend_from_slice(&REMB_NAME);
        out.extend_from_slice(&word.to_be_bytes());
        ssrcs.iter().for_each(|ssrc| out.extend_from_slice(&ssrc.to_be_bytes()));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};
    use proptest::prelude::*;

    fn one(bytes: &[u8]) -> Packet<'_> {
        let mut packets = packets(bytes);
        let packet = packets.next().unwrap().unwrap();
        assert!(packets.next().is_none());
        packet
    }

    #[test]
    fn nack_packs_the_next_sixteen_into_the_mask() {
        let mut out = Vec::new();
        write_nack(&mut out, 1, 2, &[65534, 65535, 14, 15, 40]);
        let expected = "81cd0005 00000001 00000002 fffe8001 000f0000 00280000";
        assert_eq!(hex::encode(&out), expected.replace(' ', ""));
        let Packet::Nack(nack) = one(&out) else { panic!() };
        assert_eq!(nack.sequence_numbers().collect::<Vec<_>>(), [65534, 65535, 14, 15, 40]);
        out.clear();
        write_nack(&mut out, 1, 2, &[]);
        assert!(out.is_empty());
    }

    #[test]
    fn pli_and_fir_bytes() {
        let mut out = Vec::new();
        write_pli(&mut out, 1, 2);
        assert_eq!(hex::encode(&out), "81ce00020000000100000002");
        assert_eq!(one(&out), Packet::Pli(Pli { sender_ssrc: 1, media_ssrc: 2 }));
        out.clear();
        let entries = [FirEntry { ssrc: 9, sequence_number: 200 }];
        write_fir(&mut out, 1, &entries);
        assert_eq!(hex::encode(&out), "84ce0004000000010000000000000009c8000000");
        let Packet::Fir(fir) = one(&out) else { panic!() };
        assert_eq!(fir.entries().collect::<Vec<_>>(), entries);
    }

    #[test]
    fn remb_of_known_bytes() {
        // Exponent 1, mantissa 0x3f7e4: 520,136 bit/s, for two streams.
        let bytes = hex::decode("8fce0006 00000001 00000000 52454d42 0207f7e4 0000000a 0000000b".replace(' ', ""));
        let bytes = bytes.unwrap();
        let Packet::Remb(remb) = one(&bytes) else { panic!() };
        assert_eq!((remb.bitrate, remb.ssrcs().collect::<Vec<_>>()), (520_136, vec![10, 11]));
        let mut out = Vec::new();
        write_remb(&mut out, 1, 520_136, &[10, 11]);
        assert_eq!(out, bytes);
    }

    proptest! {
        #[test]
        fn nacks_come_back(start: u16, steps in proptest::collection::vec(1u16..40, 0..60)) {
            let mut numbers = vec![start];
            for step in steps {
                numbers.push(numbers.last().unwrap().wrapping_add(step));
            }
            let mut out = Vec::new();
            write_nack(&mut out, 3, 4, &numbers);
            let Packet::Nack(nack) = one(&out) else { panic!() };
            prop_assert_eq!(nack.sequence_numbers().collect::<Vec<_>>(), numbers);
        }

        #[test]
        fn firs_come_back(sender: u32, entries in proptest::collection::vec(any::<(u32, u8)>(), 0..40)) {
            let entries: Vec<FirEntry> =
                entries.into_iter().map(|(ssrc, sequence_number)| FirEntry { ssrc, sequence_number }).collect();
            let mut out = Vec::new();
            write_fir(&mut out, sender, &entries);
            let Packet::Fir(fir) = one(&out) else { panic!() };
            prop_assert_eq!((fir.sender_ssrc, fir.entries().collect::<Vec<_>>()), (sender, entries));
        }

        #[test]
        fn remb_keeps_18_bits(bitrate: u64, ssrcs in proptest::collection::vec(any::<u32>(), 0..9)) {
            let mut out = Vec::new();
            write_remb(&mut out, 1, bitrate, &ssrcs);
            let Packet::Remb(remb) = one(&out) else { panic!() };
            prop_assert!(remb.bitrate <= bitrate);
            prop_assert!(u128::from(bitrate - remb.bitrate) << 17 <= u128::from(bitrate));
            prop_assert_eq!(remb.ssrcs().collect::<Vec<_>>(), ssrcs);
        }
    }
}
