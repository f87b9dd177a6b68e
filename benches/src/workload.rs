//! What is sent: the packets, and what must come out at the other end.

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sfu_proto::rtp::{FixedHeader, Header, HeaderWriter};
use sfu_proto::srtp::Suite;

/// Bytes of an RTP header without extensions.
pub const HEADER_LEN: usize = 12;
/// The producer's payload type, and the router's for the same codec.
pub const PRODUCER_PAYLOAD_TYPE: u8 = 96;
/// The payload type that consumers get.
pub const CONSUMER_PAYLOAD_TYPE: u8 = 101;

/// The SSRC of a producer's stream.
#[must_use]
pub const fn producer_ssrc(stream: usize) -> u32 {
    0x0100_0000 + stream as u32
}

/// The SSRC that the router knows a producer's stream by.
#[must_use]
pub const fn mapped_ssrc(stream: usize) -> u32 {
    0x0200_0000 + stream as u32
}

/// RTP clock ticks from one packet to the next. Each packet has a timestamp of its own, which forwarding leaves
/// alone and SRTP leaves in clear: it carries the packet's number through everything. Video would share one
/// timestamp per frame; no forwarder looks at that.
const TICKS: u32 = 4;

/// How packets leave the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
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

/// Makes and recognises packets of one length.
#[derive(Debug)]
pub struct Packets {
    len: usize,
    /// Payloads are windows of this, so that each number has another content, and comparing is one memcmp.
    filler: Vec<u8>,
}

/// Which packet it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Which stream's.
    pub stream: usize,
    /// Its number among the packets of all streams, below 2^48.
    pub number: u64,
}

/// What an RTP header says beside.
#[derive(Debug, Clone, Copy)]
pub struct Labels {
    /// Its number among the packets of its stream.
    pub sequence: u64,
    /// The stream's SSRC.
    pub ssrc: u32,
    /// The payload type.
    pub payload_type: u8,
}

/// Bytes of payload before the filler: a VP8 payload descriptor, a VP8 frame header, the stream and the number.
const MARKED: usize = DESCRIPTOR_LEN + 10 + 8;
const WINDOWS: usize = 251;

impl Packets {
    /// The shortest packet that can be recognised.
    pub const MIN_LEN: usize = HEADER_LEN + MARKED;

    /// The same in every process.
    ///
    /// # Errors
    /// The length is below [`Packets::MIN_LEN`], or more than a datagram has on Ethernet.
    pub fn new(len: usize) -> Result<Self> {
        if !(Self::MIN_LEN..=1_472).contains(&len) {
            bail!("a packet of {len} bytes can't be sent and recognised: it must have {} to 1472", Self::MIN_LEN);
        }
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let filler = (0..len + WINDOWS)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            })
            .collect();
        Ok(Self { len, filler })
    }

    /// Bytes of each.
    #[must_use]
    pub const fn packet_len(&self) -> usize {
        self.len
    }

    /// Writes a packet into a slot of its length. Every hundredth of a stream is a key frame's first.
    ///
    /// # Errors
    /// The slot is too short.
    pub fn write(&self, identity: Identity, labels: Labels, slot: &mut [u8]) -> Result<()> {
        let fixed = FixedHeader {
            marker: labels.sequence % 12 == 11,
            payload_type: labels.payload_type,
            sequence_number: labels.sequence as u16,
            timestamp: (identity.number as u32).wrapping_mul(TICKS),
            ssrc: labels.ssrc,
        };
        let header_len = HeaderWriter::new(slot, &fixed).finish()?;
        let payload = slot.get_mut(header_len..self.len).ok_or_else(|| anyhow!("the slot is shorter than a packet"))?;
        payload[..MARKED].copy_from_slice(&mark(identity, labels.sequence.is_multiple_of(100)));
        let rest = payload.len() - MARKED;
        payload[MARKED..].copy_from_slice(self.window(identity.number, rest));
        Ok(())
    }

    /// Checks that a (decrypted) packet is the one that it should be, as its consumer must get it: rewritten where it
    /// must be, its payload untouched.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(&self, packet: &[u8], identity: Identity, ssrc: u32, payload_type: u8) -> Result<()> {
        let Identity { number, .. } = identity;
        let header = Header::parse(packet)?;
        if header.ssrc != ssrc || header.payload_type != payload_type {
            bail!(
                "packet {number} has SSRC {:#x} and payload type {}, expected {ssrc:#x} and {payload_type}",
                header.ssrc,
                header.payload_type
            );
        }
        let payload = header.payload(packet);
        let expected = self.len - HEADER_LEN;
        if payload.len() != expected {
            bail!("the payload of packet {number} has {} bytes, expected {expected}", payload.len());
        }
        let (marked, rest) = payload.split_at(MARKED);
        let is_marked = [false, true].iter().any(|&key| marked == mark(identity, key));
        if !is_marked || *rest != *self.window(number, rest.len()) {
            bail!("the payload of packet {number} isn't the one that was sent");
        }
        Ok(())
    }

    fn window(&self, number: u64, len: usize) -> &[u8] {
        let start = (number % WINDOWS as u64) as usize;
        &self.filler[start..start + len]
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

/// What a payload begins with. A forwarder of VP8 starts a consumer with a key frame.
fn mark(identity: Identity, key_frame: bool) -> [u8; MARKED] {
    let mut mark = [0_u8; MARKED];
    write_vp8(&mut mark, identity.number, true, key_frame);
    mark[DESCRIPTOR_LEN + 10..].copy_from_slice(&((identity.stream as u64) << 48 | identity.number).to_be_bytes());
    mark
}

/// Bytes of the VP8 payload descriptor: it has a picture id of two bytes, as WebRTC's has.
pub(crate) const DESCRIPTOR_LEN: usize = 4;

/// Writes the payload descriptor ([RFC 7741, section 4.2](https://www.rfc-editor.org/rfc/rfc7741#section-4.2)), and what follows
/// it at the start of a frame: the frame's header, 10 bytes, of which the lowest bit is 0 in a key frame. The extensions are there
/// since mediasoup finds no key frame without them.
pub(crate) fn write_vp8(payload: &mut [u8], picture: u64, start: bool, key_frame: bool) {
    let [picture_high, picture_low] = (picture as u16 | 0x8000).to_be_bytes();
    payload[..DESCRIPTOR_LEN].copy_from_slice(&[0x80 | if start { 0x10 } else { 0 }, 0x80, picture_high, picture_low]);
    if start && key_frame {
        payload[DESCRIPTOR_LEN..][..10].copy_from_slice(&[0, 0, 0, 0x9D, 0x01, 0x2A, 0x40, 0x01, 0xF0, 0x00]);
    } else if start {
        payload[DESCRIPTOR_LEN] = 0x01;
    }
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
        for len in [Packets::MIN_LEN, 100, 1_200] {
            let packets = Packets::new(len).unwrap();
            let mut slot = vec![0; len];
            for number in [0, 1, 99, 100, 70_000, 1 << 33] {
                let identity = Identity { stream: 3, number };
                packets.write(identity, Labels { sequence: number, ssrc: 7, payload_type: 101 }, &mut slot).unwrap();
                packets.check(&slot, identity, 7, 101).unwrap();
                assert!(packets.check(&slot, Identity { number: number + 1, ..identity }, 7, 101).is_err());
                assert!(packets.check(&slot, Identity { stream: 2, ..identity }, 7, 101).is_err());
                assert!(packets.check(&slot, identity, 8, 101).is_err());
                assert!(packets.check(&slot, identity, 7, 102).is_err());
                assert!(packets.check(&slot[..len - 1], identity, 7, 101).is_err());
                slot[len - 1] ^= 1;
                assert!(packets.check(&slot, identity, 7, 101).is_err());
            }
        }
        assert!(Packets::new(Packets::MIN_LEN - 1).is_err() && Packets::new(9_000).is_err());
    }

    #[test]
    fn the_number_survives_the_timestamp_s_wrapping() {
        let first = (1_u64 << 30) - 5;
        for number in first..first + 10 {
            assert_eq!(number_of((number as u32).wrapping_mul(TICKS), first), Some(number));
        }
        assert_eq!(number_of(3, 0), None);
    }
}
