//! A transport towards another router, on this host or another: each producer's streams go through as they are.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use sfu_channel::dump::PipeTransportDump;
use sfu_channel::reply::PlainConnected;
use sfu_channel::request::{Request, TransportConnect, TransportKind};
use sfu_channel::{SrtpParameters, TransportTuple};

use crate::channel::Subscription;
use crate::consumer::Consumer;
use crate::entity::lock;
use crate::error::Error;
use crate::producer::Producer;
use crate::router::Router;
use crate::transport::{ProducerOptions, Transport};

/// A pipe transport's handle. Clones are the same transport. What all transports can do is in [`Transport`].
#[derive(Debug, Clone)]
pub struct PipeTransport {
    transport: Transport,
    rtx: bool,
    srtp_parameters: Option<SrtpParameters>,
    tuple: Arc<Mutex<TransportTuple>>,
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
        let PipeTransportDump { base, tuple, rtx, srtp_parameters } = dump;
        let transport = Transport::new(router, id, base);
        transport.follow(events, |_| None, || {});
        Self { transport, rtx, srtp_parameters, tuple: Arc::new(Mutex::new(tuple)) }
    }

    /// Addresses; the remote part is absent until connected.
    pub fn tuple(&self) -> TransportTuple {
        lock(&self.tuple).clone()
    }

    /// The key of what the worker sends, when SRTP is enabled.
    pub fn srtp_parameters(&self) -> Option<&SrtpParameters> {
        self.srtp_parameters.as_ref()
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
            *lock(&self.tuple) = tuple;
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
}
