//! A transport for RTP without ICE and DTLS: the peer's address and keys are told, or the address is learnt from the
//! first packet that comes (comedia).

use std::net::SocketAddr;

use sfu_channel::request::{CreatePlainTransport, TransportConnect};
use sfu_channel::{ListenInfo, SrtpParameters, TransportTuple};
use sfu_proto::srtp;

use super::srtp_key::LocalKey;
use super::{Path, Protection};
use crate::sockets::{Owner, Sockets};
use crate::transport::webrtc::protocol_name;
use sfu_channel::response::Refusal;

/// The part of a transport that is particular to plain ones.
#[derive(Debug)]
pub struct PlainTransport {
    socket: usize,
    /// The socket for RTCP, if it has one of its own.
    rtcp_socket: Option<usize>,
    comedia: bool,
    /// Where RTP comes from and goes to, once it is known.
    pub path: Option<Path>,
    /// The same for RTCP, if it has a socket of its own.
    pub rtcp_path: Option<Path>,
    srtp: Option<LocalKey>,
    connect_called: bool,
}

/// What a packet from some address is worth to a plain transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It comes from the peer.
    Peer,
    /// It is the first, and its sender is the peer from now on.
    Learnt,
    /// It comes from someone else.
    Stranger,
}

impl PlainTransport {
    /// Opens the sockets.
    ///
    /// # Errors
    /// An `Error` when a port cannot be bound.
    pub fn new(
        transport: usize,
        request: &CreatePlainTransport,
        sockets: &mut Sockets,
    ) -> Result<PlainTransport, Refusal> {
        let srtp = request.srtp_crypto_suite.map(LocalKey::generate).transpose()?;
        let socket = sockets.listen(Owner::Transport(transport), &request.listen_info)?;
        let rtcp_socket = if request.rtcp_mux {
            None
        } else {
            let any_port = ListenInfo { port: 0, ..request.listen_info.clone() };
            let info = request.rtcp_listen_info.as_ref().unwrap_or(&any_port);
            match sockets.listen(Owner::Transport(transport), info) {
                Ok(socket) => Some(socket),
                Err(error) => {
                    sockets.remove(socket);
                    return Err(error);
                }
            }
        };
        Ok(PlainTransport {
            socket,
            rtcp_socket,
            comedia: request.comedia,
            path: None,
            rtcp_path: None,
            srtp,
            connect_called: false,
        })
    }

    /// What protects it before it is connected.
    pub fn initial_protection(&self) -> Protection {
        if self.srtp.is_some() { Protection::Pending } else { Protection::None }
    }

    /// Whether RTP and RTCP share a socket.
    pub fn rtcp_mux(&self) -> bool {
        self.rtcp_socket.is_none()
    }

    /// Whether the peer's address is learnt.
    pub fn comedia(&self) -> bool {
        self.comedia
    }

    /// Checks a request to connect, and applies it if all of it is right. Returns the protection from now on, if it changes.
    ///
    /// # Errors
    /// An `Error` when it was called before, a `TypeError` for wrong data.
    pub fn connect(
        &mut self,
        request: &TransportConnect,
        sockets: &Sockets,
        backend: srtp::Backend,
    ) -> Result<Option<Protection>, Refusal> {
        if self.connect_called {
            return Err(Refusal::error("connect() already called"));
        }
        let srtp = LocalKey::agree(self.srtp.as_ref(), request.srtp_parameters.as_ref(), backend)?;
        if !self.comedia {
            let own: Vec<usize> = std::iter::once(self.socket).chain(self.rtcp_socket).collect();
            let remote = remote_address(request, sockets, &own)?;
            match (self.rtcp_socket, request.rtcp_port) {
                (None, Some(_)) => return Err(Refusal::type_error("cannot set rtcpPort with rtcpMux enabled")),
                (Some(_), None) => {
                    return Err(Refusal::type_error("missing rtcpPort (required with rtcpMux disabled)"));
                }
                (Some(socket), Some(port)) => {
                    self.rtcp_path = Some(Path { socket, remote: SocketAddr::new(remote.ip(), port) })
                }
                (None, None) => {}
            }
            self.path = Some(Path { socket: self.socket, remote });
        }
        self.connect_called = true;
        Ok(srtp.map(|(regenerated, protection)| {
            if let Some(regenerated) = regenerated {
                self.srtp = Some(regenerated);
            }
            protection
        }))
    }

    /// Judges by its sender a packet that is authentic, and learns from the first one if that is wanted.
    pub fn judge(&mut self, origin: Path, is_rtcp: bool) -> Origin {
        let (socket, path) = match self.rtcp_socket {
            Some(socket) if is_rtcp => (socket, &mut self.rtcp_path),
            _ => (self.socket, &mut self.path),
        };
        if origin.socket != socket {
            return Origin::Stranger;
        }
        match path {
            Some(known) if *known == origin => Origin::Peer,
            Some(_) => Origin::Stranger,
            None if self.comedia => {
                *path = Some(origin);
                Origin::Learnt
            }
            None => Origin::Stranger,
        }
    }

    /// The tuple of RTP, as far as it is known.
    pub fn tuple(&self, sockets: &Sockets) -> TransportTuple {
        tuple(sockets, self.socket, self.path)
    }

    /// The tuple of RTCP, as far as it is known, if RTCP has a socket of its own.
    pub fn rtcp_tuple(&self, sockets: &Sockets) -> Option<TransportTuple> {
        self.rtcp_socket.map(|socket| tuple(sockets, socket, self.rtcp_path))
    }

    /// The suite and key of what goes out, if it is protected.
    pub fn srtp_parameters(&self) -> Option<SrtpParameters> {
        self.srtp.as_ref().map(LocalKey::parameters)
    }

    /// Closes the sockets.
    pub fn close(&mut self, sockets: &mut Sockets) {
        sockets.remove(self.socket);
        if let Some(socket) = self.rtcp_socket {
            sockets.remove(socket);
        }
    }
}

/// The peer's address (of RTP) in a request to connect, if these sockets can send to it.
///
/// # Errors
/// A `TypeError` that names what is missing or wrong.
pub(super) fn remote_address(
    request: &TransportConnect,
    sockets: &Sockets,
    own: &[usize],
) -> Result<SocketAddr, Refusal> {
    // A v4-mapped IPv6 address is an IPv4 one.
    let ip = request.ip.ok_or_else(|| Refusal::type_error("missing ip"))?.to_canonical();
    let other_family = |key: &usize| sockets.get(*key).is_some_and(|own| own.local.is_ipv4() != ip.is_ipv4());
    if own.iter().any(other_family) {
        return Err(Refusal::type_error("wrong ip (not of the family of the transport's listenIp)"));
    }
    let port = request.port.ok_or_else(|| Refusal::type_error("missing port"))?;
    Ok(SocketAddr::new(ip, port))
}

/// The tuple of a socket and, once it is known, the peer.
pub(super) fn tuple(sockets: &Sockets, socket: usize, path: Option<Path>) -> TransportTuple {
    let socket = sockets.get(socket);
    TransportTuple {
        local_address: socket.map(|socket| socket.announced_address()).unwrap_or_default(),
        local_port: socket.map(|socket| socket.local.port()).unwrap_or_default(),
        remote_ip: path.map(|path| path.remote.ip()),
        remote_port: path.map(|path| path.remote.port()),
        protocol: socket.map(|socket| protocol_name(socket.protocol())).unwrap_or_default(),
    }
}
