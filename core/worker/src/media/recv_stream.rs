//! One stream of a producer, as it is received: statistics, score, what is missing, what is kept.

use std::time::{Duration, Instant};

use sfu_channel::dump::{RtpStreamDump, RtpStreamParams, RtxStreamDump, RtxStreamParams};
use sfu_channel::stats::{RtpStreamStat, RtpStreamStatType};
use sfu_channel::{MediaKind, RtpCodecParameters, RtpEncodingParameters, RtpParameters};
use sfu_proto::codec::dependency_descriptor::Parser;
use sfu_proto::codec::{Codec, Inspector, PayloadInfo, opus};
use sfu_proto::layers::SenderClock;
use sfu_proto::rtp::{ExtensionKind, ExtensionSpans, Header};
use sfu_proto::stream::inactivity::{self, Detector};
use sfu_proto::stream::score::Score;
use sfu_proto::stream::{nack, receive, retransmission};

use super::layer_rates::LayerRates;
use crate::clock::Clock;
use crate::rtp_parameters;

/// One stream that is received.
#[derive(Debug)]
pub struct RecvStream {
    encoding_index: usize,
    mapped_ssrc: u32,
    params: RtpStreamParams,
    rtx: Option<Rtx>,
    codec: Codec,
    inspector: Inspector,
    /// What has come.
    pub received: receive::Stream,
    /// How well it goes.
    pub score: Score,
    /// What is missing; `None` if that can't be asked for.
    pub nack: Option<nack::Generator>,
    /// What consumers may ask for; empty until one of them can.
    pub stored: Option<retransmission::Buffer>,
    /// Notices that it stops; only where another stream could take its place.
    pub inactivity: Option<Detector>,
    /// What the payload of the last packet that was looked into is.
    pub last_info: PayloadInfo,
    /// Since when it comes without a stop.
    active_since: Option<Instant>,
    rates: LayerRates,
    counts: Counts,
    epoch: u16,
    /// The numbers that have come lately, each at its remainder.
    seen: Box<[u16; SEEN]>,
}

/// How many numbers a stream remembers: more than a straggler may be behind.
const SEEN: usize = 2048;

/// Its retransmission stream.
#[derive(Debug)]
struct Rtx {
    ssrc: u32,
    payload_type: u8,
    received: receive::Stream,
}

/// What was asked of the peer.
#[derive(Debug, Default)]
struct Counts {
    nack: u64,
    nack_packets: u64,
    pli: u64,
    fir: u64,
}

impl RecvStream {
    /// A stream of an encoding of these (normalized) parameters, whose first packet has come. `watched` if it is to be
    /// noticed when it stops, `layered` if consumers choose from its layers.
    pub fn new(
        ssrc: u32,
        encoding_index: usize,
        encoding: &RtpEncodingParameters,
        parameters: &RtpParameters,
        mapped_ssrc: u32,
        watched: bool,
        layered: bool,
    ) -> Option<RecvStream> {
        let codec = rtp_parameters::media_codec(&parameters.codecs, encoding)?;
        let cname = parameters.rtcp.cname.as_deref().unwrap_or_default();
        let params = stream_params(ssrc, encoding_index, encoding, codec, cname);
        let codec = rtp_parameters::mime_type(codec)?.codec;
        let timeout = if params.use_dtx { inactivity::TIMEOUT_WITH_DTX } else { inactivity::TIMEOUT };
        Some(RecvStream {
            encoding_index,
            mapped_ssrc,
            rtx: None,
            codec,
            inspector: if layered { Inspector::for_layers(codec) } else { Inspector::new(codec) },
            received: receive::Stream::new(ssrc, params.clock_rate),
            score: Score::new(),
            nack: params.use_nack.then(|| nack::Generator::new(nack::Config::default())),
            stored: params.use_nack.then(|| retransmission::Buffer::new(retransmission::Config::default())),
            inactivity: watched.then(|| Detector::new(timeout)),
            last_info: PayloadInfo::default(),
            active_since: None,
            rates: LayerRates::new(params.spatial_layers, params.temporal_layers),
            counts: Counts::default(),
            epoch: 0,
            seen: Box::new(none_seen()),
            params,
        })
    }

    /// The index of its encoding.
    pub fn encoding_index(&self) -> usize {
        self.encoding_index
    }

    /// Its SSRC.
    pub fn ssrc(&self) -> u32 {
        self.params.ssrc
    }

    /// Its payload type, as the peer numbers it.
    pub fn payload_type(&self) -> u8 {
        self.params.payload_type
    }

    /// Its SSRC inside the router.
    pub fn mapped_ssrc(&self) -> u32 {
        self.mapped_ssrc
    }

    /// Whether its encoder adds redundancy by the losses that are reported to it.
    pub fn uses_in_band_fec(&self) -> bool {
        self.params.use_in_band_fec
    }

    /// Its RID, if it has one.
    pub fn rid(&self) -> Option<&str> {
        self.params.rid.as_deref()
    }

    /// The SSRC of its retransmission stream, once that has been seen.
    pub fn rtx_ssrc(&self) -> Option<u32> {
        self.rtx.as_ref().map(|rtx| rtx.ssrc)
    }

    /// The payload type of its retransmission stream, once that has been seen.
    pub fn rtx_payload_type(&self) -> Option<u8> {
        self.rtx.as_ref().map(|rtx| rtx.payload_type)
    }

    /// Its retransmission stream has been seen.
    pub fn set_rtx(&mut self, ssrc: u32, payload_type: u8) {
        self.params.rtx_ssrc = Some(ssrc);
        self.params.rtx_payload_type = Some(payload_type);
        self.rtx = Some(Rtx { ssrc, payload_type, received: receive::Stream::new(ssrc, self.params.clock_rate) });
    }

    /// What has come on its retransmission stream.
    pub fn rtx_received(&mut self) -> Option<&mut receive::Stream> {
        self.rtx.as_mut().map(|rtx| &mut rtx.received)
    }

    /// Its numbers have started anew: what depends on the old ones is forgotten.
    pub fn restart(&mut self) {
        if let Some(nack) = &mut self.nack {
            nack.reset();
        }
        if let Some(stored) = &mut self.stored {
            stored.clear();
        }
        *self.seen = none_seen();
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// How often its numbers have started anew.
    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Where it is noted that a number has come.
    pub(super) fn seen_slot(&self, sequence_number: u16) -> &u16 {
        &self.seen[seen_index(sequence_number)]
    }

    /// Whether this number has not come before. A number must not be forwarded twice: consumers' packets would be
    /// encrypted twice under one nonce.
    pub fn is_first(&mut self, sequence_number: u16) -> bool {
        let slot = &mut self.seen[seen_index(sequence_number)];
        std::mem::replace(slot, sequence_number) != sequence_number
    }

    /// Looks into the payload of one of its packets.
    pub fn inspect(&mut self, header: &Header, extensions: &ExtensionSpans, packet: &[u8]) -> Payload {
        let payload = header.payload(packet);
        let value = |kind| extensions.value(kind, packet);
        let frame_marking = value(ExtensionKind::FrameMarking);
        let descriptor = value(ExtensionKind::DependencyDescriptor);
        self.last_info = self.inspector.inspect(payload, frame_marking, descriptor);
        let key_frame = self.last_info.is_key_frame;
        Payload { key_frame, silence: self.codec == Codec::Opus && opus::is_dtx(payload) }
    }

    /// Whether a key frame begins with a packet that was stored.
    pub fn begins_key_frame(&self, header: &Header, extensions: &ExtensionSpans, packet: &[u8]) -> bool {
        let value = |kind| extensions.value(kind, packet);
        let (frame_marking, descriptor) =
            (value(ExtensionKind::FrameMarking), value(ExtensionKind::DependencyDescriptor));
        // What the stream's own inspector has learnt since must not change, and a key frame needs nothing from before.
        Inspector::new(self.codec).inspect(header.payload(packet), frame_marking, descriptor).is_key_frame
    }

    /// What the payload of an earlier packet is, as far as it takes to write it again.
    pub fn peek(&self, header: &Header, extensions: &ExtensionSpans, packet: &[u8]) -> PayloadInfo {
        let value = |kind| extensions.value(kind, packet);
        let (frame_marking, descriptor) =
            (value(ExtensionKind::FrameMarking), value(ExtensionKind::DependencyDescriptor));
        self.inspector.peek(header.payload(packet), frame_marking, descriptor)
    }

    /// What is known of the dependencies of its frames.
    pub fn dependencies(&self) -> &Parser {
        self.inspector.dependencies()
    }

    /// Counts a packet that was looked into last, of so many bytes, for the rate of its layer.
    pub fn count_layer(&mut self, now: Instant, bytes: usize) {
        self.active_since.get_or_insert(now);
        self.rates.add(now, self.last_info.spatial_layer, self.last_info.temporal_layer, bytes);
    }

    /// It has stopped: what comes next begins anew.
    pub fn handle_inactive(&mut self) {
        self.active_since = None;
    }

    /// How long it has been coming.
    pub fn active_for(&self, now: Instant) -> Duration {
        self.active_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// What one of its layers alone brings, in bits per second.
    pub fn layer_bitrate(&mut self, now: Instant, spatial: u8, temporal: u8) -> u64 {
        match self.rates.of_layer(now, spatial, temporal) {
            Some(bitrate) => bitrate,
            None if (spatial, temporal) == (0, 0) => self.received.bitrate(now),
            None => 0,
        }
    }

    /// What a spatial layer alone brings, in bits per second.
    pub fn spatial_bitrate(&mut self, now: Instant, spatial: u8) -> u64 {
        (0..self.params.temporal_layers.max(1)).map(|temporal| self.layer_bitrate(now, spatial, temporal)).sum()
    }

    /// What its sender has reported last of its clock.
    pub fn sender_clock(&self) -> Option<SenderClock> {
        self.received.sender_info().map(|info| SenderClock { ntp: info.ntp, timestamp: info.rtp_timestamp })
    }

    /// Whether it may pause while it goes on (DTX).
    pub fn uses_dtx(&self) -> bool {
        self.params.use_dtx
    }

    /// 0 (nothing arrives) to 10.
    pub fn score(&self) -> u8 {
        self.score.value()
    }

    /// How to ask the peer for a key frame, if there is a way.
    pub fn key_frame_request(&mut self) -> Option<KeyFrameRequest> {
        if self.params.use_pli {
            self.counts.pli += 1;
            Some(KeyFrameRequest::Pli)
        } else if self.params.use_fir {
            self.counts.fir += 1;
            // The command number counts requests and wraps (RFC 5104, 4.3.1.1).
            Some(KeyFrameRequest::Fir { sequence_number: self.counts.fir as u8 })
        } else {
            None
        }
    }

    /// So many packets were asked for.
    pub fn count_nack(&mut self, packets: usize) {
        self.counts.nack += 1;
        self.counts.nack_packets += packets as u64;
    }

    /// What it shows of itself.
    pub fn dump(&self) -> RtpStreamDump {
        RtpStreamDump {
            score: self.score(),
            rtx_stream: self.rtx.as_ref().map(|rtx| rtx_dump(&self.params, rtx.ssrc, rtx.payload_type)),
            params: self.params.clone(),
        }
    }

    /// Its statistics.
    pub fn stat(&mut self, now: Instant, clock: &Clock, kind: MediaKind) -> RtpStreamStat {
        let stats = self.received.stats();
        RtpStreamStat {
            stat_type: RtpStreamStatType::InboundRtp,
            timestamp: clock.millis(now),
            ssrc: self.params.ssrc,
            rid: self.params.rid.clone(),
            kind,
            mime_type: self.params.mime_type.clone(),
            packets_lost: u64::try_from(stats.packets_lost).unwrap_or(0),
            fraction_lost: stats.fraction_lost,
            packets_discarded: stats.packets_discarded,
            packets_retransmitted: stats.packets_retransmitted,
            packets_repaired: stats.packets_repaired,
            nack_count: self.counts.nack,
            nack_packet_count: self.counts.nack_packets,
            pli_count: self.counts.pli,
            fir_count: self.counts.fir,
            score: self.score(),
            packet_count: stats.packet_count,
            byte_count: stats.byte_count,
            bitrate: self.received.bitrate(now),
            jitter: Some(stats.jitter),
            bitrate_by_layer: self.rates.by_layer(now),
            rtx_ssrc: self.rtx_ssrc(),
            rtx_packets_discarded: self.rtx.as_ref().map(|rtx| rtx.received.stats().packets_discarded),
            round_trip_time: stats.round_trip_time.map(|time| time.as_secs_f64() * 1000.0),
        }
    }
}

/// Where among the numbers that have come this one is noted.
fn seen_index(sequence_number: u16) -> usize {
    usize::from(sequence_number) % SEEN
}

/// In each place a number that does not belong there.
fn none_seen() -> [u16; SEEN] {
    std::array::from_fn(|place| !(place as u16))
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// A key frame begins with it.
    pub key_frame: bool,
    /// It is silence that need not be sent (DTX).
    pub silence: bool,
}

/// The ways to ask for a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFrameRequest {
    /// Picture loss indication (RFC 4585).
    Pli,
    /// Full intra request (RFC 5104).
    Fir {
        /// The number of the command.
        sequence_number: u8,
    },
}

/// The settings of a stream of a (normalized) encoding with its codec, without its retransmission stream.
pub fn stream_params(
    ssrc: u32,
    encoding_index: usize,
    encoding: &RtpEncodingParameters,
    codec: &RtpCodecParameters,
    cname: &str,
) -> RtpStreamParams {
    let flag = |name: &str| codec.parameters.get(name).and_then(|value| value.as_int()) == Some(1);
    RtpStreamParams {
        encoding_idx: encoding_index as u32,
        ssrc,
        payload_type: codec.payload_type,
        mime_type: codec.mime_type.clone(),
        clock_rate: codec.clock_rate,
        rid: encoding.rid.clone(),
        cname: cname.to_owned(),
        rtx_ssrc: None,
        rtx_payload_type: None,
        use_nack: rtp_parameters::has_feedback(codec, "nack", ""),
        use_pli: rtp_parameters::has_feedback(codec, "nack", "pli"),
        use_fir: rtp_parameters::has_feedback(codec, "ccm", "fir"),
        use_in_band_fec: flag("useinbandfec"),
        use_dtx: flag("usedtx") || encoding.dtx == Some(true),
        spatial_layers: encoding.spatial_layers.unwrap_or(1),
        temporal_layers: encoding.temporal_layers.unwrap_or(1),
    }
}

/// What a retransmission stream shows of itself.
pub fn rtx_dump(params: &RtpStreamParams, ssrc: u32, payload_type: u8) -> RtxStreamDump {
    let kind = params.mime_type.split('/').next().unwrap_or_default();
    RtxStreamDump {
        params: RtxStreamParams {
            ssrc,
            payload_type,
            mime_type: format!("{kind}/rtx"),
            clock_rate: params.clock_rate,
            rrid: params.rid.clone(),
            cname: params.cname.clone(),
        },
    }
}
