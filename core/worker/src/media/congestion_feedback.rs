//! What the worker tells a sender about the arrival of its packets, so that it knows how much it can send.

use std::time::{Duration, Instant};

use sfu_proto::bwe::RemoteEstimator;
use sfu_proto::rtcp::{FeedbackBuilder, write_remb};
use sfu_proto::rtp::{AbsSendTime, ExtensionKind};

use crate::producer::Producer;

/// How often arrivals are reported.
const INTERVAL: Duration = Duration::from_millis(100);
/// How often the bound of the bit rate is repeated.
const LIMIT_INTERVAL: Duration = Duration::from_millis(1500);
/// How often its end is told, in case that some are lost.
const UNLIMITED_REPETITIONS: u8 = 4;
/// The longest feedback packet, in bytes.
const MAX_SIZE: usize = 1150;
/// What a sender is taken to be able to send before more is known, in bits per second.
const START_BITRATE: u64 = 1_000_000;
/// The SSRC of our own messages; mediasoup's, and browsers don't mind.
const SENDER_SSRC: u32 = 0;

/// The feedback of one transport to its peer.
#[derive(Debug)]
pub struct CongestionFeedback {
    /// Arrivals of packets with transport-wide sequence numbers; `None` if only a bound may be told (REMB).
    arrivals: Option<FeedbackBuilder>,
    /// Where that is so, what bounds it, by the send times in the packets.
    remote: Option<RemoteEstimator>,
    /// The bound last told, and when.
    limit: Option<(u64, Instant)>,
    /// How often the end of the bound is still to be told.
    unlimited: u8,
}

impl CongestionFeedback {
    /// The feedback that a producer's parameters ask for.
    pub fn negotiated(now: Instant, producer: &Producer) -> Option<CongestionFeedback> {
        let has_feedback = |kind: &str| {
            let codecs = &producer.rtp_parameters.codecs;
            codecs.iter().any(|codec| codec.rtcp_feedback.iter().any(|feedback| feedback.kind == kind))
        };
        let has_extension = |kind| producer.extension_ids.id(kind).is_some();
        let arrivals = if has_extension(ExtensionKind::TransportWideCc) && has_feedback("transport-cc") {
            Some(FeedbackBuilder::new(now, SENDER_SSRC, 0))
        } else if has_extension(ExtensionKind::AbsSendTime) && has_feedback("goog-remb") {
            None
        } else {
            return None;
        };
        let remote = arrivals.is_none().then(|| RemoteEstimator::new(now, START_BITRATE));
        Some(CongestionFeedback { arrivals, remote, limit: None, unlimited: 0 })
    }

    /// A packet has come.
    pub fn handle_packet(&mut self, now: Instant, ssrc: u32, transport_sequence: u16) {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.set_media_ssrc(ssrc);
            arrivals.handle_packet(transport_sequence, now);
        }
    }

    /// A packet of `size` bytes with the time of its sending has come.
    pub fn handle_send_time(&mut self, now: Instant, send_time: AbsSendTime, size: usize) {
        if let Some(remote) = &mut self.remote {
            remote.handle_packet(now, send_time, size);
        }
    }

    /// Whether a bound may have to be told though the library sets none.
    pub fn estimates(&self) -> bool {
        self.remote.is_some()
    }

    /// What the sender's packets say that the path takes, in bits per second, if that is known.
    pub fn available_incoming_bitrate(&self) -> Option<u64> {
        self.remote.as_ref().filter(|remote| remote.is_known()).map(RemoteEstimator::bitrate)
    }

    /// The ratio of lost packets, 0 to 1, as reported to the sender; 0 where only a bound is told.
    pub fn loss_ratio(&self) -> f64 {
        self.arrivals.as_ref().map_or(0.0, FeedbackBuilder::loss_ratio)
    }

    /// Appends one packet about arrivals, which fills a datagram at most. Returns whether there was something to tell.
    pub fn poll_arrivals(&mut self, out: &mut Vec<u8>) -> bool {
        self.arrivals.as_mut().is_some_and(|arrivals| arrivals.poll_feedback(out, MAX_SIZE))
    }

    /// Appends the bound of the bit rate when it is to be told: `max_bitrate` (bits per second, 0 for none) for `ssrcs`
    /// together.
    pub fn poll_limit(&mut self, now: Instant, max_bitrate: u64, ssrcs: &[u32], out: &mut Vec<u8>) {
        if let Some(remote) = self.remote.as_mut().filter(|remote| remote.is_known()) {
            if let Some(bitrate) = remote.poll_remb(now).filter(|_| !ssrcs.is_empty()) {
                let bound = if max_bitrate > 0 { bitrate.min(max_bitrate) } else { bitrate };
                write_remb(out, SENDER_SSRC, bound, ssrcs);
            }
            return;
        }
        match self.limit {
            _ if max_bitrate > 0 => {
                let due = self.limit.is_none_or(|(told, at)| told != max_bitrate || now >= at + LIMIT_INTERVAL);
                if due && !ssrcs.is_empty() {
                    write_remb(out, SENDER_SSRC, max_bitrate, ssrcs);
                    self.limit = Some((max_bitrate, now));
                    self.unlimited = UNLIMITED_REPETITIONS;
                }
            }
            Some(_) if self.unlimited > 0 => {
                write_remb(out, SENDER_SSRC, u64::from(u32::MAX), ssrcs);
                self.unlimited -= 1;
            }
            _ => self.limit = None,
        }
    }

    /// When to poll next.
    pub fn next_poll(&self, now: Instant) -> Instant {
        now + INTERVAL
    }
}
