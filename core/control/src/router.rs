//! A router: producers' media goes to consumers through it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use sfu_channel::dump::{PipeTransportDump, PlainTransportDump, RouterDump, WebRtcTransportDump};
use sfu_channel::request::{
    CreateActiveSpeakerObserver, CreateAudioLevelObserver, CreatePipeTransport, CreatePlainTransport,
    CreateWebRtcTransport, CreateWebRtcTransportWithServer, Request, RouterId, SctpOptions, TransportOptions,
};
use sfu_channel::{ListenInfo, Protocol, RtpCapabilities, SrtpCryptoSuite};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, Subscription};
use crate::data_producer::DataProducer;
use crate::entity::{Entity, lock, new_id};
use crate::error::Error;
use crate::ortc;
use crate::pipe_transport::PipeTransport;
use crate::plain_transport::PlainTransport;
use crate::producer::Producer;
use crate::rtp_observer::{AudioLevelObserverOptions, RtpObserver};
use crate::web_rtc_server::WebRtcServer;
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
}

/// What happens to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterEvent {
    /// It was closed.
    Close,
    /// Its worker was closed or died, and it is closed thereby.
    WorkerClose,
}

/// How a WebRTC transport is made.
#[derive(Debug, Clone, Default)]
pub struct WebRtcTransportOptions {
    /// Where to listen: 1 to 8 addresses, each with UDP, TCP or both. See [`listen_everywhere`].
    pub listen_infos: Vec<ListenInfo>,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// Seconds without consent checks after which ICE is disconnected; 0 for never. mediasoup 3.12 does not know it.
    pub ice_consent_timeout: u8,
    /// The bandwidth estimate to begin with, in bits per second; absent means 600000.
    pub initial_available_outgoing_bitrate: Option<u64>,
    /// SCTP, when enabled. Its streams are data channels.
    pub sctp: Option<SctpOptions>,
}

/// Listeners on each of those addresses with UDP and, if wanted, TCP; any port.
pub fn listen_everywhere(addresses: impl IntoIterator<Item = IpAddr>, tcp: bool) -> Vec<ListenInfo> {
    let protocols: &[Protocol] = if tcp { &[Protocol::Udp, Protocol::Tcp] } else { &[Protocol::Udp] };
    addresses.into_iter().flat_map(|ip| protocols.iter().map(move |protocol| ListenInfo::new(*protocol, ip))).collect()
}

/// How a plain transport is made.
#[derive(Debug, Clone)]
pub struct PlainTransportOptions {
    /// Where to listen for RTP (and RTCP, when multiplexed).
    pub listen_info: ListenInfo,
    /// Where to listen for RTCP; absent means the same address, any port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// Whether RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether the remote address is learnt from the first packet.
    pub comedia: bool,
    /// The cipher, when SRTP is enabled.
    pub srtp_crypto_suite: Option<SrtpCryptoSuite>,
    /// SCTP, when enabled.
    pub sctp: Option<SctpOptions>,
}

impl PlainTransportOptions {
    /// Listening on any UDP port of that address; RTCP multiplexed, the remote address given later, no SRTP, no SCTP.
    pub fn new(ip: IpAddr) -> Self {
        Self {
            listen_info: ListenInfo::new(Protocol::Udp, ip),
            rtcp_listen_info: None,
            rtcp_mux: true,
            comedia: false,
            srtp_crypto_suite: None,
            sctp: None,
        }
    }
}

/// How a WebRTC transport that uses a server's ports is made.
#[derive(Debug, Clone)]
pub struct WebRtcServerTransportOptions {
    /// The server.
    pub server: WebRtcServer,
    /// Whether its UDP sockets are used.
    pub enable_udp: bool,
    /// Whether its TCP sockets are used.
    pub enable_tcp: bool,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// The same as in [`WebRtcTransportOptions`].
    pub ice_consent_timeout: u8,
    /// The same as in [`WebRtcTransportOptions`].
    pub initial_available_outgoing_bitrate: Option<u64>,
    /// SCTP, when enabled. Its streams are data channels.
    pub sctp: Option<SctpOptions>,
}

impl WebRtcServerTransportOptions {
    /// All sockets of that server, none preferred; nothing else special.
    pub fn new(server: WebRtcServer) -> Self {
        Self {
            server,
            enable_udp: true,
            enable_tcp: true,
            prefer_udp: false,
            prefer_tcp: false,
            ice_consent_timeout: 0,
            initial_available_outgoing_bitrate: None,
            sctp: None,
        }
    }
}

/// How a pipe transport is made.
#[derive(Debug, Clone)]
pub struct PipeTransportOptions {
    /// Where to listen.
    pub listen_info: ListenInfo,
    /// Whether lost packets are sent again.
    pub enable_rtx: bool,
    /// Whether SRTP is used.
    pub enable_srtp: bool,
    /// SCTP, when enabled.
    pub sctp: Option<SctpOptions>,
}

impl PipeTransportOptions {
    /// Listening on any UDP port of that address; no RTX, no SRTP, no SCTP.
    pub fn new(ip: IpAddr) -> Self {
        let listen_info = ListenInfo::new(Protocol::Udp, ip);
        Self { listen_info, enable_rtx: false, enable_srtp: false, sctp: None }
    }
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

    /// Its id.
    pub fn id(&self) -> &str {
        self.inner.entity.id()
    }

    /// What can be sent to it.
    pub fn rtp_capabilities(&self) -> &RtpCapabilities {
        &self.inner.rtp_capabilities
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
    pub fn events(&self) -> broadcast::Receiver<RouterEvent> {
        self.inner.entity.listen()
    }

    /// Closes it and everything in it. Closing it again does nothing.
    pub async fn close(&self) -> Result<(), Error> {
        if !self.inner.entity.close_locally() {
            return Ok(());
        }
        let request = Request::WorkerCloseRouter(RouterId { router_id: self.id().to_owned() });
        self.inner.entity.channel().close(None, &request).await
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
            options: TransportOptions {
                initial_available_outgoing_bitrate: Some(options.initial_available_outgoing_bitrate.unwrap_or(600_000)),
                sctp: options.sctp.map(|sctp| SctpOptions { is_data_channel: true, ..sctp }),
            },
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
            options: TransportOptions {
                initial_available_outgoing_bitrate: None,
                sctp: options.sctp.map(|sctp| SctpOptions { is_data_channel: false, ..sctp }),
            },
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
            options: TransportOptions {
                initial_available_outgoing_bitrate: Some(options.initial_available_outgoing_bitrate.unwrap_or(600_000)),
                sctp: options.sctp.map(|sctp| SctpOptions { is_data_channel: true, ..sctp }),
            },
        });
        let dump: WebRtcTransportDump = self.inner.entity.ask(request).await?;
        let transport = WebRtcTransport::new(self.clone(), transport_id, events, dump);
        transport.close_with(options.server.closed_token().clone());
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
            options: TransportOptions {
                initial_available_outgoing_bitrate: None,
                sctp: options.sctp.map(|sctp| SctpOptions { is_data_channel: false, ..sctp }),
            },
        });
        let dump: PipeTransportDump = self.inner.entity.ask(request).await?;
        Ok(PipeTransport::new(self.clone(), transport_id, events, dump))
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

    pub(crate) fn entity(&self) -> &Entity<RouterEvent> {
        &self.inner.entity
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

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("id", &self.id()).finish_non_exhaustive()
    }
}
