//! A driver as a process of its own, as in the benchmark: it can be watched from outside, and stopped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use ch05_event_libraries::Driver;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running server.
pub struct Process {
    child: Child,
    /// The server itself, which is the child's child when it is traced.
    pub server: Pid,
    pub address: SocketAddr,
}

impl Process {
    /// Starts this program again as a server.
    pub fn start(driver: Driver) -> anyhow::Result<Process> {
        let program = std::env::current_exe().context("this program's own path is unknown")?;
        Process::spawn(driver, &mut Command::new(program))
    }

    /// The same under strace, which writes to this file.
    pub fn start_traced(driver: Driver, trace: &Path, calls: &str) -> anyhow::Result<Process> {
        let program = std::env::current_exe().context("this program's own path is unknown")?;
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-e", "signal=none", "-e"]).arg(format!("trace={calls}"));
        command.arg("-o").arg(trace).arg("--").arg(program);
        let mut process = Process::spawn(driver, &mut command)?;
        let strace = process.child.id();
        let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"))?;
        let server = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        process.server = Pid::from_raw(server.context("strace has started nothing")?);
        Ok(process)
    }

    fn spawn(driver: Driver, command: &mut Command) -> anyhow::Result<Process> {
        command.args(["--driver", driver.name(), "--listen", "127.0.0.1:0", "--quiet"]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("the server could not be started")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let address = line.split([' ', ';']).find_map(|word| word.parse().ok());
        let address = address.with_context(|| format!("the server said {line:?} and no address"))?;
        let server = Pid::from_raw(child.id() as i32);
        Ok(Process { child, server, address })
    }

    /// Processor time that all of its threads have used.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.server)).context("the server is gone")? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += schedstat.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Whether it is still there.
    pub fn ensure_alive(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the server has ended");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only when it is gone already. strace ends with what it traces.
        let _ = kill(self.server, Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
