//! A consumer: one stream of a producer, sent on through another transport.
//!
//! A simple consumer forwards every packet of the producer's only stream. It decides which ones (it begins with a key
//! frame, and may leave silence out), and gives them numbers without holes. Writing and sending is in [`crate::media`].

use std::time::Instant;

use sfu_channel::dump::ConsumerDump;
use sfu_channel::reply::Consumed;
use sfu_channel::request::Consume;
use sfu_channel::response::Refusal;
use sfu_channel::stats::RtpStreamStat;
use sfu_channel::{ConsumerScore, MediaKind, RtpEncodingParameters, RtpParameters, RtpType, TraceEventType};

use crate::clock::Clock;
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
    /// Its producer's id.
    pub producer_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// How the stream is forwarded.
    pub rtp_type: RtpType,
    /// What is sent.
    pub rtp_parameters: RtpParameters,
    /// The producer's streams as they are inside the router.
    pub consumable_rtp_encodings: Vec<RtpEncodingParameters>,
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
    /// The index of the producer's stream that it forwards, once that has been seen.
    pub producer_stream: Option<usize>,
    /// The stream that it sends.
    pub stream: SendStream,
    /// When its last report was sent.
    pub last_report: Option<Instant>,
}

impl Consumer {
    /// Checks a request to consume.
    ///
    /// # Errors
    /// A `TypeError` that names what is wrong; an `Error` for kinds of consumers that don't exist yet.
    pub fn new(
        transport: usize,
        producer_index: usize,
        producer: &Producer,
        request: Consume,
    ) -> Result<Consumer, Refusal> {
        let mut parameters = request.rtp_parameters;
        rtp_parameters::normalize(&mut parameters)?;
        for encoding in &parameters.encodings {
            if encoding.ssrc.is_none() {
                return Err(Refusal::type_error("invalid encoding in rtpParameters (missing ssrc)"));
            }
            if encoding.rtx.is_some_and(|rtx| rtx.ssrc == 0) {
                return Err(Refusal::type_error("invalid encoding in rtpParameters (missing rtx.ssrc)"));
            }
        }
        let mut consumable_rtp_encodings = request.consumable_rtp_encodings;
        consumable_rtp_encodings.iter_mut().for_each(rtp_parameters::normalize_encoding);
        if consumable_rtp_encodings.is_empty() {
            return Err(Refusal::type_error("empty consumableRtpEncodings"));
        }
        if consumable_rtp_encodings.iter().any(|encoding| encoding.ssrc.is_none()) {
            return Err(Refusal::type_error("wrong encoding in consumableRtpEncodings (missing ssrc)"));
        }
        match request.rtp_type {
            RtpType::Simple => {}
            RtpType::Simulcast => return Err(crate::requests::unsupported("consumers of type simulcast are")),
            RtpType::Svc => return Err(crate::requests::unsupported("consumers of type svc are")),
            RtpType::Pipe => return Err(crate::requests::unsupported("consumers of type pipe are")),
        }
        if consumable_rtp_encodings.len() != 1 {
            return Err(Refusal::type_error("invalid consumableRtpEncodings with size != 1"));
        }
        let stream = SendStream::new(request.kind, &parameters, request.ignore_dtx)?;
        let mut consumer = Consumer {
            id: request.consumer_id,
            transport,
            producer: producer_index,
            producer_id: producer.id.clone(),
            kind: request.kind,
            rtp_type: request.rtp_type,
            rtp_parameters: parameters,
            consumable_rtp_encodings,
            paused: request.paused,
            producer_paused: producer.paused,
            transport_connected: false,
            priority: 1,
            trace: TraceTypes::default(),
            producer_stream: None,
            stream,
            last_report: None,
        };
        consumer.producer_stream = producer.stream_by_mapped_ssrc(consumer.mapped_ssrc());
        Ok(consumer)
    }

    /// The SSRC inside the router of the stream that it forwards.
    pub fn mapped_ssrc(&self) -> u32 {
        self.consumable_rtp_encodings.first().and_then(|encoding| encoding.ssrc).unwrap_or_default()
    }

    /// Whether packets are forwarded.
    pub fn is_active(&self) -> bool {
        self.transport_connected && !self.paused && !self.producer_paused && self.producer_stream.is_some()
    }

    /// Whether its packets have transport-wide sequence numbers that the peer gives feedback about.
    pub fn writes_transport_sequence(&self) -> bool {
        self.kind == MediaKind::Video && self.stream.has_transport_sequence()
    }

    /// How well it goes.
    pub fn score(&self, producer: &Producer) -> ConsumerScore {
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
            preferred_layers: None,
        }
    }

    /// What it shows of itself.
    pub fn dump(&self) -> ConsumerDump {
        ConsumerDump {
            id: self.id.clone(),
            producer_id: self.producer_id.clone(),
            kind: self.kind,
            rtp_parameters: self.rtp_parameters.clone(),
            rtp_type: self.rtp_type,
            consumable_rtp_encodings: self.consumable_rtp_encodings.clone(),
            supported_codec_payload_types: self.stream.payload_types().collect(),
            paused: self.paused,
            producer_paused: self.producer_paused,
            priority: self.priority,
            trace_event_types: self.trace.to_vec(),
            rtp_stream: Some(self.stream.dump()),
            rtp_streams: None,
            layers: None,
        }
    }

    /// Statistics of the stream that it sends, and of the producer's stream that it forwards.
    pub fn stats(&mut self, now: Instant, clock: &Clock, producer: &mut Producer) -> Vec<RtpStreamStat> {
        let kind = self.kind;
        let mut stats = vec![self.stream.stat(now, clock, kind)];
        if let Some(stream) = self.producer_stream.and_then(|index| producer.streams.get_mut(index)) {
            stats.push(stream.stat(now, clock, kind));
        }
        stats
    }
}
