//! Sending packets of before: again, if a consumer's peer misses them, or for the first time.

use std::time::Instant;

use sfu_channel::TraceEventType;
use sfu_channel::notification::{TraceDirection, TraceInfo};
use sfu_proto::rtp::{ExtensionSpans, Header, parse_extensions};

use super::egress::{Input, Outgoing, Train, Written};
use super::send_stream::SendStream;
use super::trace::Content;
use super::{Pending, Source, StoredPacket};
use crate::consumer::Consumer;
use crate::producer::Producer;
use crate::worker::Worker;

/// Packets that one NACK can have sent again. A peer that misses more needs a key frame.
const MAX_PACKETS: usize = 1024;

impl Worker {
    /// The peer of a consumer misses these packets of its stream of that index, by the numbers under which they were sent.
    pub(super) fn handle_nack(&mut self, now: Instant, index: usize, own: u8, missing: impl Iterator<Item = u16>) {
        let consumer = &mut self.consumers[index];
        if !consumer.is_active() {
            return;
        }
        let transport = consumer.transport;
        let Some(stream) = consumer.stream_mut(own) else { return };
        let mut count = 0;
        for sequence_number in missing.take(MAX_PACKETS) {
            count += 1;
            let Some(origin) = stream.retransmit(now, sequence_number) else { continue };
            let stored = StoredPacket { stream: own, origin, sequence_number, is_new: false };
            let pending = Pending { consumer: index, source: Source::Stored(stored) };
            let dirty = &mut self.media.dirty_transports;
            self.transports[transport].push_pending(transport, pending, dirty);
            self.media.load += 1;
        }
        stream.sent.handle_nack(count);
        self.trace_consumer(now, index, TraceEventType::Nack, TraceDirection::In, || TraceInfo::Nothing {});
    }
}

impl Train<'_> {
    /// Writes a packet that is stored. Says besides what is in it, as far as that is traced.
    pub(super) fn push_stored(
        &mut self,
        consumer: &mut Consumer,
        producer: &Producer,
        packet: &StoredPacket,
    ) -> Option<(Written, Content)> {
        let StoredPacket { stream: own, origin, sequence_number, is_new } = *packet;
        let (index, epoch) = consumer.origin(own, origin.source)?;
        let stream = producer.streams.get(index)?;
        // In another epoch the number is another packet's.
        let is_same = stream.epoch() == epoch || consumer.layers.is_some() && stream.epoch() & 0x0fff == epoch;
        let stored = stream.stored.as_ref().filter(|_| is_same)?.get(self.now, origin.sequence_number)?;
        let (header, extensions, payload_type) = describe(stored.bytes, producer)?;
        let (header, extensions) = (&header, &extensions);
        let rewritten = consumer.recall(stream, origin.source, header, extensions, stored.bytes);
        if consumer.layers.is_some() && rewritten.is_none() {
            return None;
        }
        let rewritten = rewritten.as_ref();
        let input = Input { bytes: stored.bytes, header, extensions, payload_type, rewritten };
        let has_trace = !consumer.trace.is_empty();
        let sender = consumer.stream_mut(own)?;
        let written = match is_new {
            true => self.push_first(sender, sequence_number, &input, true)?,
            false => self.push_again(sender, sequence_number, &input)?,
        };
        let content = match has_trace {
            true => {
                let is_key_frame = stream.begins_key_frame(header, extensions, stored.bytes);
                Content::new(is_key_frame, &stream.peek(header, extensions, stored.bytes))
            }
            false => Content::default(),
        };
        Some((written, content))
    }

    /// Writes a packet again: on the retransmission stream, or as it was to the byte.
    fn push_again(&mut self, stream: &mut SendStream, sequence_number: u16, input: &Input<'_>) -> Option<Written> {
        let (rtx, stamps) = match stream.next_rtx() {
            Some(rtx) => (Some(rtx), self.stamps(stream)),
            None => (None, stream.recall(sequence_number)?),
        };
        let outgoing = Outgoing { sequence_number, rtx, is_again: true, is_stored: true, stamps };
        self.push(stream, input, outgoing)
    }
}

/// What is known about a packet that was stored, as its producer's peer sent it.
fn describe(bytes: &[u8], producer: &Producer) -> Option<(Header, ExtensionSpans, u8)> {
    let header = Header::parse(bytes).ok()?;
    let extensions = parse_extensions(bytes, &header, &producer.extension_ids);
    Some((header, extensions, producer.mapped_payload_type(header.payload_type)?))
}
