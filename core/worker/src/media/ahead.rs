//! Asking ahead for memory: with many rooms, what a packet needs of its own is in no cache when it comes, and to wait for one
//! place after the other would take longer than what is done with them.
//!
//! | when | what is asked for |
//! |---|---|
//! | before a socket is read | the transport: the system call takes longer than the memory |
//! | when it has been read | the transport's producers |
//! | at a producer's first packet of a turn | its stream, its queue, its first consumers |
//! | before the fan-out | the transports of those |
//! | while a transport is sent to | what the next ones need, each step for what the step before has found the way to |

use sfu_reactor::prefetch::prefetch;

use super::recv_stream::RecvStream;
use crate::sockets::Owner;
use crate::transport::Transport;
use crate::worker::Worker;

/// Producers of a transport that are asked for, and consumers of a producer: more would push out one another before they are used.
const FIRST: usize = 4;

impl Worker {
    /// A socket is going to be read.
    pub fn expect_datagrams(&self, socket: usize) {
        if let Some(transport) = self.transport_of_socket(socket) {
            transport.prefetch_receiving();
        }
    }

    /// What a socket has brought is going to be routed.
    pub fn expect_routing(&self, socket: usize) {
        let Some(transport) = self.transport_of_socket(socket) else { return };
        for producer in transport.producers.iter().take(FIRST).filter_map(|index| self.producers.get(*index)) {
            prefetch(producer);
        }
    }

    /// A producer is going to get its first packet of the turn.
    pub(super) fn expect_packets(&self, producer: usize) {
        let Some(producer) = self.producers.get(producer) else { return };
        if let Some(stream) = producer.streams.first() {
            prefetch(stream);
        }
        producer.queue.prefetch();
        for consumer in producer.consumers.iter().take(FIRST).filter_map(|index| self.consumers.get(*index)) {
            prefetch(consumer);
        }
    }

    /// What a producer has queued is going to be offered to its consumers.
    pub(super) fn expect_fan_out(&self, producer: usize) {
        let Some(producer) = self.producers.get(producer) else { return };
        for consumer in producer.consumers.iter().take(FIRST).filter_map(|index| self.consumers.get(*index)) {
            if let Some(transport) = self.transports.get(consumer.transport) {
                prefetch(&transport.pending);
            }
        }
    }

    /// One transport is going to be sent to, and then these.
    pub(super) fn expect_sending(&self, next: &[usize]) {
        let transport = |ahead: usize| next.get(ahead).and_then(|index| self.transports.get(*index));
        if let Some(path) = transport(0).and_then(Transport::rtp_path)
            && let Some(socket) = self.sockets.get(path.socket)
        {
            prefetch(&socket.io);
        }
        if let Some(transport) = transport(1) {
            transport.prefetch_path();
            let consumer = transport.pending.first().and_then(|pending| self.consumers.get(pending.consumer));
            if let Some(consumer) = consumer {
                prefetch(consumer);
            }
        }
        if let Some(transport) = transport(2) {
            transport.prefetch_sending();
        }
    }

    fn transport_of_socket(&self, socket: usize) -> Option<&Transport> {
        match self.sockets.get(socket)?.owner {
            Owner::Transport(transport) => self.transports.get(transport),
            // Which of its transports it is for, each datagram says.
            Owner::WebRtcServer(_) => None,
        }
    }
}

impl Transport {
    /// Asks for the memory that is needed to tell what a packet is and whom it is for.
    fn prefetch_receiving(&self) {
        prefetch(&self.kind);
        prefetch(&self.traffic.received);
        prefetch(&self.traffic.rtp_received);
        prefetch(&self.producers);
        prefetch(&self.listener);
        prefetch(&self.recv_extensions);
        prefetch(&self.congestion_feedback);
    }

    /// Asks for the memory that sending takes: that of the transport itself, and then, by
    /// [`prefetch_path`](Transport::prefetch_path), that to which it leads.
    fn prefetch_sending(&self) {
        prefetch(&self.kind);
        prefetch(&self.pending);
        prefetch(&self.dropped);
        prefetch(&self.traffic.sent);
        prefetch(&self.traffic.rtp_sent);
    }
}

impl RecvStream {
    /// Asks for the places where a packet is noted and kept.
    pub(super) fn prefetch_places(&self, sequence_number: u16) {
        prefetch(self.seen_slot(sequence_number));
        if let Some(stored) = &self.stored {
            stored.chunk_place().into_iter().for_each(prefetch);
            stored.position_place(sequence_number).into_iter().for_each(prefetch);
        }
    }
}
