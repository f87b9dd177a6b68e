//! A transport towards a browser or another WebRTC endpoint: ICE, DTLS and SRTP.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use sfu_channel::dump::WebRtcTransportDump;
use sfu_channel::notification::Event;
use sfu_channel::reply::{IceRestarted, WebRtcConnected};
use sfu_channel::request::{Request, TransportConnect, TransportKind};
use sfu_channel::{DtlsParameters, DtlsState, IceCandidate, IceParameters, IceState, TransportTuple};

use crate::channel::Subscription;
use crate::entity::lock;
use crate::error::Error;
use crate::router::Router;
use crate::transport::{Transport, TransportEvent};

/// A WebRTC transport's handle. Clones are the same transport. What all transports can do is in [`Transport`].
#[derive(Debug, Clone)]
pub struct WebRtcTransport {
    transport: Transport,
    ice_candidates: Arc<[IceCandidate]>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    ice_parameters: IceParameters,
    ice_state: IceState,
    ice_selected_tuple: Option<TransportTuple>,
    dtls_parameters: DtlsParameters,
    dtls_state: DtlsState,
    dtls_remote_cert: Option<String>,
}

impl Deref for WebRtcTransport {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl WebRtcTransport {
    pub(crate) fn new(router: Router, id: String, events: Subscription, dump: WebRtcTransportDump) -> Self {
        let transport = Transport::new(router, id, dump.base);
        let state = Arc::new(Mutex::new(State {
            ice_parameters: dump.ice_parameters,
            ice_state: dump.ice_state,
            ice_selected_tuple: dump.ice_selected_tuple,
            dtls_parameters: dump.dtls_parameters,
            dtls_state: dump.dtls_state,
            dtls_remote_cert: None,
        }));
        let (listening, closing) = (state.clone(), state.clone());
        transport.follow(events, move |event| lock(&listening).take(event), move || lock(&closing).take_close());
        Self { transport, ice_candidates: dump.ice_candidates.into(), state }
    }

    /// The local ICE credentials, which change when ICE is restarted.
    pub fn ice_parameters(&self) -> IceParameters {
        lock(&self.state).ice_parameters.clone()
    }

    /// The local ICE candidates, best first.
    pub fn ice_candidates(&self) -> &[IceCandidate] {
        &self.ice_candidates
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
}

impl State {
    fn take(&mut self, event: &Event) -> Option<TransportEvent> {
        Some(match event {
            Event::IceStateChange(ice_state) => {
                self.ice_state = *ice_state;
                TransportEvent::IceStateChange(*ice_state)
            }
            Event::IceSelectedTupleChange(tuple) => {
                self.ice_selected_tuple = Some(tuple.clone());
                TransportEvent::IceSelectedTupleChange(tuple.clone())
            }
            Event::DtlsStateChange(change) => {
                self.dtls_state = change.dtls_state;
                if change.dtls_state == DtlsState::Connected {
                    self.dtls_remote_cert = change.dtls_remote_cert.clone();
                }
                TransportEvent::DtlsStateChange(change.clone())
            }
            _ => return None,
        })
    }

    fn take_close(&mut self) {
        self.ice_state = IceState::Closed;
        self.ice_selected_tuple = None;
        self.dtls_state = DtlsState::Closed;
    }
}
