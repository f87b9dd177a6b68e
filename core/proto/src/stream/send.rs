//! Statistics of a stream that is sent.

use std::time::{Duration, Instant};

use super::rate::{BITRATE_WINDOW, RateCounter};
use super::score::Totals;
use crate::rtcp::{Ntp, ReportBlock, SenderInfo, round_trip};

/// Counts what is sent on one SSRC, writes its sender reports and reads the receiver's.
#[derive(Clone, Debug)]
pub struct Stream {
    ssrc: u32,
    clock_rate: u32,
    rate: RateCounter,
    payload_bytes: u64,
    /// The newest timestamp sent, and when.
    last: Option<(u32, Instant)>,
    retransmitted: u64,
    repaired: u64,
    nack_count: u64,
    nack_packet_count: u64,
    pli_count: u64,
    fir_count: u64,
    packets_lost: i32,
    fraction_lost: u8,
    rtt: Option<Duration>,
}

/// Statistics since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Packets sent, without RTX.
    pub packet_count: u64,
    /// Bytes of those packets, as passed to [`Stream::handle_packet`].
    pub byte_count: u64,
    /// Lost packets, as the receiver reports.
    pub packets_lost: i32,
    /// Lost of those expected between the receiver's last two reports, in 1/256.
    pub fraction_lost: u8,
    /// Packets sent again.
    pub packets_retransmitted: u64,
    /// Packets that were missing and sent again for the first time.
    pub packets_repaired: u64,
    /// NACKs received.
    pub nack_count: u64,
    /// Packets that those asked for.
    pub nack_packet_count: u64,
    /// Picture loss indications received.
    pub pli_count: u64,
    /// Full intra requests received.
    pub fir_count: u64,
    /// Round-trip time, once the receiver has answered a sender report.
    pub round_trip_time: Option<Duration>,
}

impl Stream {
    /// Statistics for a stream that has not begun, with its clock rate in Hz.
    pub fn new(ssrc: u32, clock_rate: u32) -> Stream {
        Stream {
            ssrc,
            clock_rate,
            rate: RateCounter::new(BITRATE_WINDOW),
            payload_bytes: 0,
            last: None,
            retransmitted: 0,
            repaired: 0,
            nack_count: 0,
            nack_packet_count: 0,
            pli_count: 0,
            fir_count: 0,
            packets_lost: 0,
            fraction_lost: 0,
            rtt: None,
        }
    }

    /// The SSRC that is sent.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The clock rate of the timestamps, in Hz.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// A packet is sent: its timestamp, the bytes that count for the bitrate, and those of its payload alone.
    pub fn handle_packet(&mut self, now: Instant, timestamp: u32, bytes: usize, payload_bytes: usize) {
        self.rate.add(now, bytes);
        self.payload_bytes += payload_bytes as u64;
        // Of the packets of one frame the first marks the time; older frames don't count.
        if self.last.is_none_or(|(last, _)| crate::rtp::seq::timestamp_newer(timestamp, last)) {
            self.last = Some((timestamp, now));
        }
    }

    /// The timestamps start anew, as when another source takes over.
    pub fn handle_timestamp_restart(&mut self) {
        self.last = None;
    }

    /// A packet is sent again; `first` if it was not resent before.
    pub fn handle_retransmission(&mut self, first: bool) {
        self.retransmitted += 1;
        self.repaired += u64::from(first);
    }

    /// A NACK for so many packets was received.
    pub fn handle_nack(&mut self, packets: usize) {
        self.nack_count += 1;
        self.nack_packet_count += packets as u64;
    }

    /// A picture loss indication was received.
    pub fn handle_pli(&mut self) {
        self.pli_count += 1;
    }

    /// A full intra request was received.
    pub fn handle_fir(&mut self) {
        self.fir_count += 1;
    }

    /// A receiver reports on the stream; `now` is the time by the clock of the sender reports. Returns the round-trip
    /// time if the report tells it. Feed [`Score::update`](super::score::Score::update) with [`totals`](Self::totals)
    /// after it.
    pub fn handle_report_block(&mut self, now: Ntp, block: &ReportBlock) -> Option<Duration> {
        self.packets_lost = block.packets_lost;
        self.fraction_lost = block.fraction_lost;
        let rtt = round_trip(now, block.last_sender_report, block.delay_since_last_sender_report)?;
        self.rtt = Some(rtt);
        Some(rtt)
    }

    /// The round-trip time, once known.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// What a sender report says now: `ntp` is the wall clock at `now`, and the timestamp is the last one sent plus the
    /// time since then. `None` before the first packet.
    pub fn sender_info(&self, now: Instant, ntp: Ntp) -> Option<SenderInfo> {
        let (timestamp, at) = self.last?;
        let elapsed = now.saturating_duration_since(at).as_micros() * u128::from(self.clock_rate) / 1_000_000;
        Some(SenderInfo {
            ssrc: self.ssrc,
            ntp,
            rtp_timestamp: timestamp.wrapping_add(elapsed as u32),
            packet_count: self.rate.packets() as u32,
            octet_count: self.payload_bytes as u32,
        })
    }

    /// The statistics.
    pub fn stats(&self) -> Stats {
        Stats {
            packet_count: self.rate.packets(),
            byte_count: self.rate.bytes(),
            packets_lost: self.packets_lost,
            fraction_lost: self.fraction_lost,
            packets_retransmitted: self.retransmitted,
            packets_repaired: self.repaired,
            nack_count: self.nack_count,
            nack_packet_count: self.nack_packet_count,
            pli_count: self.pli_count,
            fir_count: self.fir_count,
            round_trip_time: self.rtt,
        }
    }

    /// What the score is made from.
    pub fn totals(&self) -> Totals {
        Totals {
            expected: self.rate.packets(),
            packets: self.rate.packets(),
            lost: self.packets_lost.into(),
            repaired: self.repaired,
            retransmitted: self.retransmitted,
        }
    }

    /// Bits per second over the last [`BITRATE_WINDOW`].
    pub fn bitrate(&mut self, now: Instant) -> u64 {
        self.rate.bitrate(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_reports_extrapolate_the_timestamp() {
        let start = Instant::now();
        let mut stream = Stream::new(9, 90_000);
        assert_eq!(stream.sender_info(start, Ntp(0)), None);
        stream.handle_packet(start, u32::MAX - 9, 1000, 950);
        stream.handle_packet(start + Duration::from_millis(3), u32::MAX - 9, 500, 450);
        let info = stream.sender_info(start + Duration::from_millis(100), Ntp(77)).unwrap();
        let expected = SenderInfo { ssrc: 9, ntp: Ntp(77), rtp_timestamp: 8990, packet_count: 2, octet_count: 1400 };
        assert_eq!(info, expected);
    }

    #[test]
    fn the_newest_timestamp_counts_until_they_start_anew() {
        let start = Instant::now();
        let mut stream = Stream::new(9, 1000);
        let timestamp = |stream: &Stream| stream.sender_info(start, Ntp(0)).unwrap().rtp_timestamp;
        stream.handle_packet(start, 5000, 10, 10);
        // One that comes late.
        stream.handle_packet(start, 4000, 10, 10);
        assert_eq!(timestamp(&stream), 5000);
        stream.handle_timestamp_restart();
        assert_eq!(stream.sender_info(start, Ntp(0)), None);
        stream.handle_packet(start, 300, 10, 10);
        assert_eq!(timestamp(&stream), 300);
    }

    #[test]
    fn a_report_block_tells_loss_and_round_trip() {
        let mut stream = Stream::new(9, 90_000);
        let mut block = ReportBlock { ssrc: 9, fraction_lost: 64, packets_lost: 3, ..ReportBlock::default() };
        assert_eq!(stream.handle_report_block(Ntp(0xb44d_b710_8000_0000), &block), None);
        // The example of RFC 3550 section 6.4.1.
        block.last_sender_report = 0xb705_2000;
        block.delay_since_last_sender_report = 0x0005_4000;
        let rtt = stream.handle_report_block(Ntp(0xb44d_b710_8000_0000), &block);
        assert_eq!(rtt, Some(Duration::from_millis(6125)));
        let stats = stream.stats();
        assert_eq!((stats.packets_lost, stats.fraction_lost, stats.round_trip_time), (3, 64, rtt));
    }

    #[test]
    fn feedback_is_counted_and_rated() {
        let start = Instant::now();
        let mut stream = Stream::new(9, 90_000);
        for index in 0..100 {
            stream.handle_packet(start, index, 125, 100);
        }
        stream.handle_nack(10);
        (0..10).for_each(|_| stream.handle_retransmission(true));
        (0..3).for_each(|_| stream.handle_retransmission(false));
        stream.handle_pli();
        stream.handle_fir();
        stream.handle_report_block(Ntp(0), &ReportBlock { packets_lost: 10, ..ReportBlock::default() });
        let stats = stream.stats();
        assert_eq!((stats.nack_count, stats.nack_packet_count, stats.pli_count, stats.fir_count), (1, 10, 1, 1));
        assert_eq!(stream.totals(), Totals { expected: 100, packets: 100, lost: 10, repaired: 10, retransmitted: 13 });
        // 12,500 bytes in 2.5 s.
        assert_eq!(stream.bitrate(start), 40_000);
    }
}
