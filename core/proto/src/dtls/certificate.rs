//! Our identity: a certificate, its key, and the settings that every association with it shares.

use super::error::words;
use super::{DtlsError, Fingerprint, FingerprintAlgorithm, ffi};
use crate::srtp::Suite;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::ssl::{
    SslContext, SslContextRef, SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use std::fmt;

/// TLS 1.2 suites with forward secrecy, for ECDSA and RSA certificates: AEADs first, then those with CBC and SHA-1 that
/// RFC 8827 §6.5 has older peers fall back to.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
     ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
     ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
     ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA";

/// Groups for the key exchange, and for a server's ECDSA certificate. P-224 is there for the latter: FFmpeg with GnuTLS
/// makes such certificates.
const GROUPS: &str = "X25519:P-256:P-384:P-224";

/// The peer must have a certificate.
const VERIFY: SslVerifyMode = SslVerifyMode::PEER.union(SslVerifyMode::FAIL_IF_NO_PEER_CERT);

/// A certificate with its private key. Clones share both, and the library's context.
#[derive(Clone)]
pub struct Certificate {
    context: SslContext,
    certificate: X509,
    key: PKey<Private>,
}

impl Certificate {
    /// Makes a self-signed certificate with a new ECDSA key on P-256.
    ///
    /// Its peers know it by fingerprint, so names and dates mean nothing: it is valid from 1970 to the end of 9999,
    /// which RFC 5280 §4.1.2.5 lets mean "no end".
    ///
    /// # Errors
    /// [`DtlsError::Library`].
    pub fn generate() -> Result<Certificate, DtlsError> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let certificate = self_signed(&key)?;
        Certificate::new(certificate, key)
    }

    /// Reads a certificate and its private key (ECDSA or RSA, not encrypted) from PEM.
    ///
    /// # Errors
    /// [`DtlsError::Certificate`] when one can't be read, the key is of another kind, or they don't belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Certificate, DtlsError> {
        let certificate = X509::from_pem(certificate.as_bytes()).map_err(unreadable("certificate"))?;
        // Without a callback the library would ask for the passphrase of an encrypted key on the terminal.
        let key = PKey::private_key_from_pem_callback(key.as_bytes(), |_| Ok(0)).map_err(unreadable("private key"))?;
        Certificate::new(certificate, key)
    }

    fn new(certificate: X509, key: PKey<Private>) -> Result<Certificate, DtlsError> {
        let public = certificate.public_key().map_err(unreadable("certificate"))?;
        if !public.public_eq(&key) {
            return Err(DtlsError::Certificate("the key is not the certificate's".to_owned()));
        }
        // Of the keys that the library takes, those that CIPHERS has suites for.
        if !matches!(key.id(), Id::EC | Id::RSA) {
            return Err(DtlsError::Certificate("the key is neither ECDSA nor RSA".to_owned()));
        }
        let context = context(&certificate, &key)?;
        Ok(Certificate { context, certificate, key })
    }

    /// The certificate's fingerprints by all algorithms.
    ///
    /// # Errors
    /// [`DtlsError::Library`].
    pub fn fingerprints(&self) -> Result<Vec<Fingerprint>, DtlsError> {
        FingerprintAlgorithm::ALL.into_iter().map(|algorithm| self.fingerprint(algorithm)).collect()
    }

    /// The certificate's fingerprint by one algorithm.
    ///
    /// # Errors
    /// [`DtlsError::Library`].
    pub fn fingerprint(&self, algorithm: FingerprintAlgorithm) -> Result<Fingerprint, DtlsError> {
        Fingerprint::of(&self.certificate, algorithm)
    }

    /// The certificate in PEM.
    ///
    /// # Errors
    /// [`DtlsError::Library`].
    pub fn to_pem(&self) -> Result<String, DtlsError> {
        Ok(String::from_utf8_lossy(&self.certificate.to_pem()?).into_owned())
    }

    /// The private key in PEM (PKCS #8, not encrypted): a secret.
    ///
    /// # Errors
    /// [`DtlsError::Library`].
    pub fn private_key_to_pem(&self) -> Result<String, DtlsError> {
        Ok(String::from_utf8_lossy(&self.key.private_key_to_pem_pkcs8()?).into_owned())
    }

    pub(super) fn context(&self) -> &SslContextRef {
        &self.context
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Certificate");
        if let Ok(fingerprint) = self.fingerprint(FingerprintAlgorithm::Sha256) {
            debug.field("fingerprint", &fingerprint.to_string());
        }
        debug.finish_non_exhaustive()
    }
}

fn unreadable(what: &'static str) -> impl Fn(ErrorStack) -> DtlsError {
    move |error| DtlsError::Certificate(format!("unreadable {what}: {}", words(&error)))
}

/// Makes the handshake end, with the alert bad_certificate (RFC 8122 §6.2), when the peer's certificate has another
/// fingerprint.
pub(super) fn expect(ssl: &mut SslRef, remote: Fingerprint) {
    ssl.set_verify_callback(VERIFY, move |_, verification| {
        let certificate = verification.chain().and_then(|chain| chain.get(0));
        let right = certificate
            .and_then(|certificate| Fingerprint::of(certificate, remote.algorithm()).ok())
            .is_some_and(|fingerprint| fingerprint == remote);
        if !right {
            verification.set_error(ffi::certificate_rejected());
        }
        right
    });
}

fn self_signed(key: &PKey<Private>) -> Result<X509, DtlsError> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "sfu")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::MAYBE_ZERO, false)?;

    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_serial_number(serial.to_asn1_integer()?.as_ref())?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(Asn1Time::from_unix(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::from_str("99991231235959Z")?.as_ref())?;
    builder.set_pubkey(key)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn context(certificate: &X509, key: &PKey<Private>) -> Result<SslContext, DtlsError> {
    let mut builder = SslContext::builder(SslMethod::dtls())?;
    builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_cipher_list(CIPHERS)?;
    builder.set_groups_list(GROUPS)?;
    // As a server AWS-LC takes the first of these that the client offers too, whatever the client's order.
    builder.set_tlsext_use_srtp(&Suite::ALL.map(Suite::profile_name).join(":"))?;
    // No authority vouches for the peer. Its certificate is compared with the fingerprint, here (see `expect`) or, when
    // that comes later, after the handshake.
    builder.set_verify_callback(VERIFY, |_, _| true);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_certificate(certificate)?;
    builder.set_private_key(key)?;
    ffi::set_clock(&mut builder);
    Ok(builder.build())
}
