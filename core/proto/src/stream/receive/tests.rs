use super::*;
use crate::rtp::{FixedHeader, HeaderWriter};
use proptest::prelude::*;

fn header(seq: u16, timestamp: u32) -> Header {
    let fixed = FixedHeader { marker: false, payload_type: 96, sequence_number: seq, timestamp, ssrc: 5 };
    let mut slot = [0; 12];
    HeaderWriter::new(&mut slot, &fixed).finish().unwrap();
    Header::parse(&slot).unwrap()
}

fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

#[test]
fn loss_is_counted_over_the_wrap_and_per_report() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 90_000);
    assert_eq!(stream.report_block(start), None);
    for seq in [65530, 65531, 65534, 2] {
        assert_eq!(stream.handle_packet(start, &header(seq, 0), 100), Verdict::Accepted);
    }
    // 65530 to 65538 is nine expected, four received.
    let block = stream.report_block(start).unwrap();
    assert_eq!((block.packets_lost, block.highest_sequence), (5, 0x1_0002));
    assert_eq!(block.fraction_lost, (5 * 256 / 9) as u8);
    // A straggler counts for the next interval, which then has lost nothing.
    stream.handle_packet(start, &header(65533, 0), 100);
    stream.handle_packet(start, &header(3, 0), 100);
    let block = stream.report_block(start).unwrap();
    assert_eq!((block.packets_lost, block.fraction_lost), (4, 0));
    let stats = stream.stats();
    assert_eq!((stats.packet_count, stats.byte_count, stats.packets_expected), (6, 600, 10));
}

#[test]
fn a_restart_needs_two_packets_and_keeps_the_totals() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 90_000);
    for seq in [10, 12] {
        stream.handle_packet(start, &header(seq, 0), 100);
    }
    assert_eq!(stream.handle_packet(start, &header(30_000, 0), 100), Verdict::Discarded);
    assert_eq!(stream.handle_packet(start, &header(13, 0), 100), Verdict::Accepted);
    assert_eq!(stream.handle_packet(start, &header(30_001, 0), 100), Verdict::Discarded);
    assert_eq!(stream.handle_packet(start, &header(30_002, 0), 100), Verdict::Restarted);
    assert_eq!(stream.handle_packet(start, &header(30_004, 0), 100), Verdict::Accepted);
    let stats = stream.stats();
    assert_eq!((stats.packets_expected, stats.packets_lost, stats.packets_discarded), (7, 2, 2));
}

#[test]
fn near_total_loss_is_255_and_duplicates_make_up_for_losses() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 90_000);
    stream.handle_packet(start, &header(0, 0), 100);
    stream.report_block(start);
    stream.handle_packet(start, &header(2999, 0), 100);
    assert_eq!(stream.report_block(start).unwrap().fraction_lost, 255);

    let mut stream = Stream::new(5, 90_000);
    for seq in [1, 1, 1, 2] {
        stream.handle_packet(start, &header(seq, 0), 100);
    }
    let block = stream.report_block(start).unwrap();
    assert_eq!((block.packets_lost, block.fraction_lost), (-2, 0));
    assert_eq!(stream.totals(), Totals { expected: 2, packets: 4, lost: -2, repaired: 0, retransmitted: 0 });
}

#[test]
fn repairs_count_as_received_and_not_as_received_by_themselves() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 90_000);
    for seq in [1, 4] {
        stream.handle_packet(start, &header(seq, 0), 100);
    }
    stream.handle_rtx(start, Some(70));
    stream.handle_rtx(start, None);
    let stats = stream.stats();
    assert_eq!((stats.packet_count, stats.byte_count, stats.packets_lost), (3, 270, 2));
    assert_eq!((stats.packets_retransmitted, stats.packets_repaired), (2, 1));
    // 2160 bits in 2.5 s.
    assert_eq!(stream.bitrate(start), 864);
    assert_eq!(stream.totals(), Totals { expected: 4, packets: 2, lost: 2, repaired: 1, retransmitted: 2 });

    // Without RTX the packet comes on the stream itself.
    let mut stream = Stream::new(5, 90_000);
    for seq in [1, 3, 2] {
        stream.handle_packet(start, &header(seq, 0), 100);
    }
    stream.handle_repair();
    let stats = stream.stats();
    assert_eq!((stats.packet_count, stats.packets_retransmitted, stats.packets_repaired), (3, 1, 1));
    assert_eq!(stream.totals(), Totals { expected: 3, packets: 2, lost: 1, repaired: 1, retransmitted: 1 });
}

#[test]
fn jitter_goes_on_after_timestamps_go_back() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 8000);
    stream.handle_packet(start, &header(0, 100_000), 100);
    // The timestamps start anew: one great difference, which is forgotten in time.
    for index in 0..400u64 {
        let late = 5 * (index % 2);
        let header = header(index as u16 + 1, index as u32 * 160);
        stream.handle_packet(start + millis(index * 20 + late), &header, 100);
    }
    assert!((39..=40).contains(&stream.stats().jitter), "{}", stream.stats().jitter);
    // A straggler and a duplicate say nothing of the network's delay now.
    stream.handle_packet(start + millis(9000), &header(300, 299 * 160), 100);
    stream.handle_packet(start + millis(9000), &header(400, 300 * 160), 100);
    assert!((39..=40).contains(&stream.stats().jitter), "{}", stream.stats().jitter);
}

#[test]
fn an_answer_to_a_reference_time_tells_the_round_trip() {
    let mut stream = Stream::new(5, 8000);
    // The example of RFC 3550 section 6.4.1.
    let mut item = DlrrItem { ssrc: 5, last_receiver_report: 0xb705_2000, delay: 0x0005_4000 };
    let now = Ntp(0xb44d_b710_8000_0000);
    assert_eq!(stream.handle_dlrr(now, &item), Some(millis(6125)));
    // No reference time has come to the sender, whatever the delay says.
    (item.last_receiver_report, item.delay) = (0, 0xb705_2000);
    assert_eq!(stream.handle_dlrr(now, &item), None);
    assert_eq!(stream.stats().round_trip_time, Some(millis(6125)));
}

#[test]
fn jitter_of_a_steady_stream_is_zero_and_of_an_alternating_one_converges() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 8000);
    for index in 0..50u64 {
        stream.handle_packet(start + millis(index * 20), &header(index as u16, index as u32 * 160), 100);
    }
    assert_eq!(stream.stats().jitter, 0);
    // Every other packet 5 ms late: the transit differs by 40 units each time.
    for index in 50..400u64 {
        let late = 5 * (index % 2);
        stream.handle_packet(start + millis(index * 20 + late), &header(index as u16, index as u32 * 160), 100);
    }
    assert!((39..=40).contains(&stream.stats().jitter), "{}", stream.stats().jitter);
}

/// As mediasoup 3.12.16's RtpStreamRecv::GetRtcpReceiverReport does.
#[test]
fn the_worst_loss_of_the_receivers_is_reported_if_it_is_worse_than_ours() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 48_000);
    let mut report = |numbers: std::ops::Range<u16>, remote: &[u8]| {
        for seq in numbers {
            stream.handle_packet(start, &header(seq, 0), 100);
        }
        remote.iter().for_each(|&fraction| stream.handle_remote_loss(fraction));
        let block = stream.report_block(start).unwrap();
        (block.fraction_lost, block.packets_lost, stream.stats().fraction_lost)
    };
    assert_eq!(report(0..100, &[64, 128, 32]), (128, 50, 0));
    // It is told anew for each report.
    assert_eq!(report(100..200, &[]), (0, 50, 0));
    // 20 of 100 are lost here, which is 51 of 256.
    assert_eq!(report(220..300, &[50]), (51, 70, 51));
    assert_eq!(report(320..400, &[64]), (64, 95, 51));
}

#[test]
fn reports_echo_the_last_sender_report() {
    let start = Instant::now();
    let mut stream = Stream::new(5, 8000);
    stream.handle_packet(start, &header(1, 0), 100);
    let ntp = Ntp(0x1111_2222_3333_4444);
    let info = SenderInfo { ssrc: 5, ntp, rtp_timestamp: 0, packet_count: 0, octet_count: 0 };
    stream.handle_sender_report(start, &info);
    let block = stream.report_block(start + millis(5250)).unwrap();
    assert_eq!(block.last_sender_report, 0x2222_3333);
    assert_eq!(block.delay_since_last_sender_report, 0x0005_4000);
}

proptest! {
    /// Against the definitions, on numbers that never wrap.
    #[test]
    fn agrees_with_counting(
        base: u16, steps in proptest::collection::vec((-1400i64..2900, proptest::bool::weighted(0.2)), 1..200)
    ) {
        let now = Instant::now();
        let mut stream = Stream::new(5, 90_000);
        let (mut highest, mut received, mut prior) = (i64::from(base), 0i64, (0, 0));
        for (step, report) in [(0, false)].into_iter().chain(steps) {
            let number = highest + step;
            prop_assert_eq!(stream.handle_packet(now, &header(number as u16, 0), 1), Verdict::Accepted);
            highest = highest.max(number);
            received += 1;
            let expected = highest - i64::from(base) + 1;
            let stats = stream.stats();
            prop_assert_eq!(stats.packets_expected as i64, expected);
            prop_assert_eq!(stats.packets_lost, expected - received);
            prop_assert_eq!(i64::from(stats.highest_sequence), highest);
            if report {
                let block = stream.report_block(now).unwrap();
                let interval = (expected - prior.0, received - prior.1);
                let lost = (interval.0 - interval.1).max(0);
                let fraction = if interval.0 == 0 { 0 } else { lost * 256 / interval.0 };
                prop_assert_eq!(i64::from(block.fraction_lost), fraction);
                prop_assert_eq!(i64::from(block.packets_lost), expected - received);
                prior = (expected, received);
            }
        }
    }

    /// RFC 3550 A.8 in floating point. Integers are rounded by half a sixteenth each time, half a unit in all, and then
    /// down.
    #[test]
    fn jitter_agrees_with_the_formula(
        frames in proptest::collection::vec((0u64..80, 0u32..6000, 1usize..4), 2..200)
    ) {
        let mut now = Instant::now();
        let start = now;
        let mut stream = Stream::new(5, 90_000);
        let (mut timestamp, mut seq, mut jitter) = (u32::MAX - 9000, 65_530u16, 0.0f64);
        let mut before = None;
        for (gap, step, packets) in frames {
            now += millis(gap);
            timestamp = timestamp.wrapping_add(step + 1);
            for _ in 0..packets {
                stream.handle_packet(now, &header(seq, timestamp), 1);
                seq = seq.wrapping_add(1);
            }
            let arrival = (now - start).as_millis() as f64 * 90.0;
            if let Some((arrival_before, timestamp_before)) = before.replace((arrival, timestamp)) {
                let sent = f64::from(timestamp.wrapping_sub(timestamp_before));
                jitter += ((arrival - arrival_before - sent).abs() - jitter) / 16.0;
            }
            prop_assert!((f64::from(stream.stats().jitter) - jitter).abs() <= 1.5);
        }
    }

    #[test]
    fn arbitrary_packets_never_panic(
        packets in proptest::collection::vec((any::<u16>(), any::<u32>(), 0u64..5000), 1..200)
    ) {
        let mut now = Instant::now();
        let mut stream = Stream::new(5, 90_000);
        for (seq, timestamp, gap) in packets {
            now += millis(gap);
            stream.handle_packet(now, &header(seq, timestamp), 10);
            prop_assert!(stream.report_block(now).is_some());
            prop_assert!(stream.stats().packets_expected >= 1);
        }
    }
}
