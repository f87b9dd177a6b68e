//! Sending packets of before: again, if a consumer's peer misses them, or for the first time.

use std::time::{Duration, Instant};

use sfu_channel::TraceEventType;
use sfu_channel::notification::{TraceDirection, TraceInfo};
use sfu_proto::rtp::{ExtensionSpans, Header, Origin, parse_extensions};

use super::send_stream::SendStream;
use super::trace::Content;
use super::train::{Input, Outgoing, Train};
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
        if !self.consumers[index].is_active() {
            return;
        }
        let mut numbers = [0; MAX_PACKETS];
        let mut count = 0;
        for (slot, sequence_number) in numbers.iter_mut().zip(missing) {
            *slot = sequence_number;
            count += 1;
        }
        let numbers = numbers.get(..count).unwrap_or_default();
        // It is the feedback about single packets that tells first when a queue has made the round trip longer.
        let transport = self.consumers[index].transport;
        let bandwidth = self.transports[transport].bandwidth.as_ref();
        let round_trip = bandwidth.and_then(|bandwidth| bandwidth.estimator.round_trip());
        let round_trip = round_trip.map(|time| time.min(MAX_PAUSE));
        // The peer will ask for the others again, but is better off with a key frame than with waiting for them.
        if !self.send_again(index, own, numbers, now, |stream, number| stream.retransmit(now, number, round_trip)) {
            self.request_key_frame(now, index);
        }
        if let Some(stream) = self.consumers[index].stream_mut(own) {
            stream.sent.handle_nack(count);
        }
        self.trace_consumer(now, index, TraceEventType::Nack, TraceDirection::In, || TraceInfo::Nothing {});
    }

    /// Sends again what has been lost again, by what a transport's peer has told, and asks for key frames instead of what is
    /// lost for good.
    pub(super) fn repeat_lost(&mut self, now: Instant, transport: usize) {
        while let Some(lost) =
            self.transports[transport].bandwidth.as_mut().and_then(|bandwidth| bandwidth.repeats.poll_lost())
        {
            let Some((index, own)) = self.stream_by_ssrc(transport, lost.ssrc) else { continue };
            if !self.consumers[index].is_active() {
                continue;
            }
            let numbers = [lost.sequence_number];
            let repeat = |stream: &mut SendStream, number| stream.retransmit_lost(now, number);
            if lost.is_given_up || !self.send_again(index, own, &numbers, now, repeat) {
                self.request_key_frame(now, index);
            }
        }
    }

    /// Has packets of a consumer's stream sent again, as far as `retransmit` says of which packets of the producer's they
    /// are. If there is not enough bandwidth for all, then the newest: what came before a key frame is worth nothing after
    /// it. Returns whether there is.
    fn send_again(
        &mut self,
        index: usize,
        own: u8,
        numbers: &[u16],
        now: Instant,
        retransmit: impl Fn(&mut SendStream, u16) -> Option<Origin>,
    ) -> bool {
        let consumer = &mut self.consumers[index];
        let transport = consumer.transport;
        let Some(stream) = consumer.stream_mut(own) else { return true };
        let size = stream.mean_size();
        let entity = &mut self.transports[transport];
        let mut is_enough = true;
        let first = entity.pending.len();
        for sequence_number in numbers.iter().rev() {
            if entity.bandwidth.as_mut().is_some_and(|bandwidth| !bandwidth.may_send_again(now)) {
                is_enough = false;
                break;
            }
            let Some(origin) = retransmit(stream, *sequence_number) else { continue };
            if let Some(bandwidth) = &mut entity.bandwidth {
                bandwidth.count_sent_again(size);
            }
            let stored = StoredPacket { stream: own, origin, sequence_number: *sequence_number, is_new: false };
            let source = Source::Stored(stored);
            let dirty = &mut self.media.dirty_transports;
            entity.push_pending(transport, Pending { consumer: index, source }, dirty);
            self.media.load += 1;
        }
        if let Some(added) = entity.pending.get_mut(first..) {
            added.reverse();
        }
        is_enough
    }
}

impl Train<'_> {
    /// Writes a packet that is stored. Says besides what is in it, as far as that is traced.
    pub(super) fn push_stored(
        &mut self,
        consumer: &mut Consumer,
        producer: &Producer,
        packet: &StoredPacket,
    ) -> Option<Content> {
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
        let may_be_forgotten =
            consumer.layers.as_ref().is_some_and(|layered| layered.has_spatial_layers_in_one_stream());
        let sender = consumer.stream_mut(own)?;
        match is_new {
            true => self.push_first(sender, sequence_number, &input, true)?,
            false => self.push_again(sender, sequence_number, &input)?,
        }
        let has_own_number = !is_new && sender.rtx_ssrc().is_some();
        if may_be_forgotten
            && has_own_number
            && let (Some(bandwidth), Some(number)) = (&mut self.bandwidth, self.last.transport_sequence)
        {
            bandwidth.repeats.handle_sent(number, sender.ssrc(), sequence_number);
        }
        if !has_trace {
            return Some(Content::default());
        }
        let is_key_frame = stream.begins_key_frame(header, extensions, stored.bytes);
        Some(Content::new(is_key_frame, &stream.peek(header, extensions, stored.bytes)))
    }

    /// Writes a packet again: on the retransmission stream, or as it was to the byte.
    fn push_again(&mut self, stream: &mut SendStream, sequence_number: u16, input: &Input<'_>) -> Option<()> {
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
