//! Counts the instructions of the functions that `make bench` times. See `--help`.

use anyhow::{Context, Result, ensure};
use benches::micro::instructions::{Counts, TOLERATED, count, repeat_all};
use benches::output;
use clap::Parser;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Counts instructions under callgrind and compares them with a baseline.
///
/// Prints the instructions of each function, and their ratio to the baseline's. Exits with 1 when one has got worse by more
/// than 2 % under the baseline's conditions (compiler, valgrind, processor); under others, differences are only shown.
#[derive(Debug, Parser)]
#[command(name = "bench-instructions", version)]
struct Options {
    /// Make what is counted the new baseline
    #[arg(long)]
    save: bool,

    /// The baseline [default: benches/results/instructions.json]
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,

    /// What callgrind watches
    #[arg(long, hide = true)]
    repeat: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-instructions: {error:#}.");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    if options.repeat {
        return repeat_all().map(|()| ExitCode::SUCCESS);
    }
    let program = std::env::current_exe().context("this program's own path is unknown")?;
    let counts = count(&program, &["--repeat"])?;
    let destination = output::destination(options.baseline.as_deref(), false, "instructions");
    let path = destination.context("there is nowhere to look for a baseline")?.with_extension("json");
    if options.save {
        fs::write(&path, serde_json::to_string_pretty(&counts)? + "\n")
            .with_context(|| format!("{} can't be written", path.display()))?;
        println!("Written: {} functions to {}", counts.functions.len(), path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(&path)
        .with_context(|| format!("there is no baseline at {}: --save makes one", path.display()))?;
    let before: Counts = serde_json::from_str(&text).with_context(|| format!("{} is no baseline", path.display()))?;
    ensure!(!before.functions.is_empty(), "the baseline at {} is empty", path.display());
    let comparison = counts.compare(&before);
    print!("{}", comparison.text);
    if comparison.worse.is_empty() {
        println!("\nNone of {} has got worse by more than {:.0} %.", counts.functions.len(), (TOLERATED - 1.0) * 100.0);
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nWorse: {}.", comparison.worse.join("; "));
    Ok(if counts.conditions == before.conditions { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
