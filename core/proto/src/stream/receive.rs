//! Statistics of a stream that is received (RFC 3550 appendix A).

use std::time::{Duration, Instant};

use super::rate::{BITRATE_WINDOW, RateCounter};
use super::score::Totals;
use super::validity::Started;
use crate::rtcp::{DlrrItem, Ntp, ReportBlock, SenderInfo, round_trip, to_compact};
use crate::rtp::{Header, seq};

pub use super::validity::Verdict;

/// Counts what is received of one SSRC and reports on it.
#[derive(Clone, Debug)]
pub struct Stream {
    ssrc: u32,
    clock_rate: u32,
    started: Option<Started>,
    /// Arrival of the last frame less its timestamp, for the jitter.
    transit: Option<i64>,
    /// Sixteen times the jitter, in units of the timestamp.
    jitter_q4: u32,
    epoch: Option<Instant>,
    last_timestamp: u32,
    rate: RateCounter,
    discarded: u64,
    repaired: u64,
    /// Those of the repaired that came on the stream itself.
    repaired_in_place: u64,
    retransmitted: u64,
    /// Expected and received at the last report.
    prior: (u64, u64),
    fraction_lost: u8,
    /// The worst loss of those that the stream is forwarded to, since the last report.
    remote_fraction_lost: u8,
    /// Losses reported on top of our own, for theirs.
    remote_lost: i64,
    sender: Option<(SenderInfo, Instant)>,
    rtt: Option<Duration>,
}

/// Statistics since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Packets received, on the stream itself or by a retransmission that repaired it.
    pub packet_count: u64,
    /// Bytes of those packets, as passed to [`Stream::handle_packet`] and [`Stream::handle_rtx`].
    pub byte_count: u64,
    /// Packets that should have come.
    pub packets_expected: u64,
    /// Packets that did not come by themselves; negative with duplicates.
    pub packets_lost: i64,
    /// Lost of those expected between the last two reports, in 1/256.
    pub fraction_lost: u8,
    /// Packets left out for an implausible sequence number.
    pub packets_discarded: u64,
    /// Retransmitted packets received.
    pub packets_retransmitted: u64,
    /// Those of them that filled a gap.
    pub packets_repaired: u64,
    /// Interarrival jitter, in units of the timestamp.
    pub jitter: u32,
    /// Highest sequence number; the upper 16 bits count its cycles.
    pub highest_sequence: u32,
    /// Round-trip time to the sender, if it answers our reference times.
    pub round_trip_time: Option<Duration>,
}

impl Stream {
    /// Statistics for a stream that has not begun, with its clock rate in Hz.
    pub fn new(ssrc: u32, clock_rate: u32) -> Stream {
        Stream {
            ssrc,
            clock_rate,
            started: None,
            transit: None,
            jitter_q4: 0,
            epoch: None,
            last_timestamp: 0,
            rate: RateCounter::new(BITRATE_WINDOW),
            discarded: 0,
            repaired: 0,
            repaired_in_place: 0,
            retransmitted: 0,
            prior: (0, 0),
            fraction_lost: 0,
            remote_fraction_lost: 0,
            remote_lost: 0,
            sender: None,
            rtt: None,
        }
    }

    /// The SSRC that is received.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The clock rate of the timestamps, in Hz.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// A packet of the stream itself arrived; `bytes` is what counts for the bitrate.
    pub fn handle_packet(&mut self, now: Instant, header: &Header, bytes: usize) -> Verdict {
        let seq = header.sequence_number;
        let highest = self.started.map(|started| started.extended_highest());
        let started = self.started.get_or_insert_with(|| Started::new(seq));
        let verdict = started.handle(seq);
        let is_newest = highest != Some(started.extended_highest());
        if verdict == Verdict::Discarded {
            self.discarded += 1;
            return verdict;
        }
        if verdict == Verdict::Restarted {
            self.transit = None;
        }
        self.rate.add(now, bytes);
        if is_newest {
            self.update_jitter(now, header.timestamp);
        }
        verdict
    }

    /// A packet that [`handle_packet`](Self::handle_packet) counted was one that had been asked for: the stream has no RTX.
    pub fn handle_repair(&mut self) {
        self.retransmitted += 1;
        self.repaired += 1;
        self.repaired_in_place += 1;
    }

    /// A retransmission of the stream arrived on its RTX stream: with what counts for the bitrate of the original packet, if
    /// it filled a gap.
    pub fn handle_rtx(&mut self, now: Instant, repaired_bytes: Option<usize>) {
        self.retransmitted += 1;
        if let Some(bytes) = repaired_bytes {
            self.repaired += 1;
            self.rate.add(now, bytes);
        }
    }

    /// A sender report about the stream arrived.
    pub fn handle_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.sender = Some((*info, now));
    }

    /// The sender's last report about the stream.
    pub fn sender_info(&self) -> Option<SenderInfo> {
        self.sender.map(|(info, _)| info)
    }

    /// An answer to a reference time that was sent at NTP time, and is `now`. Returns the round-trip time.
    pub fn handle_dlrr(&mut self, now: Ntp, item: &DlrrItem) -> Option<Duration> {
        let rtt = round_trip(now, item.last_receiver_report, item.delay)?;
        self.rtt = Some(rtt);
        Some(rtt)
    }

    /// Somebody that the stream is forwarded to loses this much of it, in 1/256. The next report tells of the worst, if that
    /// is more than what is lost on the way here: an encoder that adds redundancy of its own accord (Opus with in-band
    /// FEC) goes by it.
    pub fn handle_remote_loss(&mut self, fraction_lost: u8) {
        self.remote_fraction_lost = self.remote_fraction_lost.max(fraction_lost);
    }

    /// A report block for now; its fraction lost covers the time since the last one. `None` before the first packet.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let started = self.started?;
        let (expected, received) = (started.expected(), started.received());
        let interval_expected = expected.saturating_sub(self.prior.0);
        let interval_received = received.saturating_sub(self.prior.1);
        let interval_lost = interval_expected.saturating_sub(interval_received);
        self.prior = (expected, received);
        self.fraction_lost = match (interval_lost << 8).checked_div(interval_expected) {
            Some(fraction) => fraction.min(255) as u8,
            None => 0,
        };
        let remote_fraction_lost = std::mem::take(&mut self.remote_fraction_lost);
        if remote_fraction_lost > self.fraction_lost {
            let remote_lost = (u64::from(remote_fraction_lost) * interval_expected) >> 8;
            self.remote_lost += remote_lost as i64 + interval_received as i64 - interval_expected as i64;
        }
        let lost = expected as i64 - received as i64 + self.remote_lost;
        let (last_sender_report, delay_since_last_sender_report) = match &self.sender {
            Some((info, at)) => (info.ntp.compact(), to_compact(now.saturating_duration_since(*at))),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: self.fraction_lost.max(remote_fraction_lost),
            packets_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: started.extended_highest() as u32,
            jitter: self.jitter_q4 >> 4,
            last_sender_report,
            delay_since_last_sender_report,
        })
    }

    /// The statistics.
    pub fn stats(&self) -> Stats {
        let expected = self.started.map_or(0, |started| started.expected());
        let received = self.started.map_or(0, |started| started.received());
        Stats {
            packet_count: self.rate.packets(),
            byte_count: self.rate.bytes(),
            packets_expected: expected,
            packets_lost: expected as i64 - received as i64,
            fraction_lost: self.fraction_lost,
            packets_discarded: self.discarded,
            packets_retransmitted: self.retransmitted,
            packets_repaired: self.repaired,
            jitter: self.jitter_q4 >> 4,
            highest_sequence: self.started.map_or(0, |started| started.extended_highest() as u32),
            round_trip_time: self.rtt,
        }
    }

    /// What the score is made from.
    pub fn totals(&self) -> Totals {
        let expected = self.started.map_or(0, |started| started.expected());
        let packets = self.started.map_or(0, |started| started.received()).saturating_sub(self.repaired_in_place);
        Totals {
            expected,
            packets,
            lost: expected as i64 - packets as i64,
            repaired: self.repaired,
            retransmitted: self.retransmitted,
        }
    }

    /// Bits per second over the last [`BITRATE_WINDOW`].
    pub fn bitrate(&mut self, now: Instant) -> u64 {
        self.rate.bitrate(now)
    }

    /// RFC 3550 A.8, once per frame: its packets share a timestamp, and only the first says when it arrived. Timestamps may
    /// go back: B-frames are sent in the order of decoding, and some senders start them anew.
    fn update_jitter(&mut self, now: Instant, timestamp: u32) {
        let epoch = *self.epoch.get_or_insert(now);
        if self.transit.is_some() && timestamp == self.last_timestamp {
            return;
        }
        let elapsed = now.saturating_duration_since(epoch);
        let arrival = (elapsed.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32;
        let transit = i64::from(arrival.wrapping_sub(timestamp));
        if let Some(before) = self.transit.replace(transit) {
            let difference = seq::timestamp_diff(transit as u32, before as u32).unsigned_abs() as u32;
            let jitter = u64::from(self.jitter_q4) + u64::from(difference) - u64::from((self.jitter_q4 + 8) >> 4);
            self.jitter_q4 = jitter.min(u64::from(u32::MAX - 8)) as u32;
        }
        self.last_timestamp = timestamp;
    }
}

#[cfg(test)]
mod tests {
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
}
