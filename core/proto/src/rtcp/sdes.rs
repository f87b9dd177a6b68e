//! Source description, goodbye and application packets (RFC 3550 sections 6.5 to 6.7).

use super::{Reader, packet_type, write_packet};

/// SDES item type of the canonical name.
const CNAME: u8 = 1;

/// A source description: chunks of one source each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdes<'a> {
    count: u8,
    chunks: &'a [u8],
}

impl<'a> Sdes<'a> {
    /// The canonical names, with the SSRC of their source. A chunk that ends early ends the list.
    pub fn cnames(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.chunks);
        (0..self.count).map_while(move |_| read_chunk(&mut reader)).filter_map(|(ssrc, cname)| Some((ssrc, cname?)))
    }
}

/// Reads one chunk: an SSRC, items, a zero, and padding to a whole word.
fn read_chunk<'a>(reader: &mut Reader<'a>) -> Option<(u32, Option<&'a [u8]>)> {
    let before = reader.remaining();
    let ssrc = reader.u32()?;
    let mut cname = None;
    loop {
        let item = reader.u8()?;
        if item == 0 {
            let read = before - reader.remaining();
            reader.bytes(read.next_multiple_of(4) - read)?;
            return Some((ssrc, cname));
        }
        let len = reader.u8()?;
        let value = reader.bytes(usize::from(len))?;
        if item == CNAME {
            cname = Some(value);
        }
    }
}

/// A goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye<'a> {
    ssrcs: &'a [u8],
    /// The reason given, as bytes of UTF-8 that nobody checked.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Bye<'a> {
    /// The sources that leave.
    pub fn ssrcs(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.ssrcs.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// An application-defined packet, which this crate only carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'a> {
    /// The SSRC of the sender.
    pub ssrc: u32,
    /// The five-bit subtype.
    pub subtype: u8,
    /// The four ASCII characters that name it.
    pub name: [u8; 4],
    /// Its data.
    pub data: &'a [u8],
}

pub(super) fn parse_sdes<'a>(count: u8, body: Reader<'a>) -> Option<Sdes<'a>> {
    Some(Sdes { count, chunks: body.rest() })
}

pub(super) fn parse_bye<'a>(count: u8, mut body: Reader<'a>) -> Option<Bye<'a>> {
    let ssrcs = body.bytes(usize::from(count) * 4)?;
    let reason = match body.u8() {
        Some(len) => Some(body.bytes(usize::from(len))?),
        None => None,
    };
    Some(Bye { ssrcs, reason })
}

pub(super) fn parse_app<'a>(subtype: u8, mut body: Reader<'a>) -> Option<App<'a>> {
    let ssrc = body.u32()?;
    let name = body.u32()?.to_be_bytes();
    Some(App { ssrc, subtype, name, data: body.rest() })
}

/// Appends a source description with one canonical name, of which as many characters count as fit 255 bytes.
pub fn write_sdes_cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    // RFC 3550 section 6.5: items are UTF-8, so that no character may be cut.
    let end = (0..=cname.len().min(255)).rev().find(|&end| cname.is_char_boundary(end)).unwrap_or(0);
    let cname = &cname.as_bytes()[..end];
    write_packet(out, 1, packet_type::SDES, |out| {
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&[CNAME, cname.len() as u8]);
        out.extend_from_slice(cname);
        // The list of items ends with at least one zero byte.
        out.push(0);
    });
}

/// Appends a goodbye of at most 31 sources, without a reason.
pub fn write_bye(out: &mut Vec<u8>, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(31)];
    write_packet(out, ssrcs.len() as u8, packet_type::BYE, |out| {
        ssrcs.iter().for_each(|ssrc| out.extend_from_slice(&ssrc.to_be_bytes()));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};
    use proptest::prelude::*;

    fn cnames(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        match packets(bytes).next().unwrap().unwrap() {
            Packet::Sdes(sdes) => sdes.cnames().map(|(ssrc, cname)| (ssrc, cname.to_vec())).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sdes_bytes_end_with_a_zero_and_fill_a_word() {
        let mut out = Vec::new();
        write_sdes_cname(&mut out, 0x0102_0304, "ab");
        assert_eq!(hex::encode(&out), "81ca0003010203040102616200000000");
        out.clear();
        write_sdes_cname(&mut out, 0x0102_0304, "a");
        assert_eq!(hex::encode(&out), "81ca00020102030401016100");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let cut = |cname: &str| {
            let mut out = Vec::new();
            write_sdes_cname(&mut out, 1, cname);
            cnames(&out).remove(0).1.len()
        };
        assert_eq!((cut(&"a".repeat(255)), cut(&"a".repeat(300))), (255, 255));
        // Two and four bytes a character: the last begins at byte 254 and 252.
        assert_eq!((cut(&"\u{e9}".repeat(200)), cut(&"\u{1f600}".repeat(100))), (254, 252));
    }

    #[test]
    fn two_chunks_with_another_item_between() {
        let bytes = hex::decode("82ca0006 00000001 02017a01 01610000 00000002 01026263 00000000".replace(' ', ""));
        assert_eq!(cnames(&bytes.unwrap()), [(1, b"a".to_vec()), (2, b"bc".to_vec())]);
    }

    #[test]
    fn goodbye_with_and_without_a_reason() {
        let mut out = Vec::new();
        write_bye(&mut out, &[1, 2]);
        let Ok(Packet::Bye(bye)) = packets(&out).next().unwrap() else { panic!() };
        assert_eq!((bye.ssrcs().collect::<Vec<_>>(), bye.reason), (vec![1, 2], None));
        let bytes = [0x81, 203, 0, 2, 0, 0, 0, 9, 2, b'o', b'k', 0];
        let Ok(Packet::Bye(bye)) = packets(&bytes).next().unwrap() else { panic!() };
        assert_eq!((bye.ssrcs().next(), bye.reason), (Some(9), Some(&b"ok"[..])));
    }

    proptest! {
        #[test]
        fn goodbyes_come_back(ssrcs in proptest::collection::vec(any::<u32>(), 0..40)) {
            let mut out = Vec::new();
            write_bye(&mut out, &ssrcs);
            let Ok(Packet::Bye(bye)) = packets(&out).next().unwrap() else { panic!() };
            prop_assert_eq!((bye.ssrcs().collect::<Vec<_>>(), bye.reason), (ssrcs[..ssrcs.len().min(31)].to_vec(), None));
        }

        #[test]
        fn cnames_come_back(ssrc: u32, cname in "[ -~]{0,255}") {
            let mut out = Vec::new();
            write_sdes_cname(&mut out, ssrc, &cname);
            prop_assert_eq!(out.len() % 4, 0);
            prop_assert_eq!(cnames(&out), [(ssrc, cname.into_bytes())]);
        }
    }
}
