//! Results, and JSON for the record.

mod tables;

use crate::case::Case;
use crate::distance::{self, Beside};
use crate::growth::Growth;
use crate::limit::Limit;
use crate::machine::Cores;
use crate::measure::{Durations, Run};
use crate::same_load::{self, SameLoad, Schedule};
use crate::session::Contender;
use crate::stats::Spread;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use stage::Machine;
use std::fs;
use std::path::Path;

/// All of one invocation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// Where each process ran.
    pub cores: Cores,
    /// Whether receivers took trains of datagrams as they were.
    pub receive_trains: bool,
    /// The loss that counts as none.
    pub tolerated_loss: f64,
    /// How long each part took.
    pub durations: Durations,
    /// The turns of all workers at the same load; none in older results.
    #[serde(default)]
    pub same_load: Option<Schedule>,
    /// The turns beside the limit; none in older results.
    #[serde(default)]
    pub distances: Option<distance::Schedule>,
    /// How often each case was run; contenders alternate.
    pub repetitions: usize,
    /// Who took part.
    pub contenders: Vec<Contender>,
    /// Who, or what, could not, and why.
    pub absent: Vec<String>,
    /// What kernel and cipher take alone, by case: a measurement for each repetition.
    pub limits: Vec<(Case, Vec<Limit>)>,
    /// What came of it.
    pub outcomes: Vec<Outcome>,
    /// How workers' costs grow with the size of a case; none in older results.
    #[serde(default)]
    pub growth: Vec<Growth>,
}

/// A contender's result in a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub contender: String,
    /// The case.
    pub case: Case,
    /// Medians over all runs; `None` when one of them has failed.
    pub summary: Option<Summary>,
    /// System calls a packet at half load, counted once, where they can be.
    pub calls_per_packet: Option<f64>,
    /// The runs that went well.
    pub runs: Vec<Run>,
    /// At the load that was the same for all workers, where there are several.
    #[serde(default)]
    pub same_load: Option<SameLoad>,
    /// Turns beside the limit, of all runs; none in older results, and where the limit couldn't be measured.
    #[serde(default)]
    pub beside_limit: Vec<Beside>,
    /// What went wrong in the others.
    pub failures: Vec<String>,
}

/// Medians and spreads over the repetitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// At saturation.
    pub packets_per_second: Spread,
    /// In some run the load could not be raised further: saturation is at least this.
    pub load_limited: bool,
    /// How busy the worker was at saturation, 0 to 1.
    pub worker_busy: Spread,
    /// How busy the load's core was at saturation, 0 to 1.
    pub load_busy: Spread,
    /// Processor nanoseconds of the worker a packet, at saturation.
    pub ns_full: Spread,
    /// The same at half of it.
    pub ns_half: Spread,
    /// Microseconds at half load; half of the packets were faster.
    pub p50: Option<Spread>,
    /// 99 % were.
    pub p99: Option<Spread>,
    /// 99.9 % were.
    pub p999: Option<Spread>,
    /// At the load that was the same for all workers, where there are several.
    #[serde(default)]
    pub same_load: Option<same_load::Summary>,
    /// Bytes resident after saturation; `None` for the control.
    pub memory: Option<Spread>,
}

impl Outcome {
    /// Of all runs of one contender in one case.
    #[must_use]
    pub fn new(
        contender: String,
        case: Case,
        results: Vec<Result<Run, String>>,
        calls_per_packet: Option<f64>,
    ) -> Self {
        let (mut runs, mut failures) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(run) => runs.push(run),
                Err(failure) => failures.push(failure),
            }
        }
        let summary = if failures.is_empty() { Summary::of(&runs) } else { None };
        let (same_load, beside_limit) = (None, Vec::new());
        Self { contender, case, summary, calls_per_packet, runs, same_load, beside_limit, failures }
    }

    /// What came of the same load for all. Who has failed there has no result at all.
    pub fn add_same_load(&mut self, result: Result<SameLoad, String>) {
        match result {
            Ok(same_load) => {
                if let Some(summary) = &mut self.summary {
                    summary.same_load = Some(same_load.summary());
                }
                self.same_load = Some(same_load);
            }
            Err(failure) => {
                self.summary = None;
                self.failures.push(failure);
            }
        }
    }

    /// What came of the turns beside the limit. Who has failed there has no result at all.
    pub fn add_distance(&mut self, result: Result<Vec<Beside>, String>) {
        match result {
            Ok(turns) => self.beside_limit = turns,
            Err(failure) => {
                self.summary = None;
                self.failures.push(failure);
            }
        }
    }
}

impl Summary {
    /// Of runs; `None` of none.
    #[must_use]
    pub fn of(runs: &[Run]) -> Option<Self> {
        let spread = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(value));
        let optional = |value: &dyn Fn(&Run) -> Option<f64>| Spread::of(runs.iter().filter_map(value));
        Some(Self {
            packets_per_second: spread(&|run| run.packets_per_second)?,
            load_limited: runs.iter().any(|run| run.load_limited),
            worker_busy: spread(&|run| run.full.worker_busy)?,
            load_busy: spread(&|run| run.full.load_busy)?,
            ns_full: spread(&|run| run.full.worker_ns_per_packet)?,
            ns_half: spread(&|run| run.half.worker_ns_per_packet)?,
            p50: optional(&|run| Some(run.half.latency?.p50)),
            p99: optional(&|run| Some(run.half.latency?.p99)),
            p999: optional(&|run| Some(run.half.latency?.p999)),
            same_load: None,
            memory: optional(&|run| Some(run.memory?.now as f64)),
        })
    }

    /// Bytes resident after a while of the load that was the same for all workers; `None` where there was none.
    #[must_use]
    pub fn memory_at_same_load(&self) -> Option<f64> {
        self.same_load.as_ref()?.memory.map(|memory| memory as f64)
    }
}

impl Report {
    /// Whether every contender has done its work in every case.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let failures = self.outcomes.iter().map(|outcome| &outcome.failures);
        failures.chain(self.growth.iter().map(|growth| &growth.failures)).all(Vec::is_empty)
    }

    /// The result of a contender in a case, if it has one.
    #[must_use]
    pub fn summary(&self, contender: &str, case: &Case) -> Option<&Summary> {
        let outcome = self.outcomes.iter().find(|outcome| outcome.contender == contender && outcome.case == *case);
        outcome?.summary.as_ref()
    }

    /// Each case once: kinds of traffic in the order in which they were run, and the cases of each by mode and by the number of
    /// receivers, whenever they were added.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for outcome in &self.outcomes {
            if !cases.contains(&outcome.case) {
                cases.push(outcome.case);
            }
        }
        let kinds: Vec<&str> = cases.iter().map(Case::kind).collect();
        let place = |case: &Case| kinds.iter().position(|kind| *kind == case.kind());
        cases.sort_by_key(|case| (place(case), case.mode, case.audience.sockets()));
        cases
    }

    /// The limit of a case: the median of each part.
    #[must_use]
    pub fn limit(&self, case: &Case) -> Option<Limit> {
        self.limit_by(case, |spread| spread.median)
    }

    /// What no worker can be below in a case, in nanoseconds a packet: the cheapest sending of all, the cipher, and a packet's share of
    /// the cheapest receiving, each the least that was measured in any repetition. None where it wasn't measured.
    #[must_use]
    pub fn floor(&self, case: &Case) -> Option<f64> {
        let least = self.limit_by(case, |spread| spread.min)?;
        let send_ns = least.send_ns.min(least.longest_trains_ns?);
        Limit { send_ns, ..least }.with_receiving(case.audience)
    }

    fn limit_by(&self, case: &Case, choose: fn(Spread) -> f64) -> Option<Limit> {
        let (_, limits) = self.limits.iter().find(|(limited, _)| limited == case)?;
        let of = |part: fn(&Limit) -> Option<f64>| Spread::of(limits.iter().filter_map(part)).map(choose);
        Some(Limit {
            send_ns: of(|limit| Some(limit.send_ns))?,
            longest_trains_ns: of(|limit| limit.longest_trains_ns),
            cipher_ns: of(|limit| Some(limit.cipher_ns))?,
            receive_ns: of(|limit| limit.receive_ns),
        })
    }

    /// Reads what an earlier run has written.
    ///
    /// # Errors
    /// The file isn't there, or no such results.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
        let report: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} has no results of bench-forward", path.display()))?;
        Ok(report.summarised())
    }

    /// With medians and intervals of the turns as they are made now: older results have others.
    fn summarised(mut self) -> Self {
        for outcome in &mut self.outcomes {
            if let (Some(summary), Some(same_load)) = (&mut outcome.summary, &outcome.same_load) {
                summary.same_load = Some(same_load.summary());
            }
        }
        self
    }

    /// Takes over what an earlier run has measured of other cases, or of other contenders.
    ///
    /// # Errors
    /// It was another machine, or another commit: then they aren't comparable.
    pub fn add(&mut self, earlier: Self) -> Result<()> {
        // Results that were written into the work tree are changes of it.
        let same = |report: &Self| report.machine.summary().replace(" with local changes", "");
        if same(&earlier) != same(self) {
            bail!(
                "the results so far are of another machine or commit ({}, now {}): write to another file",
                earlier.machine.summary(),
                self.machine.summary()
            );
        }
        let new = |outcome: &Outcome| {
            !self.outcomes.iter().any(|own| own.contender == outcome.contender && own.case == outcome.case)
        };
        let mut outcomes: Vec<Outcome> = earlier.outcomes.into_iter().filter(new).collect();
        outcomes.append(&mut self.outcomes);
        // A case's contenders stay together.
        let mut cases: Vec<Case> = Vec::new();
        for outcome in &outcomes {
            if !cases.contains(&outcome.case) {
                cases.push(outcome.case);
            }
        }
        outcomes.sort_by_key(|outcome| cases.iter().position(|&case| case == outcome.case));
        self.outcomes = outcomes;
        let new = |growth: &Growth| !self.growth.iter().any(|own| own.is_of_same(growth));
        let mut growth: Vec<Growth> = earlier.growth.into_iter().filter(new).collect();
        growth.append(&mut self.growth);
        self.growth = growth;
        for limit in earlier.limits {
            if !self.limits.iter().any(|(case, _)| *case == limit.0) {
                self.limits.push(limit);
            }
        }
        // The first one stays the one that is compared with.
        let own = std::mem::replace(&mut self.contenders, earlier.contenders);
        for contender in own {
            if !self.contenders.iter().any(|one| one.name == contender.name) {
                self.contenders.push(contender);
            }
        }
        self.repetitions = self.repetitions.min(earlier.repetitions);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::growth::tests::{rooms, same_load};
    use crate::measure::{Point, TOLERATED_LOSS};
    use crate::traffic::Pattern;
    use crate::workload::Mode;

    pub(crate) const CASE: Case = Case::one_to(10, Mode::Plain, Pattern::Even);

    const LIMIT: Limit =
        Limit { send_ns: 600.0, longest_trains_ns: Some(400.0), cipher_ns: 200.0, receive_ns: Some(2_000.0) };

    pub(crate) fn report(outcomes: Vec<Outcome>) -> Report {
        Report {
            machine: Machine::describe(),
            cores: Cores { worker: 1, generator: 0, receiver: 0 },
            receive_trains: false,
            tolerated_loss: TOLERATED_LOSS,
            durations: Durations::QUICK,
            same_load: Some(Schedule::QUICK),
            distances: Some(distance::Schedule::QUICK),
            repetitions: 3,
            contenders: ["good", "bad"]
                .map(|name| Contender {
                    name: name.to_owned(),
                    program: None,
                    arguments: Vec::new(),
                    modes: vec![Mode::Plain],
                })
                .to_vec(),
            absent: Vec::new(),
            limits: vec![(CASE, vec![LIMIT])],
            outcomes,
            growth: Vec::new(),
        }
    }

    pub(crate) fn run(packets_per_second: f64) -> Run {
        let point = Point {
            packets_per_second,
            loss: 0.0,
            worker_ns_per_packet: 1_000.0,
            worker_busy: 1.0,
            load_busy: 0.5,
            latency: None,
        };
        Run {
            packets_per_second,
            load_limited: false,
            full: point,
            half: point,
            memory_idle: None,
            memory: None,
            packets_checked: 1,
            strays: 0,
        }
    }

    #[test]
    fn what_was_measured_before_is_kept_and_what_was_measured_again_is_replaced() {
        let outcome = |contender: &str, consumers, rate| {
            let case = Case::one_to(consumers, Mode::Plain, Pattern::Even);
            Outcome::new(contender.to_owned(), case, vec![Ok(run(rate))], None)
        };
        let growth = |contender: &str, mode, far| {
            let results = vec![Ok(same_load(&[100.0])), Ok(same_load(&[far]))];
            Growth::new(contender.to_owned(), vec![rooms(1, mode), rooms(9, mode)], results)
        };
        let mut earlier = report(vec![outcome("good", 10, 1e3), outcome("bad", 10, 2e3), outcome("good", 50, 3e3)]);
        earlier.growth = [Mode::Plain, Mode::AesGcm].map(|mode| growth("good", mode, 110.0)).to_vec();
        // As it was written and read again.
        let earlier: Report = serde_json::from_str(&serde_json::to_string(&earlier).unwrap()).unwrap();
        let mut report = report(vec![outcome("good", 50, 30e3), outcome("bad", 50, 40e3)]);
        report.growth = vec![growth("good", Mode::Plain, 120.0)];
        report.add(earlier).unwrap();
        let grown: Vec<(Mode, f64)> = report
            .growth
            .iter()
            .map(|growth| (growth.cases[0].mode, growth.costs()[1].1[0].unwrap().times.median))
            .collect();
        assert_eq!(grown, [(Mode::AesGcm, 1.1), (Mode::Plain, 1.2)]);
        let all: Vec<(&str, usize, f64)> = report
            .outcomes
            .iter()
            .map(|outcome| {
                (outcome.contender.as_str(), outcome.case.audience.copies(), outcome.runs[0].packets_per_second)
            })
            .collect();
        assert_eq!(all, [("good", 10, 1e3), ("bad", 10, 2e3), ("good", 50, 30e3), ("bad", 50, 40e3)]);
    }

    #[test]
    fn cases_that_were_added_stand_where_they_belong() {
        let case = |consumers, mode, pattern| Case::one_to(consumers, mode, pattern);
        let (even, burst) = (Pattern::Even, Pattern::Burst);
        let run = [
            case(50, Mode::AesGcm, even),
            case(1, Mode::Plain, burst),
            case(200, Mode::Plain, even),
            case(50, Mode::Plain, even),
        ];
        let outcome = |case| Outcome::new("good".to_owned(), case, vec![Ok(self::run(1e3))], None);
        assert_eq!(report(run.map(outcome).into()).cases(), [run[3], run[2], run[0], run[1]]);
    }

    #[test]
    fn the_limit_is_of_medians_and_the_floor_of_the_least() {
        let mut report = report(vec![Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None)]);
        let other =
            Limit { send_ns: 700.0, longest_trains_ns: Some(500.0), cipher_ns: 100.0, receive_ns: Some(3_000.0) };
        report.limits[0].1.push(other);
        let limit = report.limit(&CASE).unwrap();
        assert_eq!(limit.without_receiving(), 650.0 + 150.0);
        assert_eq!(limit.with_receiving(CASE.audience), Some(800.0 + 250.0));
        assert_eq!(report.floor(&CASE), Some(400.0 + 100.0 + 200.0));
        // Where messages are cheaper than trains, they are what no worker can be below.
        report.limits[0].1[0].send_ns = 300.0;
        assert_eq!(report.floor(&CASE), Some(300.0 + 100.0 + 200.0));
    }
}
