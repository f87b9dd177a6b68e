//! What the macro runners have in common: how they show progress, and where their results go.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A bar for so many runs.
///
/// # Errors
/// None, as long as its template is a good one.
pub fn progress(total: usize) -> Result<ProgressBar> {
    let progress = ProgressBar::new(total as u64);
    progress
        .set_style(ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len}, {eta} left  {wide_msg}")?);
    progress.enable_steady_tick(Duration::from_millis(500));
    Ok(progress)
}

/// Where results go: where the user says, else to `benches/results/NAME`; after a quick run nowhere.
#[must_use]
pub fn destination(given: Option<&Path>, quick: bool, name: &str) -> Option<PathBuf> {
    match given {
        Some(path) => Some(path.to_owned()),
        None if quick => None,
        None => Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(name)),
    }
}

/// Writes a report as PATH.json, and these texts as PATH with their extensions.
///
/// # Errors
/// A file can't be written.
pub fn write(path: &Path, report: &impl Serialize, texts: &[(&str, String)]) -> Result<()> {
    write_texts(path, &[("json", serde_json::to_string_pretty(report)? + "\n")])?;
    write_texts(path, texts)
}

/// Writes texts as PATH with their extensions.
///
/// # Errors
/// A file can't be written.
pub fn write_texts(path: &Path, texts: &[(&str, String)]) -> Result<()> {
    for (extension, text) in texts {
        let path = path.with_extension(extension);
        fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    Ok(())
}
