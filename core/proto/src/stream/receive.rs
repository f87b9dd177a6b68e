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
mod tests;
