//! The last step: per transport, what this turn has for its consumers goes into one train, and leaves together.

use std::time::Instant;

use sfu_proto::rtp::AbsSendTime;
use sfu_reactor::udp::RecvBatch;

use super::train::{Input, Sink, Totals, Train, Written};
use super::{Pending, Source};
use crate::transport::Transport;
use crate::worker::Worker;

/// Entries that a transport's list keeps its memory for. Many packets sent again at once are rare.
const KEPT_PENDING: usize = 256;

impl Worker {
    /// Ends the handling of what has been routed: sends it, with what comes meanwhile, and asks its producers what they want.
    pub fn finish_routing(&mut self, now: Instant, batch: &mut RecvBatch) {
        self.fan_out();
        self.emit(now, batch, true);
        // What came while others were sent to, for those.
        self.fan_out();
        self.emit(now, batch, false);
        for position in 0..self.media.touched_producers.len() {
            let index = self.media.touched_producers[position];
            if let Some(producer) = self.producers.get_mut(index) {
                producer.touched = false;
                producer.queue.clear();
                self.poll_producer(now, index);
            }
        }
        self.media.touched_producers.clear();
        self.media.packets.clear();
        self.media.infos.clear();
        self.media.intake.forget_sources();
        self.media.load = 0;
        self.follow_layered_consumers(now);
    }

    /// Notes on the transports of consumers that there are packets for them that they have not been offered.
    fn fan_out(&mut self) {
        for position in 0..self.media.touched_producers.len() {
            let index = self.media.touched_producers[position];
            self.expect_fan_out(index);
            let Worker { producers, consumers, transports, media, .. } = self;
            let Some(producer) = producers.get_mut(index) else { continue };
            if !producer.queue.begin_fan_out() {
                continue;
            }
            for index in &producer.consumers {
                let consumer = &consumers[*index];
                if consumer.is_active() && producer.queue.has_news(consumer.offered) {
                    transports[consumer.transport].push_pending(
                        consumer.transport,
                        Pending { consumer: *index, source: Source::Queue },
                        &mut media.dirty_transports,
                    );
                }
            }
        }
    }

    /// Sends what is pending on all transports, and looks for more while it does, if it may.
    fn emit(&mut self, now: Instant, batch: &mut RecvBatch, may_look: bool) {
        std::mem::swap(&mut self.media.dirty_transports, &mut self.media.served_transports);
        let mut served = std::mem::take(&mut self.media.served_transports);
        let mut look = self.media.intake.next_look(0).filter(|_| may_look);
        for (position, transport) in served.iter().enumerate() {
            if look == Some(position) {
                self.look_again(now, batch);
                look = self.media.intake.next_look(position);
            }
            self.expect_sending(served.get(position + 1..).unwrap_or_default());
            self.emit_on(now, *transport, batch);
            self.schedule_bandwidth(*transport);
        }
        served.clear();
        self.media.served_transports = served;
    }

    fn emit_on(&mut self, now: Instant, index: usize, batch: &mut RecvBatch) {
        let Worker { transports, consumers, producers, sockets, media, clock, output, .. } = self;
        let Some(transport) = transports.get_mut(index) else { return };
        let mut pending = std::mem::take(&mut transport.pending);
        let path = transport.rtp_path();
        let sink = match path {
            Some(path) => sockets.get_mut(path.socket).map(|socket| Sink::Network { socket, remote: path.remote }),
            None => transport.is_direct().then_some(Sink::Library),
        };
        if let Some(sink) = sink {
            let mut train = Train {
                sink,
                protection: &mut transport.protection,
                transport_sequence: &mut transport.transport_sequence,
                bandwidth: transport.bandwidth.as_deref_mut(),
                now,
                abs_send_time: AbsSendTime::from_duration(clock.elapsed(now)).encode(),
                buffer: &mut media.send_buffer,
                len: 0,
                lengths: &mut media.lengths,
                scratch: &mut media.scratch,
                last: Written::default(),
                totals: Totals::default(),
            };
            for Pending { consumer: consumer_index, source } in &pending {
                let Some(consumer) = consumers.get_mut(*consumer_index) else { continue };
                let Some(producer) = producers.get(consumer.producer) else { continue };
                match source {
                    Source::Queue => {
                        for index in producer.queue.after(consumer.offered) {
                            let Some(packet) = media.packets.get(*index) else { continue };
                            let (own, sent) = if consumer.layers.is_some() {
                                let Some(info) = media.infos.get(packet.info) else { continue };
                                let decision = consumer.decide(now, producer, packet, info);
                                if let Some(released) = consumer.poll_released() {
                                    let sent = train.push_stored(consumer, producer, &released);
                                    train.follow(clock, output, consumer, 0, sent);
                                }
                                let Some(decision) = decision else { continue };
                                let (_, datagram) = batch.datagram_mut(packet.datagram);
                                (0, train.push_layered(consumer, producer, packet, info, &decision, datagram))
                            } else {
                                let Some(own) = consumer.stream_for(packet.stream) else { continue };
                                let Some(stream) = consumer.stream_mut(own) else { continue };
                                let Some(sequence_number) = stream.accept(packet) else { continue };
                                let input = Input {
                                    bytes: packet.bytes(batch.datagram(packet.datagram).1),
                                    header: &packet.header,
                                    extensions: &packet.extensions,
                                    payload_type: packet.payload_type,
                                    rewritten: None,
                                };
                                (own, train.push_new(stream, sequence_number, &input))
                            };
                            let sent = sent.map(|()| consumer.content_of(producer, packet, &media.infos, batch));
                            train.follow(clock, output, consumer, own, sent);
                        }
                        consumer.offered = producer.queue.end();
                        if consumer.layers.as_ref().is_some_and(|layered| layered.forwarder.has_news()) {
                            media.changed_layers.push(*consumer_index);
                        }
                    }
                    Source::Stored(stored) => {
                        let sent = train.push_stored(consumer, producer, stored);
                        train.follow(clock, output, consumer, stored.stream, sent);
                    }
                }
            }
            train.send();
            let totals = train.totals;
            transport.count_sent(now, &totals);
            if let Some(path) = path {
                sockets.update_interest(path.socket);
            }
        }
        pending.clear();
        pending.shrink_to(KEPT_PENDING);
        transport.pending = pending;
    }
}

impl Transport {
    /// Notes what is to be sent at the end of the turn by this transport, whose index is `own`.
    pub(super) fn push_pending(&mut self, own: usize, pending: Pending, dirty: &mut Vec<usize>) {
        if self.pending.is_empty() {
            dirty.push(own);
        }
        self.pending.push(pending);
    }

    fn count_sent(&mut self, now: Instant, totals: &Totals) {
        // It is not told which packets were dropped; most are of media.
        let rtp = totals.rtp_bytes.saturating_sub(totals.dropped_bytes);
        let rtx = totals.rtx_bytes.saturating_sub(totals.dropped_bytes.saturating_sub(totals.rtp_bytes));
        self.traffic.sent.add(now, rtp + rtx);
        if rtp > 0 {
            self.traffic.rtp_sent.add(now, rtp);
        }
        if rtx > 0 {
            self.traffic.rtx_sent.add(now, rtx);
        }
        self.dropped += totals.dropped as u64;
    }
}
