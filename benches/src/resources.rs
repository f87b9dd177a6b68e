//! Whether the machine can do what is asked: open files, ports, memory, socket buffers. Asked before anything is measured.

use crate::case::{Audience, Case};
use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs;

/// Open files of a process that are no media sockets, and some to spare.
const OTHER_FILES: u64 = 64;

/// Memory that a consumer takes at most in a worker, with the receiver's share: generous, since workers differ.
const BYTES_PER_CONSUMER: u64 = 128 << 10;

/// And a stream: what is kept of it for retransmission.
const BYTES_PER_STREAM: u64 = 4 << 20;

/// Memory beside.
const BYTES_BESIDE: u64 = 256 << 20;

/// The receive buffer that every receiver asks for.
const RECEIVE_BUFFER: u64 = 1 << 22;

/// What the machine lets a benchmark have.
#[derive(Debug, Clone, Copy)]
pub struct Means {
    /// Open files of a process.
    pub files: u64,
    /// Ports that the kernel gives out.
    pub ports: u64,
    /// Bytes of memory that are free.
    pub memory: u64,
}

impl Means {
    /// Those of this machine; the limit of open files is raised as far as it may be.
    ///
    /// # Errors
    /// The kernel doesn't tell.
    pub fn of_this_machine() -> Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
        let mut range = range.split_whitespace().filter_map(|port| port.parse::<u64>().ok());
        let (Some(first), Some(last)) = (range.next(), range.next()) else {
            bail!("the kernel doesn't tell its range of ports");
        };
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let kib = available.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
        let memory = kib.context("the kernel doesn't tell how much memory is free")? * 1024;
        Ok(Self { files: hard, ports: (last + 1).saturating_sub(first), memory })
    }

    /// Whether they are enough for a case, with so many workers at once.
    ///
    /// # Errors
    /// Says what is missing and what to do.
    pub fn check(self, case: &Case, workers: usize) -> Result<()> {
        let audience = case.audience;
        let (sockets, streams) = (audience.sockets() as u64, audience.streams() as u64);
        // A worker has a socket for each stream and each receiver.
        let files = sockets + streams + OTHER_FILES;
        if files > self.files {
            bail!(
                "\"{case}\" needs a worker with {files} open files, and a process may have {} here: raise the limit, as with \
                 `ulimit -n {files}` in a root shell, or ask for less",
                self.files
            );
        }
        // Half of the range is for whatever else there is on the machine.
        let ports = 2 * (sockets + OTHER_FILES) * workers as u64;
        if ports > self.ports {
            bail!(
                "\"{case}\" needs {ports} ports that the kernel gives out, and there are {}: widen \
                 net.ipv4.ip_local_port_range, or ask for less",
                self.ports
            );
        }
        let consumers = sockets * audience_share(audience);
        let each = streams * BYTES_PER_STREAM + consumers * BYTES_PER_CONSUMER;
        let memory = BYTES_BESIDE + each * workers as u64;
        if memory > self.memory {
            bail!(
                "\"{case}\" may take {} MiB of memory, and {} are free: end other programs, or ask for less",
                memory >> 20,
                self.memory >> 20
            );
        }
        Ok(())
    }
}

/// How many streams each receiver gets.
const fn audience_share(audience: Audience) -> u64 {
    match audience {
        Audience::Fan { producers, .. } => producers as u64,
        Audience::Rooms { people, .. } => people as u64 - 1,
    }
}

/// What is to be said of the receivers' buffers: too small ones end the search for saturation early.
#[must_use]
pub fn small_buffers() -> Option<String> {
    let most = fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse::<u64>().ok()?;
    (most < RECEIVE_BUFFER && !nix::unistd::geteuid().is_root()).then(|| {
        format!(
            "receivers' buffers are limited to {} KiB, which bursts may fill before the worker is busy: `sudo sysctl -w \
             net.core.rmem_max={RECEIVE_BUFFER}` before measuring",
            most / 1024
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Pattern;
    use crate::workload::Mode;

    #[test]
    fn more_than_the_machine_can_do_is_refused_in_words() {
        let enough = Means { files: 20_000, ports: 28_000, memory: 8 << 30 };
        let case = Case::one_to(1_000, Mode::Plain, Pattern::Even);
        enough.check(&case, 1).unwrap();
        for (means, word) in [
            (Means { files: 1_024, ..enough }, "`ulimit -n 1065`"),
            (Means { ports: 2_000, ..enough }, "ip_local_port_range"),
            (Means { memory: 300 << 20, ..enough }, "385 MiB"),
        ] {
            let refusal = means.check(&case, 1).unwrap_err().to_string();
            assert!(refusal.contains(word) && refusal.contains("1 to 1000"), "{refusal}");
        }
        // Enough for one worker isn't for two at once.
        for two in [Means { ports: 3_000, ..enough }, Means { memory: 400 << 20, ..enough }] {
            two.check(&case, 1).unwrap();
            two.check(&case, 2).unwrap_err();
        }
        assert!(Means::of_this_machine().unwrap().files > 0);
    }
}
