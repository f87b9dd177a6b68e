//! The stream that a consumer sends: which packets, under which numbers, with which header extensions.

use std::time::{Duration, Instant};

use sfu_channel::dump::RtpStreamDump;
use sfu_channel::response::Refusal;
use sfu_channel::stats::{RtpStreamStat, RtpStreamStatType};
use sfu_channel::{MediaKind, RtpParameters};
use sfu_proto::codec::Inspector;
use sfu_proto::rtp::{ExtensionIds, ExtensionKind, Origin, SequenceMapper};
use sfu_proto::stream::score::Score;
use sfu_proto::stream::send;

use crate::clock::Clock;
use crate::consumer_parameters::ConsumerParameters;
use crate::media::Packet;
use crate::media::history::{History, Stamps};
use crate::media::recv_stream::{rtx_dump, stream_params};
use crate::random::random_u32;
use crate::rtp_parameters;

/// Extensions that are written, in this order; those not named are copied from the producer's packet.
const EXTENSIONS: [ExtensionKind; 10] = [
    ExtensionKind::Mid,
    ExtensionKind::AbsSendTime,
    ExtensionKind::TransportWideCc,
    ExtensionKind::AbsCaptureTime,
    ExtensionKind::AudioLevel,
    ExtensionKind::FrameMarking,
    ExtensionKind::VideoOrientation,
    ExtensionKind::TransmissionOffset,
    ExtensionKind::DependencyDescriptor,
    ExtensionKind::PlayoutDelay,
];

/// The round-trip time that is assumed before one is measured.
const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// The stream that one consumer sends.
#[derive(Debug)]
pub struct SendStream {
    rtx: Option<Rtx>,
    extensions: Box<[(ExtensionKind, u8)]>,
    has_transport_sequence: bool,
    /// Whether values are made for each packet as it is sent, so that one that is sent again needs them.
    has_stamps: bool,
    use_nack: bool,
    mid: Box<[u8]>,
    payload_types: u128,
    sends_key_frames: bool,
    ignore_dtx: bool,
    /// Whether the next packet sent must begin a key frame (or, for codecs without, may be any).
    sync_required: bool,
    sequence: SequenceMapper,
    /// The epoch of the producer's stream ([`Packet::epoch`]) that the numbering is in step with.
    epoch: u16,
    history: History,
    /// What has been sent.
    pub sent: send::Stream,
    /// How well it goes.
    pub score: Score,
    /// The receiver's last reference time.
    pub reference_time: Option<ReferenceTime>,
}

/// A receiver's reference time (RFC 3611, 4.4).
#[derive(Debug, Clone, Copy)]
pub struct ReferenceTime {
    /// The SSRC of the receiver.
    pub ssrc: u32,
    /// The middle 32 bits of its NTP time.
    pub compact: u32,
    /// When it came.
    pub at: Instant,
}

/// Its retransmission stream.
#[derive(Debug, Clone, Copy)]
pub struct Rtx {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// The number of the last packet sent on it.
    pub sequence_number: u16,
}

impl SendStream {
    /// The stream for the encoding of that index of these (normalized) parameters.
    ///
    /// # Errors
    /// A `TypeError` if there is no such encoding, or it has no codec or SSRC.
    pub fn new(
        kind: MediaKind,
        parameters: &RtpParameters,
        index: usize,
        ignore_dtx: bool,
    ) -> Result<SendStream, Refusal> {
        let encoding =
            parameters.encodings.get(index).ok_or_else(|| Refusal::type_error("too few rtpParameters.encodings"))?;
        let ssrc =
            encoding.ssrc.ok_or_else(|| Refusal::type_error("invalid encoding in rtpParameters (missing ssrc)"))?;
        let codec = rtp_parameters::media_codec(&parameters.codecs, encoding)
            .ok_or_else(|| Refusal::type_error("invalid codecPayloadType"))?;
        let sends_key_frames =
            rtp_parameters::mime_type(codec).is_some_and(|mime_type| Inspector::knows_key_frames(mime_type.codec));
        let rtx = match (rtp_parameters::rtx_codec(&parameters.codecs, encoding), encoding.rtx) {
            (Some(codec), Some(rtx)) => {
                // Below 2^15, or the loss of the first packets could cost the receiver its count of roll-overs
                // (RFC 3711, 3.3.1).
                let sequence_number = random_u32() as u16 & 0x7fff;
                Some(Rtx { ssrc: rtx.ssrc, payload_type: codec.payload_type, sequence_number })
            }
            _ => None,
        };
        let mid: Box<[u8]> = parameters.mid.clone().unwrap_or_default().into_bytes().into();
        let ids = rtp_parameters::extension_ids(&parameters.header_extensions);
        let media_codecs = parameters.codecs.iter().filter(|codec| rtp_parameters::is_media(codec));
        let extensions = written_extensions(kind, &ids, &mid);
        let has = |sought: ExtensionKind| extensions.iter().any(|(kind, _)| *kind == sought);
        Ok(SendStream {
            has_transport_sequence: has(ExtensionKind::TransportWideCc),
            has_stamps: has(ExtensionKind::TransportWideCc) || has(ExtensionKind::AbsSendTime),
            extensions,
            history: History::new(rtx.is_some()),
            rtx,
            mid,
            payload_types: media_codecs.fold(0, |set, codec| set | 1 << codec.payload_type),
            sends_key_frames,
            ignore_dtx,
            sync_required: true,
            sequence: SequenceMapper::new(1),
            epoch: 0,
            use_nack: rtp_parameters::has_feedback(codec, "nack", ""),
            sent: send::Stream::new(ssrc, codec.clock_rate),
            score: Score::new(),
            reference_time: None,
        })
    }

    /// Goes on where an earlier stream of the same SSRC has ended: `last` knows the last number sent on an SSRC. SRTP
    /// makes its nonces of SSRC and number, so that with one key a pair of them must never stand for two packets.
    pub fn continue_after(&mut self, last: impl Fn(u32) -> Option<u16>) {
        if let Some(last) = last(self.ssrc()) {
            self.sequence = SequenceMapper::new(last.wrapping_add(1));
        }
        if let Some(rtx) = &mut self.rtx
            && let Some(last) = last(rtx.ssrc)
        {
            rtx.sequence_number = last;
        }
    }

    /// Each SSRC that it sends on, with the last number sent.
    pub fn last_numbers(&self) -> impl Iterator<Item = (u32, u16)> {
        let media = (self.ssrc(), self.sequence.max_output());
        std::iter::once(media).chain(self.rtx.map(|rtx| (rtx.ssrc, rtx.sequence_number)))
    }

    /// Its SSRC.
    pub fn ssrc(&self) -> u32 {
        self.sent.ssrc()
    }

    /// The extensions to write, with their ids.
    pub fn extensions(&self) -> &[(ExtensionKind, u8)] {
        &self.extensions
    }

    /// The value of the MID extension.
    pub fn mid(&self) -> &[u8] {
        &self.mid
    }

    /// Whether its packets have transport-wide sequence numbers.
    pub fn has_transport_sequence(&self) -> bool {
        self.has_transport_sequence
    }

    /// The payload types that it forwards.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        let set = self.payload_types;
        (0..128).filter(move |payload_type| set >> payload_type & 1 != 0)
    }

    /// Whether it forwards a payload type of the router's.
    pub fn supports(&self, payload_type: u8) -> bool {
        self.payload_types >> (payload_type & 127) & 1 != 0
    }

    /// What numbers its packets, for a consumer that decides about them itself.
    pub fn sequence(&mut self) -> &mut SequenceMapper {
        &mut self.sequence
    }

    /// 0 (nothing arrives) to 10.
    pub fn score(&self) -> u8 {
        self.score.value()
    }

    /// The next packet sent must begin anew: with a key frame where there are any.
    pub fn require_sync(&mut self) {
        self.sync_required = true;
    }

    /// Decides about a packet of the producer's stream: the number under which to send it, or `None` for not at all.
    pub fn accept(&mut self, packet: &Packet) -> Option<u16> {
        let number = packet.header.sequence_number;
        let in_step = !self.sync_required && packet.epoch == self.epoch;
        if !self.supports(packet.payload_type) || (self.ignore_dtx && packet.silence) {
            if in_step {
                self.sequence.drop(number);
            }
            return None;
        }
        if !in_step {
            if self.sends_key_frames && !packet.key_frame {
                return None;
            }
            self.sequence.sync(number, packet.epoch);
            self.epoch = packet.epoch;
            // What begins anew may have timestamps before those sent so far.
            self.sent.handle_timestamp_restart();
            self.sync_required = false;
        }
        self.sequence.input(number)
    }

    /// The producer's packet that was sent under a number, if it may be sent again now: not within a round trip of the last
    /// time, of which its receiver's reports or `round_trip` tell. It counts as sent again. The source that is told is the
    /// epoch of the producer's stream: in another one the number is another packet's.
    pub fn retransmit(&mut self, now: Instant, sequence_number: u16, round_trip: Option<Duration>) -> Option<Origin> {
        let pause = self.sent.rtt().filter(|rtt| !rtt.is_zero()).max(round_trip).unwrap_or(DEFAULT_RTT);
        self.resend(now, sequence_number, Some(pause))
    }

    /// The same for a packet of which it is known that it was lost when it was last sent again.
    pub fn retransmit_lost(&mut self, now: Instant, sequence_number: u16) -> Option<Origin> {
        self.resend(now, sequence_number, None)
    }

    fn resend(&mut self, now: Instant, sequence_number: u16, pause: Option<Duration>) -> Option<Origin> {
        if !self.use_nack {
            return None;
        }
        // Beyond the history a slot belongs to a newer packet.
        let age = self.sequence.max_output().wrapping_sub(sequence_number);
        if !self.history.reaches(age) {
            return None;
        }
        let origin = self.sequence.to_input(sequence_number)?;
        let first = self.history.resend(now, sequence_number, pause)?;
        self.sent.handle_retransmission(first);
        Some(origin)
    }

    /// The mean size of the packets sent, in bytes.
    pub fn mean_size(&self) -> usize {
        let stats = self.sent.stats();
        usize::try_from(stats.byte_count / stats.packet_count.max(1)).unwrap_or(usize::MAX)
    }

    /// Keeps the values that a packet was sent with, if there are any and it could be sent again under its own number.
    pub fn remember(&mut self, sequence_number: u16, stamps: Stamps) {
        if self.has_stamps && self.use_nack && self.rtx.is_none() {
            self.history.remember(sequence_number, stamps);
        }
    }

    /// The values that a packet was sent with; `None` if they are forgotten.
    pub fn recall(&self, sequence_number: u16) -> Option<Stamps> {
        if self.has_stamps { self.history.recall(sequence_number) } else { Some(Stamps::default()) }
    }

    /// Its retransmission stream with the next number on it, if it has one.
    pub fn next_rtx(&mut self) -> Option<Rtx> {
        let rtx = self.rtx.as_mut()?;
        rtx.sequence_number = rtx.sequence_number.wrapping_add(1);
        Some(*rtx)
    }

    /// The SSRC of its retransmission stream, if it has one.
    pub fn rtx_ssrc(&self) -> Option<u32> {
        self.rtx.map(|rtx| rtx.ssrc)
    }

    /// What the stream of the encoding of that index of these parameters shows of itself; `None` if there is no such encoding.
    pub fn dump(&self, parameters: &ConsumerParameters, index: usize) -> Option<RtpStreamDump> {
        let encoding = parameters.encodings().get(index)?;
        let codec = rtp_parameters::media_codec(parameters.codecs(), encoding)?;
        let mut params = stream_params(self.ssrc(), index, encoding, codec, parameters.cname());
        params.rtx_ssrc = self.rtx_ssrc();
        params.rtx_payload_type = self.rtx.map(|rtx| rtx.payload_type);
        let rtx_stream = self.rtx.map(|rtx| rtx_dump(&params, rtx.ssrc, rtx.payload_type));
        Some(RtpStreamDump { params, score: self.score(), rtx_stream })
    }

    /// Its statistics.
    pub fn stat(&mut self, now: Instant, clock: &Clock, kind: MediaKind, mime_type: String) -> RtpStreamStat {
        let stats = self.sent.stats();
        RtpStreamStat {
            stat_type: RtpStreamStatType::OutboundRtp,
            timestamp: clock.millis(now),
            ssrc: self.ssrc(),
            rid: None,
            kind,
            mime_type,
            packets_lost: u64::try_from(stats.packets_lost).unwrap_or(0),
            fraction_lost: stats.fraction_lost,
            packets_discarded: 0,
            packets_retransmitted: stats.packets_retransmitted,
            packets_repaired: stats.packets_repaired,
            nack_count: stats.nack_count,
            nack_packet_count: stats.nack_packet_count,
            pli_count: stats.pli_count,
            fir_count: stats.fir_count,
            score: self.score(),
            packet_count: stats.packet_count,
            byte_count: stats.byte_count,
            bitrate: self.sent.bitrate(now),
            jitter: None,
            bitrate_by_layer: None,
            rtx_ssrc: self.rtx_ssrc(),
            rtx_packets_discarded: self.rtx.map(|_| 0),
            round_trip_time: stats.round_trip_time.map(|time| time.as_secs_f64() * 1000.0),
        }
    }
}

/// Which extensions a stream carries. Send times and transport-wide numbers are for video, as mediasoup has it.
fn written_extensions(kind: MediaKind, ids: &ExtensionIds, mid: &[u8]) -> Box<[(ExtensionKind, u8)]> {
    EXTENSIONS
        .into_iter()
        .filter(|extension| match extension {
            ExtensionKind::Mid => !mid.is_empty(),
            ExtensionKind::AbsSendTime | ExtensionKind::TransportWideCc => kind == MediaKind::Video,
            _ => true,
        })
        .filter_map(|extension| Some((extension, ids.id(extension)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu_proto::rtcp::Ntp;
    use sfu_proto::rtp::{ExtensionSpans, FixedHeader, Header, HeaderWriter};

    fn stream(rtx: bool, ignore_dtx: bool) -> SendStream {
        let mut codecs = vec![serde_json::json!({
            "mimeType": "video/VP8", "payloadType": 101, "clockRate": 90000, "rtcpFeedback": [{"type": "nack"}],
        })];
        let mut encoding = serde_json::json!({"ssrc": 7});
        if rtx {
            codecs.push(serde_json::json!({
                "mimeType": "video/rtx", "payloadType": 102, "clockRate": 90000, "parameters": {"apt": 101},
            }));
            encoding["rtx"] = serde_json::json!({"ssrc": 8});
        }
        let mut parameters: RtpParameters = serde_json::from_value(serde_json::json!({
            "codecs": codecs, "encodings": [encoding],
            "headerExtensions": [{"uri": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", "id": 4}],
        }))
        .expect("well-formed");
        rtp_parameters::normalize(&mut parameters).expect("right");
        SendStream::new(MediaKind::Video, &parameters, 0, ignore_dtx).expect("right")
    }

    fn packet(sequence_number: u16, key_frame: bool) -> Packet {
        let fixed = FixedHeader { marker: false, payload_type: 96, sequence_number, timestamp: 0, ssrc: 5 };
        let mut bytes = [0; 12];
        HeaderWriter::new(&mut bytes, &fixed).finish().expect("room");
        Packet {
            datagram: 0,
            offset: 0,
            header: Header::parse(&bytes).expect("RTP"),
            extensions: ExtensionSpans::default(),
            stream: 0,
            epoch: 0,
            payload_type: 101,
            key_frame,
            silence: false,
            info: 0,
        }
    }

    #[test]
    fn video_begins_with_a_key_frame_and_goes_on_without_holes() {
        let mut stream = stream(true, false);
        assert_eq!(stream.accept(&packet(100, false)), None);
        assert_eq!(stream.accept(&packet(101, true)), Some(1));
        assert_eq!(stream.accept(&packet(103, false)), Some(3));
        assert_eq!(stream.accept(&packet(102, false)), Some(2));
        stream.require_sync();
        assert_eq!(stream.accept(&packet(110, false)), None);
        assert_eq!(stream.accept(&packet(111, true)), Some(4));
    }

    #[test]
    fn sender_reports_follow_timestamps_that_start_anew() {
        let now = Instant::now();
        let mut stream = stream(true, false);
        for timestamp in [2_000_000_000, 5000] {
            stream.require_sync();
            stream.accept(&packet(1, true)).expect("a key frame");
            stream.sent.handle_packet(now, timestamp, 100, 80);
            let info = stream.sent.sender_info(now, Ntp(0)).expect("something was sent");
            assert_eq!(info.rtp_timestamp, timestamp);
        }
    }

    #[test]
    fn a_stream_goes_on_where_the_last_one_of_its_ssrc_ended() {
        let mut first = stream(true, false);
        for number in 100..103 {
            first.accept(&packet(number, true));
        }
        let resent = first.next_rtx().expect("it has RTX");
        assert!((1..=1 << 15).contains(&resent.sequence_number), "far from the first roll-over");

        let last: Vec<(u32, u16)> = first.last_numbers().collect();
        assert_eq!(last, [(7, 3), (8, resent.sequence_number)]);
        let mut second = stream(true, false);
        second.continue_after(|ssrc| last.iter().find(|(known, _)| *known == ssrc).map(|(_, number)| *number));
        assert_eq!(second.accept(&packet(7000, true)), Some(4));
        assert_eq!(second.next_rtx().map(|rtx| rtx.sequence_number), Some(resent.sequence_number.wrapping_add(1)));
    }

    #[test]
    fn what_is_left_out_leaves_no_hole() {
        let mut stream = stream(true, true);
        stream.accept(&packet(1, true));
        assert_eq!(stream.accept(&Packet { silence: true, ..packet(2, false) }), None);
        assert_eq!(stream.accept(&Packet { payload_type: 13, ..packet(3, false) }), None);
        assert_eq!(stream.accept(&packet(4, false)), Some(2));
    }

    #[test]
    fn a_packet_is_sent_again_once_a_round_trip() {
        let start = Instant::now();
        let mut stream = stream(true, false);
        stream.accept(&packet(500, true));
        assert_eq!(stream.retransmit(start, 1, None), Some(Origin { source: 0, sequence_number: 500 }));
        assert_eq!(stream.retransmit(start + DEFAULT_RTT, 1, None), None);
        assert!(stream.retransmit(start + DEFAULT_RTT + Duration::from_millis(1), 1, None).is_some());
        assert_eq!(stream.retransmit(start, 2, None), None, "it was not sent");
        assert_eq!(stream.sent.stats().packets_retransmitted, 2);
        assert_eq!(stream.sent.stats().packets_repaired, 1);
    }

    #[test]
    fn as_much_is_sent_again_as_can_be() {
        // RTX: what a producer's stream keeps. Otherwise: what SRTP's replay window lets through.
        for (rtx, depth) in [(true, 2500), (false, 1024)] {
            let mut stream = stream(rtx, false);
            for number in 1..=5000 {
                stream.accept(&packet(number, true));
                stream.remember(number, Stamps::default());
            }
            let now = Instant::now();
            let origin = Origin { source: 0, sequence_number: 5001 - depth };
            assert_eq!(stream.retransmit(now, 5001 - depth, None), Some(origin));
            assert_eq!(stream.retransmit(now, 5000 - depth, None), None, "a newer packet has its place");
            assert_eq!(stream.recall(5000).is_some(), !rtx);
        }
    }

    #[test]
    fn after_a_restart_numbers_go_on_and_each_is_known_with_its_epoch() {
        let now = Instant::now();
        let mut stream = stream(false, false);
        let anew = |number, key_frame| Packet { epoch: 1, ..packet(number, key_frame) };
        assert_eq!(stream.accept(&packet(500, true)), Some(1));
        assert_eq!(stream.accept(&packet(501, false)), Some(2));
        assert_eq!(stream.accept(&anew(500, false)), None, "a picture of which the beginning is unknown");
        assert_eq!(stream.accept(&anew(501, true)), Some(3));
        assert_eq!(stream.accept(&anew(502, false)), Some(4));
        assert_eq!(stream.retransmit(now, 2, None), Some(Origin { source: 0, sequence_number: 501 }));
        assert_eq!(stream.retransmit(now, 3, None), Some(Origin { source: 1, sequence_number: 501 }));
    }
}
