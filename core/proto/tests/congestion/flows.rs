//! The senders: video that follows the estimator, and a simple TCP.

use std::time::{Duration, Instant};

use sfu_proto::bwe::{Bounds, Estimator};
use sfu_proto::rtcp::{FeedbackBuilder, Packet, packets};

use crate::network::{Micros, Random};

/// Bytes of the longest packet.
const PACKET: usize = 1200;
const FRAME: Micros = 33_333;
const FEEDBACK: Micros = 100_000;

/// A media flow: an encoder that follows the estimate at once, and sends each frame as a burst, and its receiver.
pub struct Media {
    epoch: Instant,
    pub estimator: Estimator,
    feedback: FeedbackBuilder,
    random: Random,
    number: u16,
    pub next_frame: Micros,
    pub next_feedback: Micros,
    /// What it would send at most, in bit/s.
    pub max: f64,
    /// When it is silent.
    pub pause: Option<(Micros, Micros)>,
    pub end: Micros,
}

impl Media {
    pub fn new(epoch: Instant, start: Micros, max: f64, seed: u64) -> Media {
        let at = epoch + Duration::from_micros(start);
        let mut estimator = Estimator::new(at, Bounds { start: 300_000, min: 30_000, max: 20_000_000 });
        estimator.set_desired_bitrate(at, max as u64);
        Media {
            epoch,
            estimator,
            feedback: FeedbackBuilder::new(epoch, 1, 2),
            random: Random::new(seed),
            number: 0,
            next_frame: start + seed * 7_919 % FRAME,
            next_feedback: start + FEEDBACK,
            max,
            pause: None,
            end: Micros::MAX,
        }
    }

    fn instant(&self, now: Micros) -> Instant {
        self.epoch + Duration::from_micros(now)
    }

    pub fn next(&self) -> Micros {
        let timeout = self.estimator.poll_timeout().map_or(Micros::MAX, |at| (at - self.epoch).as_micros() as Micros);
        self.next_frame.min(timeout)
    }

    /// What is to be sent now: the sizes of packets.
    pub fn send(&mut self, now: Micros, out: &mut Vec<(u16, usize)>) {
        let at = self.instant(now);
        if self.next_frame <= now {
            self.next_frame += FRAME;
            let paused = self.pause.is_some_and(|(from, to)| (from..to).contains(&now)) || now >= self.end;
            let desired = if paused { 0 } else { self.max as u64 };
            self.estimator.set_desired_bitrate(at, desired);
            if !paused {
                let rate = (self.estimator.available_bitrate() as f64).min(self.max);
                let noise = (1.0 + 0.1 * self.random.normal()).clamp(0.6, 1.5);
                let mut left = (rate * noise * FRAME as f64 / 8e6) as usize;
                while left > 0 {
                    let size = left.clamp(50, PACKET);
                    left = left.saturating_sub(size);
                    self.push(at, size, out);
                }
            }
        }
        self.estimator.handle_timeout(at);
        while let Some(size) = self.estimator.poll_padding(at) {
            self.push(at, size, out);
        }
    }

    fn push(&mut self, at: Instant, size: usize, out: &mut Vec<(u16, usize)>) {
        self.number = self.number.wrapping_add(1);
        self.estimator.handle_sent(at, self.number, size);
        out.push((self.number, size));
    }

    pub fn receive(&mut self, now: Micros, number: u16) {
        let at = self.instant(now);
        self.feedback.handle_packet(number, at);
    }

    /// The receiver's feedback, packet by packet.
    pub fn feedback(&mut self, out: &mut Vec<Vec<u8>>) {
        self.next_feedback += FEEDBACK;
        let mut bytes = Vec::new();
        while self.feedback.poll_feedback(&mut bytes, 1200) {
            out.push(std::mem::take(&mut bytes));
        }
    }

    pub fn handle_feedback(&mut self, now: Micros, bytes: &[u8]) {
        let at = self.instant(now);
        for packet in packets(bytes) {
            if let Ok(Packet::TransportCc(feedback)) = packet {
                self.estimator.handle_feedback(at, &feedback);
            }
        }
    }
}

/// A TCP in the manner of Reno: slow start, additive increase, half after a loss, a timeout when nothing comes back.
pub struct Tcp {
    start: Micros,
    end: Micros,
    /// Bytes still to be sent; `None` for no end.
    left: Option<u64>,
    window: f64,
    threshold: f64,
    in_flight: u32,
    recover_until: Micros,
    last_ack: Micros,
    number: u16,
}

impl Tcp {
    pub fn new(start: Micros, end: Micros, bytes: Option<u64>) -> Tcp {
        Tcp {
            start,
            end,
            left: bytes,
            window: 10.0,
            threshold: 64.0,
            in_flight: 0,
            recover_until: 0,
            last_ack: start,
            number: 0,
        }
    }

    pub fn start(&self) -> Micros {
        self.start
    }

    pub fn send(&mut self, now: Micros, out: &mut Vec<(u16, usize)>) {
        if !(self.start..self.end).contains(&now) {
            return;
        }
        while f64::from(self.in_flight) < self.window.floor() && self.left != Some(0) {
            self.left = self.left.map(|left| left.saturating_sub(1460));
            self.in_flight += 1;
            self.number = self.number.wrapping_add(1);
            out.push((self.number, 1460));
        }
    }

    pub fn acknowledge(&mut self, now: Micros) {
        self.last_ack = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.window += if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
    }

    pub fn lose(&mut self, now: Micros, round_trip: Micros) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.left = self.left.map(|left| left + 1460);
        if now >= self.recover_until {
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = self.threshold;
            self.recover_until = now + round_trip;
        }
    }
}
