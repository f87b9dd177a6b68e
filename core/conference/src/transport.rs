//! A peer's transports: its ways to the worker.

use std::sync::{Arc, Weak};

use serde_json::json;
use sfu_channel::{DtlsState, IceState, ListenInfo, Protocol};
use sfu_control::{Error, TransportEvent, WebRtcTransport, WebRtcTransportOptions, sdp::LocalTransport};
use tokio::sync::broadcast;
use tracing::{debug, warn};

use crate::{
    peer::{Answer, Peer, error, failed, next, to_json},
    protoo::{CloseReason, ErrorResponse},
    receiving::Change,
    schema::{CreateWebRtcTransport, FAILED},
};

/// What one peer may have at a time.
const MAX_TRANSPORTS: usize = 8;
/// What a sender may assume of the way to it before it has measured, in bits per second.
const INITIAL_OUTGOING_BITRATE: u64 = 1_000_000;
/// What one transport may send to the worker, in bits per second; browsers are told so. It is mediasoup-demo's value.
const MAX_INCOMING_BITRATE: u64 = 1_500_000;
/// Seconds of silence after which a path counts as lost.
const CONSENT_TIMEOUT: u8 = 20;

/// One of a peer's transports.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) handle: WebRtcTransport,
    /// Whether the client means to receive on it.
    pub(crate) consuming: bool,
}

impl Peer {
    pub(crate) async fn create_transport(
        self: &Arc<Self>,
        CreateWebRtcTransport { force_tcp, consuming, .. }: CreateWebRtcTransport,
    ) -> Answer {
        if self.transport_count() >= MAX_TRANSPORTS {
            return Err(error(FAILED, format!("a peer has at most {MAX_TRANSPORTS} transports")));
        }
        let protocols: &[Protocol] = if force_tcp { &[Protocol::Tcp] } else { &[Protocol::Udp, Protocol::Tcp] };
        let listen = self.room().addresses().iter().flat_map(|address| {
            protocols.iter().map(|&protocol| ListenInfo {
                announced_address: address.announced.map(|ip| ip.to_string()),
                ..ListenInfo::new(protocol, address.ip)
            })
        });
        let options = WebRtcTransportOptions {
            listen_infos: listen.collect(),
            prefer_udp: true,
            ice_consent_timeout: CONSENT_TIMEOUT,
            initial_available_outgoing_bitrate: Some(INITIAL_OUTGOING_BITRATE),
            ..WebRtcTransportOptions::default()
        };
        let handle = self.room().router().create_web_rtc_transport(options).await.map_err(not_created)?;
        if let Err(error) = handle.set_max_incoming_bitrate(MAX_INCOMING_BITRATE).await {
            debug!("transport {}: {error}", handle.id());
        }
        let answer = json!({
            "id": handle.id(),
            "iceParameters": handle.ice_parameters(),
            "iceCandidates": candidates(&handle)?,
            "dtlsParameters": handle.dtls_parameters(),
        });
        if !self.keep_transport(Transport { handle: handle.clone(), consuming }) {
            handle.close().await.map_err(failed)?;
            return Err(error(FAILED, "the peer has left".into()));
        }
        tokio::spawn(watch(Arc::downgrade(self), handle.events(), handle));
        self.begin_to_receive();
        Ok(answer)
    }

    pub(crate) async fn restart_ice(&self, id: &str) -> Answer {
        let parameters = self.transport(id)?.restart_ice().await.map_err(failed)?;
        if let Some(sending) = self.sending.lock().await.get_mut(id) {
            sending.negotiator.restart_ice(parameters.clone());
        }
        if self.receives_on(id) {
            self.change(Change::IceRestarted(parameters.clone()));
        }
        to_json(parameters)
    }
}

/// A transport as the negotiators need it.
pub(crate) fn local(transport: &WebRtcTransport) -> LocalTransport {
    LocalTransport {
        ice_parameters: transport.ice_parameters(),
        ice_candidates: transport.ice_candidates().to_vec(),
        dtls_parameters: transport.dtls_parameters(),
        max_message_size: None,
    }
}

/// Candidates with the address under both names that clients have known it by.
fn candidates(transport: &WebRtcTransport) -> Answer {
    let mut candidates = to_json(transport.ice_candidates())?;
    for candidate in candidates.as_array_mut().into_iter().flatten() {
        if let Some(ip) = candidate.get("ip").cloned() {
            candidate["address"] = ip;
        }
    }
    Ok(candidates)
}

/// What the client is told of it; the particulars are the operator's.
fn not_created(reason: Error) -> ErrorResponse {
    warn!("no transport: {reason}");
    let sentence = match reason {
        Error::Refused(_) => "the server has no free media ports",
        _ => "the server's media worker does not answer",
    };
    error(FAILED, sentence.into())
}

/// A path that goes silent may mean that the client has vanished. A DTLS that ends cannot begin again, and takes the
/// peer with it, as in mediasoup-demo.
async fn watch(peer: Weak<Peer>, mut events: broadcast::Receiver<TransportEvent>, transport: WebRtcTransport) {
    while let Some(event) = next(&mut events).await {
        let Some(peer) = peer.upgrade() else { return };
        match event {
            TransportEvent::IceStateChange(IceState::Disconnected) => peer.connection().probe(),
            TransportEvent::DtlsStateChange(change)
                if matches!(change.dtls_state, DtlsState::Failed | DtlsState::Closed) =>
            {
                debug!("peer {:?}: DTLS of transport {} has ended", peer.id(), transport.id());
                peer.connection().close(CloseReason::DtlsEnded);
                return;
            }
            TransportEvent::Close | TransportEvent::RouterClose => return,
            _ => {}
        }
    }
}
