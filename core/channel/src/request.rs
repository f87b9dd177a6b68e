//! Requests of the library to the worker: their methods, and each one's data.

use std::net::IpAddr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::rtp_parameters::{MediaKind, RtpEncodingParameters, RtpMapping, RtpParameters};
use crate::serde_helpers::{any_number, known_names};
use crate::types::{
    DataType, DtlsParameters, ListenInfo, LogLevel, NumSctpStreams, PreferredLayers, Protocol, RtpType,
    SctpStreamParameters, SrtpParameters, TraceEventType, TransportTraceEventType,
};

/// Calls a macro with the table of all requests: entity, name on the wire, variant, and type of the data if it has any.
macro_rules! for_each_request {
    ($callback:ident) => {
        $callback! {
            Worker "worker.dump" WorkerDump;
            Worker "worker.getResourceUsage" WorkerGetResourceUsage;
            Worker "worker.updateSettings" WorkerUpdateSettings(UpdateSettings);
            Worker "worker.close" WorkerClose;
            Worker "worker.createWebRtcServer" WorkerCreateWebRtcServer(CreateWebRtcServer);
            Worker "worker.closeWebRtcServer" WorkerCloseWebRtcServer(WebRtcServerId);
            Worker "worker.createRouter" WorkerCreateRouter(RouterId);
            Worker "worker.closeRouter" WorkerCloseRouter(RouterId);
            WebRtcServer "webRtcServer.dump" WebRtcServerDump;
            Router "router.dump" RouterDump;
            Router "router.createWebRtcTransport" RouterCreateWebRtcTransport(CreateWebRtcTransport);
            Router "router.createWebRtcTransportWithServer" RouterCreateWebRtcTransportWithServer(CreateWebRtcTransportWithServer);
            Router "router.createPlainTransport" RouterCreatePlainTransport(CreatePlainTransport);
            Router "router.createPipeTransport" RouterCreatePipeTransport(CreatePipeTransport);
            Router "router.createDirectTransport" RouterCreateDirectTransport(CreateDirectTransport);
            Router "router.closeTransport" RouterCloseTransport(TransportId);
            Router "router.createActiveSpeakerObserver" RouterCreateActiveSpeakerObserver(CreateActiveSpeakerObserver);
            Router "router.createAudioLevelObserver" RouterCreateAudioLevelObserver(CreateAudioLevelObserver);
            Router "router.closeRtpObserver" RouterCloseRtpObserver(RtpObserverId);
            Transport "transport.dump" TransportDump;
            Transport "transport.getStats" TransportGetStats;
            Transport "transport.connect" TransportConnect(TransportConnect);
            Transport "transport.restartIce" TransportRestartIce;
            Transport "transport.setMaxIncomingBitrate" TransportSetMaxIncomingBitrate(Bitrate);
            Transport "transport.setMaxOutgoingBitrate" TransportSetMaxOutgoingBitrate(Bitrate);
            Transport "transport.setMinOutgoingBitrate" TransportSetMinOutgoingBitrate(Bitrate);
            Transport "transport.produce" TransportProduce(Produce);
            Transport "transport.consume" TransportConsume(Consume);
            Transport "transport.produceData" TransportProduceData(ProduceData);
            Transport "transport.consumeData" TransportConsumeData(ConsumeData);
            Transport "transport.enableTraceEvent" TransportEnableTraceEvent(EnableTransportTraceEvent);
            Transport "transport.closeProducer" TransportCloseProducer(ProducerId);
            Transport "transport.closeConsumer" TransportCloseConsumer(ConsumerId);
            Transport "transport.closeDataProducer" TransportCloseDataProducer(DataProducerId);
            Transport "transport.closeDataConsumer" TransportCloseDataConsumer(DataConsumerId);
            Producer "producer.dump" ProducerDump;
            Producer "producer.getStats" ProducerGetStats;
            Producer "producer.pause" ProducerPause;
            Producer "producer.resume" ProducerResume;
            Producer "producer.enableTraceEvent" ProducerEnableTraceEvent(EnableTraceEvent);
            Consumer "consumer.dump" ConsumerDump;
            Consumer "consumer.getStats" ConsumerGetStats;
            Consumer "consumer.pause" ConsumerPause;
            Consumer "consumer.resume" ConsumerResume;
            Consumer "consumer.setPreferredLayers" ConsumerSetPreferredLayers(PreferredLayers);
            Consumer "consumer.setPriority" ConsumerSetPriority(Priority);
            Consumer "consumer.requestKeyFrame" ConsumerRequestKeyFrame;
            Consumer "consumer.enableTraceEvent" ConsumerEnableTraceEvent(EnableTraceEvent);
            DataProducer "dataProducer.dump" DataProducerDump;
            DataProducer "dataProducer.getStats" DataProducerGetStats;
            DataConsumer "dataConsumer.dump" DataConsumerDump;
            DataConsumer "dataConsumer.getStats" DataConsumerGetStats;
            DataConsumer "dataConsumer.getBufferedAmount" DataConsumerGetBufferedAmount;
            DataConsumer "dataConsumer.setBufferedAmountLowThreshold" DataConsumerSetBufferedAmountLowThreshold(BufferedAmountLowThreshold);
            RtpObserver "rtpObserver.pause" RtpObserverPause;
            RtpObserver "rtpObserver.resume" RtpObserverResume;
            RtpObserver "rtpObserver.addProducer" RtpObserverAddProducer(ProducerId);
            RtpObserver "rtpObserver.removeProducer" RtpObserverRemoveProducer(ProducerId);
        }
    };
}
pub(crate) use for_each_request;

macro_rules! define_requests {
    ($($entity:ident $name:literal $variant:ident $(($data:ty))?;)*) => {
        /// What a request asks for, apart from its data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Method {
            /// All methods.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The method of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The kind of entity that answers it.
            pub fn entity(self) -> Entity {
                match self {
                    $(Self::$variant => Entity::$entity,)*
                }
            }
        }

        /// A request, with its data.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "a request lives for one call, and is never stored")]
        pub enum Request {
            $(#[doc = concat!("`", $name, "`")] $variant $(($data))?,)*
        }

        impl Request {
            /// Its method.
            pub fn method(&self) -> Method {
                match self {
                    $(define_requests!(@pattern $variant $(($data))?) => Method::$variant,)*
                }
            }
        }
    };
    (@pattern $variant:ident ($data:ty)) => { Self::$variant(_) };
    (@pattern $variant:ident) => { Self::$variant };
}
for_each_request!(define_requests);

impl Request {
    /// The request to the same entity that closes what this one makes; `None` if it makes nothing.
    pub fn undo(&self) -> Option<Self> {
        let close_transport = |transport_id: &String| {
            let transport_id = transport_id.clone();
            Self::RouterCloseTransport(TransportId { transport_id })
        };
        let close_observer = |rtp_observer_id: &String| {
            let rtp_observer_id = rtp_observer_id.clone();
            Self::RouterCloseRtpObserver(RtpObserverId { rtp_observer_id })
        };
        Some(match self {
            Self::WorkerCreateWebRtcServer(CreateWebRtcServer { web_rtc_server_id, .. }) => {
                Self::WorkerCloseWebRtcServer(WebRtcServerId { web_rtc_server_id: web_rtc_server_id.clone() })
            }
            Self::WorkerCreateRouter(id) => Self::WorkerCloseRouter(id.clone()),
            Self::RouterCreateWebRtcTransport(made) => close_transport(&made.transport_id),
            Self::RouterCreateWebRtcTransportWithServer(made) => close_transport(&made.transport_id),
            Self::RouterCreatePlainTransport(made) => close_transport(&made.transport_id),
            Self::RouterCreatePipeTransport(made) => close_transport(&made.transport_id),
            Self::RouterCreateDirectTransport(made) => close_transport(&made.transport_id),
            Self::RouterCreateActiveSpeakerObserver(made) => close_observer(&made.rtp_observer_id),
            Self::RouterCreateAudioLevelObserver(made) => close_observer(&made.rtp_observer_id),
            Self::TransportProduce(Produce { producer_id, .. }) => {
                Self::TransportCloseProducer(ProducerId { producer_id: producer_id.clone() })
            }
            Self::TransportConsume(Consume { consumer_id, .. }) => {
                Self::TransportCloseConsumer(ConsumerId { consumer_id: consumer_id.clone() })
            }
            Self::TransportProduceData(ProduceData { data_producer_id, .. }) => {
                Self::TransportCloseDataProducer(DataProducerId { data_producer_id: data_producer_id.clone() })
            }
            Self::TransportConsumeData(ConsumeData { data_consumer_id, .. }) => {
                Self::TransportCloseDataConsumer(DataConsumerId { data_consumer_id: data_consumer_id.clone() })
            }
            _ => return None,
        })
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What lives in a worker and answers requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// The worker itself.
    Worker,
    /// A listener that several WebRTC transports share.
    WebRtcServer,
    /// A router.
    Router,
    /// A transport of any kind.
    Transport,
    /// A producer.
    Producer,
    /// A consumer.
    Consumer,
    /// A data producer.
    DataProducer,
    /// A data consumer.
    DataConsumer,
    /// An observer of RTP.
    RtpObserver,
}

/// Data of `worker.updateSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSettings {
    /// The new log level.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "log_level")]
    pub log_level: Option<LogLevel>,
    /// The new log tags; unknown ones have no effect, and entries that are no text are left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "texts")]
    pub log_tags: Option<Vec<String>>,
}

/// Reads a log level, whatever its case.
fn log_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LogLevel>, D::Error> {
    let name = String::deserialize(deserializer)?;
    match LogLevel::from_name(&name) {
        Some(level) => Ok(Some(level)),
        None => Err(D::Error::custom(format!("invalid value: {name:?}, expected debug, warn, error or none"))),
    }
}

/// Reads a list of texts, without what is no text.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let values = Option::<Vec<serde_json::Value>>::deserialize(deserializer)?;
    Ok(values.map(|values| {
        values
            .into_iter()
            .filter_map(|value| match value {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            })
            .collect()
    }))
}

macro_rules! id_struct {
    ($(#[$doc:meta])* $name:ident { $field:ident }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The id, any text.
            pub $field: String,
        }
    };
}

id_struct!(
    /// Names a WebRTC server.
    WebRtcServerId { web_rtc_server_id }
);
id_struct!(
    /// Names a router.
    RouterId { router_id }
);
id_struct!(
    /// Names a transport.
    TransportId { transport_id }
);
id_struct!(
    /// Names an observer.
    RtpObserverId { rtp_observer_id }
);
id_struct!(
    /// Names a producer.
    ProducerId { producer_id }
);
id_struct!(
    /// Names a consumer.
    ConsumerId { consumer_id }
);
id_struct!(
    /// Names a data producer.
    DataProducerId { data_producer_id }
);
id_struct!(
    /// Names a data consumer.
    DataConsumerId { data_consumer_id }
);

/// The most listeners that one transport or server may have.
pub const MAX_LISTEN_INFOS: usize = 8;

/// Data of `worker.createWebRtcServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateWebRtcServer {
    /// The new server's id.
    pub web_rtc_server_id: String,
    /// Where to listen: 1 to 8 places.
    pub listen_infos: Vec<ListenInfo>,
}

/// Options that transports have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransportOptions {
    /// The bandwidth estimate to begin with, in bits per second.
    pub initial_available_outgoing_bitrate: Option<u64>,
    /// SCTP, when enabled.
    pub sctp: Option<SctpOptions>,
}

/// Options of SCTP on a transport. The 3.12 generation knows one message size, which stands for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SctpOptions {
    /// Numbers of streams.
    pub num_streams: NumSctpStreams,
    /// The longest message that may be sent, in bytes.
    pub max_send_message_size: u32,
    /// The longest message that may be received, in bytes.
    pub max_receive_message_size: u32,
    /// The most bytes that wait to be sent.
    pub send_buffer_size: u32,
    /// The most bytes of one stream that wait to be sent (newer generations).
    pub per_stream_send_queue_limit: Option<u32>,
    /// The receiver's window in bytes (newer generations).
    pub max_receiver_window_size: Option<u32>,
    /// Bytes at which data consumers say that their buffer is low, unless they are told otherwise (newer generations).
    pub default_buffered_amount_low_threshold: Option<u32>,
    /// Whether the streams are WebRTC data channels.
    pub is_data_channel: bool,
}

impl SctpOptions {
    /// `send_buffer_size` when none is given.
    pub const DEFAULT_SEND_BUFFER_SIZE: u32 = 262_144;
    /// The largest `send_buffer_size`.
    pub const MAX_SEND_BUFFER_SIZE: u32 = 268_435_456;
}

impl Default for SctpOptions {
    fn default() -> Self {
        Self {
            num_streams: NumSctpStreams::default(),
            max_send_message_size: 262_144,
            max_receive_message_size: 262_144,
            send_buffer_size: Self::DEFAULT_SEND_BUFFER_SIZE,
            per_stream_send_queue_limit: None,
            max_receiver_window_size: None,
            default_buffered_amount_low_threshold: None,
            is_data_channel: false,
        }
    }
}

/// Data of `router.createWebRtcTransport`.
///
/// The 3.12 generation names addresses and enables UDP and TCP on all of them. They become one [`ListenInfo`] an
/// address and protocol, address by address, UDP before TCP: the order of the ICE candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateWebRtcTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// Where to listen: 1 to 8 addresses, each with UDP, TCP or both.
    pub listen_infos: Vec<ListenInfo>,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// Seconds without consent checks after which ICE is disconnected (newer generations); 0 for never.
    pub ice_consent_timeout: u8,
    /// Options of all transports.
    pub options: TransportOptions,
}

impl CreateWebRtcTransport {
    /// The local preference (RFC 8445, 5.1.2.1) of the candidate of each of `listen_infos`: 10000, less 100 for each
    /// address before its own, and 1000 more if its protocol is preferred. An address is one entry of 3.12's list: the
    /// same IP address may be there twice, announced as two.
    pub fn local_preferences(&self) -> Vec<u16> {
        let infos = &self.listen_infos;
        let mut index = 0;
        let preference = |(position, info): (usize, &ListenInfo)| {
            let before = position.checked_sub(1).and_then(|before| infos.get(before));
            index += usize::from(before.is_some_and(|before| !is_tcp_of(info, before)));
            local_preference(info.protocol, index, self.prefer_udp, self.prefer_tcp)
        };
        infos.iter().enumerate().map(preference).collect()
    }
}

/// Whether a listener is the TCP one of the same address as the UDP one before it.
fn is_tcp_of(info: &ListenInfo, before: &ListenInfo) -> bool {
    (before.protocol, info.protocol) == (Protocol::Udp, Protocol::Tcp)
        && (before.ip, &before.announced_address) == (info.ip, &info.announced_address)
}

/// The local preference (RFC 8445, 5.1.2.1) of a candidate on the address, or a WebRTC server's listener, of that index.
pub fn local_preference(protocol: Protocol, index: usize, prefer_udp: bool, prefer_tcp: bool) -> u16 {
    let preferred = match protocol {
        Protocol::Udp => prefer_udp,
        Protocol::Tcp => prefer_tcp,
    };
    let base: u16 = if preferred { 11_000 } else { 10_000 };
    base.saturating_sub(u16::try_from(index * 100).unwrap_or(u16::MAX))
}

/// Data of `router.createWebRtcTransportWithServer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateWebRtcTransportWithServer {
    /// The new transport's id.
    pub transport_id: String,
    /// The server that listens for it.
    pub web_rtc_server_id: String,
    /// Whether the server's UDP sockets are used.
    pub enable_udp: bool,
    /// Whether the server's TCP sockets are used.
    pub enable_tcp: bool,
    /// Whether UDP candidates get a higher priority.
    pub prefer_udp: bool,
    /// Whether TCP candidates get a higher priority.
    pub prefer_tcp: bool,
    /// Seconds without consent checks after which ICE is disconnected (newer generations); 0 for never.
    pub ice_consent_timeout: u8,
    /// Options of all transports.
    pub options: TransportOptions,
}

/// Data of `router.createPlainTransport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePlainTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// Where to listen for RTP (and RTCP, when multiplexed).
    pub listen_info: ListenInfo,
    /// Where to listen for RTCP (newer generations); absent means the same address, any port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// Whether RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether the remote address is learnt from the first packet.
    pub comedia: bool,
    /// The cipher, when SRTP is enabled.
    pub srtp_crypto_suite: Option<crate::types::SrtpCryptoSuite>,
    /// Options of all transports.
    pub options: TransportOptions,
}

/// Data of `router.createPipeTransport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePipeTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// Where to listen.
    pub listen_info: ListenInfo,
    /// Whether NACK and RTX are used.
    pub enable_rtx: bool,
    /// Whether SRTP is used.
    pub enable_srtp: bool,
    /// Options of all transports.
    pub options: TransportOptions,
}

/// Data of `router.createDirectTransport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateDirectTransport {
    /// The new transport's id.
    pub transport_id: String,
    /// The longest message that may be sent, in bytes. The 3.12 generation knows one size, which stands for both.
    pub max_send_message_size: u32,
    /// The longest message that may be received, in bytes.
    pub max_receive_message_size: u32,
}

/// Data of `router.createActiveSpeakerObserver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateActiveSpeakerObserver {
    /// The new observer's id.
    pub rtp_observer_id: String,
    /// Milliseconds between decisions; the worker keeps it within 100 to 5000.
    #[serde(deserialize_with = "any_number")]
    pub interval: i32,
}

/// Data of `router.createAudioLevelObserver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateAudioLevelObserver {
    /// The new observer's id.
    pub rtp_observer_id: String,
    /// The most producers that are reported, at least 1.
    pub max_entries: u16,
    /// The lowest volume that is reported, -127 to 0 dBov.
    pub threshold: i8,
    /// Milliseconds between reports; the worker keeps it within 250 to 5000.
    #[serde(deserialize_with = "any_number")]
    pub interval: i32,
}

/// The kinds of transports that are connected to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// Towards a WebRTC endpoint.
    WebRtc,
    /// Towards a plain RTP endpoint.
    Plain,
    /// Towards a router.
    Pipe,
}

/// Data of `transport.connect`. Which members are needed depends on the kind of the transport:
/// WebRTC: `dtls_parameters`; plain and pipe: the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportConnect {
    /// The kind of the transport. The 3.12 generation does not say it, newer ones have a method for each.
    #[serde(skip)]
    pub kind: Option<TransportKind>,
    /// The peer's fingerprint and role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtls_parameters: Option<DtlsParameters>,
    /// The remote address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// The remote port (of RTP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The remote port of RTCP, when it is not multiplexed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_port: Option<u16>,
    /// The key of what the peer sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp_parameters: Option<SrtpParameters>,
}

/// Data of `transport.set...Bitrate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bitrate {
    /// Bits per second; 0 for no bound.
    pub bitrate: u64,
}

/// Data of `transport.produce`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Produce {
    /// The new producer's id.
    pub producer_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is sent to the worker.
    pub rtp_parameters: RtpParameters,
    /// How it becomes what the router uses.
    pub rtp_mapping: RtpMapping,
    /// Whether it begins paused.
    #[serde(default)]
    pub paused: bool,
    /// Milliseconds between two key frame requests at least; 0 for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_frame_request_delay: Option<u32>,
    /// Whether consumers may get mediasoup's packet id extension (newer generations).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_mediasoup_packet_id_header_extension: bool,
}

/// Data of `transport.consume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consume {
    /// The new consumer's id.
    pub consumer_id: String,
    /// The producer to consume.
    pub producer_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What the worker is to send.
    pub rtp_parameters: RtpParameters,
    /// How the streams are forwarded.
    #[serde(rename = "type")]
    pub rtp_type: RtpType,
    /// The producer's streams as they are inside the router.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
    /// Whether it begins paused.
    #[serde(default)]
    pub paused: bool,
    /// The layers wanted at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_layers: Option<PreferredLayers>,
    /// Whether Opus DTX packets are dropped.
    #[serde(default)]
    pub ignore_dtx: bool,
}

/// Data of `transport.produceData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProduceData {
    /// The new data producer's id.
    pub data_producer_id: String,
    /// How it is carried.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Its stream, when carried over SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    /// The channel's label.
    #[serde(default)]
    pub label: String,
    /// The channel's subprotocol.
    #[serde(default)]
    pub protocol: String,
    /// Whether it begins paused (newer generations).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// Data of `transport.consumeData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumeData {
    /// The new data consumer's id.
    pub data_consumer_id: String,
    /// The data producer to consume.
    pub data_producer_id: String,
    /// How it is carried.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// Its stream, when carried over SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    /// The channel's label.
    #[serde(default)]
    pub label: String,
    /// The channel's subprotocol.
    #[serde(default)]
    pub protocol: String,
    /// Whether it begins paused (newer generations).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The subchannels to receive (newer generations).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subchannels: Vec<u16>,
}

/// Data of `transport.enableTraceEvent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnableTransportTraceEvent {
    /// What to trace from now on; nothing else is traced. Unknown names on the wire are left out.
    #[serde(with = "known_names")]
    pub types: Vec<TransportTraceEventType>,
}

/// Data of `producer.enableTraceEvent` and `consumer.enableTraceEvent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnableTraceEvent {
    /// What to trace from now on; nothing else is traced. Unknown names on the wire are left out.
    #[serde(with = "known_names")]
    pub types: Vec<TraceEventType>,
}

/// Data of `consumer.setPriority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    /// 1 (lowest) to 255.
    pub priority: u8,
}

/// Data of `dataConsumer.setBufferedAmountLowThreshold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferedAmountLowThreshold {
    /// Bytes.
    pub threshold: u32,
}
