//! Counts the instructions of the measured functions, which a busy machine doesn't change: callgrind counts them, one run of
//! this program for all functions. It tells of regressions; what a function costs in time, criterion tells.
//!
//! Callgrind's processor has AES-NI and AVX2 at most, no VAES and no AVX-512, so that the ciphers take other ways there than on
//! a newer processor: their counts show changes of our code around them and nothing else.

use super::{Bench, Id};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How often each function is repeated. What happens once in a while, as when a table grows, is shared out.
pub const REPETITIONS: u64 = 200;

/// A function got worse when it has more than this many times the instructions of before.
pub const TOLERATED: f64 = 1.02;

/// What counts depend on besides our code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// The compiler that is installed now, which is likely the one that built this program.
    pub compiler: String,
    /// What counts.
    pub valgrind: String,
    /// The processor's family, and what of its extensions callgrind offers.
    pub processor: String,
}

/// Instructions of every function.
#[derive(Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Under these conditions.
    pub conditions: Conditions,
    /// In the order of counting.
    pub functions: Vec<Count>,
}

/// Instructions of one function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// As `group/row/column`.
    pub name: String,
    /// Of one repetition, the mean.
    pub instructions: f64,
}

/// Repeats functions where callgrind sees it, and says their names.
struct Counted;

impl Bench for Counted {
    fn measure<R>(&mut self, id: &Id, mut work: impl FnMut() -> R) {
        counted_repetitions(&mut || drop(black_box(work())));
        println!("{id}");
    }

    fn measure_on<I, R>(&mut self, id: &Id, mut set_up: impl FnMut() -> I, mut work: impl FnMut(&mut I) -> R) {
        let mut inputs: Vec<I> = (0..REPETITIONS).map(|_| set_up()).collect();
        let mut left = inputs.iter_mut();
        counted_repetitions(&mut || drop(black_box(left.next().map(&mut work))));
        println!("{id}");
    }
}

/// Callgrind counts in here, and writes its count down at the end of it. One function for all work, so that it has one name.
#[inline(never)]
fn counted_repetitions(work: &mut dyn FnMut()) {
    for _ in 0..REPETITIONS {
        work();
    }
}

/// Its name, as callgrind's options want it.
const COUNTED: &str = "benches::micro::instructions::counted_repetitions";

/// What runs under callgrind: says the processor's extensions in a first line, then the name of each function that it has
/// repeated.
///
/// # Errors
/// An answer is wrong.
pub fn repeat_all() -> Result<()> {
    println!("{}", processor());
    super::all(&mut Counted)?;
    super::media_path(&mut Counted)
}

fn processor() -> String {
    let mut text = std::env::consts::ARCH.to_owned();
    #[cfg(target_arch = "x86_64")]
    for (name, is_there) in [
        ("aes", std::arch::is_x86_feature_detected!("aes")),
        ("pclmulqdq", std::arch::is_x86_feature_detected!("pclmulqdq")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("sha", std::arch::is_x86_feature_detected!("sha")),
        ("vaes", std::arch::is_x86_feature_detected!("vaes")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ] {
        if is_there {
            text += " ";
            text += name;
        }
    }
    text
}

/// Runs `program`, with arguments that make it call [`repeat_all`], under callgrind.
///
/// # Errors
/// There is no valgrind, or it fails, or the program does.
pub fn count(program: &Path, arguments: &[&str]) -> Result<Counts> {
    let valgrind = version("valgrind", "--version").context("there is no valgrind: `apt install valgrind`")?;
    let directory = tempfile::tempdir().context("no directory for temporary files can be made")?;
    let file = directory.path().join("counts");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(format!("--toggle-collect={COUNTED}")).arg(format!("--dump-after={COUNTED}"));
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().context("valgrind can't be started")?;
    if !output.status.success() {
        bail!("under valgrind: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let mut lines = said.lines();
    let processor = lines.next().unwrap_or_default().to_owned();
    let compiler = version("rustc", "--version").unwrap_or_else(|| "unknown".to_owned());
    let mut functions = Vec::new();
    for (index, name) in lines.enumerate() {
        let total = total(&file.with_extension((index + 1).to_string()))?;
        ensure!(total >= REPETITIONS, "callgrind has counted nothing of {name}");
        functions.push(Count { name: name.to_owned(), instructions: total as f64 / REPETITIONS as f64 });
    }
    ensure!(!functions.is_empty(), "nothing was counted");
    Ok(Counts { conditions: Conditions { compiler, valgrind, processor }, functions })
}

/// The instructions of one of callgrind's files.
fn total(path: &PathBuf) -> Result<u64> {
    let text = fs::read_to_string(path)
        .context("callgrind has not written a count for each function: are the program's symbols stripped?")?;
    let totals =
        text.lines().find_map(|line| line.strip_prefix("totals:")).context("callgrind's file has no totals")?;
    totals.trim().parse().with_context(|| format!("callgrind says {totals:?} and no number"))
}

fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Counts beside those of before.
#[derive(Debug)]
pub struct Comparison {
    /// A line a function, and what is to be said of the whole.
    pub text: String,
    /// Those that got worse.
    pub worse: Vec<String>,
}

impl Counts {
    /// Compares with counts of before.
    #[must_use]
    pub fn compare(&self, before: &Self) -> Comparison {
        let mut text = String::new();
        let mut worse = Vec::new();
        for Count { name, instructions } in &self.functions {
            let known = before.functions.iter().find(|known| known.name == *name);
            let ratio = known.map(|known| instructions / known.instructions);
            let said = match ratio {
                Some(ratio) if ratio > TOLERATED => {
                    worse.push(name.clone());
                    format!("{ratio:.3} WORSE")
                }
                Some(ratio) => format!("{ratio:.3}"),
                None => "new".to_owned(),
            };
            // Writing to a String doesn't fail.
            let _ = writeln!(text, "{instructions:>12.1}  {said:<12} {name}");
        }
        for known in &before.functions {
            if self.functions.iter().all(|count| count.name != known.name) {
                let _ = writeln!(text, "{:>12}  {:<12} {}", "-", "gone", known.name);
            }
        }
        if self.conditions != before.conditions {
            let _ = writeln!(
                text,
                "\nThe baseline was counted under other conditions, so that a difference need not be the code's:\n\
                 then {:?}\nnow  {:?}",
                before.conditions, self.conditions
            );
        }
        Comparison { text, worse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(functions: &[(&str, f64)]) -> Counts {
        let conditions = Conditions {
            compiler: "rustc".to_owned(),
            valgrind: "valgrind".to_owned(),
            processor: "x86_64".to_owned(),
        };
        let functions = functions.iter().map(|&(name, instructions)| Count { name: name.to_owned(), instructions });
        Counts { conditions, functions: functions.collect() }
    }

    #[test]
    fn more_than_two_percent_more_is_worse() {
        let before =
            counts(&[("same", 100.0), ("a little", 100.0), ("worse", 100.0), ("better", 100.0), ("gone", 1.0)]);
        let now = counts(&[("same", 100.0), ("a little", 101.9), ("worse", 102.1), ("better", 50.0), ("new", 1.0)]);
        let comparison = now.compare(&before);
        assert_eq!(comparison.worse, ["worse"]);
        for line in ["1.021 WORSE  worse", "0.500        better", "new          new", "gone         gone"] {
            assert!(comparison.text.contains(line), "{line:?} is not in\n{}", comparison.text);
        }
        assert!(!comparison.text.contains("other conditions"));
    }

    #[test]
    fn other_conditions_are_told() {
        let before = counts(&[("same", 100.0)]);
        let mut now = counts(&[("same", 100.0)]);
        now.conditions.compiler = "another rustc".to_owned();
        assert!(now.compare(&before).text.contains("other conditions"));
    }
}
