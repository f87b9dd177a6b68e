//! What is sent: the packets, how they are spaced, and what must come out at the other end.

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sfu_proto::rtp::{FixedHeader, Header, HeaderWriter};
use sfu_proto::srtp::Suite;

/// Bytes of an RTP packet as it goes into the worker.
pub const PACKET_LEN: usize = 1_200;
/// Bytes of an RTP header without extensions.
pub const HEADER_LEN: usize = 12;
/// The producer's payload type, and the router's for the same codec.
pub const PRODUCER_PAYLOAD_TYPE: u8 = 96;
/// The payload type that consumers get.
pub const CONSUMER_PAYLOAD_TYPE: u8 = 101;
/// The producer's SSRC.
pub const PRODUCER_SSRC: u32 = 0x0100_0000;
/// The SSRC that the router knows the producer's stream by.
pub const MAPPED_SSRC: u32 = 0x0200_0000;

/// RTP clock ticks from one packet to the next. Each packet has a timestamp of its own, which forwarding leaves
/// alone and SRTP leaves in clear: it carries the packet's number through everything. Video would share one
/// timestamp per frame; no forwarder looks at that.
const TICKS: u32 = 4;

/// The SSRC of a consumer's stream.
#[must_use]
pub const fn consumer_ssrc(consumer: usize) -> u32 {
    0x0300_0000 + consumer as u32
}

/// How packets leave the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// As plain RTP.
    Plain,
    /// As SRTP with AES_CM_128_HMAC_SHA1_80.
    AesCm,
    /// As SRTP with AEAD_AES_256_GCM.
    AesGcm,
}

impl Mode {
    /// The SRTP suite, if any.
    #[must_use]
    pub const fn suite(self) -> Option<Suite> {
        match self {
            Self::Plain => None,
            Self::AesCm => Some(Suite::AesCm128HmacSha1_80),
            Self::AesGcm => Some(Suite::AeadAes256Gcm),
        }
    }

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AesCm => "AES-CM SHA1-80",
            Self::AesGcm => "AES-256-GCM",
        }
    }
}

/// How packets are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Each packet at its own time, all equally far apart.
    Even,
    /// Like video: the packets of a frame together, frames equally far apart, every thirtieth frame a key frame of
    /// more than three times the size.
    Burst,
}

impl Pattern {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Burst => "burst",
        }
    }

    /// How many packets leave together at each turn of the schedule.
    #[must_use]
    pub const fn group(self, turn: u64) -> u64 {
        match self {
            Self::Even => 1,
            Self::Burst if turn.is_multiple_of(30) => 40,
            Self::Burst => 11,
        }
    }
}

/// Makes and recognises packets.
#[derive(Debug)]
pub struct Packets {
    /// Payloads are windows of this, so that each number has another content, and comparing is one memcmp.
    filler: Vec<u8>,
}

/// Bytes of payload before the filler: a VP8 payload descriptor, a VP8 frame header, the number.
const MARKED: usize = 1 + 10 + 8;
const WINDOWS: usize = 251;

impl Packets {
    /// The same in every process.
    #[must_use]
    pub fn new() -> Self {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let filler = (0..PACKET_LEN + WINDOWS)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            })
            .collect();
        Self { filler }
    }

    /// Writes packet `number` into a slot of [`PACKET_LEN`] bytes.
    ///
    /// # Errors
    /// The slot is too short.
    pub fn write(&self, number: u64, ssrc: u32, payload_type: u8, slot: &mut [u8]) -> Result<()> {
        let fixed = FixedHeader {
            marker: number % 12 == 11,
            payload_type,
            sequence_number: number as u16,
            timestamp: (number as u32).wrapping_mul(TICKS),
            ssrc,
        };
        let header_len = HeaderWriter::new(slot, &fixed).finish()?;
        let payload =
            slot.get_mut(header_len..PACKET_LEN).ok_or_else(|| anyhow!("the slot is shorter than a packet"))?;
        payload[..MARKED].copy_from_slice(&mark(number));
        payload[MARKED..].copy_from_slice(self.window(number, PACKET_LEN - header_len - MARKED));
        Ok(())
    }

    /// Checks that a (decrypted) packet is packet `number` as its consumer must get it: rewritten where it must be, its
    /// payload untouched.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(&self, packet: &[u8], number: u64, ssrc: u32, payload_type: u8) -> Result<()> {
        let header = Header::parse(packet)?;
        if header.ssrc != ssrc || header.payload_type != payload_type {
            bail!(
                "packet {number} has SSRC {:#x} and payload type {}, expected {ssrc:#x} and {payload_type}",
                header.ssrc,
                header.payload_type
            );
        }
        let payload = header.payload(packet);
        let expected = PACKET_LEN - HEADER_LEN;
        if payload.len() != expected {
            bail!("the payload of packet {number} has {} bytes, expected {expected}", payload.len());
        }
        if payload[..MARKED] != mark(number) || payload[MARKED..] != *self.window(number, expected - MARKED) {
            bail!("the payload of packet {number} isn't the one that was sent");
        }
        Ok(())
    }

    fn window(&self, number: u64, len: usize) -> &[u8] {
        let start = (number % WINDOWS as u64) as usize;
        &self.filler[start..start + len]
    }
}

impl Default for Packets {
    fn default() -> Self {
        Self::new()
    }
}

/// The number of the packet with this timestamp, given one that is known to be at most 2^29 before it.
#[must_use]
pub fn number_of(timestamp: u32, first: u64) -> Option<u64> {
    let ticks = timestamp.wrapping_sub((first as u32).wrapping_mul(TICKS));
    ticks.is_multiple_of(TICKS).then(|| first + u64::from(ticks / TICKS))
}

/// Whether the packet with this timestamp is one of the 2^27 before the given one: a straggler of an earlier step.
#[must_use]
pub fn is_from_before(timestamp: u32, first: u64) -> bool {
    let ticks = (first as u32).wrapping_mul(TICKS).wrapping_sub(timestamp);
    ticks.is_multiple_of(TICKS) && (1..=1 << 27).contains(&(ticks / TICKS)) && u64::from(ticks / TICKS) <= first
}

/// A key frame now and then: a forwarder of VP8 starts a consumer with one.
fn mark(number: u64) -> [u8; MARKED] {
    let mut mark = [0_u8; MARKED];
    // RFC 7741: the start of the first partition; then a frame header, whose lowest bit is 0 in a key frame.
    mark[0] = 0x10;
    if number.is_multiple_of(100) {
        mark[4..7].copy_from_slice(&[0x9D, 0x01, 0x2A]);
        mark[7..11].copy_from_slice(&[0x40, 0x01, 0xF0, 0x00]);
    } else {
        mark[1] = 0x01;
    }
    mark[11..].copy_from_slice(&number.to_be_bytes());
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stragglers_are_told_from_packets_to_come_and_from_rubbish() {
        let timestamp = |number: u64| (number as u32).wrapping_mul(TICKS);
        // Far enough that timestamps have wrapped around.
        for first in [5, 1 << 30, (1 << 30) + 7] {
            assert!(is_from_before(timestamp(first - 1), first) && is_from_before(timestamp(first - 5), first));
            assert!(!is_from_before(timestamp(first), first) && !is_from_before(timestamp(first + 1000), first));
            assert!(!is_from_before(timestamp(first - 1) + 1, first));
        }
        assert!(!is_from_before(timestamp(0).wrapping_sub(TICKS), 0), "nothing is before the first packet");
    }

    #[test]
    fn a_packet_is_recognised_and_a_changed_one_is_not() {
        let packets = Packets::new();
        let mut slot = [0; PACKET_LEN];
        for number in [0, 1, 99, 100, 70_000, 1 << 33] {
            packets.write(number, 7, 101, &mut slot).unwrap();
            packets.check(&slot, number, 7, 101).unwrap();
            assert!(packets.check(&slot, number + 1, 7, 101).is_err());
            assert!(packets.check(&slot, number, 8, 101).is_err());
            assert!(packets.check(&slot, number, 7, 102).is_err());
            assert!(packets.check(&slot[..PACKET_LEN - 1], number, 7, 101).is_err());
            slot[700] ^= 1;
            assert!(packets.check(&slot, number, 7, 101).is_err());
        }
    }

    #[test]
    fn the_number_survives_the_timestamp_s_wrapping() {
        let first = (1_u64 << 30) - 5;
        for number in first..first + 10 {
            assert_eq!(number_of((number as u32).wrapping_mul(TICKS), first), Some(number));
        }
        assert_eq!(number_of(3, 0), None);
    }

    #[test]
    fn bursts_average_what_the_schedule_assumes() {
        let total: u64 = (0..30).map(|turn| Pattern::Burst.group(turn)).sum();
        assert_eq!(total, 40 + 29 * 11);
    }
}
