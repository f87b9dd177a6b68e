//! Keeps cores awake while latency is measured.
//!
//! A core without work goes to sleep, and waking it takes time: on a virtual machine tens or hundreds of microseconds, since the
//! hypervisor takes part. Whoever is done sooner sleeps more often, and pays more for it. On bare metal one would boot with
//! `idle=poll`, or hold `/dev/cpu_dma_latency`; here a process of the lowest scheduling class, SCHED_IDLE, spins on each core. It gives
//! way at once to anything else that wants to run.
//!
//! The class is set by `chrt` of util-linux: the system call is in none of the crates used here, and `unsafe` is forbidden.

use crate::machine::{Core, pinned_to};
use anyhow::{Context, Result, bail};
use std::fs;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The role that the program is started in.
pub(crate) const ROLE: &str = "spinner";

/// What a spinner says once it runs.
const READY: &str = "ready\n";

/// `SCHED_IDLE`, as `/proc/PID/stat` has it.
const SCHED_IDLE: &str = "5";

/// As long as it lives, the cores don't sleep. Its processes end when it is dropped, and when the process that has it ends in any
/// other way.
#[derive(Debug)]
pub struct Awake(Vec<Spinner>);

impl Awake {
    /// Keeps these cores awake. `program` is a benchmark that has the role, such as the one that runs.
    ///
    /// # Errors
    /// `chrt` isn't there, or the system doesn't allow it.
    pub fn keep(cores: &[Core], program: &Path) -> Result<Self> {
        cores.iter().map(|&core| Spinner::start(core, program)).collect::<Result<_>>().map(Self)
    }

    /// The ids of its processes.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.0.iter().map(|spinner| spinner.0.id()).collect()
    }
}

#[derive(Debug)]
struct Spinner(Child);

impl Spinner {
    fn start(core: Core, program: &Path) -> Result<Self> {
        let mut command = Command::new("chrt");
        command.args(["-i", "0"]).arg(program).arg(ROLE);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = pinned_to(core, || command.spawn());
        let mut spinner =
            Self(child.context("cores are kept awake by means of `chrt` of util-linux, which can't be started")?);
        let mut said = String::new();
        if let Some(output) = spinner.0.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        if said != READY {
            let mut complaint = String::new();
            if let Some(mut errors) = spinner.0.stderr.take() {
                errors.read_to_string(&mut complaint)?;
            }
            bail!("cores can't be kept awake: {}", complaint.trim());
        }
        if policy(spinner.0.id())? != SCHED_IDLE {
            bail!("cores can't be kept awake: `chrt` has not given the process that spins the class SCHED_IDLE");
        }
        Ok(spinner)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The scheduling class of a process: the 41st field of its `stat`, of which the second, in brackets, may have any character.
fn policy(process: u32) -> Result<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("the process is gone")?;
    let policy = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(38));
    Ok(policy.context("/proc/PID/stat has no scheduling class")?.to_owned())
}

/// Spins until standard input ends, which it does with the process that has the other end.
///
/// # Errors
/// Standard input or output is closed.
pub fn main() -> Result<()> {
    std::io::stdout().write_all(READY.as_bytes())?;
    std::thread::spawn(|| {
        let mut turns = 0_u64;
        // No PAUSE, as `spin_loop` has it: hypervisors take many of them for a lock that another core holds, and stop the core. One addition
        // after the other through memory leaves most of a core that two threads share to the other one.
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    });
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    Ok(())
}
