//! SRTP and SRTCP (RFC 3711, RFC 7714).
//!
//! [`Sender`] and [`Receiver`] each serve one direction of one DTLS-SRTP session (RFC 5764): every stream (SSRC) of
//! that direction shares their master key. They hold what RFC 3711 §3.2 calls the cryptographic context: session keys
//! derived once, and per SSRC the roll-over counter, the SRTCP index and the replay windows.
//!
//! Two backends do the same work. [`Backend::Evp`] is the project's own, on AWS-LC's EVP ciphers: one cipher context
//! per direction, keyed once, so that a packet costs an IV and one pass from the shared payload into the output slot.
//! `Backend::Libsrtp` (cargo feature `libsrtp`) is the system's libsrtp2: an oracle for tests and a contender in
//! benchmarks. Where it can't but differ is said in `libsrtp.rs`.
//!
//! Assumed, as in every DTLS-SRTP session: no MKI, key derivation rate 0, SRTCP always encrypted (a packet without the
//! E flag is refused), no encrypted header extensions (RFC 9335), and RTP version 2.

mod cipher;
mod evp;
mod index;
mod kdf;
#[cfg(feature = "libsrtp")]
mod libsrtp;
mod packet;
#[cfg(test)]
mod tests;

use std::fmt;
use thiserror::Error;

/// The most bytes that [`Sender::protect_rtp`] adds to header and payload.
pub const MAX_RTP_OVERHEAD: usize = 16;

/// The most bytes that [`Sender::protect_rtcp`] adds to a compound packet: a tag and the SRTCP index.
pub const MAX_RTCP_OVERHEAD: usize = 20;

/// The most streams (SSRCs) that one [`Sender`] serves, SRTP and SRTCP each. Ours to choose, so the limit only stops a
/// leak.
pub const MAX_SENT_STREAMS: usize = 65_536;

/// The most streams (SSRCs) that one [`Receiver`] serves, SRTP and SRTCP each: those that a peer makes up in a session.
pub const MAX_RECEIVED_STREAMS: usize = 4096;

/// A protection profile of DTLS-SRTP (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-256 in Galois/Counter Mode, 16-byte tags.
    AeadAes256Gcm,
    /// AES-128 in Galois/Counter Mode, 16-byte tags.
    AeadAes128Gcm,
    /// AES-128 in counter mode, HMAC-SHA1 tags of 10 bytes.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, HMAC-SHA1 tags of 4 bytes for SRTP and of 10 bytes for SRTCP.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// All suites, the preferred first: SHA-1 is four fifths of the cost of a packet of the older profiles.
    pub const ALL: [Suite; 4] =
        [Suite::AeadAes256Gcm, Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32];

    /// The name that mediasoup's API uses, for example `AEAD_AES_256_GCM`.
    pub fn name(self) -> &'static str {
        match self {
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// The suite with this [`name`](Suite::name).
    pub fn from_name(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// The name that OpenSSL's `use_srtp` settings take, for example `SRTP_AEAD_AES_256_GCM`.
    pub fn profile_name(self) -> &'static str {
        match self {
            Suite::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Suite::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Suite::AesCm128HmacSha1_80 => "SRTP_AES128_CM_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "SRTP_AES128_CM_SHA1_32",
        }
    }

    /// The suite with this [`profile_name`](Suite::profile_name).
    pub fn from_profile_name(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.profile_name() == name)
    }

    /// Bytes of the master key.
    pub fn key_len(self) -> usize {
        match self {
            Suite::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    /// Bytes of the master salt.
    pub fn salt_len(self) -> usize {
        if self.is_gcm() { 12 } else { 14 }
    }

    /// Bytes of master key and master salt together: what [`Sender::new`] and [`Receiver::new`] take.
    pub fn key_and_salt_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Bytes of the tag that SRTP appends.
    pub fn rtp_tag_len(self) -> usize {
        match self {
            Suite::AeadAes256Gcm | Suite::AeadAes128Gcm => 16,
            Suite::AesCm128HmacSha1_80 => 10,
            Suite::AesCm128HmacSha1_32 => 4,
        }
    }

    /// Bytes of the tag that SRTCP appends, beside its 4 bytes of index. RFC 5764 §4.1.2 keeps 80 bits here even where
    /// SRTP has 32.
    pub fn rtcp_tag_len(self) -> usize {
        if self.is_gcm() { 16 } else { 10 }
    }

    fn is_gcm(self) -> bool {
        matches!(self, Suite::AeadAes256Gcm | Suite::AeadAes128Gcm)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose code does the cryptography.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Backend {
    /// The project's own SRTP on AWS-LC's ciphers.
    #[default]
    Evp,
    /// The system's libsrtp2.
    #[cfg(feature = "libsrtp")]
    Libsrtp,
}

/// Why a packet or a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// The packet ends before its header, index or tag does.
    #[error("packet of {0} bytes is too short")]
    TooShort(usize),
    /// The packet is not RTP or RTCP version 2.
    #[error("not an RTP or RTCP packet of version 2")]
    NotRtp,
    /// The tag does not match: forged, damaged, or of another key.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// A packet with this index was accepted before.
    #[error("replayed packet")]
    Replayed,
    /// The packet's index lies behind the replay window (1,024 packets; of SRTCP with libsrtp 128), or before index 0 of
    /// its stream.
    #[error("packet older than the replay window")]
    TooOld,
    /// An SRTCP packet without the E flag.
    #[error("SRTCP packet is not encrypted")]
    NotEncrypted,
    /// The output has fewer bytes than the protected packet needs.
    #[error("buffer of {got} bytes is too small, {needed} are needed")]
    BufferTooSmall {
        /// Bytes that the packet needs.
        needed: usize,
        /// Bytes that there are.
        got: usize,
    },
    /// The master key and salt don't have the suite's length.
    #[error("master key and salt of {got} bytes, {expected} expected")]
    KeyLength {
        /// Bytes that the suite wants.
        expected: usize,
        /// Bytes that were given.
        got: usize,
    },
    /// The session has as many streams as it may have: [`MAX_SENT_STREAMS`] or [`MAX_RECEIVED_STREAMS`].
    #[error("too many streams (SSRCs) in one session")]
    TooManyStreams,
    /// All packet indices of this stream are used up (2^48 SRTP or 2^31 SRTCP packets, RFC 3711 §9.2).
    #[error("key lifetime is exhausted")]
    KeyExhausted,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

impl From<openssl::error::ErrorStack> for SrtpError {
    fn from(_: openssl::error::ErrorStack) -> SrtpError {
        SrtpError::Crypto
    }
}

/// Protects the packets that we send.
///
/// Streams are never forgotten, since one that began anew under the same key would repeat its nonces: a session that has
/// sent [`MAX_SENT_STREAMS`] of them refuses further ones.
pub struct Sender(SenderBackend);

enum SenderBackend {
    Evp(Box<evp::Sender>),
    #[cfg(feature = "libsrtp")]
    Libsrtp(Box<libsrtp::Session>),
}

impl Sender {
    /// A sender for one session.
    ///
    /// `key` is the master key followed by the master salt, [`Suite::key_and_salt_len`] bytes.
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`], and [`SrtpError::Crypto`] when the library can't set the cipher up.
    pub fn new(backend: Backend, suite: Suite, key: &[u8]) -> Result<Sender, SrtpError> {
        check_key(suite, key)?;
        Ok(Sender(match backend {
            Backend::Evp => SenderBackend::Evp(Box::new(evp::Sender::new(suite, key)?)),
            #[cfg(feature = "libsrtp")]
            Backend::Libsrtp => SenderBackend::Libsrtp(Box::new(libsrtp::Session::outbound(suite, key)?)),
        }))
    }

    /// Makes an SRTP packet in `slot` and returns its length.
    ///
    /// The RTP header (fixed part, CSRCs and header extensions: `header_len` bytes) stands in `slot` already. The
    /// payload is encrypted from `payload` straight behind it, and the tag is appended; `slot` needs room for header,
    /// payload and [`Suite::rtp_tag_len`] more. (libsrtp works in place only, so its backend copies first.)
    ///
    /// Sequence numbers may go back by up to 1,024, for packets that are sent late or again. A sequence number that is
    /// sent again must carry the identical packet: two different packets under one index would share a nonce, and
    /// with GCM even a changed header extension then reveals the authentication key (RFC 7714 §8.4).
    ///
    /// # Errors
    /// [`SrtpError::BufferTooSmall`], [`SrtpError::TooShort`] for a `header_len` that is no RTP header's,
    /// [`SrtpError::TooOld`], [`SrtpError::TooManyStreams`], [`SrtpError::KeyExhausted`].
    pub fn protect_rtp(&mut self, slot: &mut [u8], header_len: usize, payload: &[u8]) -> Result<usize, SrtpError> {
        match &mut self.0 {
            SenderBackend::Evp(sender) => sender.protect_rtp(slot, header_len, payload),
            #[cfg(feature = "libsrtp")]
            SenderBackend::Libsrtp(session) => session.protect_rtp(slot, header_len, payload),
        }
    }

    /// Turns the compound RTCP packet into an SRTCP packet, which is up to [`MAX_RTCP_OVERHEAD`] bytes longer. A vector
    /// with that much spare capacity is not reallocated.
    ///
    /// # Errors
    /// [`SrtpError::TooShort`] below 8 bytes, [`SrtpError::TooManyStreams`], [`SrtpError::KeyExhausted`].
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        match &mut self.0 {
            SenderBackend::Evp(sender) => sender.protect_rtcp(packet),
            #[cfg(feature = "libsrtp")]
            SenderBackend::Libsrtp(session) => session.protect_rtcp(packet),
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// Verifies and decrypts the packets that the peer sends.
///
/// State for an SSRC is made only by a packet that authenticates, so that forged packets leave nothing behind. It is
/// never forgotten, since all packets of its stream could be replayed then: a session that has received
/// [`MAX_RECEIVED_STREAMS`] refuses further ones.
pub struct Receiver(ReceiverBackend);

enum ReceiverBackend {
    Evp(Box<evp::Receiver>),
    #[cfg(feature = "libsrtp")]
    Libsrtp(Box<libsrtp::Session>),
}

impl Receiver {
    /// A receiver for one session; `key` is as for [`Sender::new`].
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`], and [`SrtpError::Crypto`] when the library can't set the cipher up.
    pub fn new(backend: Backend, suite: Suite, key: &[u8]) -> Result<Receiver, SrtpError> {
        check_key(suite, key)?;
        Ok(Receiver(match backend {
            Backend::Evp => ReceiverBackend::Evp(Box::new(evp::Receiver::new(suite, key)?)),
            #[cfg(feature = "libsrtp")]
            Backend::Libsrtp => ReceiverBackend::Libsrtp(Box::new(libsrtp::Session::inbound(suite, key)?)),
        }))
    }

    /// Decrypts an SRTP packet in place and returns the length of the RTP packet, which `packet` then begins with.
    /// After an error the bytes of `packet` are unspecified.
    ///
    /// # Errors
    /// Any of [`SrtpError`]'s about packets.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        match &mut self.0 {
            ReceiverBackend::Evp(receiver) => receiver.unprotect_rtp(packet),
            #[cfg(feature = "libsrtp")]
            ReceiverBackend::Libsrtp(session) => session.unprotect_rtp(packet),
        }
    }

    /// Decrypts an SRTCP packet in place and returns the length of the compound RTCP packet, which `packet` then begins
    /// with. After an error the bytes of `packet` are unspecified.
    ///
    /// # Errors
    /// Any of [`SrtpError`]'s about packets.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        match &mut self.0 {
            ReceiverBackend::Evp(receiver) => receiver.unprotect_rtcp(packet),
            #[cfg(feature = "libsrtp")]
            ReceiverBackend::Libsrtp(session) => session.unprotect_rtcp(packet),
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

fn check_key(suite: Suite, key: &[u8]) -> Result<(), SrtpError> {
    if key.len() == suite.key_and_salt_len() {
        Ok(())
    } else {
        Err(SrtpError::KeyLength { expected: suite.key_and_salt_len(), got: key.len() })
    }
}
