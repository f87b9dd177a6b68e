//! DTLS 1.2 over memory (RFC 6347) for DTLS-SRTP (RFC 5764).
//!
//! [`Dtls`] is one association: datagrams of the peer go in by [`Dtls::handle_packet`], time by
//! [`Dtls::handle_timeout`]; then [`Dtls::poll_transmit`], [`Dtls::poll_event`] and [`Dtls::poll_timeout`] are asked until
//! they have nothing more. The handshake ends in [`Event::Connected`], which carries the SRTP master keys.
//!
//! The state machine of the protocol is AWS-LC's. Ours are the datagram queues around it, the clock (see `ffi`), and
//! what WebRTC asks for beyond TLS: the peer is known by its certificate's fingerprint alone (RFC 8122), whoever signed
//! it and however old it is.
//!
//! Assumed: the path was validated by ICE, so a server answers a ClientHello without a cookie exchange, and datagrams on
//! it are the peer's. Who can forge one during the handshake can end it: damaged records are dropped silently, but at a
//! well-formed one without encryption that is out of place (an alert, application data, a bad handshake fragment) the
//! library gives up, although RFC 6347 §4.1.2.7 would let it drop that too. Left out: DTLS 1.0 and 1.3, session
//! resumption, renegotiation.

mod certificate;
mod datagrams;
mod error;
mod event;
mod ffi;
mod fingerprint;
#[cfg(test)]
mod tests;

pub use certificate::Certificate;
pub use error::DtlsError;
pub use event::{Event, SrtpKeys};
pub use fingerprint::{Fingerprint, FingerprintAlgorithm};

pub use crate::state::State;

use crate::srtp::Suite;
use datagrams::Datagrams;
use error::{stream_words, words};
use openssl::ssl::{ErrorCode, Ssl, SslStream};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// The greatest datagram that a handshake sends, in bytes, unless [`Dtls::with_mtu`] says otherwise. It leaves room for
/// IP, UDP and TURN headers, and for tunnels, below 1,500.
pub const MTU: u16 = 1350;

/// The least that [`Dtls::with_mtu`] takes, in bytes: the library's limit.
pub const MIN_MTU: u16 = 228;

/// How long the first retransmission waits; each further one of a flight waits twice as long.
///
/// RFC 6347 §4.2.4.1 recommends one second and allows less where the round trip is known to be short. Here ICE has just
/// made a round trip on the path, the flights are one or two datagrams, and a lost one delays the first picture:
/// mediasoup waits as long, libwebrtc 50 ms.
pub const RETRANSMISSION_TIMEOUT: Duration = Duration::from_millis(100);

/// How long after its first flight a handshake gives up: eight retransmissions of one flight fit in.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// The label of the exporter that makes SRTP keys (RFC 5764 §4.2).
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Datagrams that may wait for [`Dtls::start`].
const MAX_EARLY_DATAGRAMS: usize = 16;

/// The greatest plaintext of a record (RFC 6347 §4.1).
const MAX_RECORD_LEN: usize = 16_384;

/// Alerts that refuse a peer whose handshake is complete (RFC 5246 §7.2.2).
const HANDSHAKE_FAILURE: u8 = 40;
const BAD_CERTIFICATE: u8 = 42;

/// Which side of the handshake we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends the ClientHello: `a=setup:active`.
    Client,
    /// Waits for it: `a=setup:passive`.
    Server,
}

/// One DTLS association.
pub struct Dtls {
    stream: SslStream<Datagrams>,
    role: Role,
    state: State,
    handshake_complete: bool,
    remote: Option<Fingerprint>,
    /// The instant of the first call, from which the library's clock counts.
    epoch: Option<Instant>,
    retransmit_at: Option<Instant>,
    give_up_at: Option<Instant>,
    events: VecDeque<Event>,
}

impl Dtls {
    /// An association that identifies itself by `certificate`. Its peer must have the fingerprint `remote`, which
    /// [`set_remote_fingerprint`](Dtls::set_remote_fingerprint) may give later.
    ///
    /// # Errors
    /// [`DtlsError::Library`].
    pub fn new(certificate: &Certificate, role: Role, remote: Option<Fingerprint>) -> Result<Dtls, DtlsError> {
        Dtls::with_mtu(certificate, role, remote, MTU)
    }

    /// As [`new`](Dtls::new), with handshake datagrams of at most `mtu` bytes, which is at least [`MIN_MTU`].
    ///
    /// # Errors
    /// [`DtlsError::Mtu`], [`DtlsError::Library`].
    pub fn with_mtu(
        certificate: &Certificate,
        role: Role,
        remote: Option<Fingerprint>,
        mtu: u16,
    ) -> Result<Dtls, DtlsError> {
        if mtu < MIN_MTU {
            return Err(DtlsError::Mtu(mtu));
        }
        let mut ssl = Ssl::new(certificate.context())?;
        match role {
            Role::Client => ssl.set_connect_state(),
            Role::Server => ssl.set_accept_state(),
        }
        ssl.set_mtu(u32::from(mtu))?;
        let mut stream = SslStream::new(ssl, Datagrams::default())?;
        ffi::set_retransmission_timeout(&mut stream, RETRANSMISSION_TIMEOUT);
        let mut dtls = Dtls {
            stream,
            role,
            state: State::New,
            handshake_complete: false,
            remote: None,
            epoch: None,
            retransmit_at: None,
            give_up_at: None,
            events: VecDeque::new(),
        };
        if let Some(remote) = remote {
            dtls.set_remote_fingerprint(remote);
        }
        Ok(dtls)
    }

    /// Starts the handshake: a client sends its ClientHello, a server looks at what has come already. To be called when
    /// the path is open, because a client's retransmissions begin now; further calls do nothing.
    pub fn start(&mut self, now: Instant) {
        if self.state == State::New {
            self.state = State::Connecting;
            self.drive(now);
        }
    }

    /// Takes a datagram from the peer. Before [`start`](Dtls::start) it is kept, up to a limit, and looked at then.
    ///
    /// What a datagram brings about, a failure too, is an [`Event`].
    ///
    /// # Errors
    /// When the datagram was not looked at: [`DtlsError::NotDtls`], [`DtlsError::TooEarly`], [`DtlsError::Ended`].
    pub fn handle_packet(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        if !matches!(datagram.first(), Some(20..=63)) {
            return Err(DtlsError::NotDtls);
        }
        match self.state {
            State::New => {
                if self.stream.get_ref().waiting() >= MAX_EARLY_DATAGRAMS {
                    return Err(DtlsError::TooEarly);
                }
                self.stream.get_mut().receive(datagram);
            }
            State::Connecting | State::Connected => {
                self.stream.get_mut().receive(datagram);
                self.drive(now);
            }
            State::Failed | State::Closed => return Err(DtlsError::Ended(self.state)),
        }
        Ok(())
    }

    /// Does what is due at `now`: sends a flight again, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state != State::Connecting {
            return;
        }
        if self.give_up_at.is_some_and(|at| at <= now) {
            return self.fail(DtlsError::TimedOut);
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            let result = self.with_clock(now, ffi::handle_timeout);
            if let Err(error) = result {
                return self.fail(DtlsError::Protocol(words(&error)));
            }
            self.schedule(now);
        }
    }

    /// When [`handle_timeout`](Dtls::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.retransmit_at, self.give_up_at) {
            (Some(retransmit), Some(give_up)) => Some(retransmit.min(give_up)),
            (retransmit, give_up) => retransmit.or(give_up),
        }
    }

    /// The next datagram for the peer.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends application data in one record.
    ///
    /// # Errors
    /// [`DtlsError::NotConnected`], [`DtlsError::DataLength`], [`DtlsError::Library`].
    pub fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        if self.state != State::Connected {
            return Err(DtlsError::NotConnected);
        }
        if data.is_empty() || data.len() > MAX_RECORD_LEN {
            return Err(DtlsError::DataLength(data.len()));
        }
        match self.stream.ssl_write(data) {
            Ok(_) => Ok(()),
            Err(error) => Err(DtlsError::Library(stream_words(&error))),
        }
    }

    /// Ends the association; a connected peer is told (close_notify).
    pub fn close(&mut self) {
        if matches!(self.state, State::Failed | State::Closed) {
            return;
        }
        self.notify_peer();
        self.end(State::Closed);
    }

    /// Says which certificate the peer must have. A handshake that is complete already is judged now; in any other one
    /// a peer with another certificate never gets to the end.
    pub fn set_remote_fingerprint(&mut self, remote: Fingerprint) {
        self.remote = Some(remote.clone());
        certificate::expect(ffi::ssl_mut(&mut self.stream), remote);
        if self.state == State::Connecting && self.handshake_complete {
            self.verify();
        }
    }

    /// Where the association stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Lets the library work off the datagrams that have come.
    fn drive(&mut self, now: Instant) {
        if !self.handshake_complete {
            match self.with_clock(now, |stream| stream.do_handshake()) {
                Ok(()) => {
                    self.handshake_complete = true;
                    self.verify();
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                Err(_) if self.stream.ssl().verify_result() == ffi::certificate_rejected() => {
                    return self.fail(DtlsError::FingerprintMismatch);
                }
                Err(error) => return self.fail(DtlsError::Protocol(stream_words(&error))),
            }
        }
        if self.handshake_complete {
            self.read(now);
        }
        self.schedule(now);
    }

    /// Reads records of a complete handshake. This is also where the library answers a repeated last flight.
    fn read(&mut self, now: Instant) {
        let mut buffer = [0; MAX_RECORD_LEN];
        while matches!(self.state, State::Connecting | State::Connected) {
            match self.with_clock(now, |stream| stream.ssl_read(&mut buffer)) {
                // Of a peer that is not verified yet nothing is taken.
                Ok(_) if self.state == State::Connecting => {}
                Ok(len) => self.events.push_back(Event::Data(buffer[..len].to_vec())),
                Err(error) if error.code() == ErrorCode::WANT_READ => return,
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    self.notify_peer();
                    self.end(State::Closed);
                    self.events.push_back(Event::Closed);
                }
                Err(error) => self.fail(DtlsError::Protocol(stream_words(&error))),
            }
        }
    }

    /// Judges a complete handshake, if the remote fingerprint is known.
    fn verify(&mut self) {
        let Some(remote) = self.remote.clone() else { return };
        match self.judge(&remote) {
            Ok(event) => {
                self.state = State::Connected;
                self.events.push_back(event);
            }
            Err(error) => {
                // RFC 8122 §6.2 asks for bad_certificate where it is the certificate.
                let alert = match error {
                    DtlsError::FingerprintMismatch => BAD_CERTIFICATE,
                    _ => HANDSHAKE_FAILURE,
                };
                ffi::send_fatal_alert(&mut self.stream, alert);
                self.fail(error);
            }
        }
    }

    fn judge(&self, remote: &Fingerprint) -> Result<Event, DtlsError> {
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().ok_or(DtlsError::FingerprintMismatch)?;
        if Fingerprint::of(&certificate, remote.algorithm())? != *remote {
            return Err(DtlsError::FingerprintMismatch);
        }
        let suite = ssl
            .selected_srtp_profile()
            .and_then(|profile| Suite::from_profile_name(profile.name()))
            .ok_or(DtlsError::NoSrtpProfile)?;

        // RFC 5764 §4.2: client key, server key, client salt, server salt.
        let mut material = vec![0; 2 * suite.key_and_salt_len()];
        ssl.export_keying_material(&mut material, EXPORTER_LABEL, None)?;
        let (keys, salts) = material.split_at(2 * suite.key_len());
        let (client_key, server_key) = keys.split_at(suite.key_len());
        let (client_salt, server_salt) = salts.split_at(suite.salt_len());
        let client = [client_key, client_salt].concat();
        let server = [server_key, server_salt].concat();
        let (local, remote) = match self.role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };

        let pem = certificate.to_pem()?;
        Ok(Event::Connected {
            keys: SrtpKeys { suite, local, remote },
            remote_certificate_pem: String::from_utf8_lossy(&pem).into_owned(),
        })
    }

    /// Asks the library when its retransmission timer ends.
    fn schedule(&mut self, now: Instant) {
        self.retransmit_at = None;
        if self.handshake_complete || self.state != State::Connecting {
            self.give_up_at = None;
            return;
        }
        if let Some(left) = self.with_clock(now, ffi::time_left) {
            self.retransmit_at = Some(now + left);
            self.give_up_at.get_or_insert(now + HANDSHAKE_TIMEOUT);
        }
    }

    /// Runs `work` on the stream while the library's clock shows `now`. For the library there is no time before the
    /// first call.
    fn with_clock<R>(&mut self, now: Instant, work: impl FnOnce(&mut SslStream<Datagrams>) -> R) -> R {
        let epoch = *self.epoch.get_or_insert(now);
        ffi::with_clock(now.saturating_duration_since(epoch), || work(&mut self.stream))
    }

    /// Sends close_notify, when there is a complete handshake. That the peer may not get it is all that can fail.
    fn notify_peer(&mut self) {
        if self.handshake_complete {
            let _ = self.stream.shutdown();
        }
    }

    fn fail(&mut self, error: DtlsError) {
        self.end(State::Failed);
        self.events.push_back(Event::Failed(error));
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.retransmit_at = None;
        self.give_up_at = None;
    }
}

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dtls").field("role", &self.role).field("state", &self.state).finish_non_exhaustive()
    }
}
