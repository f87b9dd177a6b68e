//! Messages of the payload channel: a header, and in most cases a binary payload behind it.

use crate::notification::Target;

/// The longest RTP or RTCP packet that the worker takes from the payload channel, in bytes.
pub const MAX_RTP_PAYLOAD: usize = 1600;

/// What a data message holds: the payload protocol identifier (RFC 8831, section 8).
pub mod ppid {
    /// UTF-8 text.
    pub const STRING: u32 = 51;
    /// Bytes.
    pub const BINARY: u32 = 53;
    /// An empty text; one byte is carried instead.
    pub const EMPTY_STRING: u32 = 56;
    /// No bytes; one byte is carried instead.
    pub const EMPTY_BINARY: u32 = 57;
}

/// A header from the library to the worker; a payload always follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadToWorker {
    /// An RTP packet for a producer on a direct transport.
    ProducerSend {
        /// The producer.
        producer_id: String,
    },
    /// An RTCP packet for a direct transport.
    SendRtcp {
        /// The transport.
        transport_id: String,
    },
    /// A message for a data producer on a direct transport.
    DataProducerSend {
        /// The data producer.
        data_producer_id: String,
        /// What the message holds, one of [`ppid`]; `None` if it is no number, so that the message can't be sent.
        ppid: Option<u32>,
    },
    /// A message to send on a data consumer. It is a request: a response follows.
    DataConsumerSend {
        /// The request's id.
        id: u32,
        /// The data consumer.
        data_consumer_id: String,
        /// What the message holds, one of [`ppid`]; `None` if it is no number, to which a `TypeError` is the answer.
        ppid: Option<u32>,
    },
}

/// A header from the worker to the library. A payload follows, but not behind responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadNotification {
    /// The consumer, direct transport, or data consumer.
    pub target: Target,
    /// What the payload is.
    pub event: PayloadEvent,
}

/// What a payload from the worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadEvent {
    /// An RTP packet of a consumer.
    Rtp,
    /// An RTCP packet of a direct transport.
    Rtcp,
    /// A message of a data consumer.
    Message {
        /// What the message holds, one of [`ppid`].
        ppid: u32,
    },
}
