//! The media path: what happens to each packet between two sockets.
//!
//! One turn of the loop takes a batch of datagrams through these steps:
//!
//! | step | file | what |
//! |---|---|---|
//! | ingress | [`ingress`] | tells STUN, DTLS, RTP and RTCP apart, decrypts in place, parses the header once |
//! | route | [`route`] | finds the producer's stream, counts, notices losses, keeps a copy for retransmission, and notes on each consumer's transport what to send |
//! | egress | [`egress`] | per transport, writes each packet's new header into the send buffer, encrypts the payload behind it, sends all in one call |
//! | feedback | [`rtcp`], [`reports`], [`retransmission`], [`congestion_feedback`] | what RTCP brings, and what we say by it |
//!
//! Datagrams stay where they were received until the end of the turn; the steps pass indices. No step allocates, hashes
//! a string or reads the clock for a packet.

pub mod congestion_feedback;
mod egress;
mod ingress;
pub mod recv_stream;
mod reports;
mod retransmission;
mod route;
mod rtcp;
pub mod rtp_listener;
pub mod send_stream;
mod session;
mod trace;

use sfu_proto::rtp::{ExtensionSpans, Header};

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
    /// The router's payload type for it.
    pub payload_type: u8,
    /// Whether a key frame begins with it.
    pub key_frame: bool,
    /// Whether it is silence that need not be sent (DTX).
    pub silence: bool,
}

impl Packet {
    /// Its bytes in its datagram.
    pub fn bytes<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        datagram.get(self.offset..self.offset + self.header.packet_len()).unwrap_or_default()
    }
}

/// Where the bytes of a packet to send are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In this turn's batch: an index of [`Workspace::packets`].
    Received(usize),
    /// In the producer stream's retransmission buffer, under this sequence number.
    Stored(u16),
}

/// A packet to send at the end of the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Its consumer.
    pub consumer: usize,
    /// Its bytes.
    pub source: Source,
    /// Its sequence number, as the consumer's peer sees it.
    pub sequence_number: u16,
}

/// Bytes of the send buffer: as much as one train of datagrams can carry.
const SEND_BUFFER: usize = 65_000;

/// Buffers of a turn, allocated once.
#[derive(Debug)]
pub struct Workspace {
    /// The packets that are being routed.
    pub packets: Vec<Packet>,
    /// Transports that have something pending.
    pub dirty_transports: Vec<usize>,
    /// Producers whose streams want to be asked what they want.
    pub touched_producers: Vec<usize>,
    /// Packets to one destination, back to back.
    send_buffer: Box<[u8]>,
    /// Their lengths.
    lengths: Vec<u16>,
    /// A payload that has to be put together before it is encrypted.
    scratch: Vec<u8>,
    /// RTCP that is being written.
    rtcp: Vec<u8>,
    /// Sequence numbers to ask for.
    missing: Vec<u16>,
}

impl Default for Workspace {
    fn default() -> Workspace {
        Workspace {
            packets: Vec::with_capacity(1024),
            dirty_transports: Vec::with_capacity(64),
            touched_producers: Vec::with_capacity(64),
            send_buffer: vec![0; SEND_BUFFER].into_boxed_slice(),
            lengths: Vec::with_capacity(64),
            scratch: Vec::with_capacity(2048),
            rtcp: Vec::with_capacity(2048),
            missing: Vec::with_capacity(256),
        }
    }
}
