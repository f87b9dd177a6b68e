//! The media path: what happens to each packet between two sockets.
//!
//! One turn of the loop takes a batch of datagrams through these steps:
//!
//! | step | file | what |
//! |---|---|---|
//! | ingress | [`ingress`], [`direct`] | tells STUN, DTLS, RTP and RTCP apart, decrypts in place, parses the header once |
//! | route | [`route`] | finds the producer's stream, counts, notices losses, keeps a copy for retransmission, and queues the packet at its producer |
//! | intake | [`intake`] | looks for more while it is being sent to many |
//! | egress | [`egress`], [`train`] | per transport and consumer, chooses and numbers what its producer has queued, writes each packet's new header into the send buffer, encrypts the payload behind it, sends all in one call |
//! | layers | [`layers`] | on the way out, of simulcast and SVC: chooses each packet by what the receiver can decode, and rewrites it |
//! | feedback | [`rtcp`], [`reports`], [`retransmission`], [`congestion_feedback`] | what RTCP brings, and what we say by it |
//!
//! Datagrams stay where they were received until the end of the turn; the steps pass indices. No step allocates, hashes
//! a string or reads the clock for a packet. Consumers are walked once a turn, not once a packet: with a thousand of them
//! each is a cache miss. What a step will need is asked for before the step before it ([`ahead`]).

mod ahead;
pub mod bandwidth;
pub mod congestion_feedback;
mod direct;
mod egress;
pub mod history;
mod ingress;
pub mod intake;
mod layer_rates;
mod layers;
pub mod queue;
pub mod recv_stream;
mod reports;
mod retransmission;
mod route;
mod rtcp;
pub mod rtp_listener;
pub mod send_stream;
mod session;
mod tcp;
mod trace;
mod train;

use std::ops::Range;

use sfu_proto::codec::PayloadInfo;
use sfu_proto::rtcp::Compound;
use sfu_proto::rtp::{ExtensionSpans, Header, Origin};

use intake::Intake;

/// A packet that is being routed: where its bytes are, and what is known about them.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Its datagram in the turn's batch.
    pub datagram: usize,
    /// Where in the datagram it begins: behind 0 bytes, or more when it was taken out of an RTX packet.
    pub offset: usize,
    /// Its header, as the peer wrote it.
    pub header: Header,
    /// Its header extensions.
    pub extensions: ExtensionSpans,
    /// The stream of its producer that it belongs to, by index.
    pub stream: usize,
    /// How often that stream had started anew, with other numbers, when it came.
    pub epoch: u16,
    /// The router's payload type for it.
    pub payload_type: u8,
    /// Whether a key frame begins with it.
    pub key_frame: bool,
    /// Whether it is silence that need not be sent (DTX).
    pub silence: bool,
    /// Of a stream with layers, where the turn's list says what its payload is.
    pub info: usize,
}

impl Packet {
    /// Its bytes in its datagram.
    pub fn bytes<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        datagram.get(self.offset..self.offset + self.header.packet_len()).unwrap_or_default()
    }

    /// Where its payload, without padding, lies in its datagram.
    pub fn payload_range(&self) -> Range<usize> {
        let start = self.offset + self.header.header_len();
        start..start + self.header.payload_len()
    }
}

/// What to send to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// All that its producer has queued, the consumer has not been offered yet, and accepts.
    Queue,
    /// A packet that came before.
    Stored(StoredPacket),
}

/// A packet in the retransmission buffer of a producer's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPacket {
    /// Which of the consumer's streams it is of, by index.
    pub stream: u8,
    /// Which packet of the producer's stream: its epoch, and its number in the retransmission buffer.
    pub origin: Origin,
    /// The number under which the consumer's peer knows it.
    pub sequence_number: u16,
    /// It has not been sent before.
    pub is_new: bool,
}

/// Something to send at the end of the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// To which consumer.
    pub consumer: usize,
    /// What.
    pub source: Source,
}

/// Bytes of the send buffer: as much as one train of datagrams can carry.
const SEND_BUFFER: usize = 65_000;

/// Buffers of a turn, allocated once.
#[derive(Debug)]
pub struct Workspace {
    /// The packets that are being routed.
    pub packets: Vec<Packet>,
    /// What the payloads are of those whose layers are chosen from.
    pub infos: Vec<PayloadInfo>,
    /// Consumers that are sent other layers than before, or could not be.
    pub changed_layers: Vec<usize>,
    /// Datagrams to be handled, and where they came from.
    pub intake: Intake,
    /// Transports that have something pending.
    pub dirty_transports: Vec<usize>,
    /// Those that are being served.
    served_transports: Vec<usize>,
    /// Producers that got packets.
    pub touched_producers: Vec<usize>,
    /// Consumers that take part in the sharing of a transport's bandwidth.
    shares: Vec<bandwidth::Share>,
    /// About how many packets are received and to be sent at the end of the turn. The loop bounds by it what a turn does.
    pub load: usize,
    /// Whether what is being handled has waited too long to be forwarded. It is counted, and no more.
    pub is_stale: bool,
    /// Packets to one destination, back to back.
    send_buffer: Box<[u8]>,
    /// Their lengths.
    lengths: Vec<u16>,
    /// A payload that has to be put together before it is encrypted.
    scratch: Vec<u8>,
    /// RTCP that is being written.
    rtcp: Vec<u8>,
    /// Reports that are being put together.
    reports: Compound,
    /// Sequence numbers to ask for.
    missing: Vec<u16>,
}

impl Default for Workspace {
    fn default() -> Workspace {
        Workspace {
            packets: Vec::with_capacity(1024),
            infos: Vec::with_capacity(256),
            changed_layers: Vec::with_capacity(64),
            intake: Intake::with_capacity(256),
            dirty_transports: Vec::with_capacity(64),
            served_transports: Vec::with_capacity(64),
            touched_producers: Vec::with_capacity(64),
            shares: Vec::new(),
            load: 0,
            is_stale: false,
            send_buffer: vec![0; SEND_BUFFER].into_boxed_slice(),
            lengths: Vec::with_capacity(64),
            scratch: Vec::with_capacity(2048),
            rtcp: Vec::with_capacity(2048),
            reports: Compound::new(reports::MAX_COMPOUND),
            missing: Vec::with_capacity(256),
        }
    }
}
