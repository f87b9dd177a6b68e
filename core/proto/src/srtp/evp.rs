//! The project's own SRTP and SRTCP, on AWS-LC's EVP ciphers.
//!
//! A cipher context is keyed once and reused, so that a packet sets only the IV. For HMAC-SHA1 the two SHA-1 states
//! after the padded key (RFC 2104's inner and outer) are kept and copied per packet: hashing the key again would cost
//! two more compressions, and a new HMAC context several times the packet.

use super::index::{ReplayWindow, Streams, check_sent, estimate, roc};
use super::kdf::{Protocol, SessionKeys, aes_ctr};
use super::packet::{RTCP_CLEAR_LEN, SRTCP_E, rtcp_ssrc, rtp_header};
use super::{SrtpError, Suite};
use openssl::cipher::Cipher as EvpCipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::sha::Sha1;

/// Streams that we may send in one session. Ours to choose, so the limit only stops a leak.
const MAX_SENT_STREAMS: usize = 65_536;

/// Streams that a peer may send in one session.
const MAX_RECEIVED_STREAMS: usize = 4096;

/// Bytes of a GCM tag.
const GCM_TAG_LEN: usize = 16;

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
                verify(&ctr.mac([clear, body, &roc(index).to_be_bytes()]), tag)?;
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
                verify(&ctr.mac([head, body, &word]), tag)?;
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

/// Compares a tag, which may be the beginning of the MAC only, in constant time.
fn verify(mac: &[u8; 20], tag: &[u8]) -> Result<(), SrtpError> {
    match mac.get(..tag.len()) {
        Some(expected) if openssl::memcmp::eq(expected, tag) => Ok(()),
        _ => Err(SrtpError::AuthenticationFailed),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Seal,
    Open,
}

/// The keyed transform of one protocol and direction.
enum Cipher {
    Gcm(Gcm),
    Ctr(CtrHmac),
}

impl Cipher {
    fn new(suite: Suite, key: &[u8], protocol: Protocol, direction: Direction) -> Result<Cipher, SrtpError> {
        let keys = SessionKeys::derive(suite, key, protocol)?;
        Ok(if suite.is_gcm() { Cipher::Gcm(Gcm::new(&keys, direction)?) } else { Cipher::Ctr(CtrHmac::new(&keys)?) })
    }
}

/// AES-GCM as RFC 7714 uses it.
struct Gcm {
    ctx: CipherCtx,
    salt: [u8; 12],
}

impl Gcm {
    fn new(keys: &SessionKeys, direction: Direction) -> Result<Gcm, SrtpError> {
        let cipher = if keys.cipher.len() == 32 { EvpCipher::aes_256_gcm() } else { EvpCipher::aes_128_gcm() };
        let mut ctx = CipherCtx::new()?;
        match direction {
            Direction::Seal => ctx.encrypt_init(Some(cipher), Some(&keys.cipher), None)?,
            Direction::Open => ctx.decrypt_init(Some(cipher), Some(&keys.cipher), None)?,
        }
        Ok(Gcm { ctx, salt: keys.salt.as_slice().try_into().map_err(|_| SrtpError::Crypto)? })
    }

    /// The nonce of RFC 7714 §8.1 and §9.1: two zero bytes, SSRC, 48 bits of index; xor the salt. (An SRTCP index has
    /// 31 bits, which gives just the layout of §9.1.)
    fn nonce(&self, ssrc: u32, index: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        nonce
    }

    fn authenticate(&mut self, aad: [&[u8]; 2]) -> Result<(), SrtpError> {
        for part in aad {
            if !part.is_empty() {
                self.ctx.cipher_update(part, None)?;
            }
        }
        Ok(())
    }

    fn seal(
        &mut self,
        ssrc: u32,
        index: u64,
        aad: [&[u8]; 2],
        input: &[u8],
        output: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), SrtpError> {
        let nonce = self.nonce(ssrc, index);
        self.ctx.encrypt_init(None, None, Some(&nonce))?;
        self.authenticate(aad)?;
        if !input.is_empty() {
            self.ctx.cipher_update(input, Some(output))?;
        }
        self.ctx.cipher_final(&mut [])?;
        self.ctx.tag(tag)?;
        Ok(())
    }

    fn seal_in_place(
        &mut self,
        ssrc: u32,
        index: u64,
        aad: [&[u8]; 2],
        data: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), SrtpError> {
        let nonce = self.nonce(ssrc, index);
        self.ctx.encrypt_init(None, None, Some(&nonce))?;
        self.authenticate(aad)?;
        if !data.is_empty() {
            self.ctx.cipher_update_inplace(data, data.len())?;
        }
        self.ctx.cipher_final(&mut [])?;
        self.ctx.tag(tag)?;
        Ok(())
    }

    fn open(&mut self, ssrc: u32, index: u64, aad: [&[u8]; 2], data: &mut [u8], tag: &[u8]) -> Result<(), SrtpError> {
        debug_assert_eq!(tag.len(), GCM_TAG_LEN);
        let nonce = self.nonce(ssrc, index);
        self.ctx.decrypt_init(None, None, Some(&nonce))?;
        self.authenticate(aad)?;
        if !data.is_empty() {
            self.ctx.cipher_update_inplace(data, data.len())?;
        }
        self.ctx.set_tag(tag)?;
        self.ctx.cipher_final(&mut []).map_err(|_| SrtpError::AuthenticationFailed)?;
        Ok(())
    }
}

/// AES in counter mode with HMAC-SHA1, RFC 3711's own transforms.
struct CtrHmac {
    ctx: CipherCtx,
    salt: [u8; 14],
    inner: Sha1,
    outer: Sha1,
}

impl CtrHmac {
    fn new(keys: &SessionKeys) -> Result<CtrHmac, SrtpError> {
        let mut ctx = CipherCtx::new()?;
        ctx.encrypt_init(Some(aes_ctr(keys.cipher.len())), Some(&keys.cipher), None)?;
        let padded = |pad: u8| {
            let mut block = [pad; 64];
            for (byte, key) in block.iter_mut().zip(keys.auth) {
                *byte ^= key;
            }
            let mut state = Sha1::new();
            state.update(&block);
            state
        };
        Ok(CtrHmac {
            ctx,
            salt: keys.salt.as_slice().try_into().map_err(|_| SrtpError::Crypto)?,
            inner: padded(0x36),
            outer: padded(0x5c),
        })
    }

    /// Sets the IV of RFC 3711 §4.1.1: salt * 2^16 xor SSRC * 2^64 xor index * 2^16. Counter mode is its own inverse, so
    /// the context always encrypts.
    fn set_iv(&mut self, ssrc: u32, index: u64) -> Result<(), SrtpError> {
        let mut iv = [0; 16];
        iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
        iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        self.ctx.encrypt_init(None, None, Some(&iv))?;
        Ok(())
    }

    fn encrypt(&mut self, ssrc: u32, index: u64, input: &[u8], output: &mut [u8]) -> Result<(), SrtpError> {
        self.set_iv(ssrc, index)?;
        if !input.is_empty() {
            self.ctx.cipher_update(input, Some(output))?;
        }
        Ok(())
    }

    fn crypt_in_place(&mut self, ssrc: u32, index: u64, data: &mut [u8]) -> Result<(), SrtpError> {
        self.set_iv(ssrc, index)?;
        if !data.is_empty() {
            self.ctx.cipher_update_inplace(data, data.len())?;
        }
        Ok(())
    }

    /// HMAC-SHA1 of the parts.
    fn mac(&self, parts: [&[u8]; 3]) -> [u8; 20] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(&inner.finish());
        outer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    /// RFC 3711 appendix B.2: the key stream of AES-CM.
    #[test]
    fn rfc_3711_counter_mode() {
        let keys = SessionKeys {
            cipher: unhex("2b7e151628aed2a6abf7158809cf4f3c"),
            auth: [0; 20],
            salt: unhex("f0f1f2f3f4f5f6f7f8f9fafbfcfd"),
        };
        let mut stream = vec![0; 0xff02 * 16];
        CtrHmac::new(&keys).unwrap().crypt_in_place(0, 0, &mut stream).unwrap();
        let expected =
            unhex("e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab 41e95b3bb0a2e8dd477901e4fca894c0");
        assert_eq!(stream[..48], expected);
        let expected =
            unhex("ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae 6a2cc3787889374fbeb4c81b17ba6c44");
        assert_eq!(stream[0xfeff * 16..], expected);
    }

    /// All 48 bits of the index and 32 of the SSRC are in the IV, at their places.
    #[test]
    fn ivs_have_every_bit() {
        let (ssrc, index) = (0xa1a2_a3a4, 0xb1b2_b3b4_b5b6);
        let gcm = SessionKeys { cipher: vec![1; 16], auth: [0; 20], salt: vec![0; 12] };
        let nonce = Gcm::new(&gcm, Direction::Seal).unwrap().nonce(ssrc, index);
        assert_eq!(hex::encode(nonce), "0000a1a2a3a4b1b2b3b4b5b6");

        let ctr = SessionKeys { cipher: vec![1; 16], auth: [0; 20], salt: vec![0; 14] };
        let mut stream = [0; 40];
        CtrHmac::new(&ctr).unwrap().crypt_in_place(ssrc, index, &mut stream).unwrap();
        let iv = unhex("00000000 a1a2a3a4 b1b2b3b4b5b6 0000");
        let cipher = openssl::symm::Cipher::aes_128_ctr();
        let expected = openssl::symm::encrypt(cipher, &[1; 16], Some(&iv), &[0; 40]).unwrap();
        assert_eq!(stream[..], expected);
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

    /// RFC 7714 §17.1, §17.2 (128 bits) and §17.3, §17.4's key (256 bits).
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

    /// Streams that a peer makes up are bounded, and forged packets make none at all.
    #[test]
    fn received_streams_are_bounded() {
        let suite = Suite::AeadAes128Gcm;
        let key = vec![1; suite.key_and_salt_len()];
        let mut sender = Sender::new(suite, &key).unwrap();
        let mut receiver = Receiver::new(suite, &key).unwrap();
        let mut slot = [0; 64];
        for ssrc in 0..MAX_RECEIVED_STREAMS as u32 + 1 {
            slot[..12].copy_from_slice(&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
            slot[8..12].copy_from_slice(&ssrc.to_be_bytes());
            let len = sender.protect_rtp(&mut slot, 12, b"payload").unwrap();
            let mut forged = slot;
            forged[len - 1] ^= 1;
            let full = ssrc == MAX_RECEIVED_STREAMS as u32;
            let refused = if full { SrtpError::TooManyStreams } else { SrtpError::AuthenticationFailed };
            assert_eq!(receiver.unprotect_rtp(&mut forged[..len]), Err(refused));
            assert!(receiver.rtp_windows.get(ssrc).is_none());
            let result = receiver.unprotect_rtp(&mut slot[..len]);
            assert_eq!(result, if full { Err(SrtpError::TooManyStreams) } else { Ok(19) });
        }
    }
}
