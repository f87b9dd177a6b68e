//! How many system calls a process makes: `perf stat` counts a tracepoint, in a run of its own, since that slows each call.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Entered by every system call of every architecture.
const EVENT: &str = "raw_syscalls:sys_enter";

/// A count under way.
#[derive(Debug)]
pub struct Counter {
    perf: Child,
    output: PathBuf,
}

impl Counter {
    /// Begins to count the calls of a process, all its threads.
    ///
    /// # Errors
    /// There is no perf, or it isn't allowed to.
    pub fn start(process: u32, directory: &Path) -> Result<Self> {
        let output = directory.join("calls");
        let mut command = Command::new("perf");
        command.args(["stat", "-x,", "-e", EVENT, "-p"]).arg(process.to_string()).arg("-o").arg(&output);
        let perf = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("perf can't be started")?;
        let mut counter = Self { perf, output };
        counter.wait_until_attached()?;
        Ok(counter)
    }

    /// It says nothing; what it has opened tells.
    fn wait_until_attached(&mut self) -> Result<()> {
        let descriptors = format!("/proc/{}/fd", self.perf.id());
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let attached = fs::read_dir(&descriptors).is_ok_and(|entries| {
                let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
                targets.into_iter().any(|target| target.to_string_lossy().contains("perf_event"))
            });
            if attached {
                return Ok(());
            }
            if let Some(status) = self.perf.try_wait()? {
                bail!("perf isn't allowed to count system calls, or can't ({status})");
            }
            if Instant::now() > deadline {
                bail!("perf doesn't begin to count");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the count.
    ///
    /// # Errors
    /// perf has written no number.
    pub fn finish(mut self) -> Result<u64> {
        kill(Pid::from_raw(self.perf.id().cast_signed()), Signal::SIGINT)?;
        self.perf.wait()?;
        let text = fs::read_to_string(&self.output).context("perf has written nothing")?;
        // value,unit,event,...
        let line = text.lines().find(|line| line.contains(EVENT)).context("perf has counted nothing")?;
        let value = line.split(',').next().unwrap_or_default();
        value.parse().with_context(|| format!("perf says {value:?} and no number"))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.perf.kill();
        let _ = self.perf.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_while_they_are_made() {
        let directory = std::env::temp_dir().join(format!("bench-io-calls-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        // Not everybody may count, and then it is said.
        match Counter::start(std::process::id(), &directory) {
            Ok(counter) => {
                for _ in 0..1_000 {
                    let _ = fs::metadata(&directory);
                }
                let calls = counter.finish().unwrap();
                assert!(calls >= 1_000, "{calls}");
            }
            Err(error) => assert!(error.to_string().contains("perf"), "{error:#}"),
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
