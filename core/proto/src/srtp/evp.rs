//! The project's own SRTP and SRTCP: what a session remembers, and where a packet's parts lie. The cryptography is in
//! `cipher`.

use super::cipher::{Cipher, Direction};
use super::index::{ReplayWindow, Streams, check_sent, estimate, roc};
use super::kdf::Protocol;
use super::packet::{RTCP_CLEAR_LEN, SRTCP_E, rtcp_ssrc, rtp_header};
use super::{MAX_RECEIVED_STREAMS, MAX_SENT_STREAMS, SrtpError, Suite};

/// Bytes of the E flag and the SRTCP index.
const SRTCP_INDEX_LEN: usize = 4;

/// The greatest SRTCP index.
const MAX_SRTCP_INDEX: u32 = SRTCP_E - 1;

pub(super) struct Sender {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    /// The highest RTP index sent.
    rtp_highest: Streams<u64>,
    /// The next SRTCP index.
    rtcp_next: Streams<u32>,
}

impl Sender {
    pub fn new(suite: Suite, key: &[u8]) -> Result<Sender, SrtpError> {
        Ok(Sender {
            suite,
            rtp: Cipher::new(suite, key, Protocol::Rtp, Direction::Seal)?,
            rtcp: Cipher::new(suite, key, Protocol::Rtcp, Direction::Seal)?,
            rtp_highest: Streams::new(MAX_SENT_STREAMS),
            rtcp_next: Streams::new(MAX_SENT_STREAMS),
        })
    }

    pub fn protect_rtp(&mut self, slot: &mut [u8], header_len: usize, payload: &[u8]) -> Result<usize, SrtpError> {
        let len = header_len + payload.len();
        let total = len + self.suite.rtp_tag_len();
        if slot.len() < total {
            return Err(SrtpError::BufferTooSmall { needed: total, got: slot.len() });
        }
        let (header, rest) = slot.split_at_mut(header_len);
        let parsed = rtp_header(header)?;
        if parsed.len != header_len {
            return Err(SrtpError::TooShort(header_len));
        }
        let highest = self.rtp_highest.get(parsed.ssrc).copied();
        let index = estimate(highest, parsed.sequence)?;
        check_sent(highest, index)?;

        let (body, rest) = rest.split_at_mut(payload.len());
        let tag = &mut rest[..self.suite.rtp_tag_len()];
        match &mut self.rtp {
            Cipher::Gcm(gcm) => gcm.seal(parsed.ssrc, index, [header, &[]], payload, body, tag)?,
            Cipher::Ctr(ctr) => {
                ctr.encrypt(parsed.ssrc, index, payload, body)?;
                let mac = ctr.mac([header, body, &roc(index).to_be_bytes()]);
                tag.copy_from_slice(&mac[..tag.len()]);
            }
        }

        match self.rtp_highest.get(parsed.ssrc) {
            Some(highest) => *highest = (*highest).max(index),
            None => self.rtp_highest.insert(parsed.ssrc, index)?,
        }
        Ok(total)
    }

    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let ssrc = rtcp_ssrc(packet, RTCP_CLEAR_LEN)?;
        let next = match self.rtcp_next.get(ssrc) {
            Some(next) => next,
            None => {
                self.rtcp_next.insert(ssrc, 0)?;
                self.rtcp_next.get(ssrc).ok_or(SrtpError::TooManyStreams)?
            }
        };
        let index = *next;
        if index > MAX_SRTCP_INDEX {
            return Err(SrtpError::KeyExhausted);
        }
        *next = index + 1;

        let word = (SRTCP_E | index).to_be_bytes();
        let len = packet.len();
        let tag_len = self.suite.rtcp_tag_len();
        packet.resize(len + SRTCP_INDEX_LEN + tag_len, 0);
        let (head, rest) = packet.split_at_mut(RTCP_CLEAR_LEN);
        let (body, trailer) = rest.split_at_mut(len - RTCP_CLEAR_LEN);
        match &mut self.rtcp {
            // RFC 7714 §9.2: the tag, then the index.
            Cipher::Gcm(gcm) => {
                let (tag, index_word) = trailer.split_at_mut(tag_len);
                gcm.seal_in_place(ssrc, u64::from(index), [head, &word], body, tag)?;
                index_word.copy_from_slice(&word);
            }
            // RFC 3711 §3.4: the index, then the tag.
            Cipher::Ctr(ctr) => {
                ctr.crypt_in_place(ssrc, u64::from(index), body)?;
                let (index_word, tag) = trailer.split_at_mut(SRTCP_INDEX_LEN);
                index_word.copy_from_slice(&word);
                tag.copy_from_slice(&ctr.mac([head, body, &word])[..tag_len]);
            }
        }
        Ok(())
    }
}

pub(super) struct Receiver {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    rtp_windows: Streams<ReplayWindow>,
    rtcp_windows: Streams<ReplayWindow>,
}

impl Receiver {
    pub fn new(suite: Suite, key: &[u8]) -> Result<Receiver, SrtpError> {
        Ok(Receiver {
            suite,
            rtp: Cipher::new(suite, key, Protocol::Rtp, Direction::Open)?,
            rtcp: Cipher::new(suite, key, Protocol::Rtcp, Direction::Open)?,
            rtp_windows: Streams::new(MAX_RECEIVED_STREAMS),
            rtcp_windows: Streams::new(MAX_RECEIVED_STREAMS),
        })
    }

    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = rtp_header(packet)?;
        let len = packet.len().checked_sub(self.suite.rtp_tag_len()).ok_or(SrtpError::TooShort(packet.len()))?;
        if header.len > len {
            return Err(SrtpError::TooShort(packet.len()));
        }
        let window = self.rtp_windows.get(header.ssrc);
        let index = estimate(window.as_ref().and_then(|window| window.highest()), header.sequence)?;
        admit(&mut self.rtp_windows, header.ssrc, index)?;

        let (clear, rest) = packet.split_at_mut(header.len);
        let (body, tag) = rest.split_at_mut(len - header.len);
        match &mut self.rtp {
            Cipher::Gcm(gcm) => gcm.open(header.ssrc, index, [clear, &[]], body, tag)?,
            Cipher::Ctr(ctr) => {
                ctr.verify([clear, body, &roc(index).to_be_bytes()], tag)?;
                ctr.crypt_in_place(header.ssrc, index, body)?;
            }
        }
        accept(&mut self.rtp_windows, header.ssrc, index)?;
        Ok(len)
    }

    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let tag_len = self.suite.rtcp_tag_len();
        let ssrc = rtcp_ssrc(packet, RTCP_CLEAR_LEN + SRTCP_INDEX_LEN + tag_len)?;
        let len = packet.len() - SRTCP_INDEX_LEN - tag_len;
        let (head, rest) = packet.split_at_mut(RTCP_CLEAR_LEN);
        let (body, trailer) = rest.split_at_mut(len - RTCP_CLEAR_LEN);
        let (tag, word) = match self.rtcp {
            Cipher::Gcm(_) => {
                let (tag, word) = trailer.split_at(tag_len);
                (tag, word)
            }
            Cipher::Ctr(_) => {
                let (word, tag) = trailer.split_at(SRTCP_INDEX_LEN);
                (tag, word)
            }
        };
        let word: [u8; SRTCP_INDEX_LEN] = word.try_into().map_err(|_| SrtpError::TooShort(len))?;
        if u32::from_be_bytes(word) & SRTCP_E == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        let index = u64::from(u32::from_be_bytes(word) & MAX_SRTCP_INDEX);
        admit(&mut self.rtcp_windows, ssrc, index)?;

        match &mut self.rtcp {
            Cipher::Gcm(gcm) => gcm.open(ssrc, index, [head, &word], body, tag)?,
            Cipher::Ctr(ctr) => {
                ctr.verify([head, body, &word], tag)?;
                ctr.crypt_in_place(ssrc, index, body)?;
            }
        }
        accept(&mut self.rtcp_windows, ssrc, index)?;
        Ok(len)
    }
}

/// Whether a packet is worth authenticating: its index is neither old nor known, and its stream is known or has room.
fn admit(windows: &mut Streams<ReplayWindow>, ssrc: u32, index: u64) -> Result<(), SrtpError> {
    let has_room = windows.has_room();
    match windows.get(ssrc) {
        Some(window) => window.check(index),
        None if has_room => Ok(()),
        None => Err(SrtpError::TooManyStreams),
    }
}

/// Notes a packet that authenticated; here, and only here, a stream gets its state.
fn accept(windows: &mut Streams<ReplayWindow>, ssrc: u32, index: u64) -> Result<(), SrtpError> {
    if let Some(window) = windows.get(ssrc) {
        window.accept(index);
        return Ok(());
    }
    let mut window = ReplayWindow::default();
    window.accept(index);
    windows.insert(ssrc, window)
}

#[cfg(test)]
mod tests {
    use super::super::cipher::Gcm;
    use super::super::kdf::SessionKeys;
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    /// A GCM transform with the session key and salt that RFC 7714 §16 and §17 use.
    fn rfc_7714(key_len: u8, direction: Direction) -> Cipher {
        let keys =
            SessionKeys { cipher: (0..key_len).collect(), auth: [0; 20], salt: unhex("517569642070726f2071756f") };
        Cipher::Gcm(Gcm::new(&keys, direction).unwrap())
    }

    fn rfc_7714_sender(suite: Suite) -> Sender {
        let mut sender = Sender::new(suite, &vec![0; suite.key_and_salt_len()]).unwrap();
        sender.rtp = rfc_7714(suite.key_len() as u8, Direction::Seal);
        sender.rtcp = rfc_7714(suite.key_len() as u8, Direction::Seal);
        sender
    }

    fn rfc_7714_receiver(suite: Suite) -> Receiver {
        let mut receiver = Receiver::new(suite, &vec![0; suite.key_and_salt_len()]).unwrap();
        receiver.rtp = rfc_7714(suite.key_len() as u8, Direction::Open);
        receiver.rtcp = rfc_7714(suite.key_len() as u8, Direction::Open);
        receiver
    }

    /// RFC 7714 §16.1.1, §16.1.2, §16.2.1 and §16.2.2.
    #[test]
    fn rfc_7714_srtp() {
        let header = unhex("8040f17b 8041f8d3 5501a0b2");
        let payload = unhex("47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573");
        let cases = [
            (
                Suite::AeadAes128Gcm,
                "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b
                 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            ),
            (
                Suite::AeadAes256Gcm,
                "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f
                 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            ),
        ];
        for (suite, expected) in cases {
            let expected = unhex(&expected.replace('\n', ""));
            let mut packet = vec![0; expected.len()];
            packet[..header.len()].copy_from_slice(&header);
            let len = rfc_7714_sender(suite).protect_rtp(&mut packet, header.len(), &payload).unwrap();
            assert_eq!(hex::encode(&packet[..len]), hex::encode(&expected), "{suite}");
            let len = rfc_7714_receiver(suite).unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet[..len], [header.clone(), payload.clone()].concat());
        }
    }

    /// RFC 7714 §17.1 (128 bits, encryption) and §17.2 (256 bits, decryption).
    #[test]
    fn rfc_7714_srtcp() {
        let plain = unhex(
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef
             deadbeef deadbeef"
                .replace('\n', "")
                .as_str(),
        );
        let cases = [
            (
                Suite::AeadAes128Gcm,
                "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46
                 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            ),
            (
                Suite::AeadAes256Gcm,
                "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658
                 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
            ),
        ];
        for (suite, expected) in cases {
            let expected = unhex(&expected.replace('\n', ""));
            let mut sender = rfc_7714_sender(suite);
            sender.rtcp_next.insert(0x4d617273, 0x5d4).unwrap();
            let mut packet = plain.clone();
            sender.protect_rtcp(&mut packet).unwrap();
            assert_eq!(hex::encode(&packet), hex::encode(&expected), "{suite}");
            let len = rfc_7714_receiver(suite).unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..len], plain);
        }
    }

    #[test]
    fn a_key_protects_no_more_than_its_lifetime() {
        let mut sender = rfc_7714_sender(Suite::AeadAes128Gcm);
        sender.rtcp_next.insert(7, MAX_SRTCP_INDEX).unwrap();
        let rtcp = [0x80, 201, 0, 1, 0, 0, 0, 7];
        assert_eq!(sender.protect_rtcp(&mut rtcp.to_vec()), Ok(()));
        assert_eq!(sender.protect_rtcp(&mut rtcp.to_vec()), Err(SrtpError::KeyExhausted));
    }
}
