//! The results, as JSON for programs and as tables for the book.

use super::forwarder::Contender;
use super::ratios;
use super::receiving::Receiving;
use crate::machine::Cores;
use crate::measure::{Durations, Run};
use crate::report::Summary;
use crate::stats::Spread;
use crate::traffic::Pattern;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use stage::Machine;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Bytes of a packet's UDP payload.
    pub packet_len: usize,
    /// How many get each packet.
    pub subscribers: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1 to {}, {} bytes", self.subscribers, self.packet_len)
    }
}

/// Everything there is to know of one invocation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// Which process ran where.
    pub cores: Cores,
    /// How packets came.
    pub pattern: Pattern,
    /// The loss that counts as none, 0 to 1.
    pub tolerated_loss: f64,
    /// How long was measured, in seconds.
    pub durations: Durations,
    /// How often.
    pub repetitions: usize,
    /// Who took part.
    pub contenders: Vec<Contender>,
    /// Who, or what, could not, and why.
    pub absent: Vec<String>,
    /// What receiving alone costs each contender.
    pub receiving: Vec<ReceivingOutcome>,
    /// A contender in a case each, in the order of the tables.
    pub outcomes: Vec<Outcome>,
}

/// One contender's one run of one case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// Saturation and half load.
    #[serde(flatten)]
    pub run: Run,
    /// System calls for each packet that arrived, at half load, counted apart from the timing.
    pub calls_per_packet: Option<f64>,
    /// Why they were not counted.
    pub uncounted: Option<String>,
    /// Allocations for each packet that arrived, at half load; none for the control.
    pub allocations_per_packet: Option<f64>,
}

/// All runs of one contender in one case.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub contender: String,
    /// Its case.
    #[serde(flatten)]
    pub place: Place,
    /// Medians and spreads; none when a run has failed.
    pub summary: Option<Summary>,
    /// System calls a packet.
    pub calls_per_packet: Option<Spread>,
    /// Allocations a packet.
    pub allocations_per_packet: Option<Spread>,
    /// What was measured.
    pub runs: Vec<Measured>,
    /// What went wrong.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Of all its runs.
    #[must_use]
    pub fn new(contender: String, place: Place, results: Vec<Result<Measured, String>>) -> Self {
        let (measured, failures) = divide(results);
        let runs: Vec<Run> = measured.iter().map(|measured| measured.run.clone()).collect();
        let summary = if failures.is_empty() { Summary::of(&runs) } else { None };
        let calls_per_packet = Spread::of(measured.iter().filter_map(|measured| measured.calls_per_packet));
        let allocations_per_packet = Spread::of(measured.iter().filter_map(|measured| measured.allocations_per_packet));
        Self { contender, place, summary, calls_per_packet, allocations_per_packet, runs: measured, failures }
    }
}

/// All runs of one contender that received only.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReceivingOutcome {
    /// Its name.
    pub contender: String,
    /// Bytes of a packet's UDP payload.
    pub packet_len: usize,
    /// What was measured.
    pub runs: Vec<Receiving>,
    /// What went wrong.
    pub failures: Vec<String>,
}

impl ReceivingOutcome {
    /// Of all its runs.
    #[must_use]
    pub fn new(contender: String, packet_len: usize, results: Vec<Result<Receiving, String>>) -> Self {
        let (runs, failures) = divide(results);
        Self { contender, packet_len, runs, failures }
    }

    fn row(&self) -> String {
        let spread = |value: fn(&Receiving) -> f64| Spread::of(self.runs.iter().map(value));
        let all = (
            spread(|run| run.full.ns_per_packet),
            spread(|run| run.half.ns_per_packet),
            spread(|run| run.full.packets_per_second),
            spread(|run| run.full.busy),
            spread(|run| run.full.load_busy),
        );
        let (Some(full), Some(half), Some(rate), Some(busy), Some(load_busy)) = all else {
            return format!("| {} | failed | | | | | |\n", self.contender);
        };
        let calls = Spread::of(self.runs.iter().filter_map(|run| run.calls_per_packet));
        let cells = [
            self.contender.clone(),
            full.show(1.0, 0),
            half.show(1.0, 0),
            counted(calls),
            counted(spread(|run| run.allocations_per_packet)),
            rate.show(1e3, 0),
            format!("{:.0} / {:.0} %", busy.median * 100.0, load_busy.median * 100.0),
        ];
        format!("| {} |\n", cells.join(" | "))
    }
}

fn divide<T>(results: Vec<Result<T, String>>) -> (Vec<T>, Vec<String>) {
    let (mut runs, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(run) => runs.push(run),
            Err(failure) => failures.push(failure),
        }
    }
    (runs, failures)
}

impl Report {
    /// Whether every contender has done its work in every case.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failures.is_empty())
            && self.receiving.iter().all(|outcome| outcome.failures.is_empty())
    }

    /// Each case once, in the order in which they were run.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        distinct(self.outcomes.iter().map(|outcome| outcome.place))
    }

    /// All lengths of packets, in the order in which they were run.
    fn lengths(&self) -> Vec<usize> {
        let receiving = self.receiving.iter().map(|outcome| outcome.packet_len);
        distinct(self.outcomes.iter().map(|outcome| outcome.place.packet_len).chain(receiving))
    }

    /// Reads what a run has written as PATH.json.
    ///
    /// # Errors
    /// The file can't be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let json = fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} holds no results of bench-io", path.display()))
    }

    /// For each length the ratios, and a table for each case; those of the first length in sight and the others folded.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Load: {}; medians of {} repetitions, the smallest and the greatest in brackets.\n",
            self.machine.summary(),
            self.pattern.name(),
            self.repetitions,
        );
        for (index, packet_len) in self.lengths().into_iter().enumerate() {
            let tables = self.tables(packet_len);
            // Writing to a String doesn't fail.
            let _ = if index == 0 {
                write!(text, "\nPackets of {packet_len} bytes:\n{tables}")
            } else {
                write!(text, "\n<details><summary>Packets of {packet_len} bytes</summary>\n{tables}\n</details>\n")
            };
        }
        for absent in &self.absent {
            let _ = write!(text, "\nNot measured: {absent}.\n");
        }
        for outcome in &self.outcomes {
            for failure in &outcome.failures {
                let _ = write!(text, "\nFailed: {}, {}: {failure}.\n", outcome.contender, outcome.place);
            }
        }
        for outcome in &self.receiving {
            for failure in &outcome.failures {
                let _ = write!(
                    text,
                    "\nFailed: {}, receiving {} bytes: {failure}.\n",
                    outcome.contender, outcome.packet_len
                );
            }
        }
        text
    }

    fn tables(&self, packet_len: usize) -> String {
        let mut text = ratios::table(self, packet_len);
        let mut receiving = self.receiving.iter().filter(|outcome| outcome.packet_len == packet_len).peekable();
        if receiving.peek().is_some() {
            text += "\n**1 to 0**: received, and sent to nobody\n\n\
                 | driver | CPU ns a packet | at half load | system calls a packet | allocations a packet | thousand packets/s | \
                 busy: it / the load |\n|---|--:|--:|--:|--:|--:|--:|\n";
            receiving.for_each(|outcome| text += &outcome.row());
        }
        for place in self.places().into_iter().filter(|place| place.packet_len == packet_len) {
            let _ = write!(
                text,
                "\n**1 to {}**\n\n\
                 | driver | CPU ns a packet | at half load | system calls a packet | allocations a packet | thousand packets/s | \
                 busy: it / the load | µs at half load: p50 / p99 / p99.9 |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
                place.subscribers
            );
            self.outcomes.iter().filter(|outcome| outcome.place == place).for_each(|outcome| text += &row(outcome));
        }
        text
    }
}

/// Each once, in the order of their first appearance.
pub(super) fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

fn row(outcome: &Outcome) -> String {
    let Some(summary) = &outcome.summary else { return format!("| {} | failed | | | | | | |\n", outcome.contender) };
    let at_least = if summary.load_limited { "≥ " } else { "" };
    let microseconds = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| format!("{:.0}", spread.median));
    let cells = [
        outcome.contender.clone(),
        summary.ns_full.show(1.0, 0),
        summary.ns_half.show(1.0, 0),
        counted(outcome.calls_per_packet),
        counted(outcome.allocations_per_packet),
        format!("{at_least}{}", summary.packets_per_second.show(1e3, 0)),
        format!("{:.0} / {:.0} %", summary.worker_busy.median * 100.0, summary.load_busy.median * 100.0),
        [summary.p50, summary.p99, summary.p999].map(microseconds).join(" / "),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// With enough digits to tell small numbers apart.
fn counted(spread: Option<Spread>) -> String {
    match spread.map(|spread| spread.median) {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(..0.0005) => "< 0.001".to_owned(),
        Some(value @ ..0.1) => format!("{value:.3}"),
        Some(value) => format!("{value:.2}"),
    }
}
