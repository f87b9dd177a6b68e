//! A chapter's results, as JSON for programs, as a table and a picture for the book.

use super::contender::Contender;
use super::pages::{Case, Page};
use crate::bars::{BLUE, Bars, GREEN, GREY, Value};
use crate::machine::Core;
use crate::output;
use crate::stats::{Latency, Spread};
use anyhow::Result;
use serde::Serialize;
use stage::Machine;
use std::fmt::Write as _;
use std::path::Path;

/// Everything there is to know of one chapter's comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The chapter.
    pub chapter: &'static str,
    /// What an operation is called.
    pub operation: &'static str,
    /// What it was measured on.
    pub machine: Machine,
    /// Where the server ran.
    pub server_core: Core,
    /// Where the load ran.
    pub load_core: Core,
    /// How often each case was run; contenders alternate.
    pub repetitions: usize,
    /// A contender in a case each, in the order of the tables.
    pub outcomes: Vec<Outcome>,
}

/// One contender's one run of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// How many operations were measured.
    pub operations: u64,
    /// Processor nanoseconds of the server for each, what it takes without them subtracted.
    pub cpu_ns: f64,
    /// Processor nanoseconds of the run that is subtracted: start, connections, warm-up, end.
    pub without_ns: u64,
    /// Operations a second.
    pub per_second: f64,
    /// How long they took.
    pub latency: Option<Latency>,
    /// Bytes of memory of the server's processes, with all connections open.
    pub memory: u64,
}

/// All runs of one contender in one case.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Who.
    pub contender: Contender,
    /// What.
    pub case: Case,
    /// Why it doesn't take part in it.
    pub absent: Option<&'static str>,
    /// Medians and spreads; none when a run has failed.
    pub summary: Option<Summary>,
    /// What was measured.
    pub runs: Vec<Run>,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// Medians and spreads over the repetitions.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Processor nanoseconds an operation.
    pub cpu_ns: Spread,
    /// Operations a second.
    pub per_second: Spread,
    /// Microseconds; half of the operations were faster.
    pub p50: Spread,
    /// 99 % were.
    pub p99: Spread,
    /// Bytes.
    pub memory: Spread,
}

impl Outcome {
    /// Of all its runs.
    #[must_use]
    pub fn new(contender: Contender, case: Case, results: Vec<Result<Run, String>>) -> Self {
        let (mut runs, mut failures) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(run) => runs.push(run),
                Err(failure) => failures.push(failure),
            }
        }
        let summary = if failures.is_empty() { Summary::of(&runs) } else { None };
        Self { contender, case, absent: contender.refuses(case.work), summary, runs, failures }
    }
}

impl Summary {
    fn of(runs: &[Run]) -> Option<Self> {
        let spread = |value: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(value));
        let latency =
            |value: &dyn Fn(&Latency) -> f64| Spread::of(runs.iter().filter_map(|run| run.latency.as_ref().map(value)));
        Some(Self {
            cpu_ns: spread(&|run| run.cpu_ns)?,
            per_second: spread(&|run| run.per_second)?,
            p50: latency(&|latency| latency.p50)?,
            p99: latency(&|latency| latency.p99)?,
            memory: spread(&|run| run.memory as f64)?,
        })
    }
}

impl Report {
    /// Whether everyone has done all work.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failures.is_empty())
    }

    /// Writes PATH.json, PATH.md and PATH.svg.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self, page: &Page, path: &Path) -> Result<()> {
        output::write(path, self, &[("md", self.markdown(page)), ("svg", self.picture(page))])
    }

    fn outcome(&self, contender: Contender, case: &Case) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.contender == contender && outcome.case.work == case.work)
    }

    /// A table for each case.
    #[must_use]
    pub fn markdown(&self, page: &Page) -> String {
        let mut text = format!(
            "{}. Medians of {} repetitions, the smallest and the greatest in brackets.\n",
            self.machine.summary(),
            self.repetitions,
        );
        let operation = self.operation;
        for case in page.cases {
            let plural = if operation == "echo" { "echoes".to_owned() } else { format!("{operation}s") };
            text += &format!(
                "\n**{}**\n\n| server | CPU µs per {operation} | thousand {plural}/s | latency µs: p50 / p99 | memory, MiB |\n\
                 |---|--:|--:|--:|--:|\n",
                case.name
            );
            for &contender in page.contenders {
                if let Some(outcome) = self.outcome(contender, case) {
                    text += &row(outcome);
                }
            }
        }
        for outcome in &self.outcomes {
            for failure in &outcome.failures {
                // Writing to a String doesn't fail.
                let _ = write!(text, "\nFailed: {}, {}: {failure}.\n", outcome.contender.name(), outcome.case.name);
            }
        }
        text
    }

    /// Processor time, a panel a case.
    #[must_use]
    pub fn picture(&self, page: &Page) -> String {
        let value = |contender: Contender, case: &Case| match self.outcome(contender, case) {
            Some(Outcome { summary: Some(summary), .. }) => Value::Measured(summary.cpu_ns),
            Some(Outcome { absent: Some(why), .. }) => Value::Absent(why),
            _ => Value::Absent("failed"),
        };
        let colour = |contender: &Contender| match contender {
            Contender::Core => GREEN,
            _ if contender.name().starts_with(page.chapter) => BLUE,
            _ => GREY,
        };
        let panel = |case: &Case| {
            let values = page.contenders.iter().map(|&contender| value(contender, case)).collect();
            (case.name.to_owned(), values)
        };
        Bars {
            id: &format!("{}-plot", self.chapter),
            title: &format!("Processor time of the server per {}, µs (less is better)", self.operation),
            rows: page.contenders.iter().map(|contender| (contender.name(), colour(contender))).collect(),
            panels: page.cases.iter().map(panel).collect(),
            columns: if page.cases.len() == 3 { 3 } else { 2 },
            unit: (1e3, 2),
            legend: Vec::new(),
        }
        .draw()
    }
}

fn row(outcome: &Outcome) -> String {
    let name = outcome.contender.name();
    let Some(summary) = &outcome.summary else {
        return format!("| {name} | {} | | | |\n", outcome.absent.unwrap_or("failed"));
    };
    let cells = [
        name.to_owned(),
        summary.cpu_ns.show(1e3, 2),
        summary.per_second.show(1e3, 1),
        format!("{:.0} / {:.0}", summary.p50.median, summary.p99.median),
        format!("{:.1}", summary.memory.median / f64::from(1 << 20)),
    ];
    format!("| {} |\n", cells.join(" | "))
}
