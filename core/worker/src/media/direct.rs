//! The way in from the library: what it sends on direct transports takes the same steps as what a peer sends.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use sfu_channel::payload::MAX_RTP_PAYLOAD;
use sfu_proto::rtp::{Header, is_rtcp, is_rtp};
use sfu_reactor::udp::RecvBatch;

use crate::worker::Worker;

/// The sender that such packets have in the batch.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Worker {
    /// Takes an RTP packet that the library sends on a producer's transport. The batch must have room for it.
    pub fn handle_rtp_from_library(&mut self, now: Instant, producer: usize, batch: &mut RecvBatch, bytes: &[u8]) {
        let index = self.producers[producer].transport;
        let transport = &mut self.transports[index];
        transport.traffic.received.add(now, bytes.len());
        if bytes.len() > MAX_RTP_PAYLOAD {
            crate::warn!(Rtp, "RTP from the library ignored: {} bytes [transport:{}]", bytes.len(), transport.id);
            return;
        }
        let Some(header) = Header::parse(bytes).ok().filter(|_| is_rtp(bytes)) else {
            crate::warn!(Rtp, "RTP from the library ignored: it is none [transport:{}]", transport.id);
            return;
        };
        let Some(place) = batch.push(NOBODY, bytes) else { return };
        self.media.load += 1;
        let packet = transport.describe_rtp(now, place, header, bytes);
        let (_, datagram) = batch.datagram_mut(place);
        self.route(now, index, packet, datagram);
    }

    /// Takes an RTCP packet that the library sends on a direct transport.
    pub fn handle_rtcp_from_library(&mut self, now: Instant, index: usize, bytes: &[u8]) {
        let transport = &mut self.transports[index];
        transport.traffic.received.add(now, bytes.len());
        if bytes.len() > MAX_RTP_PAYLOAD || !is_rtcp(bytes) {
            crate::warn!(Rtcp, "RTCP from the library ignored: too long, or none [transport:{}]", transport.id);
            return;
        }
        self.media.load += 1;
        self.handle_rtcp(now, index, bytes);
    }
}
