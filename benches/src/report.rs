//! Results: JSON for the record, tables for the terminal and for the book.

use crate::case::Case;
use crate::compare;
use crate::limit::Limit;
use crate::machine::Cores;
use crate::measure::{Durations, Run};
use crate::same_load::{self, Figures, SameLoad, Schedule};
use crate::session::Contender;
use crate::stats::Spread;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use stage::Machine;
use std::fmt::Write as _;
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
    /// How often each case was run; contenders alternate.
    pub repetitions: usize,
    /// Who took part.
    pub contenders: Vec<Contender>,
    /// Who, or what, could not, and why.
    pub absent: Vec<String>,
    /// What the kernel's sending and the cipher alone take, by case: a measurement for each repetition.
    pub limits: Vec<(Case, Vec<Limit>)>,
    /// What came of it.
    pub outcomes: Vec<Outcome>,
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
        Self { contender, case, summary, calls_per_packet, runs, same_load: None, failures }
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
}

impl Report {
    /// Whether every contender has done its work in every case.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failures.is_empty())
    }

    /// The result of a contender in a case, if it has one.
    #[must_use]
    pub fn summary(&self, contender: &str, case: &Case) -> Option<&Summary> {
        let outcome = self.outcomes.iter().find(|outcome| outcome.contender == contender && outcome.case == *case);
        outcome?.summary.as_ref()
    }

    /// Each case once, in the order in which they were run.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for outcome in &self.outcomes {
            if !cases.contains(&outcome.case) {
                cases.push(outcome.case);
            }
        }
        cases
    }

    /// The limit of a case, in nanoseconds a packet: medians of sending and of the cipher.
    #[must_use]
    pub fn limit(&self, case: &Case) -> Option<Limit> {
        let (_, limits) = self.limits.iter().find(|(limited, _)| limited == case)?;
        Some(Limit {
            send_ns: Spread::of(limits.iter().map(|limit| limit.send_ns))?.median,
            cipher_ns: Spread::of(limits.iter().map(|limit| limit.cipher_ns))?.median,
        })
    }

    /// Reads what an earlier run has written.
    ///
    /// # Errors
    /// The file isn't there, or no such results.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} has no results of bench-forward", path.display()))
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

    /// The tables, a kind of traffic each.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Medians of {} repetitions, the smallest and the greatest in brackets. Saturation is the highest load with less than \
             {} % loss; ≥: the load's core had no more to give. The limit is what the kernel's cheapest sending and the cipher take \
             alone; how many times that a worker takes stands behind it. CPU ratio: to the first worker's, at saturation. Latencies are \
             those at half of a worker's own saturation.{}\n",
            self.machine.summary(),
            self.repetitions,
            self.tolerated_loss * 100.0,
            self.same_load.map(about_same_load).unwrap_or_default()
        );
        let mut kinds: Vec<&str> = Vec::new();
        for case in self.cases() {
            if !kinds.contains(&case.kind()) {
                kinds.push(case.kind());
            }
        }
        for kind in kinds {
            self.write_kind(&mut text, kind);
        }
        self.write_losses(&mut text);
        text += &compare::behind(self);
        for absent in &self.absent {
            let _ = write!(text, "\nNot measured: {absent}.\n");
        }
        for outcome in &self.outcomes {
            for failure in &outcome.failures {
                let _ = write!(text, "\nFAILED: {}, {}: {failure}.\n", outcome.contender, outcome.case);
            }
        }
        text
    }

    /// Turns at the same load that lost packets.
    fn write_losses(&self, text: &mut String) {
        for outcome in &self.outcomes {
            let Some(same_load) = outcome.summary.as_ref().and_then(|summary| summary.same_load.as_ref()) else {
                continue;
            };
            let conditions = [("kept awake", &same_load.awake), ("that may sleep", &same_load.asleep)];
            for (condition, figures) in conditions {
                let Some(Figures { turns, lossy: lossy @ 1.., .. }) = figures else { continue };
                // Writing to a String doesn't fail.
                let _ = write!(
                    text,
                    "\nLost packets at the same load: {}, {}, in {lossy} of {turns} turns with cores {condition}.\n",
                    outcome.contender, outcome.case
                );
            }
        }
    }

    fn write_kind(&self, text: &mut String, kind: &str) {
        let cases: Vec<Case> = self.cases().into_iter().filter(|case| case.kind() == kind).collect();
        let Some(first) = cases.first() else { return };
        // Writing to a String doesn't fail.
        let _ = write!(
            text,
            "\n**{}: packets of {} bytes**\n\n\
             | | | CPU ns a packet, full | half load | limit | × limit, full, half | CPU ratio | thousand packets/s | busy % worker, load | \
             p50, p99, p99.9 µs | p99 µs, same load | cores may sleep | calls a packet | MiB |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
            title(kind),
            first.traffic.packet_len
        );
        for case in cases {
            let reference = self.contenders.iter().find_map(|contender| self.summary(&contender.name, &case));
            let limit = self.limit(&case);
            for outcome in self.outcomes.iter().filter(|outcome| outcome.case == case) {
                let cells = cells(outcome, reference, limit);
                let (audience, mode) = (case.audience, case.mode.name());
                let _ = writeln!(text, "| {audience}, {mode} | {} | {} |", outcome.contender, cells.join(" | "));
            }
        }
    }
}

/// What the columns of the same load are.
fn about_same_load(schedule: Schedule) -> String {
    format!(
        " The same load is half of the lowest saturation of all workers, for each in {} turns of {} s that alternate: the median of the \
         turns' p99, the quartiles in brackets, with cores that are kept awake, and, in the next column, with cores that may sleep.",
        schedule.turns, schedule.seconds
    )
}

fn title(kind: &str) -> &str {
    match kind {
        "even" => "Even",
        "burst" => "Bursts, as of video",
        "audio" => "Audio",
        "rooms" => "Rooms, video in bursts",
        other => other,
    }
}

fn cells(outcome: &Outcome, reference: Option<&Summary>, limit: Option<Limit>) -> Vec<String> {
    const COLUMNS: usize = 12;
    let Some(summary) = &outcome.summary else {
        let mut cells = vec![String::new(); COLUMNS];
        cells[0] = "FAILED".to_owned();
        return cells;
    };
    let none = || "–".to_owned();
    let limit = limit.map(|limit| limit.send_ns + limit.cipher_ns);
    let at_least = if summary.load_limited { "≥ " } else { "" };
    let microseconds = |spread: Option<Spread>| spread.map_or_else(none, |spread| format!("{:.0}", spread.median));
    let same_load = |figures: fn(&same_load::Summary) -> Option<&Figures>| {
        let figures = summary.same_load.as_ref().and_then(figures);
        figures.map_or_else(none, |figures| figures.p99.show(1.0, 0))
    };
    vec![
        summary.ns_full.show(1.0, 0),
        summary.ns_half.show(1.0, 0),
        limit.map_or_else(none, |limit| format!("{limit:.0}")),
        limit.map_or_else(none, |limit| {
            format!("{:.2}, {:.2}", summary.ns_full.median / limit, summary.ns_half.median / limit)
        }),
        reference.map_or_else(none, |reference| format!("{:.2}", summary.ns_full.median / reference.ns_full.median)),
        format!("{at_least}{}", summary.packets_per_second.show(1e3, 0)),
        format!("{:.0}, {:.0}", summary.worker_busy.median * 100.0, summary.load_busy.median * 100.0),
        [summary.p50, summary.p99, summary.p999].map(microseconds).join(", "),
        same_load(|load| load.awake.as_ref()),
        same_load(|load| load.asleep.as_ref()),
        outcome.calls_per_packet.map_or_else(none, |calls| format!("{calls:.3}")),
        summary.memory.map_or_else(none, |memory| format!("{:.0}", memory.median / 1_048_576.0)),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::{Point, TOLERATED_LOSS};
    use crate::same_load::tests::turn;
    use crate::traffic::Pattern;
    use crate::workload::Mode;

    pub(crate) const CASE: Case = Case::one_to(10, Mode::Plain, Pattern::Even);

    pub(crate) fn report(outcomes: Vec<Outcome>) -> Report {
        Report {
            machine: Machine::describe(),
            cores: Cores { worker: 1, generator: 0, receiver: 0 },
            receive_trains: false,
            tolerated_loss: TOLERATED_LOSS,
            durations: Durations::QUICK,
            same_load: Some(Schedule::QUICK),
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
            limits: vec![(CASE, vec![Limit { send_ns: 600.0, cipher_ns: 200.0 }])],
            outcomes,
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
        }
    }

    #[test]
    fn a_contender_that_failed_once_has_no_result() {
        let results = vec![Ok(run(200e3)), Ok(run(100e3)), Ok(run(300e3))];
        let good = Outcome::new("good".to_owned(), CASE, results, Some(0.5));
        let results = vec![Ok(run(900e3)), Err("the worker has ended".to_owned())];
        let bad = Outcome::new("bad".to_owned(), CASE, results, None);
        let report = report(vec![good, bad]);
        assert!(!report.is_clean());
        assert_eq!(report.summary("good", &CASE).unwrap().packets_per_second.median, 200e3);
        assert!(report.summary("bad", &CASE).is_none());
        let table = report.markdown();
        assert!(table.contains("| 800 | 1.25, 1.25 | 1.00 | 200 (100–300) |") && !table.contains("900"), "{table}");
        assert!(table.contains("FAILED: bad, 1 to 10, plain, even: the worker has ended"), "{table}");
    }

    fn same_load(awake: &[(f64, u64)], asleep: &[(f64, u64)]) -> SameLoad {
        let turns = |turns: &[(f64, u64)]| turns.iter().map(|&(p99, lost)| turn(p99, lost)).collect();
        SameLoad { packets_per_second: 50e3, awake: turns(awake), asleep: turns(asleep), memory: None }
    }

    #[test]
    fn the_same_load_has_two_columns_and_its_losses_are_said() {
        let mut good = Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None);
        good.add_same_load(Ok(same_load(&[(10.0, 0), (20.0, 5), (30.0, 7)], &[(300.0, 0), (400.0, 0), (500.0, 0)])));
        let mut bad = Outcome::new("bad".to_owned(), CASE, vec![Ok(run(100e3))], None);
        bad.add_same_load(Err("at the same load: the worker has ended".to_owned()));
        let report = report(vec![good, bad]);
        let table = report.markdown();
        assert!(table.contains("| 20 (15–25) | 400 (350–450) |"), "{table}");
        assert!(
            table.contains("in 2 of 3 turns with cores kept awake") && !table.contains("cores that may sleep.\n\nLost"),
            "{table}"
        );
        // It has results of what it did before it died, which count no more.
        assert!(report.summary("bad", &CASE).is_none() && !report.is_clean());
        assert!(table.contains("FAILED: bad, 1 to 10, plain, even: at the same load: the worker has ended"), "{table}");
        // As it is written and read again.
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again.markdown(), table);
    }

    #[test]
    fn results_from_before_there_was_a_phase_for_it_have_a_table_without() {
        let report = report(vec![Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None)]);
        let mut old = serde_json::to_value(&report).unwrap();
        let removed = [
            old.as_object_mut().unwrap().remove("same_load"),
            old["outcomes"][0].as_object_mut().unwrap().remove("same_load"),
            old["outcomes"][0]["summary"].as_object_mut().unwrap().remove("same_load"),
        ];
        assert!(removed.iter().all(Option::is_some));
        old["outcomes"][0]["summary"]["p99_shared"] = serde_json::json!({ "median": 1.0, "min": 1.0, "max": 1.0 });
        let table = serde_json::from_value::<Report>(old).unwrap().markdown();
        assert!(table.contains("| – | – | – | – |") && !table.contains("The same load is"), "{table}");
    }

    #[test]
    fn what_was_measured_before_is_kept_and_what_was_measured_again_is_replaced() {
        let outcome = |contender: &str, consumers, rate| {
            let case = Case::one_to(consumers, Mode::Plain, Pattern::Even);
            Outcome::new(contender.to_owned(), case, vec![Ok(run(rate))], None)
        };
        let earlier = report(vec![outcome("good", 10, 1e3), outcome("bad", 10, 2e3), outcome("good", 50, 3e3)]);
        // As it was written and read again.
        let earlier: Report = serde_json::from_str(&serde_json::to_string(&earlier).unwrap()).unwrap();
        let mut report = report(vec![outcome("good", 50, 30e3), outcome("bad", 50, 40e3)]);
        report.add(earlier).unwrap();
        let all: Vec<(&str, usize, f64)> = report
            .outcomes
            .iter()
            .map(|outcome| {
                (outcome.contender.as_str(), outcome.case.audience.copies(), outcome.runs[0].packets_per_second)
            })
            .collect();
        assert_eq!(all, [("good", 10, 1e3), ("bad", 10, 2e3), ("good", 50, 30e3), ("bad", 50, 40e3)]);
    }
}
