//! What the peer of a transport says by RTCP, about what it sends and about what it receives; and what we ask it for.

use std::time::Instant;

use sfu_channel::notification::{TraceDirection, TraceInfo};
use sfu_channel::payload::PayloadEvent;
use sfu_channel::{RtpType, TraceEventType};
use sfu_proto::rtcp::{
    self, DlrrItem, FirEntry, Packet, ReportBlock, SenderInfo, XrBlock, write_fir, write_nack, write_pli,
};

use super::recv_stream::KeyFrameRequest;
use super::send_stream::ReferenceTime;
use crate::transport::Protection;
use crate::worker::Worker;

/// The SSRC of our own messages. Mediasoup's, and browsers don't mind.
pub(super) const SENDER_SSRC: u32 = 0;

/// Packets that one NACK asks for, so that it keeps within the MTU however scattered they are: each may take 4 bytes.
const MAX_NACKED: usize = 280;

impl Worker {
    /// Takes a (decrypted) compound packet.
    pub(super) fn handle_rtcp(&mut self, now: Instant, transport: usize, compound: &[u8]) {
        for packet in rtcp::packets(compound) {
            match packet {
                Ok(Packet::SenderReport(report)) => {
                    self.handle_sender_report(now, transport, &report.info);
                    for block in report.blocks.iter() {
                        self.handle_report_block(now, transport, &block);
                    }
                }
                Ok(Packet::ReceiverReport(report)) => {
                    for block in report.blocks.iter() {
                        self.handle_report_block(now, transport, &block);
                    }
                }
                Ok(Packet::Nack(nack)) => {
                    if let Some((consumer, stream)) = self.stream_by_ssrc(transport, nack.media_ssrc) {
                        self.handle_nack(now, consumer, stream, nack.sequence_numbers());
                    }
                }
                Ok(Packet::Pli(pli)) => {
                    if let Some((consumer, stream)) = self.stream_by_ssrc(transport, pli.media_ssrc) {
                        if let Some(stream) = self.consumers[consumer].stream_mut(stream) {
                            stream.sent.handle_pli();
                        }
                        self.handle_key_frame_request(now, consumer, TraceEventType::Pli, pli.media_ssrc);
                    }
                }
                Ok(Packet::Fir(fir)) => {
                    for entry in fir.entries() {
                        if let Some((consumer, stream)) = self.stream_by_ssrc(transport, entry.ssrc) {
                            if let Some(stream) = self.consumers[consumer].stream_mut(stream) {
                                stream.sent.handle_fir();
                            }
                            self.handle_key_frame_request(now, consumer, TraceEventType::Fir, entry.ssrc);
                        }
                    }
                }
                Ok(Packet::ExtendedReport(report)) => {
                    for block in report.blocks() {
                        match block {
                            XrBlock::ReceiverReferenceTime(ntp) => {
                                let time = ReferenceTime { ssrc: report.ssrc, compact: ntp.compact(), at: now };
                                for consumer in &self.transports[transport].consumers {
                                    for stream in self.consumers[*consumer].streams_mut() {
                                        stream.reference_time = Some(time);
                                    }
                                }
                            }
                            XrBlock::Dlrr(items) => {
                                for item in items.iter() {
                                    let ssrc = if item.ssrc == 0 { report.ssrc } else { item.ssrc };
                                    self.handle_dlrr(now, transport, &DlrrItem { ssrc, ..item });
                                }
                            }
                            XrBlock::Other { .. } => {}
                        }
                    }
                }
                Ok(Packet::TransportCc(feedback)) => self.handle_transport_feedback(now, transport, &feedback),
                Ok(Packet::Remb(remb)) => self.handle_remb(now, transport, remb.bitrate),
                // CNAMEs are known from signalling, and a BYE is confirmed by it.
                Ok(_) => {}
                Err(error) => crate::warn!(Rtcp, "RTCP ignored: {error}"),
            }
        }
    }

    /// The consumer that sends media on that SSRC, and the index of its stream.
    pub(super) fn stream_by_ssrc(&self, transport: usize, ssrc: u32) -> Option<(usize, u8)> {
        let consumer = *self.transports[transport].consumers_by_ssrc.get(&ssrc)?;
        Some((consumer, self.consumers[consumer].stream_by_ssrc(ssrc)?))
    }

    fn handle_sender_report(&mut self, now: Instant, transport: usize, info: &SenderInfo) {
        let Some(producer) = self.transports[transport].listener.by_ssrc(info.ssrc) else { return };
        let mut is_first = false;
        for stream in &mut self.producers[producer].streams {
            if stream.ssrc() == info.ssrc {
                is_first |= stream.sender_clock().is_none();
                stream.received.handle_sender_report(now, info);
            } else if stream.rtx_ssrc() == Some(info.ssrc)
                && let Some(received) = stream.rtx_received()
            {
                received.handle_sender_report(now, info);
            }
        }
        // Streams of a simulcast can be brought into line now.
        if is_first && self.producers[producer].rtp_type != RtpType::Simple {
            self.update_consumers_layers(now, producer);
        }
    }

    fn handle_dlrr(&mut self, now: Instant, transport: usize, item: &DlrrItem) {
        let ntp = self.clock.ntp(now);
        let Some(producer) = self.transports[transport].listener.by_ssrc(item.ssrc) else { return };
        for stream in self.producers[producer].streams.iter_mut().filter(|stream| stream.ssrc() == item.ssrc) {
            if let Some(rtt) = stream.received.handle_dlrr(ntp, item)
                && let Some(nack) = &mut stream.nack
            {
                nack.handle_rtt(rtt);
            }
        }
    }

    fn handle_report_block(&mut self, now: Instant, transport: usize, block: &ReportBlock) {
        let Some((index, stream)) = self.stream_by_ssrc(transport, block.ssrc) else { return };
        let ntp = self.clock.ntp(now);
        let consumer = &mut self.consumers[index];
        let Some(stream) = consumer.stream_mut(stream) else { return };
        stream.sent.handle_report_block(ntp, block);
        if stream.score.update(stream.sent.totals()).is_some() && !consumer.is_pipe() {
            self.announce_consumer_score(index);
        }
    }

    fn handle_key_frame_request(&mut self, now: Instant, consumer: usize, kind: TraceEventType, ssrc: u32) {
        self.trace_consumer(now, consumer, kind, TraceDirection::In, || TraceInfo::Ssrc { ssrc });
        self.request_key_frame(now, consumer);
    }

    /// Asks a producer's peer for missing packets.
    pub(super) fn send_nack(&mut self, now: Instant, producer: usize, ssrc: u32, missing: &[u16]) {
        self.trace_producer(now, producer, TraceEventType::Nack, TraceDirection::Out, || TraceInfo::Nothing {});
        let transport = self.producers[producer].transport;
        for missing in missing.chunks(MAX_NACKED) {
            self.send_rtcp(now, transport, |out| write_nack(out, SENDER_SSRC, ssrc, missing));
        }
    }

    /// Asks a producer's peer for a key frame.
    pub(super) fn send_key_frame_request(&mut self, now: Instant, producer: usize, ssrc: u32) {
        let entity = &mut self.producers[producer];
        let transport = entity.transport;
        let stream = entity.streams.iter_mut().find(|stream| stream.ssrc() == ssrc);
        let Some(request) = stream.and_then(|stream| stream.key_frame_request()) else { return };
        let kind = match request {
            KeyFrameRequest::Pli => TraceEventType::Pli,
            KeyFrameRequest::Fir { .. } => TraceEventType::Fir,
        };
        self.trace_producer(now, producer, kind, TraceDirection::Out, || TraceInfo::Ssrc { ssrc });
        self.send_rtcp(now, transport, |out| match request {
            KeyFrameRequest::Pli => write_pli(out, SENDER_SSRC, ssrc),
            KeyFrameRequest::Fir { sequence_number } => {
                write_fir(out, SENDER_SSRC, &[FirEntry { ssrc, sequence_number }])
            }
        });
    }

    /// Sends what `write` appends as one (compound) packet to a transport's peer, if it is known and the keys are.
    pub(super) fn send_rtcp(&mut self, now: Instant, transport: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let transport = &mut self.transports[transport];
        let path = transport.rtcp_path();
        if path.is_none() && !transport.is_direct() {
            return;
        }
        let compound = &mut self.media.rtcp;
        compound.clear();
        write(compound);
        if compound.is_empty() {
            return;
        }
        match &mut transport.protection {
            Protection::None => {}
            Protection::Pending => return,
            Protection::Srtp { sender, .. } => {
                if let Err(error) = sender.protect_rtcp(compound) {
                    crate::warn!(Srtp, "RTCP not sent: {error}");
                    return;
                }
            }
        }
        let Some(path) = path else {
            transport.traffic.sent.add(now, compound.len());
            self.output.notify_with_payload(&transport.id, PayloadEvent::Rtcp, compound);
            return;
        };
        let sent = self.sockets.send(&path, compound);
        transport.traffic.sent.add(now, compound.len() - sent.dropped_bytes);
        transport.dropped += sent.dropped as u64;
    }
}
