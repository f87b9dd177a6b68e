//! A transport between the router and the application: RTP, RTCP and messages go through the worker's payload channel.

use std::ops::Deref;

use sfu_channel::dump::TransportDump;
use sfu_channel::payload::PayloadToWorker;
use sfu_channel::request::Request;
use tokio::sync::broadcast;
use tokio_util::bytes::Bytes;

use crate::channel::Subscription;
use crate::error::Error;
use crate::payload_channel::check_packet;
use crate::router::Router;
use crate::transport::Transport;

/// A direct transport's handle. Clones are the same transport. What all transports can do is in [`Transport`].
///
/// Its producers send what the application gives them ([`Producer::send`](crate::Producer::send)), its consumers give
/// packets to the application ([`Consumer::rtp`](crate::Consumer::rtp)); so do its data producers
/// ([`DataProducer::send`](crate::DataProducer::send)) and data consumers
/// ([`DataConsumer::messages`](crate::DataConsumer::messages)).
#[derive(Debug, Clone)]
pub struct DirectTransport {
    transport: Transport,
}

impl Deref for DirectTransport {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.transport
    }
}

impl DirectTransport {
    pub(crate) fn new(router: Router, id: String, events: Subscription, dump: TransportDump) -> Self {
        let transport = Transport::new(router, id, dump);
        let ending = transport.clone();
        transport.follow(events, |_| None, move || ending.entity().channel().forget_payloads(ending.id()));
        Self { transport }
    }

    /// Sends the router an RTCP packet, which may be a compound one, about what the application receives: requests for
    /// lost packets and key frames, reports.
    pub async fn send_rtcp(&self, packet: impl Into<Bytes>) -> Result<(), Error> {
        let packet = packet.into();
        check_packet(&packet)?;
        let header = PayloadToWorker::SendRtcp { transport_id: self.id().to_owned() };
        self.entity().check_open()?;
        self.entity().channel().payload()?.send(&header, packet).await
    }

    /// RTCP packets that come from now on: about what the application sends, and sender reports of what it receives. Ends
    /// with the transport. Who is slow misses some, and is told how many.
    pub fn rtcp(&self) -> broadcast::Receiver<Bytes> {
        self.entity().packets()
    }

    /// What it has.
    pub async fn dump(&self) -> Result<TransportDump, Error> {
        self.ask(Request::TransportDump).await
    }
}
