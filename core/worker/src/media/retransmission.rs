//! Sending packets of before: again, if a consumer's peer misses them, or for the first time.

use std::time::{Duration, Instant};

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
/// The longest time between sending a packet again and once more for the sake of what feedback tells: a full queue and what
/// feedback takes. After an interruption its round trip is far longer for a while.
const MAX_PAUSE: Duration = Duration::from_millis(500);

impl Worker {
    /// The peer of a consumer misses these packets of its stream of that index, by the numbers under which they were sent.
    pub(super) fn handle_nack(&mut self, now: Instant, index: usize, own: u8, missing: impl Iterator<Item = u16>) {
        let consumer = &mut self.consumers[index];
        if !consumer.is_active() {
            return;
        }
        let transport = consumer.transport;
        let Some(stream) = consumer.stream_mut(own) else { return };
        let size = stream.mean_size();
        let mut numbers = [0; MAX_PACKETS];
        let mut count = 0;
        for (slot, sequence_number) in numbers.iter_mut().zip(missing) {
            *slot = sequence_number;
            count += 1;
        }
        // If not all may be sent again, then the newest: what came before a key frame is worth nothing after it. The peer
        // will ask for the others again, but is better off with a key frame than with waiting for them.
        let mut is_too_much = false;
        let first = self.transports[transport].pending.len();
        for sequence_number in numbers.iter().take(count).rev() {
            let entity = &mut self.transports[transport];
            if entity.bandwidth.as_mut().is_some_and(|bandwidth| !bandwidth.may_send_again(now)) {
                is_too_much = true;
                break;
            }
            // It is the feedback about single packets that tells first when a queue has made the round trip longer.
            let round_trip = entity.bandwidth.as_ref().and_then(|bandwidth| bandwidth.estimator.round_trip());
            let round_trip = round_trip.map(|time| time.min(MAX_PAUSE));
            let Some(origin) = stream.retransmit(now, *sequence_number, round_trip) else { continue };
            if let Some(bandwidth) = &mut entity.bandwidth {
                bandwidth.count_sent_again(size);
            }
            let stored = StoredPacket { stream: own, origin, sequence_number: *sequence_number, is_new: false };
            let source = Source::Stored(stored);
            let dirty = &mut self.media.dirty_transports;
            entity.push_pending(transport, Pending { consumer: index, source }, dirty);
            self.media.load += 1;
        }
        if let Some(added) = self.transports[transport].pending.get_mut(first..) {
            added.reverse();
        }
        stream.sent.handle_nack(count);
        if is_too_much {
            self.request_key_frame(now, index);
        }
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
