//! The cases: RFC 8867 sections 5.1 to 5.8, and links that lose packets.

use std::fmt::Write;

use crate::flows::Tcp;
use crate::network::{LinkConfig, Loss, Micros};
use crate::simulation::{Kind, SAMPLE, SECOND, Simulation};

const MEGA: f64 = 1e6;
const MILLI: Micros = 1_000;
/// After a step of the capacity, or of the number of flows, the steady state begins so much later.
const SETTLING: Micros = 5 * SECOND;

pub struct Case {
    pub name: &'static str,
    /// With a seed of all chance.
    pub build: fn(u64) -> Simulation,
    /// The media flows that are judged together, over the first link.
    pub flows: &'static [usize],
    /// Times between which capacity and flows are the same, and the capacity between them in Mbit/s.
    pub phases: &'static [(u64, f64)],
    pub end: u64,
    /// The least part of its fair share that a flow must get in the last phase.
    pub min_share: f64,
    pub has_tcp: bool,
    /// The least share of the capacity to be used in steady phases, where it isn't that of the other cases: with TCPs that
    /// come and go every few seconds nothing is ever steady.
    pub min_utilisation: f64,
}

/// The share of the capacity that must be used in steady state.
const MIN_UTILISATION: f64 = 0.85;

#[derive(Debug)]
pub struct Outcome {
    /// The least share of the capacity used in a steady phase.
    pub utilisation: f64,
    /// The slowest convergence after a step up, and down, in seconds.
    pub up: Option<f64>,
    pub down: Option<f64>,
    /// Waits of the media flows' packets, in milliseconds.
    pub wait_p50: f64,
    pub wait_p95: f64,
    pub wait_p99: f64,
    pub lost: f64,
    /// What the worst media flow got in the last phase, as a part of its fair share.
    pub share: f64,
}

/// The default link of RFC 8867 section 4: a queue of 300 ms that drops its tail.
fn link(capacity: &[(u64, f64)]) -> LinkConfig {
    LinkConfig {
        capacity: capacity.iter().map(|(second, mega)| (second * SECOND, mega * MEGA)).collect(),
        max_queue: 300 * MILLI,
        jitter: 0,
        loss: Loss::None,
    }
}

/// The most that a media flow would send.
const MAX_MEDIA: f64 = 6.0 * MEGA;
const DELAY: Micros = 50 * MILLI;

const VARIABLE: &[(u64, f64)] = &[(0, 1.0), (40, 2.5), (60, 0.6), (80, 1.0)];
const VARIABLE_SHARED: &[(u64, f64)] = &[(0, 4.0), (25, 2.0), (50, 3.5), (75, 1.0), (100, 2.0)];
const FORWARD: &[(u64, f64)] = &[(0, 2.0), (20, 1.0), (40, 0.5), (60, 2.0)];
const BACKWARD: &[(u64, f64)] = &[(0, 2.0), (35, 0.8), (70, 2.0)];
const CLEAN: Case = Case {
    name: "",
    build: |seed| Simulation::new(Vec::new(), 0, seed),
    flows: &[0],
    phases: &[],
    end: 0,
    min_share: 0.0,
    has_tcp: false,
    min_utilisation: MIN_UTILISATION,
};

fn single(config: LinkConfig, seconds: u64, seed: u64) -> Simulation {
    let mut simulation = Simulation::new(vec![config], seconds * SECOND, seed);
    simulation.media(0, DELAY, 0, MAX_MEDIA);
    simulation
}

pub fn all() -> Vec<Case> {
    vec![
        Case {
            name: "5.1 variable capacity, one",
            build: |seed| single(link(VARIABLE), 100, seed),
            phases: VARIABLE,
            end: 100,
            ..CLEAN
        },
        Case {
            name: "5.1 with jitter up to 30 ms",
            build: |seed| single(LinkConfig { jitter: 30 * MILLI, ..link(VARIABLE) }, 100, seed),
            phases: VARIABLE,
            end: 100,
            ..CLEAN
        },
        Case {
            name: "5.2 variable capacity, two",
            build: |seed| {
                let mut simulation = Simulation::new(vec![link(VARIABLE_SHARED)], 125 * SECOND, seed);
                simulation.media(0, DELAY, 0, MAX_MEDIA);
                simulation.media(0, DELAY, 0, MAX_MEDIA);
                simulation
            },
            flows: &[0, 1],
            phases: VARIABLE_SHARED,
            end: 125,
            min_share: 0.5,
            ..CLEAN
        },
        Case {
            name: "5.3 congested feedback",
            build: |seed| {
                let mut simulation = Simulation::new(vec![link(FORWARD), link(BACKWARD)], 100 * SECOND, seed);
                simulation.media(0, DELAY, 0, MAX_MEDIA);
                simulation.media(1, DELAY, 0, MAX_MEDIA);
                simulation
            },
            phases: FORWARD,
            end: 100,
            ..CLEAN
        },
        Case {
            name: "5.4 competing media flows",
            build: |seed| {
                let mut simulation = Simulation::new(vec![link(&[(0, 3.5)])], 120 * SECOND, seed);
                (0..3).for_each(|index| _ = simulation.media(0, DELAY, index * 20 * SECOND, MAX_MEDIA));
                simulation
            },
            flows: &[0, 1, 2],
            phases: &[(0, 3.5), (20, 3.5), (40, 3.5)],
            end: 120,
            min_share: 0.5,
            ..CLEAN
        },
        Case {
            name: "5.5 round-trip times",
            build: |seed| {
                let mut simulation = Simulation::new(vec![link(&[(0, 4.0)])], 300 * SECOND, seed);
                for (index, delay) in [10, 25, 50, 100, 150].into_iter().enumerate() {
                    simulation.media(0, delay * MILLI, index as u64 * 10 * SECOND, MAX_MEDIA);
                }
                simulation
            },
            flows: &[0, 1, 2, 3, 4],
            phases: &[(0, 4.0), (10, 4.0), (20, 4.0), (30, 4.0), (40, 4.0)],
            end: 300,
            min_share: 0.5,
            ..CLEAN
        },
        Case {
            name: "5.6 against a long TCP",
            build: |seed| {
                let mut simulation = single(link(&[(0, 2.0)]), 120, seed);
                simulation.tcp(0, DELAY, Tcp::new(5 * SECOND, 119 * SECOND, None));
                simulation
            },
            flows: &[0, 1],
            phases: &[(5, 2.0)],
            end: 119,
            min_share: 0.2,
            has_tcp: true,
            ..CLEAN
        },
        Case {
            name: "5.7 against short TCPs",
            build: |seed| {
                let mut simulation = Simulation::new(vec![link(&[(0, 2.0)])], 120 * SECOND, seed);
                simulation.media(0, DELAY, 0, MAX_MEDIA);
                simulation.media(0, DELAY, 0, MAX_MEDIA);
                for index in 0..10 {
                    let start = (10 + index * 9) * SECOND;
                    simulation.tcp(0, DELAY, Tcp::new(start, 120 * SECOND, Some(100_000 + index * 60_000)));
                }
                simulation
            },
            flows: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            phases: &[(5, 2.0)],
            end: 120,
            min_share: 0.4,
            has_tcp: true,
            min_utilisation: 0.65,
        },
        Case {
            name: "5.8 pause and resume",
            build: |seed| {
                let mut simulation = Simulation::new(vec![link(&[(0, 3.5)])], 120 * SECOND, seed);
                simulation.media(0, DELAY, 0, MAX_MEDIA).pause = Some((40 * SECOND, 60 * SECOND));
                simulation.media(0, DELAY, 0, MAX_MEDIA);
                simulation.media(0, DELAY, 0, MAX_MEDIA);
                simulation
            },
            flows: &[0, 1, 2],
            phases: &[(0, 3.5), (40, 3.5), (60, 3.5)],
            end: 120,
            min_share: 0.5,
            ..CLEAN
        },
        Case {
            name: "random losses of 3 %",
            build: |seed| single(LinkConfig { loss: Loss::Random(0.03), ..link(VARIABLE) }, 100, seed),
            phases: VARIABLE,
            end: 100,
            ..CLEAN
        },
        Case {
            name: "bursty losses",
            build: |seed| {
                let loss = Loss::Bursty { to_bad: 0.004, to_good: 0.2, while_bad: 0.6 };
                single(LinkConfig { loss, ..link(VARIABLE) }, 100, seed)
            },
            phases: VARIABLE,
            end: 100,
            ..CLEAN
        },
        Case {
            name: "a queue of 40 ms",
            build: |seed| single(LinkConfig { max_queue: 40 * MILLI, ..link(VARIABLE) }, 100, seed),
            phases: VARIABLE,
            end: 100,
            ..CLEAN
        },
    ]
}

impl Outcome {
    /// The median of each figure.
    pub fn median(all: &[Outcome]) -> Outcome {
        let median = |figure: fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = all.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let optional = |figure: fn(&Outcome) -> Option<f64>| {
            let mut values: Vec<f64> = all.iter().filter_map(figure).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Outcome {
            utilisation: median(|outcome| outcome.utilisation),
            up: optional(|outcome| outcome.up),
            down: optional(|outcome| outcome.down),
            wait_p50: median(|outcome| outcome.wait_p50),
            wait_p95: median(|outcome| outcome.wait_p95),
            wait_p99: median(|outcome| outcome.wait_p99),
            lost: median(|outcome| outcome.lost),
            share: median(|outcome| outcome.share),
        }
    }
}

fn is_media(simulation: &Simulation, flow: usize) -> bool {
    matches!(simulation.flows[flow].kind, Kind::Media(_))
}

pub fn judge(case: &Case, simulation: &Simulation) -> Outcome {
    let media: Vec<usize> = case.flows.iter().copied().filter(|flow| is_media(simulation, *flow)).collect();
    let (mut utilisation, mut up, mut down) = (f64::INFINITY, None::<f64>, None::<f64>);
    for (index, (start, mega)) in case.phases.iter().enumerate() {
        let (from, capacity) = (start * SECOND, mega * MEGA);
        let to = case.phases.get(index + 1).map_or(case.end, |(next, _)| *next) * SECOND;
        utilisation = utilisation.min(simulation.throughput(case.flows, from + SETTLING, to) / capacity);
        let Some((_, before)) = index.checked_sub(1).and_then(|before| case.phases.get(before)) else { continue };
        // Never to converge is slower than any bound.
        let seconds = |low: f64, high: f64| {
            simulation.converges(&media, from, to, low * capacity, high * capacity).unwrap_or(f64::INFINITY)
        };
        if mega > before {
            up = Some(up.unwrap_or(0.0).max(seconds(0.85, 9.0)));
        } else if mega < before {
            down = Some(down.unwrap_or(0.0).max(seconds(0.0, 1.05)));
        }
    }
    let last = case.phases.last().map_or(0, |(start, _)| start * SECOND);
    let concurrent: Vec<usize> =
        case.flows.iter().copied().filter(|flow| case.has_tcp || is_media(simulation, *flow)).collect();
    let total = simulation.throughput(&concurrent, last + SETTLING, case.end * SECOND);
    let count = if case.has_tcp { media.len() + 1 } else { media.len() };
    let share =
        |flow: &usize| simulation.throughput(&[*flow], last + SETTLING, case.end * SECOND) / (total / count as f64);
    let sent: u64 = media.iter().map(|flow| simulation.flows[*flow].sent).sum();
    let lost: u64 = media.iter().map(|flow| simulation.flows[*flow].lost).sum();
    Outcome {
        utilisation,
        up,
        down,
        wait_p50: simulation.wait(&media, 0.5),
        wait_p95: simulation.wait(&media, 0.95),
        wait_p99: simulation.wait(&media, 0.99),
        lost: lost as f64 / sent as f64,
        share: media.iter().map(share).fold(f64::INFINITY, f64::min),
    }
}

/// Appends the course of a case, second by second and flow by flow: bit/s, and the longest wait in milliseconds.
pub fn write_course(case: &Case, simulation: &Simulation, csv: &mut String) {
    for (index, flow) in simulation.flows.iter().enumerate().filter(|(index, _)| case.flows.contains(index)) {
        for second in 0..simulation.duration / SECOND {
            let (from, to) = (second * SECOND, (second + 1) * SECOND);
            let within = |(at, _): &&(Micros, Micros)| (from..to).contains(at);
            let wait = flow.waits.iter().filter(within).map(|(_, wait)| *wait).max().unwrap_or(0);
            let estimate = flow.estimates.get((to / SAMPLE) as usize - 2).copied().unwrap_or(0.0);
            writeln!(
                csv,
                "{},{second},{:.0},{index},{estimate:.0},{:.0},{}",
                case.name,
                simulation.links[flow.link].capacity(from),
                simulation.throughput(&[index], from, to),
                wait / MILLI,
            )
            .expect("a string takes all");
        }
    }
}
