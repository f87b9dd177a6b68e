//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
//!
//! ```text
//! | base sequence number          | packet status count           |
//! | reference time (24 bits, 64 ms)               | fb pkt count  |
//! | packet status chunks, 2 bytes each ...                        |
//! | receive deltas, 1 or 2 bytes each, in 250 us ...              |
//! ```

mod builder;
mod loss;

pub use builder::FeedbackBuilder;
pub use loss::LossHistory;

use super::Reader;

pub(super) const FMT: u8 = 15;

/// Microseconds in a tick of the receive deltas.
pub const TICK_MICROS: i64 = 250;
/// Ticks in a unit of the reference time, which is 64 ms.
const TICKS_PER_REFERENCE: i64 = 256;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, packets};

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
        let expected = PacketStatus { sequence_number: 153, arrival: Some(4_057_090 * 256 + 148) };
        assert_eq!(feedback.statuses().collect::<Vec<_>>(), [expected]);
    }
}
