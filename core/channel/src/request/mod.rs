//! Requests of the library to the worker: their methods, and each one's data.

mod create;
mod transport;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

pub use self::create::*;
pub use self::transport::*;
use crate::types::{LogLevel, PreferredLayers};

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
