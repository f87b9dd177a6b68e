//! Results: JSON for the record, a table for the terminal.

use crate::machine::Cores;
use crate::measure::{Durations, Run, TOLERATED_LOSS};
use crate::session::{Case, Contender};
use crate::stats::Spread;

use anyhow::{Context, Result};
use serde::Serialize;
use stage::Machine;
use std::fs;
use std::path::Path;

/// All of one invocation.
#[derive(Debug, Serialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// Where each process ran.
    pub cores: Cores,
    /// Whether receivers took trains of datagrams as they were.
    pub receive_trains: bool,
    /// Bytes of an RTP packet.
    pub packet_len: usize,
    /// The loss that counts as none.
    pub tolerated_loss: f64,
    /// How long each part took.
    pub durations: Durations,
    /// How often each case was run; contenders alternate.
    pub repetitions: usize,
    /// Who took part.
    pub contenders: Vec<Contender>,
    /// Who could not, and why.
    pub absent: Vec<String>,
    /// What came of it.
    pub outcomes: Vec<Outcome>,
}

/// A contender's result in a case.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub contender: String,
    /// The case.
    pub case: Case,
    /// Medians over all runs; `None` when one of them has failed.
    pub summary: Option<Summary>,
    /// The runs that went well.
    pub runs: Vec<Run>,
    /// What went wrong in the others.
    pub failures: Vec<String>,
}

/// Medians and spreads over the repetitions.
#[derive(Debug, Serialize)]
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
    /// Bytes resident after saturation; `None` for the control.
    pub memory: Option<Spread>,
}

impl Outcome {
    /// Of all runs of one contender in one case.
    #[must_use]
    pub fn new(contender: String, case: Case, results: Vec<Result<Run, String>>) -> Self {
        let (mut runs, mut failures) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(run) => runs.push(run),
                Err(failure) => failures.push(failure),
            }
        }
        let summary = if failures.is_empty() { Summary::of(&runs) } else { None };
        Self { contender, case, summary, runs, failures }
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

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, json).with_context(|| format!("{} can't be written", path.display()))
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![
            [
                "",
                "thousand packets/s",
                "busy %: worker/load",
                "ns/packet, full",
                "ns/packet, half",
                "p50 / p99 / p99.9 µs, half",
                "MiB",
                "CPU ratio",
            ]
            .map(str::to_owned),
        ];
        for case in self.cases() {
            rows.push(first_cells([format!("{case}:")]));
            let reference = self.contenders.iter().find_map(|contender| self.summary(&contender.name, &case));
            for outcome in self.outcomes.iter().filter(|outcome| outcome.case == case) {
                rows.push(row(outcome, reference));
            }
        }
        let mut widths = [0; COLUMNS];
        for row in &rows {
            // A line that stands for a whole case may run over.
            if row[1..].iter().all(String::is_empty) {
                continue;
            }
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = format!("{}\n", self.machine.summary());
        for row in &rows {
            let mut line = format!("{:<width$}", row[0], width = widths[0]);
            for (cell, width) in row.iter().zip(widths).skip(1) {
                line += &format!("  {cell:>width$}");
            }
            text += line.trim_end();
            text.push('\n');
        }
        text += &format!(
            "\nMedian (smallest to greatest) of {} repetitions; saturation is the highest load with less than {} % loss.\n\
             ≥: the load's core had no more to give. CPU ratio: against the first contender, at saturation.\n",
            self.repetitions,
            TOLERATED_LOSS * 100.0
        );
        for absent in &self.absent {
            text += &format!("Not measured: {absent}\n");
        }
        for outcome in &self.outcomes {
            for failure in &outcome.failures {
                text += &format!("FAILED: {}, {}: {failure}\n", outcome.contender, outcome.case);
            }
        }
        text
    }
}

const COLUMNS: usize = 8;

type Row = [String; COLUMNS];

/// A row whose other cells are empty.
fn first_cells<const N: usize>(cells: [String; N]) -> Row {
    let mut row = Row::default();
    for (cell, first) in row.iter_mut().zip(cells) {
        *cell = first;
    }
    row
}

fn row(outcome: &Outcome, reference: Option<&Summary>) -> Row {
    let name = format!("  {}", outcome.contender);
    let Some(summary) = &outcome.summary else {
        return first_cells([name, "FAILED".to_owned()]);
    };
    let at_least = if summary.load_limited { "≥ " } else { "" };
    let microseconds = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| format!("{:.0}", spread.median));
    [
        name,
        format!("{at_least}{}", spread(summary.packets_per_second, 1e3)),
        format!("{:.0}/{:.0}", summary.worker_busy.median * 100.0, summary.load_busy.median * 100.0),
        spread(summary.ns_full, 1.0),
        spread(summary.ns_half, 1.0),
        [summary.p50, summary.p99, summary.p999].map(microseconds).join(" / "),
        summary.memory.map_or("-".to_owned(), |memory| format!("{:.0}", memory.median / 1_048_576.0)),
        reference
            .map_or("-".to_owned(), |reference| format!("{:.2}", summary.ns_full.median / reference.ns_full.median)),
    ]
}

fn spread(spread: Spread, unit: f64) -> String {
    format!("{:.0} ({:.0}-{:.0})", spread.median / unit, spread.min / unit, spread.max / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Point;
    use crate::workload::{Mode, PACKET_LEN, Pattern};

    fn run(packets_per_second: f64) -> Run {
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
        let case = Case { consumers: 10, mode: Mode::Plain, pattern: Pattern::Even };
        let good = Outcome::new("good".to_owned(), case, vec![Ok(run(200e3)), Ok(run(100e3)), Ok(run(300e3))]);
        let bad = Outcome::new("bad".to_owned(), case, vec![Ok(run(900e3)), Err("the worker has ended".to_owned())]);
        let report = Report {
            machine: Machine::describe(),
            cores: Cores { worker: 1, generator: 0, receiver: 0 },
            receive_trains: false,
            packet_len: PACKET_LEN,
            tolerated_loss: TOLERATED_LOSS,
            durations: Durations::QUICK,
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
            outcomes: vec![good, bad],
        };
        assert!(!report.is_clean());
        assert_eq!(report.summary("good", &case).unwrap().packets_per_second.median, 200e3);
        assert!(report.summary("bad", &case).is_none());
        let table = report.table();
        assert!(table.contains("200 (100-300)") && !table.contains("900"), "{table}");
        assert!(table.contains("FAILED: bad, 1 to 10, plain, even: the worker has ended"), "{table}");
    }
}
