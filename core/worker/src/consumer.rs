//! A consumer: one stream of a producer, sent on through another transport.
//!
//! A simple consumer forwards every packet of the producer's only stream. It decides which ones (it begins with a key
//! frame, and may leave silence out), and gives them numbers without holes. A consumer of type pipe does so with each of
//! the producer's streams. Writing and sending is in [`crate::media`].

use std::time::Instant;

use sfu_channel::dump::ConsumerDump;
use sfu_channel::reply::Consumed;
use sfu_channel::request::Consume;
use sfu_channel::response::Refusal;
use sfu_channel::stats::RtpStreamStat;
use sfu_channel::{ConsumerScore, MediaKind, RtpType, TraceEventType};

use crate::clock::Clock;
use crate::consumer_parameters::ConsumerParameters;
use crate::layered::Layered;
use crate::media::send_stream::SendStream;
use crate::producer::Producer;
use crate::rtp_parameters;
use crate::trace::TraceTypes;

/// One consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Its id.
    pub id: String,
    /// Its transport.
    pub transport: usize,
    /// Its producer.
    pub producer: usize,
    /// Audio or video.
    pub kind: MediaKind,
    /// How the stream is forwarded.
    pub rtp_type: RtpType,
    /// What is sent.
    pub parameters: ConsumerParameters,
    /// Whether the library has paused it.
    pub paused: bool,
    /// Whether its producer is paused.
    pub producer_paused: bool,
    /// Whether its transport is connected.
    pub transport_connected: bool,
    /// How much of the bandwidth it deserves, 1 to 255.
    pub priority: u8,
    /// What is traced.
    pub trace: TraceTypes<TraceEventType>,
    /// How many packets its producer had queued in all when it was last offered some ([`Queue::end`](crate::media::queue::Queue::end)).
    pub offered: u64,
    /// The index of the producer's stream that it forwards, once that has been seen.
    pub producer_stream: Option<usize>,
    /// What it knows of layers, if it is of type simulcast or svc.
    pub layers: Option<Box<Layered>>,
    /// The stream that it sends.
    pub stream: SendStream,
    /// The further streams of a consumer of type pipe, one for each further encoding. All others have none.
    pub further: Vec<FurtherStream>,
    /// When its last report was sent.
    pub last_report: Option<Instant>,
}

/// A stream that a consumer of type pipe sends beside its first one.
#[derive(Debug)]
pub struct FurtherStream {
    /// The SSRC inside the router of the stream that it forwards.
    pub mapped_ssrc: u32,
    /// The index of the producer's stream that it forwards, once that has been seen.
    pub producer_stream: Option<usize>,
    /// What it sends.
    pub stream: SendStream,
}

impl Consumer {
    /// Checks a request to consume. What parameters the consumer has in common with one of `others`, they share.
    ///
    /// # Errors
    /// A `TypeError` that names what is wrong; an `Error` for kinds of consumers that don't exist yet.
    pub fn new<'a>(
        transport: usize,
        producer_index: usize,
        producer: &Producer,
        mut request: Consume,
        others: impl Iterator<Item = &'a Consumer>,
    ) -> Result<Consumer, Refusal> {
        let mut parameters = std::mem::take(&mut request.rtp_parameters);
        rtp_parameters::normalize(&mut parameters)?;
        for encoding in &parameters.encodings {
            if encoding.ssrc.is_none() {
                return Err(Refusal::type_error("invalid encoding in rtpParameters (missing ssrc)"));
            }
            if encoding.rtx.is_some_and(|rtx| rtx.ssrc == 0) {
                return Err(Refusal::type_error("invalid encoding in rtpParameters (missing rtx.ssrc)"));
            }
        }
        let mut consumable_rtp_encodings = std::mem::take(&mut request.consumable_rtp_encodings);
        consumable_rtp_encodings.iter_mut().for_each(rtp_parameters::normalize_encoding);
        if consumable_rtp_encodings.iter().any(|encoding| encoding.ssrc.is_none()) {
            return Err(Refusal::type_error("wrong encoding in consumableRtpEncodings (missing ssrc)"));
        }
        let is_pipe = request.rtp_type == RtpType::Pipe;
        let layers = Layered::new(&request, &parameters, &consumable_rtp_encodings, producer)?;
        if !is_pipe && layers.is_none() && consumable_rtp_encodings.len() != 1 {
            return Err(Refusal::type_error("invalid consumableRtpEncodings with size != 1"));
        }
        if is_pipe && consumable_rtp_encodings.len() != parameters.encodings.len() {
            return Err(Refusal::type_error(
                "number of rtpParameters.encodings and consumableRtpEncodings do not match",
            ));
        }
        let sent = if is_pipe { consumable_rtp_encodings.len() } else { 1 };
        let mut streams = consumable_rtp_encodings.iter().take(sent).enumerate().map(|(index, encoding)| {
            let mapped_ssrc = encoding.ssrc.unwrap_or_default();
            let producer_stream = producer.stream_by_mapped_ssrc(mapped_ssrc);
            let stream = SendStream::new(request.kind, &parameters, index, request.ignore_dtx)?;
            Ok(FurtherStream { mapped_ssrc, producer_stream, stream })
        });
        let FurtherStream { producer_stream, stream, .. } =
            streams.next().unwrap_or_else(|| Err(Refusal::type_error("empty consumableRtpEncodings")))?;
        let further = streams.collect::<Result<_, Refusal>>()?;
        Ok(Consumer {
            id: request.consumer_id,
            transport,
            producer: producer_index,
            kind: request.kind,
            rtp_type: request.rtp_type,
            parameters: ConsumerParameters::new(
                parameters,
                consumable_rtp_encodings,
                others.map(|other| &other.parameters),
            ),
            paused: request.paused,
            producer_paused: producer.paused,
            transport_connected: false,
            priority: 1,
            trace: TraceTypes::default(),
            offered: 0,
            producer_stream: layers.as_ref().map_or(producer_stream, |layered| layered.current_stream()),
            layers,
            stream,
            further,
            last_report: None,
        })
    }

    /// The SSRC inside the router of the stream that it forwards first.
    fn mapped_ssrc(&self) -> u32 {
        self.parameters.consumable().first().and_then(|encoding| encoding.ssrc).unwrap_or_default()
    }

    /// A stream of its producer has been seen. Returns whether it forwards that one.
    pub fn handle_new_stream(&mut self, mapped_ssrc: u32, producer_stream: usize) -> bool {
        if let Some(layered) = &mut self.layers {
            let is_one = layered.attach(mapped_ssrc, producer_stream);
            self.producer_stream = layered.current_stream();
            return is_one;
        }
        if self.mapped_ssrc() == mapped_ssrc {
            self.producer_stream = Some(producer_stream);
            return true;
        }
        let stream = self.further.iter_mut().find(|stream| stream.mapped_ssrc == mapped_ssrc);
        stream.map(|stream| stream.producer_stream = Some(producer_stream)).is_some()
    }

    /// Whether packets would be forwarded, if they came.
    pub fn is_running(&self) -> bool {
        self.transport_connected && !self.paused && !self.producer_paused
    }

    /// Whether packets are forwarded.
    pub fn is_active(&self) -> bool {
        let has_source = match &self.layers {
            Some(layered) => layered.target().is_some(),
            None => self.producer_streams().next().is_some(),
        };
        self.is_running() && has_source
    }

    /// Whether it forwards all of the producer's streams, and says nothing about how well it goes.
    pub fn is_pipe(&self) -> bool {
        self.rtp_type == RtpType::Pipe
    }

    /// The streams that it sends.
    pub fn streams(&self) -> impl Iterator<Item = &SendStream> {
        std::iter::once(&self.stream).chain(self.further.iter().map(|further| &further.stream))
    }

    /// The same, to be changed.
    pub fn streams_mut(&mut self) -> impl Iterator<Item = &mut SendStream> {
        std::iter::once(&mut self.stream).chain(self.further.iter_mut().map(|further| &mut further.stream))
    }

    /// The stream of that index, if there are so many.
    pub fn stream_mut(&mut self, index: u8) -> Option<&mut SendStream> {
        match usize::from(index).checked_sub(1) {
            None => Some(&mut self.stream),
            Some(further) => self.further.get_mut(further).map(|further| &mut further.stream),
        }
    }

    /// The index of the stream that it sends on that SSRC.
    pub fn stream_by_ssrc(&self, ssrc: u32) -> Option<u8> {
        let index = self.streams().position(|stream| stream.ssrc() == ssrc)?;
        u8::try_from(index).ok()
    }

    /// The index of the stream by which it forwards that stream of its producer.
    pub fn stream_for(&self, producer_stream: usize) -> Option<u8> {
        if self.producer_stream == Some(producer_stream) {
            return Some(0);
        }
        let further = self.further.iter().position(|further| further.producer_stream == Some(producer_stream))?;
        u8::try_from(further + 1).ok()
    }

    /// The index of the producer's stream that the stream of that index forwards, once that has been seen.
    pub fn producer_stream_of(&self, index: u8) -> Option<usize> {
        match usize::from(index).checked_sub(1) {
            None => self.producer_stream,
            Some(further) => self.further.get(further)?.producer_stream,
        }
    }

    /// The indices of the producer's streams that it forwards, as far as they have been seen.
    pub fn producer_streams(&self) -> impl Iterator<Item = usize> {
        self.producer_stream.into_iter().chain(self.further.iter().filter_map(|further| further.producer_stream))
    }

    /// The next packet of each stream must begin anew: with a key frame where there are any.
    pub fn require_sync(&mut self) {
        self.streams_mut().for_each(SendStream::require_sync);
    }

    /// Whether its packets have transport-wide sequence numbers that the peer gives feedback about.
    pub fn writes_transport_sequence(&self) -> bool {
        self.kind == MediaKind::Video && self.stream.has_transport_sequence()
    }

    /// How well it goes.
    pub fn score(&self, producer: &Producer) -> ConsumerScore {
        if self.is_pipe() {
            // What the producer's streams are worth is told where the pipe ends.
            return ConsumerScore { score: 10, producer_score: 10, producer_scores: producer.scores() };
        }
        let producer_stream = self.producer_stream.and_then(|index| producer.streams.get(index));
        ConsumerScore {
            score: self.stream.score(),
            producer_score: producer_stream.map_or(0, |stream| stream.score()),
            producer_scores: producer.scores(),
        }
    }

    /// The answer to the request that made it.
    pub fn consumed(&self, producer: &Producer) -> Consumed {
        Consumed {
            paused: self.paused,
            producer_paused: self.producer_paused,
            score: self.score(producer),
            preferred_layers: self.layers.as_ref().map(|layered| layered.preferred()),
        }
    }

    /// What it shows of itself.
    pub fn dump(&self, producer: &Producer) -> ConsumerDump {
        let mut streams = self.streams().enumerate().filter_map(|(index, stream)| stream.dump(&self.parameters, index));
        let (rtp_stream, rtp_streams) =
            if self.is_pipe() { (None, Some(streams.collect())) } else { (streams.next(), None) };
        ConsumerDump {
            id: self.id.clone(),
            producer_id: producer.id.clone(),
            kind: self.kind,
            rtp_parameters: self.parameters.to_rtp_parameters(),
            rtp_type: self.rtp_type,
            consumable_rtp_encodings: self.parameters.consumable().to_vec(),
            supported_codec_payload_types: self.stream.payload_types().collect(),
            paused: self.paused,
            producer_paused: self.producer_paused,
            priority: self.priority,
            trace_event_types: self.trace.to_vec(),
            rtp_stream,
            rtp_streams,
            layers: self.layers.as_ref().map(|layered| layered.dump()),
        }
    }

    /// Statistics of what it sends, and of the producer's stream that it forwards if that is the only one.
    pub fn stats(&mut self, now: Instant, clock: &Clock, producer: &mut Producer) -> Vec<RtpStreamStat> {
        let kind = self.kind;
        let is_pipe = self.is_pipe();
        let streams =
            std::iter::once(&mut self.stream).chain(self.further.iter_mut().map(|further| &mut further.stream));
        let mut stats: Vec<RtpStreamStat> = streams
            .zip(self.parameters.encodings())
            .map(|(stream, encoding)| {
                let codec = rtp_parameters::media_codec(self.parameters.codecs(), encoding);
                let mime_type = codec.map(|codec| codec.mime_type.clone()).unwrap_or_default();
                stream.stat(now, clock, kind, mime_type)
            })
            .collect();
        if is_pipe {
            return stats;
        }
        if let Some(stream) = self.producer_stream.and_then(|index| producer.streams.get_mut(index)) {
            stats.push(stream.stat(now, clock, kind));
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are many of them, and the media path walks them all. The numbering of one that has forwarded every packet so
    /// far is a part of it, and owns nothing beside.
    #[test]
    fn it_is_small() {
        assert!(size_of::<Consumer>() <= 736, "{}", size_of::<Consumer>());
    }
}
