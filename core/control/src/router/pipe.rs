//! Producers and data producers of one router in another one, through a pair of pipe transports.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use scopeguard::ScopeGuard;
use sfu_channel::request::SctpOptions;
use tokio::sync::OnceCell;
use tracing::debug;

use super::{PipeTransportOptions, Router};
use crate::consumer::Consumer;
use crate::data_consumer::DataConsumer;
use crate::data_producer::DataProducer;
use crate::entity::lock;
use crate::error::Error;
use crate::pipe_transport::{PipeRemote, PipeTransport};
use crate::producer::Producer;
use crate::transport::{DataConsumerOptions, DataProducerOptions, ProducerOptions};

/// How two routers are piped. Between two routers there is one pipe for all that goes through it in either direction, made
/// as the first asks for.
#[derive(Debug, Clone)]
pub struct PipeToRouterOptions {
    /// The address of both ends of the pipe.
    pub listen_ip: IpAddr,
    /// Whether lost packets are sent again.
    pub enable_rtx: bool,
    /// Whether SRTP is used.
    pub enable_srtp: bool,
    /// SCTP, which data producers need.
    pub sctp: Option<SctpOptions>,
}

impl Default for PipeToRouterOptions {
    /// On this host, with SCTP for the longest messages; no RTX, no SRTP.
    fn default() -> Self {
        let longest = SctpOptions::MAX_SEND_BUFFER_SIZE;
        Self {
            listen_ip: Ipv4Addr::LOCALHOST.into(),
            enable_rtx: false,
            enable_srtp: false,
            sctp: Some(SctpOptions {
                max_send_message_size: longest,
                max_receive_message_size: longest,
                send_buffer_size: longest,
                ..SctpOptions::default()
            }),
        }
    }
}

/// A producer that is in another router too.
#[derive(Debug, Clone)]
pub struct PipedProducer {
    /// What consumes it in its own router.
    pub consumer: Consumer,
    /// What it is in the other router, by the same id. It is paused and resumed with the original, and closed with it or
    /// with `consumer`, as `consumer` is with it.
    pub producer: Producer,
}

/// A data producer that is in another router too.
#[derive(Debug, Clone)]
pub struct PipedDataProducer {
    /// What consumes it in its own router.
    pub data_consumer: DataConsumer,
    /// What it is in the other router, by the same id. It is closed with the original or with `data_consumer`, as
    /// `data_consumer` is with it.
    pub data_producer: DataProducer,
}

/// The pipes towards other routers, by those routers' ids. Of two routers the one with the lesser id has their pipe.
pub(super) type Pipes = Mutex<HashMap<String, Arc<OnceCell<Pipe>>>>;

/// Both ends of a pipe.
#[derive(Clone)]
pub(super) struct Pipe {
    /// In the router with the lesser id.
    lesser: PipeTransport,
    /// In the other one.
    greater: PipeTransport,
}

impl Router {
    /// Brings a producer into another router, mostly of another worker: two workers share the consumers of one producer.
    /// The producer there has the same id, so that the two routers can't be of one worker.
    pub async fn pipe_producer_to_router(
        &self,
        producer_id: &str,
        to: &Router,
        options: &PipeToRouterOptions,
    ) -> Result<PipedProducer, Error> {
        if self.producer(producer_id).is_none() {
            return Err(Error::ProducerNotFound(producer_id.to_owned()));
        }
        let (near, far) = self.pipe(to, options).await?;
        let consumer = scopeguard::guard(near.consume(producer_id).await?, |consumer| consumer.close_unheard());
        let mut producing = ProducerOptions::new(consumer.kind(), consumer.rtp_parameters().clone());
        producing.id = Some(producer_id.to_owned());
        producing.paused = consumer.producer_paused();
        let producer = far.produce(producing).await?;
        let consumer = ScopeGuard::into_inner(consumer);
        tokio::spawn(keep_alike(consumer.clone(), producer.clone()));
        Ok(PipedProducer { consumer, producer })
    }

    /// Brings a data producer into another router, like [`Router::pipe_producer_to_router`].
    pub async fn pipe_data_producer_to_router(
        &self,
        data_producer_id: &str,
        to: &Router,
        options: &PipeToRouterOptions,
    ) -> Result<PipedDataProducer, Error> {
        if self.data_producer(data_producer_id).is_none() {
            return Err(Error::DataProducerNotFound(data_producer_id.to_owned()));
        }
        let (near, far) = self.pipe(to, options).await?;
        let consumer = near.consume_data(DataConsumerOptions::new(data_producer_id)).await?;
        let consumer = scopeguard::guard(consumer, |consumer| consumer.close_unheard());
        let producing = DataProducerOptions {
            id: Some(data_producer_id.to_owned()),
            sctp_stream_parameters: consumer.sctp_stream_parameters(),
            label: consumer.label().to_owned(),
            protocol: consumer.protocol().to_owned(),
        };
        let data_producer = far.produce_data(producing).await?;
        let data_consumer = ScopeGuard::into_inner(consumer);
        tokio::spawn(close_alike(data_consumer.clone(), data_producer.clone()));
        Ok(PipedDataProducer { data_consumer, data_producer })
    }

    /// The two ends of the pipe to another router, this one's first. It is made if there is none.
    async fn pipe(&self, to: &Router, options: &PipeToRouterOptions) -> Result<(PipeTransport, PipeTransport), Error> {
        if self.id() == to.id() {
            return Err(Error::WrongOption("a router can not be piped to itself"));
        }
        let (lesser, greater) = if self.id() < to.id() { (self, to) } else { (to, self) };
        loop {
            let cell = lock(&lesser.inner.pipes).entry(greater.id().to_owned()).or_default().clone();
            let made = cell.get_or_try_init(|| Pipe::make(lesser, greater, &cell, options)).await;
            let Pipe { lesser: one, greater: other } = made.inspect_err(|_| lesser.forget_unmade(&cell))?.clone();
            if !one.closed() && !other.closed() {
                return Ok(if self.id() < to.id() { (one, other) } else { (other, one) });
            }
            // It is just about to be forgotten. Towards a closed router no new one can be made.
            lesser.forget_pipe(&cell);
        }
    }

    fn forget_pipe(&self, cell: &Arc<OnceCell<Pipe>>) {
        lock(&self.inner.pipes).retain(|_, kept| !Arc::ptr_eq(kept, cell));
    }

    /// Forgets a pipe that could not be made, unless somebody else is about to try.
    fn forget_unmade(&self, cell: &Arc<OnceCell<Pipe>>) {
        lock(&self.inner.pipes).retain(|_, kept| {
            // One of them is the caller's, one the map's, from which all others come.
            !Arc::ptr_eq(kept, cell) || kept.initialized() || Arc::strong_count(kept) > 2
        });
    }
}

impl Pipe {
    /// Makes both ends and connects them. `cell` is where it is to be kept, until either end is closed.
    async fn make(
        lesser: &Router,
        greater: &Router,
        cell: &Arc<OnceCell<Self>>,
        options: &PipeToRouterOptions,
    ) -> Result<Self, Error> {
        let end = async |router: &Router| {
            let mut of_transport = PipeTransportOptions::new(options.listen_ip);
            of_transport.enable_rtx = options.enable_rtx;
            of_transport.enable_srtp = options.enable_srtp;
            of_transport.sctp = options.sctp.clone();
            let transport = router.create_pipe_transport(of_transport).await?;
            Ok::<_, Error>(scopeguard::guard(transport, |transport| transport.close_unheard()))
        };
        let (one, other) = (end(lesser).await?, end(greater).await?);
        one.connect(remote(&other, options)).await?;
        other.connect(remote(&one, options)).await?;
        let pipe = Self { lesser: ScopeGuard::into_inner(one), greater: ScopeGuard::into_inner(other) };
        tokio::spawn(pipe.clone().forget(lesser.clone(), cell.clone()));
        Ok(pipe)
    }

    /// Waits until either end is closed; closes the other one, and lets a new pipe be made.
    async fn forget(self, keeper: Router, cell: Arc<OnceCell<Self>>) {
        tokio::select! {
            () = self.lesser.wait_closed() => {}
            () = self.greater.wait_closed() => {}
        }
        keeper.forget_pipe(&cell);
        self.lesser.close_unheard();
        self.greater.close_unheard();
    }
}

fn remote(transport: &PipeTransport, options: &PipeToRouterOptions) -> PipeRemote {
    PipeRemote {
        ip: options.listen_ip,
        port: transport.tuple().local_port,
        srtp_parameters: transport.srtp_parameters().cloned(),
    }
}

/// Pauses and resumes a producer as the one is that is consumed, until either end is closed; then closes the other.
async fn keep_alike(consumer: Consumer, producer: Producer) {
    let mut events = consumer.events();
    loop {
        let paused = consumer.producer_paused();
        if producer.paused() != paused {
            let changed = if paused { producer.pause().await } else { producer.resume().await };
            if let Err(error) = changed {
                debug!(producer = producer.id(), "a piped producer is not as its original: {error}");
            }
        }
        tokio::select! {
            () = consumer.wait_closed() => break,
            () = producer.wait_closed() => break,
            // Who has missed some events reads the state, and that is all that counts.
            _ = events.recv() => {}
        }
    }
    consumer.close_unheard();
    producer.close_unheard();
}

/// Closes a data consumer and a data producer with each other.
async fn close_alike(consumer: DataConsumer, producer: DataProducer) {
    tokio::select! {
        () = consumer.wait_closed() => {}
        () = producer.wait_closed() => {}
    }
    consumer.close_unheard();
    producer.close_unheard();
}
