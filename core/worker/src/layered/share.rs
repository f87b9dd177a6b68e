//! Which layers fit: the best of those that come, or those for which the bandwidth that is shared out suffices.

use std::time::{Duration, Instant};

use sfu_proto::layers::{Kind, Layers};

use super::Layered;
use crate::media::recv_stream::RecvStream;
use crate::producer::Producer;

/// A stream that has just begun is not gone up to while there is another one: its rate is not known yet.
const MIN_ACTIVE: Duration = Duration::from_millis(2000);
/// After the bandwidth has forced it down, a consumer stays below for so long.
const DOWNGRADE_PAUSE: Duration = Duration::from_secs(10);
/// What is sent already may take so much more than there is, in hundredths, before it is given up: rates of layers swing, and
/// nobody likes a picture that does.
const KEPT_EXCESS: u64 = 110;
/// Going down within that time of the beginning is no sign of narrow bandwidth.
const MIN_SENDING: Duration = Duration::from_secs(8);

impl Layered {
    /// The best layers for a consumer whose bandwidth nobody bounds.
    pub fn best(&self, now: Instant, producer: &mut Producer) -> Option<Layers> {
        let mut best = None;
        for spatial in 0..self.spatial_layers {
            if best.is_some() && (self.is_held_back(now, spatial) || self.is_too_young(now, producer, spatial)) {
                continue;
            }
            if !self.is_sent(now, producer, spatial) || !self.can_switch_to(producer, spatial) {
                continue;
            }
            best = Some(spatial);
            if spatial >= self.preferred.spatial {
                break;
            }
        }
        let spatial = best?;
        let temporal = match spatial.cmp(&self.preferred.spatial) {
            std::cmp::Ordering::Less => self.temporal_layers.max(1) - 1,
            std::cmp::Ordering::Equal => self.preferred.temporal,
            std::cmp::Ordering::Greater => 0,
        };
        Some(Layers { spatial, temporal })
    }

    /// Begins to share bandwidth out: nothing has been given yet.
    pub fn begin_share(&mut self) {
        self.share = Some(None);
    }

    /// Takes one step up, if `available` bits per second suffice for it, or nearly so and it is a step to what is sent
    /// already. Returns what the step costs; 0 if none was taken.
    pub fn take(&mut self, now: Instant, producer: &mut Producer, available: u64) -> u64 {
        let Some((layers, cost)) = self.next_step(now, producer) else { return 0 };
        let is_kept =
            self.target.is_some_and(|target| (layers.spatial, layers.temporal) <= (target.spatial, target.temporal));
        let enough = if is_kept { available.saturating_mul(KEPT_EXCESS) / 100 } else { available };
        if cost > enough {
            return 0;
        }
        self.share = Some(Some(layers));
        cost
    }

    /// The next step up from what was taken so far, and what it costs in bits per second (at least 1): the next temporal
    /// layer that is sent, or else the lowest of the next spatial layer that is. `None` when the preferred layers are
    /// reached.
    pub fn next_step(&self, now: Instant, producer: &mut Producer) -> Option<(Layers, u64)> {
        let taken = self.share.flatten();
        if taken == Some(self.preferred) {
            return None;
        }
        let first = taken.map_or(0, |taken| taken.spatial);
        for spatial in first..self.spatial_layers {
            let is_higher = taken.is_some_and(|taken| spatial > taken.spatial);
            if is_higher && self.is_held_back(now, spatial) {
                return None;
            }
            let from = match taken {
                Some(taken) if !is_higher => taken.temporal + 1,
                _ => 0,
            };
            let usable =
                !is_higher || !self.is_too_young(now, producer, spatial) && self.can_switch_to(producer, spatial);
            if usable && from < self.temporal_layers.max(1) && self.is_sent(now, producer, spatial) {
                let layers = Layers { spatial, temporal: from };
                if self.layer_bitrate(now, producer, layers) > 0 {
                    let before = taken.map_or(0, |taken| self.bitrate(now, producer, taken));
                    return Some((layers, self.bitrate(now, producer, layers).saturating_sub(before).max(1)));
                }
            }
            if spatial >= self.preferred.spatial {
                return None;
            }
        }
        None
    }

    /// Ends sharing out: what was taken, to be made the target.
    pub(crate) fn end_share(&mut self, now: Instant) -> Option<Layers> {
        let taken = self.share.take().flatten();
        let current = self.forwarder.current().map(|current| current.spatial);
        let is_downgrade = taken
            .zip(current)
            .is_some_and(|(taken, current)| taken.spatial < current && current <= self.preferred.spatial);
        let is_settled = self.sending_since.is_some_and(|since| now.saturating_duration_since(since) > MIN_SENDING);
        if is_downgrade && is_settled {
            self.last_downgrade = Some(now);
        }
        taken
    }

    /// What it would take to send everything that is preferred, in bits per second.
    pub fn desired_bitrate(&self, now: Instant, producer: &mut Producer) -> u64 {
        let up_to = self.preferred.spatial.min(self.spatial_layers.max(1) - 1);
        (0..=up_to)
            .map(|spatial| self.bitrate(now, producer, Layers { spatial, temporal: self.preferred.temporal }))
            .max()
            .unwrap_or(0)
    }

    /// What it takes to send these layers with those that they need, in bits per second.
    pub fn bitrate(&self, now: Instant, producer: &mut Producer, layers: Layers) -> u64 {
        let lowest = match self.kind {
            Kind::Svc { independent: false } => 0,
            Kind::Svc { independent: true } | Kind::Simulcast => layers.spatial,
        };
        let below = |spatial| (0..=layers.temporal).map(move |temporal| Layers { spatial, temporal });
        (lowest..=layers.spatial).flat_map(below).map(|layer| self.layer_bitrate(now, producer, layer)).sum()
    }

    /// What one layer alone adds, in bits per second.
    fn layer_bitrate(&self, now: Instant, producer: &mut Producer, layer: Layers) -> u64 {
        let Some(stream) = self.stream_of_layer(layer.spatial).and_then(|stream| producer.streams.get_mut(stream))
        else {
            return 0;
        };
        let spatial = match self.kind {
            Kind::Simulcast => 0,
            Kind::Svc { .. } => layer.spatial,
        };
        stream.layer_bitrate(now, spatial, layer.temporal)
    }

    /// Whether the producer sends a spatial layer.
    fn is_sent(&self, now: Instant, producer: &mut Producer, spatial: u8) -> bool {
        let stream = self.stream_of_layer(spatial).and_then(|stream| producer.streams.get_mut(stream));
        stream.is_some_and(|stream| match self.kind {
            Kind::Simulcast => stream.score() > 0,
            // The lowest layer carries the others; whether those come is seen by their rates.
            Kind::Svc { .. } => stream.score() > 0 && (spatial == 0 || stream.spatial_bitrate(now, spatial) > 0),
        })
    }

    /// Whether the bandwidth has forced it below a spatial layer only lately.
    fn is_held_back(&self, now: Instant, spatial: u8) -> bool {
        let current = self.forwarder.current().map_or(0, |current| current.spatial);
        let lately = |at| now.saturating_duration_since(at) < DOWNGRADE_PAUSE;
        spatial > current && self.last_downgrade.is_some_and(lately)
    }

    /// Whether the rate of a stream of simulcast is not known yet, because it has just begun.
    fn is_too_young(&self, now: Instant, producer: &Producer, spatial: u8) -> bool {
        let stream = self.stream_of_layer(spatial).and_then(|stream| producer.streams.get(stream));
        self.is_shared
            && self.kind == Kind::Simulcast
            && stream.is_some_and(|stream| stream.active_for(now) < MIN_ACTIVE)
    }

    /// Whether the timestamps of a spatial layer's stream can be brought into line with what is sent now. Where nothing is
    /// sent any more, they needn't be.
    fn can_switch_to(&self, producer: &Producer, spatial: u8) -> bool {
        let Some(current) = self.current_stream().and_then(|stream| producer.streams.get(stream)) else { return true };
        let stream = self.stream_of_layer(spatial).and_then(|stream| producer.streams.get(stream));
        let is_same = stream.is_some_and(|stream| stream.ssrc() == current.ssrc());
        let has_clocks = current.sender_clock().is_some() && stream.and_then(RecvStream::sender_clock).is_some();
        is_same || has_clocks || current.score() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp_parameters;
    use serde_json::{Value, from_value, json};
    use sfu_channel::PreferredLayers;
    use sfu_channel::request::Consume;

    const MAPPED: [u32; 2] = [11, 12];

    fn codec() -> Value {
        json!({"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "parameters": {}, "rtcpFeedback": []})
    }

    fn parameters(encodings: Value) -> Value {
        json!({"mid": "0", "codecs": [codec()], "headerExtensions": [], "encodings": encodings, "rtcp": {}})
    }

    /// A producer of two streams of two temporal layers, in kbit/s: 100 and 50 more, 400 and 200 more.
    fn producer(now: Instant) -> Producer {
        let encodings = json!([{"ssrc": 1, "scalabilityMode": "L1T2"}, {"ssrc": 2, "scalabilityMode": "L1T2"}]);
        let mapping = json!([{"ssrc": 1, "mappedSsrc": 11}, {"ssrc": 2, "mappedSsrc": 12}]);
        let codecs = json!([{"payloadType": 96, "mappedPayloadType": 96}]);
        let request = json!({
            "producerId": "p", "kind": "video", "rtpParameters": parameters(encodings),
            "rtpMapping": {"codecs": codecs, "encodings": mapping}, "paused": false,
        });
        let mut producer = Producer::new(0, 0, from_value(request).expect("well-formed")).expect("right");
        for (index, kilobits) in [[100, 50], [400, 200]].into_iter().enumerate() {
            let encoding = &producer.rtp_parameters.encodings[index];
            let ssrc = encoding.ssrc.unwrap();
            let mut stream =
                RecvStream::new(ssrc, index, encoding, &producer.rtp_parameters, MAPPED[index], true, true).unwrap();
            for (temporal, kilobits) in kilobits.into_iter().enumerate() {
                stream.last_info.temporal_layer = temporal as u8;
                // Over a window of two and a half seconds.
                stream.count_layer(now, kilobits * 2500 / 8);
            }
            producer.streams.push(stream);
        }
        producer
    }

    fn layered(producer: &Producer) -> Layered {
        let encodings = json!([{"ssrc": 7, "scalabilityMode": "L2T2"}]);
        let request = json!({
            "consumerId": "c", "producerId": "p", "kind": "video", "type": "simulcast",
            "rtpParameters": parameters(encodings), "consumableRtpEncodings": [{"ssrc": 11}, {"ssrc": 12}],
        });
        let request: Consume = from_value(request).expect("well-formed");
        let mut parameters = request.rtp_parameters.clone();
        rtp_parameters::normalize(&mut parameters).expect("right");
        let layered = Layered::new(&request, &parameters, &request.consumable_rtp_encodings, producer);
        *layered.expect("right").expect("it has layers")
    }

    /// What is taken of so much, step by step.
    fn share(
        layered: &mut Layered,
        now: Instant,
        producer: &mut Producer,
        mut available: u64,
    ) -> (Vec<u64>, Option<Layers>) {
        let mut steps = Vec::new();
        layered.begin_share();
        loop {
            match layered.take(now, producer, available) {
                0 => return (steps, layered.end_share(now)),
                used => steps.push(used),
            }
            available = available.saturating_sub(*steps.last().expect("one was pushed"));
        }
    }

    #[test]
    fn a_share_is_taken_layer_by_layer() {
        let start = Instant::now();
        let mut producer = producer(start);
        let mut layered = layered(&producer);
        layered.set_shared(true);
        // What has just begun is not gone up to. The rates are those of the window.
        let taken = share(&mut layered, start, &mut producer, 1_000_000);
        assert_eq!(taken, (vec![100_000, 50_000], Some(Layers { spatial: 0, temporal: 1 })));
        let now = start + MIN_ACTIVE;
        // A higher stream is taken instead of the lower one, so its first step costs the difference.
        let all = share(&mut layered, now, &mut producer, 1_000_000);
        assert_eq!(all, (vec![100_000, 50_000, 250_000, 200_000], Some(Layers { spatial: 1, temporal: 1 })));
        let some = share(&mut layered, now, &mut producer, 420_000);
        assert_eq!(some, (vec![100_000, 50_000, 250_000], Some(Layers { spatial: 1, temporal: 0 })));
        assert_eq!(share(&mut layered, now, &mut producer, 99_999), (vec![], None));
        // What is sent already is kept with a tenth less.
        layered.set_target(now, Some(Layers { spatial: 1, temporal: 0 }));
        let kept = share(&mut layered, now, &mut producer, 380_000);
        assert_eq!(kept, (vec![100_000, 50_000, 250_000], Some(Layers { spatial: 1, temporal: 0 })));
        let given_up = share(&mut layered, now, &mut producer, 370_000);
        assert_eq!(given_up, (vec![100_000, 50_000], Some(Layers { spatial: 0, temporal: 1 })));
        layered.set_target(now, None);
        assert_eq!(layered.desired_bitrate(now, &mut producer), 600_000);
        // Not more than is preferred, and nothing of what does not come any more.
        layered.prefer(PreferredLayers { spatial_layer: 0, temporal_layer: Some(0) });
        assert_eq!(share(&mut layered, now, &mut producer, 1_000_000).0, [100_000]);
        layered.prefer(PreferredLayers { spatial_layer: 9, temporal_layer: None });
        producer.streams[1].score.handle_inactive();
        assert_eq!(share(&mut layered, now, &mut producer, 1_000_000).1, Some(Layers { spatial: 0, temporal: 1 }));
    }

    #[test]
    fn without_sharing_the_best_of_what_comes_is_taken() {
        let now = Instant::now();
        let mut producer = producer(now);
        let mut layered = layered(&producer);
        assert_eq!(layered.best(now, &mut producer), Some(Layers { spatial: 1, temporal: 1 }));
        layered.prefer(PreferredLayers { spatial_layer: 1, temporal_layer: Some(0) });
        assert_eq!(layered.best(now, &mut producer), Some(Layers { spatial: 1, temporal: 0 }));
        producer.streams[1].score.handle_inactive();
        assert_eq!(layered.best(now, &mut producer), Some(Layers { spatial: 0, temporal: 1 }));
        producer.streams[0].score.handle_inactive();
        assert_eq!((layered.best(now, &mut producer), layered.has_stream(&producer)), (None, false));
    }
}
