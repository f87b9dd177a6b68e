//! The command line of `bench-io`, and its order of work.

use super::forwarder::{Contender, contenders, session};
use super::plot;
use super::report::{Measured, Outcome, Report};
use crate::case::Case;
use crate::machine::Cores;
use crate::measure::{self, Durations, TOLERATED_LOSS};
use crate::output;
use crate::session::Setting;
use crate::traffic::{Pattern, Traffic};
use crate::workload::Mode;
use crate::{generator, receiver};
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use stage::Machine;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures what chapter 05's drivers, and the core's I/O, take to forward packets.
///
/// Contenders alternate; each run verifies every packet before anything is timed. Exits with 1 when a contender has failed.
#[derive(Debug, Parser)]
#[command(name = "bench-io", version, args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,

    /// How many subscribers there are
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    subscribers: Vec<usize>,

    /// How packets are spaced when they come
    #[arg(long, value_enum, default_value_t = Pattern::Even)]
    pattern: Pattern,

    /// Only these contenders
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,

    /// How often each case is run
    #[arg(long, default_value_t = 3)]
    repetitions: usize,

    /// Only see that everything works: one short run each with 10 subscribers
    #[arg(long)]
    quick: bool,

    /// Where the results go: PATH.json, PATH.md and PATH.svg [default: benches/results/ch05; with --quick nowhere]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// What the runner starts this program as.
#[derive(Debug, Clone, Copy, Subcommand)]
enum Role {
    #[command(hide = true)]
    Generator,
    #[command(hide = true)]
    Receiver,
}

/// Shorter than those of `bench-forward`: there are many contenders.
const FULL: Durations = Durations { verify: 0.1, search: 0.12, measure: 0.6 };

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
        options.subscribers = vec![10];
        options.repetitions = 1;
    }
    if options.subscribers.iter().any(|&subscribers| !(1..=1_000).contains(&subscribers)) {
        bail!("--subscribers takes numbers from 1 to 1000");
    }
    // For the files of this run; dropping it removes them.
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let report = run(&options, directory.path())?;
    print!("{}", report.markdown());
    if let Some(output) = output::destination(options.output.as_deref(), options.quick, "ch05") {
        report.write(&output)?;
        fs::write(output.with_extension("svg"), plot::draw(&report))?;
        println!("\nWritten: {}", output.with_extension("{json,md,svg}").display());
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(options: &Options, directory: &Path) -> Result<Report> {
    let cores = Cores::divide()?;
    let durations = if options.quick { Durations::QUICK } else { FULL };
    let setting = Setting { cores, receive_trains: false, directory };
    let machine = Machine::describe();
    let (mut contenders, mut absent) = contenders()?;
    if !options.only.is_empty() {
        contenders.retain(|contender| options.only.contains(&contender.name));
    }
    if contenders.is_empty() {
        bail!("--only leaves nobody");
    }

    let total = contenders.len() * options.subscribers.len() * options.repetitions;
    let progress = output::progress(total)?;
    let mut results: HashMap<(usize, usize), Vec<Result<Measured, String>>> = HashMap::new();
    for repetition in 0..options.repetitions {
        for &consumers in &options.subscribers {
            let case = Case::one_to(consumers, Mode::Plain, options.pattern);
            let mut last = 100_000.0;
            for (index, contender) in contenders.iter().enumerate() {
                let results = results.entry((index, consumers)).or_default();
                // The search begins where the repetition before has ended, or the contender before.
                let before = results.iter().flatten().next_back();
                let guess = before.map_or(last, |measured: &Measured| measured.run.packets_per_second);
                let what = format!("{}, 1 to {consumers}, repetition {}", contender.name, repetition + 1);
                // Without a terminal there is no bar; a log says where it is.
                if progress.is_hidden() {
                    eprintln!("{}/{total}: {what}", progress.position() + 1);
                }
                let mut tell = |message: &str| progress.set_message(format!("{what}: {message}"));
                let result = measure(contender, case, setting, guess, durations, &mut tell);
                match &result {
                    Ok(measured) => last = measured.run.packets_per_second,
                    Err(error) => progress.suspend(|| eprintln!("FAILED: {what}: {error:#}.")),
                }
                results.push(result.map_err(|error| format!("{error:#}")));
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();

    let mut outcomes = Vec::new();
    for &consumers in &options.subscribers {
        for (index, contender) in contenders.iter().enumerate() {
            let results = results.remove(&(index, consumers)).unwrap_or_default();
            outcomes.push(Outcome::new(contender.name.clone(), consumers, results));
        }
    }
    // Said once, and not for each contender.
    let uncounted = outcomes.iter().flat_map(|outcome| &outcome.runs).find_map(|measured| measured.uncounted.clone());
    absent.extend(uncounted.map(|why| format!("system calls: {why}")));
    Ok(Report {
        machine,
        cores,
        packet_len: Traffic::video(options.pattern).packet_len,
        pattern: options.pattern,
        tolerated_loss: TOLERATED_LOSS,
        durations,
        repetitions: options.repetitions,
        contenders,
        absent,
        outcomes,
    })
}

/// One contender's one run of one case, and after it the count of system calls at half load.
fn measure(
    contender: &Contender,
    case: Case,
    setting: Setting<'_>,
    guess: f64,
    durations: Durations,
    tell: &mut dyn FnMut(&str),
) -> Result<Measured> {
    let mut session = session(contender, case, setting)?;
    let run = measure::run(&mut session, guess, durations, tell)?;
    if session.process().is_none() {
        return Ok(Measured { run, calls_per_packet: None, uncounted: None });
    }
    tell("counting system calls at half load");
    let (calls_per_packet, uncounted) =
        match measure::calls_per_packet(&mut session, &run, durations.search, setting.directory) {
            Ok(calls) => (Some(calls), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
    Ok(Measured { run, calls_per_packet, uncounted })
}
