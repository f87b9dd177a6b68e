//! `cargo run --release -p ipc-demos --bin compare`: every way that two processes talk, side by side.
//!
//! For each way, length and repetition two processes are started anew, each on a core of its own. They first exchange
//! messages that are compared byte by byte; then the clock runs: for round trips, with two other processes for round
//! trips on one core, and with two more for messages one way, each of which is numbered and looked for. The contenders take turns, so that what else the machine
//! does hits all of them alike, and each repetition begins with another one.

mod draw;
mod links;
mod measure;
mod report;

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Parser;
use links::{CONTENDERS, Contender};
use measure::{Cores, Found, Kind};
use report::{Outcome, Report, Spread};
use stage::Machine;

/// The messages' lengths, in bytes.
const LENGTHS: [usize; 3] = [64, 1024, 65_536];

/// How many messages of a length: for round trips, and one way.
const fn counts(length: usize) -> (u64, u64) {
    match length {
        0..=64 => (10_000, 200_000),
        65..=1024 => (10_000, 200_000),
        _ => (3_000, 8_000),
    }
}

/// Compares every way that two processes talk: round trip, throughput, system calls.
///
/// It takes two minutes. On a machine that does other things as well, start it by `chrt -f 10` (as root): it is then not
/// interrupted by them. With --once it runs one contender once, to be looked at from outside:
/// `strace -f -c -e trace=read,write target/release/compare --once pipe`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 7)]
    repetitions: usize,
    /// A hundredth of the messages, once: to see that it works.
    #[arg(long)]
    quick: bool,
    /// The folder for ipc.json, ipc.md and ipc.svg.
    #[arg(long, value_name = "FOLDER", default_value = "benches/results")]
    results: PathBuf,
    /// Run this contender only, once, and print what was counted.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["repetitions", "quick", "results"])]
    once: Option<String>,
    /// With --once: the messages' length in bytes, from 8 to 65536.
    #[arg(long, default_value_t = 64, requires = "once", value_parser = clap::value_parser!(u32).range(8..=65_536))]
    length: u32,
    /// With --once: how many.
    #[arg(long, default_value_t = 1_000, requires = "once")]
    messages: u64,
    /// With --once: both processes on one core.
    #[arg(long, requires = "once")]
    one_core: bool,
    /// With --once: one way, not there and back.
    #[arg(long, requires = "once")]
    one_way: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cores = Cores::choose()?;
    if let Some(name) = &arguments.once {
        return once(name, &arguments, if arguments.one_core { cores.one() } else { cores });
    }
    let repetitions = if arguments.quick { 1 } else { arguments.repetitions.max(1) };
    let share = if arguments.quick { 100 } else { 1 };
    let machine = Machine::describe();
    let found = compare(repetitions, share, cores)?;
    let outcomes = found.iter().map(Samples::outcome).collect();
    let report = Report {
        machine,
        cores,
        scheduling: measure::scheduling(),
        repetitions,
        lengths: LENGTHS.to_vec(),
        calls_counted_by: "the program's own count, in the timed runs, where each call is made",
        outcomes,
    };
    report.write(&arguments.results)?;
    println!("wrote ipc.json, ipc.md and ipc.svg to {}", arguments.results.display());
    Ok(())
}

/// All repetitions of one contender at one length.
struct Samples {
    contender: &'static Contender,
    length: usize,
    round_trips: Vec<Found>,
    /// The same with both processes on one core.
    on_one_core: Vec<Found>,
    one_way: Vec<Found>,
    one_way_count: u64,
}

impl Samples {
    fn outcome(&self) -> Outcome {
        let of = |runs: &[Found], value: &dyn Fn(&Found) -> f64| Spread::of(runs.iter().map(value));
        let seconds = |run: &Found| run.percentile(1.0) as f64 / 1e9;
        Outcome {
            contender: self.contender.name,
            length: self.length,
            round_trip_p50_us: of(&self.round_trips, &|run| run.percentile(0.5) as f64 / 1e3),
            round_trip_p99_us: of(&self.round_trips, &|run| run.percentile(0.99) as f64 / 1e3),
            one_core_p50_us: of(&self.on_one_core, &|run| run.percentile(0.5) as f64 / 1e3),
            one_core_p99_us: of(&self.on_one_core, &|run| run.percentile(0.99) as f64 / 1e3),
            round_trip_calls: of(&self.round_trips, &|run| run.calls),
            messages_per_second: of(&self.one_way, &|run| self.one_way_count as f64 / seconds(run)),
            one_way_calls: of(&self.one_way, &|run| run.calls),
        }
    }
}

fn compare(repetitions: usize, share: u64, cores: Cores) -> anyhow::Result<Vec<Samples>> {
    let mut all: Vec<Samples> = Vec::new();
    for length in LENGTHS {
        let one_way_count = counts(length).1 / share;
        all.extend(CONTENDERS.iter().map(|contender| Samples {
            contender,
            length,
            round_trips: Vec::new(),
            on_one_core: Vec::new(),
            one_way: Vec::new(),
            one_way_count,
        }));
    }
    let total = all.len();
    for repetition in 0..repetitions {
        for step in 0..total {
            // Another one begins each time, so that none always follows the same one.
            let samples = &mut all[(step + repetition * 5) % total];
            progress(repetition * total + step, repetitions * total, samples.contender.name, samples.length);
            let Samples { contender, length, .. } = *samples;
            let failed = || format!("{} with {length} bytes failed", contender.name);
            let round_trips = counts(length).0 / share;
            let run = |kind, count, cores| measure::run(contender, kind, length, count, cores).with_context(failed);
            samples.round_trips.push(run(Kind::RoundTrip, round_trips, cores)?);
            samples.on_one_core.push(run(Kind::RoundTrip, round_trips / 5, cores.one())?);
            samples.one_way.push(run(Kind::OneWay, samples.one_way_count, cores)?);
        }
    }
    Ok(all)
}

/// A line that is written over where that can be done.
fn progress(done: usize, total: usize, name: &str, length: usize) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{:>3} %  {name}, {}", 100 * done / total, report::bytes(length));
    } else if done.is_multiple_of(CONTENDERS.len()) {
        eprintln!("{:>3} %", 100 * done / total);
    }
}

fn once(name: &str, arguments: &Arguments, cores: Cores) -> anyhow::Result<()> {
    let known = || CONTENDERS.map(|contender| contender.name).join("\n  ");
    let contender = CONTENDERS.iter().find(|contender| contender.name == name);
    let contender = contender.with_context(|| format!("there is no contender {name:?}, but\n  {}", known()))?;
    ensure!(arguments.messages > 0, "with no messages there is nothing to count");
    let kind = if arguments.one_way { Kind::OneWay } else { Kind::RoundTrip };
    let found = measure::run(contender, kind, arguments.length as usize, arguments.messages, cores)?;
    let what = if arguments.one_way { "message one way" } else { "round trip" };
    println!("{name}: {:.2} system calls for each {what}, both processes together", found.calls);
    Ok(())
}
