//! A transport for browsers: ICE finds the path, DTLS agrees on keys.
//!
//! The peer's connectivity checks arrive on any of the transport's sockets; once one has passed, DTLS starts over the
//! selected tuple, as server unless the library's `connect()` says that the peer is the server. When the peer's
//! certificate has the fingerprint that `connect()` names, SRTP is keyed and media flows.

use std::time::{Duration, Instant};

use sfu_channel as channel;
use sfu_channel::request::{CreateWebRtcTransport, CreateWebRtcTransportWithServer};
use sfu_channel::{DtlsParameters, DtlsRole, DtlsState, IceCandidate, IceParameters, TransportTuple};
use sfu_proto::{dtls, ice};
use sfu_reactor::prefetch::prefetch;

use super::Path;
use super::connections::Connections;
use super::plain::tuple;
use crate::random::random_text;
use crate::sockets::{Owner, Sockets};
use crate::web_rtc_server::WebRtcServer;
use sfu_channel::response::Refusal;

const USERNAME_FRAGMENT_LEN: usize = 32;
const PASSWORD_LEN: usize = 32;

/// The part of a transport that is particular to WebRTC ones.
#[derive(Debug)]
pub struct WebRtcTransport {
    /// The listening sockets, UDP and TCP.
    sockets: Vec<usize>,
    /// The WebRTC server whose sockets these are, by index; `None` if they are its own.
    pub server: Option<usize>,
    /// Its ICE-TCP connections.
    pub connections: Connections,
    candidates: Vec<IceCandidate>,
    /// The ICE agent.
    pub ice: ice::IceLite,
    /// The DTLS association, once it may exist.
    pub dtls: Option<dtls::Dtls>,
    /// Our role, as dumps say it.
    dtls_role: DtlsRole,
    /// The state last notified.
    pub dtls_state: DtlsState,
    fingerprints: Vec<channel::DtlsFingerprint>,
    remote: Option<dtls::Fingerprint>,
    connect_called: bool,
    selected: Option<Path>,
}

impl WebRtcTransport {
    /// Opens the sockets.
    ///
    /// # Errors
    /// An `Error` when a port cannot be bound.
    pub fn new(
        transport: usize,
        request: &CreateWebRtcTransport,
        certificate: &dtls::Certificate,
        sockets: &mut Sockets,
    ) -> Result<WebRtcTransport, Refusal> {
        let mut webrtc = WebRtcTransport::without_sockets(request.ice_consent_timeout, certificate)?;
        for (info, local_preference) in request.listen_infos.iter().zip(request.local_preferences()) {
            match sockets.listen(Owner::Transport(transport), info) {
                Ok(key) => {
                    webrtc.sockets.push(key);
                    let port = sockets.get(key).map(|socket| socket.local.port());
                    webrtc.candidates.extend(port.map(|port| candidate(info, port, local_preference)));
                }
                Err(error) => {
                    webrtc.close(sockets);
                    return Err(error);
                }
            }
        }
        Ok(webrtc)
    }

    /// Takes the sockets of the server that has this index.
    ///
    /// # Errors
    /// A `TypeError` when none of them may be used.
    pub fn with_server(
        index: usize,
        server: &WebRtcServer,
        request: &CreateWebRtcTransportWithServer,
        certificate: &dtls::Certificate,
        sockets: &Sockets,
    ) -> Result<WebRtcTransport, Refusal> {
        let candidates = server.candidates(request, sockets);
        if candidates.is_empty() {
            return Err(Refusal::type_error("no ICE candidates (see enableUdp and enableTcp)"));
        }
        Ok(WebRtcTransport {
            sockets: server.sockets().collect(),
            server: Some(index),
            candidates,
            ..WebRtcTransport::without_sockets(request.ice_consent_timeout, certificate)?
        })
    }

    fn without_sockets(ice_consent_timeout: u8, certificate: &dtls::Certificate) -> Result<WebRtcTransport, Refusal> {
        let fingerprints = certificate
            .fingerprints()
            .map_err(|error| Refusal::error(format!("cannot hash the certificate: {error}")))?;
        Ok(WebRtcTransport {
            sockets: Vec::new(),
            server: None,
            connections: Connections::default(),
            candidates: Vec::new(),
            ice: ice::IceLite::new(credentials()?, consent_timeout(ice_consent_timeout)),
            dtls: None,
            dtls_role: DtlsRole::Auto,
            dtls_state: DtlsState::New,
            fingerprints: fingerprints.iter().filter_map(fingerprint_to_channel).collect(),
            remote: None,
            connect_called: false,
            selected: None,
        })
    }

    /// Where to send, while ICE has a selected tuple.
    pub fn path(&self) -> Option<Path> {
        self.selected
    }

    /// Asks for the memory of [`path`](WebRtcTransport::path).
    pub fn prefetch_path(&self) {
        prefetch(&self.selected);
    }

    /// What the library must tell the peer about ICE.
    pub fn ice_parameters(&self) -> IceParameters {
        let credentials = self.ice.local_credentials();
        IceParameters {
            username_fragment: credentials.username_fragment.clone(),
            password: credentials.password.clone(),
            ice_lite: true,
        }
    }

    /// Our candidates.
    pub fn candidates(&self) -> &[IceCandidate] {
        &self.candidates
    }

    /// What the library must tell the peer about DTLS.
    pub fn dtls_parameters(&self) -> DtlsParameters {
        DtlsParameters { role: self.dtls_role, fingerprints: self.fingerprints.clone() }
    }

    /// The state of ICE, in the library's words.
    pub fn ice_state(&self) -> channel::IceState {
        match self.ice.state() {
            ice::IceState::New => channel::IceState::New,
            ice::IceState::Connected => channel::IceState::Connected,
            ice::IceState::Completed => channel::IceState::Completed,
            ice::IceState::Disconnected => channel::IceState::Disconnected,
        }
    }

    /// The selected tuple, in the library's words.
    pub fn selected_tuple(&self, sockets: &Sockets) -> Option<TransportTuple> {
        self.selected.map(|path| tuple(sockets, path.socket, Some(path)))
    }

    /// The library says who the peer is. Returns our role.
    ///
    /// # Errors
    /// An `Error` when it was called before, a `TypeError` for wrong data.
    pub fn connect(
        &mut self,
        now: Instant,
        parameters: &DtlsParameters,
        certificate: &dtls::Certificate,
    ) -> Result<DtlsRole, Refusal> {
        if self.connect_called {
            return Err(Refusal::error("connect() already called"));
        }
        let fingerprint = parameters
            .fingerprints
            .first()
            .ok_or_else(|| Refusal::type_error("empty dtlsParameters.fingerprints array"))?;
        let remote = fingerprint_from_channel(fingerprint)?;
        let (dtls_role, role) = match parameters.role {
            DtlsRole::Client => (DtlsRole::Server, dtls::Role::Server),
            DtlsRole::Server | DtlsRole::Auto => (DtlsRole::Client, dtls::Role::Client),
        };
        match &mut self.dtls {
            // The peer was faster than the library: the handshake runs already.
            Some(dtls) if dtls.role() == role => dtls.set_remote_fingerprint(remote.clone()),
            _ => {
                self.dtls = None;
                self.start_dtls(now, role, Some(remote.clone()), certificate)
                    .map_err(|error| Refusal::error(format!("cannot start DTLS: {error}")))?;
            }
        }
        self.remote = Some(remote);
        self.dtls_role = dtls_role;
        self.connect_called = true;
        Ok(dtls_role)
    }

    /// Starts DTLS if ICE has a path and it has not been started. Before `connect()` only a server can be, since a
    /// peer that is the client speaks first.
    ///
    /// # Errors
    /// Those of the cryptographic library.
    pub fn may_start_dtls(&mut self, now: Instant, certificate: &dtls::Certificate) -> Result<(), dtls::DtlsError> {
        let role = match self.dtls_role {
            DtlsRole::Client => dtls::Role::Client,
            DtlsRole::Server | DtlsRole::Auto => dtls::Role::Server,
        };
        self.start_dtls(now, role, self.remote.clone(), certificate)
    }

    fn start_dtls(
        &mut self,
        now: Instant,
        role: dtls::Role,
        remote: Option<dtls::Fingerprint>,
        certificate: &dtls::Certificate,
    ) -> Result<(), dtls::DtlsError> {
        if self.selected.is_some() && self.dtls.is_none() {
            let mut dtls = dtls::Dtls::new(certificate, role, remote)?;
            dtls.start(now);
            self.dtls = Some(dtls);
        }
        Ok(())
    }

    /// New ICE credentials; the old ones stay good until the peer uses the new ones.
    ///
    /// # Errors
    /// An `Error` when there are no random bytes.
    pub fn restart_ice(&mut self) -> Result<(), Refusal> {
        self.ice.restart(credentials()?);
        Ok(())
    }

    /// Follows the agent's choice of tuple.
    pub fn select(&mut self, sockets: &Sockets, selected: Option<ice::Tuple>) {
        self.selected = selected.and_then(|tuple| self.path_of(sockets, &tuple));
    }

    /// The path that a tuple stands for.
    pub fn path_of(&self, sockets: &Sockets, tuple: &ice::Tuple) -> Option<Path> {
        self.sockets.iter().copied().chain(self.connections.keys()).find_map(|key| {
            let socket = sockets.get(key)?;
            let path = Path { socket: key, remote: tuple.remote };
            (ice_tuple(socket.protocol(), socket.local, &path) == *tuple && sockets.is_path(&path)).then_some(path)
        })
    }

    /// The key of the connection that a tuple stands for.
    pub fn connection_of(&self, sockets: &Sockets, tuple: &ice::Tuple) -> Option<usize> {
        self.connections.keys().find(|key| {
            let path = Path { socket: *key, remote: tuple.remote };
            sockets.get(*key).is_some_and(|socket| socket.local == tuple.local) && sockets.is_path(&path)
        })
    }

    /// Closes an ICE-TCP connection.
    pub fn remove_connection(&mut self, sockets: &mut Sockets, key: usize) {
        self.connections.remove(key);
        sockets.remove(key);
    }

    /// Tells the peer, and closes the sockets.
    pub fn close(&mut self, sockets: &mut Sockets) {
        if let (Some(dtls), Some(path)) = (&mut self.dtls, self.selected) {
            dtls.close();
            while let Some(datagram) = dtls.poll_transmit() {
                sockets.send(&path, &datagram);
            }
        }
        let own = if self.server.is_some() { Vec::new() } else { std::mem::take(&mut self.sockets) };
        for key in own.into_iter().chain(std::mem::take(&mut self.connections).keys()) {
            sockets.remove(key);
        }
    }
}

/// The tuple by which a packet came, in ICE's terms.
pub fn ice_tuple(protocol: ice::Protocol, local: std::net::SocketAddr, path: &Path) -> ice::Tuple {
    ice::Tuple { protocol, local, remote: path.remote }
}

/// A protocol in the library's words.
pub(super) fn protocol_name(protocol: ice::Protocol) -> channel::Protocol {
    match protocol {
        ice::Protocol::Udp => channel::Protocol::Udp,
        ice::Protocol::Tcp => channel::Protocol::Tcp,
    }
}

/// The candidate of a listening socket.
pub fn candidate(info: &channel::ListenInfo, port: u16, local_preference: u16) -> IceCandidate {
    let (foundation, tcp_type) = match info.protocol {
        channel::Protocol::Udp => ("udpcandidate", None),
        channel::Protocol::Tcp => ("tcpcandidate", Some(channel::IceCandidateTcpType::Passive)),
    };
    IceCandidate {
        foundation: foundation.to_owned(),
        priority: ice::host_candidate_priority(local_preference),
        address: info.announced_address.clone().unwrap_or_else(|| info.ip.to_string()),
        protocol: info.protocol,
        port,
        kind: channel::IceCandidateType::Host,
        tcp_type,
    }
}

/// How long a tuple stays valid without a check. What the library says is taken as it is; RFC 7675 has 30 seconds.
///
/// Zero, which is also what a library of mediasoup 3.12 says by not knowing the field, is for ever, since that version's
/// worker has no consent: it forgets a UDP peer only when the library closes the transport, and so applications
/// written for it do not expect `disconnected` from a peer that has merely become silent.
fn consent_timeout(seconds: u8) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

fn credentials() -> Result<ice::Credentials, Refusal> {
    Ok(ice::Credentials {
        username_fragment: random_text(USERNAME_FRAGMENT_LEN)?,
        password: random_text(PASSWORD_LEN)?,
    })
}

fn fingerprint_from_channel(fingerprint: &channel::DtlsFingerprint) -> Result<dtls::Fingerprint, Refusal> {
    let algorithm = match fingerprint.algorithm {
        channel::FingerprintAlgorithm::Sha1 => dtls::FingerprintAlgorithm::Sha1,
        channel::FingerprintAlgorithm::Sha224 => dtls::FingerprintAlgorithm::Sha224,
        channel::FingerprintAlgorithm::Sha256 => dtls::FingerprintAlgorithm::Sha256,
        channel::FingerprintAlgorithm::Sha384 => dtls::FingerprintAlgorithm::Sha384,
        channel::FingerprintAlgorithm::Sha512 => dtls::FingerprintAlgorithm::Sha512,
    };
    dtls::Fingerprint::parse(algorithm.name(), &fingerprint.value)
        .map_err(|error| Refusal::type_error(format!("invalid dtlsParameters.fingerprints[0]: {error}")))
}

fn fingerprint_to_channel(fingerprint: &dtls::Fingerprint) -> Option<channel::DtlsFingerprint> {
    let algorithm = match fingerprint.algorithm() {
        dtls::FingerprintAlgorithm::Sha1 => channel::FingerprintAlgorithm::Sha1,
        dtls::FingerprintAlgorithm::Sha224 => channel::FingerprintAlgorithm::Sha224,
        dtls::FingerprintAlgorithm::Sha256 => channel::FingerprintAlgorithm::Sha256,
        dtls::FingerprintAlgorithm::Sha384 => channel::FingerprintAlgorithm::Sha384,
        dtls::FingerprintAlgorithm::Sha512 => channel::FingerprintAlgorithm::Sha512,
    };
    Some(channel::DtlsFingerprint { algorithm, value: fingerprint.value() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_lasts_as_long_as_the_library_says_and_for_ever_when_it_says_nothing() {
        assert_eq!(consent_timeout(0), None);
        assert_eq!(consent_timeout(1), Some(Duration::from_secs(1)));
        assert_eq!(consent_timeout(255), Some(Duration::from_secs(255)));
    }
}
