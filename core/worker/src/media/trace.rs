//! Trace notifications, for those who asked for them. Nothing is made for anyone else.

use std::time::Instant;

use sfu_channel::TraceEventType;
use sfu_channel::notification::{Event, RtpPacketInfo, Trace, TraceDirection, TraceInfo};
use sfu_proto::codec::PayloadInfo;
use sfu_proto::rtp::{ExtensionKind, TransportSequence};
use sfu_reactor::udp::RecvBatch;

use super::Packet;
use super::train::Written;
use crate::channel::Output;
use crate::clock::Clock;
use crate::consumer::Consumer;
use crate::producer::Producer;
use crate::worker::Worker;

/// What a packet that is sent has in it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Content {
    /// A key frame begins with it.
    pub is_key_frame: bool,
    /// The spatial layer within its stream, 0 of simulcast.
    pub spatial_layer: u8,
    /// The temporal layer.
    pub temporal_layer: u8,
}

impl Content {
    /// That of a packet whose payload is this.
    pub(super) fn new(is_key_frame: bool, info: &PayloadInfo) -> Content {
        Content { is_key_frame, spatial_layer: info.spatial_layer, temporal_layer: info.temporal_layer }
    }
}

impl Worker {
    /// A packet of a producer has come, of its stream of that index; it is the one whose payload was looked into last.
    pub(super) fn trace_received(
        &mut self,
        now: Instant,
        producer: usize,
        stream: usize,
        packet: &Packet,
        datagram: &[u8],
        is_rtx: bool,
    ) {
        let Producer { trace: traces, streams, .. } = &self.producers[producer];
        if traces.is_empty() {
            return;
        }
        let info = streams.get(stream).map_or_else(PayloadInfo::default, |stream| stream.last_info);
        let kind = if packet.key_frame && traces.contains(TraceEventType::KeyFrame) {
            TraceEventType::KeyFrame
        } else {
            TraceEventType::Rtp
        };
        self.trace_producer(now, producer, kind, TraceDirection::In, || {
            TraceInfo::Rtp(RtpPacketInfo { is_rtx, ..packet_info(packet, &info, packet.bytes(datagram)) })
        });
    }

    /// A packet has been written for a consumer, of its stream of that index.
    pub(super) fn trace_sent(
        clock: &Clock,
        output: &mut Output,
        now: Instant,
        consumer: &Consumer,
        stream: u8,
        written: &Written,
        content: &Content,
    ) {
        let Content { is_key_frame, spatial_layer, temporal_layer } = *content;
        let kind = if is_key_frame && consumer.trace.contains(TraceEventType::KeyFrame) {
            TraceEventType::KeyFrame
        } else {
            TraceEventType::Rtp
        };
        if !consumer.trace.contains(kind) {
            return;
        }
        let Some(stream) = consumer.streams().nth(stream.into()) else { return };
        let header = &written.header;
        let mid = stream.extensions().iter().any(|(kind, _)| *kind == ExtensionKind::Mid);
        let info = TraceInfo::Rtp(RtpPacketInfo {
            payload_type: header.payload_type,
            sequence_number: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            ssrc: header.ssrc,
            is_key_frame,
            size: written.plain_len as u64,
            payload_size: written.payload_len as u64,
            spatial_layer,
            temporal_layer,
            mid: mid.then(|| String::from_utf8_lossy(stream.mid()).into_owned()),
            rid: None,
            rrid: None,
            wide_sequence_number: written.transport_sequence,
            is_rtx: stream.rtx_ssrc() == Some(header.ssrc),
        });
        let trace = Trace { trace_type: kind, timestamp: clock.millis(now), direction: TraceDirection::Out, info };
        output.notify(&consumer.id, Event::Trace(trace));
    }

    /// Something about a producer that may be traced.
    pub(super) fn trace_producer(
        &mut self,
        now: Instant,
        producer: usize,
        kind: TraceEventType,
        direction: TraceDirection,
        info: impl FnOnce() -> TraceInfo,
    ) {
        let producer = &self.producers[producer];
        if producer.trace.contains(kind) {
            let trace = Trace { trace_type: kind, timestamp: self.clock.millis(now), direction, info: info() };
            self.output.notify(&producer.id, Event::Trace(trace));
        }
    }

    /// Something about a consumer that may be traced.
    pub(super) fn trace_consumer(
        &mut self,
        now: Instant,
        consumer: usize,
        kind: TraceEventType,
        direction: TraceDirection,
        info: impl FnOnce() -> TraceInfo,
    ) {
        let consumer = &self.consumers[consumer];
        if consumer.trace.contains(kind) {
            let trace = Trace { trace_type: kind, timestamp: self.clock.millis(now), direction, info: info() };
            self.output.notify(&consumer.id, Event::Trace(trace));
        }
    }
}

impl Consumer {
    /// What is in a packet that its producer has queued, as far as that is traced.
    pub(super) fn content_of(
        &self,
        producer: &Producer,
        packet: &Packet,
        infos: &[PayloadInfo],
        batch: &RecvBatch,
    ) -> Content {
        if self.trace.is_empty() {
            return Content::default();
        }
        let info = infos.get(packet.info).copied().or_else(|| {
            let stream = producer.streams.get(packet.stream)?;
            Some(stream.peek(&packet.header, &packet.extensions, packet.bytes(batch.datagram(packet.datagram).1)))
        });
        Content::new(packet.key_frame, &info.unwrap_or_default())
    }
}

/// What a trace says of a packet.
fn packet_info(packet: &Packet, info: &PayloadInfo, bytes: &[u8]) -> RtpPacketInfo {
    let header = &packet.header;
    let text = |kind| {
        let value = packet.extensions.value(kind, bytes)?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let transport_sequence = packet.extensions.value(ExtensionKind::TransportWideCc, bytes);
    RtpPacketInfo {
        payload_type: header.payload_type,
        sequence_number: header.sequence_number,
        timestamp: header.timestamp,
        marker: header.marker,
        ssrc: header.ssrc,
        is_key_frame: packet.key_frame,
        size: header.packet_len() as u64,
        payload_size: header.payload_len() as u64,
        spatial_layer: info.spatial_layer,
        temporal_layer: info.temporal_layer,
        mid: text(ExtensionKind::Mid),
        rid: text(ExtensionKind::Rid),
        rrid: text(ExtensionKind::RepairedRid),
        wide_sequence_number: transport_sequence.and_then(TransportSequence::decode).map(|sequence| sequence.0),
        is_rtx: false,
    }
}
