//! Drives the SCTP associations of transports: what comes in, what goes out, and what the library is told.

use std::time::Instant;

use sfu_channel::notification::Event;
use sfu_proto::sctp;

use crate::sockets::Sockets;
use crate::transport::data::state_to_channel;
use crate::transport::{Kind, Path, Traffic, Transport};
use crate::worker::{TimerKey, Worker};

/// Datagrams that leave in one call at most, as many as the kernel splits.
const MAX_TRAIN: usize = 64;
/// Bytes of them at most.
const MAX_TRAIN_BYTES: usize = 60_000;

impl Worker {
    /// Starts SCTP on a transport that is connected.
    pub fn start_sctp(&mut self, now: Instant, index: usize) {
        if let Some(sctp) = &mut self.transports[index].data.sctp {
            sctp.association.start(now);
            self.mark_sctp(index);
        }
    }

    /// Has a transport's association, if there is one, driven at the end of the turn.
    pub fn mark_sctp(&mut self, index: usize) {
        if let Some(sctp) = &mut self.transports[index].data.sctp
            && !std::mem::replace(&mut sctp.dirty, true)
        {
            self.data.dirty_transports.push(index);
        }
    }

    /// A retransmission or an acknowledgement is due.
    pub fn handle_sctp_timeout(&mut self, now: Instant, index: usize) {
        if let Some(sctp) = &mut self.transports[index].data.sctp {
            sctp.association.handle_timeout(now);
            self.mark_sctp(index);
        }
    }

    /// Drives all associations that have got something in this turn.
    pub fn flush_data(&mut self, now: Instant) {
        while let Some(index) = self.data.dirty_transports.pop() {
            self.drive_sctp(now, index);
        }
    }

    fn drive_sctp(&mut self, now: Instant, index: usize) {
        let Some(transport) = self.transports.get_mut(index) else { return };
        let Some(sctp) = &mut transport.data.sctp else { return };
        sctp.dirty = false;
        let mut train = Train { datagrams: &mut self.data.datagrams, lengths: &mut self.data.lengths };
        transport.send_sctp(now, &mut self.sockets, &mut train);
        while let Some(event) = self.transports[index].data.sctp.as_mut().and_then(|sctp| sctp.association.poll_event())
        {
            self.handle_sctp_event(now, index, event);
        }
        let deadline = self.transports[index].data.sctp.as_ref().and_then(|sctp| sctp.association.poll_timeout());
        match deadline {
            Some(deadline) => self.timers.set(TimerKey::Sctp(index), deadline),
            None => {
                self.timers.cancel(TimerKey::Sctp(index));
            }
        }
    }

    fn handle_sctp_event(&mut self, now: Instant, index: usize, event: sctp::Event) {
        let transport = &self.transports[index];
        match event {
            sctp::Event::StateChange(state) => {
                crate::debug!(Sctp, "association {} [transport:{}]", state.name(), transport.id);
                self.output.notify(&transport.id, Event::SctpStateChange(state_to_channel(state)));
            }
            sctp::Event::Message { stream_id, ppid, payload } => {
                match transport.data.sctp.as_ref().and_then(|sctp| sctp.listener.get(&stream_id)) {
                    Some(producer) => self.forward_message(now, *producer, ppid, &payload),
                    None => crate::warn!(
                        Sctp,
                        "message on stream {stream_id}, for which there is no DataProducer [transport:{}]",
                        transport.id
                    ),
                }
            }
            sctp::Event::MessageDropped { stream_id, reason } => {
                crate::warn!(Sctp, "message on stream {stream_id} dropped: {reason} [transport:{}]", transport.id);
            }
            sctp::Event::StreamReset { stream_id } => {
                crate::debug!(Sctp, "stream {stream_id} was reset [transport:{}]", transport.id);
            }
            sctp::Event::BufferedAmountDecreased { from, to } => self.tell_low_water(index, from, to),
        }
    }

    /// Less waits on a transport than before: tells the data consumers for which it is little now.
    fn tell_low_water(&mut self, index: usize, from: usize, to: usize) {
        let amount = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        for key in &self.transports[index].data.consumers {
            let consumer = &mut self.data_consumers[*key];
            if consumer.low_water.pass(amount(from), amount(to)) {
                self.output.notify(&consumer.id, Event::BufferedAmountLow(amount(to)));
            }
        }
    }
}

impl Transport {
    /// Takes an SCTP packet of the peer's.
    pub fn receive_sctp(&mut self, now: Instant, packet: &[u8]) {
        let Some(sctp) = &mut self.data.sctp else {
            crate::debug!(Sctp, "SCTP packet ignored: not enabled [transport:{}]", self.id);
            return;
        };
        // DTLS may be complete by the very datagram before.
        sctp.association.start(now);
        if let Err(error) = sctp.association.handle_packet(now, packet) {
            crate::debug!(Sctp, "SCTP packet ignored: {error} [transport:{}]", self.id);
        }
    }

    /// Sends what the association has to send; into the void if there is no path.
    fn send_sctp(&mut self, now: Instant, sockets: &mut Sockets, train: &mut Train<'_>) {
        let ready = self.is_ready();
        let path = self.rtp_path().filter(|_| ready);
        let Some(sctp) = &mut self.data.sctp else { return };
        while let Some(packet) = sctp.association.poll_transmit(now) {
            let Some(path) = path else { continue };
            send_packet(&mut self.kind, &packet, |datagram| {
                train.push(now, sockets, &path, &mut self.traffic, datagram);
            });
        }
        if let Some(path) = path {
            train.depart(now, sockets, &path, &mut self.traffic);
            sockets.update_interest(path.socket);
        }
    }

    /// Ends the association, and tells the peer if it can be told.
    pub fn abort_sctp(&mut self, sockets: &mut Sockets) {
        let path = self.rtp_path().filter(|_| self.is_ready());
        let Some(packet) = self.data.sctp.as_mut().and_then(|sctp| sctp.association.abort()) else { return };
        if let Some(path) = path {
            send_packet(&mut self.kind, &packet, |datagram| {
                sockets.send(&path, datagram);
            });
        }
    }
}

/// Gives `send` the datagrams that carry an SCTP packet: itself, or DTLS records.
fn send_packet(kind: &mut Kind, packet: &[u8], mut send: impl FnMut(&[u8])) {
    let Kind::WebRtc(webrtc) = kind else { return send(packet) };
    let Some(dtls) = &mut webrtc.dtls else { return };
    if let Err(error) = dtls.send(packet) {
        crate::warn!(Sctp, "SCTP packet of {} bytes not sent: {error}", packet.len());
    }
    while let Some(datagram) = dtls.poll_transmit() {
        send(&datagram);
    }
}

/// Datagrams to one destination that leave together.
struct Train<'a> {
    datagrams: &'a mut Vec<u8>,
    lengths: &'a mut Vec<u16>,
}

impl Train<'_> {
    fn push(&mut self, now: Instant, sockets: &mut Sockets, path: &Path, traffic: &mut Traffic, datagram: &[u8]) {
        let Ok(length) = u16::try_from(datagram.len()) else { return };
        if self.lengths.len() >= MAX_TRAIN || self.datagrams.len() + datagram.len() > MAX_TRAIN_BYTES {
            self.depart(now, sockets, path, traffic);
        }
        self.datagrams.extend_from_slice(datagram);
        self.lengths.push(length);
    }

    fn depart(&mut self, now: Instant, sockets: &mut Sockets, path: &Path, traffic: &mut Traffic) {
        if let Some(socket) = sockets.get_mut(path.socket).filter(|_| !self.lengths.is_empty()) {
            let sent = socket.send_segments(path.remote, self.datagrams, self.lengths);
            traffic.sent.add(now, self.datagrams.len().saturating_sub(sent.dropped_bytes));
        }
        self.datagrams.clear();
        self.lengths.clear();
    }
}
