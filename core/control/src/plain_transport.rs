//! A transport for plain RTP, such as ffmpeg's or GStreamer's, with or without SRTP.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use sfu_channel::dump::PlainTransportDump;
use sfu_channel::notification::Event;
use sfu_channel::reply::PlainConnected;
use sfu_channel::request::{Request, TransportConnect, TransportKind};
use sfu_channel::{SrtpParameters, TransportTuple};

use crate::channel::Subscription;
use crate::entity::lock;
use crate::error::Error;
use crate::router::Router;
use crate::transport::{Transport, TransportEvent};

/// A plain transport's handle. Clones are the same transport. What all transports can do is in [`Transport`].
#[derive(Debug, Clone)]
pub struct PlainTransport {
    transport: Transport,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    tuple: TransportTuple,
    rtcp_tuple: Option<TransportTuple>,
    srtp_parameters: Option<SrtpParameters>,
}

/// The other end of a plain transport.
#[derive(Debug, Clone, Default)]
pub struct PlainRemote {
    /// Its address; absent with comedia.
    pub ip: Option<IpAddr>,
    /// Its port of RTP; absent with comedia.
    pub port: Option<u16>,
    /// Its port of RTCP, when that is not multiplexed; absent with comedia.
    pub rtcp_port: Option<u16>,
    /// The key of what it sends, when SRTP is enabled.
    pub srtp_parameters: Option<SrtpParameters>,
}

impl Deref for PlainTransport {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl PlainTransport {
    pub(crate) fn new(router: Router, id: String, events: Subscription, dump: PlainTransportDump) -> Self {
        let PlainTransportDump { base, tuple, rtcp_tuple, srtp_parameters, .. } = dump;
        let transport = Transport::new(router, id, base);
        let state = Arc::new(Mutex::new(State { tuple, rtcp_tuple, srtp_parameters }));
        let listening = state.clone();
        transport.follow(events, move |event| lock(&listening).take(event), || {});
        Self { transport, state }
    }

    /// Addresses of RTP; the remote part is absent until known.
    pub fn tuple(&self) -> TransportTuple {
        lock(&self.state).tuple.clone()
    }

    /// Addresses of RTCP, when it is not multiplexed.
    pub fn rtcp_tuple(&self) -> Option<TransportTuple> {
        lock(&self.state).rtcp_tuple.clone()
    }

    /// The key of what the worker sends, when SRTP is enabled.
    pub fn srtp_parameters(&self) -> Option<SrtpParameters> {
        lock(&self.state).srtp_parameters.clone()
    }

    /// Tells the worker the other end. Once only; not needed with comedia and without SRTP.
    pub async fn connect(&self, remote: PlainRemote) -> Result<(), Error> {
        let request = Request::TransportConnect(TransportConnect {
            kind: Some(TransportKind::Plain),
            dtls_parameters: None,
            ip: remote.ip,
            port: remote.port,
            rtcp_port: remote.rtcp_port,
            srtp_parameters: remote.srtp_parameters,
        });
        let connected: PlainConnected = self.entity().ask_option(request).await?.unwrap_or_default();
        let mut state = lock(&self.state);
        if let Some(tuple) = connected.tuple {
            state.tuple = tuple;
        }
        if let Some(tuple) = connected.rtcp_tuple {
            state.rtcp_tuple = Some(tuple);
        }
        state.srtp_parameters = connected.srtp_parameters;
        Ok(())
    }

    /// What it has.
    pub async fn dump(&self) -> Result<PlainTransportDump, Error> {
        self.ask(Request::TransportDump).await
    }
}

impl State {
    fn take(&mut self, event: &Event) -> Option<TransportEvent> {
        match event {
            Event::Tuple(tuple) => {
                self.tuple = tuple.clone();
                Some(TransportEvent::Tuple(tuple.clone()))
            }
            Event::RtcpTuple(tuple) => {
                self.rtcp_tuple = Some(tuple.clone());
                Some(TransportEvent::RtcpTuple(tuple.clone()))
            }
            _ => None,
        }
    }
}
