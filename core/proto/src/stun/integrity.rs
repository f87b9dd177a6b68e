//! The two checksums that close a message: HMAC-SHA1 for MESSAGE-INTEGRITY and CRC-32 for FINGERPRINT.

use openssl::sha::Sha1;

/// The length of an HMAC-SHA1, in bytes.
pub(super) const HMAC_SHA1_LEN: usize = 20;

/// SHA-1's block, in bytes.
const BLOCK_LEN: usize = 64;

/// What FINGERPRINT is masked with, so that a CRC-32 of the application's own is not mistaken for it (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554E;

/// HMAC-SHA1 (RFC 2104) of the concatenation of `parts`.
pub(super) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; HMAC_SHA1_LEN] {
    let mut block = [0; BLOCK_LEN];
    if key.len() <= BLOCK_LEN {
        block[..key.len()].copy_from_slice(key);
    } else {
        block[..HMAC_SHA1_LEN].copy_from_slice(&openssl::sha::sha1(key));
    }

    let mut inner = Sha1::new();
    inner.update(&block.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }

    let mut outer = Sha1::new();
    outer.update(&block.map(|byte| byte ^ 0x5C));
    outer.update(&inner.finish());
    outer.finish()
}

/// FINGERPRINT's value for the concatenation of `parts` (RFC 8489 §14.7).
pub(super) fn fingerprint(parts: &[&[u8]]) -> u32 {
    crc32(parts) ^ FINGERPRINT_MASK
}

/// CRC-32 as in ITU V.42: polynomial 0x04C11DB7, reflected, all ones before and after.
fn crc32(parts: &[&[u8]]) -> u32 {
    !parts.iter().flat_map(|part| part.iter()).fold(!0, |crc, &byte| {
        let index = (crc ^ u32::from(byte)) & 0xFF;
        crc >> 8 ^ CRC32_TABLE[index as usize]
    })
}

/// The remainder of each byte, computed at compile time.
const CRC32_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_of_the_usual_check_string() {
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xCBF4_3926);
    }

    /// RFC 2202 §3, test cases 1, 2 and 6 (a key longer than the block).
    #[test]
    fn hmac_sha1_of_rfc_2202() {
        let hmac = |key: &[u8], data: &[u8]| hex::encode(hmac_sha1(key, &[data]));
        assert_eq!(hmac(&[0x0b; 20], b"Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00");
        assert_eq!(hmac(b"Jefe", b"what do ya want for nothing?"), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            hmac(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "aa4ae5e15272d00e95705637ce8a3b55ed402112"
        );
    }
}
