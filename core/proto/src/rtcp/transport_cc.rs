//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
//!
//! ```text
//! | base sequence number          | packet status count           |
//! | reference time (24 bits, 64 ms)               | fb pkt count  |
//! | packet status chunks, 2 bytes each ...                        |
//! | receive deltas, 1 or 2 bytes each, in 250 us ...              |
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use super::{Reader, packet_type, write_packet};
use crate::rtp::ExtendedSequence;

pub(super) const FMT: u8 = 15;

/// Microseconds in a tick of the receive deltas.
pub const TICK_MICROS: i64 = 250;
/// Ticks in a unit of the reference time, which is 64 ms.
const TICKS_PER_REFERENCE: i64 = 256;
/// Bytes of a feedback packet before its chunks.
const FIXED_LEN: usize = 20;
/// Reported packets that are remembered, so that a late one can be reported with its neighbours.
const HISTORY: i64 = 500;
/// Unreported packets that are remembered; a larger jump of the sequence starts afresh.
const WINDOW: i64 = 8192;

const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

/// A feedback packet, whose chunks and deltas were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportCc<'a> {
    /// The SSRC of who reports.
    pub sender_ssrc: u32,
    /// The SSRC of one of the streams.
    pub media_ssrc: u32,
    /// The first transport-wide sequence number reported.
    pub base_sequence: u16,
    /// How many packets are reported.
    pub status_count: u16,
    /// Time that the first delta counts from, in 64 ms, by a clock of the receiver's choice; 24 bits with sign.
    pub reference_time: i32,
    /// Number of the feedback packet, to notice lost ones.
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// The fate of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketStatus {
    /// Transport-wide sequence number.
    pub sequence_number: u16,
    /// When it arrived, in ticks of 250 us by the receiver's clock; `None` if it did not.
    pub arrival: Option<i64>,
}

impl<'a> TransportCc<'a> {
    /// The fate of every packet, in order of sequence numbers.
    pub fn statuses(&self) -> impl Iterator<Item = PacketStatus> + use<'a> {
        let mut symbols = Symbols { chunks: Reader::new(self.chunks), symbols: 0, bits: 0, left: 0 };
        let mut deltas = Reader::new(self.deltas);
        let mut clock = i64::from(self.reference_time) * TICKS_PER_REFERENCE;
        let base = self.base_sequence;
        (0..self.status_count).map_while(move |index| {
            let delta = match symbols.next()? {
                SMALL_DELTA => Some(i64::from(deltas.u8()?)),
                LARGE_DELTA => Some(i64::from(deltas.u16()? as i16)),
                _ => None,
            };
            let arrival = delta.map(|delta| {
                clock += delta;
                clock
            });
            Some(PacketStatus { sequence_number: base.wrapping_add(index), arrival })
        })
    }
}

/// The symbols of the chunks, one a packet.
struct Symbols<'a> {
    chunks: Reader<'a>,
    /// Of a vector: the symbols still to come, at the top. Of a run: the symbol, at the bottom.
    symbols: u16,
    /// Bits per symbol of a vector; 0 for a run.
    bits: u32,
    left: u16,
}

impl Iterator for Symbols<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        while self.left == 0 {
            let chunk = self.chunks.u16()?;
            (self.symbols, self.bits, self.left) = match chunk >> 14 {
                0b10 => (chunk << 2, 1, 14),
                0b11 => (chunk << 2, 2, 7),
                _ => (chunk >> 13, 0, chunk & 0x1fff),
            };
        }
        self.left -= 1;
        if self.bits == 0 {
            return Some(self.symbols as u8);
        }
        let symbol = self.symbols >> (16 - self.bits);
        self.symbols <<= self.bits;
        Some(symbol as u8)
    }
}

pub(super) fn parse<'a>(mut body: Reader<'a>) -> Option<TransportCc<'a>> {
    let sender_ssrc = body.u32()?;
    let media_ssrc = body.u32()?;
    let base_sequence = body.u16()?;
    let status_count = body.u16()?;
    let word = body.u32()?;
    let rest = body.rest();
    let (chunks_len, deltas_len) = measure(status_count, body)?;
    Some(TransportCc {
        sender_ssrc,
        media_ssrc,
        base_sequence,
        status_count,
        reference_time: word as i32 >> 8,
        feedback_count: word as u8,
        chunks: rest.get(..chunks_len)?,
        deltas: rest.get(chunks_len..chunks_len + deltas_len)?,
    })
}

/// Bytes of chunks that `status_count` packets take, and bytes of deltas that those call for.
fn measure(status_count: u16, mut body: Reader<'_>) -> Option<(usize, usize)> {
    let (mut left, mut chunks, mut deltas) = (status_count, 0, 0);
    while left > 0 {
        let chunk = body.u16()?;
        chunks += 2;
        match chunk >> 14 {
            0b10 => {
                let count = left.min(14);
                deltas += ((chunk << 2) >> (16 - count)).count_ones() as usize;
                left -= count;
            }
            0b11 => {
                let count = left.min(7);
                for index in 0..count {
                    deltas += delta_len(chunk >> (12 - 2 * index) & 3);
                }
                left -= count;
            }
            _ => {
                let count = left.min(chunk & 0x1fff);
                deltas += usize::from(count) * delta_len(chunk >> 13);
                left -= count;
            }
        }
    }
    Some((chunks, deltas))
}

fn delta_len(symbol: u16) -> usize {
    match symbol as u8 {
        SMALL_DELTA => 1,
        LARGE_DELTA => 2,
        _ => 0,
    }
}

/// Collects the arrivals of packets and writes feedback about them.
///
/// Every packet is reported once, received or not, up to the highest that arrived. A packet that arrives after it was
/// reported as missing is reported again, with those after it.
#[derive(Clone, Debug)]
pub struct FeedbackBuilder {
    epoch: Instant,
    sender_ssrc: u32,
    media_ssrc: u32,
    feedback_count: u8,
    sequence: ExtendedSequence,
    /// Arrival in ticks since the epoch, of sequence number `base` and those after it.
    arrivals: VecDeque<Option<i64>>,
    base: i64,
    /// The first sequence number to report next.
    next: i64,
    /// Arrival of the last packet reported, for a feedback that has only losses.
    last_arrival: i64,
    symbols: Vec<u8>,
    deltas: Vec<u8>,
}

impl FeedbackBuilder {
    /// A builder whose clock starts at `epoch`. `media_ssrc` is that of any of the streams reported.
    pub fn new(epoch: Instant, sender_ssrc: u32, media_ssrc: u32) -> FeedbackBuilder {
        FeedbackBuilder {
            epoch,
            sender_ssrc,
            media_ssrc,
            feedback_count: 0,
            sequence: ExtendedSequence::new(),
            arrivals: VecDeque::new(),
            base: 0,
            next: 0,
            last_arrival: 0,
            symbols: Vec::new(),
            deltas: Vec::new(),
        }
    }

    /// Sets the media SSRC of the feedback to come.
    pub fn set_media_ssrc(&mut self, media_ssrc: u32) {
        self.media_ssrc = media_ssrc;
    }

    /// A packet arrived. Duplicates, and packets more than 500 older than anything remembered, are ignored.
    pub fn handle_packet(&mut self, wide_sequence: u16, arrival: Instant) {
        let ticks = arrival.saturating_duration_since(self.epoch).as_micros() as i64 / TICK_MICROS;
        let sequence = self.sequence.unwrap(wide_sequence);
        let end = self.base + self.arrivals.len() as i64;
        if self.arrivals.is_empty() || sequence - end > WINDOW || end - self.next > WINDOW {
            self.arrivals.clear();
            (self.base, self.next) = (sequence, sequence);
        }
        if sequence < self.base {
            if self.base - sequence > HISTORY {
                return;
            }
            for _ in sequence..self.base {
                self.arrivals.push_front(None);
            }
            self.base = sequence;
        }
        let index = (sequence - self.base) as usize;
        if index >= self.arrivals.len() {
            self.arrivals.resize(index + 1, None);
        }
        if let Some(slot @ None) = self.arrivals.get_mut(index) {
            *slot = Some(ticks);
            self.next = self.next.min(sequence);
        }
    }

    /// Appends one feedback packet of at most `max_size` bytes, if there is anything to report. Call it until it
    /// returns `false`. A `max_size` under 40 counts as 40.
    pub fn poll_feedback(&mut self, out: &mut Vec<u8>, max_size: usize) -> bool {
        let end = self.base + self.arrivals.len() as i64;
        if self.next >= end {
            return false;
        }
        let start = (self.next - self.base) as usize;
        let pending = self.arrivals.range(start..);
        let first_arrival = pending.clone().flatten().next().copied().unwrap_or(self.last_arrival);
        let reference = first_arrival.div_euclid(TICKS_PER_REFERENCE);
        let mut clock = reference * TICKS_PER_REFERENCE;
        self.symbols.clear();
        self.deltas.clear();
        for arrival in pending {
            let delta = arrival.map(|arrival| arrival - clock);
            let (symbol, len) = match delta {
                None => (NOT_RECEIVED, 0),
                Some(0..=255) => (SMALL_DELTA, 1),
                Some(-0x8000..=0x7fff) => (LARGE_DELTA, 2),
                // The delta does not fit: the next feedback starts with this packet.
                Some(_) => break,
            };
            // No chunk but the last covers less than seven packets.
            let chunks_len = 2 * (self.symbols.len() + 1).div_ceil(7);
            if FIXED_LEN + chunks_len + self.deltas.len() + len > max_size.max(40) - 3
                || self.symbols.len() == usize::from(u16::MAX)
            {
                break;
            }
            match (symbol, delta) {
                (SMALL_DELTA, Some(delta)) => self.deltas.push(delta as u8),
                (LARGE_DELTA, Some(delta)) => self.deltas.extend_from_slice(&(delta as i16).to_be_bytes()),
                _ => {}
            }
            self.symbols.push(symbol);
            clock += delta.unwrap_or(0);
        }
        self.last_arrival = clock;
        self.write(out, reference);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.next += self.symbols.len() as i64;
        while self.next - self.base > HISTORY {
            self.arrivals.pop_front();
            self.base += 1;
        }
        true
    }

    fn write(&self, out: &mut Vec<u8>, reference: i64) {
        write_packet(out, FMT, packet_type::TRANSPORT_FEEDBACK, |out| {
            out.extend_from_slice(&self.sender_ssrc.to_be_bytes());
            out.extend_from_slice(&self.media_ssrc.to_be_bytes());
            out.extend_from_slice(&(self.next as u16).to_be_bytes());
            out.extend_from_slice(&(self.symbols.len() as u16).to_be_bytes());
            out.extend_from_slice(&((reference as u32) << 8 | u32::from(self.feedback_count)).to_be_bytes());
            let mut symbols = &self.symbols[..];
            while !symbols.is_empty() {
                let (chunk, covered) = chunk(symbols);
                out.extend_from_slice(&chunk.to_be_bytes());
                symbols = &symbols[covered..];
            }
            out.extend_from_slice(&self.deltas);
        });
    }
}

/// The chunk that begins the symbols (at least one), and how many of them it covers.
fn chunk(symbols: &[u8]) -> (u16, usize) {
    let first = symbols[0];
    let run = symbols.iter().take(0x1fff).take_while(|&&symbol| symbol == first).count();
    // Only the last chunk may have symbols left over: one-bit symbols must do for all fourteen, or for all there are.
    let narrow = symbols.iter().take(14).all(|&symbol| symbol <= SMALL_DELTA);
    let (head, bits, vector) = if narrow { (0b10, 1, symbols.len().min(14)) } else { (0b11, 2, symbols.len().min(7)) };
    if run >= vector {
        return (u16::from(first) << 13 | run as u16, run);
    }
    let packed = symbols[..vector]
        .iter()
        .enumerate()
        .fold(0, |packed, (index, &symbol)| packed | u16::from(symbol) << (14 - bits * (index + 1)));
    (head << 14 | packed, vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};
    use proptest::prelude::*;
    use std::time::Duration;

    fn statuses(bytes: &[u8]) -> Vec<(u16, Option<i64>)> {
        packets(bytes)
            .flat_map(|packet| match packet.unwrap() {
                Packet::TransportCc(feedback) => {
                    feedback.statuses().map(|status| (status.sequence_number, status.arrival)).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn chunks_of_the_draft_section_3_1() {
        // Run length: packets not received, 221 of them.
        assert_eq!(chunk(&[0; 221]), (0b0000_0000_1101_1101, 221));
        // One-bit vector: received, 5 lost, 3 received, 3 lost, received, lost... (14 symbols).
        let symbols = [0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0];
        assert_eq!(chunk(&symbols), (0b1001_1111_0001_1100, 14));
        // Two-bit vector: lost, large, received three times, lost twice.
        assert_eq!(chunk(&[0, 2, 1, 1, 1, 0, 0, 2]), (0b1100_1001_0101_0000, 7));
    }

    #[test]
    fn feedback_of_known_bytes_is_parsed() {
        // Base 5, 7 statuses: received, lost twice, then a run of two large and two lost; reference time -1.
        let bytes = "8fcd0007 00000001 00000002 00050007 ffffff09 a000 4002 0002 0000".replace(' ', "");
        let mut bytes = hex::decode(bytes).unwrap();
        // Chunks: vector a000 covers 14 > 7, so only the first counts; the deltas follow it.
        bytes.truncate(22);
        bytes.extend([8, 0]);
        bytes[3] = 5;
        let Ok(Packet::TransportCc(feedback)) = packets(&bytes).next().unwrap() else { panic!() };
        assert_eq!((feedback.reference_time, feedback.feedback_count), (-1, 9));
        let first = feedback.statuses().next().unwrap();
        assert_eq!(first, PacketStatus { sequence_number: 5, arrival: Some(-256 + 8) });
        assert_eq!(feedback.statuses().filter(|status| status.arrival.is_some()).count(), 1);
        assert_eq!(feedback.statuses().count(), 7);
    }

    #[test]
    fn a_captured_packet_with_padding() {
        // A capture that also pion/rtcp tests with: one packet received, 37 ms into the reference time.
        let bytes = hex::decode("afcd0005fa17fa1743032fa0009900013de8021720019401").unwrap();
        let Ok(Packet::TransportCc(feedback)) = packets(&bytes).next().unwrap() else { panic!() };
        assert_eq!((feedback.sender_ssrc, feedback.media_ssrc), (4_195_875_351, 1_124_282_272));
        assert_eq!((feedback.reference_time, feedback.feedback_count), (4_057_090, 23));
        assert_eq!(statuses(&bytes), [(153, Some(4_057_090 * 256 + 148))]);
    }

    #[test]
    fn loss_reordering_and_a_late_packet() {
        let epoch = Instant::now();
        let mut builder = FeedbackBuilder::new(epoch, 1, 2);
        for (sequence, arrival) in [(65534, 100), (0, 102), (65535, 103), (2, 104)] {
            builder.handle_packet(sequence, epoch + millis(arrival));
        }
        let mut out = Vec::new();
        assert!(builder.poll_feedback(&mut out, 1200));
        assert!(!builder.poll_feedback(&mut out, 1200));
        let expected = [(65534, Some(400)), (65535, Some(412)), (0, Some(408)), (1, None), (2, Some(416))];
        assert_eq!(statuses(&out), expected);

        // The missing one arrives late: it is reported, with those after it.
        out.clear();
        builder.handle_packet(1, epoch + millis(200));
        builder.handle_packet(2, epoch + millis(300));
        assert!(builder.poll_feedback(&mut out, 1200));
        assert_eq!(statuses(&out), [(1, Some(800)), (2, Some(416))]);
        assert!(!builder.poll_feedback(&mut out, 1200));
    }

    #[test]
    fn a_pause_that_no_delta_can_tell_splits_the_feedback() {
        let epoch = Instant::now();
        let mut builder = FeedbackBuilder::new(epoch, 1, 2);
        builder.handle_packet(1, epoch);
        builder.handle_packet(2, epoch + millis(20_000));
        let mut out = Vec::new();
        assert!(builder.poll_feedback(&mut out, 1200) && builder.poll_feedback(&mut out, 1200));
        assert!(!builder.poll_feedback(&mut out, 1200));
        assert_eq!(packets(&out).count(), 2);
        assert_eq!(statuses(&out), [(1, Some(0)), (2, Some(80_000))]);
    }

    #[test]
    fn a_large_jump_of_the_sequence_starts_afresh() {
        let epoch = Instant::now();
        let mut builder = FeedbackBuilder::new(epoch, 1, 2);
        builder.handle_packet(1, epoch);
        builder.handle_packet(20_000, epoch);
        let mut out = Vec::new();
        assert!(builder.poll_feedback(&mut out, 1200));
        assert_eq!(statuses(&out), [(20_000, Some(0))]);
    }

    proptest! {
        #[test]
        fn symbols_come_back_from_chunks(symbols in proptest::collection::vec(0u8..3, 1..400)) {
            let (mut bytes, mut rest) = (Vec::new(), &symbols[..]);
            while !rest.is_empty() {
                let (chunk, covered) = chunk(rest);
                prop_assert!(covered >= rest.len().min(7));
                bytes.extend(chunk.to_be_bytes());
                rest = &rest[covered..];
            }
            let decoded = Symbols { chunks: Reader::new(&bytes), symbols: 0, bits: 0, left: 0 };
            prop_assert_eq!(decoded.take(symbols.len()).collect::<Vec<_>>(), symbols);
        }

        #[test]
        fn arrivals_come_back_in_packets_that_fit(
            start: u16, packets_ in proptest::collection::vec((any::<bool>(), 0u64..400), 1..600),
            max_size in 40usize..300,
        ) {
            let epoch = Instant::now();
            let mut builder = FeedbackBuilder::new(epoch, 1, 2);
            let mut expected = Vec::new();
            let (mut now, mut sequence) = (epoch, start);
            builder.handle_packet(start, now);
            expected.push((start, Some(0)));
            for (received, gap) in packets_ {
                sequence = sequence.wrapping_add(1);
                now += millis(gap);
                if received {
                    builder.handle_packet(sequence, now);
                }
                expected.push((sequence, received.then(|| (now - epoch).as_micros() as i64 / 250)));
            }
            // What is lost at the end is not known to be.
            while expected.last().unwrap().1.is_none() {
                expected.pop();
            }
            let mut all = Vec::new();
            let mut out = Vec::new();
            while builder.poll_feedback(&mut out, max_size) {
                prop_assert!(out.len() <= max_size);
                all.append(&mut statuses(&out));
                out.clear();
            }
            prop_assert_eq!(all, expected);
        }
    }
}
