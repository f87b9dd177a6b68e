//! The command line of `bench-forward`, and its order of work.

use crate::case::{Audience, Case};
use crate::limit::{self, Limit};
use crate::machine::Cores;
use crate::measure::{Durations, TOLERATED_LOSS};
use crate::report::{Outcome, Report};
use crate::resources::{self, Means};
use crate::runner::{Runner, Tried};
use crate::same_load::Schedule;
use crate::session::{Contender, Setting};
use crate::traffic::{Pattern, Traffic};
use crate::worker::{Worker, srtp_backends};
use crate::workload::Mode;
use crate::{awake, compare, distance, generator, growth, output, plot, receiver};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand, ValueEnum};
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

    /// Only these of the SRTP backends that a worker offers [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    backends: Vec<String>,

    /// What is sent
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Even, Kind::Burst, Kind::Audio, Kind::Rooms])]
    traffic: Vec<Kind>,

    /// How many consumers each producer has, except in rooms
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 200, 1_000])]
    consumers: Vec<usize>,

    /// How many rooms there are
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    rooms: Vec<usize>,

    /// How many are in each room: each sends a stream and gets those of the others
    #[arg(long, default_value_t = 4)]
    people: usize,

    /// How packets leave the worker
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mode::Plain, Mode::AesGcm])]
    modes: Vec<Mode>,

    /// How often each case is run
    #[arg(long, default_value_t = 3)]
    repetitions: usize,

    /// Only see that everything works: one short run of each case, 10 consumers, 1 and 10 rooms
    #[arg(long)]
    quick: bool,

    /// Leave out the control, in which the load generator sends straight to the receiver
    #[arg(long)]
    no_control: bool,

    /// Leave out how a packet's price grows with receivers and rooms
    #[arg(long)]
    no_growth: bool,

    /// Let receivers take trains of datagrams uncut (UDP_GRO): kinder to workers that send trains than a network would be
    #[arg(long)]
    receive_trains: bool,

    /// Where the results go: PATH.json, PATH.md and PATH.svg [default: benches/results/forward; with --quick nowhere]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Keep what PATH.json holds of other cases, or of other workers
    #[arg(long)]
    add: bool,
}

/// What is sent, to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// One producer's video packets, equally far apart
    Even,
    /// One producer's video, a frame at a time
    Burst,
    /// Ten producers' audio packets, everybody gets all
    Audio,
    /// Rooms in which everybody sends video, a frame at a time
    Rooms,
}

/// How many speak in the audio case.
const SPEAKERS: usize = 10;

/// How long each part takes: as long as so many cases allow.
const FULL: Durations = Durations { verify: 0.3, search: 0.2, warm_up: 2.0, measure: 1.0 };

/// What the runner starts this program as.
#[derive(Debug, Clone, Subcommand)]
enum Role {
    #[command(hide = true)]
    Generator,
    #[command(hide = true)]
    Receiver,
    #[command(hide = true)]
    Spinner,
    /// Writes PATH.md and PATH.svg anew from PATH.json, without measuring
    Render {
        /// What a run has written
        #[arg(value_name = "PATH.json")]
        result: PathBuf,
    },
    /// Puts two results beside each other: medians, spread and ratio of every case that both have
    Compare {
        /// A result, as PATH.json
        first: PathBuf,
        /// Another; without it, the workers of the first are compared
        second: Option<PathBuf>,
    },
}

/// Runs the program.
///
/// # Errors
/// In words, what keeps it from measuring.
pub fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    match options.role.take() {
        Some(Role::Generator) => return generator::main().map(|()| ExitCode::SUCCESS),
        Some(Role::Receiver) => return receiver::main().map(|()| ExitCode::SUCCESS),
        Some(Role::Spinner) => return awake::main().map(|()| ExitCode::SUCCESS),
        Some(Role::Render { result }) => {
            output::write_texts(&result, &texts(&Report::read(&result)?))?;
            println!("Written: {}", result.with_extension("{md,svg}").display());
            return Ok(ExitCode::SUCCESS);
        }
        Some(Role::Compare { first, second }) => {
            print!("{}", compare::files(&first, second.as_deref())?);
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    if options.quick {
        (options.consumers, options.rooms, options.repetitions) = (vec![10], vec![1, 10], 1);
    }
    if options.consumers.iter().chain(&options.rooms).any(|&number| !(1..=1_000).contains(&number)) {
        bail!("--consumers and --rooms take numbers from 1 to 1000");
    }
    if !(2..=50).contains(&options.people) {
        bail!("--people takes a number from 2 to 50");
    }
    let cases = cases(&options);
    let means = Means::of_this_machine()?;
    for case in &cases {
        means.check(case, 1)?;
    }
    let output = output::destination(options.output.as_deref(), options.quick, "forward");
    // For the files of this run; dropping it removes them.
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let mut report = run(&options, &cases, directory.path())?;
    // What was measured is shown even where it can't be written.
    print!("{}", report.markdown());
    let clean = report.is_clean();
    if let Some(output) = output {
        let json = output.with_extension("json");
        if options.add && json.exists() {
            report.add(Report::read(&json)?)?;
        }
        output::write(&output, &report, &texts(&report))?;
        println!("\nWritten: {}", output.with_extension("{json,md,svg}").display());
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn texts(report: &Report) -> [(&'static str, String); 2] {
    [("md", report.markdown()), ("svg", plot::draw(report))]
}

fn run(options: &Options, cases: &[Case], directory: &Path) -> Result<Report> {
    let cores = Cores::divide()?;
    let (durations, schedule, distances) = if options.quick {
        (Durations::QUICK, Schedule::QUICK, distance::Schedule::QUICK)
    } else {
        (FULL, Schedule::FULL, distance::Schedule::FULL)
    };
    let setting = Setting { receive_trains: options.receive_trains, ..Setting::new(cores, directory) };
    let machine = Machine::describe();
    let (contenders, mut absent) = contenders(options, cores, directory)?;
    absent.extend(resources::small_buffers());

    let takes_part = |contender: &Contender, case: &Case| contender.modes.contains(&case.mode);
    let total: usize =
        cases.iter().map(|case| contenders.iter().filter(|contender| takes_part(contender, case)).count()).sum();
    let families = if options.no_growth { Vec::new() } else { growth::families(cases) };
    let workers: Vec<&Contender> = contenders.iter().filter(|contender| contender.program.is_some()).collect();
    let growing = |sizes: &Vec<Case>| workers.iter().filter(|worker| takes_part(worker, &sizes[0])).count();
    let growths: usize = families.iter().map(growing).sum();
    let beside: usize = cases.iter().map(|case| workers.iter().filter(|worker| takes_part(worker, case)).count()).sum();
    // Each case once more, for the same load.
    let progress = output::progress(total * options.repetitions + cases.len() + beside + growths)?;
    let mut runner = Runner { setting, durations, schedule, distances, progress, absent };

    let mut limits: Vec<(Case, Vec<Limit>)> = cases.iter().map(|&case| (case, Vec::new())).collect();
    let mut tried: HashMap<(usize, usize), Tried> = HashMap::new();
    for repetition in 0..options.repetitions {
        for (case_index, &case) in cases.iter().enumerate() {
            match limit::measure(case, cores) {
                Ok(limit) => limits[case_index].1.push(limit),
                Err(error) => runner.say_once(format!("the limit: {error:#}")),
            }
            for (contender_index, contender) in contenders.iter().enumerate() {
                if takes_part(contender, &case) {
                    let before = case_index.checked_sub(1).and_then(|before| tried.get(&(contender_index, before)));
                    let last = before.and_then(Tried::rate);
                    let tried = tried.entry((contender_index, case_index)).or_default();
                    // The search begins where the repetition before has ended, or the case before.
                    let guess = tried.rate().or(last).unwrap_or(100_000.0);
                    runner.run(contender, case, repetition, guess, tried);
                }
            }
        }
    }

    let mut outcomes = Vec::new();
    for (case_index, &case) in cases.iter().enumerate() {
        let mut of_case = Vec::new();
        for (contender_index, contender) in contenders.iter().enumerate() {
            if let Some(Tried { results, calls }) = tried.remove(&(contender_index, case_index)) {
                of_case.push(Outcome::new(contender.name.clone(), case, results, calls));
            }
        }
        let mut of_case = runner.same_load(&contenders, case, of_case);
        for outcome in &mut of_case {
            if let Some(worker) = workers.iter().find(|worker| worker.name == outcome.contender) {
                runner.distance(worker, outcome);
            }
        }
        outcomes.extend(of_case);
    }
    let mut growth = Vec::with_capacity(growths);
    for sizes in &families {
        for worker in workers.iter().filter(|worker| takes_part(worker, &sizes[0])) {
            growth.extend(runner.growth(worker, sizes, &outcomes));
        }
    }
    runner.progress.finish_and_clear();
    Ok(Report {
        machine,
        cores,
        receive_trains: options.receive_trains,
        tolerated_loss: TOLERATED_LOSS,
        durations,
        same_load: Some(schedule),
        distances: Some(distances),
        repetitions: options.repetitions,
        contenders,
        absent: runner.absent,
        limits,
        outcomes,
        growth,
    })
}

fn cases(options: &Options) -> Vec<Case> {
    let mut cases = Vec::new();
    for &kind in &options.traffic {
        let (producers, traffic) = match kind {
            Kind::Even => (1, Traffic::video(Pattern::Even)),
            Kind::Burst | Kind::Rooms => (1, Traffic::video(Pattern::Burst)),
            Kind::Audio => (SPEAKERS, Traffic::audio()),
        };
        let people = options.people;
        let audiences: Vec<Audience> = match kind {
            Kind::Rooms => options.rooms.iter().map(|&rooms| Audience::Rooms { rooms, people }).collect(),
            _ => options.consumers.iter().map(|&consumers| Audience::Fan { producers, consumers }).collect(),
        };
        for &mode in &options.modes {
            cases.extend(audiences.iter().map(|&audience| Case { audience, mode, traffic }));
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
        let wanted = |backend: &&str| options.backends.is_empty() || options.backends.iter().any(|one| one == backend);
        let mut choices: Vec<Option<&str>> = backends.into_iter().filter(wanted).map(Some).collect();
        if choices.is_empty() {
            choices.push(None);
        }
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
