//! A transport towards a router in another worker or on another host: its peer is a pipe transport too, whose address and
//! key the library tells. RTP and RTCP share a port; each stream of a producer goes through as it is.

use sfu_channel::request::{CreatePipeTransport, TransportConnect};
use sfu_channel::response::Refusal;
use sfu_channel::{SrtpCryptoSuite, SrtpParameters, TransportTuple};
use sfu_proto::srtp;

use super::plain::{remote_address, tuple};
use super::srtp_key::LocalKey;
use super::{Path, Protection};
use crate::sockets::{Owner, Sockets};

/// The only suite between routers.
const SUITE: SrtpCryptoSuite = SrtpCryptoSuite::AeadAes256Gcm;

/// The part of a transport that is particular to pipe ones.
#[derive(Debug)]
pub struct PipeTransport {
    socket: usize,
    rtx: bool,
    /// Where RTP and RTCP come from and go to, once connected.
    pub path: Option<Path>,
    srtp: Option<LocalKey>,
}

impl PipeTransport {
    /// Opens the socket.
    ///
    /// # Errors
    /// An `Error` when the port cannot be bound.
    pub fn new(
        transport: usize,
        request: &CreatePipeTransport,
        sockets: &mut Sockets,
    ) -> Result<PipeTransport, Refusal> {
        let srtp = request.enable_srtp.then(|| LocalKey::generate(SUITE)).transpose()?;
        let socket = sockets.listen(Owner::Transport(transport), &request.listen_info)?;
        Ok(PipeTransport { socket, rtx: request.enable_rtx, path: None, srtp })
    }

    /// What protects it before it is connected.
    pub fn initial_protection(&self) -> Protection {
        if self.srtp.is_some() { Protection::Pending } else { Protection::None }
    }

    /// Whether its consumers have NACK and RTX.
    pub fn rtx(&self) -> bool {
        self.rtx
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
        if self.path.is_some() {
            return Err(Refusal::error("connect() already called"));
        }
        if self.srtp.is_some() && request.srtp_parameters.as_ref().is_some_and(|remote| remote.crypto_suite != SUITE) {
            return Err(Refusal::type_error("invalid srtpParameters.cryptoSuite (must be AEAD_AES_256_GCM)"));
        }
        let agreed = LocalKey::agree(self.srtp.as_ref(), request.srtp_parameters.as_ref(), backend)?;
        let remote = remote_address(request, sockets, &[self.socket])?;
        self.path = Some(Path { socket: self.socket, remote });
        Ok(agreed.map(|(_, protection)| protection))
    }

    /// The tuple, as far as it is known.
    pub fn tuple(&self, sockets: &Sockets) -> TransportTuple {
        tuple(sockets, self.socket, self.path)
    }

    /// The suite and key of what goes out, if it is protected.
    pub fn srtp_parameters(&self) -> Option<SrtpParameters> {
        self.srtp.as_ref().map(LocalKey::parameters)
    }

    /// Closes the socket.
    pub fn close(&mut self, sockets: &mut Sockets) {
        sockets.remove(self.socket);
    }
}
