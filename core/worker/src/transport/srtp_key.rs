//! The keys of SRTP where the library carries them from one side to the other: on plain and pipe transports.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sfu_channel::response::Refusal;
use sfu_channel::{SrtpCryptoSuite, SrtpParameters};
use sfu_proto::srtp;

use super::Protection;
use crate::random::random_bytes;

/// The worker's side: the suite, and the master key and salt of what goes out.
pub(super) struct LocalKey {
    suite: SrtpCryptoSuite,
    key: Vec<u8>,
}

impl std::fmt::Debug for LocalKey {
    /// Keeps the key out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl LocalKey {
    /// A new key for that suite.
    ///
    /// # Errors
    /// An `Error` when there are no random bytes.
    pub fn generate(suite: SrtpCryptoSuite) -> Result<LocalKey, Refusal> {
        Ok(LocalKey { suite, key: random_bytes(suite.key_and_salt_len())? })
    }

    /// The suite and key, for the peer.
    pub fn parameters(&self) -> SrtpParameters {
        SrtpParameters { crypto_suite: self.suite, key_base64: BASE64.encode(&self.key) }
    }

    /// What protects a transport with this key of its own, if it has SRTP, whose peer has that one. The peer's suite wins:
    /// if it is another one, a new key for it comes with the protection.
    ///
    /// # Errors
    /// A `TypeError` when only one side has a key, or the peer's can't be used.
    pub fn agree(
        own: Option<&LocalKey>,
        remote: Option<&SrtpParameters>,
        backend: srtp::Backend,
    ) -> Result<Option<(Option<LocalKey>, Protection)>, Refusal> {
        match (own, remote) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Refusal::type_error("invalid srtpParameters (SRTP not enabled)")),
            (Some(_), None) => Err(Refusal::type_error("missing srtpParameters (SRTP enabled)")),
            (Some(own), Some(remote)) => protection(own, remote, backend).map(Some),
        }
    }
}

/// The SRTP sessions for our key and the peer's. The peer's suite wins; our key is made anew if that is another one.
fn protection(
    own: &LocalKey,
    remote: &SrtpParameters,
    backend: srtp::Backend,
) -> Result<(Option<LocalKey>, Protection), Refusal> {
    let remote_key = BASE64
        .decode(&remote.key_base64)
        .map_err(|_| Refusal::type_error("invalid srtpParameters.keyBase64 (not base64)"))?;
    if remote_key.len() != remote.crypto_suite.key_and_salt_len() {
        return Err(Refusal::type_error("invalid decoded SRTP key length"));
    }
    let regenerated =
        if remote.crypto_suite == own.suite { None } else { Some(LocalKey::generate(remote.crypto_suite)?) };
    let own = regenerated.as_ref().unwrap_or(own);
    let suite = suite(remote.crypto_suite);
    let sender = srtp::Sender::new(backend, suite, &own.key)
        .map_err(|error| Refusal::error(format!("error creating SRTP sending session: {error}")))?;
    let receiver = srtp::Receiver::new(backend, suite, &remote_key)
        .map_err(|error| Refusal::error(format!("error creating SRTP receiving session: {error}")))?;
    Ok((regenerated, Protection::Srtp { sender, receiver }))
}

fn suite(suite: SrtpCryptoSuite) -> srtp::Suite {
    match suite {
        SrtpCryptoSuite::AeadAes256Gcm => srtp::Suite::AeadAes256Gcm,
        SrtpCryptoSuite::AeadAes128Gcm => srtp::Suite::AeadAes128Gcm,
        SrtpCryptoSuite::AesCm128HmacSha1_80 => srtp::Suite::AesCm128HmacSha1_80,
        SrtpCryptoSuite::AesCm128HmacSha1_32 => srtp::Suite::AesCm128HmacSha1_32,
    }
}
