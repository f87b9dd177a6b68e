//! SCTP packets as bytes (RFC 9260, 3): only as much of them as the engine has to be helped with.
//!
//! ```text
//!  0               2               4                 8               12
//! +---------------+---------------+-----------------+---------------+--------
//! | source port   | destin. port  | verification tag| CRC32c        | chunks
//! +---------------+---------------+-----------------+---------------+--------
//!
//! chunk: type (1), flags (1), length (2, with these four bytes), value, padding to four bytes
//! ```

use std::borrow::Cow;

use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc};

use super::PORT;

/// Bytes of the common header.
const HEADER_LEN: usize = 12;
/// Bytes of a chunk's header.
const CHUNK_HEADER_LEN: usize = 4;

const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Types of chunks (RFC 9260, 3.2; RFC 3758; RFC 6525; RFC 8260).
pub(super) mod chunk {
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const SACK: u8 = 3;
    pub const HEARTBEAT: u8 = 4;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
    pub const RE_CONFIG: u8 = 130;
    pub const FORWARD_TSN: u8 = 192;
    pub const I_FORWARD_TSN: u8 = 194;
}

/// The chunks that the engine takes. It passes over a whole packet that has another one in it, and ends the association
/// at an ERROR, which by itself is no reason to (RFC 9260, 3.3.10).
const TAKEN: [u8; 14] = [
    chunk::DATA,
    chunk::INIT,
    chunk::INIT_ACK,
    chunk::SACK,
    chunk::HEARTBEAT,
    chunk::ABORT,
    chunk::SHUTDOWN,
    chunk::SHUTDOWN_ACK,
    chunk::COOKIE_ECHO,
    chunk::COOKIE_ACK,
    chunk::SHUTDOWN_COMPLETE,
    chunk::RE_CONFIG,
    chunk::FORWARD_TSN,
    chunk::I_FORWARD_TSN,
];

/// The type of the ERROR chunk.
const ERROR: u8 = 9;
/// The type of the HEARTBEAT ACK chunk, which answers what we never send.
const HEARTBEAT_ACK: u8 = 5;
/// Receivers pass over an unknown chunk whose type has this bit, and stop at one that doesn't (RFC 9260, 3.2).
const SKIP: u8 = 0x80;

/// Whether a datagram that came beside RTP is an SCTP packet: both ports are [`PORT`]. So its first byte is 19, which is
/// none of STUN's, DTLS's and RTP's (RFC 7983).
pub fn is_sctp(datagram: &[u8]) -> bool {
    let port = PORT.to_be_bytes();
    datagram.len() >= HEADER_LEN && datagram[..2] == port && datagram[2..4] == port
}

/// The verification tag.
pub(super) fn tag(packet: &[u8]) -> Option<u32> {
    u32_at(packet, 4)
}

/// The type of the first chunk.
pub(super) fn first_chunk(packet: &[u8]) -> Option<u8> {
    packet.get(HEADER_LEN).copied()
}

/// What an INIT or INIT ACK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Init {
    /// The tag that its sender wants to see.
    pub tag: u32,
    /// How many streams its sender receives on.
    pub incoming_streams: u16,
}

/// Reads the INIT or INIT ACK that a packet begins with.
pub(super) fn init(packet: &[u8]) -> Option<Init> {
    if !matches!(first_chunk(packet), Some(chunk::INIT | chunk::INIT_ACK)) {
        return None;
    }
    let streams = packet.get(26..28)?;
    Some(Init { tag: u32_at(packet, 16)?, incoming_streams: u16::from_be_bytes([streams[0], streams[1]]) })
}

/// The receive window that a packet's SACK grants, if it begins with one.
pub(super) fn granted_window(packet: &[u8]) -> Option<u32> {
    if first_chunk(packet) == Some(chunk::SACK) { u32_at(packet, 20) } else { None }
}

/// What a packet of the peer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inspected<'a> {
    /// The packet with no other chunks than those that the engine takes.
    pub packet: Cow<'a, [u8]>,
    /// How many DATA chunks there are.
    pub data_chunks: usize,
    /// Whether the peer ends the association.
    pub aborts: bool,
}

/// Looks through a packet's chunks. What is malformed stays as it is, for the engine to refuse; `None` if nothing is
/// left for it.
pub(super) fn inspect(packet: &[u8]) -> Option<Inspected<'_>> {
    let mut inspected = Inspected { packet: Cow::Borrowed(packet), data_chunks: 0, aborts: false };
    // Stays empty as long as nothing is taken out.
    let mut kept = Vec::new();
    let mut at = HEADER_LEN;
    let mut any = false;
    while let Some([kind, _, high, low]) = packet.get(at..at + CHUNK_HEADER_LEN) {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if len < CHUNK_HEADER_LEN {
            break;
        }
        let end = packet.len().min(at + len.next_multiple_of(4));
        if TAKEN.contains(kind) {
            any = true;
            inspected.data_chunks += usize::from(*kind == chunk::DATA);
            inspected.aborts |= *kind == chunk::ABORT;
            if !kept.is_empty() {
                kept.extend_from_slice(&packet[at..end]);
            }
        } else {
            if kept.is_empty() {
                kept.extend_from_slice(&packet[..at]);
            }
            if kind & SKIP == 0 && !matches!(*kind, ERROR | HEARTBEAT_ACK) {
                break;
            }
        }
        at = end;
    }
    if !any {
        return None;
    }
    // A rewritten packet must not come to have a good checksum that it didn't have.
    if !kept.is_empty() && has_good_checksum(packet) {
        write_checksum(&mut kept);
        inspected.packet = Cow::Owned(kept);
    }
    Some(inspected)
}

/// The ABORT (RFC 9260, 3.3.7) that goes to where a packet of ours with these first eight bytes went.
pub(super) fn abort(ports_and_tag: [u8; 8]) -> Bytes {
    let mut packet = ports_and_tag.to_vec();
    packet.extend_from_slice(&[0, 0, 0, 0, chunk::ABORT, 0, 0, 4]);
    write_checksum(&mut packet);
    packet.into()
}

/// An INIT with the verification tag that it must have, zero (RFC 9260, 8.5.1): the engine repeats its INIT with the
/// peer's tag when INITs have crossed.
pub(super) fn with_init_tag(packet: Bytes) -> Bytes {
    if first_chunk(&packet) != Some(chunk::INIT) || tag(&packet) == Some(0) {
        return packet;
    }
    let mut packet = packet.to_vec();
    packet[4..8].fill(0);
    write_checksum(&mut packet);
    packet.into()
}

/// Whether a packet has come as it was sent.
pub(super) fn has_good_checksum(packet: &[u8]) -> bool {
    let Some((header, chunks)) = packet.split_at_checked(HEADER_LEN) else { return false };
    header[8..] == checksum(header, chunks).to_le_bytes()
}

/// Writes the checksum of a packet into it.
pub(super) fn write_checksum(packet: &mut [u8]) {
    if let Some((header, chunks)) = packet.split_at_mut_checked(HEADER_LEN) {
        let sum = checksum(header, chunks).to_le_bytes();
        header[8..].copy_from_slice(&sum);
    }
}

/// The CRC32c of a packet whose checksum is zero (RFC 9260, appendix A).
fn checksum(header: &[u8], chunks: &[u8]) -> u32 {
    let mut digest = CHECKSUM.digest();
    digest.update(&header[..8]);
    digest.update(&[0; 4]);
    digest.update(chunks);
    digest.finalize()
}

fn u32_at(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?))
}
