//! What can go wrong.

use sfu_channel::json::FieldError;
use sfu_channel::request::Method;
use sfu_channel::response::{ErrorClass, Refusal};

use crate::ortc::OrtcError;

/// Why something that was asked of a worker was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The entity, or one that it belongs to, is closed, or the worker is gone. (mediasoup's InvalidStateError.)
    #[error("closed")]
    Closed,
    /// The worker did not answer in time.
    #[error("no answer from the worker in time [method:{0}]")]
    Timeout(Method),
    /// The worker did not say in time whether it takes a message.
    #[error("no answer from the worker in time [method:dataConsumer.send]")]
    SendTimeout,
    /// The worker refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The worker's answer is not of the form that belongs to the method.
    #[error("unusable answer from the worker: {source} [method:{method}]")]
    BadReply {
        /// The method.
        method: Method,
        /// What is wrong with the answer.
        source: FieldError,
    },
    /// The request does not fit a frame of the channel.
    #[error("request of {bytes} bytes is too long [method:{method}]")]
    TooLong {
        /// The method.
        method: Method,
        /// How long it would be.
        bytes: usize,
    },
    /// The RTP parameters or capabilities do not fit.
    #[error(transparent)]
    Ortc(#[from] OrtcError),
    /// The router has no such producer.
    #[error("producer with id {0:?} not found")]
    ProducerNotFound(String),
    /// The router has no such data producer.
    #[error("data producer with id {0:?} not found")]
    DataProducerNotFound(String),
    /// All of the transport's SCTP streams are taken.
    #[error("no SCTP stream is free")]
    NoSctpStream,
    /// The transport was made without SCTP.
    #[error("SCTP is not enabled on the transport")]
    NoSctp,
    /// An option has a value that it can't have.
    #[error("{0}")]
    WrongOption(&'static str),
}

impl Error {
    /// The name of mediasoup's error that this is: `InvalidStateError`, `TypeError`, `UnsupportedError` or `Error`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed => "InvalidStateError",
            Self::Refused(Refusal { class: ErrorClass::TypeError, .. }) | Self::WrongOption(_) => "TypeError",
            Self::Ortc(error) => error.name(),
            _ => "Error",
        }
    }
}
