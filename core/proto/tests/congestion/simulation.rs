//! Joins flows and links: events in the order of virtual time, and what is measured on the way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::flows::{Media, Tcp};
use crate::network::{Link, LinkConfig, Micros};

pub const SECOND: Micros = 1_000_000;
/// Samples are taken so often.
pub const SAMPLE: Micros = 100_000;

/// A sender with its path: a shared link, and a propagation delay of its own.
pub struct Flow {
    pub kind: Kind,
    /// The index of the link that it sends over; feedback goes over the other one where there are two.
    pub link: usize,
    /// One way.
    pub delay: Micros,
    /// Bits that arrived, by sample.
    pub arrived: Vec<f64>,
    /// The estimate, by sample, in bit/s.
    pub estimates: Vec<f64>,
    /// The waits of its packets, with the time, in microseconds.
    pub waits: Vec<(Micros, Micros)>,
    pub sent: u64,
    pub lost: u64,
    /// When its next turn is; later ones that were planned before don't count.
    turn_at: Micros,
}

pub enum Kind {
    Media(Box<Media>),
    Tcp(Tcp),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A packet of a flow arrives.
    Arrive {
        flow: usize,
        number: u16,
        size: usize,
        wait: Micros,
    },
    /// Feedback of its receiver arrives at a media flow.
    Feedback {
        flow: usize,
        bytes: Vec<u8>,
    },
    /// A TCP flow hears that a packet was lost.
    Lost {
        flow: usize,
    },
    Acknowledged {
        flow: usize,
    },
    /// A media receiver sends its feedback.
    Report {
        flow: usize,
    },
    /// A flow may have something to send.
    Turn {
        flow: usize,
    },
    Sample,
}

pub struct Simulation {
    pub links: Vec<Link>,
    pub flows: Vec<Flow>,
    pub duration: Micros,
    events: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    order: u64,
    seed: u64,
}

impl Simulation {
    pub fn new(links: Vec<LinkConfig>, duration: Micros, seed: u64) -> Simulation {
        let links = links
            .into_iter()
            .enumerate()
            .map(|(index, config)| Link::new(config, seed * 1000 + index as u64))
            .collect();
        Simulation { links, flows: Vec::new(), duration, events: BinaryHeap::new(), order: 0, seed }
    }

    /// Adds a media flow that starts at `start` and may send `max` bit/s.
    pub fn media(&mut self, link: usize, delay: Micros, start: Micros, max: f64) -> &mut Media {
        let media = Media::new(Instant::now(), start, max, self.seed * 100 + self.flows.len() as u64);
        let flow = self.push(Kind::Media(Box::new(media)), link, delay, start);
        match &mut flow.kind {
            Kind::Media(media) => media,
            Kind::Tcp(_) => unreachable!("it was made above"),
        }
    }

    pub fn tcp(&mut self, link: usize, delay: Micros, tcp: Tcp) {
        let start = tcp.start();
        self.push(Kind::Tcp(tcp), link, delay, start);
    }

    fn push(&mut self, kind: Kind, link: usize, delay: Micros, start: Micros) -> &mut Flow {
        let index = self.flows.len();
        self.at(start, Event::Turn { flow: index });
        if matches!(kind, Kind::Media(_)) {
            self.at(start, Event::Report { flow: index });
        }
        let flow = Flow {
            kind,
            link,
            delay,
            arrived: Vec::new(),
            estimates: Vec::new(),
            waits: Vec::new(),
            sent: 0,
            lost: 0,
            turn_at: start,
        };
        self.flows.push(flow);
        self.flows.last_mut().expect("just pushed")
    }

    fn at(&mut self, when: Micros, event: Event) {
        self.order += 1;
        self.events.push(Reverse((when, self.order, event)));
    }

    pub fn run(mut self) -> Simulation {
        let samples = (self.duration / SAMPLE) as usize;
        for flow in &mut self.flows {
            flow.arrived = vec![0.0; samples + 1];
        }
        self.at(SAMPLE, Event::Sample);
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            if now >= self.duration {
                break;
            }
            self.handle(now, event);
        }
        self
    }

    fn handle(&mut self, now: Micros, event: Event) {
        match event {
            Event::Sample => {
                for flow in &mut self.flows {
                    flow.estimates.push(match &flow.kind {
                        Kind::Media(media) => media.estimator.available_bitrate() as f64,
                        Kind::Tcp(_) => 0.0,
                    });
                }
                self.at(now + SAMPLE, Event::Sample);
            }
            Event::Turn { flow } if self.flows[flow].turn_at == now => self.turn(now, flow),
            Event::Turn { .. } => {}
            Event::Arrive { flow: index, number, size, wait } => {
                let flow = &mut self.flows[index];
                flow.arrived[(now / SAMPLE) as usize] += (size + 28) as f64 * 8.0;
                flow.waits.push((now, wait));
                let delay = flow.delay;
                match &mut flow.kind {
                    Kind::Media(media) => media.receive(now, number),
                    Kind::Tcp(_) => self.at(now + delay, Event::Acknowledged { flow: index }),
                }
            }
            Event::Report { flow: index } => {
                let flow = &mut self.flows[index];
                let (delay, link) = (flow.delay, flow.link);
                let Kind::Media(media) = &mut flow.kind else { return };
                let mut feedback = Vec::new();
                media.feedback(&mut feedback);
                let next = media.next_feedback;
                // Over the other link, if there is one.
                let back = self.links.len().checked_sub(1).filter(|last| *last > 0).map(|_| 1 - link);
                for bytes in feedback {
                    let exit = match back {
                        Some(back) => match self.links[back].send(now, bytes.len()) {
                            Some(passage) => passage.exit,
                            None => continue,
                        },
                        None => now,
                    };
                    self.at(exit + delay, Event::Feedback { flow: index, bytes });
                }
                self.at(next, Event::Report { flow: index });
            }
            Event::Feedback { flow, bytes } => {
                if let Kind::Media(media) = &mut self.flows[flow].kind {
                    media.handle_feedback(now, &bytes);
                }
                self.turn(now, flow);
            }
            Event::Lost { flow: index } => {
                let flow = &mut self.flows[index];
                if let Kind::Tcp(tcp) = &mut flow.kind {
                    tcp.lose(now, 2 * flow.delay);
                }
                self.turn(now, index);
            }
            Event::Acknowledged { flow: index } => {
                if let Kind::Tcp(tcp) = &mut self.flows[index].kind {
                    tcp.acknowledge(now);
                }
                self.turn(now, index);
            }
        }
    }

    fn turn(&mut self, now: Micros, index: usize) {
        let flow = &mut self.flows[index];
        let (delay, link) = (flow.delay, flow.link);
        let mut packets = Vec::new();
        let mut next = None;
        let is_tcp = match &mut flow.kind {
            Kind::Media(media) => {
                media.send(now, &mut packets);
                next = Some(media.next().max(now + 1));
                false
            }
            Kind::Tcp(tcp) => {
                tcp.send(now, &mut packets);
                true
            }
        };
        flow.sent += packets.len() as u64;
        for (number, size) in packets {
            match self.links[link].send(now, size) {
                Some(passage) => {
                    let event = Event::Arrive { flow: index, number, size, wait: passage.queueing };
                    self.at(passage.exit + delay, event);
                }
                None => {
                    self.flows[index].lost += 1;
                    if is_tcp {
                        self.at(now + 2 * delay + 100_000, Event::Lost { flow: index });
                    }
                }
            }
        }
        if let Some(next) = next {
            self.flows[index].turn_at = next;
            self.at(next, Event::Turn { flow: index });
        }
    }

    /// Mean bit/s that arrived of the flows between two times.
    pub fn throughput(&self, flows: &[usize], from: Micros, to: Micros) -> f64 {
        let range = (from / SAMPLE) as usize..(to / SAMPLE) as usize;
        let bits: f64 = flows.iter().map(|flow| self.flows[*flow].arrived[range.clone()].iter().sum::<f64>()).sum();
        bits * 1e6 / (to - from) as f64
    }

    /// The wait in the queue that `share` of the flows' packets don't exceed, in milliseconds.
    pub fn wait(&self, flows: &[usize], share: f64) -> f64 {
        let mut waits: Vec<Micros> =
            flows.iter().flat_map(|flow| self.flows[*flow].waits.iter().map(|(_, wait)| *wait)).collect();
        waits.sort_unstable();
        waits.get((waits.len() as f64 * share) as usize).map_or(0.0, |wait| *wait as f64 / 1000.0)
    }

    /// Mean of the flows' estimates together between two times, in bit/s.
    pub fn estimate(&self, flows: &[usize], from: Micros, to: Micros) -> f64 {
        let range = (from / SAMPLE) as usize..(to / SAMPLE) as usize;
        let count = range.len() as f64;
        flows.iter().map(|flow| self.flows[*flow].estimates[range.clone()].iter().sum::<f64>() / count).sum()
    }

    /// Seconds from `from` until the flows' estimates together are within these bounds (bit/s) on average of a second;
    /// `None` if they don't come there before `to`.
    pub fn converges(&self, flows: &[usize], from: Micros, to: Micros, low: f64, high: f64) -> Option<f64> {
        let mut starts = (from..=to - SECOND).step_by(SAMPLE as usize);
        let reached = starts.find(|at| (low..=high).contains(&self.estimate(flows, *at, *at + SECOND)))?;
        Some((reached - from) as f64 / 1e6)
    }
}
