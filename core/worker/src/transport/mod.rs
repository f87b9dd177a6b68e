//! What all transports have in common: a place where RTP and RTCP come in and go out, with the producers and consumers
//! that use it.
//!
//! The kinds differ in how they find and authenticate the peer: [`webrtc`] by ICE and DTLS, [`plain`] by being told or
//! by the first packet, [`pipe`] by being told. Both end in the same things: a [`Path`] to send to, and a [`Protection`]. The peer of a direct
//! transport is the library itself, and the payload channel is the way to it.

pub mod connections;
pub mod data;
pub mod pipe;
pub mod plain;
mod srtp_key;
mod traffic;
pub mod webrtc;

use std::net::SocketAddr;

use rustc_hash::{FxHashMap, FxHashSet};
use sfu_channel::TransportTraceEventType;
use sfu_channel::request::TransportOptions;
use sfu_channel::response::Refusal;
use sfu_proto::rtp::{ExtensionIds, ExtensionKind};
use sfu_proto::srtp;
use sfu_reactor::prefetch::prefetch;

pub use data::TransportData;
pub use pipe::PipeTransport;
pub use plain::PlainTransport;
pub use traffic::Traffic;
pub use webrtc::WebRtcTransport;

use crate::consumer::Consumer;
use crate::media::Pending;
use crate::media::bandwidth::Bandwidth;
use crate::media::congestion_feedback::CongestionFeedback;
use crate::media::rtp_listener::RtpListener;
use crate::media::send_stream::SendStream;
use crate::sockets::Sockets;
use crate::trace::TraceTypes;

/// The least outgoing bit rate that may be set, in bits per second.
pub const MIN_OUTGOING_BITRATE: u64 = 30_000;

/// What `availableOutgoingBitrate` is without an estimate, unless the library says otherwise, in bits per second.
pub const DEFAULT_AVAILABLE_OUTGOING_BITRATE: u64 = 600_000;

/// The longest data message of a transport for which the library names no other, in bytes.
pub const DEFAULT_MAX_MESSAGE_SIZE: u32 = 262_144;

/// Where to send: from this socket to that address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The socket's key.
    pub socket: usize,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// How the media of a transport is protected.
#[derive(Debug)]
pub enum Protection {
    /// Not at all.
    None,
    /// By SRTP whose keys are not known yet: nothing goes in or out.
    Pending,
    /// By SRTP.
    Srtp {
        /// Protects what goes out.
        sender: srtp::Sender,
        /// Opens what comes in.
        receiver: srtp::Receiver,
    },
}

/// The part of a transport that depends on its kind.
#[derive(Debug)]
pub enum Kind {
    /// A browser's, mostly.
    WebRtc(Box<WebRtcTransport>),
    /// RTP without ICE and DTLS.
    Plain(Box<PlainTransport>),
    /// RTP between routers.
    Pipe(Box<PipeTransport>),
    /// The library's own, over the payload channel.
    Direct,
}

/// One transport.
///
/// It lies in memory as it is written here: what each turn touches that sends something comes first, and is together in two or three
/// cache lines.
#[derive(Debug)]
#[repr(C)]
pub struct Transport {
    /// The part that depends on its kind.
    pub kind: Kind,
    /// SRTP.
    pub protection: Protection,
    /// What is to be sent at the end of the turn.
    pub pending: Vec<Pending>,
    /// How much the peer can be sent, if a consumer negotiated that its feedback tells.
    pub bandwidth: Option<Box<Bandwidth>>,
    /// The last transport-wide sequence number sent.
    pub transport_sequence: u16,
    /// Packets that could not be sent, and that have not been told in the log.
    pub dropped: u64,
    /// What has gone through.
    pub traffic: Traffic,

    /// Its id.
    pub id: String,
    /// Its router.
    pub router: usize,
    /// Whether consumers have been told that it is connected.
    pub connected: bool,

    /// Its producers.
    pub producers: Vec<usize>,
    /// Which producer a packet is for.
    pub listener: RtpListener,
    /// The ids of header extensions in what comes in.
    pub recv_extensions: ExtensionIds,
    /// Feedback about what comes in, for the sender's bandwidth estimation.
    pub congestion_feedback: Option<CongestionFeedback>,

    /// Its consumers.
    pub consumers: Vec<usize>,
    /// The consumers by the SSRC of their media stream.
    pub consumers_by_ssrc: FxHashMap<u32, usize>,
    /// The consumers by the SSRC of their RTX stream.
    pub consumers_by_rtx_ssrc: FxHashMap<u32, usize>,
    /// The last number sent on each SSRC that a closed consumer had: the next one of that SSRC goes on from there. Kept
    /// as long as the transport, as its keys are; the library's requests alone make it grow.
    last_sequence_numbers: FxHashMap<u32, u16>,

    /// Bound of what comes in, in bits per second; 0 for none.
    pub max_incoming_bitrate: u64,
    /// Bound of what goes out, in bits per second; 0 for none.
    pub max_outgoing_bitrate: u64,
    /// Least bound of what goes out, in bits per second; 0 for none.
    pub min_outgoing_bitrate: u64,
    /// The bandwidth estimate to begin with, in bits per second.
    pub initial_available_outgoing_bitrate: u64,
    /// The longest data message, in bytes.
    pub max_message_size: u32,
    /// Data messages.
    pub data: TransportData,
    /// What is traced.
    pub trace: TraceTypes<TransportTraceEventType>,
}

impl Transport {
    /// A transport without producers and consumers.
    pub fn new(id: String, router: usize, kind: Kind, protection: Protection, options: &TransportOptions) -> Transport {
        let sctp = options.sctp.as_ref();
        Transport {
            id,
            router,
            kind,
            protection,
            connected: false,
            producers: Vec::new(),
            listener: RtpListener::default(),
            recv_extensions: ExtensionIds::new(),
            congestion_feedback: None,
            consumers: Vec::new(),
            consumers_by_ssrc: FxHashMap::default(),
            consumers_by_rtx_ssrc: FxHashMap::default(),
            last_sequence_numbers: FxHashMap::default(),
            pending: Vec::new(),
            transport_sequence: 0,
            bandwidth: None,
            max_incoming_bitrate: 0,
            max_outgoing_bitrate: 0,
            min_outgoing_bitrate: 0,
            initial_available_outgoing_bitrate: options
                .initial_available_outgoing_bitrate
                .unwrap_or(DEFAULT_AVAILABLE_OUTGOING_BITRATE),
            max_message_size: sctp.map_or(DEFAULT_MAX_MESSAGE_SIZE, |sctp| sctp.max_receive_message_size),
            data: TransportData { sctp: sctp.map(|sctp| Box::new(data::Sctp::new(sctp))), ..TransportData::default() },
            trace: TraceTypes::default(),
            traffic: Traffic::default(),
            dropped: 0,
        }
    }

    /// Where RTP goes, once it is known and may. A direct transport has no path.
    pub fn rtp_path(&self) -> Option<Path> {
        match &self.kind {
            Kind::WebRtc(webrtc) => webrtc.path(),
            Kind::Plain(plain) => plain.path,
            Kind::Pipe(pipe) => pipe.path,
            Kind::Direct => None,
        }
    }

    /// Asks for the memory in which [`rtp_path`](Transport::rtp_path) looks.
    pub fn prefetch_path(&self) {
        match &self.kind {
            Kind::WebRtc(webrtc) => webrtc.prefetch_path(),
            Kind::Plain(plain) => prefetch(&plain.path),
            Kind::Pipe(pipe) => prefetch(&pipe.path),
            Kind::Direct => {}
        }
    }

    /// Where RTCP goes, once it is known and may. A direct transport has no path.
    pub fn rtcp_path(&self) -> Option<Path> {
        match &self.kind {
            Kind::WebRtc(webrtc) => webrtc.path(),
            Kind::Plain(plain) if plain.rtcp_mux() => plain.path,
            Kind::Plain(plain) => plain.rtcp_path,
            Kind::Pipe(pipe) => pipe.path,
            Kind::Direct => None,
        }
    }

    /// Whether its peer is the library.
    pub fn is_direct(&self) -> bool {
        matches!(self.kind, Kind::Direct)
    }

    /// Whether media can flow: the peer is known, and so are the keys.
    pub fn is_ready(&self) -> bool {
        self.is_direct() || self.rtp_path().is_some() && !matches!(self.protection, Protection::Pending)
    }

    /// Adds the header extensions that a new producer was negotiated with.
    pub fn add_recv_extensions(&mut self, ids: &ExtensionIds) {
        for (kind, id) in ids.iter() {
            self.recv_extensions.set(kind, id);
        }
    }

    /// The id of an extension in what comes in, for dumps.
    pub fn recv_extension(&self, kind: ExtensionKind) -> Option<u8> {
        self.recv_extensions.id(kind)
    }

    /// Enters a consumer. Its streams go on from what has been sent on their SSRCs before.
    ///
    /// # Errors
    /// An `Error` if it would send on an SSRC that another stream of this transport uses: the peer could not tell them
    /// apart, and SRTP would use a nonce twice.
    pub fn add_consumer(&mut self, index: usize, consumer: &mut Consumer) -> Result<(), Refusal> {
        let encodings = consumer.parameters.encodings();
        let media = encodings.iter().filter_map(|encoding| encoding.ssrc);
        let rtx = encodings.iter().filter_map(|encoding| encoding.rtx).map(|rtx| rtx.ssrc);
        let mut own = FxHashSet::default();
        for ssrc in media.clone().chain(rtx.clone()) {
            let in_use = self.consumers_by_ssrc.contains_key(&ssrc) || self.consumers_by_rtx_ssrc.contains_key(&ssrc);
            if in_use || !own.insert(ssrc) {
                return Err(Refusal::error(format!("ssrc already exists in transport [ssrc:{ssrc}]")));
            }
        }
        self.consumers.push(index);
        self.consumers_by_ssrc.extend(media.map(|ssrc| (ssrc, index)));
        self.consumers_by_rtx_ssrc.extend(rtx.map(|ssrc| (ssrc, index)));
        for stream in consumer.streams_mut() {
            stream.continue_after(|ssrc| self.last_sequence_numbers.get(&ssrc).copied());
        }
        Ok(())
    }

    /// Forgets a consumer that is closed.
    pub fn forget_consumer(&mut self, index: usize, consumer: &Consumer) {
        self.last_sequence_numbers.extend(consumer.streams().flat_map(SendStream::last_numbers));
        self.consumers.retain(|known| *known != index);
        self.consumers_by_ssrc.retain(|_, known| *known != index);
        self.consumers_by_rtx_ssrc.retain(|_, known| *known != index);
        self.pending.retain(|pending| pending.consumer != index);
    }

    /// Tells the peer, if it can be told, and closes the sockets.
    pub fn close(&mut self, sockets: &mut Sockets) {
        self.abort_sctp(sockets);
        match &mut self.kind {
            Kind::WebRtc(webrtc) => webrtc.close(sockets),
            Kind::Plain(plain) => plain.close(sockets),
            Kind::Pipe(pipe) => pipe.close(sockets),
            Kind::Direct => {}
        }
    }
}
