//! Packets to one destination: each is written, numbered and encrypted behind the one before it, and all leave in one call.

use std::net::SocketAddr;
use std::time::Instant;

use sfu_channel::payload::PayloadEvent;
use sfu_proto::rtp::rtx;
use sfu_proto::rtp::{ExtensionKind, ExtensionSpans, FixedHeader, Header, HeaderWriter};
use sfu_reactor::udp::Sent;

use super::bandwidth::Bandwidth;
use super::history::Stamps;
use super::layers::Rewritten;
use super::send_stream::{Rtx, SendStream};
use super::trace::Content;
use crate::channel::Output;
use crate::clock::Clock;
use crate::consumer::Consumer;
use crate::sockets::Socket;
use crate::transport::Protection;
use crate::worker::Worker;

/// Room that a packet may need: an MTU's payload and a long header.
const MAX_PACKET: usize = 2048;
/// Bytes that a header can be longer than the producer's, and those of the authentication tag.
const MAX_GROWTH: usize = 256;

/// A packet to send: its bytes, and what is known about them.
pub(super) struct Input<'a> {
    /// The packet as it came; of one of several layers that is sent at once, with the numbers in its payload rewritten.
    pub bytes: &'a [u8],
    /// Its header.
    pub header: &'a Header,
    /// Its header extensions.
    pub extensions: &'a ExtensionSpans,
    /// The router's payload type for it.
    pub payload_type: u8,
    /// What is to be sent instead of what came, of one of several layers.
    pub rewritten: Option<&'a Rewritten>,
}

impl Input<'_> {
    fn timestamp(&self) -> u32 {
        self.rewritten.map_or(self.header.timestamp, |rewritten| rewritten.timestamp)
    }

    fn marker(&self) -> bool {
        self.rewritten.map_or(self.header.marker, |rewritten| rewritten.marker)
    }

    /// How many bytes at the front of the payload are not to be sent.
    fn excess(&self) -> usize {
        self.rewritten.map_or(0, Rewritten::excess)
    }

    /// The value of the dependency descriptor, as it is to be sent.
    fn dependency_descriptor(&self) -> Option<&[u8]> {
        let rewritten = self.rewritten.and_then(|rewritten| rewritten.dependency.as_ref());
        match rewritten {
            Some((value, len)) => value.get(..*len),
            None => self.extensions.value(ExtensionKind::DependencyDescriptor, self.bytes),
        }
    }
}

/// Under which name and number a packet goes out, and with which stamps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    /// The number under which the peer knows it.
    pub sequence_number: u16,
    /// The retransmission stream that it goes out on, if it does.
    pub rtx: Option<Rtx>,
    /// It was sent before, or should have been.
    pub is_again: bool,
    /// Its bytes are those of the producer: what is rewritten in the payload must still be.
    pub is_stored: bool,
    /// What is written into it as it leaves.
    pub stamps: Stamps,
}

/// A packet as it has been written.
///
/// It stays where it is written, in the train: whoever wants to know looks there. Passed on as a value it would be copied at once,
/// in larger pieces than it was written in, for which the processor waits until all that was written before has reached the cache.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    /// Its fixed header.
    pub header: FixedHeader,
    /// Its length before encryption, in bytes.
    pub plain_len: usize,
    /// Its payload's length before encryption, without padding, in bytes.
    pub payload_len: usize,
    /// Its transport-wide sequence number, if it has one.
    pub transport_sequence: Option<u16>,
    /// Its length in the send buffer, in bytes.
    len: usize,
}

/// What was written and what became of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) rtp_bytes: usize,
    pub(super) rtx_bytes: usize,
    /// Packets that the system did not take, and that could not wait.
    pub(super) dropped: usize,
    pub(super) dropped_bytes: usize,
}

/// Where packets go.
pub(super) enum Sink<'a> {
    /// To a peer.
    Network { socket: &'a mut Socket, remote: SocketAddr },
    /// To the library: a message each, with the consumer's id.
    Library,
}

/// Packets to one destination, which are written back to back and leave together.
pub(super) struct Train<'a> {
    pub(super) sink: Sink<'a>,
    pub(super) protection: &'a mut Protection,
    /// The last transport-wide sequence number.
    pub(super) transport_sequence: &'a mut u16,
    /// Estimates the bandwidth from when such packets arrive.
    pub(super) bandwidth: Option<&'a mut Bandwidth>,
    /// This turn's time.
    pub(super) now: Instant,
    pub(super) abs_send_time: [u8; 3],
    pub(super) buffer: &'a mut [u8],
    /// Bytes of the buffer in use.
    pub(super) len: usize,
    pub(super) lengths: &'a mut Vec<u16>,
    pub(super) scratch: &'a mut Vec<u8>,
    /// The packet that was written last.
    pub(super) last: Written,
    pub(super) totals: Totals,
}

impl Train<'_> {
    /// Writes a packet that has come just now. `None` if that can't be done, here as in the others.
    pub(super) fn push_new(&mut self, stream: &mut SendStream, sequence_number: u16, input: &Input<'_>) -> Option<()> {
        self.push_first(stream, sequence_number, input, false)
    }

    /// Writes a packet that has not been sent before.
    pub(super) fn push_first(
        &mut self,
        stream: &mut SendStream,
        sequence_number: u16,
        input: &Input<'_>,
        is_stored: bool,
    ) -> Option<()> {
        let stamps = self.stamps(stream);
        let outgoing = Outgoing { sequence_number, rtx: None, is_again: false, is_stored, stamps };
        self.push(stream, input, outgoing)?;
        stream.remember(sequence_number, stamps);
        stream.sent.handle_packet(self.now, input.timestamp(), self.last.len, input.header.payload_len());
        Some(())
    }

    /// The stamps of the next packet.
    pub(super) fn stamps(&mut self, stream: &SendStream) -> Stamps {
        if stream.has_transport_sequence() {
            *self.transport_sequence = self.transport_sequence.wrapping_add(1);
        }
        Stamps { abs_send_time: self.abs_send_time, transport_sequence: self.transport_sequence.to_be_bytes() }
    }

    /// Does what follows when a packet of a consumer's stream has been written: traces it, and hands it to the library if
    /// that is the receiver.
    pub(super) fn follow(
        &mut self,
        clock: &Clock,
        output: &mut Output,
        consumer: &Consumer,
        own: u8,
        sent: Option<Content>,
    ) {
        if let Some(content) = sent
            && !consumer.trace.is_empty()
        {
            Worker::trace_sent(clock, output, self.now, consumer, own, &self.last, &content);
        }
        if matches!(self.sink, Sink::Library) && !self.written().is_empty() {
            output.notify_with_payload(&consumer.id, PayloadEvent::Rtp, self.written());
            self.clear();
        }
    }

    /// Writes a packet.
    pub(super) fn push(&mut self, stream: &SendStream, input: &Input<'_>, outgoing: Outgoing) -> Option<()> {
        if self.len + MAX_PACKET.max(input.bytes.len() + MAX_GROWTH) > self.buffer.len() {
            self.send();
        }
        let slot = self.buffer.get_mut(self.len..)?;
        write(slot, self.scratch, self.protection, stream, input, outgoing, &mut self.last)?;
        let written = &self.last;
        self.lengths.push(u16::try_from(written.len).ok()?);
        self.len += written.len;
        let total = if outgoing.rtx.is_some() { &mut self.totals.rtx_bytes } else { &mut self.totals.rtp_bytes };
        *total += written.len;
        // What is sent again as it was has an old number.
        let is_numbered = !outgoing.is_again || outgoing.rtx.is_some();
        if let Some(Bandwidth { estimator, .. }) = &mut self.bandwidth {
            match written.transport_sequence.filter(|_| is_numbered) {
                Some(number) => estimator.handle_sent(self.now, number, written.plain_len),
                None => estimator.handle_sent_unnumbered(self.now, written.plain_len),
            }
        }
        Some(())
    }

    /// Sends to the peer what has been written.
    pub(super) fn send(&mut self) {
        if !self.lengths.is_empty()
            && let Sink::Network { socket, remote } = &mut self.sink
        {
            let sent: Sent = socket.send_segments(*remote, &self.buffer[..self.len], self.lengths);
            self.totals.dropped += sent.dropped;
            self.totals.dropped_bytes += sent.dropped_bytes;
        }
        self.clear();
    }

    /// What has been written since the last time that it was sent or cleared.
    fn written(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn clear(&mut self) {
        self.lengths.clear();
        self.len = 0;
    }
}

/// Writes and protects a packet.
fn write(
    slot: &mut [u8],
    scratch: &mut Vec<u8>,
    protection: &mut Protection,
    stream: &SendStream,
    input: &Input<'_>,
    outgoing: Outgoing,
    written: &mut Written,
) -> Option<()> {
    let header = match outgoing.rtx {
        Some(rtx) => FixedHeader {
            marker: input.marker(),
            payload_type: rtx.payload_type,
            sequence_number: rtx.sequence_number,
            timestamp: input.timestamp(),
            ssrc: rtx.ssrc,
        },
        None => FixedHeader {
            marker: input.marker(),
            payload_type: input.payload_type,
            sequence_number: outgoing.sequence_number,
            timestamp: input.timestamp(),
            ssrc: stream.ssrc(),
        },
    };
    let header_len = write_header(slot, stream, input, &header, outgoing.stamps)?;
    let (payload, padding_len) = match outgoing.rtx {
        // RFC 4588: the original number, then the original payload, without its padding.
        Some(_) => {
            scratch.clear();
            scratch.extend_from_slice(&rtx::prefix(outgoing.sequence_number));
            scratch.extend_from_slice(input.header.payload(input.bytes));
            if let Some((rewritten, payload)) = input.rewritten.zip(scratch.get_mut(rtx::PREFIX_LEN..)) {
                rewritten.patch(payload);
                scratch.drain(rtx::PREFIX_LEN..rtx::PREFIX_LEN + input.excess());
            }
            (scratch.as_slice(), 0)
        }
        None => {
            let padding_len = usize::from(input.header.padding_len);
            if input.header.padding_len > 0 {
                set_padding_bit(slot);
            }
            let payload = input.bytes.get(input.header.header_len()..)?;
            let payload = match input.rewritten.filter(|_| outgoing.is_stored) {
                Some(rewritten) => {
                    scratch.clear();
                    scratch.extend_from_slice(payload);
                    rewritten.patch(scratch);
                    scratch.as_slice()
                }
                None => payload,
            };
            (payload.get(input.excess()..)?, padding_len)
        }
    };
    let plain_len = header_len + payload.len();
    let len = match protection {
        Protection::Pending => return None,
        Protection::None => {
            slot.get_mut(header_len..plain_len)?.copy_from_slice(payload);
            plain_len
        }
        Protection::Srtp { sender, .. } => match sender.protect_rtp(slot, header_len, payload) {
            Ok(len) => len,
            Err(error) => {
                crate::warn!(Srtp, "RTP not sent [ssrc:{}]: {error}", stream.ssrc());
                return None;
            }
        },
    };
    let transport_sequence =
        stream.has_transport_sequence().then(|| u16::from_be_bytes(outgoing.stamps.transport_sequence));
    *written = Written { header, plain_len, payload_len: payload.len() - padding_len, transport_sequence, len };
    Some(())
}

fn write_header(
    slot: &mut [u8],
    stream: &SendStream,
    input: &Input<'_>,
    fixed: &FixedHeader,
    stamps: Stamps,
) -> Option<usize> {
    let mut writer = HeaderWriter::new(slot, fixed).csrcs(input.header.csrcs(input.bytes));
    for (kind, id) in stream.extensions() {
        writer = match kind {
            ExtensionKind::Mid => writer.extension(*id, stream.mid()),
            ExtensionKind::AbsSendTime => writer.extension(*id, &stamps.abs_send_time),
            ExtensionKind::TransportWideCc => writer.extension(*id, &stamps.transport_sequence),
            ExtensionKind::DependencyDescriptor => writer.optional_extension(Some(*id), input.dependency_descriptor()),
            other => writer.optional_extension(Some(*id), input.extensions.value(*other, input.bytes)),
        };
    }
    writer.finish().ok()
}

/// The packet keeps the padding that the producer gave it.
fn set_padding_bit(slot: &mut [u8]) {
    if let Some(first) = slot.first_mut() {
        *first |= 0x20;
    }
}
