//! RTCP: compound packets read and written, and transport-wide feedback made of arrivals.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use sfu_proto::rtcp::{
    Compound, DlrrItem, FeedbackBuilder, FirEntry, Packet, ReportBlock, XrBlock, packets, write_bye, write_dlrr,
    write_fir, write_nack, write_pli, write_receiver_report, write_remb, write_rrtr, write_sdes_cname,
    write_sender_report,
};

use super::input::Input;

/// The first byte chooses: one compound packet, or arrivals that feedback is made of.
pub fn rtcp(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() & 1 {
        0 => compound(input.rest()),
        _ => feedback(input),
    }
}

fn compound(datagram: &[u8]) {
    let mut count = 0;
    for packet in packets(datagram) {
        count += 1;
        match packet {
            Ok(packet) => rewrite(packet),
            Err(error) => assert!(error.offset < datagram.len()),
        }
    }
    assert!(count <= datagram.len().div_ceil(4));
}

/// The packet that `write` appends, by itself.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    write(&mut out);
    assert_eq!(out[..4], [0; 4], "what was there is left alone");
    let written = out.split_off(4);
    assert!(written.len().is_multiple_of(4));
    written
}

fn only(bytes: &[u8]) -> Packet<'_> {
    let mut packets = packets(bytes);
    let packet = packets.next().expect("a packet").expect("what is written parses");
    assert!(packets.next().is_none());
    packet
}

/// Reads all of a packet, and has what was read written and read again.
fn rewrite(packet: Packet<'_>) {
    match packet {
        Packet::SenderReport(report) => {
            let blocks: Vec<ReportBlock> = report.blocks.iter().collect();
            let bytes = written(|out| write_sender_report(out, &report.info, &blocks));
            let Packet::SenderReport(again) = only(&bytes) else { panic!("a sender report") };
            assert_eq!(again, report);
        }
        Packet::ReceiverReport(report) => {
            let blocks: Vec<ReportBlock> = report.blocks.iter().collect();
            let bytes = written(|out| write_receiver_report(out, report.ssrc, &blocks));
            let Packet::ReceiverReport(again) = only(&bytes) else { panic!("a receiver report") };
            assert_eq!(again, report);
        }
        Packet::Sdes(sdes) => {
            for (ssrc, cname) in sdes.cnames().take(32) {
                let Ok(text) = str::from_utf8(cname) else { continue };
                let bytes = written(|out| write_sdes_cname(out, ssrc, text));
                let Packet::Sdes(again) = only(&bytes) else { panic!("a source description") };
                assert!(again.cnames().eq([(ssrc, cname)]));
            }
            assert!(sdes.cnames().count() < 32);
        }
        Packet::Bye(bye) => {
            let ssrcs: Vec<u32> = bye.ssrcs().collect();
            let bytes = written(|out| write_bye(out, &ssrcs));
            let Packet::Bye(again) = only(&bytes) else { panic!("a goodbye") };
            assert!(again.ssrcs().eq(ssrcs));
        }
        Packet::Nack(nack) => {
            let numbers: Vec<u16> = nack.sequence_numbers().collect();
            assert!(numbers.len() <= 17 * nack.items().count());
            let bytes = written(|out| write_nack(out, nack.sender_ssrc, nack.media_ssrc, &numbers));
            if !numbers.is_empty() {
                let Packet::Nack(again) = only(&bytes) else { panic!("a NACK") };
                let set = |numbers: &mut dyn Iterator<Item = u16>| numbers.collect::<BTreeSet<u16>>();
                assert_eq!(set(&mut again.sequence_numbers()), set(&mut numbers.into_iter()));
            }
        }
        Packet::TransportCc(feedback) => {
            let mut expected = feedback.base_sequence;
            let mut count = 0;
            for status in feedback.statuses() {
                assert_eq!(status.sequence_number, expected);
                expected = expected.wrapping_add(1);
                count += 1;
            }
            assert_eq!(count, feedback.status_count);
        }
        Packet::Pli(pli) => {
            let bytes = written(|out| write_pli(out, pli.sender_ssrc, pli.media_ssrc));
            assert_eq!(only(&bytes), packet);
        }
        Packet::Fir(fir) => {
            let entries: Vec<FirEntry> = fir.entries().collect();
            let bytes = written(|out| write_fir(out, fir.sender_ssrc, &entries));
            let Packet::Fir(again) = only(&bytes) else { panic!("a FIR") };
            assert!(again.entries().eq(entries));
        }
        Packet::Remb(remb) => {
            let ssrcs: Vec<u32> = remb.ssrcs().collect();
            let bytes = written(|out| write_remb(out, remb.sender_ssrc, remb.bitrate, &ssrcs));
            let Packet::Remb(again) = only(&bytes) else { panic!("a REMB") };
            assert!(again.ssrcs().eq(ssrcs));
            // Saturated bitrates have more significant bits than are written.
            assert!(again.bitrate == remb.bitrate || remb.bitrate == u64::MAX);
        }
        Packet::ExtendedReport(report) => {
            for block in report.blocks() {
                match block {
                    XrBlock::ReceiverReferenceTime(time) => {
                        let bytes = written(|out| write_rrtr(out, report.ssrc, time));
                        let Packet::ExtendedReport(again) = only(&bytes) else { panic!("an extended report") };
                        assert!(again.blocks().eq([block]));
                    }
                    XrBlock::Dlrr(items) => {
                        let items: Vec<DlrrItem> = items.iter().collect();
                        let bytes = written(|out| write_dlrr(out, report.ssrc, &items));
                        if items.is_empty() {
                            assert!(bytes.is_empty());
                            continue;
                        }
                        let Packet::ExtendedReport(again) = only(&bytes) else { panic!("an extended report") };
                        let Some(XrBlock::Dlrr(again)) = again.blocks().next() else { panic!("a DLRR block") };
                        assert!(again.iter().eq(items));
                    }
                    XrBlock::Other { .. } => {}
                }
            }
        }
        _ => {}
    }
}

/// Packets arrive with transport-wide numbers, and feedback about them is asked for, in which each of them has to be.
fn feedback(mut input: Input<'_>) {
    let epoch = Instant::now();
    let mut now = epoch;
    let mut builder = FeedbackBuilder::new(epoch, 1, 2);
    let first = i64::from(input.u16());
    let (mut position, mut highest, mut lowest) = (first, first, first);
    let mut received: HashSet<i64> = HashSet::new();
    let mut unreported: HashSet<u16> = HashSet::new();
    // Far from its neighbours a packet may be forgotten, and makes the others be.
    let mut jumped = false;
    while !input.is_empty() {
        let operation = input.u8();
        if operation & 3 == 3 {
            now += Duration::from_micros(u64::from(input.u16()) * 7);
            poll(&mut builder, 40 + 8 * usize::from(operation >> 2), &mut unreported);
            assert!(jumped || unreported.is_empty(), "not reported: {unreported:?}");
            unreported.clear();
            lowest = highest;
            continue;
        }
        if operation & 3 == 2 {
            position += i64::from(input.u16() as i16);
            now += Duration::from_millis(u64::from(operation >> 2) * 100);
        } else {
            position += i64::from(operation >> 2) - 8;
        }
        (highest, lowest) = (highest.max(position), lowest.min(position));
        jumped |= highest - position > 400 || highest - lowest > 8000;
        builder.handle_packet(position as u16, now);
        if received.insert(position) {
            unreported.insert(position as u16);
        }
    }
}

/// Takes all feedback, in packets of at most `limit` bytes.
fn poll(builder: &mut FeedbackBuilder, limit: usize, unreported: &mut HashSet<u16>) {
    let mut compound = Compound::new(limit);
    let mut reported = 0;
    loop {
        let mut any = false;
        compound.clear();
        compound.push(|out| any = builder.poll_feedback(out, limit)).expect("it keeps to its limit");
        if !any {
            break;
        }
        let Packet::TransportCc(feedback) = only(compound.bytes()) else { panic!("feedback") };
        assert!(feedback.status_count > 0);
        reported += usize::from(feedback.status_count);
        assert!(reported < 1 << 15, "feedback comes to an end");
        for status in feedback.statuses().filter(|status| status.arrival.is_some()) {
            unreported.remove(&status.sequence_number);
        }
    }
}
