//! A producer: media that a peer sends through its transport, as one stream or several encodings of it.
//!
//! What comes in is told apart by SSRC, RID or payload type, and each stream is created when its first packet comes.
//! What the path of the packets does with it is in [`crate::media`]; here is what a producer is and shows.

use std::time::{Duration, Instant};

use sfu_channel::dump::{ProducerDump, RtpMappingDump, RtpMappingEncodingDump};
use sfu_channel::notification::VideoOrientation;
use sfu_channel::request::Produce;
use sfu_channel::response::Refusal;
use sfu_channel::stats::RtpStreamStat;
use sfu_channel::{MediaKind, ProducerScore, RtpMapping, RtpParameters, RtpType, TraceEventType};
use sfu_proto::rtp::ExtensionIds;
use sfu_proto::stream::key_frame;

use crate::clock::Clock;
use crate::media::queue::Queue;
use crate::media::recv_stream::RecvStream;
use crate::rtp_observer::Observation;
use crate::rtp_parameters;
use crate::trace::TraceTypes;

/// One producer.
#[derive(Debug)]
pub struct Producer {
    /// Its id.
    pub id: String,
    /// Its router.
    pub router: usize,
    /// Its transport.
    pub transport: usize,
    /// Audio or video.
    pub kind: MediaKind,
    /// How its streams relate.
    pub rtp_type: RtpType,
    /// What the peer sends.
    pub rtp_parameters: RtpParameters,
    /// How it becomes what the router uses.
    pub rtp_mapping: RtpMapping,
    /// Whether nothing is forwarded.
    pub paused: bool,
    /// What is traced.
    pub trace: TraceTypes<TraceEventType>,
    /// Decides when the peer is asked for key frames.
    pub key_frames: key_frame::RequestManager,
    /// The ids of its header extensions.
    pub extension_ids: ExtensionIds,
    /// Whether some of these differ from those of other producers of the transport, so that its packets must be parsed
    /// with its own.
    pub has_own_extension_ids: bool,
    /// The streams that have been seen.
    pub streams: Vec<RecvStream>,
    /// Its consumers.
    pub consumers: Vec<usize>,
    /// Its observers.
    pub observers: Vec<Observation>,
    /// The packets of this turn that are to be forwarded.
    pub queue: Queue,
    /// Whether it got packets in this turn.
    pub touched: bool,
    /// Whether its last packets were passed over, since they had waited too long.
    pub is_interrupted: bool,
    /// How the camera was last held, if the peer says.
    pub orientation: Option<VideoOrientation>,
    /// When its last reports were sent.
    pub last_report: Option<Instant>,
    /// The router's payload type by the peer's; above 127 for none.
    payload_types: [u8; 128],
}

impl Producer {
    /// Checks a request to produce.
    ///
    /// # Errors
    /// A `TypeError` that names what is wrong.
    pub fn new(router: usize, transport: usize, request: Produce) -> Result<Producer, Refusal> {
        let mut parameters = request.rtp_parameters;
        rtp_parameters::normalize(&mut parameters)?;
        let rtp_type = rtp_parameters::producer_type(&parameters)?;
        check_mapping(&parameters, &request.rtp_mapping)?;
        let mut rtp_mapping = request.rtp_mapping;
        rtp_mapping.codecs.shrink_to_fit();
        rtp_mapping.encodings.shrink_to_fit();
        let mut payload_types = [u8::MAX; 128];
        for codec in &rtp_mapping.codecs {
            let slot = payload_types
                .get_mut(usize::from(codec.payload_type))
                .filter(|_| codec.mapped_payload_type < 128)
                .ok_or_else(|| Refusal::type_error("wrong entry in rtpMapping.codecs (payload type over 127)"))?;
            *slot = codec.mapped_payload_type;
        }
        Ok(Producer {
            id: request.producer_id,
            router,
            transport,
            kind: request.kind,
            rtp_type,
            extension_ids: rtp_parameters::extension_ids(&parameters.header_extensions),
            has_own_extension_ids: false,
            rtp_parameters: parameters,
            rtp_mapping,
            paused: request.paused,
            trace: TraceTypes::default(),
            key_frames: key_frame::RequestManager::new(Duration::from_millis(
                request.key_frame_request_delay.unwrap_or(0).into(),
            )),
            streams: Vec::new(),
            consumers: Vec::new(),
            observers: Vec::new(),
            queue: Queue::default(),
            touched: false,
            is_interrupted: false,
            orientation: None,
            last_report: None,
            payload_types,
        })
    }

    /// The router's payload type for one of the peer's.
    pub fn mapped_payload_type(&self, payload_type: u8) -> Option<u8> {
        self.payload_types.get(usize::from(payload_type)).copied().filter(|mapped| *mapped < 128)
    }

    /// The index of the stream with that SSRC inside the router.
    pub fn stream_by_mapped_ssrc(&self, mapped_ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.mapped_ssrc() == mapped_ssrc)
    }

    /// The scores of all encodings, 0 for those not seen.
    pub fn scores(&self) -> Vec<u8> {
        let mut scores = vec![0; self.rtp_parameters.encodings.len()];
        for stream in &self.streams {
            if let Some(score) = scores.get_mut(stream.encoding_index()) {
                *score = stream.score();
            }
        }
        scores
    }

    /// The data of a `score` notification: the streams that have been seen, by encoding.
    pub fn score_event(&self) -> Vec<ProducerScore> {
        let mut streams: Vec<&RecvStream> = self.streams.iter().collect();
        streams.sort_by_key(|stream| stream.encoding_index());
        streams
            .iter()
            .map(|stream| ProducerScore {
                encoding_idx: stream.encoding_index() as u32,
                ssrc: stream.ssrc(),
                rid: stream.rid().map(str::to_owned),
                score: stream.score(),
            })
            .collect()
    }

    /// What it shows of itself.
    pub fn dump(&self) -> ProducerDump {
        ProducerDump {
            id: self.id.clone(),
            kind: self.kind,
            rtp_parameters: self.rtp_parameters.clone(),
            rtp_type: self.rtp_type,
            rtp_mapping: RtpMappingDump {
                codecs: self.rtp_mapping.codecs.clone(),
                encodings: self
                    .rtp_mapping
                    .encodings
                    .iter()
                    .map(|encoding| RtpMappingEncodingDump {
                        rid: encoding.rid.clone(),
                        ssrc: encoding.ssrc,
                        mapped_ssrc: encoding.mapped_ssrc,
                    })
                    .collect(),
            },
            rtp_streams: self.streams.iter().map(RecvStream::dump).collect(),
            paused: self.paused,
            trace_event_types: self.trace.to_vec(),
        }
    }

    /// Statistics of the streams that have been seen.
    pub fn stats(&mut self, now: Instant, clock: &Clock) -> Vec<RtpStreamStat> {
        let kind = self.kind;
        self.streams.iter_mut().map(|stream| stream.stat(now, clock, kind)).collect()
    }
}

fn check_mapping(parameters: &RtpParameters, mapping: &RtpMapping) -> Result<(), Refusal> {
    if parameters.encodings.len() != mapping.encodings.len() {
        return Err(Refusal::type_error("rtpParameters.encodings size does not match rtpMapping.encodings size"));
    }
    for encoding in &mapping.encodings {
        let named = encoding.ssrc.is_some() || encoding.rid.is_some();
        if !named && mapping.encodings.len() > 1 {
            return Err(Refusal::type_error("wrong entry in rtpMapping.encodings (missing ssrc or rid)"));
        }
        if !named && parameters.mid.is_none() {
            return Err(Refusal::type_error(
                "wrong entry in rtpMapping.encodings (missing ssrc or rid, or rtpParameters.mid)",
            ));
        }
    }
    Ok(())
}
