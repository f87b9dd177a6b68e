//! Sending packets again that a consumer's peer misses.

use std::time::Instant;

use sfu_channel::TraceEventType;
use sfu_channel::notification::{TraceDirection, TraceInfo};

use super::{Pending, Source, StoredPacket};
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
