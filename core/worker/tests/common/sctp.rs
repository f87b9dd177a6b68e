//! A peer that speaks SCTP, over UDP or in DTLS records.

use std::time::{Duration, Instant};

use sfu_proto::dtls::{self, Dtls};
use sfu_proto::sctp::{Association, Config, Event, Ppid, Reliability, State, StreamParameters};

use super::PATIENCE;
use super::webrtc::Link;

/// How long is waited for a packet before the deadlines are looked at.
const BREATH: Duration = Duration::from_millis(10);

/// The settings of a peer with many streams.
pub fn config() -> Config {
    Config {
        outgoing_streams: 1024,
        incoming_streams: 1024,
        max_message_size: 262_144,
        send_buffer_size: 1 << 20,
        receive_window: None,
    }
}

/// A stream in order and without loss.
pub fn reliable(id: u16) -> StreamParameters {
    StreamParameters { id, ordered: true, reliability: Reliability::Reliable }
}

/// DTLS records over another way.
pub struct Records<L> {
    pub link: L,
    pub dtls: Dtls,
}

impl<L: Link> Link for Records<L> {
    fn local(&self) -> std::net::SocketAddr {
        self.link.local()
    }

    fn send(&mut self, data: &[u8]) {
        self.dtls.send(data).unwrap();
        while let Some(datagram) = self.dtls.poll_transmit() {
            self.link.send(&datagram);
        }
    }

    fn receive_within(&mut self, patience: Duration) -> Option<Vec<u8>> {
        loop {
            while let Some(event) = self.dtls.poll_event() {
                if let dtls::Event::Data(data) = event {
                    return Some(data);
                }
            }
            let datagram = self.link.receive_within(patience)?;
            if (20..64).contains(&datagram[0]) {
                let _ = self.dtls.handle_packet(Instant::now(), &datagram);
            }
        }
    }
}

/// The peer.
pub struct SctpPeer<L> {
    pub link: L,
    pub association: Association,
    pub events: Vec<Event>,
}

impl<L: Link> SctpPeer<L> {
    /// A peer that has begun its handshake.
    pub fn start(link: L) -> SctpPeer<L> {
        let mut association = Association::new(config());
        association.start(Instant::now());
        SctpPeer { link, association, events: Vec::new() }
    }

    /// A peer that is connected.
    pub fn connect(link: L) -> SctpPeer<L> {
        let mut peer = SctpPeer::start(link);
        peer.run_until(|peer| peer.association.state() == State::Connected);
        peer
    }

    pub fn send(&mut self, stream: &StreamParameters, ppid: Ppid, message: &[u8]) {
        self.association.send(stream, ppid, message.to_vec().into()).unwrap();
        self.transmit();
    }

    pub fn transmit(&mut self) {
        while let Some(packet) = self.association.poll_transmit(Instant::now()) {
            self.link.send(&packet);
        }
        while let Some(event) = self.association.poll_event() {
            self.events.push(event);
        }
    }

    /// Takes part in the protocol until that is so.
    pub fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.transmit();
            if done(self) {
                return;
            }
            assert!(Instant::now() < deadline, "in time: {:?}, {:?}", self.association.state(), self.events);
            if let Some(packet) = self.link.receive_within(BREATH) {
                let _ = self.association.handle_packet(Instant::now(), &packet);
            }
            let now = Instant::now();
            if self.association.poll_timeout().is_some_and(|at| at <= now) {
                self.association.handle_timeout(now);
            }
        }
    }

    /// The messages that have come on a stream.
    pub fn messages(&self, stream: u16) -> Vec<(Ppid, Vec<u8>)> {
        let on_stream = |event: &Event| match event {
            Event::Message { stream_id, ppid, payload } if *stream_id == stream => Some((*ppid, payload.to_vec())),
            _ => None,
        };
        self.events.iter().filter_map(on_stream).collect()
    }
}
