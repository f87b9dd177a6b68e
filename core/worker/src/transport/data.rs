//! What a transport has for data messages: its data producers and data consumers, and SCTP.

use rustc_hash::FxHashMap;
use sfu_channel::SctpState;
use sfu_channel::dump::SctpParameters;
use sfu_channel::request::SctpOptions;
use sfu_channel::response::Refusal;
use sfu_proto::sctp;

/// The data side of a transport.
#[derive(Debug, Default)]
pub struct TransportData {
    /// Its data producers.
    pub producers: Vec<usize>,
    /// Its data consumers.
    pub consumers: Vec<usize>,
    /// SCTP, when enabled.
    pub sctp: Option<Box<Sctp>>,
}

/// The SCTP of a transport.
#[derive(Debug)]
pub struct Sctp {
    /// The association.
    pub association: sctp::Association,
    /// Whether streams are WebRTC data channels: bidirectional, and closed by a reset.
    pub is_data_channel: bool,
    /// Which data producer the messages of a stream are for.
    pub listener: FxHashMap<u16, usize>,
    /// Whether it waits to be looked at at the end of the turn.
    pub dirty: bool,
}

impl Sctp {
    /// SCTP that begins when the transport is connected.
    pub fn new(options: &SctpOptions) -> Sctp {
        let config = sctp::Config {
            outgoing_streams: options.num_streams.os,
            incoming_streams: options.num_streams.mis,
            max_message_size: options.max_receive_message_size,
            send_buffer_size: options.send_buffer_size,
            receive_window: options.max_receiver_window_size,
        };
        Sctp {
            association: sctp::Association::new(config),
            is_data_channel: options.is_data_channel,
            listener: FxHashMap::default(),
            dirty: false,
        }
    }

    /// Enters a data producer.
    ///
    /// # Errors
    /// An `Error` if there is another one for the stream.
    pub fn listen(&mut self, stream_id: u16, data_producer: usize) -> Result<(), Refusal> {
        if self.listener.contains_key(&stream_id) {
            return Err(Refusal::error(format!("streamId already exists in SCTP listener [streamId:{stream_id}]")));
        }
        self.listener.insert(stream_id, data_producer);
        Ok(())
    }

    /// Where the association stands, in the library's words.
    pub fn state(&self) -> SctpState {
        state_to_channel(self.association.state())
    }

    /// The settings and the backlog, for dumps.
    pub fn parameters(&self) -> SctpParameters {
        let config = self.association.config();
        SctpParameters {
            port: sctp::PORT,
            os: self.association.outgoing_streams(),
            mis: config.incoming_streams,
            max_message_size: config.max_message_size,
            send_buffer_size: config.send_buffer_size,
            sctp_buffered_amount: self.buffered_amount(),
            is_data_channel: self.is_data_channel,
        }
    }

    /// Bytes that wait to be sent and acknowledged, on all streams together.
    pub fn buffered_amount(&self) -> u32 {
        u32::try_from(self.association.buffered_amount()).unwrap_or(u32::MAX)
    }
}

/// A state in the library's words.
pub fn state_to_channel(state: sctp::State) -> SctpState {
    match state {
        sctp::State::New => SctpState::New,
        sctp::State::Connecting => SctpState::Connecting,
        sctp::State::Connected => SctpState::Connected,
        sctp::State::Failed => SctpState::Failed,
        sctp::State::Closed => SctpState::Closed,
    }
}
