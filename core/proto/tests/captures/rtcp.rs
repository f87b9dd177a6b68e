//! Compound packets.

use sfu_proto::rtcp::{Packet, XrBlock, packets as walk};

use super::*;

fn kinds(compound: &[u8]) -> Vec<&'static str> {
    walk(compound)
        .map(|packet| match packet.unwrap() {
            Packet::SenderReport(_) => "SR",
            Packet::ReceiverReport(_) => "RR",
            Packet::Sdes(_) => "SDES",
            Packet::TransportCc(_) => "transport-cc",
            Packet::ExtendedReport(_) => "XR",
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn compound_packets_are_read_to_their_end() {
    let seen: Vec<Vec<&str>> = packets(RTCP).iter().map(|compound| kinds(compound)).collect();
    let expected: [&[&str]; 5] =
        [&["transport-cc"], &["RR", "XR"], &["SR", "SDES", "XR"], &["SR", "SDES"], &["RR", "XR"]];
    assert_eq!(seen, expected.iter().flat_map(|kinds| [kinds.to_vec(), kinds.to_vec()]).collect::<Vec<_>>());
}

#[test]
fn transport_wide_feedback_tells_of_every_packet() {
    for (compound, base, arrived) in [(&packets(RTCP)[0], 777, 6), (&packets(RTCP)[1], 783, 5)] {
        let Some(Ok(Packet::TransportCc(feedback))) = walk(compound).next() else { panic!() };
        let statuses: Vec<_> = feedback.statuses().collect();
        assert_eq!((feedback.base_sequence, statuses.len()), (base, arrived));
        assert!(statuses.iter().all(|status| status.arrival.is_some()));
        assert!(statuses.is_sorted_by_key(|status| status.arrival));
    }
}

#[test]
fn reports_have_blocks_reference_times_and_answers_to_them() {
    let compounds = packets(RTCP);
    let Some(Ok(Packet::ReceiverReport(report))) = walk(&compounds[2]).next() else { panic!() };
    let block = report.blocks.iter().last().unwrap();
    assert_eq!((block.ssrc, block.packets_lost, block.highest_sequence), (0xa775_3bb9, 0, 0x77e0));
    assert_eq!((block.jitter, block.delay_since_last_sender_report), (0xc2, 0xf41f));

    let Some(Ok(Packet::ExtendedReport(extended))) = walk(&compounds[2]).last() else { panic!() };
    let Some(XrBlock::ReceiverReferenceTime(time)) = extended.blocks().next() else { panic!() };
    assert_eq!((extended.ssrc, time.0), (1, 0xeeb2_5548_7ba9_c12f));

    // A later report of the other side answers that reference time.
    let Some(Ok(Packet::ExtendedReport(extended))) = walk(&compounds[5]).last() else { panic!() };
    let Some(XrBlock::Dlrr(items)) = extended.blocks().next() else { panic!() };
    let items: Vec<_> = items.iter().collect();
    assert_eq!((items.len(), items[0].ssrc, items[0].last_receiver_report), (1, 1, time.compact()));

    let Some(Ok(Packet::Sdes(sdes))) = walk(&compounds[4]).nth(1) else { panic!() };
    assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(0x5108_4bcd, &b"b1EZeu/2jk+Z4Dhq"[..])]);
}
