//! Settings, states, events and errors of an association.

use bytes::Bytes;
use thiserror::Error;

use crate::state::State;

/// The settings of an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Streams that we want to send on.
    pub outgoing_streams: u16,
    /// Streams that the peer may send on. Data on others ends the association.
    pub incoming_streams: u16,
    /// The longest message in either direction, in bytes. A longer one that comes is dropped.
    pub max_message_size: u32,
    /// The most bytes of messages that wait to be sent and acknowledged.
    pub send_buffer_size: u32,
    /// Bytes of messages that may be on their way to us; at least a message, [`MIN_RECEIVE_WINDOW`] unless given.
    ///
    /// [`MIN_RECEIVE_WINDOW`]: super::MIN_RECEIVE_WINDOW
    pub receive_window: Option<u32>,
}

/// How long the sender of a message tries (RFC 3758, RFC 7496).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reliability {
    /// Until the peer has it.
    Reliable,
    /// For so many milliseconds.
    MaxLifetime(u16),
    /// So many times after the first.
    MaxRetransmits(u16),
}

/// How to send on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamParameters {
    /// The stream.
    pub id: u16,
    /// Whether the peer gets messages in the order in which they were sent.
    pub ordered: bool,
    /// When to give up.
    pub reliability: Reliability,
}

/// What a message holds: the payload protocol identifiers of RFC 8831, 8. Others are not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ppid {
    /// UTF-8 text.
    String,
    /// Bytes.
    Binary,
    /// An empty text; one byte is carried instead.
    StringEmpty,
    /// No bytes; one byte is carried instead.
    BinaryEmpty,
}

impl Ppid {
    /// The identifier's number.
    pub fn number(self) -> u32 {
        match self {
            Ppid::String => 51,
            Ppid::Binary => 53,
            Ppid::StringEmpty => 56,
            Ppid::BinaryEmpty => 57,
        }
    }

    /// The identifier of that number.
    pub fn from_number(number: u32) -> Option<Ppid> {
        [Ppid::String, Ppid::Binary, Ppid::StringEmpty, Ppid::BinaryEmpty]
            .into_iter()
            .find(|ppid| ppid.number() == number)
    }
}

/// What happened, from [`Association::poll_event`](super::Association::poll_event).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The association has come to another state.
    StateChange(State),
    /// A message of the peer.
    Message {
        /// The stream that it came on.
        stream_id: u16,
        /// What it holds.
        ppid: Ppid,
        /// Its bytes, at least one.
        payload: Bytes,
    },
    /// A message of the peer that nobody gets.
    MessageDropped {
        /// The stream that it came on.
        stream_id: u16,
        /// Why.
        reason: DropReason,
    },
    /// The peer has reset its stream: no more comes on it, until it is used anew.
    StreamReset {
        /// The stream.
        stream_id: u16,
    },
    /// The peer has acknowledged data, or data was abandoned.
    BufferedAmountDecreased {
        /// Bytes that had waited.
        from: usize,
        /// Bytes that wait now.
        to: usize,
    },
}

/// Why a message of the peer was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum DropReason {
    /// It is longer than messages may be.
    #[error("it has {0} bytes")]
    TooLong(usize),
    /// It would establish a data channel (RFC 8832); ours are agreed on by signalling.
    #[error("it is of DCEP")]
    Dcep,
    /// We have closed its stream, and the peer has not reset it in return.
    #[error("its stream was closed")]
    StreamClosed,
    /// It holds something that data channels don't carry.
    #[error("its payload protocol identifier is not one of data channels")]
    Ppid,
}

/// Why a packet was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SctpError {
    /// It has no whole header, or no chunk.
    #[error("a packet of {0} bytes is too short")]
    TooShort(usize),
    /// It has more than [`MAX_PACKET_LEN`](super::MAX_PACKET_LEN) bytes.
    #[error("a packet of {0} bytes is too long")]
    TooLong(usize),
    /// The association has not been started, or has ended.
    #[error("the association is {}", .0.name())]
    NotOpen(State),
}

/// Why a message can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no association.
    #[error("the association is {}", .0.name())]
    NotConnected(State),
    /// SCTP has no empty messages; see [`Ppid::StringEmpty`].
    #[error("an empty message")]
    Empty,
    /// It is longer than messages may be, or than the send buffer.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// The peer does not receive on that stream.
    #[error("the peer has no stream {0}")]
    NoStream(u16),
    /// Too much waits already.
    #[error("the send buffer is full")]
    BufferFull,
}
