//! One association: its public face.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto as sctp;

use super::State;
use super::engine::{Engine, Message, StreamClosed, Written, guarded, receive_window};
use super::packet::{self, Init, chunk};
use super::types::{DropReason, Event, Ppid, SctpError, SendError, StreamParameters};
use super::{Config, MAX_HELD_CHUNKS, MAX_PACKET_LEN};

/// How long the rest of what we had to send, and the answers to SHUTDOWN, go on after the peer began to end the
/// association.
const FAREWELL: Duration = Duration::from_secs(10);

/// One SCTP association.
#[derive(Debug)]
pub struct Association {
    config: Config,
    state: State,
    /// There is one from the start to the end.
    engine: Option<Box<Engine>>,
    events: VecDeque<Event>,
    packets: VecDeque<Bytes>,
    /// What the engine gives at a time.
    gathered: Vec<Bytes>,

    /// The tag that the peer's packets must have.
    own_tag: Option<u32>,
    /// Ports and tag of packets to the peer, once its tag is known.
    ports_and_tag: Option<[u8; 8]>,
    /// Streams that the peer receives on.
    peer_incoming_streams: u16,

    /// Bytes of messages that wait to be sent or acknowledged.
    buffered: usize,
    /// The streams that they are on.
    buffered_streams: Vec<u16>,
    /// Messages on streams that are being reset.
    waiting: VecDeque<Waiting>,
    /// Streams whose reset the peer refused. They can't be used any more.
    lost_streams: Vec<u16>,
    /// At least as many DATA chunks of the peer are not yet part of a message that has been read.
    held_chunks: usize,
    /// When what remains after the peer's SHUTDOWN is given up.
    farewell_ends: Option<Instant>,
}

/// A message that waits for its stream's reset.
#[derive(Debug)]
struct Waiting {
    stream: StreamParameters,
    ppid: Ppid,
    message: Bytes,
}

impl Association {
    /// An association that has not been started.
    pub fn new(config: Config) -> Association {
        Association {
            config,
            state: State::New,
            engine: None,
            events: VecDeque::new(),
            packets: VecDeque::new(),
            gathered: Vec::new(),
            own_tag: None,
            ports_and_tag: None,
            peer_incoming_streams: 0,
            buffered: 0,
            buffered_streams: Vec::new(),
            waiting: VecDeque::new(),
            lost_streams: Vec::new(),
            held_chunks: 0,
            farewell_ends: None,
        }
    }

    /// Begins the handshake. To be called when the path is open; further calls do nothing.
    pub fn start(&mut self, now: Instant) {
        if self.state != State::New {
            return;
        }
        self.engine = Engine::connect(&self.config).map(Box::new);
        if self.engine.is_none() {
            return self.change_state(State::Failed);
        }
        self.change_state(State::Connecting);
        self.gather(now);
    }

    /// Takes a packet of the peer. One that is damaged, malformed or for another association changes nothing.
    ///
    /// # Errors
    /// When the packet was not looked at: [`SctpError::TooShort`], [`SctpError::TooLong`], [`SctpError::NotOpen`].
    pub fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), SctpError> {
        if self.engine.is_none() {
            return Err(SctpError::NotOpen(self.state));
        }
        if packet.len() > MAX_PACKET_LEN {
            return Err(SctpError::TooLong(packet.len()));
        }
        let first = packet::first_chunk(packet).ok_or(SctpError::TooShort(packet.len()))?;
        let Some(inspected) = packet::inspect(packet) else { return Ok(()) };
        let bytes = Bytes::copy_from_slice(&inspected.packet);
        match first {
            chunk::INIT if self.state == State::Connecting => {
                self.note_init(packet, 0);
                guarded(&mut self.engine, |engine| engine.handle_init(now, bytes));
            }
            // The peer may have sent it before it heard of us; or it has forgotten us: see the module's text.
            chunk::INIT => return Ok(()),
            _ => {
                if first == chunk::INIT_ACK && self.state == State::Connecting {
                    self.note_init(packet, self.own_tag.unwrap_or(0));
                }
                guarded(&mut self.engine, |engine| engine.handle_packet(now, bytes));
            }
        }
        self.held_chunks += inspected.data_chunks;
        self.follow(now, inspected.aborts);
        Ok(())
    }

    /// Does what is due at `now`: retransmissions, acknowledgements.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.farewell_ends.is_some_and(|end| end <= now) {
            return self.drop_engine();
        }
        guarded(&mut self.engine, |engine| engine.handle_timeout(now));
        self.follow(now, false);
    }

    /// When [`Association::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let engine = self.engine.as_ref()?;
        [engine.poll_timeout(), self.farewell_ends].into_iter().flatten().min()
    }

    /// The next packet for the peer.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if self.packets.is_empty() {
            self.gather(now);
            if self.engine.is_none() && matches!(self.state, State::Connecting | State::Connected) {
                // It panicked.
                self.end(now, false);
            }
        }
        self.packets.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends a message of at least one byte, now or when congestion control lets it.
    ///
    /// # Errors
    /// Why it can't be sent; nothing has changed then.
    pub fn send(&mut self, stream: &StreamParameters, ppid: Ppid, message: Bytes) -> Result<(), SendError> {
        let len = message.len();
        if self.state != State::Connected {
            return Err(SendError::NotConnected(self.state));
        }
        if len == 0 {
            return Err(SendError::Empty);
        }
        if len > self.config.max_message_size as usize || len > self.config.send_buffer_size as usize {
            return Err(SendError::TooLong(len));
        }
        if stream.id >= self.peer_incoming_streams || self.lost_streams.contains(&stream.id) {
            return Err(SendError::NoStream(stream.id));
        }
        if self.buffered + len > self.config.send_buffer_size as usize {
            return Err(SendError::BufferFull);
        }
        let written = if self.waiting.iter().any(|waiting| waiting.stream.id == stream.id) {
            Written::Later
        } else {
            self.write(stream, ppid, message.clone())
        };
        match written {
            Written::Queued => {}
            Written::Later => self.waiting.push_back(Waiting { stream: *stream, ppid, message }),
            Written::Refused => return Err(SendError::NoStream(stream.id)),
        }
        self.buffered += len;
        Ok(())
    }

    /// Closes a stream in both directions (RFC 8831, 6.7): when what was sent on it has arrived, the outgoing one is reset,
    /// upon which a peer that uses it resets the incoming one. What comes on it until then is not delivered,
    /// and of a peer that does not reset it in return nothing ever is. Messages sent
    /// on it later begin anew.
    pub fn reset_stream(&mut self, stream_id: u16) {
        if self.state != State::Connected || stream_id >= self.peer_incoming_streams {
            return;
        }
        self.waiting.retain(|waiting| waiting.stream.id != stream_id);
        guarded(&mut self.engine, |engine| engine.reset_stream(stream_id));
        self.update_buffered();
    }

    /// Ends the association at once, without an event. Returns the packet that tells the peer (ABORT), if it can be told.
    pub fn abort(&mut self) -> Option<Bytes> {
        self.engine.as_ref()?;
        self.state = State::Closed;
        self.drop_engine();
        self.packets.clear();
        self.ports_and_tag.map(packet::abort)
    }

    /// Where the association stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Bytes of messages that wait to be sent or acknowledged.
    pub fn buffered_amount(&self) -> usize {
        self.buffered
    }

    /// Streams that we may send on: as many as were asked for, or, once connected, as the peer receives on if that is
    /// fewer.
    pub fn outgoing_streams(&self) -> u16 {
        match self.state {
            State::New | State::Connecting => self.config.outgoing_streams,
            _ => self.config.outgoing_streams.min(self.peer_incoming_streams),
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Learns from an INIT or INIT ACK with that verification tag on how many streams the peer receives.
    fn note_init(&mut self, packet: &[u8], tag: u32) {
        if packet::tag(packet) == Some(tag)
            && packet::has_good_checksum(packet)
            && let Some(Init { incoming_streams, .. }) = packet::init(packet)
        {
            // Peers say the same in both, but this crate's engine, whose INIT ACK may say less.
            self.peer_incoming_streams = self.peer_incoming_streams.max(incoming_streams);
        }
    }

    /// Takes what the engine has to send, and learns from it.
    fn gather(&mut self, now: Instant) {
        let mut gathered = std::mem::take(&mut self.gathered);
        guarded(&mut self.engine, |engine| engine.poll_transmit(now, &mut gathered));
        for packet in gathered.drain(..) {
            if let Some(Init { tag, .. }) = packet::init(&packet) {
                self.own_tag = Some(tag);
            }
            if packet::tag(&packet).is_some_and(|tag| tag != 0) {
                self.ports_and_tag = packet.first_chunk().copied();
            }
            if let Some(window) = packet::granted_window(&packet) {
                // Each chunk that is held has a byte at least.
                self.held_chunks = self.held_chunks.min(receive_window(&self.config).saturating_sub(window) as usize);
            }
            self.packets.push_back(packet::with_init_tag(packet));
        }
        self.gathered = gathered;
    }

    /// Follows what the engine has come to. `aborted` says that the peer has ended the association.
    fn follow(&mut self, now: Instant, aborted: bool) {
        while let Some(event) = guarded(&mut self.engine, Engine::poll_event).flatten() {
            match event {
                sctp::Event::Connected => self.change_state(State::Connected),
                sctp::Event::HandshakeFailed { .. } => return self.end(now, true),
                sctp::Event::AssociationLost { .. } => return self.end(now, aborted),
                sctp::Event::Stream(event) => self.follow_stream(event),
                _ => {}
            }
        }
        let Some(engine) = &self.engine else {
            // It panicked, now or before.
            if matches!(self.state, State::Connecting | State::Connected) {
                self.end(now, false);
            }
            return;
        };
        if self.held_chunks > MAX_HELD_CHUNKS {
            return self.end(now, false);
        }
        let closing = engine.is_closing();
        if closing && self.state == State::Connected {
            self.farewell_ends = Some(now + FAREWELL);
            self.change_state(State::Closed);
        }
        // Not every reset that is complete is an event.
        self.send_waiting();
        self.update_buffered();
    }

    fn follow_stream(&mut self, event: sctp::StreamEvent) {
        match event {
            // The engine takes any.
            sctp::StreamEvent::Opened { id } if id >= self.config.incoming_streams.max(1) => {
                self.held_chunks = usize::MAX;
            }
            sctp::StreamEvent::Readable { id } => self.read(id),
            sctp::StreamEvent::Finished { id } => self.events.push_back(Event::StreamReset { stream_id: id }),
            sctp::StreamEvent::ResetFailed { id, .. } => {
                self.lost_streams.push(id);
                self.waiting.retain(|waiting| waiting.stream.id != id);
            }
            _ => {}
        }
    }

    fn read(&mut self, stream_id: u16) {
        loop {
            match guarded(&mut self.engine, |engine| engine.read(stream_id)) {
                Some(Ok(Some(message))) => {
                    self.held_chunks = self.held_chunks.saturating_sub(message.chunk_count);
                    self.receive(stream_id, message);
                }
                // The engine keeps it, and counts it against the window.
                Some(Err(StreamClosed)) => {
                    let reason = DropReason::StreamClosed;
                    return self.events.push_back(Event::MessageDropped { stream_id, reason });
                }
                Some(Ok(None)) | None => return,
            }
        }
    }

    fn receive(&mut self, stream_id: u16, message: Message) {
        let len = message.payload.len();
        let result = match message.ppid {
            _ if len > self.config.max_message_size as usize => Err(DropReason::TooLong(len)),
            sctp::PayloadProtocolIdentifier::Dcep => Err(DropReason::Dcep),
            ppid => Ppid::from_number(ppid as u32).ok_or(DropReason::Ppid),
        };
        self.events.push_back(match result {
            Ok(ppid) => Event::Message { stream_id, ppid, payload: message.payload },
            Err(reason) => Event::MessageDropped { stream_id, reason },
        });
    }

    fn write(&mut self, stream: &StreamParameters, ppid: Ppid, message: Bytes) -> Written {
        let written = guarded(&mut self.engine, |engine| engine.write(stream, ppid, message));
        if written == Some(Written::Queued) && !self.buffered_streams.contains(&stream.id) {
            self.buffered_streams.push(stream.id);
        }
        written.unwrap_or(Written::Refused)
    }

    /// Sends what has waited for the reset of its stream, where that is complete.
    fn send_waiting(&mut self) {
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else { return };
            let id = waiting.stream.id;
            let writable = guarded(&mut self.engine, |engine| engine.is_writable(id)).unwrap_or(false);
            if !writable || self.write(&waiting.stream, waiting.ppid, waiting.message.clone()) == Written::Later {
                self.waiting.push_back(waiting);
            }
        }
    }

    /// Counts anew what waits to be sent or acknowledged.
    fn update_buffered(&mut self) {
        let from = self.buffered;
        let mut to: usize = self.waiting.iter().map(|waiting| waiting.message.len()).sum();
        let mut streams = std::mem::take(&mut self.buffered_streams);
        streams.retain(|id| {
            let amount = guarded(&mut self.engine, |engine| engine.buffered_amount(*id)).unwrap_or(0);
            to += amount;
            amount > 0
        });
        self.buffered_streams = streams;
        self.buffered = to;
        if to < from {
            self.events.push_back(Event::BufferedAmountDecreased { from, to });
        }
    }

    fn change_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.events.push_back(Event::StateChange(state));
        }
    }

    /// The association is over. Unless the peer knows, it is told.
    fn end(&mut self, now: Instant, peer_knows: bool) {
        self.gather(now);
        let told = self.packets.iter().any(|packet| packet::first_chunk(packet) == Some(chunk::ABORT));
        if !peer_knows && !told && self.farewell_ends.is_none() {
            self.packets.extend(self.ports_and_tag.map(packet::abort));
        }
        self.drop_engine();
        match self.state {
            State::Connecting => self.change_state(State::Failed),
            _ => self.change_state(State::Closed),
        }
    }

    fn drop_engine(&mut self) {
        self.engine = None;
        self.farewell_ends = None;
        self.waiting.clear();
        self.buffered_streams.clear();
        self.buffered = 0;
    }
}
