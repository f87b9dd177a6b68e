//! Session keys from the master key (RFC 3711 §4.3, with AES-256 as in RFC 6188 §2, salts as in RFC 7714 §11).

use super::{SrtpError, Suite};
use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;

/// Bytes of the HMAC-SHA1 session key (RFC 3711 §5.2).
const AUTH_KEY_LEN: usize = 20;

/// Which of the two protocols keys are for: SRTP and SRTCP never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

/// The session keys of one protocol and direction.
pub(super) struct SessionKeys {
    pub cipher: Vec<u8>,
    pub auth: [u8; AUTH_KEY_LEN],
    /// 12 bytes with GCM, 14 with counter mode.
    pub salt: Vec<u8>,
}

impl SessionKeys {
    /// Derives them from the master key and salt, which have the suite's length.
    pub fn derive(suite: Suite, key_and_salt: &[u8], protocol: Protocol) -> Result<SessionKeys, SrtpError> {
        let (key, salt) = key_and_salt.split_at(suite.key_len());
        let label = match protocol {
            Protocol::Rtp => 0,
            Protocol::Rtcp => 3,
        };
        let mut keys =
            SessionKeys { cipher: vec![0; suite.key_len()], auth: [0; AUTH_KEY_LEN], salt: vec![0; suite.salt_len()] };
        prf(key, salt, label, &mut keys.cipher)?;
        prf(key, salt, label + 1, &mut keys.auth)?;
        prf(key, salt, label + 2, &mut keys.salt)?;
        Ok(keys)
    }
}

/// AES in counter mode for a key of 16 or 32 bytes.
pub(super) fn aes_ctr(key_len: usize) -> &'static CipherRef {
    if key_len == 32 { Cipher::aes_256_ctr() } else { Cipher::aes_128_ctr() }
}

/// The AES-CM pseudo-random function: the key stream that begins at the block number (label xor salt) * 2^16. A 12-byte
/// salt counts as the high bits of a 14-byte one.
fn prf(key: &[u8], salt: &[u8], label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
    let mut iv = [0; 16];
    iv[..salt.len()].copy_from_slice(salt);
    iv[7] ^= label;
    out.fill(0);
    let mut ctx = CipherCtx::new()?;
    ctx.encrypt_init(Some(aes_ctr(key.len())), Some(key), Some(&iv))?;
    ctx.cipher_update_inplace(out, out.len())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(key: &str, salt: &str, label: u8, len: usize) -> String {
        let mut out = vec![0; len];
        prf(&hex::decode(key).unwrap(), &hex::decode(salt).unwrap(), label, &mut out).unwrap();
        hex::encode(out)
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn rfc_3711_key_derivation() {
        let key = "e1f97a0d3e018be0d64fa32c06de4139";
        let salt = "0ec675ad498afeebb6960b3aabe6";
        assert_eq!(derive(key, salt, 0, 16), "c61e7a93744f39ee10734afe3ff7a087");
        assert_eq!(derive(key, salt, 2, 14), "30cbbc08863d8c85d49db34a9ae1");
        assert_eq!(
            derive(key, salt, 1, 94),
            "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef7227098\
             6371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2"
        );
    }

    /// RFC 6188 §7.2 and §7.4: AES-256.
    #[test]
    fn rfc_6188_key_derivation() {
        let key = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6";
        let salt = "3b04803de51ee7c96423ab5b78d2";
        assert_eq!(derive(key, salt, 0, 32), "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4");
        assert_eq!(derive(key, salt, 2, 14), "fa31791685ca444a9e07c6c64e93");
        assert_eq!(derive(key, salt, 1, 20), "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05");
    }
}
