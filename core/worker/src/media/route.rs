//! The second step: which stream is this packet of, what does it tell about that, and who gets it.

use std::time::Instant;

use sfu_channel::notification::{Event, VideoOrientation};
use sfu_channel::{MediaKind, RtpType};
use sfu_proto::rtp::{self, AudioLevel, ExtensionKind, Header, parse_extensions, rtx};
use sfu_proto::stream::inactivity::Activity;
use sfu_proto::stream::nack::{self, Arrival};
use sfu_proto::stream::receive::Verdict;
use sfu_reactor::prefetch::prefetch_bytes;

use super::Packet;
use super::recv_stream::RecvStream;
use crate::producer::Producer;
use crate::worker::{TimerKey, Worker};

/// A stream of a producer that a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Match {
    stream: usize,
    is_rtx: bool,
    is_new: bool,
}

/// What a packet is to its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reception {
    /// Nothing to forward: a duplicate, or out of place.
    Nothing,
    /// A packet to forward.
    Packet,
    /// The same, and the first of a stream that has started anew.
    Restart,
}

impl Worker {
    /// Routes one packet of a transport's peer.
    pub(super) fn route(&mut self, now: Instant, transport: usize, mut packet: Packet, datagram: &mut [u8]) {
        let Some(index) = self.find_packet_producer(transport, &packet, datagram) else {
            crate::warn!(
                Rtp,
                "no producer for RTP packet [ssrc:{}, pt:{}]",
                packet.header.ssrc,
                packet.header.payload_type
            );
            return;
        };
        if !std::mem::replace(&mut self.producers[index].touched, true) {
            self.media.touched_producers.push(index);
            self.expect_packets(index);
        }
        let producer = &mut self.producers[index];
        if producer.has_own_extension_ids {
            packet.extensions = parse_extensions(packet.bytes(datagram), &packet.header, &producer.extension_ids);
        }
        let Some(found) = producer.find_stream(&packet, packet.bytes(datagram)) else {
            crate::warn!(
                Rtp,
                "no stream for RTP packet [ssrc:{}, pt:{}]",
                packet.header.ssrc,
                packet.header.payload_type
            );
            return;
        };
        let traffic = &mut self.transports[transport].traffic;
        let counter = if found.is_rtx { &mut traffic.rtx_received } else { &mut traffic.rtp_received };
        counter.add(now, packet.header.packet_len());
        if self.media.is_stale {
            producer.is_interrupted = true;
        } else if std::mem::take(&mut producer.is_interrupted) {
            producer.begin_anew(now);
        }

        let reception = if found.is_rtx {
            producer.receive_retransmission(now, found.stream, &mut packet, datagram)
        } else {
            producer.receive(now, found.stream, &mut packet, datagram)
        };
        if reception == Reception::Restart {
            producer.handle_restart(now, found.stream);
        }
        if found.is_new {
            self.announce_stream(now, index, found.stream, packet.key_frame);
        }
        if reception != Reception::Nothing {
            self.enqueue(now, index, found, packet, datagram);
        }
    }

    fn find_packet_producer(&mut self, transport: usize, packet: &Packet, datagram: &[u8]) -> Option<usize> {
        let listener = &mut self.transports[transport].listener;
        listener.by_ssrc(packet.header.ssrc).or_else(|| {
            let value = |kind| packet.extensions.value(kind, packet.bytes(datagram));
            let rid = value(ExtensionKind::Rid).or_else(|| value(ExtensionKind::RepairedRid));
            listener.learn(packet.header.ssrc, value(ExtensionKind::Mid), rid)
        })
    }

    /// The first packet of a stream has come.
    fn announce_stream(&mut self, now: Instant, index: usize, stream: usize, began_with_key_frame: bool) {
        let producer = &mut self.producers[index];
        self.output.notify(&producer.id, Event::ProducerScore(producer.score_event()));
        let Some(entity) = producer.streams.get(stream) else { return };
        // The packets before this one may have been lost, and with them the key frame.
        if producer.kind == MediaKind::Video && !producer.paused && !began_with_key_frame {
            producer.key_frames.handle_forced_request(now, entity.ssrc());
        }
        let mapped_ssrc = entity.mapped_ssrc();
        for consumer in &producer.consumers {
            let consumer = &mut self.consumers[*consumer];
            if consumer.handle_new_stream(mapped_ssrc, stream) && !consumer.is_pipe() {
                self.output.notify(&consumer.id, Event::ConsumerScore(consumer.score(producer)));
            }
        }
        self.update_consumers_layers(now, index);
    }

    /// Queues the packet for the producer's consumers.
    fn enqueue(&mut self, now: Instant, index: usize, found: Match, mut packet: Packet, datagram: &[u8]) {
        let producer = &mut self.producers[index];
        if packet.key_frame {
            producer.key_frames.handle_key_frame(packet.header.ssrc);
        }
        if producer.paused || producer.is_interrupted {
            return;
        }
        self.trace_received(now, index, found.stream, &packet, datagram, found.is_rtx);
        let producer = &mut self.producers[index];
        let Some(payload_type) = producer.mapped_payload_type(packet.header.payload_type) else {
            crate::warn!(Rtp, "payload type {} of a producer is not mapped", packet.header.payload_type);
            return;
        };
        packet.payload_type = payload_type;
        if producer.kind == MediaKind::Video
            && let Some(value) = packet.extensions.value(ExtensionKind::VideoOrientation, packet.bytes(datagram))
            && let Some(orientation) = producer.update_orientation(value)
        {
            self.output.notify(&producer.id, Event::VideoOrientationChange(orientation));
        }
        packet.stream = found.stream;
        packet.epoch = producer.streams.get(found.stream).map_or(0, RecvStream::epoch);
        if producer.rtp_type != RtpType::Simple
            && let Some(stream) = producer.streams.get(found.stream)
        {
            packet.info = self.media.infos.len();
            self.media.infos.push(stream.last_info);
        }
        producer.queue.push(self.media.packets.len());
        self.media.packets.push(packet);
        self.media.load += producer.consumers.len();
        if !producer.observers.is_empty()
            && let Some(value) = packet.extensions.value(ExtensionKind::AudioLevel, packet.bytes(datagram))
            && let Some(level) = AudioLevel::decode(value)
        {
            self.observe_level(now, index, level);
        }
        self.keep(now, index, found.stream, &packet, datagram);
    }

    /// Keeps a copy of a packet for retransmission, as the last thing that is done with it: of many streams no cache holds what they
    /// keep, and until such memory has come the processor completes nothing that is written after it.
    fn keep(&mut self, now: Instant, index: usize, stream: usize, packet: &Packet, datagram: &[u8]) {
        let stream = self.producers[index].streams.get_mut(stream);
        let Some(stored) = stream.and_then(|stream| stream.stored.as_mut()) else { return };
        stored.insert(now, packet.header.sequence_number, packet.header.timestamp, packet.bytes(datagram));
        // The next packet needs not wait for its place.
        prefetch_bytes(stored.next_place(now, packet.header.packet_len()));
    }

    /// Does what a producer's streams want: asks for missing packets and for key frames, and tells scores.
    pub fn poll_producer(&mut self, now: Instant, index: usize) {
        let mut missing = std::mem::take(&mut self.media.missing);
        for position in 0..self.producers[index].streams.len() {
            let producer = &mut self.producers[index];
            let stream = &mut producer.streams[position];
            let ssrc = stream.ssrc();
            let (mut scored, mut stopped) = (false, false);
            if let Some(inactivity) = &mut stream.inactivity {
                while let Some(activity) = inactivity.poll_event() {
                    let change = match activity {
                        Activity::Active => stream.score.handle_active(stream.received.totals()),
                        Activity::Inactive => stream.score.handle_inactive(),
                    };
                    stopped |= activity == Activity::Inactive;
                    scored |= change.is_some();
                }
            }
            if stopped {
                stream.handle_inactive();
            }
            if let Some(nack) = &mut stream.nack {
                missing.clear();
                if nack.poll_nack(&mut missing) {
                    stream.count_nack(missing.len());
                    self.send_nack(now, index, ssrc, &missing);
                }
                let producer = &mut self.producers[index];
                let wants_key_frame = producer.streams[position]
                    .nack
                    .as_mut()
                    .is_some_and(|nack| matches!(nack.poll_event(), Some(nack::Event::KeyFrameNeeded)));
                if wants_key_frame && producer.kind == MediaKind::Video {
                    producer.key_frames.handle_request(now, ssrc);
                }
            }
            if scored {
                self.announce_scores(index);
                self.update_consumers_layers(now, index);
            }
        }
        self.media.missing = missing;
        // A key frame that is asked for before all that is stale has been read might be read with it.
        while !self.media.is_stale
            && let Some(ssrc) = self.producers[index].key_frames.poll_request()
        {
            self.send_key_frame_request(now, index, ssrc);
        }
        match self.producers[index].next_deadline() {
            Some(deadline) => self.timers.set(TimerKey::Producer(index), deadline),
            None => {
                self.timers.cancel(TimerKey::Producer(index));
            }
        }
    }

    /// Time has passed for a producer's streams.
    pub fn handle_producer_timeout(&mut self, now: Instant, index: usize) {
        let producer = &mut self.producers[index];
        producer.key_frames.handle_timeout(now);
        for stream in &mut producer.streams {
            if let Some(nack) = &mut stream.nack {
                nack.handle_timeout(now);
            }
            if let Some(inactivity) = &mut stream.inactivity {
                inactivity.handle_timeout(now);
            }
        }
        self.poll_producer(now, index);
    }

    /// Tells the scores of a producer, and those of its consumers.
    pub fn announce_scores(&mut self, index: usize) {
        let producer = &self.producers[index];
        self.output.notify(&producer.id, Event::ProducerScore(producer.score_event()));
        for consumer in &producer.consumers {
            let consumer = &self.consumers[*consumer];
            if !consumer.is_pipe() {
                self.output.notify(&consumer.id, Event::ConsumerScore(consumer.score(producer)));
            }
        }
    }

    /// Notes for each producer of a transport whether its header extensions must be found by its own ids.
    pub fn update_own_extension_ids(&mut self, transport: usize) {
        let transport = &self.transports[transport];
        for producer in &transport.producers {
            let producer = &mut self.producers[*producer];
            let differs = |(kind, id)| transport.recv_extensions.id(kind) != Some(id);
            producer.has_own_extension_ids = producer.extension_ids.iter().any(differs);
        }
    }
}

impl Producer {
    /// The stream that a packet belongs to. One that has not been seen is made, if the packet shows by SSRC, RID or
    /// being the only one which encoding it is of.
    fn find_stream(&mut self, packet: &Packet, bytes: &[u8]) -> Option<Match> {
        let ssrc = packet.header.ssrc;
        for (stream, entity) in self.streams.iter().enumerate() {
            if entity.ssrc() == ssrc {
                return Some(Match { stream, is_rtx: false, is_new: false });
            }
            if entity.rtx_ssrc() == Some(ssrc) {
                return Some(Match { stream, is_rtx: true, is_new: false });
            }
        }
        let (encoding_index, is_rtx) = self.find_encoding(packet, bytes)?;
        let known = self.streams.iter().position(|stream| stream.encoding_index() == encoding_index);
        match (known, is_rtx) {
            (Some(stream), true) if self.streams[stream].rtx_ssrc().is_none() => {
                self.streams[stream].set_rtx(ssrc, packet.header.payload_type);
                Some(Match { stream, is_rtx: true, is_new: false })
            }
            (None, false) => {
                let encoding = self.rtp_parameters.encodings.get(encoding_index)?;
                let mapped_ssrc = self.rtp_mapping.encodings.get(encoding_index)?.mapped_ssrc;
                let watched = self.rtp_type == RtpType::Simulcast && self.rtp_mapping.encodings.len() > 1;
                let layered = self.rtp_type != RtpType::Simple;
                let parameters = &self.rtp_parameters;
                let stream =
                    RecvStream::new(ssrc, encoding_index, encoding, parameters, mapped_ssrc, watched, layered)?;
                self.streams.push(stream);
                Some(Match { stream: self.streams.len() - 1, is_rtx: false, is_new: true })
            }
            // Another SSRC for an encoding that has its stream, or a retransmission before any media.
            _ => None,
        }
    }

    /// The index of the encoding that a packet of an unknown SSRC is of, and whether it is a retransmission.
    fn find_encoding(&self, packet: &Packet, bytes: &[u8]) -> Option<(usize, bool)> {
        let (ssrc, payload_type) = (packet.header.ssrc, packet.header.payload_type);
        let encodings = || self.rtp_parameters.encodings.iter().enumerate();
        let is_media =
            |encoding: &sfu_channel::RtpEncodingParameters| encoding.codec_payload_type == Some(payload_type);
        let is_rtx = |encoding: &sfu_channel::RtpEncodingParameters| {
            let codec = crate::rtp_parameters::rtx_codec(&self.rtp_parameters.codecs, encoding);
            codec.is_some_and(|codec| codec.payload_type == payload_type)
        };
        let by_ssrc = encodings().find_map(|(index, encoding)| {
            if encoding.ssrc == Some(ssrc) && is_media(encoding) {
                Some((index, false))
            } else if encoding.rtx.is_some_and(|rtx| rtx.ssrc == ssrc) && is_rtx(encoding) {
                Some((index, true))
            } else {
                None
            }
        });
        if by_ssrc.is_some() {
            return by_ssrc;
        }
        let value = |kind| packet.extensions.value(kind, bytes);
        if let Some(rid) = value(ExtensionKind::Rid).or_else(|| value(ExtensionKind::RepairedRid)) {
            return encodings().find_map(|(index, encoding)| match encoding.rid.as_deref() {
                Some(known) if known.as_bytes() != rid => None,
                Some(_) if is_media(encoding) => Some((index, false)),
                Some(_) if is_rtx(encoding) => Some((index, true)),
                _ => None,
            });
        }
        match self.rtp_parameters.encodings.as_slice() {
            [only] if only.ssrc.is_none() && only.rid.is_none() => match (is_media(only), is_rtx(only)) {
                (true, _) => Some((0, false)),
                (false, true) => Some((0, true)),
                (false, false) => None,
            },
            _ => None,
        }
    }

    /// A stream's numbers have started anew, and its consumers need a key frame to begin anew with it.
    fn handle_restart(&mut self, now: Instant, stream: usize) {
        if self.kind == MediaKind::Video
            && !self.paused
            && let Some(stream) = self.streams.get(stream)
        {
            self.key_frames.handle_forced_request(now, stream.ssrc());
        }
    }

    /// Packets of its peer were passed over, and this is the end of it: what comes now is no continuation of what was
    /// forwarded before.
    fn begin_anew(&mut self, now: Instant) {
        for index in 0..self.streams.len() {
            self.streams[index].restart();
            self.handle_restart(now, index);
        }
    }

    /// Counts a packet of a stream itself.
    fn receive(&mut self, now: Instant, stream: usize, packet: &mut Packet, datagram: &[u8]) -> Reception {
        let Some(stream) = self.streams.get_mut(stream) else { return Reception::Nothing };
        let header = &packet.header;
        stream.prefetch_places(header.sequence_number);
        let reception = match stream.received.handle_packet(now, header, header.packet_len()) {
            Verdict::Accepted => Reception::Packet,
            Verdict::Discarded => return Reception::Nothing,
            Verdict::Restarted => {
                stream.restart();
                Reception::Restart
            }
        };
        let has_rtx = stream.rtx_ssrc().is_some();
        stream.inspect_into(packet, datagram);
        stream.count_layer(now, packet.header.packet_len());
        // What is not forwarded need not be complete.
        if let Some(nack) = &mut stream.nack
            && !self.paused
            && !self.is_interrupted
        {
            let arrival = nack.handle_packet(now, packet.header.sequence_number, packet.key_frame, false);
            if arrival == Arrival::Repaired && !has_rtx {
                stream.received.handle_repair();
            }
        }
        if let Some(inactivity) = &mut stream.inactivity {
            inactivity.handle_packet(now);
        }
        if stream.is_first(packet.header.sequence_number) { reception } else { Reception::Nothing }
    }

    /// Takes the original packet out of a retransmission. Only one that was missing is worth anything.
    fn receive_retransmission(
        &mut self,
        now: Instant,
        stream: usize,
        packet: &mut Packet,
        datagram: &mut [u8],
    ) -> Reception {
        let Some(stream) = self.streams.get_mut(stream) else { return Reception::Nothing };
        if stream.nack.is_none() || stream.rtx_payload_type() != Some(packet.header.payload_type) {
            return Reception::Nothing;
        }
        let header = packet.header;
        match stream.rtx_received().map(|received| received.handle_packet(now, &header, header.packet_len())) {
            Some(Verdict::Accepted | Verdict::Restarted) => {}
            Some(Verdict::Discarded) | None => return Reception::Nothing,
        }
        let Some(bytes) = datagram.get_mut(..header.packet_len()) else { return Reception::Nothing };
        // Senders probe with retransmissions that hold nothing; those end here.
        let Ok(original) = rtx::decapsulate(bytes, &header, stream.payload_type(), stream.ssrc()) else {
            return Reception::Nothing;
        };
        packet.header = original;
        packet.offset = rtx::PREFIX_LEN;
        stream.inspect_into(packet, datagram);
        let Some(nack) = &mut stream.nack else { return Reception::Nothing };
        let arrival = nack.handle_packet(now, original.sequence_number, packet.key_frame, true);
        let was_missing = matches!(arrival, Arrival::Repaired | Arrival::Reordered);
        stream.received.handle_rtx(now, was_missing.then(|| original.packet_len()));
        if was_missing {
            stream.count_layer(now, original.packet_len());
        }
        if was_missing && let Some(inactivity) = &mut stream.inactivity {
            inactivity.handle_packet(now);
        }
        if was_missing && stream.is_first(original.sequence_number) { Reception::Packet } else { Reception::Nothing }
    }

    /// How the camera is held now, if that has changed.
    fn update_orientation(&mut self, value: &[u8]) -> Option<VideoOrientation> {
        let rtp::VideoOrientation { camera, flip, rotation } = rtp::VideoOrientation::decode(value)?;
        let orientation = VideoOrientation { camera, flip, rotation };
        (self.orientation.replace(orientation) != Some(orientation)).then_some(orientation)
    }

    /// When its streams want to be told of the time.
    fn next_deadline(&self) -> Option<Instant> {
        let streams = self.streams.iter().flat_map(|stream| {
            let nack = stream.nack.as_ref().and_then(|nack| nack.poll_timeout());
            let inactivity = stream.inactivity.as_ref().and_then(|inactivity| inactivity.poll_timeout());
            nack.into_iter().chain(inactivity)
        });
        streams.chain(self.key_frames.poll_timeout()).min()
    }
}

impl RecvStream {
    fn inspect_into(&mut self, packet: &mut Packet, datagram: &[u8]) {
        let header: Header = packet.header;
        let payload = self.inspect(&header, &packet.extensions, packet.bytes(datagram));
        packet.key_frame = payload.key_frame;
        packet.silence = payload.silence;
    }
}
