//! What all transports have in common: they carry producers and consumers.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde::de::DeserializeOwned;
use sfu_channel::dump::{DataConsumerDump, DataProducerDump, SctpParameters};
use sfu_channel::notification::{DtlsStateChange, TransportTrace};
use sfu_channel::reply::{Consumed, Produced};
use sfu_channel::request::{
    Bitrate, Consume, ConsumeData, EnableTransportTraceEvent, Produce, ProduceData, Request, TransportId,
};
use sfu_channel::stats::TransportStat;
use sfu_channel::{
    DataType, IceState, MediaKind, PreferredLayers, RtpCapabilities, RtpParameters, RtpType, SctpState,
    SctpStreamParameters, TransportTraceEventType, TransportTuple,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::consumer::Consumer;
use crate::data_consumer::DataConsumer;
use crate::data_producer::DataProducer;
use crate::entity::{Entity, check_id, lock, new_id};
use crate::error::Error;
use crate::ortc;
use crate::producer::Producer;
use crate::router::Router;
use crate::stream_ids::StreamIds;

/// The common part of a transport's handle, which all kinds of transports deref to. Clones are the same transport,
/// which lives until it, its router, or its worker is closed.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<TransportEvent>,
    router: Router,
    /// Whether it was closed because the WebRTC server was whose ports it uses.
    closed_by_server: AtomicBool,
    next_mid: AtomicU32,
    /// The canonical name of all of the transport's producers: one endpoint has one clock.
    cname: Mutex<Option<String>>,
    /// The streams of its data consumers; `None` without SCTP.
    stream_ids: Option<Mutex<StreamIds>>,
}

/// MIDs go from 0 to one less, so that they have at most 8 characters.
const MID_COUNT: u32 = 100_000_000;

/// What happens to a transport.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// It was closed.
    Close,
    /// Its router, or that one's worker, was closed or died, and it is closed thereby.
    RouterClose,
    /// The WebRTC server whose ports it uses was closed, and it is closed thereby.
    WebRtcServerClose,
    /// The state of ICE changed (WebRTC).
    IceStateChange(IceState),
    /// Another tuple is nominated (WebRTC).
    IceSelectedTupleChange(TransportTuple),
    /// The state of DTLS changed (WebRTC).
    DtlsStateChange(DtlsStateChange),
    /// The state of SCTP changed.
    SctpStateChange(SctpState),
    /// It is known where RTP comes from (plain, comedia).
    Tuple(TransportTuple),
    /// It is known where RTCP comes from (plain, comedia).
    RtcpTuple(TransportTuple),
    /// Something of what is traced.
    Trace(TransportTrace),
}

/// How a producer is made.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// Its id, unique in the router, without colons; absent, it is made up.
    pub id: Option<String>,
    /// Audio or video.
    pub kind: MediaKind,
    /// What the endpoint sends.
    pub rtp_parameters: RtpParameters,
    /// Whether it begins paused.
    pub paused: bool,
    /// Milliseconds between two key frame requests at least.
    pub key_frame_request_delay: Option<u32>,
}

impl ProducerOptions {
    /// A producer of that kind and those parameters, not paused.
    pub fn new(kind: MediaKind, rtp_parameters: RtpParameters) -> Self {
        Self { id: None, kind, rtp_parameters, paused: false, key_frame_request_delay: None }
    }
}

/// How a consumer is made.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// The producer to consume.
    pub producer_id: String,
    /// What the endpoint can receive.
    pub rtp_capabilities: RtpCapabilities,
    /// Whether it begins paused. It should for video, until the endpoint is ready: then the first frame is a key frame.
    pub paused: bool,
    /// The MID; absent, the transport counts them up from 0.
    pub mid: Option<String>,
    /// The layers wanted at most (simulcast and SVC).
    pub preferred_layers: Option<PreferredLayers>,
    /// Whether lost packets are sent again; absent means for video only.
    pub enable_rtx: Option<bool>,
    /// Whether Opus DTX packets are dropped.
    pub ignore_dtx: bool,
    /// Whether all of the producer's streams are sent as they are.
    pub pipe: bool,
}

impl ConsumerOptions {
    /// A consumer of that producer for those capabilities, not paused.
    pub fn new(producer_id: impl Into<String>, rtp_capabilities: RtpCapabilities) -> Self {
        Self {
            producer_id: producer_id.into(),
            rtp_capabilities,
            paused: false,
            mid: None,
            preferred_layers: None,
            enable_rtx: None,
            ignore_dtx: false,
            pipe: false,
        }
    }
}

/// How a data producer is made.
#[derive(Debug, Clone)]
pub struct DataProducerOptions {
    /// Its id, unique in the router, without colons; absent, it is made up.
    pub id: Option<String>,
    /// The stream that the endpoint sends on.
    pub sctp_stream_parameters: SctpStreamParameters,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
}

impl DataProducerOptions {
    /// A data producer of that stream, without label and subprotocol.
    pub fn new(sctp_stream_parameters: SctpStreamParameters) -> Self {
        Self { id: None, sctp_stream_parameters, label: String::new(), protocol: String::new() }
    }
}

/// How a data consumer is made. What is absent is as its data producer has it.
#[derive(Debug, Clone)]
pub struct DataConsumerOptions {
    /// The data producer to consume.
    pub data_producer_id: String,
    /// Whether messages arrive in order.
    pub ordered: Option<bool>,
    /// Milliseconds after which a message is no longer sent again.
    pub max_packet_life_time: Option<u16>,
    /// How often a message is sent again.
    pub max_retransmits: Option<u16>,
}

impl DataConsumerOptions {
    /// A data consumer of that data producer, which sends as that one's endpoint does.
    pub fn new(data_producer_id: impl Into<String>) -> Self {
        let data_producer_id = data_producer_id.into();
        Self { data_producer_id, ordered: None, max_packet_life_time: None, max_retransmits: None }
    }
}

impl Transport {
    pub(crate) fn new(router: Router, id: String, sctp: Option<&SctpParameters>) -> Self {
        let closed = router.entity().child_token();
        Self {
            inner: Arc::new(Inner {
                entity: Entity::new(id, router.entity().channel().clone(), closed),
                router,
                closed_by_server: AtomicBool::new(false),
                next_mid: AtomicU32::new(0),
                cname: Mutex::default(),
                stream_ids: sctp.map(|sctp| Mutex::new(StreamIds::new(sctp.mis))),
            }),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.inner.entity.id()
    }

    /// The router that it belongs to.
    pub fn router(&self) -> &Router {
        &self.inner.router
    }

    /// Whether it is closed.
    pub fn closed(&self) -> bool {
        self.inner.entity.is_closed()
    }

    /// Waits until it is closed.
    pub async fn wait_closed(&self) {
        self.inner.entity.closed_token().cancelled().await;
    }

    /// What happens to it from now on.
    pub fn events(&self) -> broadcast::Receiver<TransportEvent> {
        self.inner.entity.listen()
    }

    /// Closes it, and its producers and consumers. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        if !self.inner.entity.close_locally() {
            return Ok(());
        }
        let request = Request::RouterCloseTransport(TransportId { transport_id: self.id().to_owned() });
        let router = self.router().entity();
        router.channel().close(Some(router.id()), &request).await
    }

    /// Its statistics.
    pub async fn get_stats(&self) -> Result<Vec<TransportStat>, Error> {
        self.inner.entity.ask(Request::TransportGetStats).await
    }

    /// Bounds what the peer may send, in bits per second; 0 for no bound.
    pub async fn set_max_incoming_bitrate(&self, bitrate: u64) -> Result<(), Error> {
        let request = Request::TransportSetMaxIncomingBitrate(Bitrate { bitrate });
        self.inner.entity.tell(request).await
    }

    /// Bounds what is sent to the peer, in bits per second; 0 for no bound, else at least 30000.
    pub async fn set_max_outgoing_bitrate(&self, bitrate: u64) -> Result<(), Error> {
        let request = Request::TransportSetMaxOutgoingBitrate(Bitrate { bitrate });
        self.inner.entity.tell(request).await
    }

    /// Bounds the bandwidth estimate from below, in bits per second; 0 for no bound, else at least 30000.
    pub async fn set_min_outgoing_bitrate(&self, bitrate: u64) -> Result<(), Error> {
        let request = Request::TransportSetMinOutgoingBitrate(Bitrate { bitrate });
        self.inner.entity.tell(request).await
    }

    /// Traces those things from now on, and nothing else.
    pub async fn enable_trace_event(&self, types: Vec<TransportTraceEventType>) -> Result<(), Error> {
        let request = Request::TransportEnableTraceEvent(EnableTransportTraceEvent { types });
        self.inner.entity.tell(request).await
    }

    /// Takes media from the endpoint. All of its producers get the canonical name (CNAME) of the first.
    pub async fn produce(&self, mut options: ProducerOptions) -> Result<Producer, Error> {
        let rtcp = &mut options.rtp_parameters.rtcp;
        rtcp.cname = Some(self.cname(rtcp.cname.take()));
        self.produce_as_it_is(options).await
    }

    /// The same, with the canonical name that the parameters have: behind a pipe there are many endpoints.
    pub(crate) async fn produce_as_it_is(&self, options: ProducerOptions) -> Result<Producer, Error> {
        if let Some(id) = &options.id {
            check_id(id)?;
            if self.router().producer(id).is_some() {
                return Err(Error::WrongOption("a producer with this id exists already"));
            }
        }
        let kind = options.kind;
        let mut rtp_parameters = options.rtp_parameters;
        ortc::validate_rtp_parameters(&mut rtp_parameters)?;
        if rtp_parameters.encodings.is_empty() {
            rtp_parameters.encodings.push(Default::default());
        }

        let capabilities = self.router().rtp_capabilities();
        let rtp_mapping = ortc::get_producer_rtp_parameters_mapping(&mut rtp_parameters, capabilities)?;
        let consumable = ortc::get_consumable_rtp_parameters(kind, &rtp_parameters, capabilities, &rtp_mapping)?;

        let producer_id = options.id.unwrap_or_else(new_id);
        let events = self.inner.entity.channel().subscribe(producer_id.clone());
        let request = Request::TransportProduce(Produce {
            producer_id: producer_id.clone(),
            kind,
            rtp_parameters: rtp_parameters.clone(),
            rtp_mapping,
            paused: options.paused,
            key_frame_request_delay: options.key_frame_request_delay,
            enable_mediasoup_packet_id_header_extension: false,
        });
        let Produced { rtp_type } = self.ask(request).await?;
        Ok(Producer::new(
            self.clone(),
            crate::producer::Made {
                id: producer_id,
                kind,
                rtp_type,
                rtp_parameters,
                consumable_rtp_parameters: consumable,
                paused: options.paused,
            },
            events,
        ))
    }

    /// Sends a producer's media to the endpoint.
    pub async fn consume(&self, options: ConsumerOptions) -> Result<Consumer, Error> {
        let mut capabilities = options.rtp_capabilities;
        ortc::validate_rtp_capabilities(&mut capabilities)?;
        if options.mid.as_ref().is_some_and(String::is_empty) {
            return Err(Error::WrongOption("mid is empty"));
        }
        let producer_id = options.producer_id;
        let Some(producer) = self.router().producer(&producer_id) else {
            return Err(Error::ProducerNotFound(producer_id));
        };
        let kind = producer.kind();
        let enable_rtx = options.enable_rtx.unwrap_or(kind == MediaKind::Video);
        let consumable = producer.consumable_rtp_parameters();
        let mut rtp_parameters =
            ortc::get_consumer_rtp_parameters(consumable, &capabilities, options.pipe, enable_rtx)?;
        if !options.pipe {
            rtp_parameters.mid = Some(options.mid.unwrap_or_else(|| self.next_mid()));
        }
        let rtp_type = if options.pipe { RtpType::Pipe } else { producer.rtp_type() };
        let (paused, layers, ignore_dtx) = (options.paused, options.preferred_layers, options.ignore_dtx);
        self.request_consumer(&producer, rtp_type, rtp_parameters, paused, layers, ignore_dtx).await
    }

    /// Sends all of a producer's streams to the router at the other end of a pipe.
    pub(crate) async fn consume_for_pipe(&self, producer_id: &str, enable_rtx: bool) -> Result<Consumer, Error> {
        let Some(producer) = self.router().producer(producer_id) else {
            return Err(Error::ProducerNotFound(producer_id.to_owned()));
        };
        let parameters = ortc::get_pipe_consumer_rtp_parameters(producer.consumable_rtp_parameters(), enable_rtx);
        self.request_consumer(&producer, RtpType::Pipe, parameters, false, None, false).await
    }

    async fn request_consumer(
        &self,
        producer: &Producer,
        rtp_type: RtpType,
        rtp_parameters: RtpParameters,
        paused: bool,
        preferred_layers: Option<PreferredLayers>,
        ignore_dtx: bool,
    ) -> Result<Consumer, Error> {
        let (producer_id, kind) = (producer.id().to_owned(), producer.kind());
        let consumer_id = new_id();
        let events = self.inner.entity.channel().subscribe(consumer_id.clone());
        let request = Request::TransportConsume(Consume {
            consumer_id: consumer_id.clone(),
            producer_id: producer_id.clone(),
            kind,
            rtp_parameters: rtp_parameters.clone(),
            rtp_type,
            consumable_rtp_encodings: producer.consumable_rtp_parameters().encodings.clone(),
            paused,
            preferred_layers,
            ignore_dtx,
        });
        let consumed: Consumed = self.ask(request).await?;
        Ok(Consumer::new(
            self.clone(),
            crate::consumer::Made { id: consumer_id, producer_id, kind, rtp_type, rtp_parameters, consumed },
            events,
        ))
    }

    /// Takes messages from the endpoint.
    pub async fn produce_data(&self, options: DataProducerOptions) -> Result<DataProducer, Error> {
        if let Some(id) = &options.id {
            check_id(id)?;
            if self.router().data_producer(id).is_some() {
                return Err(Error::WrongOption("a data producer with this id exists already"));
            }
        }
        let data_producer_id = options.id.unwrap_or_else(new_id);
        let events = self.inner.entity.channel().subscribe(data_producer_id.clone());
        let request = Request::TransportProduceData(ProduceData {
            data_producer_id,
            data_type: DataType::Sctp,
            sctp_stream_parameters: Some(options.sctp_stream_parameters),
            label: options.label,
            protocol: options.protocol,
            paused: false,
        });
        let made: DataProducerDump = self.ask(request).await?;
        Ok(DataProducer::new(self.clone(), made, events))
    }

    /// Sends a data producer's messages to the endpoint, on a stream of their own.
    pub async fn consume_data(&self, options: DataConsumerOptions) -> Result<DataConsumer, Error> {
        let data_producer_id = options.data_producer_id;
        let Some(producer) = self.router().data_producer(&data_producer_id) else {
            return Err(Error::DataProducerNotFound(data_producer_id));
        };
        let stream = self.take_stream_id()?;
        let like = producer.sctp_stream_parameters();
        let parameters = SctpStreamParameters {
            stream_id: stream.id,
            ordered: options.ordered.or(like.and_then(|like| like.ordered)),
            max_packet_life_time: options.max_packet_life_time.or(like.and_then(|like| like.max_packet_life_time)),
            max_retransmits: options.max_retransmits.or(like.and_then(|like| like.max_retransmits)),
        };
        let data_consumer_id = new_id();
        let events = self.inner.entity.channel().subscribe(data_consumer_id.clone());
        let request = Request::TransportConsumeData(ConsumeData {
            data_consumer_id,
            data_producer_id,
            data_type: DataType::Sctp,
            sctp_stream_parameters: Some(parameters),
            label: producer.label().to_owned(),
            protocol: producer.protocol().to_owned(),
            paused: false,
            subchannels: Vec::new(),
        });
        let made: DataConsumerDump = self.ask(request).await?;
        stream.keep();
        Ok(DataConsumer::new(self.clone(), made, events))
    }

    /// Takes a stream for a data consumer that is about to be made.
    fn take_stream_id(&self) -> Result<TakenStream<'_>, Error> {
        let ids = self.inner.stream_ids.as_ref().ok_or(Error::NoSctp)?;
        let id = lock(ids).take().ok_or(Error::NoSctpStream)?;
        Ok(TakenStream { transport: self, id, kept: false })
    }

    /// A data consumer has no more use for its stream.
    pub(crate) fn free_stream_id(&self, id: u16) {
        if let Some(ids) = &self.inner.stream_ids {
            lock(ids).free(id);
        }
    }

    pub(crate) fn entity(&self) -> &Entity<TransportEvent> {
        &self.inner.entity
    }

    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.inner.entity.ask(request).await
    }

    /// Closes it when the server is closed whose ports it uses.
    pub(crate) fn close_with(&self, server_closed: CancellationToken) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let closed = inner.entity.closed_token();
            tokio::select! {
                biased;
                () = closed.cancelled() => {}
                () = server_closed.cancelled() => {
                    inner.closed_by_server.store(true, Ordering::Relaxed);
                    closed.cancel();
                }
            }
        });
    }

    /// Tells listeners that it is closed.
    pub(crate) fn emit_close(&self) {
        let entity = &self.inner.entity;
        let by_server = self.inner.closed_by_server.load(Ordering::Relaxed) && !self.router().closed();
        entity.emit(match (entity.closed_itself(), by_server) {
            (true, _) => TransportEvent::Close,
            (false, true) => TransportEvent::WebRtcServerClose,
            (false, false) => TransportEvent::RouterClose,
        });
    }

    fn next_mid(&self) -> String {
        // Wraps with the u32, long after MID_COUNT consumers.
        let number = self.inner.next_mid.fetch_add(1, Ordering::Relaxed) % MID_COUNT;
        number.to_string()
    }

    /// The canonical name of this transport's producers: the first that one of them brings, else one made up.
    fn cname(&self, offered: Option<String>) -> String {
        let offered = offered.filter(|cname| !cname.is_empty());
        let mut cname = lock(&self.inner.cname);
        let made_up = || new_id().chars().take(8).collect();
        cname.get_or_insert_with(|| offered.unwrap_or_else(made_up)).clone()
    }
}

/// A stream that is given back unless a data consumer comes to have it, were its future to be dropped.
struct TakenStream<'a> {
    transport: &'a Transport,
    id: u16,
    kept: bool,
}

impl TakenStream<'_> {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for TakenStream<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.transport.free_stream_id(self.id);
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("id", &self.id()).finish_non_exhaustive()
    }
}
