//! The results, as JSON for programs and as tables for the book.

use super::forwarder::Contender;
use crate::machine::Cores;
use crate::measure::{Durations, Run};
use crate::output;
use crate::report::Summary;
use crate::stats::Spread;
use crate::traffic::Pattern;
use anyhow::Result;
use serde::Serialize;
use stage::Machine;
use std::fmt::Write as _;
use std::path::Path;

/// Everything there is to know of one invocation.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// Which process ran where.
    pub cores: Cores,
    /// Bytes of a packet's UDP payload.
    pub packet_len: usize,
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
    /// A contender in a case each, in the order of the tables.
    pub outcomes: Vec<Outcome>,
}

/// One contender's one run of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Saturation and half load.
    #[serde(flatten)]
    pub run: Run,
    /// System calls for each packet that arrived, at half load, counted apart from the timing.
    pub calls_per_packet: Option<f64>,
    /// Why they were not counted.
    pub uncounted: Option<String>,
}

/// All runs of one contender in one case.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub contender: String,
    /// How many got each packet.
    pub subscribers: usize,
    /// Medians and spreads; none when a run has failed.
    pub summary: Option<Summary>,
    /// System calls a packet.
    pub calls_per_packet: Option<Spread>,
    /// What was measured.
    pub runs: Vec<Measured>,
    /// What went wrong.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Of all its runs.
    #[must_use]
    pub fn new(contender: String, subscribers: usize, results: Vec<Result<Measured, String>>) -> Self {
        let (mut measured, mut failures) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(run) => measured.push(run),
                Err(failure) => failures.push(failure),
            }
        }
        let runs: Vec<Run> = measured.iter().map(|measured| measured.run.clone()).collect();
        let summary = if failures.is_empty() { Summary::of(&runs) } else { None };
        let calls_per_packet = Spread::of(measured.iter().filter_map(|measured| measured.calls_per_packet));
        Self { contender, subscribers, summary, calls_per_packet, runs: measured, failures }
    }
}

impl Report {
    /// Whether every contender has done its work in every case.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failures.is_empty())
    }

    /// Each number of subscribers once, in the order in which they were run.
    #[must_use]
    pub fn cases(&self) -> Vec<usize> {
        let mut cases: Vec<usize> = Vec::new();
        for outcome in &self.outcomes {
            if !cases.contains(&outcome.subscribers) {
                cases.push(outcome.subscribers);
            }
        }
        cases
    }

    /// Writes PATH.json and PATH.md.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        output::write(path, self, &[("md", self.markdown())])
    }

    /// A table for each number of subscribers.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Packets of {} bytes, {} load; medians of {} repetitions, the smallest and the greatest in brackets.\n",
            self.machine.summary(),
            self.packet_len,
            self.pattern.name(),
            self.repetitions,
        );
        for subscribers in self.cases() {
            text += &format!(
                "\n**1 to {subscribers}**\n\n\
                 | driver | CPU ns a packet | at half load | system calls a packet | thousand packets/s | busy: it / the load | \
                 µs at half load: p50 / p99 / p99.9 |\n|---|--:|--:|--:|--:|--:|--:|\n"
            );
            for outcome in self.outcomes.iter().filter(|outcome| outcome.subscribers == subscribers) {
                text += &row(outcome);
            }
        }
        for absent in &self.absent {
            // Writing to a String doesn't fail.
            let _ = write!(text, "\nNot measured: {absent}.\n");
        }
        for outcome in &self.outcomes {
            for failure in &outcome.failures {
                let _ = write!(text, "\nFailed: {}, 1 to {}: {failure}.\n", outcome.contender, outcome.subscribers);
            }
        }
        text
    }
}

fn row(outcome: &Outcome) -> String {
    let Some(summary) = &outcome.summary else { return format!("| {} | failed | | | | | |\n", outcome.contender) };
    let at_least = if summary.load_limited { "≥ " } else { "" };
    let microseconds = |spread: Option<Spread>| spread.map_or("-".to_owned(), |spread| format!("{:.0}", spread.median));
    let cells = [
        outcome.contender.clone(),
        summary.ns_full.show(1.0, 0),
        summary.ns_half.show(1.0, 0),
        outcome.calls_per_packet.map_or("-".to_owned(), |calls| digits(calls.median)),
        format!("{at_least}{}", summary.packets_per_second.show(1e3, 0)),
        format!("{:.0} / {:.0} %", summary.worker_busy.median * 100.0, summary.load_busy.median * 100.0),
        [summary.p50, summary.p99, summary.p999].map(microseconds).join(" / "),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// Enough digits to tell small numbers apart.
fn digits(value: f64) -> String {
    if value < 0.1 { format!("{value:.3}") } else { format!("{value:.2}") }
}
