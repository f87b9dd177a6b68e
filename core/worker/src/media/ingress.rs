//! The first step: what is this datagram, may it come in, and what does its header say.

use std::time::Instant;

use sfu_channel::notification::Event;
use sfu_proto::rtp::{AbsSendTime, ExtensionKind, Header, TransportSequence, is_rtcp, is_rtp, parse_extensions};
use sfu_proto::sctp::is_sctp;
use sfu_proto::stun::is_stun;
use sfu_reactor::udp::RecvBatch;

use super::Packet;
use crate::sockets::Owner;
use crate::transport::plain::Origin;
use crate::transport::webrtc::ice_tuple;
use crate::transport::{Kind, Path, Protection, Transport};
use crate::worker::Worker;

impl Worker {
    /// Takes datagram `index` of the batch, which has come through that socket.
    pub fn handle_datagram(&mut self, now: Instant, socket: usize, batch: &mut RecvBatch, index: usize) {
        let Some(owner) = self.sockets.get(socket).map(|socket| socket.owner) else { return };
        let (remote, datagram) = batch.datagram_mut(index);
        let path = Path { socket, remote: *remote };
        self.media.load += 1;
        let transport = match owner {
            Owner::Transport(transport) if self.transports.contains(transport) => transport,
            Owner::Transport(_) => return,
            Owner::WebRtcServer(server) => {
                let server = self.web_rtc_servers.get(server);
                let Some(transport) = server.and_then(|server| server.find_transport(path, datagram)) else {
                    crate::debug!(Ice, "packet from {} ignored: it is for no transport of the server", path.remote);
                    return;
                };
                transport
            }
        };
        self.transports[transport].traffic.received.add(now, datagram.len());
        // RFC 7983, by the first byte; RFC 5761, by the second.
        if is_rtp(datagram) {
            if let Some(packet) = self.open_rtp(now, transport, path, index, datagram) {
                self.route(now, transport, packet, datagram);
            }
        } else if is_rtcp(datagram) {
            if let Some(len) = self.open_rtcp(now, transport, path, datagram) {
                self.handle_rtcp(now, transport, &datagram[..len]);
            }
        } else if is_stun(datagram) {
            self.handle_stun(now, transport, path, datagram);
        } else if matches!(datagram.first(), Some(20..=63)) {
            self.handle_dtls(now, transport, path, datagram);
        } else if is_sctp(datagram) {
            self.handle_sctp(now, transport, path, datagram);
        }
    }

    /// Takes an SCTP packet that came as it is, beside RTP. Those of WebRTC transports come in DTLS.
    fn handle_sctp(&mut self, now: Instant, index: usize, path: Path, datagram: &[u8]) {
        let is_protected = matches!(self.transports[index].kind, Kind::WebRtc(_));
        if !is_protected && self.is_from_peer(now, index, path, false) {
            self.transports[index].receive_sctp(now, datagram);
            self.mark_sctp(index);
        }
    }

    /// Decrypts an RTP packet in place and parses its header.
    fn open_rtp(
        &mut self,
        now: Instant,
        index: usize,
        path: Path,
        datagram_index: usize,
        datagram: &mut [u8],
    ) -> Option<Packet> {
        if !self.is_valid_webrtc_path(index, &path) {
            return None;
        }
        let transport = &mut self.transports[index];
        let len = match &mut transport.protection {
            Protection::None => datagram.len(),
            Protection::Pending => return None,
            Protection::Srtp { receiver, .. } => match receiver.unprotect_rtp(datagram) {
                Ok(len) => len,
                Err(error) => {
                    crate::warn!(Srtp, "RTP from {} ignored: {error}", path.remote);
                    return None;
                }
            },
        };
        let packet = datagram.get(..len)?;
        // Before anything is learnt from it.
        let header = match Header::parse(packet) {
            Ok(header) => header,
            Err(error) => {
                crate::warn!(Rtp, "RTP from {} ignored: {error}", path.remote);
                return None;
            }
        };
        if !self.is_from_peer(now, index, path, false) {
            return None;
        }
        Some(self.transports[index].describe_rtp(now, datagram_index, header, packet))
    }

    /// Decrypts an RTCP packet in place and returns its length.
    fn open_rtcp(&mut self, now: Instant, index: usize, path: Path, datagram: &mut [u8]) -> Option<usize> {
        if !self.is_valid_webrtc_path(index, &path) {
            return None;
        }
        let len = match &mut self.transports[index].protection {
            Protection::None => datagram.len(),
            Protection::Pending => return None,
            Protection::Srtp { receiver, .. } => match receiver.unprotect_rtcp(datagram) {
                Ok(len) => len,
                Err(error) => {
                    crate::warn!(Srtp, "RTCP from {} ignored: {error}", path.remote);
                    return None;
                }
            },
        };
        (len <= datagram.len() && self.is_from_peer(now, index, path, true)).then_some(len)
    }

    /// Whether ICE has validated the path. Other kinds of transports judge later, when the packet is authentic.
    fn is_valid_webrtc_path(&self, index: usize, path: &Path) -> bool {
        match &self.transports[index].kind {
            Kind::WebRtc(webrtc) if webrtc.path() == Some(*path) => true,
            Kind::WebRtc(webrtc) => self
                .sockets
                .get(path.socket)
                .is_some_and(|socket| webrtc.ice.is_valid_tuple(&ice_tuple(socket.protocol(), socket.local, path))),
            Kind::Plain(_) | Kind::Pipe(_) | Kind::Direct => true,
        }
    }

    /// Whether an authentic packet comes from the peer. A plain transport may learn just now who that is.
    fn is_from_peer(&mut self, now: Instant, index: usize, path: Path, is_rtcp: bool) -> bool {
        let transport = &mut self.transports[index];
        let origin = match &mut transport.kind {
            Kind::WebRtc(_) | Kind::Direct => return true,
            Kind::Plain(plain) => plain.judge(path, is_rtcp),
            Kind::Pipe(pipe) if pipe.path == Some(path) => return true,
            Kind::Pipe(_) => Origin::Stranger,
        };
        match origin {
            Origin::Peer => true,
            Origin::Stranger => {
                crate::debug!(Rtp, "packet from unknown address {} ignored", path.remote);
                false
            }
            Origin::Learnt => {
                let Kind::Plain(plain) = &transport.kind else { return false };
                let event = match plain.rtcp_tuple(&self.sockets).filter(|_| is_rtcp) {
                    Some(tuple) => Event::RtcpTuple(tuple),
                    None => Event::Tuple(plain.tuple(&self.sockets)),
                };
                self.output.notify(&transport.id, event);
                self.update_connected(now, index);
                true
            }
        }
    }
}

impl Transport {
    /// What is known of a packet that has come, whose header has been parsed: where it lies and what its header
    /// extensions say. Its sender's bandwidth estimation is told of it.
    pub(super) fn describe_rtp(&mut self, now: Instant, datagram: usize, header: Header, bytes: &[u8]) -> Packet {
        let extensions = parse_extensions(bytes, &header, &self.recv_extensions);
        if let Some(feedback) = &mut self.congestion_feedback {
            let value = |kind| extensions.value(kind, bytes);
            if feedback.estimates() {
                if let Some(time) = value(ExtensionKind::AbsSendTime).and_then(AbsSendTime::decode) {
                    feedback.handle_send_time(now, time, header.packet_len());
                }
            } else if let Some(TransportSequence(sequence)) =
                value(ExtensionKind::TransportWideCc).and_then(TransportSequence::decode)
            {
                feedback.handle_packet(now, header.ssrc, sequence);
            }
        }
        Packet {
            datagram,
            offset: 0,
            header,
            extensions,
            stream: 0,
            epoch: 0,
            payload_type: header.payload_type,
            key_frame: false,
            silence: false,
            info: usize::MAX,
        }
    }
}
