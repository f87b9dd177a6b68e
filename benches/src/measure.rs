//! From steps to results: verify, find saturation, measure there and at half of it.

use crate::calls::Counter;
use crate::machine::Memory;
use crate::session::{Checks, Session, Step};
use crate::stats::Latency;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How long each part takes, in seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Durations {
    /// All packets decrypted and compared, at a low rate.
    pub verify: f64,
    /// A step of the search.
    pub search: f64,
    /// At saturation, before the measurement there: as long as workers keep packets for retransmission, so that they have all the
    /// memory for that.
    #[serde(default)]
    pub warm_up: f64,
    /// A measurement at saturation, and one at half of it.
    pub measure: f64,
}

impl Durations {
    /// For results.
    pub const FULL: Self = Self { verify: 0.3, search: 0.3, warm_up: 2.0, measure: 2.0 };
    /// To see that everything works.
    pub const QUICK: Self = Self { verify: 0.1, search: 0.1, warm_up: 0.0, measure: 0.3 };
}

/// The loss that counts as none: 0.1 %.
pub const TOLERATED_LOSS: f64 = 0.001;

/// Packets a second, in all, at which the verification runs.
const GENTLE: f64 = 5_000.0;

/// Of how many packets one is compared while the clock runs.
const CHECK_EVERY: u64 = 256;

/// How many packets a step times at most, about.
const TIMED: f64 = 100_000.0;

/// One contender's one run of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Packets a second that all consumers together got at saturation.
    pub packets_per_second: f64,
    /// Whether it was the load and not the contender that had no more to give: then saturation is at least this.
    pub load_limited: bool,
    /// At saturation.
    pub full: Point,
    /// At half of it.
    pub half: Point,
    /// Resident memory before any packet, in bytes; none for the control.
    pub memory_idle: Option<u64>,
    /// Resident memory after the measurement at saturation.
    pub memory: Option<Memory>,
    /// Packets that were decrypted and compared with what was sent.
    pub packets_checked: u64,
    /// Datagrams that came to the receiver from elsewhere, and were passed over.
    #[serde(default)]
    pub strays: u64,
}

/// A measurement at one load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Point {
    /// Packets a second that arrived, all consumers together.
    pub packets_per_second: f64,
    /// The share lost, 0 to 1.
    pub loss: f64,
    /// Processor time of the worker for each, in nanoseconds.
    pub worker_ns_per_packet: f64,
    /// How busy the worker was, 0 to 1: well below 1 at saturation says that something else was the limit.
    pub worker_busy: f64,
    /// How busy the busier of the load's cores was, 0 to 1.
    pub load_busy: f64,
    /// How long packets took.
    pub latency: Option<Latency>,
}

/// Runs it all. `guess` is where to begin the search, in packets a second in all; `tell` hears of each step.
///
/// # Errors
/// The contender died, did other work than it had to, or loses packets even under a small load.
pub fn run(session: &mut Session, guess: f64, durations: Durations, tell: &mut dyn FnMut(&str)) -> Result<Run> {
    let memory_idle = session.memory()?.map(|memory| memory.now);
    let mut load = Load::new(session);

    tell("verifying every packet");
    load.verify(durations.verify)?;

    let mut found = search(&mut load, guess, durations.search, tell)?;
    if durations.warm_up > 0.0 && load.session.process().is_some() {
        tell("warming up");
        load.hold(found.rate, durations.warm_up)?;
    }
    let full = loop {
        tell(&format!("measuring at {:.0} packets/s", found.rate));
        let step = load.hold(found.rate, durations.measure)?;
        if step.loss() < TOLERATED_LOSS && step.kept_up {
            break step;
        }
        // A longer stretch than the search's meets more of what can go wrong.
        found = Found { rate: found.rate * 0.95, load_limited: false };
        if found.rate < GENTLE {
            bail!(
                "it loses {:.1} % of the packets, or lags behind, at only {:.0} a second",
                100.0 * step.loss(),
                step.packets_per_second()
            );
        }
    };
    let memory = load.session.memory()?;
    tell("measuring at half load");
    let half = load.hold(found.rate / 2.0, durations.measure)?;
    if half.loss() >= TOLERATED_LOSS {
        tell("packets were lost at half load");
    }
    Ok(Run {
        packets_per_second: full.packets_per_second(),
        load_limited: found.load_limited || full.load_busy > 0.95,
        full: Point::of(&full),
        half: Point::of(&half),
        memory_idle,
        memory,
        packets_checked: load.checked,
        strays: load.strays,
    })
}

/// System calls of the process for each packet that arrives, at half of a run's load. Counted apart from the timing, since counting
/// slows each call.
///
/// # Errors
/// They can't be counted, or the contender fails.
pub fn calls_per_packet(session: &mut Session, run: &Run, seconds: f64, directory: &Path) -> Result<f64> {
    let process = session.process().context("the control is no process of its own")?;
    let counter = Counter::start(process, directory)?;
    let rate = run.packets_per_second / 2.0 / session.case().audience.copies() as f64;
    let step = session.step(rate, seconds, Checks { check_every: CHECK_EVERY, time_every: CHECK_EVERY })?;
    Ok(counter.finish()? as f64 / step.received.packets.max(1) as f64)
}

impl Point {
    fn of(step: &Step) -> Self {
        Self {
            packets_per_second: step.packets_per_second(),
            loss: step.loss(),
            worker_ns_per_packet: step.worker_ns_per_packet(),
            worker_busy: step.worker_busy,
            load_busy: step.load_busy,
            latency: step.received.latency,
        }
    }
}

/// Rates in packets that come out, all consumers together.
pub(crate) struct Load<'a> {
    session: &'a mut Session,
    copies: f64,
    checked: u64,
    strays: u64,
}

impl<'a> Load<'a> {
    pub(crate) fn new(session: &'a mut Session) -> Self {
        let copies = session.case().audience.copies() as f64;
        Self { session, copies, checked: 0, strays: 0 }
    }

    /// Under a small load every packet is compared, and none may be missing.
    fn verify(&mut self, seconds: f64) -> Result<()> {
        let verified = self.compare(seconds)?;
        if verified.received.packets != verified.expected {
            bail!(
                "{} of {} packets came out, the least served receiver got {}, under a load of only {:.0} packets a second",
                verified.received.packets,
                verified.expected,
                verified.received.fewest,
                verified.packets_per_second()
            );
        }
        Ok(())
    }

    /// A stretch under a small load, every packet that comes compared.
    pub(crate) fn compare(&mut self, seconds: f64) -> Result<Step> {
        let case = self.session.case();
        // Every stream has its turn.
        let turns = 1.2 * case.audience.streams() as f64 * case.traffic.pattern.mean_group();
        self.step(GENTLE.max(self.copies * turns / seconds), seconds, 1)
    }

    /// A stretch at a rate, a share of the packets compared.
    pub(crate) fn hold(&mut self, rate: f64, seconds: f64) -> Result<Step> {
        self.step(rate, seconds, CHECK_EVERY)
    }

    fn step(&mut self, rate: f64, seconds: f64, check_every: u64) -> Result<Step> {
        let time_every = (rate * seconds / TIMED).ceil() as u64;
        let step = self.session.step(rate / self.copies, seconds, Checks { check_every, time_every })?;
        self.checked += step.received.checked;
        self.strays += step.received.strays;
        Ok(step)
    }
}

/// The highest load without loss, as far as short steps tell.
pub(crate) struct Found {
    pub(crate) rate: f64,
    load_limited: bool,
}

/// Goes up or down, ever faster, until saturation lies between two rates, then halves the distance until it is small. Where the guess
/// is a good one, as that of the repetition before is, four steps do.
pub(crate) fn search(load: &mut Load<'_>, guess: f64, seconds: f64, tell: &mut dyn FnMut(&str)) -> Result<Found> {
    const FIRST_FACTOR: f64 = 1.15;
    const MAX_FACTOR: f64 = 1.75;
    const CLOSE: f64 = 1.04;
    let mut rate = guess.max(GENTLE);
    let mut factor = FIRST_FACTOR;
    let mut good: Option<f64> = None;
    let mut bad: Option<Bad> = None;
    loop {
        tell(&format!("searching: {rate:.0} packets/s"));
        let step = load.hold(rate, seconds)?;
        if step.loss() < TOLERATED_LOSS && step.on_schedule && step.kept_up {
            good = Some(rate);
        } else {
            bad = Some(Bad { rate, load_limited: !step.on_schedule });
        }
        rate = match (good, &bad) {
            (Some(good), Some(bad)) if bad.rate / good < CLOSE => {
                return Ok(Found { rate: good, load_limited: bad.load_limited });
            }
            (Some(good), Some(bad)) => (good * bad.rate).sqrt(),
            (Some(good), None) => good * factor,
            (None, _) if rate < GENTLE => {
                bail!(
                    "it loses {:.1} % of the packets, or lags behind, at only {rate:.0} a second",
                    100.0 * step.loss()
                );
            }
            (None, _) => rate / factor,
        };
        factor = (factor * factor).min(MAX_FACTOR);
    }
}

struct Bad {
    rate: f64,
    load_limited: bool,
}
