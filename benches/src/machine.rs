//! The machine: its cores, its clock, and what processes use of it.

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;

/// A core by its number.
pub type Core = usize;

/// Which process runs where.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cores {
    /// The worker's.
    pub worker: Core,
    /// The load generator's.
    pub generator: Core,
    /// The receiver's. The generator's too where there are two cores.
    pub receiver: Core,
}

impl Cores {
    /// Divides the cores that this process may use.
    ///
    /// # Errors
    /// There is only one.
    pub fn divide() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("the allowed cores are unknown")?;
        let cores: Vec<Core> = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false)).collect();
        match *cores.as_slice() {
            [first, second] => Ok(Self { worker: second, generator: first, receiver: first }),
            [first, second, third, ..] => Ok(Self { worker: second, generator: first, receiver: third }),
            _ => bail!("measuring needs two cores: one for the worker, one for the load"),
        }
    }

    /// Each of them once.
    #[must_use]
    pub fn all(self) -> Vec<Core> {
        let mut all = vec![self.worker, self.generator, self.receiver];
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Does something while confined to one core, such as starting a process, which inherits it.
pub(crate) fn pinned_to<T>(core: Core, what: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    let mut only = CpuSet::new();
    only.set(core)?;
    sched_setaffinity(this, &only)?;
    let result = what();
    sched_setaffinity(this, &before)?;
    result
}

/// Nanoseconds of the monotonic clock, which all processes of the machine share.
pub(crate) fn monotonic_ns() -> u64 {
    // Fails only for a clock that doesn't exist.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, ns)
}

fn ns(time: TimeSpec) -> u64 {
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Nanoseconds of processor time that a process has used, all threads together, those that have ended and the one that runs
/// included. System calls included, and with them the delivery of loopback packets, which happens in the sender's time.
///
/// # Errors
/// The process is gone.
pub(crate) fn cpu_ns(process: u32) -> Result<u64> {
    let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed())).context("the process is gone")?;
    Ok(ns(clock_gettime(clock).context("the process is gone")?))
}

/// Nanoseconds that a process was ready to run and something else had its core, all threads together.
///
/// # Errors
/// The process is gone, or the kernel doesn't tell.
pub(crate) fn waited_ns(process: u32) -> Result<u64> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).context("the process is gone")?;
    // A thread may end meanwhile; what it waited is lost then.
    let times = threads.flatten().filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    times
        .reduce(|total, time| total + time)
        .context("/proc/PID/schedstat tells no times: the kernel lacks CONFIG_SCHED_INFO")
}

/// How long the hypervisor has kept these cores from the machine, since it was started, in ticks of a hundredth of a second; `None`
/// where the kernel doesn't tell. One that never grows says that the hypervisor doesn't tell.
pub(crate) fn steal_ticks(cores: &[Core]) -> Option<u64> {
    steal_of(&fs::read_to_string("/proc/stat").ok()?, cores)
}

fn steal_of(stat: &str, cores: &[Core]) -> Option<u64> {
    let of_core = |core: &Core| {
        let name = format!("cpu{core}");
        let mut fields = stat.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '))?.split_whitespace();
        fields.nth(7)?.parse::<u64>().ok()
    };
    cores.iter().map(of_core).sum()
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// The most it ever was.
    pub peak: u64,
}

pub(crate) fn memory(process: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_matches(|character: char| !character.is_ascii_digit()).parse::<u64>().ok().map(|kib| kib * 1024)
    };
    match (field("VmRSS:"), field("VmHWM:")) {
        (Some(now), Some(peak)) => Ok(Memory { now, peak }),
        _ => bail!("/proc/{process}/status has no VmRSS and VmHWM"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_s_time_and_memory_are_told() {
        let this = std::process::id();
        let before = cpu_ns(this).unwrap();
        // What a thread has used counts after its end, and what runs counts up to now.
        let own = || ns(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let spin = move || {
            while own() < 20_000_000 {}
        };
        std::thread::spawn(spin).join().unwrap();
        let used = cpu_ns(this).unwrap() - before;
        assert!(used >= 20_000_000, "20 ms of spinning used {used} ns");
        let memory = memory(this).unwrap();
        assert!(memory.now > 100_000 && memory.peak >= memory.now);
        // The kernel gives no process a number above 1 << 22.
        assert!(cpu_ns(1 << 23).is_err() && waited_ns(this).is_ok());
    }

    #[test]
    fn stolen_time_is_that_of_the_cores_in_use() {
        let stat = "cpu  9 9 9 9 9 9 9 90 0 0\ncpu1 9 9 9 9 9 9 9 30 0 0\ncpu2 9 9 9 9 9 9 9 40 0 0\ncpu10 9 9 9 9 9 9 9 20 0 0\n";
        assert_eq!(steal_of(stat, &[1, 2]), Some(70));
        assert_eq!(steal_of(stat, &[10]), Some(20));
        assert_eq!((steal_of(stat, &[3]), steal_of("cpu1 9 9\n", &[1])), (None, None));
        let two = Cores { worker: 1, generator: 0, receiver: 0 };
        assert_eq!(two.all(), [0, 1]);
    }

    #[test]
    fn a_pinned_child_runs_on_its_core() {
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let core = (0..CpuSet::count()).find(|&core| before.is_set(core).unwrap()).unwrap();
        let output = pinned_to(core, || Command::new("grep").args(["Cpus_allowed_list", "/proc/self/status"]).output());
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(output.split_whitespace().last(), Some(core.to_string().as_str()));
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
    }
}
