//! What associations have in common, of DTLS and of SCTP.

/// Where an association stands, as in mediasoup's `dtlsState` and `sctpState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started.
    New,
    /// In the handshake; with DTLS also until the remote fingerprint is known.
    Connecting,
    /// With DTLS, the peer is verified and SRTP keys exist; with SCTP, messages flow.
    Connected,
    /// The handshake failed, or, with DTLS, the association broke.
    Failed,
    /// Ended by either side, or, with SCTP, broken.
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
