//! The command line of `bench-chapters`, and its order of work.

use super::contender::{Contender, Server};
use super::load::Clients;
use super::pages::{Case, PAGES, Page};
use super::report::{Outcome, Report, Run};
use crate::machine::{Cores, pinned_to};
use crate::output;
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use indicatif::ProgressBar;
use stage::Machine;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures what the chapters' servers take for their work, and the core for the same.
///
/// Contenders alternate, and every answer is checked. Exits with 1 when one has failed.
#[derive(Debug, Parser)]
#[command(name = "bench-chapters", version)]
struct Options {
    /// Only these chapters: ch01, ch02, ch03, ch04, ch06
    #[arg(long, value_delimiter = ',', value_name = "CHAPTER")]
    only: Vec<String>,

    /// How often each case is run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    repetitions: u16,

    /// Only see that everything works: a fifth of the work, once
    #[arg(long)]
    quick: bool,

    /// The folder for the results: CHAPTER.json, CHAPTER.md, CHAPTER.svg [default: benches/results; with --quick nowhere]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Of the operations that are measured, so many come before, unmeasured: 1 of 20.
const WARM_UP: u64 = 20;

/// Runs the program.
///
/// # Errors
/// In words, what keeps it from measuring.
pub fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    if let Some(unknown) = options.only.iter().find(|name| PAGES.iter().all(|page| page.chapter != **name)) {
        bail!("--only doesn't know {unknown}: there are {}", PAGES.map(|page| page.chapter).join(", "));
    }
    if options.quick {
        options.repetitions = 1;
    }
    let cores = Cores::divide()?;
    // For unix sockets; dropping it removes them.
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let pages: Vec<&Page> = PAGES
        .iter()
        .filter(|page| options.only.is_empty() || options.only.iter().any(|name| name == page.chapter))
        .collect();
    let runs: usize = pages.iter().map(|page| page.cases.len() * page.contenders.len()).sum();
    let progress = output::progress(runs * usize::from(options.repetitions))?;

    let machine = Machine::describe();
    let mut clean = true;
    for page in pages {
        // The load is this process.
        let report =
            pinned_to(cores.generator, || Ok(measure(page, &machine, &options, cores, directory.path(), &progress)))?;
        progress.suspend(|| println!("{}\n\n{}", report.chapter, report.markdown(page)));
        clean &= report.is_clean();
        if let Some(folder) = output::destination(options.output.as_deref(), options.quick, "") {
            report.write(page, &folder.join(page.chapter))?;
        }
    }
    progress.finish_and_clear();
    if let Some(folder) = output::destination(options.output.as_deref(), options.quick, "") {
        println!("Written to {}", folder.display());
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(
    page: &Page,
    machine: &Machine,
    options: &Options,
    cores: Cores,
    directory: &Path,
    progress: &ProgressBar,
) -> Report {
    let mut results: HashMap<(Contender, &str), Vec<Result<Run, String>>> = HashMap::new();
    for repetition in 1..=options.repetitions {
        for case in page.cases {
            for &contender in page.contenders {
                let what = format!("{}: {}, {}, repetition {repetition}", page.chapter, contender.name(), case.name);
                progress.set_message(what.clone());
                if contender.refuses(case.work).is_none() {
                    let operations = if options.quick { case.operations / 5 } else { case.operations };
                    let result = run(contender, *case, operations, cores, directory);
                    if let Err(error) = &result {
                        progress.suspend(|| eprintln!("FAILED: {what}: {error:#}."));
                    }
                    let results = results.entry((contender, case.name)).or_default();
                    results.push(result.map_err(|error| format!("{error:#}")));
                }
                progress.inc(1);
            }
        }
    }
    let mut outcomes = Vec::new();
    for case in page.cases {
        for &contender in page.contenders {
            let results = results.remove(&(contender, case.name)).unwrap_or_default();
            outcomes.push(Outcome::new(contender, *case, results));
        }
    }
    Report {
        chapter: page.chapter,
        operation: page.operation,
        machine: machine.clone(),
        server_core: cores.worker,
        load_core: cores.generator,
        repetitions: options.repetitions.into(),
        outcomes,
    }
}

/// Two servers one after the other: both are started, connected to and warmed up, and only the second one works.
fn run(contender: Contender, case: Case, operations: u64, cores: Cores, directory: &Path) -> Result<Run> {
    let start = || {
        let (server, place) = Server::start(contender, case.work, cores.worker, directory)?;
        let mut clients = Clients::connect(case.work, place)?;
        // At least once over each connection.
        clients.run((operations / WARM_UP).max(clients.connections()))?;
        Ok::<_, anyhow::Error>((server, clients))
    };
    let (server, clients) = start()?;
    drop(clients);
    let without_ns = server.stop()?;

    let (server, mut clients) = start()?;
    let done = clients.run(operations)?;
    let memory = server.memory()?;
    drop(clients);
    let used = server.stop()?;
    ensure!(used > without_ns, "{operations} operations took no more processor time than none");
    Ok(Run {
        operations,
        cpu_ns: (used - without_ns) as f64 / operations as f64,
        without_ns,
        per_second: operations as f64 / done.seconds,
        latency: done.latency,
        memory,
    })
}
