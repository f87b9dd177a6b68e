//! A sender that does not follow the estimate in small steps, but chooses between two layers or nothing at all, and sends
//! again what is lost, as a forwarding unit does. Without probing it would never learn that a higher layer has come to fit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sfu_proto::bwe::{Bounds, Estimator, RemoteEstimator, RetransmissionBudget};
use sfu_proto::rtcp::{FeedbackBuilder, Packet, packets};
use sfu_proto::rtp::AbsSendTime;

use crate::network::{Link, LinkConfig, Loss, Micros};

const MILLI: Micros = 1_000;
const SECOND: Micros = 1_000_000;
/// What the layers take, in bit/s.
const LAYERS: [f64; 2] = [150_000.0, 1_000_000.0];
const FRAME: Micros = 66 * MILLI;
/// A key frame, with which a layer begins, is so many times as large as others.
const KEY_FRAME: f64 = 5.0;
const PACKET: usize = 1200;
/// One way, without the queue.
const DELAY: Micros = 20 * MILLI;
/// A receiver asks again so often for what it misses.
const NACK_INTERVAL: Micros = 100 * MILLI;
const MAX_NACKS: u32 = 10;
const WIDE: f64 = 2_500_000.0;

/// What the receiver tells.
enum Receiver {
    Arrivals(Box<FeedbackBuilder>),
    Bound(Box<RemoteEstimator>),
}

enum Told {
    Feedback(Vec<u8>),
    Bound(u64),
}

struct Missing {
    size: usize,
    asked_at: Micros,
    times: u32,
}

struct Path {
    epoch: Instant,
    estimator: Estimator,
    receiver: Receiver,
    budget: RetransmissionBudget,
    link: Link,
    number: u16,
    /// In flight: when they arrive, number, size, and when they were sent.
    arriving: VecDeque<(Micros, u16, usize, Micros)>,
    missing: Vec<Missing>,
    told: VecDeque<(Micros, Told)>,
    layer: Option<usize>,
    /// By millisecond: the layer sent, the estimate, and how long packets that are sent now wait in the queue.
    layers: Vec<Option<usize>>,
    estimates: Vec<f64>,
    waits: Vec<Micros>,
}

impl Path {
    /// Runs to the end, over a link whose capacity (bit/s) changes at these seconds.
    fn run(by_remb: bool, capacity: &[(u64, f64)], seconds: u64) -> Path {
        let epoch = Instant::now();
        let bounds = Bounds { start: 600_000, min: 30_000, max: 1_000_000_000 };
        let config = LinkConfig {
            capacity: capacity.iter().map(|(second, bits)| (second * SECOND, *bits)).collect(),
            max_queue: 300 * MILLI,
            jitter: 2 * MILLI,
            loss: Loss::None,
        };
        let mut path = Path {
            epoch,
            estimator: if by_remb { Estimator::by_remb(epoch, bounds) } else { Estimator::new(epoch, bounds) },
            receiver: if by_remb {
                Receiver::Bound(Box::new(RemoteEstimator::new(epoch, 1_000_000)))
            } else {
                Receiver::Arrivals(Box::new(FeedbackBuilder::new(epoch, 1, 2)))
            },
            budget: RetransmissionBudget::default(),
            link: Link::new(config, 1),
            number: 0,
            arriving: VecDeque::new(),
            missing: Vec::new(),
            told: VecDeque::new(),
            layer: None,
            layers: Vec::new(),
            estimates: Vec::new(),
            waits: Vec::new(),
        };
        for now in (0..seconds * SECOND).step_by(MILLI as usize) {
            path.step(now);
        }
        path
    }

    fn step(&mut self, now: Micros) {
        let at = self.epoch + Duration::from_micros(now);
        while let Some((_, number, size, sent)) = due(&mut self.arriving, |packet| packet.0 <= now) {
            match &mut self.receiver {
                Receiver::Arrivals(builder) => builder.handle_packet(number, at),
                Receiver::Bound(remote) => {
                    remote.handle_packet(at, AbsSendTime::from_duration(Duration::from_micros(sent)), size);
                }
            }
        }
        if now.is_multiple_of(50 * MILLI) {
            self.tell(now, at);
        }
        while let Some((_, told)) = due(&mut self.told, |told| told.0 <= now) {
            match told {
                Told::Bound(bitrate) => self.estimator.handle_remb(at, bitrate),
                Told::Feedback(bytes) => {
                    let Some(Ok(Packet::TransportCc(feedback))) = packets(&bytes).next() else { panic!() };
                    self.estimator.handle_feedback(at, &feedback);
                }
            }
        }
        self.repair(now, at);
        if now.is_multiple_of(FRAME) {
            self.send_frame(now, at);
        }
        if self.estimator.poll_timeout().is_some_and(|due| due <= at) {
            self.estimator.handle_timeout(at);
            while let Some(size) = self.estimator.poll_padding(at) {
                self.send(now, at, size, None);
            }
        }
        self.layers.push(self.layer);
        self.estimates.push(self.estimator.available_bitrate() as f64);
    }

    fn tell(&mut self, now: Micros, at: Instant) {
        let arrives = now + DELAY;
        match &mut self.receiver {
            Receiver::Arrivals(builder) => {
                let mut bytes = Vec::new();
                while builder.poll_feedback(&mut bytes, 1200) {
                    self.told.push_back((arrives, Told::Feedback(std::mem::take(&mut bytes))));
                }
            }
            Receiver::Bound(remote) => {
                self.told.extend(remote.poll_remb(at).map(|bitrate| (arrives, Told::Bound(bitrate))));
            }
        }
    }

    fn send_frame(&mut self, now: Micros, at: Instant) {
        let available = self.estimator.available_bitrate() as f64;
        let layer = LAYERS.iter().rposition(|bitrate| *bitrate <= available);
        let factor = if layer == self.layer { 1.0 } else { KEY_FRAME };
        self.layer = layer;
        self.estimator.set_desired_bitrate(at, LAYERS[1] as u64);
        let mut left = layer.map_or(0.0, |layer| LAYERS[layer] * factor * FRAME as f64 / 8e6) as usize;
        while left > 0 {
            let size = left.min(PACKET);
            left -= size;
            self.send(now, at, size, Some(0));
        }
    }

    /// Sends again what the receiver asks for, the newest first, as far as the budget goes.
    fn repair(&mut self, now: Micros, at: Instant) {
        let mut place = self.missing.len();
        while place > 0 {
            place -= 1;
            if self.missing[place].asked_at > now {
                continue;
            }
            self.missing[place].asked_at = now + NACK_INTERVAL;
            self.missing[place].times += 1;
            let times = self.missing[place].times;
            let allowed = self.budget.allows(at, self.estimator.available_bitrate());
            if times > MAX_NACKS || allowed {
                let Missing { size, .. } = self.missing.remove(place);
                if times <= MAX_NACKS {
                    self.budget.spend(size);
                    self.send(now, at, size, Some(times));
                }
            }
        }
    }

    /// Sends a packet; if it is lost it is asked for again, unless it is padding, or has been asked for too often.
    fn send(&mut self, now: Micros, at: Instant, size: usize, asked: Option<u32>) {
        self.number = self.number.wrapping_add(1);
        self.estimator.handle_sent(at, self.number, size);
        match self.link.send(now, size) {
            Some(passage) => {
                self.waits.push(passage.queueing);
                self.arriving.push_back((passage.exit + DELAY, self.number, size, now));
            }
            None => {
                if let Some(times) = asked {
                    // It is noticed when what comes after it arrives, through the full queue.
                    self.missing.push(Missing { size, asked_at: now + 2 * DELAY + 300 * MILLI, times });
                }
            }
        }
    }

    /// Seconds from a time until a layer is sent for a second without a break; `None` if that doesn't happen.
    fn settles(&self, from: u64, layer: usize) -> Option<f64> {
        let sent = self.layers.get(from as usize * 1000..)?;
        let start = sent.windows(1000).position(|second| second.iter().all(|sent| *sent == Some(layer)))?;
        Some(start as f64 / 1000.0)
    }

    /// The share of the time between two seconds in which a layer was sent.
    fn share(&self, from: u64, to: u64, layer: Option<usize>) -> f64 {
        let sent = &self.layers[from as usize * 1000..to as usize * 1000];
        sent.iter().filter(|sent| **sent == layer).count() as f64 / sent.len() as f64
    }

    /// Seconds from a time until the estimate is at least so much (bit/s).
    fn rises(&self, from: u64, bitrate: f64) -> Option<f64> {
        let start = self.estimates[from as usize * 1000..].iter().position(|estimate| *estimate >= bitrate)?;
        Some(start as f64 / 1000.0)
    }
}

fn due<T>(queue: &mut VecDeque<T>, is_due: impl Fn(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(is_due) { queue.pop_front() } else { None }
}

#[test]
fn layers_follow_a_capacity_that_falls_and_comes_back() {
    let capacity = [(0, WIDE), (10, 400_000.0), (25, WIDE)];
    for (by_remb, up) in [(false, 5.0), (true, 20.0)] {
        let path = Path::run(by_remb, &capacity, 50);
        let figures = (path.settles(0, 1), path.settles(10, 0), path.share(13, 25, Some(0)), path.rises(25, LAYERS[1]));
        println!("by bound {by_remb}: {figures:?}");
        assert!(path.settles(0, 1).is_some_and(|seconds| seconds < 8.0), "by bound {by_remb}: {figures:?}");
        assert!(path.settles(10, 0).is_some_and(|seconds| seconds < 1.5), "by bound {by_remb}: {figures:?}");
        assert!(path.share(13, 25, Some(0)) > 0.95, "by bound {by_remb}: {figures:?}");
        assert!(path.rises(25, LAYERS[1]).is_some_and(|seconds| seconds < up), "by bound {by_remb}: {figures:?}");
        // The receiver that tells a bound takes the key frame with which the layer begins for congestion now and then.
        assert!(by_remb || path.share(28, 50, Some(1)) > 0.95, "{figures:?}");
    }
}

#[test]
fn media_come_back_after_a_time_in_which_not_even_the_lowest_layer_fitted() {
    let capacity = [(0, WIDE), (10, 60_000.0), (20, WIDE)];
    for (by_remb, up) in [(false, [5.0, 5.0]), (true, [15.0, 25.0])] {
        let path = Path::run(by_remb, &capacity, 50);
        let figures = (path.share(14, 20, None), path.rises(20, LAYERS[0]), path.rises(20, LAYERS[1]));
        println!("by bound {by_remb}: {figures:?}");
        assert!(figures.0 > 0.8, "by bound {by_remb}: {figures:?}");
        assert!(figures.1.is_some_and(|seconds| seconds < up[0]), "by bound {by_remb}: {figures:?}");
        assert!(figures.2.is_some_and(|seconds| seconds < up[1]), "by bound {by_remb}: {figures:?}");
    }
}
