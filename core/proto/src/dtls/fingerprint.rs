//! Certificate fingerprints as signalling carries them (RFC 8122 §5).

use super::DtlsError;
use openssl::hash::MessageDigest;
use openssl::x509::X509Ref;
use std::fmt;

/// A hash function for fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FingerprintAlgorithm {
    /// `sha-1`
    Sha1,
    /// `sha-224`
    Sha224,
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

impl FingerprintAlgorithm {
    /// All algorithms.
    pub const ALL: [FingerprintAlgorithm; 5] = [
        FingerprintAlgorithm::Sha1,
        FingerprintAlgorithm::Sha224,
        FingerprintAlgorithm::Sha256,
        FingerprintAlgorithm::Sha384,
        FingerprintAlgorithm::Sha512,
    ];

    /// The name in SDP and in mediasoup's API, for example `sha-256`.
    pub fn name(self) -> &'static str {
        match self {
            FingerprintAlgorithm::Sha1 => "sha-1",
            FingerprintAlgorithm::Sha224 => "sha-224",
            FingerprintAlgorithm::Sha256 => "sha-256",
            FingerprintAlgorithm::Sha384 => "sha-384",
            FingerprintAlgorithm::Sha512 => "sha-512",
        }
    }

    /// The algorithm of this [`name`](FingerprintAlgorithm::name), in letters of either case.
    pub fn from_name(name: &str) -> Option<FingerprintAlgorithm> {
        FingerprintAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    fn digest(self) -> MessageDigest {
        match self {
            FingerprintAlgorithm::Sha1 => MessageDigest::sha1(),
            FingerprintAlgorithm::Sha224 => MessageDigest::sha224(),
            FingerprintAlgorithm::Sha256 => MessageDigest::sha256(),
            FingerprintAlgorithm::Sha384 => MessageDigest::sha384(),
            FingerprintAlgorithm::Sha512 => MessageDigest::sha512(),
        }
    }
}

/// The hash of a certificate. Displays as in SDP: `sha-256 AB:CD:...`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    algorithm: FingerprintAlgorithm,
    hash: Vec<u8>,
}

impl Fingerprint {
    /// Parses a fingerprint: `sha-256` and `AB:CD:...`, with letters of either case.
    ///
    /// # Errors
    /// [`DtlsError::Fingerprint`].
    pub fn parse(algorithm: &str, value: &str) -> Result<Fingerprint, DtlsError> {
        let algorithm = FingerprintAlgorithm::from_name(algorithm)
            .ok_or_else(|| DtlsError::Fingerprint(format!("unknown algorithm {algorithm:?}")))?;
        let bad = |what: &str| DtlsError::Fingerprint(format!("{what} in a {} value", algorithm.name()));
        let hash = value
            .split(':')
            .map(|byte| match byte.as_bytes() {
                [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => u8::from_str_radix(byte, 16).ok(),
                _ => None,
            })
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| bad("a byte that is not two hexadecimal digits"))?;
        if hash.len() != algorithm.digest().size() {
            return Err(bad(&format!("{} bytes", hash.len())));
        }
        Ok(Fingerprint { algorithm, hash })
    }

    /// The hash function.
    pub fn algorithm(&self) -> FingerprintAlgorithm {
        self.algorithm
    }

    /// The hash as `AB:CD:...`.
    pub fn value(&self) -> String {
        let bytes: Vec<String> = self.hash.iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }

    /// The fingerprint of a certificate.
    pub(super) fn of(certificate: &X509Ref, algorithm: FingerprintAlgorithm) -> Result<Fingerprint, DtlsError> {
        Ok(Fingerprint { algorithm, hash: certificate.digest(algorithm.digest())?.to_vec() })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm.name(), self.value())
    }
}
