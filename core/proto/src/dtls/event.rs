//! What an association tells: its state, its events, and the keys that it makes.

use super::DtlsError;
use crate::srtp::Suite;
use std::fmt;

/// Where an association stands, as in mediasoup's `dtlsState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started.
    New,
    /// The handshake runs, or it is complete and the remote fingerprint is not known yet.
    Connecting,
    /// The peer is verified and SRTP keys exist.
    Connected,
    /// The handshake failed, or the association broke.
    Failed,
    /// One side has closed it.
    Closed,
}

impl State {
    /// `new`, `connecting`, `connected`, `failed` or `closed`.
    pub fn name(self) -> &'static str {
        match self {
            State::New => "new",
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Failed => "failed",
            State::Closed => "closed",
        }
    }
}

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
