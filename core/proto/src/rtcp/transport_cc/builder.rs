//! Building feedback from the arrivals of packets.

use std::collections::VecDeque;
use std::time::Instant;

use super::{FMT, LARGE_DELTA, LossHistory, NOT_RECEIVED, SMALL_DELTA, TICK_MICROS, TICKS_PER_REFERENCE};
use crate::rtcp::{packet_type, write_packet};
use crate::rtp::ExtendedSequence;

/// Bytes of a feedback packet before its chunks.
const FIXED_LEN: usize = 20;
/// Reported packets that are remembered, so that a late one can be reported with its neighbours.
const HISTORY: i64 = 500;
/// Unreported packets that are remembered; a larger jump of the sequence starts afresh.
const WINDOW: i64 = 8192;

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
    /// The number that would confirm that the sequence has gone back.
    confirms_restart: Option<u16>,
    /// Arrival of the last packet reported, for a feedback that has only losses.
    last_arrival: i64,
    loss: LossHistory,
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
            confirms_restart: None,
            last_arrival: 0,
            loss: LossHistory::default(),
            symbols: Vec::new(),
            deltas: Vec::new(),
        }
    }

    /// Sets the media SSRC of the feedback to come.
    pub fn set_media_ssrc(&mut self, media_ssrc: u32) {
        self.media_ssrc = media_ssrc;
    }

    /// A packet arrived. Duplicates, and packets more than 500 older than anything remembered, are ignored; but two of the
    /// latter in a row mean that the sequence has gone back, and it starts afresh.
    pub fn handle_packet(&mut self, wide_sequence: u16, arrival: Instant) {
        let ticks = arrival.saturating_duration_since(self.epoch).as_micros() as i64 / TICK_MICROS;
        let too_old = !self.arrivals.is_empty() && self.base - self.sequence.peek(wide_sequence) > HISTORY;
        if too_old {
            let confirmed = self.confirms_restart.replace(wide_sequence.wrapping_add(1)) == Some(wide_sequence);
            if !confirmed {
                return;
            }
            self.sequence = ExtendedSequence::new();
            self.arrivals.clear();
        }
        self.confirms_restart = None;
        let sequence = self.sequence.unwrap(wide_sequence);
        let end = self.base + self.arrivals.len() as i64;
        if self.arrivals.is_empty() || sequence - end > WINDOW || end - self.next > WINDOW {
            self.arrivals.clear();
            (self.base, self.next) = (sequence, sequence);
        }
        for _ in sequence..self.base {
            self.arrivals.push_front(None);
        }
        self.base = self.base.min(sequence);
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
        let lost = self.symbols.iter().filter(|&&symbol| symbol == NOT_RECEIVED).count();
        self.loss.push(self.symbols.len(), lost);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.next += self.symbols.len() as i64;
        while self.next - self.base > HISTORY {
            self.arrivals.pop_front();
            self.base += 1;
        }
        true
    }

    /// The ratio of packets that the last feedback packets called lost, 0 to 1.
    pub fn loss_ratio(&self) -> f64 {
        self.loss.ratio()
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
    use crate::rtcp::transport_cc::Symbols;
    use crate::rtcp::{Packet, Reader, packets};
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
        assert!((builder.loss_ratio() - 0.2).abs() < 1e-6);

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

    #[test]
    fn a_sequence_that_goes_back_starts_afresh_when_a_second_packet_confirms_it() {
        let epoch = Instant::now();
        let mut builder = FeedbackBuilder::new(epoch, 1, 2);
        let mut report = |numbers: &[u16]| {
            numbers.iter().for_each(|&number| builder.handle_packet(number, epoch));
            let mut out = Vec::new();
            while builder.poll_feedback(&mut out, 1200) {}
            statuses(&out).into_iter().filter_map(|(number, arrival)| arrival.map(|_| number)).collect::<Vec<_>>()
        };
        assert_eq!(report(&[20_000]), [20_000]);
        // One by itself is an old straggler; one that is 500 older is late.
        assert_eq!(report(&[3, 20_001, 4, 19_500]).len(), 3);
        assert_eq!(report(&[18_000]), []);
        assert_eq!(report(&[18_001, 18_002]), [18_001, 18_002]);
    }

    #[test]
    fn feedback_packets_are_numbered() {
        let epoch = Instant::now();
        let mut builder = FeedbackBuilder::new(epoch, 1, 2);
        for number in 0..258u16 {
            builder.handle_packet(number, epoch);
            let mut out = Vec::new();
            assert!(builder.poll_feedback(&mut out, 1200));
            let Ok(Packet::TransportCc(feedback)) = packets(&out).next().unwrap() else { panic!() };
            assert_eq!(feedback.feedback_count, number as u8);
        }
    }

    #[test]
    fn what_was_reported_is_remembered_for_500_packets() {
        let epoch = Instant::now();
        let mut builder = FeedbackBuilder::new(epoch, 1, 2);
        for number in (1..=2).chain(4..=1000) {
            builder.handle_packet(number, epoch);
        }
        let mut out = Vec::new();
        while builder.poll_feedback(&mut out, 1200) {}
        assert_eq!((builder.base, builder.arrivals.len()), (501, 500));
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
