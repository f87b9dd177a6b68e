//! The last step: per transport, all packets of this turn are written and encrypted back to back, and sent together.

use std::time::Instant;

use sfu_proto::rtp::rtx;
use sfu_proto::rtp::{AbsSendTime, ExtensionKind, ExtensionSpans, FixedHeader, Header, HeaderWriter, parse_extensions};
use sfu_reactor::udp::RecvBatch;

use super::send_stream::{Rtx, SendStream, Stamps};
use super::{Pending, Source};
use crate::consumer::Consumer;
use crate::transport::{Protection, Transport};
use crate::worker::Worker;

/// Room that a packet may need: an MTU's payload and a long header.
const MAX_PACKET: usize = 2048;

/// The bytes of a packet to send, and what is known about them.
struct Input<'a> {
    bytes: &'a [u8],
    header: Header,
    extensions: ExtensionSpans,
    payload_type: u8,
}

/// Under which name and number a packet goes out.
#[derive(Debug, Clone, Copy)]
struct Outgoing {
    sequence_number: u16,
    /// The retransmission stream that it goes out on, if it does.
    rtx: Option<Rtx>,
}

impl Worker {
    /// Sends what is pending on all transports.
    pub fn emit(&mut self, now: Instant, batch: &RecvBatch) {
        let dirty = std::mem::take(&mut self.media.dirty_transports);
        for transport in &dirty {
            self.emit_on(now, *transport, batch);
        }
        self.media.dirty_transports = dirty;
        self.media.dirty_transports.clear();
        self.media.packets.clear();
    }

    fn emit_on(&mut self, now: Instant, index: usize, batch: &RecvBatch) {
        let Worker { transports, consumers, producers, sockets, media, clock, .. } = self;
        let Some(transport) = transports.get_mut(index) else { return };
        let path = transport.rtp_path();
        let Some((path, socket)) = path.and_then(|path| Some((path, sockets.get_mut(path.socket)?))) else {
            transport.pending.clear();
            return;
        };
        let abs_send_time = AbsSendTime::from_duration(clock.elapsed(now)).encode();
        let (mut at, mut rtp_bytes, mut rtx_bytes) = (0, 0, 0);
        media.lengths.clear();
        let mut pending = std::mem::take(&mut transport.pending);
        for Pending { consumer, source, sequence_number } in pending.drain(..) {
            let Some(consumer) = consumers.get_mut(consumer) else { continue };
            let input = match source {
                Source::Received(packet) => media.packets.get(packet).map(|packet| Input {
                    bytes: packet.bytes(batch.datagram(packet.datagram).1),
                    header: packet.header,
                    extensions: packet.extensions,
                    payload_type: packet.payload_type,
                }),
                Source::Stored(number) => producers.get(consumer.producer).and_then(|producer| {
                    let stream = producer.streams.get(consumer.producer_stream?)?;
                    let stored = stream.stored.as_ref()?.get(now, number)?;
                    let header = Header::parse(stored.bytes).ok()?;
                    Some(Input {
                        bytes: stored.bytes,
                        header,
                        extensions: parse_extensions(stored.bytes, &header, &producer.extension_ids),
                        payload_type: producer.mapped_payload_type(header.payload_type)?,
                    })
                }),
            };
            let Some(input) = input else { continue };
            if at + MAX_PACKET > media.send_buffer.len() || at + input.bytes.len() + 256 > media.send_buffer.len() {
                socket.send_segments(path.remote, &media.send_buffer[..at], &media.lengths);
                media.lengths.clear();
                at = 0;
            }
            let resent = matches!(source, Source::Stored(_));
            let stamps = match consumer.stream.recall(sequence_number).filter(|_| resent) {
                Some(stamps) if consumer.stream.rtx_ssrc().is_none() => stamps,
                _ if resent && consumer.stream.rtx_ssrc().is_none() => continue,
                _ => Stamps { abs_send_time, transport_sequence: transport.next_transport_sequence(consumer) },
            };
            let slot = &mut media.send_buffer[at..];
            let outgoing = outgoing(&mut consumer.stream, sequence_number, resent);
            let Some(len) =
                write(slot, &mut media.scratch, &mut transport.protection, consumer, &input, outgoing, stamps)
            else {
                continue;
            };
            *(if outgoing.rtx.is_some() { &mut rtx_bytes } else { &mut rtp_bytes }) += len;
            if !resent {
                consumer.stream.remember(sequence_number, stamps);
                let payload_len = input.header.payload_len();
                consumer.stream.sent.handle_packet(now, input.header.timestamp, len, payload_len);
            }
            media.lengths.push(u16::try_from(len).unwrap_or(u16::MAX));
            at += len;
        }
        transport.pending = pending;
        transport.traffic.sent.add(now, rtp_bytes + rtx_bytes);
        transport.traffic.rtp_sent.add(now, rtp_bytes);
        transport.traffic.rtx_sent.add(now, rtx_bytes);
        if !media.lengths.is_empty() {
            socket.send_segments(path.remote, &media.send_buffer[..at], &media.lengths);
        }
        sockets.update_interest(path.socket);
    }
}

impl Transport {
    /// The next transport-wide sequence number, if the consumer's packets carry one.
    fn next_transport_sequence(&mut self, consumer: &Consumer) -> [u8; 2] {
        if consumer.stream.has_transport_sequence() {
            self.transport_sequence = self.transport_sequence.wrapping_add(1);
        }
        self.transport_sequence.to_be_bytes()
    }
}

fn outgoing(stream: &mut SendStream, sequence_number: u16, resent: bool) -> Outgoing {
    Outgoing { sequence_number, rtx: if resent { stream.next_rtx() } else { None } }
}

/// Writes the packet for one consumer into the slot, and returns its length.
fn write(
    slot: &mut [u8],
    scratch: &mut Vec<u8>,
    protection: &mut Protection,
    consumer: &Consumer,
    input: &Input<'_>,
    outgoing: Outgoing,
    stamps: Stamps,
) -> Option<usize> {
    let header_len = write_header(slot, &consumer.stream, input, outgoing, stamps)?;
    let payload = match outgoing.rtx {
        // RFC 4588: the original number, then the original payload, without its padding.
        Some(_) => {
            scratch.clear();
            scratch.extend_from_slice(&rtx::prefix(outgoing.sequence_number));
            scratch.extend_from_slice(input.header.payload(input.bytes));
            scratch.as_slice()
        }
        None => {
            if input.header.padding_len > 0 {
                set_padding_bit(slot);
            }
            input.bytes.get(input.header.header_len()..)?
        }
    };
    match protection {
        Protection::Pending => None,
        Protection::None => {
            let end = header_len + payload.len();
            slot.get_mut(header_len..end)?.copy_from_slice(payload);
            Some(end)
        }
        Protection::Srtp { sender, .. } => match sender.protect_rtp(slot, header_len, payload) {
            Ok(len) => Some(len),
            Err(error) => {
                crate::warn!(Srtp, "RTP not sent [ssrc:{}]: {error}", consumer.stream.ssrc());
                None
            }
        },
    }
}

fn write_header(
    slot: &mut [u8],
    stream: &SendStream,
    input: &Input<'_>,
    outgoing: Outgoing,
    stamps: Stamps,
) -> Option<usize> {
    let fixed = match outgoing.rtx {
        Some(rtx) => FixedHeader {
            marker: input.header.marker,
            payload_type: rtx.payload_type,
            sequence_number: rtx.sequence_number,
            timestamp: input.header.timestamp,
            ssrc: rtx.ssrc,
        },
        None => FixedHeader {
            marker: input.header.marker,
            payload_type: input.payload_type,
            sequence_number: outgoing.sequence_number,
            timestamp: input.header.timestamp,
            ssrc: stream.ssrc(),
        },
    };
    let mut writer = HeaderWriter::new(slot, &fixed).csrcs(input.header.csrcs(input.bytes));
    for (kind, id) in stream.extensions() {
        writer = match kind {
            ExtensionKind::Mid => writer.extension(*id, stream.mid()),
            ExtensionKind::AbsSendTime => writer.extension(*id, &stamps.abs_send_time),
            ExtensionKind::TransportWideCc => writer.extension(*id, &stamps.transport_sequence),
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
