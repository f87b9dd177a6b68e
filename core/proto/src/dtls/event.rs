//! What an association tells: its state, its events, and the keys that it makes.

use super::DtlsError;
use crate::srtp::Suite;
use std::fmt;

/// The SRTP master keys that a handshake has agreed on. Each is master key followed by master salt, as
/// [`crate::srtp::Sender`] and [`crate::srtp::Receiver`] take them.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// The protection profile.
    pub suite: Suite,
    /// Protects what we send.
    pub local: Vec<u8>,
    /// Protects what the peer sends.
    pub remote: Vec<u8>,
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// What happened, from [`Dtls::poll_event`](super::Dtls::poll_event).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete and the peer's certificate has the expected fingerprint.
    Connected {
        /// The keys for SRTP.
        keys: SrtpKeys,
        /// The peer's certificate.
        remote_certificate_pem: String,
    },
    /// The peer has closed the association.
    Closed,
    /// The association is of no more use.
    Failed(DtlsError),
    /// Application data: one record.
    Data(Vec<u8>),
}
