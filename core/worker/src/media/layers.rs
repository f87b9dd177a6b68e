//! Consumers of simulcast and SVC: what happens when layers come, go or are chosen anew, and their packets on the way out.

use std::time::Instant;

use sfu_channel::notification::Event;
use sfu_proto::codec::dependency_descriptor::{Changes, MAX_LEN, Parser};
use sfu_proto::codec::vp9::References;
use sfu_proto::codec::{MAX_DESCRIPTOR_LEN, PayloadDescriptor, PayloadInfo};
use sfu_proto::layers::{Forwarder, Input as Described, Layers, Output, Released, Rewrite};
use sfu_proto::rtp::{ExtensionKind, ExtensionSpans, Header, Origin};

use super::recv_stream::RecvStream;
use super::train::{Input, Train};
use super::{Packet, StoredPacket};
use crate::consumer::Consumer;
use crate::producer::Producer;
use crate::worker::Worker;

impl Worker {
    /// What a consumer could be sent may have changed: chooses its layers anew, or asks for its transport's bandwidth to be
    /// shared out anew.
    pub fn update_layers(&mut self, now: Instant, index: usize) {
        let Worker { consumers, producers, .. } = self;
        let Some(consumer) = consumers.get_mut(index) else { return };
        let is_running = consumer.is_running();
        let Some(layered) = &mut consumer.layers else { return };
        if layered.is_shared() {
            let transport = consumer.transport;
            self.request_share(now, transport);
            return;
        }
        let Some(producer) = producers.get_mut(consumer.producer) else { return };
        let best = if is_running && layered.has_stream(producer) { layered.best(now, producer) } else { None };
        if best != layered.target() {
            self.set_target_layers(now, index, best);
        }
    }

    /// The same for all consumers of a producer.
    pub(super) fn update_consumers_layers(&mut self, now: Instant, producer: usize) {
        for position in 0..self.producers[producer].consumers.len() {
            let consumer = self.producers[producer].consumers[position];
            if self.consumers[consumer].layers.is_some() {
                self.update_layers(now, consumer);
            }
        }
    }

    /// The consumer's share of the bandwidth is complete: what it has taken is its target.
    pub fn apply_share(&mut self, now: Instant, index: usize) {
        let Some(layered) = self.consumers.get_mut(index).and_then(|consumer| consumer.layers.as_mut()) else { return };
        let target = layered.end_share(now);
        if target != layered.target() {
            self.set_target_layers(now, index, target);
        }
    }

    fn set_target_layers(&mut self, now: Instant, index: usize, target: Option<Layers>) {
        let consumer = &mut self.consumers[index];
        let Some(layered) = &mut consumer.layers else { return };
        layered.set_target(now, target);
        let spatial = target.filter(|_| layered.waits_for_key_frame()).map(|target| target.spatial);
        self.follow_layers(index);
        if let Some(spatial) = spatial {
            self.request_layer_key_frame(now, index, spatial);
        }
    }

    /// Tells when other layers than before are sent.
    fn follow_layers(&mut self, index: usize) {
        let consumer = &mut self.consumers[index];
        let Some(layered) = &mut consumer.layers else { return };
        if !layered.forwarder.poll_change() {
            return;
        }
        let current = layered.current();
        let stream = layered.current_stream();
        let has_switched = std::mem::replace(&mut consumer.producer_stream, stream) != stream;
        self.output.notify(&consumer.id, Event::LayersChange(current));
        if has_switched && current.is_some() {
            self.announce_consumer_score(index);
        }
    }

    /// Does what sending has brought about for consumers of several layers.
    pub(super) fn follow_layered_consumers(&mut self, now: Instant) {
        let mut changed = std::mem::take(&mut self.media.changed_layers);
        for index in changed.drain(..) {
            if !self.consumers.contains(index) {
                continue;
            }
            self.follow_layers(index);
            let Some(layered) = &mut self.consumers[index].layers else { continue };
            if layered.forwarder.poll_key_frame_request()
                && let Some(target) = layered.target()
            {
                self.request_layer_key_frame(now, index, target.spatial);
            }
        }
        self.media.changed_layers = changed;
    }

    /// Looks once an interval whether the layers of a transport's consumers are still the best, and asks again for key
    /// frames that did not come.
    pub(super) fn review_layers(&mut self, now: Instant, transport: usize) {
        for position in 0..self.transports[transport].consumers.len() {
            let index = self.transports[transport].consumers[position];
            if self.consumers[index].layers.is_none() {
                continue;
            }
            self.update_layers(now, index);
            let Some(layered) = &self.consumers[index].layers else { continue };
            if layered.waits_for_key_frame()
                && let Some(target) = layered.target()
            {
                self.request_layer_key_frame(now, index, target.spatial);
            }
        }
    }

    /// A consumer of several layers goes on, from a key frame.
    pub(super) fn restart_layers(&mut self, now: Instant, index: usize) {
        if let Some(layered) = &mut self.consumers[index].layers {
            layered.forwarder.require_key_frame();
            self.update_layers(now, index);
            self.request_key_frame(now, index);
        }
    }

    /// Asks for key frames of the layers that a consumer is sent and is to be sent.
    pub(super) fn request_layers_key_frames(&mut self, now: Instant, index: usize) {
        let Some(layered) = &self.consumers[index].layers else { return };
        let target = layered.target().map(|target| target.spatial);
        let current = layered.forwarder.current().map(|current| current.spatial);
        for spatial in target.into_iter().chain(current.filter(|current| target != Some(*current))) {
            self.request_layer_key_frame(now, index, spatial);
        }
    }

    fn request_layer_key_frame(&mut self, now: Instant, index: usize, spatial: u8) {
        let consumer = &self.consumers[index];
        let Some(layered) = &consumer.layers else { return };
        let producer_index = consumer.producer;
        let producer = &mut self.producers[producer_index];
        if let Some(stream) = layered.stream_of_layer(spatial).and_then(|stream| producer.streams.get(stream)) {
            producer.key_frames.handle_request(now, stream.ssrc());
            self.poll_producer(now, producer_index);
        }
    }
}

/// The values that a packet is sent with instead of its own.
pub(super) struct Rewritten {
    /// The timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload's descriptor, and the numbers to write into it.
    pub numbers: Option<(PayloadDescriptor, u16, u8)>,
    /// The references to write into that descriptor, if they are others.
    pub references: Option<References>,
    /// The dependency descriptor, with its length.
    pub dependency: Option<([u8; MAX_LEN], usize)>,
}

impl Rewritten {
    fn new(
        rewrite: &Rewrite,
        info: &PayloadInfo,
        bytes: &[u8],
        extensions: &ExtensionSpans,
        parser: &Parser,
    ) -> Rewritten {
        let dependency = info.dependency.and_then(|_| {
            let value = extensions.value(ExtensionKind::DependencyDescriptor, bytes)?;
            let mut written = [0; MAX_LEN];
            let Rewrite { frame_number, forwarded, reach, .. } = *rewrite;
            let len = parser.rewrite(value, &Changes { frame_number, forwarded, reach }, &mut written)?;
            Some((written, len))
        });
        let has_numbers = info.descriptor != PayloadDescriptor::None;
        Rewritten {
            timestamp: rewrite.timestamp,
            marker: rewrite.marker,
            numbers: has_numbers.then_some((info.descriptor, rewrite.picture_id, rewrite.tl0_pic_idx)),
            references: rewrite.references,
            dependency,
        }
    }

    /// How many bytes at the front of a payload are none of it any more when it has been patched.
    pub(super) fn excess(&self) -> usize {
        let changed = self.numbers.as_ref().zip(self.references.as_ref());
        changed.map_or(0, |((descriptor, ..), references)| descriptor.excess(references))
    }

    /// Writes the numbers into a payload. Returns the bytes that were there.
    pub(super) fn patch(&self, payload: &mut [u8]) -> [u8; MAX_DESCRIPTOR_LEN] {
        let mut saved = [0; MAX_DESCRIPTOR_LEN];
        let len = payload.len().min(MAX_DESCRIPTOR_LEN);
        saved[..len].copy_from_slice(&payload[..len]);
        if let Some((descriptor, picture_id, tl0_pic_idx)) = &self.numbers {
            descriptor.set_numbers(payload, *picture_id, *tl0_pic_idx);
            if let Some(references) = &self.references {
                descriptor.set_references(payload, references);
            }
        }
        saved
    }

    /// Puts back what [`patch`](Self::patch) has overwritten: others are sent the same payload.
    pub(super) fn restore(payload: &mut [u8], saved: [u8; MAX_DESCRIPTOR_LEN]) {
        let len = payload.len().min(MAX_DESCRIPTOR_LEN);
        payload[..len].copy_from_slice(&saved[..len]);
    }
}

impl Train<'_> {
    /// Writes a packet that a producer has queued, of which its consumer of several layers is sent this.
    pub(super) fn push_layered(
        &mut self,
        consumer: &mut Consumer,
        producer: &Producer,
        packet: &Packet,
        info: &PayloadInfo,
        output: &Output,
        datagram: &mut [u8],
    ) -> Option<()> {
        let sent = &mut consumer.stream;
        let Output { sequence_number, rewrite } = *output;
        let parser = producer.streams.get(packet.stream)?.dependencies();
        let rewritten = Rewritten::new(&rewrite, info, packet.bytes(datagram), &packet.extensions, parser);
        // In place, so that nothing but the cipher copies the payload.
        let range = packet.payload_range();
        let saved = rewritten.patch(datagram.get_mut(range.clone())?);
        let input = encoded(packet, datagram, &rewritten);
        let written = self.push_new(sent, sequence_number, &input);
        Rewritten::restore(datagram.get_mut(range)?, saved);
        written
    }
}

impl Consumer {
    /// Decides about a packet that its producer has queued: how this consumer of several layers is sent it, if it is.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        producer: &Producer,
        packet: &Packet,
        info: &PayloadInfo,
    ) -> Option<Output> {
        let layered = self.layers.as_mut()?;
        let stream = layered.layer_of_stream(packet.stream)?;
        if !self.stream.supports(packet.payload_type) {
            return None;
        }
        let is_kept = producer.streams.get(packet.stream).is_some_and(|stream| stream.stored.is_some());
        let input = Described { is_kept, ..described(stream, packet.epoch, &packet.header, info) };
        layered.handle_packet(now, self.stream.sequence(), &input, producer)
    }

    /// A packet of before that waited for the one that was decided about last.
    pub(super) fn poll_released(&mut self) -> Option<StoredPacket> {
        let Released { source, sequence_number, output } = self.layers.as_mut()?.forwarder.poll_released()?;
        let origin = Origin { source, sequence_number };
        Some(StoredPacket { stream: 0, origin, sequence_number: output.sequence_number, is_new: true })
    }

    /// How a packet that is stored was sent, if this consumer of several layers was to be sent it.
    pub(super) fn recall(
        &mut self,
        stream: &RecvStream,
        source: u16,
        header: &Header,
        extensions: &ExtensionSpans,
        bytes: &[u8],
    ) -> Option<Rewritten> {
        let layered = self.layers.as_mut()?;
        let info = stream.peek(header, extensions, bytes);
        let (layer, epoch) = Forwarder::stream_and_epoch(source);
        let rewrite = layered.forwarder.recall(source, &described(layer, epoch, header, &info))?;
        Some(Rewritten::new(&rewrite, &info, bytes, extensions, stream.dependencies()))
    }

    /// The producer's stream, by index, and the epoch of it that a packet was of that the stream of index `own` has sent.
    pub(super) fn origin(&self, own: u8, source: u16) -> Option<(usize, u16)> {
        match &self.layers {
            Some(layered) => {
                let (layer, epoch) = Forwarder::stream_and_epoch(source);
                Some((layered.stream_of_layer(layer)?, epoch))
            }
            None => Some((self.producer_stream_of(own)?, source)),
        }
    }
}

fn described<'a>(stream: u8, epoch: u16, header: &Header, info: &'a PayloadInfo) -> Described<'a> {
    let (sequence_number, timestamp, marker) = (header.sequence_number, header.timestamp, header.marker);
    Described { stream, epoch, sequence_number, timestamp, marker, is_kept: false, info }
}

fn encoded<'a>(packet: &'a Packet, datagram: &'a [u8], rewritten: &'a Rewritten) -> Input<'a> {
    Input {
        bytes: packet.bytes(datagram),
        header: &packet.header,
        extensions: &packet.extensions,
        payload_type: packet.payload_type,
        rewritten: Some(rewritten),
    }
}
