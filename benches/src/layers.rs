//! The macro runner `bench-layers`: the same load through ever more of an SFU, so that the difference between two rows is the
//! price of what the second one does more.
//!
//! Generator, receiver, search and measurements are those of `bench-forward`. The rows are the chapters' forwarders, as
//! far as there are chapters that forward, and the core.

use crate::bars::{BLUE, Bars, GREEN, Value};
use crate::case::Case;
use crate::cli::own_worker;
use crate::io::forwarder;
use crate::machine::Cores;
use crate::measure::{self, Durations, Run};
use crate::output;
use crate::report::Summary;
use crate::session::{Contender, Session, Setting};
use crate::traffic::{Pattern, Traffic};
use crate::workload::Mode;
use crate::{generator, receiver};
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde::Serialize;
use stage::Machine;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures what each layer of an SFU adds to the price of a forwarded packet.
///
/// Rows alternate; each run verifies every packet before anything is timed. Exits with 1 when one has failed.
#[derive(Debug, Parser)]
#[command(name = "bench-layers", version, args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,

    /// How many get each packet
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50], value_parser = parse_consumers)]
    consumers: Vec<usize>,

    /// How often each row is run
    #[arg(long, default_value_t = 3)]
    repetitions: usize,

    /// Only see that everything works: one short run each
    #[arg(long)]
    quick: bool,

    /// Where the results go: PATH.json, PATH.md and PATH.svg [default: benches/results/layers; with --quick nowhere]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

fn parse_consumers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(consumers @ 1..=1_000) => Ok(consumers),
        _ => Err("it takes numbers from 1 to 1000".to_owned()),
    }
}

/// What the runner starts this program as.
#[derive(Debug, Clone, Copy, Subcommand)]
enum Role {
    #[command(hide = true)]
    Generator,
    #[command(hide = true)]
    Receiver,
}

/// One more layer.
#[derive(Debug, Clone, Copy, Serialize)]
struct Layer {
    /// What is there, in a row's name.
    name: &'static str,
    /// What it does more than the row before.
    adds: &'static str,
    /// Who does it.
    by: By,
}

#[derive(Debug, Clone, Copy, Serialize)]
enum By {
    /// One of chapter 05's drivers.
    Chapter05(&'static str),
    /// The core's worker.
    Worker(Mode),
}

/// From the least to the most.
const LAYERS: [Layer; 4] = [
    Layer { name: "ch05 epoll", adds: "sockets, a call for each datagram", by: By::Chapter05("epoll") },
    Layer { name: "ch05 gso", adds: "a burst to one destination leaves in one call", by: By::Chapter05("gso") },
    Layer {
        name: "core, plain RTP",
        adds: "RTP, RTCP, retransmission buffers, statistics, routing",
        by: By::Worker(Mode::Plain),
    },
    Layer { name: "core, SRTP", adds: "AES-256-GCM for each receiver", by: By::Worker(Mode::AesGcm) },
];

/// Everything there is to know of one invocation.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    cores: Cores,
    packet_len: usize,
    pattern: Pattern,
    durations: Durations,
    repetitions: usize,
    outcomes: Vec<Outcome>,
}

/// A layer with so many consumers.
#[derive(Debug, Serialize)]
struct Outcome {
    layer: Layer,
    consumers: usize,
    summary: Option<Summary>,
    runs: Vec<Run>,
    failures: Vec<String>,
}

/// Runs the program.
///
/// # Errors
/// In words, what keeps it from measuring.
pub fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    match options.role {
        Some(Role::Generator) => return generator::main().map(|()| ExitCode::SUCCESS),
        Some(Role::Receiver) => return receiver::main().map(|()| ExitCode::SUCCESS),
        None => {}
    }
    if options.quick {
        options.consumers = vec![10];
        options.repetitions = 1;
    }
    // For the files of this run; dropping it removes them.
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let report = run(&options, directory.path())?;
    print!("{}", report.markdown());
    if let Some(path) = output::destination(options.output.as_deref(), options.quick, "layers") {
        output::write(&path, &report, &[("md", report.markdown()), ("svg", report.picture())])?;
        println!("\nWritten: {}", path.with_extension("{json,md,svg}").display());
    }
    let clean = report.outcomes.iter().all(|outcome| outcome.failures.is_empty());
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(options: &Options, directory: &Path) -> Result<Report> {
    let cores = Cores::divide()?;
    let durations = if options.quick { Durations::QUICK } else { Durations::FULL };
    let setting = Setting::new(cores, directory);
    let machine = Machine::describe();
    let total = LAYERS.len() * options.consumers.len() * options.repetitions;
    let progress = output::progress(total)?;

    let mut outcomes: Vec<Outcome> = Vec::new();
    for &consumers in &options.consumers {
        outcomes.extend(LAYERS.map(|layer| Outcome {
            layer,
            consumers,
            summary: None,
            runs: Vec::new(),
            failures: Vec::new(),
        }));
    }
    for repetition in 1..=options.repetitions {
        for outcome in &mut outcomes {
            let what = format!("{}, 1 to {}, repetition {repetition}", outcome.layer.name, outcome.consumers);
            // Without a terminal there is no bar; a log says where it is.
            if progress.is_hidden() {
                eprintln!("{}/{total}: {what}", progress.position() + 1);
            }
            let mut tell = |message: &str| progress.set_message(format!("{what}: {message}"));
            let guess = outcome.runs.last().map_or(100_000.0, |run| run.packets_per_second);
            let result = session(outcome.layer.by, outcome.consumers, setting)
                .and_then(|mut session| measure::run(&mut session, guess, durations, &mut tell));
            match result {
                Ok(run) => outcome.runs.push(run),
                Err(error) => {
                    progress.suspend(|| eprintln!("FAILED: {what}: {error:#}."));
                    outcome.failures.push(format!("{error:#}"));
                }
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    for outcome in &mut outcomes {
        outcome.summary = if outcome.failures.is_empty() { Summary::of(&outcome.runs) } else { None };
    }
    let repetitions = options.repetitions;
    Ok(Report {
        machine,
        cores,
        packet_len: Traffic::video(Pattern::Burst).packet_len,
        pattern: Pattern::Burst,
        durations,
        repetitions,
        outcomes,
    })
}

fn session(by: By, consumers: usize, setting: Setting<'_>) -> Result<Session> {
    match by {
        By::Chapter05(driver) => {
            let (contenders, absent) = forwarder::contenders()?;
            let Some(contender) = contenders.iter().find(|contender| contender.name == driver) else {
                bail!("chapter 05 can't run {driver} here: {}", absent.join("; "));
            };
            let case = Case::one_to(consumers, Mode::Plain, Pattern::Burst);
            Ok(forwarder::session(contender, case, setting)?.0)
        }
        By::Worker(mode) => {
            let contender = Contender {
                name: "core".to_owned(),
                program: Some(own_worker()?),
                arguments: Vec::new(),
                modes: vec![mode],
            };
            Session::start(&contender, Case::one_to(consumers, mode, Pattern::Burst), setting)
        }
    }
}

impl Report {
    fn cases(&self) -> Vec<usize> {
        let mut cases: Vec<usize> = self.outcomes.iter().map(|outcome| outcome.consumers).collect();
        cases.dedup();
        cases
    }

    fn of(&self, consumers: usize) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.consumers == consumers)
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Packets of {} bytes in bursts, as video frames come; medians of {} repetitions, the smallest and the greatest \
             in brackets.\n",
            self.machine.summary(),
            self.packet_len,
            self.repetitions,
        );
        for consumers in self.cases() {
            text += &format!(
                "\n**1 to {consumers}**\n\n| | what it does more than the row above | CPU ns a packet | thousand packets/s |\n\
                 |---|---|--:|--:|\n"
            );
            for Outcome { layer, summary, .. } in self.of(consumers) {
                let (cpu, rate) = summary.as_ref().map_or(("failed".to_owned(), String::new()), |summary| {
                    let at_least = if summary.load_limited { "≥ " } else { "" };
                    (summary.ns_full.show(1.0, 0), at_least.to_owned() + &summary.packets_per_second.show(1e3, 0))
                });
                // Writing to a String doesn't fail.
                let _ = writeln!(text, "| {} | {} | {cpu} | {rate} |", layer.name, layer.adds);
            }
        }
        for outcome in &self.outcomes {
            for failure in &outcome.failures {
                let _ = write!(text, "\nFailed: {}, 1 to {}: {failure}.\n", outcome.layer.name, outcome.consumers);
            }
        }
        text
    }

    fn picture(&self) -> String {
        let colour = |by: By| if matches!(by, By::Worker(_)) { GREEN } else { BLUE };
        let panel = |consumers: usize| {
            let values = self.of(consumers).map(|outcome| match &outcome.summary {
                Some(summary) => Value::Measured(summary.ns_full),
                None => Value::Absent("failed"),
            });
            (format!("1 to {consumers}"), values.collect())
        };
        let panels: Vec<_> = self.cases().into_iter().map(panel).collect();
        Bars {
            id: "layers-plot",
            title: "Processor time per forwarded packet at saturation, ns (less is better)",
            rows: LAYERS.iter().map(|layer| (layer.name, colour(layer.by))).collect(),
            columns: panels.len(),
            panels,
            unit: (1.0, 0),
            legend: vec![(BLUE, "a chapter's forwarder"), (GREEN, "core")],
        }
        .draw()
    }
}
