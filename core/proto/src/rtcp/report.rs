//! Sender and receiver reports (RFC 3550 sections 6.4.1 and 6.4.2).

use super::{Ntp, Reader, packet_type, write_packet};

/// Length in bytes of one report block.
const BLOCK_LEN: usize = 24;
/// The five-bit count of a packet.
const MAX_BLOCKS: usize = 31;

/// What a sender says of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender's SSRC.
    pub ssrc: u32,
    /// When the report was sent, by the sender's wall clock.
    pub ntp: Ntp,
    /// The same instant in units of the stream's timestamps.
    pub rtp_timestamp: u32,
    /// Packets sent, modulo 2^32.
    pub packet_count: u32,
    /// Payload bytes sent, modulo 2^32.
    pub octet_count: u32,
}

/// What a receiver says of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The SSRC of the stream.
    pub ssrc: u32,
    /// Lost of the packets expected since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost packets since the beginning, 24 bits with sign; negative with duplicates.
    pub packets_lost: i32,
    /// Highest sequence number received; the upper 16 bits count its cycles.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the timestamp.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report, or 0.
    pub last_sender_report: u32,
    /// Time since the arrival of that report, in 1/65,536 s, or 0.
    pub delay_since_last_sender_report: u32,
}

impl ReportBlock {
    fn decode(bytes: &[u8; BLOCK_LEN]) -> ReportBlock {
        let word = |index: usize| {
            u32::from_be_bytes([bytes[index * 4], bytes[index * 4 + 1], bytes[index * 4 + 2], bytes[index * 4 + 3]])
        };
        ReportBlock {
            ssrc: word(0),
            fraction_lost: bytes[4],
            packets_lost: (word(1) << 8) as i32 >> 8,
            highest_sequence: word(2),
            jitter: word(3),
            last_sender_report: word(4),
            delay_since_last_sender_report: word(5),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let lost = self.packets_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&(u32::from(self.fraction_lost) << 24 | lost).to_be_bytes());
        out.extend_from_slice(&self.highest_sequence.to_be_bytes());
        out.extend_from_slice(&self.jitter.to_be_bytes());
        out.extend_from_slice(&self.last_sender_report.to_be_bytes());
        out.extend_from_slice(&self.delay_since_last_sender_report.to_be_bytes());
    }
}

/// The report blocks of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlocks<'a>(&'a [u8]);

impl<'a> ReportBlocks<'a> {
    /// The blocks, in order.
    pub fn iter(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        self.0.as_chunks::<BLOCK_LEN>().0.iter().map(ReportBlock::decode)
    }
}

/// A sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// What the sender says of its own stream.
    pub info: SenderInfo,
    /// What it says of the streams it receives.
    pub blocks: ReportBlocks<'a>,
}

/// A receiver report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// The SSRC of who reports.
    pub ssrc: u32,
    /// What it says of the streams it receives.
    pub blocks: ReportBlocks<'a>,
}

pub(super) fn parse_sender_report<'a>(count: u8, mut body: Reader<'a>) -> Option<SenderReport<'a>> {
    let info = SenderInfo {
        ssrc: body.u32()?,
        ntp: Ntp(u64::from(body.u32()?) << 32 | u64::from(body.u32()?)),
        rtp_timestamp: body.u32()?,
        packet_count: body.u32()?,
        octet_count: body.u32()?,
    };
    Some(SenderReport { info, blocks: parse_blocks(count, body)? })
}

pub(super) fn parse_receiver_report<'a>(count: u8, mut body: Reader<'a>) -> Option<ReceiverReport<'a>> {
    Some(ReceiverReport { ssrc: body.u32()?, blocks: parse_blocks(count, body)? })
}

fn parse_blocks<'a>(count: u8, mut body: Reader<'a>) -> Option<ReportBlocks<'a>> {
    body.bytes(usize::from(count) * BLOCK_LEN).map(ReportBlocks)
}

/// Appends a sender report, and receiver reports after it if there are more than 31 blocks.
pub fn write_sender_report(out: &mut Vec<u8>, info: &SenderInfo, blocks: &[ReportBlock]) {
    let (blocks, rest) = blocks.split_at(blocks.len().min(MAX_BLOCKS));
    write_packet(out, blocks.len() as u8, packet_type::SENDER_REPORT, |out| {
        out.extend_from_slice(&info.ssrc.to_be_bytes());
        out.extend_from_slice(&info.ntp.0.to_be_bytes());
        out.extend_from_slice(&info.rtp_timestamp.to_be_bytes());
        out.extend_from_slice(&info.packet_count.to_be_bytes());
        out.extend_from_slice(&info.octet_count.to_be_bytes());
        blocks.iter().for_each(|block| block.encode(out));
    });
    if !rest.is_empty() {
        write_receiver_report(out, info.ssrc, rest);
    }
}

/// Appends receiver reports: one, or as many as the blocks need at 31 each. Without blocks it is an empty report.
pub fn write_receiver_report(out: &mut Vec<u8>, ssrc: u32, blocks: &[ReportBlock]) {
    let mut rest = blocks;
    loop {
        let (now, later) = rest.split_at(rest.len().min(MAX_BLOCKS));
        write_packet(out, now.len() as u8, packet_type::RECEIVER_REPORT, |out| {
            out.extend_from_slice(&ssrc.to_be_bytes());
            now.iter().for_each(|block| block.encode(out));
        });
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = ReportBlock> {
        (any::<[u32; 5]>(), any::<u8>(), -0x80_0000i32..=0x7f_ffff).prop_map(|(words, fraction_lost, packets_lost)| {
            ReportBlock {
                ssrc: words[0],
                fraction_lost,
                packets_lost,
                highest_sequence: words[1],
                jitter: words[2],
                last_sender_report: words[3],
                delay_since_last_sender_report: words[4],
            }
        })
    }

    #[test]
    fn receiver_report_bytes() {
        let mut out = Vec::new();
        let block = ReportBlock {
            ssrc: 0x0193_2db4,
            fraction_lost: 0x50,
            packets_lost: -2,
            highest_sequence: 0x0001_0002,
            jitter: 3,
            last_sender_report: 4,
            delay_since_last_sender_report: 5,
        };
        write_receiver_report(&mut out, 0x5d93_1534, &[block]);
        let expected = "81c90007 5d931534 01932db4 50fffffe 00010002 00000003 00000004 00000005";
        assert_eq!(hex::encode(out), expected.replace(' ', ""));
    }

    #[test]
    fn sender_report_bytes() {
        let mut out = Vec::new();
        let info = SenderInfo {
            ssrc: 0x0102_0304,
            ntp: Ntp(0xe1e2_e3e4_e5e6_e7e8),
            rtp_timestamp: 0x1112_1314,
            packet_count: 0x2122_2324,
            octet_count: 0x3132_3334,
        };
        write_sender_report(&mut out, &info, &[ReportBlock { ssrc: 9, ..ReportBlock::default() }]);
        let expected = "81c8000c 01020304 e1e2e3e4 e5e6e7e8 11121314 21222324 31323334 \
                        00000009 00000000 00000000 00000000 00000000 00000000";
        assert_eq!(hex::encode(out), expected.replace(' ', ""));
    }

    #[test]
    fn more_than_31_blocks_take_more_reports() {
        let mut out = Vec::new();
        write_receiver_report(&mut out, 1, &[ReportBlock::default(); 40]);
        let counts: Vec<usize> = packets(&out)
            .map(|packet| match packet.unwrap() {
                Packet::ReceiverReport(report) => report.blocks.iter().count(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [31, 9]);
    }

    proptest! {
        #[test]
        fn receiver_reports_come_back(ssrc: u32, blocks in proptest::collection::vec(block(), 0..80)) {
            let mut out = Vec::new();
            write_receiver_report(&mut out, ssrc, &blocks);
            let mut back = Vec::new();
            for packet in packets(&out) {
                let Ok(Packet::ReceiverReport(report)) = packet else { panic!() };
                prop_assert_eq!(report.ssrc, ssrc);
                back.extend(report.blocks.iter());
            }
            prop_assert_eq!(back, blocks);
        }

        #[test]
        fn sender_reports_come_back(
            words: [u32; 4], ntp: u64, blocks in proptest::collection::vec(block(), 0..31)
        ) {
            let info = SenderInfo {
                ssrc: words[0], ntp: Ntp(ntp), rtp_timestamp: words[1], packet_count: words[2], octet_count: words[3],
            };
            let mut out = Vec::new();
            write_sender_report(&mut out, &info, &blocks);
            let Ok(Packet::SenderReport(report)) = packets(&out).next().unwrap() else { panic!() };
            prop_assert_eq!(report.info, info);
            prop_assert_eq!(report.blocks.iter().collect::<Vec<_>>(), blocks);
        }
    }
}
