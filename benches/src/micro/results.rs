//! Criterion's results, gathered into one file and one page.

use super::Id;
use crate::output;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use stage::Machine;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Results {
    /// What it was measured on.
    pub machine: Machine,
    /// In the order of measuring.
    pub measurements: Vec<Measurement>,
}

/// One function.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// The table.
    pub group: String,
    /// The row.
    pub row: String,
    /// The column; empty where a table has only one.
    pub column: String,
    /// Nanoseconds a repetition, the median, and its confidence interval of 95 %.
    pub median: f64,
    /// Its lower end.
    pub lower: f64,
    /// Its upper end.
    pub upper: f64,
}

/// What criterion leaves beside its raw samples, as far as it is needed here.
#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// What criterion says of a benchmark.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

impl Results {
    /// Those of these functions, from criterion's directory.
    ///
    /// # Errors
    /// One is missing there, or criterion has changed its files.
    pub fn read(criterion: &Path, ids: &[Id]) -> Result<Self> {
        let mut found = Vec::new();
        collect(criterion, &mut found)?;
        let measurements = ids.iter().map(|id| {
            let (_, estimates) =
                found.iter().find(|(known, _)| known == id).with_context(|| format!("{id} is missing"))?;
            let Estimate { point_estimate, confidence_interval } = &estimates.median;
            Ok(Measurement {
                group: id.group.clone(),
                row: id.row.clone(),
                column: id.column.clone(),
                median: *point_estimate,
                lower: confidence_interval.lower_bound,
                upper: confidence_interval.upper_bound,
            })
        });
        Ok(Self { machine: Machine::describe(), measurements: measurements.collect::<Result<_>>()? })
    }

    /// Writes PATH.json and PATH.md.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        output::write(path, self, &[("md", self.markdown())])
    }

    /// A table for each group.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Medians in nanoseconds; their intervals of confidence are in the JSON.\n",
            self.machine.summary()
        );
        for group in distinct(self.measurements.iter().map(|measurement| measurement.group.as_str())) {
            let of_group = || self.measurements.iter().filter(move |measurement| measurement.group == group);
            let columns = distinct(of_group().map(|measurement| measurement.column.as_str()));
            // Writing to a String doesn't fail.
            let _ = write!(text, "\n| {group} |");
            for column in &columns {
                let _ = write!(text, " {} |", if column.is_empty() { "ns" } else { column });
            }
            let _ = writeln!(text, "\n|---|{}", "--:|".repeat(columns.len()));
            for row in distinct(of_group().map(|measurement| measurement.row.as_str())) {
                let _ = write!(text, "| {row} |");
                for column in &columns {
                    let cell = of_group().find(|measurement| measurement.row == row && measurement.column == *column);
                    let _ = write!(text, " {} |", cell.map_or("-".to_owned(), |cell| digits(cell.median)));
                }
                text.push('\n');
            }
        }
        text
    }
}

/// Three digits that say something.
fn digits(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Each once, in the order of their first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// Finds every `new/estimates.json` with the `benchmark.json` beside it.
fn collect(directory: &Path, found: &mut Vec<(Id, Estimates)>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("{} can't be read", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|name| name == "new") {
            let benchmark: Benchmark = serde_json::from_slice(&fs::read(path.join("benchmark.json"))?)?;
            let estimates = serde_json::from_slice(&fs::read(path.join("estimates.json"))?)?;
            let row = benchmark.function_id.unwrap_or_default();
            found.push((Id::of(&benchmark.group_id, &row, &benchmark.value_str.unwrap_or_default()), estimates));
        } else {
            collect(&path, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(group: &str, row: &str, column: &str, median: f64) -> Measurement {
        let (group, row, column) = (group.to_owned(), row.to_owned(), column.to_owned());
        Measurement { group, row, column, median, lower: median, upper: median }
    }

    #[test]
    fn a_group_is_a_table_of_rows_and_columns() {
        let measurements = vec![
            measurement("RTP", "parse", "", 8.126),
            measurement("SRTP", "GCM", "100 bytes", 99.94),
            measurement("SRTP", "GCM", "500 bytes", 123.4),
            measurement("SRTP", "CM", "500 bytes", 1_234.5),
        ];
        let text = Results { machine: Machine::describe(), measurements }.markdown();
        assert!(text.contains("| RTP | ns |\n|---|--:|\n| parse | 8.13 |\n"), "{text}");
        let table = "| SRTP | 100 bytes | 500 bytes |\n|---|--:|--:|\n| GCM | 99.9 | 123 |\n| CM | - | 1234 |\n";
        assert!(text.contains(table), "{text}");
    }
}
