//! The command line of `bench-costs`, its order of work and its results.

use super::measure::{self, Amounts, Cost, Run};
use crate::awake::{self, Awake};
use crate::cli::{own_worker, short_name};
use crate::machine::{Cores, pinned_to};
use crate::output;
use crate::stats::Spread;
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;
use stage::Machine;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures what a worker takes for what is no load: memory, requests, peers that connect, layers, messages.
///
/// Workers alternate. Exits with 1 when one has failed.
#[derive(Debug, Parser)]
#[command(name = "bench-costs", version)]
struct Options {
    /// A worker that speaks the channel protocol of mediasoup 3.12; may be given several times [default: this project's own]
    #[arg(long = "worker", value_name = "PATH")]
    workers: Vec<PathBuf>,

    /// How often everything is run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    repetitions: u16,

    /// Only see that everything works: a tenth of the work, once
    #[arg(long)]
    quick: bool,

    /// Where the results go: PATH.json and PATH.md [default: benches/results/costs; with --quick nowhere]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,

    #[command(subcommand)]
    role: Option<Role>,
}

/// What the program starts itself as.
#[derive(Debug, Clone, Copy, Subcommand)]
enum Role {
    /// Keeps the core awake that it runs on.
    #[command(hide = true)]
    Spinner,
}

const FULL: Amounts = Amounts { entities: 500, requests: 5_000, connects: 500, frames: 3_000, messages: 20_000 };
const QUICK: Amounts = Amounts { entities: 50, requests: 200, connects: 50, frames: 300, messages: 1_000 };

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    cores: Cores,
    amounts: Amounts,
    repetitions: u16,
    /// Why cores could not be kept awake while requests were made one at a time, if they could not.
    asleep: Option<String>,
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    worker: String,
    runs: Vec<Run>,
    failures: Vec<String>,
}

/// Runs the program.
///
/// # Errors
/// In words, what keeps it from measuring.
pub fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    if let Some(Role::Spinner) = options.role {
        return awake::main().map(|()| ExitCode::SUCCESS);
    }
    if options.quick {
        options.repetitions = 1;
    }
    let workers = if options.workers.is_empty() { vec![own_worker()?] } else { options.workers.clone() };
    let amounts = if options.quick { QUICK } else { FULL };
    let cores = Cores::divide()?;
    let machine = Machine::describe();
    let own_path = std::env::current_exe().context("this program's own path is unknown")?;
    let keep_awake = || Awake::keep(&cores.all(), &own_path);
    let asleep = keep_awake().err().map(|error| format!("{error:#}"));
    // For the workers' standard error; dropping it removes it.
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let outcome =
        |path: &PathBuf| Outcome { worker: short_name(path, &workers), runs: Vec::new(), failures: Vec::new() };
    let mut outcomes: Vec<Outcome> = workers.iter().map(outcome).collect();
    for repetition in 1..=options.repetitions {
        for (program, outcome) in workers.iter().zip(&mut outcomes) {
            eprintln!("{}, repetition {repetition} of {}", outcome.worker, options.repetitions);
            let keep_awake: &dyn Fn() -> Result<Option<Awake>> = match asleep {
                None => &|| keep_awake().map(Some),
                Some(_) => &|| Ok(None),
            };
            let run = || Ok(measure::run(program, cores.worker, directory.path(), amounts, keep_awake));
            match pinned_to(cores.generator, run)? {
                Ok(run) => {
                    for failed in &run.failed {
                        eprintln!("FAILED: {}: {failed}.", outcome.worker);
                    }
                    outcome.runs.push(run);
                }
                Err(error) => {
                    eprintln!("FAILED: {}: {error:#}.", outcome.worker);
                    outcome.failures.push(format!("{error:#}"));
                }
            }
        }
    }
    let report = Report { machine, cores, amounts, repetitions: options.repetitions, asleep, outcomes };
    print!("{}", report.markdown());
    if let Some(path) = output::destination(options.output.as_deref(), options.quick, "costs") {
        output::write(&path, &report, &[("md", report.markdown())])?;
        println!("\nWritten: {}", path.with_extension("{json,md}").display());
    }
    let is_clean =
        |outcome: &Outcome| outcome.failures.is_empty() && outcome.runs.iter().all(|run| run.failed.is_empty());
    let clean = report.outcomes.iter().all(is_clean);
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Medians of {} repetitions, the smallest and the greatest in brackets.\n",
            self.machine.summary(),
            self.repetitions
        );
        match &self.asleep {
            None => text += "Cores were kept awake while requests were made one at a time.\n",
            Some(why) => {
                text += &format!("Cores could not be kept awake while requests were made one at a time: {why}.\n")
            }
        }
        for outcome in &self.outcomes {
            text += &format!("\n**{}**\n\n", outcome.worker);
            match outcome.runs.first() {
                Some(first) if outcome.failures.is_empty() => text += &tables(first, &outcome.runs),
                _ => text += &format!("Failed: {}.\n", outcome.failures.join("; ")),
            }
        }
        text
    }
}

fn tables(first: &Run, runs: &[Run]) -> String {
    let mut text = "| memory | KiB |\n|---|--:|\n".to_owned();
    text += &format!("| the worker, with a router | {} |\n", spread(runs, |run| run.idle, 1024.0, 0));
    for (index, (name, _)) in first.memory.iter().enumerate() {
        text += &format!("| each {name} | {} |\n", spread(runs, |run| run.memory[index].1, 1024.0, 1));
    }
    text += "\n| one at a time | CPU µs | a second |\n|---|--:|--:|\n";
    for (index, (name, _)) in first.requests.iter().enumerate() {
        text += &cost_row(&runs.iter().map(|run| run.requests[index].1).collect::<Vec<_>>(), name);
    }
    let connects: Vec<Cost> = runs.iter().map(|run| run.connect).collect();
    text += &cost_row(&connects, "a peer connects: ICE check, DTLS handshake");
    text += "\n| forwarded, a video frame or 16 messages at a time | CPU µs each | a second |\n|---|--:|--:|\n";
    for (index, (name, _)) in first.forwarded.iter().enumerate() {
        let costs: Option<Vec<Cost>> = runs.iter().map(|run| run.forwarded[index].1).collect();
        match costs {
            Some(costs) => text += &cost_row(&costs, name),
            None => text += &format!("| {name} | failed | |\n"),
        }
    }
    for failed in runs.iter().flat_map(|run| &run.failed) {
        text += &format!("\nFailed: {failed}.\n");
    }
    text
}

fn cost_row(costs: &[Cost], name: &str) -> String {
    let show = |value: &dyn Fn(&Cost) -> f64, unit, digits| {
        Spread::of(costs.iter().map(value)).map_or_else(String::new, |spread| spread.show(unit, digits))
    };
    format!("| {name} | {} | {} |\n", show(&|cost| cost.cpu_ns, 1e3, 1), show(&|cost| cost.per_second, 1.0, 0))
}

fn spread(runs: &[Run], value: impl Fn(&Run) -> f64, unit: f64, digits: usize) -> String {
    Spread::of(runs.iter().map(value)).map_or_else(String::new, |spread| spread.show(unit, digits))
}
