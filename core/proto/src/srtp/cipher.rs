//! The transforms of SRTP and SRTCP on AWS-LC's EVP ciphers: AES-GCM, and AES in counter mode with HMAC-SHA1.
//!
//! A cipher context is keyed once and reused, so that a packet sets only the IV. For HMAC-SHA1 the two SHA-1 states
//! after the padded key (RFC 2104's inner and outer) are kept and copied per packet: hashing the key again would cost
//! two more compressions, and a new HMAC context several times the packet.

use super::kdf::{Protocol, SessionKeys, aes_ctr};
use super::{SrtpError, Suite};
use openssl::cipher::Cipher as EvpCipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::sha::Sha1;

/// Bytes of a GCM tag.
const GCM_TAG_LEN: usize = 16;

/// What a cipher is keyed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Packets that we send.
    Seal,
    /// Packets that we receive.
    Open,
}

/// The keyed transform of one protocol and direction.
pub(super) enum Cipher {
    Gcm(Gcm),
    Ctr(CtrHmac),
}

impl Cipher {
    pub fn new(suite: Suite, key: &[u8], protocol: Protocol, direction: Direction) -> Result<Cipher, SrtpError> {
        let keys = SessionKeys::derive(suite, key, protocol)?;
        Ok(if suite.is_gcm() { Cipher::Gcm(Gcm::new(&keys, direction)?) } else { Cipher::Ctr(CtrHmac::new(&keys)?) })
    }
}

/// AES-GCM as RFC 7714 uses it.
pub(super) struct Gcm {
    ctx: CipherCtx,
    salt: [u8; 12],
}

impl Gcm {
    pub fn new(keys: &SessionKeys, direction: Direction) -> Result<Gcm, SrtpError> {
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

    pub fn seal(
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

    pub fn seal_in_place(
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

    pub fn open(
        &mut self,
        ssrc: u32,
        index: u64,
        aad: [&[u8]; 2],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), SrtpError> {
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
pub(super) struct CtrHmac {
    ctx: CipherCtx,
    salt: [u8; 14],
    inner: Sha1,
    outer: Sha1,
}

impl CtrHmac {
    pub fn new(keys: &SessionKeys) -> Result<CtrHmac, SrtpError> {
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

    pub fn encrypt(&mut self, ssrc: u32, index: u64, input: &[u8], output: &mut [u8]) -> Result<(), SrtpError> {
        self.set_iv(ssrc, index)?;
        if !input.is_empty() {
            self.ctx.cipher_update(input, Some(output))?;
        }
        Ok(())
    }

    pub fn crypt_in_place(&mut self, ssrc: u32, index: u64, data: &mut [u8]) -> Result<(), SrtpError> {
        self.set_iv(ssrc, index)?;
        if !data.is_empty() {
            self.ctx.cipher_update_inplace(data, data.len())?;
        }
        Ok(())
    }

    /// HMAC-SHA1 of the parts.
    pub fn mac(&self, parts: [&[u8]; 3]) -> [u8; 20] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(&inner.finish());
        outer.finish()
    }

    /// Compares a tag, which may be the beginning of the parts' MAC only, in constant time.
    pub fn verify(&self, parts: [&[u8]; 3], tag: &[u8]) -> Result<(), SrtpError> {
        match self.mac(parts).get(..tag.len()) {
            Some(expected) if openssl::memcmp::eq(expected, tag) => Ok(()),
            _ => Err(SrtpError::AuthenticationFailed),
        }
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
}
