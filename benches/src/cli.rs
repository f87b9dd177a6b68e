//! The command line of `bench-forward`, and its order of work.

use crate::machine::Cores;
use crate::measure::{self, Durations, Run, TOLERATED_LOSS};
use crate::report::{Outcome, Report};
use crate::session::{Case, Contender, Session, Setting};
use crate::worker::{Worker, srtp_backends};
use crate::workload::{Mode, PACKET_LEN, Pattern};
use crate::{generator, output, plot, receiver};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use stage::Machine;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures how many packets workers forward, what that costs, and how long packets take.
///
/// Each worker is driven over mediasoup 3.12.16's channel, so that mediasoup's own can be put beside ours. Contenders
/// alternate; each run verifies every packet before anything is timed. Exits with 1 when a contender has failed.
#[derive(Debug, Parser)]
#[command(name = "bench-forward", version, args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,

    /// A worker to measure; may be repeated, the first is the one to compare with [default: the sfu-worker beside this program]
    #[arg(long = "worker", value_name = "PATH")]
    workers: Vec<PathBuf>,

    /// How many consumers the one producer has
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50, 200])]
    consumers: Vec<usize>,

    /// How packets leave the worker
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mode::Plain, Mode::AesCm, Mode::AesGcm])]
    modes: Vec<Mode>,

    /// How packets are spaced when they come
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Pattern::Even, Pattern::Burst])]
    patterns: Vec<Pattern>,

    /// How often each case is run
    #[arg(long, default_value_t = 3)]
    repetitions: usize,

    /// Only see that everything works: one short run of each case, 10 consumers, bursts
    #[arg(long)]
    quick: bool,

    /// Leave out the control, in which the load generator sends straight to the receiver
    #[arg(long)]
    no_control: bool,

    /// Let receivers take trains of datagrams uncut (UDP_GRO): kinder to workers that send trains than a network would be
    #[arg(long)]
    receive_trains: bool,

    /// Where the results go: PATH.json and PATH.svg [default: benches/results/forward; with --quick nowhere]
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
        options.patterns = vec![Pattern::Burst];
        options.repetitions = 1;
    }
    if options.consumers.iter().any(|&consumers| !(1..=1_000).contains(&consumers)) {
        bail!("--consumers takes numbers from 1 to 1000");
    }
    // For the files of this run; dropping it removes them.
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let report = run(&options, directory.path())?;
    print!("{}", report.table());
    if let Some(output) = output::destination(options.output.as_deref(), options.quick, "forward") {
        report.write_json(&output.with_extension("json"))?;
        plot::draw(&report, &output.with_extension("svg"))?;
        println!("Written: {}", output.with_extension("{json,svg}").display());
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(options: &Options, directory: &Path) -> Result<Report> {
    let cores = Cores::divide()?;
    let durations = if options.quick { Durations::QUICK } else { Durations::FULL };
    let setting = Setting { cores, receive_trains: options.receive_trains, directory };
    let machine = Machine::describe();
    let (contenders, absent) = contenders(options, cores, directory)?;
    let cases = cases(options);

    let takes_part = |contender: &Contender, case: &Case| contender.modes.contains(&case.mode);
    let total: usize =
        cases.iter().map(|case| contenders.iter().filter(|contender| takes_part(contender, case)).count()).sum();
    let total = total * options.repetitions;
    let progress = output::progress(total)?;

    let mut results: HashMap<(usize, usize), Vec<Result<Run, String>>> = HashMap::new();
    for repetition in 0..options.repetitions {
        for (case_index, &case) in cases.iter().enumerate() {
            for (contender_index, contender) in contenders.iter().enumerate() {
                if !takes_part(contender, &case) {
                    continue;
                }
                let results = results.entry((contender_index, case_index)).or_default();
                // The search begins where the repetition before has ended.
                let guess = results.iter().flatten().next_back().map_or(100_000.0, |run| run.packets_per_second);
                let what = format!("{}, {case}, repetition {}", contender.name, repetition + 1);
                // Without a terminal there is no bar; a log says where it is.
                if progress.is_hidden() {
                    eprintln!("{}/{total}: {what}", progress.position() + 1);
                }
                let mut tell = |message: &str| progress.set_message(format!("{what}: {message}"));
                let result = Session::start(contender, case, setting)
                    .and_then(|mut session| measure::run(&mut session, case.consumers, guess, durations, &mut tell));
                if let Err(error) = &result {
                    progress.suspend(|| eprintln!("FAILED: {what}: {error:#}."));
                }
                results.push(result.map_err(|error| format!("{error:#}")));
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();

    let mut outcomes = Vec::new();
    for (case_index, &case) in cases.iter().enumerate() {
        for (contender_index, contender) in contenders.iter().enumerate() {
            if let Some(results) = results.remove(&(contender_index, case_index)) {
                outcomes.push(Outcome::new(contender.name.clone(), case, results));
            }
        }
    }
    Ok(Report {
        machine,
        cores,
        receive_trains: options.receive_trains,
        packet_len: PACKET_LEN,
        tolerated_loss: TOLERATED_LOSS,
        durations,
        repetitions: options.repetitions,
        contenders,
        absent,
        outcomes,
    })
}

fn cases(options: &Options) -> Vec<Case> {
    let mut cases = Vec::new();
    for &pattern in &options.patterns {
        for &mode in &options.modes {
            for &consumers in &options.consumers {
                cases.push(Case { consumers, mode, pattern });
            }
        }
    }
    cases
}

/// Who takes part, and who can't and why.
fn contenders(options: &Options, cores: Cores, directory: &Path) -> Result<(Vec<Contender>, Vec<String>)> {
    let workers = if options.workers.is_empty() { vec![own_worker()?] } else { options.workers.clone() };
    let (mut contenders, mut absent) = (Vec::new(), Vec::new());
    for worker in &workers {
        let program = worker.canonicalize().with_context(|| format!("there is no worker at {}", worker.display()))?;
        let name = short_name(worker, &workers);
        let backends = srtp_backends(&program);
        let choices: Vec<Option<&str>> =
            if backends.is_empty() { vec![None] } else { backends.into_iter().map(Some).collect() };
        for (index, backend) in choices.into_iter().enumerate() {
            let name = backend.map_or(name.clone(), |backend| format!("{name} {backend}"));
            let arguments = Vec::from_iter(backend.map(|backend| format!("--srtpBackend={backend}")));
            // Without SRTP there is nothing to choose a backend for.
            let modes = if index == 0 { ALL_MODES } else { &ALL_MODES[1..] };
            match Worker::start(&program, &arguments, cores.worker, directory) {
                Ok(_) => {
                    contenders.push(Contender {
                        name,
                        program: Some(program.clone()),
                        arguments,
                        modes: modes.to_vec(),
                    });
                }
                Err(error) => absent.push(format!("{name}: {error:#}")),
            }
        }
    }
    if contenders.is_empty() {
        bail!("no worker can be started: {}", absent.join("; "));
    }
    if !options.no_control {
        let name = "control (no worker)".to_owned();
        contenders.push(Contender { name, program: None, arguments: Vec::new(), modes: vec![Mode::Plain] });
    }
    Ok((contenders, absent))
}

const ALL_MODES: &[Mode] = &[Mode::Plain, Mode::AesCm, Mode::AesGcm];

/// The worker that cargo has built beside this program.
pub(crate) fn own_worker() -> Result<PathBuf> {
    let this = std::env::current_exe().context("this program's own path is unknown")?;
    let worker = this.with_file_name("sfu-worker");
    if worker.is_file() {
        return Ok(worker);
    }
    Err(anyhow!(
        "there is no worker at {}: build it with `cargo build --release -p sfu-worker` (add `--features libsrtp` to compare both SRTP \
         backends), or name one with --worker PATH",
        worker.display()
    ))
}

/// The file's name, or its path where several have that name.
pub(crate) fn short_name(worker: &Path, workers: &[PathBuf]) -> String {
    let name = worker.file_name();
    let alike = workers.iter().filter(|other| other.file_name() == name).count();
    match name {
        Some(name) if alike == 1 => name.to_string_lossy().into_owned(),
        _ => worker.display().to_string(),
    }
}
