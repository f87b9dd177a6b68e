//! Extended reports (RFC 3611): receiver reference time (RRTR) and delay since the last one (DLRR), with which a pure
//! receiver learns the round-trip time.

use super::{Ntp, Reader, packet_type, write_packet};

const RRTR: u8 = 4;
const DLRR: u8 = 5;

/// An extended report: blocks of several types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedReport<'a> {
    /// The SSRC of who reports.
    pub ssrc: u32,
    blocks: &'a [u8],
}

/// A block of an extended report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XrBlock<'a> {
    /// Receiver reference time: when the report was sent (section 4.4).
    ReceiverReferenceTime(Ntp),
    /// Delay since the last receiver reference time, for some receivers (section 4.5).
    Dlrr(DlrrItems<'a>),
    /// A block that this crate does not look into.
    Other {
        /// Its type.
        block_type: u8,
        /// Its content.
        data: &'a [u8],
    },
}

/// The items of a DLRR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DlrrItems<'a>(&'a [u8]);

/// One item of a DLRR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DlrrItem {
    /// The SSRC of the receiver that it is for.
    pub ssrc: u32,
    /// Middle 32 bits of that receiver's last reference time, or 0.
    pub last_receiver_report: u32,
    /// Time since it arrived, in 1/65,536 s, or 0.
    pub delay: u32,
}

impl<'a> DlrrItems<'a> {
    /// The items.
    pub fn iter(&self) -> impl Iterator<Item = DlrrItem> + use<'a> {
        self.0.as_chunks::<12>().0.iter().map(|item| DlrrItem {
            ssrc: u32::from_be_bytes([item[0], item[1], item[2], item[3]]),
            last_receiver_report: u32::from_be_bytes([item[4], item[5], item[6], item[7]]),
            delay: u32::from_be_bytes([item[8], item[9], item[10], item[11]]),
        })
    }
}

impl<'a> ExtendedReport<'a> {
    /// The blocks. One that claims more than there is ends the list.
    pub fn blocks(&self) -> impl Iterator<Item = XrBlock<'a>> + use<'a> {
        let mut reader = Reader::new(self.blocks);
        std::iter::from_fn(move || {
            let block_type = reader.u8()?;
            reader.u8()?;
            let words = reader.u16()?;
            let data = reader.bytes(usize::from(words) * 4)?;
            Some(match (block_type, data.first_chunk()) {
                (RRTR, Some(ntp)) => XrBlock::ReceiverReferenceTime(Ntp(u64::from_be_bytes(*ntp))),
                (DLRR, _) => XrBlock::Dlrr(DlrrItems(data)),
                _ => XrBlock::Other { block_type, data },
            })
        })
    }
}

pub(super) fn parse<'a>(mut body: Reader<'a>) -> Option<ExtendedReport<'a>> {
    Some(ExtendedReport { ssrc: body.u32()?, blocks: body.rest() })
}

/// Appends an extended report with a receiver reference time.
pub fn write_rrtr(out: &mut Vec<u8>, ssrc: u32, now: Ntp) {
    write_packet(out, 0, packet_type::EXTENDED_REPORT, |out| {
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&[RRTR, 0, 0, 2]);
        out.extend_from_slice(&now.0.to_be_bytes());
    });
}

/// Appends an extended report with a DLRR block, if there are items.
pub fn write_dlrr(out: &mut Vec<u8>, ssrc: u32, items: &[DlrrItem]) {
    // Twelve bytes an item, in a packet whose length field counts up to 65,535 words.
    let items = &items[..items.len().min(21_000)];
    if items.is_empty() {
        return;
    }
    write_packet(out, 0, packet_type::EXTENDED_REPORT, |out| {
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&[DLRR, 0]);
        out.extend_from_slice(&((items.len() * 3) as u16).to_be_bytes());
        for item in items {
            out.extend_from_slice(&item.ssrc.to_be_bytes());
            out.extend_from_slice(&item.last_receiver_report.to_be_bytes());
            out.extend_from_slice(&item.delay.to_be_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};
    use proptest::prelude::*;

    fn report(bytes: &[u8]) -> ExtendedReport<'_> {
        match packets(bytes).next().unwrap().unwrap() {
            Packet::ExtendedReport(report) => report,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reference_time_bytes() {
        let mut out = Vec::new();
        write_rrtr(&mut out, 1, Ntp(0x0102_0304_0506_0708));
        assert_eq!(hex::encode(&out), "80cf000400000001040000020102030405060708");
        let expected = [XrBlock::ReceiverReferenceTime(Ntp(0x0102_0304_0506_0708))];
        assert_eq!(report(&out).blocks().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn dlrr_bytes() {
        let items = [1, 2].map(|ssrc| DlrrItem { ssrc, last_receiver_report: 0x1234_5678, delay: 65536 });
        let mut out = Vec::new();
        write_dlrr(&mut out, 7, &items);
        let expected = "80cf0008 00000007 05000006 00000001 12345678 00010000 00000002 12345678 00010000";
        assert_eq!(hex::encode(&out), expected.replace(' ', ""));
        out.clear();
        write_dlrr(&mut out, 7, &[]);
        assert!(out.is_empty());
    }

    #[test]
    fn unknown_blocks_are_passed_over_and_a_cut_one_ends() {
        let bytes = hex::decode("80cf0005 00000001 01000001 aabbccdd 04000002 00000000".replace(' ', "")).unwrap();
        let blocks: Vec<_> = report(&bytes).blocks().collect();
        assert_eq!(blocks, [XrBlock::Other { block_type: 1, data: &[0xaa, 0xbb, 0xcc, 0xdd] }]);
    }

    proptest! {
        #[test]
        fn reports_come_back(ssrc: u32, ntp: u64, words in proptest::collection::vec(any::<[u32; 3]>(), 1..40)) {
            let items: Vec<DlrrItem> = words
                .iter()
                .map(|&[ssrc, last_receiver_report, delay]| DlrrItem { ssrc, last_receiver_report, delay })
                .collect();
            let mut out = Vec::new();
            write_dlrr(&mut out, ssrc, &items);
            let Some(XrBlock::Dlrr(parsed)) = report(&out).blocks().next() else { panic!() };
            prop_assert_eq!(parsed.iter().collect::<Vec<_>>(), items);
            prop_assert_eq!(report(&out).ssrc, ssrc);
            out.clear();
            write_rrtr(&mut out, ssrc, Ntp(ntp));
            let expected = [XrBlock::ReceiverReferenceTime(Ntp(ntp))];
            prop_assert_eq!(report(&out).blocks().collect::<Vec<_>>(), expected);
        }
    }
}
