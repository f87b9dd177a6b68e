//! What mediasoup's library does around the worker: starts its process, speaks its channel, negotiates what is sent to
//! whom, and offers handles to what lives in it.
//!
//! ```no_run
//! # async fn example(capability: sfu_channel::RtpCodecCapability) -> Result<(), Box<dyn std::error::Error>> {
//! use sfu_control::{Worker, WorkerSettings, WebRtcTransportOptions, listen_everywhere};
//!
//! let worker = Worker::spawn(WorkerSettings::new("sfu-worker")).await?;
//! let router = worker.create_router(&[capability]).await?;
//! let transport = router
//!     .create_web_rtc_transport(WebRtcTransportOptions {
//!         listen_infos: listen_everywhere(["127.0.0.1".parse()?], true),
//!         ..Default::default()
//!     })
//!     .await?;
//! println!("{:?}", transport.ice_candidates());
//! worker.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Handles are cheap to clone, and all clones are the same thing in the worker. It lives until it is closed, or what it
//! belongs to is: a worker, when its process ends in whatever way, takes its routers with it, a router its transports and
//! observers, a WebRTC server the transports that use it,
//! a transport its producers and consumers, a producer its consumers; data producers and data consumers go likewise. Each
//! handle tells so by its events.
#![deny(missing_docs)]

mod channel;
mod consumer;
mod data_consumer;
mod data_message;
mod data_producer;
mod direct_transport;
mod entity;
mod error;
pub mod ortc;
mod payload_channel;
mod pipe_transport;
mod plain_transport;
mod process;
mod producer;
mod router;
mod rtp_observer;
pub mod sdp;
mod stream_ids;
mod transport;
mod web_rtc_server;
mod web_rtc_transport;
mod worker;

pub use consumer::{Consumer, ConsumerEvent};
pub use data_consumer::{DataConsumer, DataConsumerEvent};
pub use data_message::DataMessage;
pub use data_producer::{DataProducer, DataProducerEvent};
pub use direct_transport::DirectTransport;
pub use error::Error;
pub use pipe_transport::{PipeRemote, PipeTransport};
pub use plain_transport::{PlainRemote, PlainTransport};
pub use process::{DtlsFiles, PROTOCOL_VERSION, SpawnError, WorkerExit, WorkerSettings};
pub use producer::{Producer, ProducerEvent};
pub use router::{
    DirectTransportOptions, PipeToRouterOptions, PipeTransportOptions, PipedDataProducer, PipedProducer,
    PlainTransportOptions, Router, RouterEvent, WebRtcServerTransportOptions, WebRtcTransportOptions,
    listen_everywhere,
};
pub use rtp_observer::{AudioLevelObserverOptions, RtpObserver, RtpObserverEvent};
pub use sfu_channel as messages;
pub use transport::{
    ConsumerOptions, DataConsumerOptions, DataProducerOptions, ProducerOptions, Transport, TransportEvent,
};
pub use web_rtc_server::{WebRtcServer, WebRtcServerEvent};
pub use web_rtc_transport::WebRtcTransport;
pub use worker::{Worker, WorkerEnd};

#[cfg(test)]
mod handles_tests;
