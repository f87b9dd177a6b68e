//! What was found, as JSON, as the tables of the book, and as a picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::draw;
use crate::measure::Cores;
use stage::Machine;

/// The median over the repetitions, and how far they were apart.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// Half of the repetitions found less.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 };
        Spread { median, min: at(0), max: at(values.len().saturating_sub(1)) }
    }
}

/// One contender at one length.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The contender's name.
    pub contender: &'static str,
    /// The messages' length in bytes.
    pub length: usize,
    /// Microseconds of a round trip: the median over repetitions of each one's median.
    pub round_trip_p50_us: Spread,
    /// Microseconds that 99 of 100 round trips did not exceed.
    pub round_trip_p99_us: Spread,
    /// The same with both processes on one core: the median.
    pub one_core_p50_us: Spread,
    /// And what 99 of 100 did not exceed.
    pub one_core_p99_us: Spread,
    /// System calls of both processes for a round trip.
    pub round_trip_calls: Spread,
    /// Messages a second, one way.
    pub messages_per_second: Spread,
    /// System calls of both processes for a message, one way.
    pub one_way_calls: Spread,
}

/// A whole comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// Where the processes ran.
    pub cores: Cores,
    /// How they were scheduled.
    pub scheduling: &'static str,
    /// How often everything was measured.
    pub repetitions: usize,
    /// The messages' lengths in bytes.
    pub lengths: Vec<usize>,
    /// How system calls were counted.
    pub calls_counted_by: &'static str,
    /// What was found.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Writes `ipc.json`, `ipc.md` and `ipc.svg` into the folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        write("ipc.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("ipc.md", self.tables())?;
        write("ipc.svg", draw::svg(self))
    }

    /// The outcomes at that length, in the order in which they were measured.
    pub fn at(&self, length: usize) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |outcome| outcome.length == length)
    }

    /// The contenders, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.lengths
            .first()
            .map(|length| self.at(*length).map(|outcome| outcome.contender).collect())
            .unwrap_or_default()
    }

    fn tables(&self) -> String {
        let pair = |p50: Spread, p99: Spread| format!("{}\u{a0}/\u{a0}{}", digits(p50.median), digits(p99.median));
        let calls = |calls: Spread| format!("{:.2}", calls.median);
        let mut text =
            self.table("Round trip in µs, p50 / p99, each process on a core of its own", "calls", &|outcome| {
                [pair(outcome.round_trip_p50_us, outcome.round_trip_p99_us), calls(outcome.round_trip_calls)]
            });
        text += &self.table(
            "One way in MB/s, with the smallest and the greatest of the repetitions",
            "calls",
            &|outcome| {
                let rate = |messages: f64| digits(messages * outcome.length as f64 / 1e6);
                let Spread { median, min, max } = outcome.messages_per_second;
                [format!("{}\u{a0}({}–{})", rate(median), rate(min), rate(max)), calls(outcome.one_way_calls)]
            },
        );
        text += &self.table("Round trip in µs, p50 and p99, both processes on one core", "p99", &|outcome| {
            [outcome.one_core_p50_us, outcome.one_core_p99_us].map(|spread| digits(spread.median))
        });
        let _ = writeln!(
            text,
            "\"Calls\" are system calls of both processes together, for each round trip or message: {}. Medians of {} repetitions, the contenders in turn, on cores {} and {}, {}. {}.",
            self.calls_counted_by,
            self.repetitions,
            self.cores.here,
            self.cores.there,
            self.scheduling,
            self.machine.summary()
        );
        text
    }

    /// A table with a row for each contender, and two columns for each length.
    fn table(&self, title: &str, second: &str, cells: &dyn Fn(&Outcome) -> [String; 2]) -> String {
        let head: String = self.lengths.iter().map(|length| format!(" {} | {second} |", bytes(*length))).collect();
        let mut text = format!("{title}:\n\n| |{head}\n|---|{}\n", "---:|---:|".repeat(self.lengths.len()));
        for name in self.names() {
            text += &format!("| {name} |");
            for outcome in self.outcomes.iter().filter(|outcome| outcome.contender == name) {
                let [first, second] = cells(outcome);
                text += &format!(" {first} | {second} |");
            }
            text.push('\n');
        }
        text + "\n"
    }
}

/// A length for people.
pub fn bytes(length: usize) -> String {
    if length < 1024 { format!("{length} B") } else { format!("{} KiB", length / 1024) }
}

/// Three digits of a number.
pub fn digits(value: f64) -> String {
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_median_of_odd_and_even_counts() {
        let spread = Spread::of([3.0, 1.0, 2.0].into_iter());
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([1.0, 2.0].into_iter()).median, 1.5);
    }
}
