//! What the demonstrations have in common: their beginning, a child's life, and its end.

use anyhow::{Context, ensure};
use ch02_processes_and_signals::{fork_alone, run_child};
use clap::Command;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use stage::Transcript;

/// Begins a program that takes no arguments but `--help`, which says what it shows.
pub fn begin(shows: &'static str) -> Transcript {
    Command::new("ipc-demos").version(env!("CARGO_PKG_VERSION")).about(shows).get_matches();
    Transcript::new()
}

/// Starts a child that lives this life. What it uses is copied, and stays open in the parent.
///
/// # Errors
/// Those of `fork`.
pub fn fork(
    transcript: &mut Transcript,
    life: impl FnOnce(&mut Transcript) -> anyhow::Result<()>,
) -> anyhow::Result<Pid> {
    match fork_alone()? {
        ForkResult::Child => child(transcript, life),
        ForkResult::Parent { child } => Ok(child),
    }
}

/// A child's life: it does what it is to do, says it when that fails, and exits.
pub fn child(transcript: &mut Transcript, life: impl FnOnce(&mut Transcript) -> anyhow::Result<()>) -> ! {
    run_child(|| match life(transcript) {
        Ok(()) => 0,
        Err(error) => {
            transcript.line("child", format!("failed: {error:#}"));
            1
        }
    })
}

/// Waits for a child's end, and says what it was.
///
/// # Errors
/// There is no such child, or it failed.
pub fn reap(transcript: &mut Transcript, child: Pid) -> anyhow::Result<WaitStatus> {
    let status = waitpid(child, None).context("waitpid failed")?;
    let what = match status {
        WaitStatus::Exited(pid, code) => format!("waitpid: pid {pid} exited with {code}"),
        WaitStatus::Signaled(pid, signal, _) => format!("waitpid: pid {pid} was killed by {signal}"),
        other => format!("waitpid: {other:?}"),
    };
    transcript.line("parent", what);
    ensure!(!matches!(status, WaitStatus::Exited(_, 1)), "the child failed");
    Ok(status)
}

/// Bytes as text, for people.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A count for people: 12,345.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or("")).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 999, 1_000, 12_345_678].map(super::grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345,678"]);
    }
}
