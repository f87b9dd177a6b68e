//! The crate `sctp-proto`, behind what an association needs of it.
//!
//! Two things are done around it. A panic in it, which a packet might bring about, ends one association and not the
//! process: see [`guarded`]. And an INIT that comes after ours went out belongs to the same association (RFC 9260,
//! 5.2.1), whereas the crate's endpoint would make another: see [`Engine::handle_init`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto as sctp;

use super::types::{Reliability, StreamParameters};
use super::{Config, MAX_RECEIVE_WINDOW, MIN_RECEIVE_WINDOW, PORT, Ppid};

/// The most bytes of a message in one DATA chunk. With its headers (28 bytes) a packet has 1,172; with those of DTLS, UDP
/// and IPv6 it is within the least MTU of IPv6, 1,280. The crate does not count the padding of small chunks that it puts
/// together, so that a packet of many can be a fifth longer, which still is below 1,500.
const MAX_CHUNK_PAYLOAD: u32 = 1144;

/// The first retransmission timeout in milliseconds (RFC 9260, 16).
const RTO_INITIAL: u64 = 1000;
/// The least one: the peer may take 200 for its SACK. RFC 9260 has 1,000, which is long for a lost chat message; libwebrtc
/// has 400.
const RTO_MIN: u64 = 400;
/// The greatest one, which says how soon data flows again after an outage. RFC 9260 has 60,000; libwebrtc 3,000.
const RTO_MAX: u64 = 3000;
/// How often an INIT, a COOKIE ECHO or a stream reset is repeated: for some five minutes, as usrsctp does by doubling.
const MAX_CONTROL_RETRANSMITS: usize = 100;

/// The crate wants an address for each packet; which one is the caller's business.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);

/// Whether the crate took a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It did.
    Queued,
    /// It will when the stream's reset is complete.
    Later,
    /// It never will.
    Refused,
}

/// An association of the crate that has been started.
#[derive(Debug)]
pub(super) struct Engine {
    endpoint: sctp::Endpoint,
    association: sctp::Association,
    server: Arc<sctp::ServerConfig>,
}

/// Runs `work` on the engine. If the crate panics, its state can't be trusted any more: the engine is gone then, and the
/// answer is `None`.
pub(super) fn guarded<R>(engine: &mut Option<Box<Engine>>, work: impl FnOnce(&mut Engine) -> R) -> Option<R> {
    contained(engine, |engine| work(engine))
}

/// Runs `work` on what is there, and drops it if that panics. Nobody sees what was left half done, so it does not matter
/// that it need not be safe to look at.
fn contained<T, R>(slot: &mut Option<Box<T>>, work: impl FnOnce(&mut T) -> R) -> Option<R> {
    let mut value = slot.take()?;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let result = work(&mut value);
        (value, result)
    }));
    let (value, result) = result.ok()?;
    *slot = Some(value);
    Some(result)
}

/// The receive window of an association: a whole message has to fit in, and some more of what overtakes it.
pub(super) fn receive_window(config: &Config) -> u32 {
    let asked = config.receive_window.unwrap_or(MIN_RECEIVE_WINDOW);
    asked.max(config.max_message_size.saturating_add(MIN_RECEIVE_WINDOW / 4)).clamp(1, MAX_RECEIVE_WINDOW)
}

impl Engine {
    /// An association that sends INIT. `None` if the crate makes none.
    ///
    /// The crate reads the clock here, for the timeout of the first INIT, and nowhere else.
    pub fn connect(config: &Config) -> Option<Engine> {
        let window = receive_window(config);
        let settings = || {
            sctp::TransportConfig::default()
                .with_max_receive_buffer_size(window)
                // Within the window a message that is too long is dropped here, and the association goes on.
                .with_max_receive_message_size(window)
                .with_max_send_message_size(u32::MAX)
                .with_max_num_inbound_streams(config.incoming_streams.max(1))
                // Consumers' streams are numbered as the peer's are.
                .with_max_num_outbound_streams(config.outgoing_streams.max(config.incoming_streams).max(1))
                .with_max_init_retransmits(Some(MAX_CONTROL_RETRANSMITS))
                .with_max_data_retransmits(None)
                .with_rto_initial_ms(RTO_INITIAL)
                .with_rto_min_ms(RTO_MIN)
                .with_rto_max_ms(RTO_MAX)
                .with_local_port(PORT)
                .with_remote_port(PORT)
        };
        let mut endpoint_config = sctp::EndpointConfig::new();
        endpoint_config.max_payload_size(MAX_CHUNK_PAYLOAD);
        let mut server = sctp::ServerConfig::new();
        server.transport = Arc::new(settings());
        let server = Arc::new(server);
        let mut endpoint = sctp::Endpoint::new(Arc::new(endpoint_config), Some(server.clone()));
        endpoint.reject_new_associations();
        let mut client = sctp::ClientConfig::new();
        client.transport = Arc::new(settings());
        let (_, association) = endpoint.connect(client, PEER).ok()?;
        Some(Engine { endpoint, association, server })
    }

    /// Takes a packet that does not begin with INIT.
    pub fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        if let Some((_, sctp::DatagramEvent::AssociationEvent(event))) =
            self.endpoint.handle(now, PEER, None, None, packet)
        {
            self.association.handle_event(event);
        }
    }

    /// Takes an INIT that came while our own is on its way.
    ///
    /// An endpoint finds the association of an INIT by the peer's tag alone, and ours does not know it yet. So another
    /// endpoint reads the packet: the first time it makes an association, which shows whether the INIT is good, and the
    /// second time it says that the INIT is for that one; it is ours who gets it.
    pub fn handle_init(&mut self, now: Instant, packet: Bytes) {
        let config = Arc::new(sctp::EndpointConfig::new());
        let mut reader = sctp::Endpoint::new(config, Some(self.server.clone()));
        let Some((_, sctp::DatagramEvent::NewAssociation(mut probe))) =
            reader.handle(now, PEER, None, None, packet.clone())
        else {
            return;
        };
        if matches!(probe.poll(), Some(sctp::Event::AssociationLost { .. })) {
            return;
        }
        if let Some((_, sctp::DatagramEvent::AssociationEvent(event))) = reader.handle(now, PEER, None, None, packet) {
            self.association.handle_event(event);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
    }

    /// When [`Engine::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }

    /// Adds packets to send to `packets`, as many as congestion control lets go now.
    pub fn poll_transmit(&mut self, now: Instant, packets: &mut Vec<Bytes>) {
        while let Some(transmit) = self.association.poll_transmit(now) {
            if let sctp::Payload::RawEncode(raw) = transmit.payload {
                packets.extend(raw);
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<sctp::Event> {
        // Lists of the crate that nobody else empties.
        while self.association.accept_stream().is_some() {}
        while self.association.poll_endpoint_event().is_some() {}
        self.association.poll()
    }

    /// The next whole message of a stream; `None` if there is none.
    ///
    /// # Errors
    /// [`StreamClosed`] if the stream is not read any more.
    pub fn read(&mut self, stream_id: u16) -> Result<Option<Message>, StreamClosed> {
        let Ok(mut stream) = self.association.stream(stream_id) else { return Ok(None) };
        if !stream.is_readable() {
            return Err(StreamClosed);
        }
        let Some(chunks) = stream.read().ok().flatten() else { return Ok(None) };
        let mut payload = vec![0; chunks.len()];
        // The buffer is as long as the message, which is all that could be wrong.
        let _ = chunks.read(&mut payload);
        Ok(Some(Message { ppid: chunks.ppi, payload: payload.into(), chunk_count: chunks.chunks.len() }))
    }

    /// Hands over a message.
    pub fn write(&mut self, parameters: &StreamParameters, ppid: Ppid, message: Bytes) -> Written {
        let ppid = sctp::PayloadProtocolIdentifier::from(ppid.number());
        if self.association.stream(parameters.id).is_err() {
            match self.association.open_stream(parameters.id, ppid) {
                Ok(_) => {}
                Err(sctp::Error::ErrStreamResetPending) => return Written::Later,
                Err(_) => return Written::Refused,
            }
        }
        let Ok(mut stream) = self.association.stream(parameters.id) else { return Written::Refused };
        if !stream.is_writable() {
            return Written::Later;
        }
        let (kind, value) = match parameters.reliability {
            Reliability::Reliable => (sctp::ReliabilityType::Reliable, 0),
            Reliability::MaxLifetime(milliseconds) => (sctp::ReliabilityType::Timed, milliseconds.into()),
            Reliability::MaxRetransmits(count) => (sctp::ReliabilityType::Rexmit, count.into()),
        };
        let written = stream
            .set_reliability_params(!parameters.ordered, kind, value)
            .and_then(|()| stream.set_default_payload_type(ppid))
            .and_then(|()| stream.write_chunks(&mut [message]));
        if written.is_ok() { Written::Queued } else { Written::Refused }
    }

    /// Resets the outgoing stream when what was written to it has arrived, and reads no more of the incoming one until
    /// the peer has reset that.
    pub fn reset_stream(&mut self, stream_id: u16) {
        if self.association.stream(stream_id).is_err() {
            // A reset is pending already if it can't be opened.
            let _ = self.association.open_stream(stream_id, sctp::PayloadProtocolIdentifier::default());
        }
        if let Ok(mut stream) = self.association.stream(stream_id) {
            // Not `close`: a peer that does not know the stream resets nothing in return, and without that the crate would
            // never let it be written to again. It fails if the association has ended, and the stream with it.
            let _ = stream.stop();
        }
    }

    /// Whether a stream can be written to, or does not exist, and could be opened.
    pub fn is_writable(&mut self, stream_id: u16) -> bool {
        self.association.stream(stream_id).map_or(true, |stream| stream.is_writable())
    }

    /// Bytes of a stream that wait to be sent and acknowledged.
    pub fn buffered_amount(&mut self, stream_id: u16) -> usize {
        self.association.stream(stream_id).and_then(|stream| stream.buffered_amount()).unwrap_or(0)
    }

    /// Whether the peer has begun to end the association.
    pub fn is_closing(&self) -> bool {
        self.association.is_closing()
    }
}

/// A stream that was reset by us and not yet by the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamClosed;

/// A whole message.
#[derive(Debug)]
pub(super) struct Message {
    /// What it holds.
    pub ppid: sctp::PayloadProtocolIdentifier,
    /// Its bytes.
    pub payload: Bytes,
    /// How many DATA chunks it came in.
    pub chunk_count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_takes_only_what_it_happened_in() {
        let mut slot = Some(Box::new(1));
        assert_eq!(contained(&mut slot, |value| *value + 1), Some(2));
        assert_eq!(slot, Some(Box::new(1)));
        let result = contained(&mut slot, |value: &mut i32| -> i32 {
            let empty: [i32; 0] = [];
            *value + empty[usize::try_from(*value).expect("small")]
        });
        assert_eq!((result, slot.clone()), (None, None));
        assert_eq!(contained(&mut slot, |value| *value), None, "nothing is left to work on");
    }

    #[test]
    fn a_window_holds_the_longest_message() {
        let config = |max_message_size, receive_window| Config {
            outgoing_streams: 1,
            incoming_streams: 1,
            max_message_size,
            send_buffer_size: 0,
            receive_window,
        };
        assert_eq!(receive_window(&config(262_144, None)), MIN_RECEIVE_WINDOW);
        assert_eq!(receive_window(&config(262_144, Some(0))), 524_288);
        assert_eq!(receive_window(&config(4_000_000, None)), 4_262_144);
        assert_eq!(receive_window(&config(u32::MAX, None)), MAX_RECEIVE_WINDOW);
    }
}
