//! A router: producers' media goes to consumers through it.

mod options;
mod pipe;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sfu_channel::RtpCapabilities;
use sfu_channel::dump::{PipeTransportDump, PlainTransportDump, RouterDump, TransportDump, WebRtcTransportDump};
use sfu_channel::request::{
    CreateActiveSpeakerObserver, CreateAudioLevelObserver, CreateDirectTransport, CreatePipeTransport,
    CreatePlainTransport, CreateWebRtcTransport, CreateWebRtcTransportWithServer, Request, RouterId, SctpOptions,
    TransportOptions,
};
use tokio_util::sync::CancellationToken;

pub use self::options::{
    DirectTransportOptions, PipeTransportOptions, PlainTransportOptions, WebRtcServerTransportOptions,
    WebRtcTransportOptions, listen_everywhere,
};
pub use self::pipe::{PipeToRouterOptions, PipedDataProducer, PipedProducer};
use crate::channel::{Channel, Subscription};
use crate::data_producer::DataProducer;
use crate::direct_transport::DirectTransport;
use crate::entity::{Entity, entity_accessors, lock, new_id};
use crate::error::Error;
use crate::ortc;
use crate::pipe_transport::PipeTransport;
use crate::plain_transport::PlainTransport;
use crate::producer::Producer;
use crate::rtp_observer::{AudioLevelObserverOptions, RtpObserver};
use crate::web_rtc_transport::WebRtcTransport;

/// A router's handle. Clones are the same router, which lives until it or its worker is closed.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    entity: Entity<RouterEvent>,
    rtp_capabilities: RtpCapabilities,
    producers: Mutex<HashMap<String, Producer>>,
    data_producers: Mutex<HashMap<String, DataProducer>>,
    pipes: pipe::Pipes,
}

/// What happens to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterEvent {
    /// It was closed.
    Close,
    /// Its worker was closed or died, and it is closed thereby.
    WorkerClose,
}

impl Router {
    pub(crate) fn new(
        id: String,
        channel: Channel,
        closed: CancellationToken,
        rtp_capabilities: RtpCapabilities,
    ) -> Self {
        let router = Self {
            inner: Arc::new(Inner {
                entity: Entity::new(id, channel, closed.clone()),
                rtp_capabilities,
                producers: Mutex::default(),
                data_producers: Mutex::default(),
                pipes: pipe::Pipes::default(),
            }),
        };
        let inner = router.inner.clone();
        tokio::spawn(async move {
            closed.cancelled().await;
            lock(&inner.producers).clear();
            lock(&inner.data_producers).clear();
            inner.entity.emit(if inner.entity.closed_itself() { RouterEvent::Close } else { RouterEvent::WorkerClose });
        });
        router
    }

    entity_accessors!(inner.entity => RouterEvent);

    /// What can be sent to it.
    pub fn rtp_capabilities(&self) -> &RtpCapabilities {
        &self.inner.rtp_capabilities
    }

    /// Closes it and everything in it. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        let request = Request::WorkerCloseRouter(RouterId { router_id: self.id().to_owned() });
        self.inner.entity.close(None, &request).await
    }

    /// What it has.
    pub async fn dump(&self) -> Result<RouterDump, Error> {
        self.inner.entity.ask(Request::RouterDump).await
    }

    /// Whether somebody with those capabilities can consume that producer. Nobody can with invalid ones.
    pub fn can_consume(&self, producer_id: &str, rtp_capabilities: &RtpCapabilities) -> bool {
        let Some(producer) = self.producer(producer_id) else { return false };
        let mut capabilities = rtp_capabilities.clone();
        ortc::validate_rtp_capabilities(&mut capabilities).is_ok()
            && ortc::can_consume(producer.consumable_rtp_parameters(), &capabilities)
    }

    /// Makes a transport towards a browser or another WebRTC endpoint.
    pub async fn create_web_rtc_transport(&self, options: WebRtcTransportOptions) -> Result<WebRtcTransport, Error> {
        if options.listen_infos.is_empty() {
            return Err(Error::WrongOption("listen_infos is empty"));
        }
        let (transport_id, events) = self.announce_transport();
        let request = Request::RouterCreateWebRtcTransport(CreateWebRtcTransport {
            transport_id: transport_id.clone(),
            listen_infos: options.listen_infos,
            prefer_udp: options.prefer_udp,
            prefer_tcp: options.prefer_tcp,
            ice_consent_timeout: options.ice_consent_timeout,
            options: web_rtc_options(options.initial_available_outgoing_bitrate, options.sctp),
        });
        let dump: WebRtcTransportDump = self.inner.entity.ask(request).await?;
        Ok(WebRtcTransport::new(self.clone(), transport_id, events, dump))
    }

    /// Makes a transport for plain RTP, such as ffmpeg's or GStreamer's.
    pub async fn create_plain_transport(&self, options: PlainTransportOptions) -> Result<PlainTransport, Error> {
        let (transport_id, events) = self.announce_transport();
        let request = Request::RouterCreatePlainTransport(CreatePlainTransport {
            transport_id: transport_id.clone(),
            listen_info: options.listen_info,
            rtcp_listen_info: options.rtcp_listen_info,
            rtcp_mux: options.rtcp_mux,
            comedia: options.comedia,
            srtp_crypto_suite: options.srtp_crypto_suite,
            options: rtp_options(options.sctp),
        });
        let dump: PlainTransportDump = self.inner.entity.ask(request).await?;
        Ok(PlainTransport::new(self.clone(), transport_id, events, dump))
    }

    /// Makes a WebRTC transport that uses a server's ports. It is closed when the server is.
    pub async fn create_web_rtc_transport_with_server(
        &self,
        options: WebRtcServerTransportOptions,
    ) -> Result<WebRtcTransport, Error> {
        if options.server.closed() {
            return Err(Error::Closed);
        }
        let (transport_id, events) = self.announce_transport();
        let request = Request::RouterCreateWebRtcTransportWithServer(CreateWebRtcTransportWithServer {
            transport_id: transport_id.clone(),
            web_rtc_server_id: options.server.id().to_owned(),
            enable_udp: options.enable_udp,
            enable_tcp: options.enable_tcp,
            prefer_udp: options.prefer_udp,
            prefer_tcp: options.prefer_tcp,
            ice_consent_timeout: options.ice_consent_timeout,
            options: web_rtc_options(options.initial_available_outgoing_bitrate, options.sctp),
        });
        let dump: WebRtcTransportDump = self.inner.entity.ask(request).await?;
        let transport = WebRtcTransport::new(self.clone(), transport_id, events, dump);
        transport.close_with(options.server.entity().closed_token().clone());
        Ok(transport)
    }

    /// Makes a transport towards another router.
    pub async fn create_pipe_transport(&self, options: PipeTransportOptions) -> Result<PipeTransport, Error> {
        let (transport_id, events) = self.announce_transport();
        let request = Request::RouterCreatePipeTransport(CreatePipeTransport {
            transport_id: transport_id.clone(),
            listen_info: options.listen_info,
            enable_rtx: options.enable_rtx,
            enable_srtp: options.enable_srtp,
            options: rtp_options(options.sctp),
        });
        let dump: PipeTransportDump = self.inner.entity.ask(request).await?;
        Ok(PipeTransport::new(self.clone(), transport_id, events, dump))
    }

    /// Makes a transport between the router and the application.
    pub async fn create_direct_transport(&self, options: DirectTransportOptions) -> Result<DirectTransport, Error> {
        let (transport_id, events) = self.announce_transport();
        let request = Request::RouterCreateDirectTransport(CreateDirectTransport {
            transport_id: transport_id.clone(),
            max_send_message_size: options.max_message_size,
            max_receive_message_size: options.max_message_size,
        });
        let dump: TransportDump = self.inner.entity.ask(request).await?;
        Ok(DirectTransport::new(self.clone(), transport_id, events, dump))
    }

    /// The id of a transport that is about to be made, and what will happen to it: from before the worker knows it, so that
    /// nothing is missed.
    fn announce_transport(&self) -> (String, Subscription) {
        let transport_id = new_id();
        let events = self.inner.entity.channel().subscribe(transport_id.clone());
        (transport_id, events)
    }

    /// Makes an observer that tells which audio producers are loud.
    pub async fn create_audio_level_observer(&self, options: AudioLevelObserverOptions) -> Result<RtpObserver, Error> {
        let rtp_observer_id = new_id();
        let request = Request::RouterCreateAudioLevelObserver(CreateAudioLevelObserver {
            rtp_observer_id: rtp_observer_id.clone(),
            max_entries: options.max_entries,
            threshold: options.threshold,
            interval: options.interval,
        });
        self.create_rtp_observer(rtp_observer_id, request).await
    }

    /// Makes an observer that tells which audio producer's speaker is dominant. `interval` is milliseconds between two
    /// decisions; the worker keeps it within 100 to 5000.
    pub async fn create_active_speaker_observer(&self, interval: i32) -> Result<RtpObserver, Error> {
        let rtp_observer_id = new_id();
        let request = Request::RouterCreateActiveSpeakerObserver(CreateActiveSpeakerObserver {
            rtp_observer_id: rtp_observer_id.clone(),
            interval,
        });
        self.create_rtp_observer(rtp_observer_id, request).await
    }

    async fn create_rtp_observer(&self, id: String, request: Request) -> Result<RtpObserver, Error> {
        let entity = &self.inner.entity;
        let events = entity.channel().subscribe(id.clone());
        entity.tell(request).await?;
        Ok(RtpObserver::new(self.clone(), id, events))
    }

    /// The open producer of that id.
    pub(crate) fn producer(&self, id: &str) -> Option<Producer> {
        lock(&self.inner.producers).get(id).filter(|producer| !producer.closed()).cloned()
    }

    pub(crate) fn add_producer(&self, producer: &Producer) {
        lock(&self.inner.producers).insert(producer.id().to_owned(), producer.clone());
    }

    /// Forgets a producer that is closed. Another one may have its id by now.
    pub(crate) fn forget_producer(&self, id: &str) {
        let mut producers = lock(&self.inner.producers);
        if producers.get(id).is_some_and(Producer::closed) {
            producers.remove(id);
        }
    }

    /// The open data producer of that id.
    pub(crate) fn data_producer(&self, id: &str) -> Option<DataProducer> {
        lock(&self.inner.data_producers).get(id).filter(|producer| !producer.closed()).cloned()
    }

    pub(crate) fn add_data_producer(&self, producer: &DataProducer) {
        lock(&self.inner.data_producers).insert(producer.id().to_owned(), producer.clone());
    }

    /// Forgets a data producer that is closed. Another one may have its id by now.
    pub(crate) fn forget_data_producer(&self, id: &str) {
        let mut producers = lock(&self.inner.data_producers);
        if producers.get(id).is_some_and(DataProducer::closed) {
            producers.remove(id);
        }
    }
}

/// The bandwidth estimate of a WebRTC transport at first, in bits per second.
const INITIAL_OUTGOING_BITRATE: u64 = 600_000;

/// What WebRTC transports have in common with others. Their streams are data channels.
fn web_rtc_options(initial_available_outgoing_bitrate: Option<u64>, sctp: Option<SctpOptions>) -> TransportOptions {
    TransportOptions {
        initial_available_outgoing_bitrate: initial_available_outgoing_bitrate.or(Some(INITIAL_OUTGOING_BITRATE)),
        sctp: sctp.map(|sctp| SctpOptions { is_data_channel: true, ..sctp }),
    }
}

/// What plain and pipe transports have in common with others.
fn rtp_options(sctp: Option<SctpOptions>) -> TransportOptions {
    TransportOptions {
        initial_available_outgoing_bitrate: None,
        sctp: sctp.map(|sctp| SctpOptions { is_data_channel: false, ..sctp }),
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("id", &self.id()).finish_non_exhaustive()
    }
}
