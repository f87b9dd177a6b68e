//! A capture file of the datagrams that a demonstration sent and received.
//!
//! The format is pcapng (draft-ietf-opsawg-pcapng), which holds a comment for each packet: Wireshark shows what the
//! transcript said beside the bytes. The IP and UDP headers are written here, from the addresses that the sockets had,
//! since a program sees only payloads; so they have no identification, a TTL of 64, and good checksums.
//!
//! | block | bytes |
//! |---|---|
//! | section header | byte-order magic, version 1.0 |
//! | interface description | link type 101 (raw IP), times in nanoseconds |
//! | enhanced packet, one a datagram | time, IP header, UDP header, payload, comment |

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const OPTION_COMMENT: u16 = 1;
const OPTION_TIME_RESOLUTION: u16 = 9;

/// Raw IP: the first four bits say which version.
const LINK_TYPE_RAW: u16 = 101;

const PROTOCOL_UDP: u8 = 17;

/// Writes a capture file.
#[derive(Debug)]
pub struct Capture<W: Write = Box<dyn Write>> {
    sink: W,
}

impl Capture {
    /// Creates the file, or empties it. Without one nothing is kept, so that a demonstration need not care whether its
    /// reader has asked for a capture.
    ///
    /// # Errors
    /// Those of creating and writing a file; they name it.
    pub fn create(path: Option<&Path>) -> io::Result<Capture> {
        let Some(path) = path else { return Capture::new(Box::new(io::sink())) };
        let file = File::create(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write the capture {}: {error}", path.display()))
        })?;
        Capture::new(Box::new(BufWriter::new(file)))
    }
}

impl<W: Write> Capture<W> {
    /// Begins a capture.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(sink: W) -> io::Result<Capture<W>> {
        let mut capture = Capture { sink };
        // Byte order, version 1.0, and that the section's length is not known.
        let mut header = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
        header.extend_from_slice(&[1, 0, 0, 0]);
        header.extend_from_slice(&[0xff; 8]);
        capture.block(SECTION_HEADER, &header)?;
        // Link type, reserved, no limit on a packet's length, then that times are in units of 10^-9 s.
        let mut interface = [LINK_TYPE_RAW.to_le_bytes(), [0, 0]].concat();
        interface.extend_from_slice(&[0; 4]);
        option(&mut interface, OPTION_TIME_RESOLUTION, &[9]);
        interface.extend_from_slice(&[0; 4]);
        capture.block(INTERFACE_DESCRIPTION, &interface)?;
        Ok(capture)
    }

    /// Adds a datagram with what the transcript says of it. Both addresses are of one family.
    ///
    /// # Errors
    /// Those of writing, and `InvalidInput` for mixed families or a payload that no datagram holds.
    pub fn udp(
        &mut self,
        when: SystemTime,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let packet = ip_packet(from, to, payload)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no datagram has these addresses and length"))?;
        let nanoseconds = when.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let length = (packet.len() as u32).to_le_bytes();
        let mut body = [0; 4].to_vec();
        body.extend_from_slice(&((nanoseconds >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(nanoseconds as u32).to_le_bytes());
        body.extend_from_slice(&length);
        body.extend_from_slice(&length);
        body.extend_from_slice(&packet);
        pad(&mut body);
        if !comment.is_empty() {
            option(&mut body, OPTION_COMMENT, comment.as_bytes());
            body.extend_from_slice(&[0; 4]);
        }
        self.block(ENHANCED_PACKET, &body)
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// A block: type, total length, body, total length once more.
    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = (body.len() as u32 + 12).to_le_bytes();
        self.sink.write_all(&[&kind.to_le_bytes()[..], &length, body, &length].concat())
    }
}

/// Appends an option: code, length, value padded to four bytes.
fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    block.extend_from_slice(&code.to_le_bytes());
    block.extend_from_slice(&(value.len() as u16).to_le_bytes());
    block.extend_from_slice(value);
    pad(block);
}

fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

/// An IPv4 (RFC 791 §3.1) or IPv6 (RFC 8200 §3) header, a UDP header (RFC 768) and the payload.
fn ip_packet(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let udp_len = u16::try_from(payload.len() + 8).ok()?;
    let mut udp = [from.port(), to.port(), udp_len, 0].map(u16::to_be_bytes).concat();
    udp.extend_from_slice(payload);
    let mut packet = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = udp_len.checked_add(20)?.to_be_bytes();
            // Version 4 and five words, total length, "don't fragment", TTL 64.
            let mut header = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, PROTOCOL_UDP, 0, 0].to_vec();
            header.extend_from_slice(&from.octets());
            header.extend_from_slice(&to.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = udp_len.to_be_bytes();
            let mut header = [0x60, 0, 0, 0, length[0], length[1], PROTOCOL_UDP, 64].to_vec();
            header.extend_from_slice(&from.octets());
            header.extend_from_slice(&to.octets());
            header
        }
        _ => return None,
    };
    // The pseudo header's addresses are where both versions end.
    let addresses = if packet.len() == 20 { &packet[12..] } else { &packet[8..] };
    let length = udp_len.to_be_bytes();
    let sum = checksum(&[addresses, &[0, PROTOCOL_UDP, length[0], length[1]], &udp]);
    // 0 would say that there is no checksum; its other form is the same number.
    let sum = if sum == 0 { 0xffff } else { sum };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&udp);
    Some(packet)
}

/// The Internet checksum (RFC 1071) over parts of even length, the last one of any.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words.map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0))).sum();
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn headers_hold_good_checksums() {
        for (from, to) in [("127.0.0.1:5000", "127.0.0.1:6000"), ("[::1]:5000", "[::1]:6000")] {
            for payload in [&b""[..], b"odd", b"even"] {
                let packet = ip_packet(address(from), address(to), payload).unwrap();
                let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
                let (ip, udp) = packet.split_at(header);
                if header == 20 {
                    assert_eq!(checksum(&[ip]), 0, "a header with its checksum sums up to nothing");
                }
                let addresses = if header == 20 { &ip[12..] } else { &ip[8..] };
                let pseudo = [0, PROTOCOL_UDP, udp[4], udp[5]];
                assert_eq!(checksum(&[addresses, &pseudo, udp]), 0);
                assert_eq!(&udp[8..], payload);
            }
        }
    }

    /// The block structure as the format's document draws it, read by hand.
    #[test]
    fn blocks_are_framed_and_comments_stay_with_their_packets() {
        let mut capture = Capture::new(Vec::new()).unwrap();
        let when = UNIX_EPOCH + Duration::from_nanos(0x0102_0304_0506_0708);
        capture.udp(when, address("127.0.0.1:1"), address("127.0.0.1:2"), b"hi", "client sends").unwrap();
        let file = capture.finish().unwrap();
        let mut blocks = Vec::new();
        let mut rest = &file[..];
        while !rest.is_empty() {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let length = word(4) as usize;
            assert_eq!((length % 4, word(length - 4) as usize), (0, length));
            blocks.push((word(0), rest[8..length - 4].to_vec()));
            rest = &rest[length..];
        }
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]);
        let packet = &blocks[2].1;
        assert_eq!(packet[4..12], [4, 3, 2, 1, 8, 7, 6, 5], "the time's upper half, then its lower");
        assert_eq!(packet[12], 30, "IP, UDP and two bytes");
        assert!(packet.windows(12).any(|window| window == b"client sends"));
    }

    #[test]
    fn what_no_datagram_can_be_is_refused() {
        let mut capture = Capture::new(Vec::new()).unwrap();
        let mut add = |to: &str, payload: &[u8]| {
            capture.udp(UNIX_EPOCH, address("127.0.0.1:1"), address(to), payload, "").map_err(|error| error.kind())
        };
        assert_eq!(add("[::1]:2", b""), Err(io::ErrorKind::InvalidInput));
        assert_eq!(add("127.0.0.1:2", &[0; 65_508]), Err(io::ErrorKind::InvalidInput));
        assert_eq!(add("127.0.0.1:2", &[0; 65_507]), Ok(()));
    }
}
