//! Trace notifications, for those who asked for them. Nothing is made for anyone else.

use std::time::Instant;

use sfu_channel::TraceEventType;
use sfu_channel::notification::{Event, RtpPacketInfo, Trace, TraceDirection, TraceInfo};
use sfu_proto::rtp::{ExtensionKind, TransportSequence};

use super::Packet;
use super::egress::Written;
use crate::channel::Output;
use crate::clock::Clock;
use crate::consumer::Consumer;
use crate::worker::Worker;

impl Worker {
    /// A packet of a producer has come.
    pub(super) fn trace_received(
        &mut self,
        now: Instant,
        producer: usize,
        packet: &Packet,
        datagram: &[u8],
        is_rtx: bool,
    ) {
        let traces = &self.producers[producer].trace;
        let kind = if packet.key_frame && traces.contains(TraceEventType::KeyFrame) {
            TraceEventType::KeyFrame
        } else {
            TraceEventType::Rtp
        };
        self.trace_producer(now, producer, kind, TraceDirection::In, || {
            TraceInfo::Rtp(RtpPacketInfo { is_rtx, ..packet_info(packet, packet.bytes(datagram)) })
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
        is_key_frame: bool,
    ) {
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
            spatial_layer: 0,
            temporal_layer: 0,
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

/// What a trace says of a packet.
pub(super) fn packet_info(packet: &Packet, bytes: &[u8]) -> RtpPacketInfo {
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
        spatial_layer: 0,
        temporal_layer: 0,
        mid: text(ExtensionKind::Mid),
        rid: text(ExtensionKind::Rid),
        rrid: text(ExtensionKind::RepairedRid),
        wide_sequence_number: transport_sequence.and_then(TransportSequence::decode).map(|sequence| sequence.0),
        is_rtx: false,
    }
}
