//! RTCP: read and written.

use super::{Bench, Id, check};
use anyhow::Result;
use sfu_proto::rtcp::{
    FeedbackBuilder, Ntp, Packet, ReportBlock, SenderInfo, packets, write_nack, write_pli, write_receiver_report,
    write_sdes_cname, write_sender_report,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

const GROUP: &str = "RTCP";
/// What an answer to 1 % loss at 30 frames a second may ask for.
const MISSING: [u16; 6] = [10, 11, 15, 26, 400, 401];
/// Packets that a feedback covers: 300 a second, feedback 10 times a second.
const COVERED: u16 = 30;

fn sender_info() -> SenderInfo {
    SenderInfo {
        ssrc: 7,
        ntp: Ntp::from_unix(Duration::from_millis(1_700_000_000_123)),
        rtp_timestamp: 90_000,
        packet_count: 1_000,
        octet_count: 1_000_000,
    }
}

fn sender_report(out: &mut Vec<u8>, info: &SenderInfo) {
    out.clear();
    write_sender_report(out, info, &[]);
    write_sdes_cname(out, 7, "a-canonical-name");
}

fn receiver_report(out: &mut Vec<u8>, block: &ReportBlock) {
    out.clear();
    write_receiver_report(out, 8, std::slice::from_ref(block));
}

/// Feedback on [`COVERED`] packets that came 3 ms apart, but for two that didn't.
fn feedback(builder: &mut FeedbackBuilder, out: &mut Vec<u8>, from: u16, start: Instant) {
    for number in (0..COVERED).filter(|number| !matches!(number, 9 | 20)) {
        builder.handle_packet(from.wrapping_add(number), start + Duration::from_millis(3) * u32::from(number));
    }
    out.clear();
    while builder.poll_feedback(out, 1_200) {}
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    let info = sender_info();
    let block = ReportBlock { ssrc: 9, fraction_lost: 3, packets_lost: 77, jitter: 21, ..ReportBlock::default() };
    let mut bytes = Vec::with_capacity(1_500);

    sender_report(&mut bytes, &info);
    let report = bytes.clone();
    check(
        bench,
        &Id::new(GROUP, "parse a sender report with SDES"),
        || {
            let mut found = None;
            for packet in packets(black_box(&report)).flatten() {
                match packet {
                    Packet::SenderReport(report) => found = Some(report.info),
                    Packet::Sdes(sdes) => drop(black_box(sdes.cnames().next())),
                    _ => {}
                }
            }
            found
        },
        |found| *found == Some(info),
    )?;
    check(
        bench,
        &Id::new(GROUP, "write a sender report with SDES"),
        || {
            sender_report(black_box(&mut bytes), &info);
            bytes.len()
        },
        |len| *len == report.len(),
    )?;

    receiver_report(&mut bytes, &block);
    let report = bytes.clone();
    check(
        bench,
        &Id::new(GROUP, "parse a receiver report of 1 stream"),
        || {
            packets(black_box(&report)).flatten().find_map(|packet| match packet {
                Packet::ReceiverReport(report) => report.blocks.iter().next(),
                _ => None,
            })
        },
        |found| *found == Some(block),
    )?;
    check(
        bench,
        &Id::new(GROUP, "write a receiver report of 1 stream"),
        || {
            receiver_report(black_box(&mut bytes), &block);
            bytes.len()
        },
        |len| *len == report.len(),
    )?;

    bytes.clear();
    write_nack(&mut bytes, 1, 2, &MISSING);
    let nack = bytes.clone();
    check(
        bench,
        &Id::new(GROUP, "parse a NACK for 6 packets"),
        || {
            packets(black_box(&nack)).flatten().find_map(|packet| match packet {
                Packet::Nack(nack) => Some(nack.sequence_numbers().map(u32::from).sum::<u32>()),
                _ => None,
            })
        },
        |sum| *sum == Some(MISSING.iter().copied().map(u32::from).sum()),
    )?;
    check(
        bench,
        &Id::new(GROUP, "write a NACK for 6 packets"),
        || {
            bytes.clear();
            write_nack(black_box(&mut bytes), 1, 2, &MISSING);
            bytes.len()
        },
        |len| *len == nack.len(),
    )?;
    check(
        bench,
        &Id::new(GROUP, "write a PLI"),
        || {
            bytes.clear();
            write_pli(black_box(&mut bytes), 1, 2);
            bytes.len()
        },
        |len| *len == 12,
    )?;

    let epoch = Instant::now();
    let mut builder = FeedbackBuilder::new(epoch, 1, 2);
    feedback(&mut builder, &mut bytes, 0, epoch);
    let wide = bytes.clone();
    check(
        bench,
        &Id::new(GROUP, "parse transport-wide feedback on 30 packets"),
        || {
            packets(black_box(&wide)).flatten().find_map(|packet| match packet {
                Packet::TransportCc(feedback) => {
                    Some(feedback.statuses().filter(|status| status.arrival.is_some()).count())
                }
                _ => None,
            })
        },
        |received| *received == Some(usize::from(COVERED) - 2),
    )?;
    let (mut number, mut time) = (COVERED, epoch);
    check(
        bench,
        &Id::new(GROUP, "note 30 packets and write transport-wide feedback on them"),
        || {
            time += Duration::from_millis(100);
            feedback(&mut builder, black_box(&mut bytes), number, time);
            number = number.wrapping_add(COVERED);
            bytes.len()
        },
        |len| len.abs_diff(wide.len()) <= 8,
    )
}
