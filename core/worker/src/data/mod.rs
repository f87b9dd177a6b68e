//! The path of a data message.
//!
//! A message comes on a stream of a transport's SCTP association, or from the library on the payload channel, and so to
//! its data producer. Each of the data producer's consumers hands it to the association of its own transport, or to the
//! library. The message's bytes are shared by all of them.
//!
//! Associations that have got something are driven at the end of the turn: what they send leaves together, and what
//! follows from it is told. [`sctp`] does that.

mod sctp;

use std::time::Instant;

use bytes::Bytes;
use sfu_channel::notification::Event;
use sfu_channel::payload::PayloadEvent;
use sfu_channel::{DataType, SctpStreamParameters};
use sfu_proto::sctp::{Ppid, Reliability, SendError, StreamParameters};

use crate::worker::Worker;

/// Buffers of the data path, allocated once.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Transports whose association waits to be driven.
    dirty_transports: Vec<usize>,
    /// Datagrams to one destination, back to back.
    datagrams: Vec<u8>,
    /// Their lengths.
    lengths: Vec<u16>,
}

/// Why a data consumer does not send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// Too much waits already. The library has been told.
    BufferFull,
    /// It is longer than the transport's messages may be.
    TooLong,
    /// There is no connection, or the peer does not receive on the stream.
    Failed,
}

impl Worker {
    /// A message has come for a data producer: its consumers send it on.
    pub fn forward_message(&mut self, now: Instant, producer: usize, ppid: Ppid, message: &Bytes) {
        let entity = &mut self.data_producers[producer];
        entity.messages_received += 1;
        entity.bytes_received += message.len() as u64;
        for place in 0..self.data_producers[producer].consumers.len() {
            let consumer = self.data_producers[producer].consumers[place];
            if let Err(why) = self.send_message(now, consumer, ppid, message) {
                crate::debug!(Message, "message not sent [dataConsumer:{}]: {why:?}", self.data_consumers[consumer].id);
            }
        }
    }

    /// Sends a message on a data consumer.
    ///
    /// # Errors
    /// Why it is not sent.
    pub fn send_message(&mut self, now: Instant, consumer: usize, ppid: Ppid, message: &Bytes) -> Result<(), NotSent> {
        let entity = &mut self.data_consumers[consumer];
        let index = entity.transport;
        let transport = &mut self.transports[index];
        if message.len() > transport.max_message_size as usize {
            crate::warn!(Message, "message of {} bytes is too long [dataConsumer:{}]", message.len(), entity.id);
            return Err(NotSent::TooLong);
        }
        match (&entity.stream, &mut transport.data.sctp) {
            (Some(stream), Some(sctp)) => {
                if !transport.connected {
                    return Err(NotSent::Failed);
                }
                match sctp.association.send(&stream_parameters(stream), ppid, message.clone()) {
                    Ok(()) => {}
                    Err(SendError::BufferFull) => {
                        self.output.notify(&entity.id, Event::SctpSendBufferFull);
                        return Err(NotSent::BufferFull);
                    }
                    Err(error) => {
                        crate::debug!(Sctp, "message not sent [dataConsumer:{}]: {error}", entity.id);
                        return Err(NotSent::Failed);
                    }
                }
            }
            _ => {
                let event = PayloadEvent::Message { ppid: ppid.number() };
                self.output.notify_with_payload(&entity.id, event, message);
                transport.traffic.sent.add(now, message.len());
            }
        }
        entity.messages_sent += 1;
        entity.bytes_sent += message.len() as u64;
        self.mark_sctp(index);
        Ok(())
    }

    /// Bytes that wait on a data consumer's association; none if it has none.
    pub fn buffered_amount(&self, consumer: usize) -> u32 {
        let consumer = &self.data_consumers[consumer];
        match (consumer.data_type, &self.transports[consumer.transport].data.sctp) {
            (DataType::Sctp, Some(sctp)) => sctp.buffered_amount(),
            _ => 0,
        }
    }

    /// Closes a data producer; its consumers are notified and go with it.
    pub fn close_data_producer(&mut self, producer: usize) {
        for consumer in std::mem::take(&mut self.data_producers[producer].consumers) {
            self.output.notify(&self.data_consumers[consumer].id, Event::DataProducerClose);
            self.detach_data_consumer(consumer);
        }
        let removed = self.data_producers.remove(producer);
        self.registry.remove(&removed.id);
        let data = &mut self.transports[removed.transport].data;
        data.producers.retain(|known| *known != producer);
        if let (Some(stream), Some(sctp)) = (removed.stream, &mut data.sctp) {
            sctp.listener.remove(&stream.stream_id);
            self.close_channel(removed.transport, stream.stream_id);
        }
    }

    /// Closes a data consumer.
    pub fn close_data_consumer(&mut self, consumer: usize) {
        let producer = self.data_consumers[consumer].producer;
        self.data_producers[producer].consumers.retain(|known| *known != consumer);
        self.detach_data_consumer(consumer);
    }

    /// Takes a data consumer that its producer knows no more out of its transport and out of the world.
    fn detach_data_consumer(&mut self, consumer: usize) {
        let removed = self.data_consumers.remove(consumer);
        self.registry.remove(&removed.id);
        let data = &mut self.transports[removed.transport].data;
        data.consumers.retain(|known| *known != consumer);
        if let Some(stream) = removed.stream {
            self.close_channel(removed.transport, stream.stream_id);
        }
    }

    /// Closes a WebRTC data channel by resetting our direction of it (RFC 8831, 6.7), unless another data consumer uses
    /// it. Where streams are no channels their directions have nothing to do with each other, and a reset, which ends
    /// both, is not for us to ask for; there a stream goes on when it is used again.
    fn close_channel(&mut self, index: usize, stream_id: u16) {
        let data = &mut self.transports[index].data;
        let uses = |key: &usize| self.data_consumers[*key].stream.is_some_and(|stream| stream.stream_id == stream_id);
        let is_used = data.consumers.iter().any(uses);
        if let Some(sctp) = data.sctp.as_mut().filter(|sctp| sctp.is_data_channel && !is_used) {
            sctp.association.reset_stream(stream_id);
            self.mark_sctp(index);
        }
    }

    /// Takes all data producers and consumers of a router's transport out of the world, and tells nobody.
    pub fn forget_data(&mut self, transport: usize) {
        let data = &mut self.transports[transport].data;
        for producer in std::mem::take(&mut data.producers) {
            let removed = self.data_producers.remove(producer);
            self.registry.remove(&removed.id);
        }
        for consumer in std::mem::take(&mut data.consumers) {
            let removed = self.data_consumers.remove(consumer);
            self.registry.remove(&removed.id);
        }
    }
}

/// Stream parameters with what is left open in a request filled in, by mediasoup's rules: in order, unless there is a
/// bound; and what is in order is reliable.
pub fn normalize_stream(mut parameters: SctpStreamParameters) -> SctpStreamParameters {
    let bounded = |bound: Option<u16>| bound.is_some_and(|bound| bound > 0);
    let has_bound = bounded(parameters.max_packet_life_time) || bounded(parameters.max_retransmits);
    let ordered = parameters.ordered.unwrap_or(!has_bound);
    parameters.ordered = Some(ordered);
    if ordered {
        parameters.max_packet_life_time = None;
        parameters.max_retransmits = None;
    }
    parameters
}

/// How to send on a stream whose parameters are filled in. Unlike in mediasoup a bound of zero is one: a message is sent
/// once.
fn stream_parameters(parameters: &SctpStreamParameters) -> StreamParameters {
    let reliability = match (parameters.max_packet_life_time, parameters.max_retransmits) {
        (None | Some(0), Some(count)) => Reliability::MaxRetransmits(count),
        (Some(0), None) => Reliability::MaxRetransmits(0),
        (Some(milliseconds), _) => Reliability::MaxLifetime(milliseconds),
        (None, None) => Reliability::Reliable,
    };
    StreamParameters { id: parameters.stream_id, ordered: parameters.ordered.unwrap_or(true), reliability }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(ordered: Option<bool>, life_time: Option<u16>, retransmits: Option<u16>) -> StreamParameters {
        stream_parameters(&normalize_stream(SctpStreamParameters {
            stream_id: 1,
            ordered,
            max_packet_life_time: life_time,
            max_retransmits: retransmits,
        }))
    }

    #[test]
    fn streams_are_as_the_library_means_them() {
        let stream = |ordered, reliability| StreamParameters { id: 1, ordered, reliability };
        assert_eq!(given(None, None, None), stream(true, Reliability::Reliable));
        assert_eq!(given(Some(false), None, None), stream(false, Reliability::Reliable));
        assert_eq!(given(None, Some(500), None), stream(false, Reliability::MaxLifetime(500)));
        assert_eq!(given(None, None, Some(3)), stream(false, Reliability::MaxRetransmits(3)));
        assert_eq!(given(Some(false), None, Some(0)), stream(false, Reliability::MaxRetransmits(0)));
        assert_eq!(given(Some(false), Some(0), None), stream(false, Reliability::MaxRetransmits(0)));
        assert_eq!(given(Some(true), Some(0), Some(0)), stream(true, Reliability::Reliable));
    }
}
