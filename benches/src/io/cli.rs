//! The command line of `bench-io`, and its order of work.

use super::forwarder::{Allocations, Contender, contenders, session};
use super::plot;
use super::receiving;
use super::report::{Measured, Outcome, Place, ReceivingOutcome, Report};
use crate::case::{Audience, Case};
use crate::machine::Cores;
use crate::measure::{self, Durations, Run, TOLERATED_LOSS};
use crate::output;
use crate::session::{Checks, Session, Setting};
use crate::traffic::{Media, Pattern, Traffic};
use crate::workload::{Mode, Packets};
use crate::{generator, receiver};
use anyhow::{Context, Result, bail};
use ch05_event_libraries::forwarder::{MAX_DATAGRAM, MAX_SUBSCRIBERS};
use clap::{Parser, Subcommand};
use stage::Machine;
use std::collections::HashMap;
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

    /// How many subscribers there are; 0 for what receiving alone costs
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 10, 100, 500], value_parser = parse_subscribers)]
    subscribers: Vec<usize>,

    /// How long packets are, in bytes
    #[arg(long, value_delimiter = ',', default_values_t = [1_200, 100], value_parser = parse_length)]
    lengths: Vec<usize>,

    /// How packets are spaced when they come
    #[arg(long, value_enum, default_value_t = Pattern::Even)]
    pattern: Pattern,

    /// Only these contenders
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,

    /// How often each case is run
    #[arg(long, default_value_t = 3)]
    repetitions: usize,

    /// Only see that everything works: one short run each with no subscribers and with 10
    #[arg(long)]
    quick: bool,

    /// Where the results go: PATH.json, PATH.md and PATH.svg [default: benches/results/ch05; with --quick nowhere]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
}

fn parse_subscribers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(subscribers @ 0..=MAX_SUBSCRIBERS) => Ok(subscribers),
        _ => Err(format!("it takes numbers from 0 to {MAX_SUBSCRIBERS}, as many as a forwarder lets in")),
    }
}

fn parse_length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(length) if (Packets::MIN_LEN..=MAX_DATAGRAM).contains(&length) => Ok(length),
        _ => {
            Err(format!("it takes numbers from {} to {MAX_DATAGRAM}, the longest that is forwarded", Packets::MIN_LEN))
        }
    }
}

/// What the runner starts this program as, and what else there is to do than to measure.
#[derive(Debug, Clone, Subcommand)]
enum Role {
    #[command(hide = true)]
    Generator,
    #[command(hide = true)]
    Receiver,
    /// Writes PATH.md and PATH.svg anew from PATH.json, without measuring
    Render {
        /// What a run has written
        #[arg(value_name = "PATH.json")]
        result: PathBuf,
    },
}

/// Shorter than those of `bench-forward`: there are many contenders.
const FULL: Durations = Durations { verify: 0.1, search: 0.1, warm_up: 0.0, measure: 0.4 };

/// Runs the program.
///
/// # Errors
/// In words, what keeps it from measuring.
pub fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    match options.role.take() {
        Some(Role::Generator) => return generator::main().map(|()| ExitCode::SUCCESS),
        Some(Role::Receiver) => return receiver::main().map(|()| ExitCode::SUCCESS),
        Some(Role::Render { result }) => {
            output::write_texts(&result, &texts(&Report::read(&result)?))?;
            println!("Written: {}", result.with_extension("{md,svg}").display());
            return Ok(ExitCode::SUCCESS);
        }
        None => {}
    }
    if options.quick {
        options.subscribers = vec![0, 10];
        options.lengths.truncate(1);
        options.repetitions = 1;
    }
    // For the files of this run; dropping it removes them.
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let report = run(&options, directory.path())?;
    print!("{}", report.markdown());
    if let Some(output) = output::destination(options.output.as_deref(), options.quick, "ch05") {
        output::write(&output, &report, &texts(&report))?;
        println!("\nWritten: {}", output.with_extension("{json,md,svg}").display());
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is written of a report for readers, by the file's extension.
fn texts(report: &Report) -> [(&'static str, String); 2] {
    [("md", report.markdown()), ("svg", plot::draw(report))]
}

fn run(options: &Options, directory: &Path) -> Result<Report> {
    let cores = Cores::divide()?;
    let durations = if options.quick { Durations::QUICK } else { FULL };
    let setting = Setting::new(cores, directory);
    let machine = Machine::describe();
    let (mut contenders, mut absent) = contenders()?;
    if !options.only.is_empty() {
        contenders.retain(|contender| options.only.contains(&contender.name));
    }
    if contenders.is_empty() {
        bail!("--only leaves nobody");
    }

    let places = places(options);
    let total =
        places.iter().map(|place| contenders_of(&contenders, *place).count()).sum::<usize>() * options.repetitions;
    let progress = output::progress(total)?;
    let mut receiving: HashMap<(usize, Place), Vec<Result<receiving::Receiving, String>>> = HashMap::new();
    let mut forwarding: HashMap<(usize, Place), Vec<Result<Measured, String>>> = HashMap::new();
    for repetition in 0..options.repetitions {
        for &place in &places {
            let mut last = 100_000.0;
            for (index, contender) in contenders_of(&contenders, place) {
                let what = format!("{}, {place}, repetition {}", contender.name, repetition + 1);
                // Without a terminal there is no bar; a log says where it is.
                if progress.is_hidden() {
                    eprintln!("{}/{total}: {what}", progress.position() + 1);
                }
                let mut tell = |message: &str| progress.set_message(format!("{what}: {message}"));
                let traffic = traffic(place, options.pattern);
                let failure = if place.subscribers == 0 {
                    let result = receiving::measure(contender, traffic, setting, durations, &mut tell);
                    note(receiving.entry((index, place)).or_default(), result)
                } else {
                    let results = forwarding.entry((index, place)).or_default();
                    // The search begins where the repetition before has ended, or the contender before.
                    let before = results.iter().flatten().next_back();
                    let guess = before.map_or(last, |measured: &Measured| measured.run.packets_per_second);
                    let audience = Audience::Fan { producers: 1, consumers: place.subscribers };
                    let case = Case { audience, mode: Mode::Plain, traffic };
                    let result = measure(contender, case, setting, guess, durations, &mut tell);
                    last = result.as_ref().map_or(last, |measured| measured.run.packets_per_second);
                    note(results, result)
                };
                if let Some(failure) = failure {
                    progress.suspend(|| eprintln!("FAILED: {what}: {failure}."));
                }
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();

    let (mut outcomes, mut controls) = (Vec::new(), Vec::new());
    for &place in &places {
        for (index, contender) in contenders_of(&contenders, place) {
            let name = contender.name.clone();
            if place.subscribers == 0 {
                let results = receiving.remove(&(index, place)).unwrap_or_default();
                controls.push(ReceivingOutcome::new(name, place.packet_len, results));
            } else {
                outcomes.push(Outcome::new(name, place, forwarding.remove(&(index, place)).unwrap_or_default()));
            }
        }
    }
    // Said once, and not for each contender.
    let uncounted = outcomes.iter().flat_map(|outcome| &outcome.runs).find_map(|measured| measured.uncounted.clone());
    absent.extend(uncounted.map(|why| format!("system calls: {why}")));
    Ok(Report {
        machine,
        cores,
        pattern: options.pattern,
        tolerated_loss: TOLERATED_LOSS,
        durations,
        repetitions: options.repetitions,
        contenders,
        absent,
        receiving: controls,
        outcomes,
    })
}

/// All cases: of each length those of all numbers of subscribers.
fn places(options: &Options) -> Vec<Place> {
    let of_length =
        |&packet_len: &usize| options.subscribers.iter().map(move |&subscribers| Place { packet_len, subscribers });
    options.lengths.iter().flat_map(of_length).collect()
}

/// Who takes part in a case, and at which place of the list. The control forwards nothing, and so can't receive only.
fn contenders_of(contenders: &[Contender], place: Place) -> impl Iterator<Item = (usize, &Contender)> {
    let takes_part = move |contender: &Contender| place.subscribers > 0 || !contender.command.is_empty();
    contenders.iter().enumerate().filter(move |(_, contender)| takes_part(contender))
}

const fn traffic(place: Place, pattern: Pattern) -> Traffic {
    Traffic { media: Media::Video, pattern, packet_len: place.packet_len }
}

/// Notes a result, and says what failed.
fn note<T>(results: &mut Vec<Result<T, String>>, result: Result<T>) -> Option<String> {
    let result = result.map_err(|error| format!("{error:#}"));
    let failure = result.as_ref().err().cloned();
    results.push(result);
    failure
}

/// One contender's one run of one case, and after it the counts of system calls and of allocations at half load.
fn measure(
    contender: &Contender,
    case: Case,
    setting: Setting<'_>,
    guess: f64,
    durations: Durations,
    tell: &mut dyn FnMut(&str),
) -> Result<Measured> {
    let (mut session, allocations) = session(contender, case, setting)?;
    let run = measure::run(&mut session, guess, durations, tell)?;
    let Some(mut allocations) = allocations else {
        return Ok(Measured { run, calls_per_packet: None, uncounted: None, allocations_per_packet: None });
    };
    tell("counting system calls and allocations at half load");
    let (calls_per_packet, uncounted) =
        match measure::calls_per_packet(&mut session, &run, durations.search, setting.directory) {
            Ok(calls) => (Some(calls), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
    let allocations_per_packet = Some(count_allocations(&mut session, &mut allocations, &run, durations.search)?);
    Ok(Measured { run, calls_per_packet, uncounted, allocations_per_packet })
}

/// Allocations for each packet that arrives, at half load.
fn count_allocations(session: &mut Session, asks: &mut Allocations, run: &Run, seconds: f64) -> Result<f64> {
    let rate = run.packets_per_second / 2.0 / session.case().audience.copies() as f64;
    let before = asks.count()?;
    let step = session.step(rate, seconds, Checks { check_every: 256, time_every: 256 })?;
    Ok((asks.count()? - before) as f64 / step.received.packets.max(1) as f64)
}
