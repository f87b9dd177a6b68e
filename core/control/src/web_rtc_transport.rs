//! A transport towards a browser or another WebRTC endpoint: ICE, DTLS and SRTP.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use sfu_channel::dump::{SctpParameters, WebRtcTransportDump};
use sfu_channel::notification::Event;
use sfu_channel::reply::{IceRestarted, WebRtcConnected};
use sfu_channel::request::{Request, TransportConnect, TransportKind};
use sfu_channel::{DtlsParameters, DtlsState, IceCandidate, IceParameters, IceState, SctpState, TransportTuple};
use tracing::debug;

use crate::channel::Subscription;
use crate::entity::{lock, run_events};
use crate::error::Error;
use crate::router::Router;
use crate::transport::{Transport, TransportEvent};

/// A WebRTC transport's handle. Clones are the same transport. What all transports can do is in [`Transport`].
#[derive(Debug, Clone)]
pub struct WebRtcTransport {
    transport: Transport,
    fixed: Arc<Fixed>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct Fixed {
    ice_candidates: Vec<IceCandidate>,
    sctp_parameters: Option<SctpParameters>,
}

#[derive(Debug)]
struct State {
    ice_parameters: IceParameters,
    ice_state: IceState,
    ice_selected_tuple: Option<TransportTuple>,
    dtls_parameters: DtlsParameters,
    dtls_state: DtlsState,
    dtls_remote_cert: Option<String>,
    sctp_state: Option<SctpState>,
}

impl Deref for WebRtcTransport {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl WebRtcTransport {
    pub(crate) fn new(router: Router, id: String, events: Subscription, dump: WebRtcTransportDump) -> Self {
        let transport = Self {
            transport: Transport::new(router, id, dump.base.sctp_parameters.as_ref()),
            fixed: Arc::new(Fixed { ice_candidates: dump.ice_candidates, sctp_parameters: dump.base.sctp_parameters }),
            state: Arc::new(Mutex::new(State {
                ice_parameters: dump.ice_parameters,
                ice_state: dump.ice_state,
                ice_selected_tuple: dump.ice_selected_tuple,
                dtls_parameters: dump.dtls_parameters,
                dtls_state: dump.dtls_state,
                dtls_remote_cert: None,
                sctp_state: dump.base.sctp_state,
            })),
        };
        let (on_event, on_close) = (transport.clone(), transport.clone());
        run_events(
            events,
            transport.entity().closed_token().clone(),
            move |event| on_event.take(event),
            move || on_close.take_close(),
        );
        transport
    }

    /// The local ICE credentials, which change when ICE is restarted.
    pub fn ice_parameters(&self) -> IceParameters {
        lock(&self.state).ice_parameters.clone()
    }

    /// The local ICE candidates, best first.
    pub fn ice_candidates(&self) -> &[IceCandidate] {
        &self.fixed.ice_candidates
    }

    /// The state of ICE.
    pub fn ice_state(&self) -> IceState {
        lock(&self.state).ice_state
    }

    /// The nominated tuple.
    pub fn ice_selected_tuple(&self) -> Option<TransportTuple> {
        lock(&self.state).ice_selected_tuple.clone()
    }

    /// The local fingerprints, and the role: `Auto` until connected.
    pub fn dtls_parameters(&self) -> DtlsParameters {
        lock(&self.state).dtls_parameters.clone()
    }

    /// The state of DTLS.
    pub fn dtls_state(&self) -> DtlsState {
        lock(&self.state).dtls_state
    }

    /// The peer's certificate as PEM, once DTLS is connected.
    pub fn dtls_remote_cert(&self) -> Option<String> {
        lock(&self.state).dtls_remote_cert.clone()
    }

    /// SCTP's settings, when enabled.
    pub fn sctp_parameters(&self) -> Option<&SctpParameters> {
        self.fixed.sctp_parameters.as_ref()
    }

    /// The state of SCTP, when enabled.
    pub fn sctp_state(&self) -> Option<SctpState> {
        lock(&self.state).sctp_state
    }

    /// Tells the worker the endpoint's DTLS fingerprint and role. Once only.
    pub async fn connect(&self, dtls_parameters: DtlsParameters) -> Result<(), Error> {
        let request = Request::TransportConnect(TransportConnect {
            kind: Some(TransportKind::WebRtc),
            dtls_parameters: Some(dtls_parameters),
            ..TransportConnect::default()
        });
        let connected: WebRtcConnected = self.ask(request).await?;
        lock(&self.state).dtls_parameters.role = connected.dtls_local_role;
        Ok(())
    }

    /// Makes new ICE credentials, with which the endpoint checks connectivity anew.
    pub async fn restart_ice(&self) -> Result<IceParameters, Error> {
        let restarted: IceRestarted = self.ask(Request::TransportRestartIce).await?;
        lock(&self.state).ice_parameters = restarted.ice_parameters.clone();
        Ok(restarted.ice_parameters)
    }

    /// What it has.
    pub async fn dump(&self) -> Result<WebRtcTransportDump, Error> {
        self.ask(Request::TransportDump).await
    }

    fn take(&self, event: Event) {
        let event = {
            let mut state = lock(&self.state);
            match event {
                Event::IceStateChange(ice_state) => {
                    state.ice_state = ice_state;
                    TransportEvent::IceStateChange(ice_state)
                }
                Event::IceSelectedTupleChange(tuple) => {
                    state.ice_selected_tuple = Some(tuple.clone());
                    TransportEvent::IceSelectedTupleChange(tuple)
                }
                Event::DtlsStateChange(change) => {
                    state.dtls_state = change.dtls_state;
                    if change.dtls_state == DtlsState::Connected {
                        state.dtls_remote_cert = change.dtls_remote_cert.clone();
                    }
                    TransportEvent::DtlsStateChange(change)
                }
                Event::SctpStateChange(sctp_state) => {
                    state.sctp_state = Some(sctp_state);
                    TransportEvent::SctpStateChange(sctp_state)
                }
                Event::TransportTrace(trace) => TransportEvent::Trace(trace),
                other => {
                    debug!(transport = self.id(), event = ?other, "unexpected event of a WebRTC transport");
                    return;
                }
            }
        };
        self.entity().emit(event);
    }

    fn take_close(&self) {
        let mut state = lock(&self.state);
        state.ice_state = IceState::Closed;
        state.ice_selected_tuple = None;
        state.dtls_state = DtlsState::Closed;
        state.sctp_state = state.sctp_state.map(|_| SctpState::Closed);
        drop(state);
        self.emit_close();
    }
}
