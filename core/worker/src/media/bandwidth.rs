//! How much a transport's peer can be sent: the estimate, padding that probes for more, and the share of each consumer.
//!
//! Nothing is held back: media leave as they come. What the estimate decides is which layers are sent.

use std::time::{Duration, Instant};

use sfu_channel::notification::{
    BweInfo, BweType, Event, RtpPacketInfo, TraceDirection, TransportTrace, TransportTraceInfo,
};
use sfu_channel::{MediaKind, TransportTraceEventType};
use sfu_proto::bwe::{Bounds, Estimator, Repeats, RetransmissionBudget};
use sfu_proto::rtcp::TransportCc;
use sfu_proto::rtp::{AbsSendTime, ExtensionIds, ExtensionKind, FixedHeader, HeaderWriter};

use crate::consumer::Consumer;
use crate::rtp_parameters;
use crate::transport::{MIN_OUTGOING_BITRATE, Protection, Transport};
use crate::worker::{TimerKey, Worker};

/// The SSRC, payload type and MID of packets that only probe: those for which mediasoup-client makes a receiver.
const PROBATION_SSRC: u32 = 1234;
const PROBATION_PAYLOAD_TYPE: u8 = 127;
const PROBATION_MID: &[u8] = b"probator";
/// Room for such a packet, its longest header and its authentication tag, in bytes.
const PROBATION_ROOM: usize = 1500;
/// The most that is sent without a bound, in bits per second.
const UNBOUNDED: u64 = 1_000_000_000;
/// How often the bandwidth is shared out anew at least, since the rates of layers change; and at most, where more has
/// become available. Less is shared out at once.
const INTERVAL: Duration = Duration::from_millis(1000);
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The bandwidth of one transport towards its peer.
#[derive(Debug)]
pub struct Bandwidth {
    /// Estimates it.
    pub estimator: Estimator,
    /// What was sent again to receivers that may not ask for it once more.
    pub repeats: Repeats,
    retransmissions: RetransmissionBudget,
    kind: BweType,
    bounds: Bounds,
    /// The ids of header extensions in packets that probe.
    extensions: ExtensionIds,
    /// The last number and timestamp of such a packet.
    sequence_number: u16,
    /// What was last shared out, in bits per second, and when.
    shared: Option<(u64, Instant)>,
    /// What the consumers would like, in bits per second.
    desired: u64,
    /// When its timer is set.
    scheduled: Option<Instant>,
}

impl Bandwidth {
    /// The estimation that a consumer's parameters allow for, if any.
    pub fn negotiated(now: Instant, transport: &Transport, consumer: &Consumer) -> Option<Box<Bandwidth>> {
        let parameters = &consumer.parameters;
        let has_feedback = |kind: &str| {
            parameters.codecs().iter().any(|codec| codec.rtcp_feedback.iter().any(|feedback| feedback.kind == kind))
        };
        let extensions = rtp_parameters::extension_ids(parameters.header_extensions());
        let kind = if consumer.writes_transport_sequence() && has_feedback("transport-cc") {
            BweType::TransportCc
        } else if extensions.id(ExtensionKind::AbsSendTime).is_some() && has_feedback("goog-remb") {
            BweType::Remb
        } else {
            return None;
        };
        let bounds = bounds(transport);
        Some(Box::new(Bandwidth {
            estimator: match kind {
                BweType::TransportCc => Estimator::new(now, bounds),
                BweType::Remb => Estimator::by_remb(now, bounds),
            },
            repeats: Repeats::default(),
            retransmissions: RetransmissionBudget::default(),
            kind,
            bounds,
            extensions,
            sequence_number: 0,
            shared: None,
            desired: 0,
            scheduled: None,
        }))
    }

    /// The bounds of the transport have been set anew.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.estimator.set_bounds(bounds);
    }

    /// Whether a packet may be sent again now.
    pub fn may_send_again(&mut self, now: Instant) -> bool {
        self.retransmissions.allows(now, self.estimator.available_bitrate())
    }

    /// A packet of `size` bytes is sent again.
    pub fn count_sent_again(&mut self, size: usize) {
        self.retransmissions.spend(size);
    }

    /// Whether the consumers' shares no longer fit what is available.
    fn is_outdated(&self, now: Instant) -> bool {
        let available = self.estimator.available_bitrate();
        self.shared.is_none_or(|(shared, at)| {
            let age = now.saturating_duration_since(at);
            available < shared || age >= INTERVAL || available > shared && age >= MIN_INTERVAL
        })
    }

    fn info(&self) -> BweInfo {
        BweInfo {
            bwe_type: self.kind,
            desired_bitrate: self.desired,
            effective_desired_bitrate: self.desired,
            min_bitrate: self.bounds.min,
            max_bitrate: self.bounds.max,
            start_bitrate: self.bounds.start,
            max_padding_bitrate: self.desired,
            available_bitrate: self.estimator.available_bitrate(),
        }
    }

    /// Writes a packet of about `size` bytes that only probes. Returns its header's length and its own.
    fn write_probation(
        &self,
        slot: &mut [u8],
        size: usize,
        now: Duration,
        transport_sequence: u16,
    ) -> Option<(usize, usize)> {
        let fixed = FixedHeader {
            marker: false,
            payload_type: PROBATION_PAYLOAD_TYPE,
            sequence_number: self.sequence_number,
            timestamp: (now.as_millis() as u32).wrapping_mul(90),
            ssrc: PROBATION_SSRC,
        };
        let abs_send_time = AbsSendTime::from_duration(now).encode();
        let ids = &self.extensions;
        let mut writer = HeaderWriter::new(slot, &fixed);
        for (kind, value) in [
            (ExtensionKind::Mid, PROBATION_MID),
            (ExtensionKind::AbsSendTime, &abs_send_time),
            (ExtensionKind::TransportWideCc, &transport_sequence.to_be_bytes()),
        ] {
            writer = writer.optional_extension(ids.id(kind), Some(value));
        }
        let header = writer.finish().ok()?;
        Some((header, size.max(header + 1)))
    }
}

/// The bounds of what a transport may send.
pub fn bounds(transport: &Transport) -> Bounds {
    Bounds {
        start: transport.initial_available_outgoing_bitrate,
        min: transport.min_outgoing_bitrate.max(MIN_OUTGOING_BITRATE),
        max: Some(transport.max_outgoing_bitrate).filter(|bitrate| *bitrate > 0).unwrap_or(UNBOUNDED),
    }
}

impl Worker {
    /// A consumer has been added to its transport, which may be the first whose parameters allow for an estimate.
    pub fn negotiate_bandwidth(&mut self, now: Instant, index: usize, consumer: usize) {
        let transport = &mut self.transports[index];
        if transport.bandwidth.is_none() {
            transport.bandwidth = Bandwidth::negotiated(now, transport, &self.consumers[consumer]);
        }
        if transport.bandwidth.is_some() {
            for consumer in &transport.consumers {
                if let Some(layered) = &mut self.consumers[*consumer].layers {
                    layered.set_shared(true);
                }
            }
            self.request_share(now, index);
        }
    }

    /// Other bounds of what a transport may send have been set.
    pub fn bound_bandwidth(&mut self, now: Instant, index: usize) {
        let transport = &mut self.transports[index];
        let bounds = bounds(transport);
        if let Some(bandwidth) = &mut transport.bandwidth {
            bandwidth.set_bounds(bounds);
            self.request_share(now, index);
        }
    }

    /// Asks for the bandwidth of a transport to be shared out anew, at the end of the turn.
    pub fn request_share(&mut self, now: Instant, index: usize) {
        if let Some(bandwidth) = &mut self.transports[index].bandwidth {
            bandwidth.shared = None;
            bandwidth.scheduled = Some(now);
            self.timers.set(TimerKey::Bandwidth(index), now);
        }
    }

    /// The peer has told what became of packets.
    pub(super) fn handle_transport_feedback(&mut self, now: Instant, index: usize, feedback: &TransportCc<'_>) {
        let Some(bandwidth) = &mut self.transports[index].bandwidth else { return };
        bandwidth.estimator.handle_feedback(now, feedback);
        bandwidth.repeats.handle_feedback(feedback);
        self.follow_bandwidth(now, index);
        self.repeat_lost(now, index);
    }

    /// The peer has told how much it can take at most.
    pub(super) fn handle_remb(&mut self, now: Instant, index: usize, bitrate: u64) {
        let Some(bandwidth) = &mut self.transports[index].bandwidth else { return };
        bandwidth.estimator.handle_remb(now, bitrate);
        self.follow_bandwidth(now, index);
    }

    /// What has been due for a transport's bandwidth is due now: probes, and a new share.
    pub fn handle_bandwidth_timeout(&mut self, now: Instant, index: usize) {
        let Some(bandwidth) = &mut self.transports[index].bandwidth else { return };
        bandwidth.scheduled = None;
        bandwidth.estimator.handle_timeout(now);
        while let Some(size) =
            self.transports[index].bandwidth.as_ref().and_then(|bandwidth| bandwidth.estimator.poll_padding(now))
        {
            if !self.send_probation(now, index, size) {
                break;
            }
        }
        self.follow_bandwidth(now, index);
    }

    /// Shares out what is available, if that has changed, and sets the timer.
    fn follow_bandwidth(&mut self, now: Instant, index: usize) {
        let Some(bandwidth) = &self.transports[index].bandwidth else { return };
        if bandwidth.is_outdated(now) {
            self.share_bandwidth(now, index);
        }
        self.schedule_bandwidth(index);
    }

    /// Sets when the estimator of a transport is to be asked next. The timer is left alone where nothing has changed.
    pub(super) fn schedule_bandwidth(&mut self, index: usize) {
        let Some(bandwidth) = &mut self.transports[index].bandwidth else { return };
        let deadline = bandwidth.estimator.poll_timeout();
        if bandwidth.scheduled != deadline {
            bandwidth.scheduled = deadline;
            match deadline {
                Some(deadline) => self.timers.set(TimerKey::Bandwidth(index), deadline),
                None => _ = self.timers.cancel(TimerKey::Bandwidth(index)),
            }
        }
    }

    /// Shares the available bitrate out among the consumers of a transport: in each round each may go up by as many steps
    /// as its priority says, those of higher priority first; but in the first round by one, so that all have something
    /// before one has much. Where nothing fits, the first has its lowest layer instead of padding.
    fn share_bandwidth(&mut self, now: Instant, index: usize) {
        let Worker { transports, consumers, producers, clock, output, .. } = self;
        let transport = &mut transports[index];
        let Some(bandwidth) = &mut transport.bandwidth else { return };
        let available = bandwidth.estimator.available_bitrate();
        let mut order = std::mem::take(&mut self.media.shares);
        order.clear();
        let mut desired = 0;
        for key in &transport.consumers {
            let consumer = &mut consumers[*key];
            let producer = &mut producers[consumer.producer];
            let is_running = consumer.is_running();
            if let Some(layered) = &mut consumer.layers {
                layered.begin_share();
                if is_running && layered.has_stream(producer) {
                    desired += layered.desired_bitrate(now, producer);
                    order.push(Share { consumer: *key, priority: consumer.priority, fixed: None });
                }
            } else if is_running && consumer.kind == MediaKind::Video {
                // What it sends is not chosen, but takes from the others.
                let bitrate: u64 = consumer
                    .producer_streams()
                    .filter_map(|stream| {
                        Some(producers[consumer.producer].streams.get_mut(stream)?.received.bitrate(now))
                    })
                    .sum();
                desired += bitrate;
                order.push(Share { consumer: *key, priority: consumer.priority, fixed: Some(bitrate) });
            }
        }
        order.sort_by_key(|share| std::cmp::Reverse(share.priority));
        let mut left = available;
        let mut is_first = true;
        loop {
            let before = left;
            for share in &mut order {
                let steps = if is_first { 1 } else { share.priority };
                for _ in 0..steps {
                    let taken = match &mut share.fixed {
                        Some(bitrate) => std::mem::take(bitrate).min(left),
                        None => {
                            let consumer = &mut consumers[share.consumer];
                            let producer = &mut producers[consumer.producer];
                            consumer.layers.as_mut().map_or(0, |layered| layered.take(now, producer, left))
                        }
                    };
                    if taken == 0 {
                        break;
                    }
                    left -= taken.min(left);
                }
            }
            is_first = false;
            if left == before || left == 0 {
                break;
            }
        }
        // A bound that has been halved may be too low for any picture, and padding alone raises it for seconds.
        if left == available
            && let Some(share) = order.iter().find(|share| share.fixed.is_none())
        {
            let consumer = &mut consumers[share.consumer];
            let producer = &mut producers[consumer.producer];
            if let Some(layered) = &mut consumer.layers {
                layered.take(now, producer, bandwidth.estimator.bitrate_to_begin_with());
            }
        }
        order.clear();
        self.media.shares = order;
        let has_changed = bandwidth.shared.is_none_or(|(shared, _)| shared != available);
        bandwidth.shared = Some((available, now));
        bandwidth.desired = desired;
        bandwidth.estimator.set_desired_bitrate(now, desired);
        if has_changed && transport.trace.contains(TransportTraceEventType::Bwe) {
            let info = TransportTraceInfo::Bwe(bandwidth.info());
            trace(output, transport, clock.millis(now), TransportTraceEventType::Bwe, info);
        }
        for position in 0..self.transports[index].consumers.len() {
            let consumer = self.transports[index].consumers[position];
            self.apply_share(now, consumer);
        }
    }

    /// Sends a packet that only probes. Returns whether it has left.
    fn send_probation(&mut self, now: Instant, index: usize, size: usize) -> bool {
        let elapsed = self.clock.elapsed(now);
        let transport = &mut self.transports[index];
        let path = transport.rtp_path();
        let (Some(bandwidth), Some(path)) = (&mut transport.bandwidth, path) else { return false };
        let transport_sequence = transport.transport_sequence.wrapping_add(1);
        bandwidth.sequence_number = bandwidth.sequence_number.wrapping_add(1);
        let mut slot = [0; PROBATION_ROOM];
        let Some((header, plain)) = bandwidth.write_probation(&mut slot, size, elapsed, transport_sequence) else {
            return false;
        };
        let len = match &mut transport.protection {
            Protection::None => plain,
            Protection::Pending => return false,
            Protection::Srtp { sender, .. } => {
                let payload = [0; PROBATION_ROOM];
                let Some(payload) = payload.get(..plain - header) else { return false };
                match sender.protect_rtp(&mut slot, header, payload) {
                    Ok(len) => len,
                    Err(error) => {
                        crate::warn!(Srtp, "probation packet not sent: {error}");
                        return false;
                    }
                }
            }
        };
        let Some(packet) = slot.get(..len) else { return false };
        let sent = self.sockets.send(&path, packet);
        transport.transport_sequence = transport_sequence;
        transport.dropped += sent.dropped as u64;
        transport.traffic.sent.add(now, len - sent.dropped_bytes);
        transport.traffic.probation_sent.add(now, len - sent.dropped_bytes);
        bandwidth.estimator.handle_sent(now, transport_sequence, plain);
        if transport.trace.contains(TransportTraceEventType::Probation) {
            let info = TransportTraceInfo::Rtp(RtpPacketInfo {
                payload_type: PROBATION_PAYLOAD_TYPE,
                sequence_number: bandwidth.sequence_number,
                timestamp: (elapsed.as_millis() as u32).wrapping_mul(90),
                marker: false,
                ssrc: PROBATION_SSRC,
                is_key_frame: false,
                size: plain as u64,
                payload_size: (plain - header) as u64,
                spatial_layer: 0,
                temporal_layer: 0,
                mid: Some(String::from_utf8_lossy(PROBATION_MID).into_owned()),
                rid: None,
                rrid: None,
                wide_sequence_number: Some(transport_sequence),
                is_rtx: false,
            });
            let at = self.clock.millis(now);
            trace(&mut self.output, transport, at, TransportTraceEventType::Probation, info);
        }
        true
    }
}

/// A consumer that takes part in the sharing.
#[derive(Debug)]
pub struct Share {
    consumer: usize,
    priority: u8,
    /// What it takes whatever it is given, until that has been taken, in bits per second; `None` if it has layers.
    fixed: Option<u64>,
}

fn trace(
    output: &mut crate::channel::Output,
    transport: &Transport,
    timestamp: u64,
    trace_type: TransportTraceEventType,
    info: TransportTraceInfo,
) {
    let trace = TransportTrace { trace_type, timestamp, direction: TraceDirection::Out, info };
    output.notify(&transport.id, Event::TransportTrace(trace));
}
