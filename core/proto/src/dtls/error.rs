//! What can go wrong, and the library's words for it.

use super::{MIN_MTU, State};
use openssl::error::ErrorStack;
use thiserror::Error;

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DtlsError {
    /// The certificate or key is not what it should be.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The fingerprint's algorithm is unknown, or its value is not its algorithm's number of hexadecimal bytes.
    #[error("fingerprint: {0}")]
    Fingerprint(String),
    /// Handshake datagrams can't be kept to so few bytes.
    #[error("an MTU of {0} bytes is below {MIN_MTU}")]
    Mtu(u16),
    /// The datagram's first byte is not a DTLS record's (RFC 7983).
    #[error("not a DTLS record")]
    NotDtls,
    /// More datagrams than we keep came before the start.
    #[error("too many datagrams before the start")]
    TooEarly,
    /// The association has failed or is closed.
    #[error("the association is {}", .0.name())]
    Ended(State),
    /// Data can be sent only on a connected association.
    #[error("not connected")]
    NotConnected,
    /// Application data of no bytes or of more than 16,384, which fit in no record.
    #[error("{0} bytes of application data don't fit in a record")]
    DataLength(usize),
    /// The peer's certificate is another than the one that signalling announced.
    #[error("the peer's certificate has another fingerprint")]
    FingerprintMismatch,
    /// The peer offers none of our SRTP protection profiles.
    #[error("no common SRTP protection profile")]
    NoSrtpProfile,
    /// The peer was silent for too long.
    #[error("the handshake timed out")]
    TimedOut,
    /// The peer refused, or sent what the protocol forbids; with the library's words.
    #[error("{0}")]
    Protocol(String),
    /// The library failed.
    #[error("library: {0}")]
    Library(String),
}

impl From<ErrorStack> for DtlsError {
    fn from(stack: ErrorStack) -> DtlsError {
        DtlsError::Library(words(&stack))
    }
}

/// The library's words, without the places in its source, which are paths of the machine that it was built on.
pub(super) fn words(stack: &ErrorStack) -> String {
    let reasons: Vec<_> = stack.errors().iter().filter_map(|error| error.reason()).collect();
    if reasons.is_empty() { "no reason given".to_owned() } else { reasons.join(", ") }
}

/// The same for an error of a stream.
pub(super) fn stream_words(error: &openssl::ssl::Error) -> String {
    error.ssl_error().map_or_else(|| error.to_string(), words)
}
