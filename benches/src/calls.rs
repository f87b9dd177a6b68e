//! How many system calls a process makes: `perf stat` counts a tracepoint, in a run of its own, since that slows each call.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
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
    /// Begins to count the calls of a process, all its threads. Every call made after this has returned is counted.
    ///
    /// # Errors
    /// There is no perf, or it isn't allowed to.
    pub fn start(process: u32, directory: &Path) -> Result<Self> {
        let output = directory.join("calls");
        let (mut orders, orders_path) = fifo(directory, "calls-orders")?;
        let (mut answers, answers_path) = fifo(directory, "calls-answers")?;
        let mut command = Command::new("perf");
        command.args(["stat", "-x,", "-e", EVENT, "-p"]).arg(process.to_string()).arg("-o").arg(&output);
        // It begins when told to, and says when it has: no moment before is sure to be counted.
        let control = format!("fifo:{},{}", orders_path.display(), answers_path.display());
        command.args(["--delay=-1", "--control", &control]);
        let perf = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("perf can't be started")?;
        let mut counter = Self { perf, output };
        orders.write_all(b"enable\n").context("perf can't be told to begin")?;
        counter.wait_until_enabled(&mut answers)?;
        Ok(counter)
    }

    fn wait_until_enabled(&mut self, answers: &mut File) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut answer = Vec::new();
        loop {
            // An error is that nothing has come yet.
            let _ = answers.read_to_end(&mut answer);
            if answer.starts_with(b"ack\n") {
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

/// A new pipe with a name, open at both ends, so that nobody waits for the other to open it.
fn fifo(directory: &Path, name: &str) -> Result<(File, PathBuf)> {
    let path = directory.join(name);
    if path.exists() {
        fs::remove_file(&path)?;
    }
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
        .with_context(|| format!("no pipe can be made at {}", path.display()))?;
    let file = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(&path)?;
    Ok((file, path))
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
    fn every_call_between_start_and_finish_is_counted() {
        let directory = std::env::temp_dir().join(format!("bench-calls-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        // A count may follow another in the same place.
        for _ in 0..2 {
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
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
