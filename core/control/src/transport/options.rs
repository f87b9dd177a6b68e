//! How producers, consumers, data producers and data consumers are made.

use sfu_channel::{MediaKind, PreferredLayers, RtpCapabilities, RtpParameters, SctpStreamParameters};

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
    /// The stream that the endpoint sends on; needed over SCTP, without meaning on a direct transport.
    pub sctp_stream_parameters: Option<SctpStreamParameters>,
    /// The channel's label.
    pub label: String,
    /// The channel's subprotocol.
    pub protocol: String,
}

impl DataProducerOptions {
    /// A data producer of that stream, without label and subprotocol.
    pub fn new(sctp_stream_parameters: SctpStreamParameters) -> Self {
        Self { sctp_stream_parameters: Some(sctp_stream_parameters), ..Self::direct() }
    }

    /// A data producer on a direct transport, without label and subprotocol.
    pub fn direct() -> Self {
        Self { id: None, sctp_stream_parameters: None, label: String::new(), protocol: String::new() }
    }
}

/// How a data consumer is made. What is absent is as its data producer has it; on a direct transport, how messages are
/// sent has no meaning.
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
