//! A transport towards another router, on this host or another: each producer's streams go through as they are.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use sfu_channel::dump::PipeTransportDump;
use sfu_channel::notification::Event;
use sfu_channel::reply::PlainConnected;
use sfu_channel::request::{Request, TransportConnect, TransportKind};
use sfu_channel::{SctpState, SrtpParameters, TransportTuple};
use tracing::debug;

use crate::channel::Subscription;
use crate::consumer::Consumer;
use crate::entity::{lock, run_events};
use crate::error::Error;
use crate::producer::Producer;
use crate::router::Router;
use crate::transport::{ProducerOptions, Transport, TransportEvent};

/// A pipe transport's handle. Clones are the same transport. What all transports can do is in [`Transport`].
#[derive(Debug, Clone)]
pub struct PipeTransport {
    transport: Transport,
    rtx: bool,
    srtp_parameters: Option<SrtpParameters>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    tuple: TransportTuple,
    sctp_state: Option<SctpState>,
}

/// The other end of a pipe transport.
#[derive(Debug, Clone)]
pub struct PipeRemote {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// The key of what it sends, when SRTP is enabled.
    pub srtp_parameters: Option<SrtpParameters>,
}

impl Deref for PipeTransport {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl PipeTransport {
    pub(crate) fn new(router: Router, id: String, events: Subscription, dump: PipeTransportDump) -> Self {
        let transport = Self {
            transport: Transport::new(router, id, dump.base.sctp_parameters.as_ref()),
            rtx: dump.rtx,
            srtp_parameters: dump.srtp_parameters,
            state: Arc::new(Mutex::new(State { tuple: dump.tuple, sctp_state: dump.base.sctp_state })),
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

    /// Addresses; the remote part is absent until connected.
    pub fn tuple(&self) -> TransportTuple {
        lock(&self.state).tuple.clone()
    }

    /// The key of what the worker sends, when SRTP is enabled.
    pub fn srtp_parameters(&self) -> Option<&SrtpParameters> {
        self.srtp_parameters.as_ref()
    }

    /// The state of SCTP, when enabled.
    pub fn sctp_state(&self) -> Option<SctpState> {
        lock(&self.state).sctp_state
    }

    /// Tells the worker the other end. Once only.
    pub async fn connect(&self, remote: PipeRemote) -> Result<(), Error> {
        let request = Request::TransportConnect(TransportConnect {
            kind: Some(TransportKind::Pipe),
            ip: Some(remote.ip),
            port: Some(remote.port),
            srtp_parameters: remote.srtp_parameters,
            ..TransportConnect::default()
        });
        let connected: PlainConnected = self.ask(request).await?;
        if let Some(tuple) = connected.tuple {
            lock(&self.state).tuple = tuple;
        }
        Ok(())
    }

    /// Takes what a consumer at the other end sends: `options` have that consumer's RTP parameters.
    pub async fn produce(&self, options: ProducerOptions) -> Result<Producer, Error> {
        self.transport.produce_as_it_is(options).await
    }

    /// Sends all streams of a producer to the other end, where a producer of the consumer's parameters takes them.
    pub async fn consume(&self, producer_id: &str) -> Result<Consumer, Error> {
        self.transport.consume_for_pipe(producer_id, self.rtx).await
    }

    /// What it has.
    pub async fn dump(&self) -> Result<PipeTransportDump, Error> {
        self.ask(Request::TransportDump).await
    }

    fn take(&self, event: Event) {
        let event = match event {
            Event::SctpStateChange(sctp_state) => {
                lock(&self.state).sctp_state = Some(sctp_state);
                TransportEvent::SctpStateChange(sctp_state)
            }
            Event::TransportTrace(trace) => TransportEvent::Trace(trace),
            other => {
                debug!(transport = self.id(), event = ?other, "unexpected event of a pipe transport");
                return;
            }
        };
        self.entity().emit(event);
    }

    fn take_close(&self) {
        let mut state = lock(&self.state);
        state.sctp_state = state.sctp_state.map(|_| SctpState::Closed);
        drop(state);
        self.emit_close();
    }
}
