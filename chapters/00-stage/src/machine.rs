//! The machine that something was measured on, told beside every result.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What results were measured on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    receive_buffer_max: String,
    load_before: String,
    /// Of the tree that this program was built from and is run in, when it is a git work tree.
    commit: String,
    version: String,
    unix_time: u64,
}

impl Machine {
    /// Describes this machine as far as it tells.
    #[must_use]
    pub fn describe() -> Self {
        let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let field = |path: &str, name: &str| {
            let text = line(path);
            let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            value.trim_matches(|character: char| character == ':' || character.is_whitespace()).to_owned()
        };
        let memory_kib = field("/proc/meminfo", "MemTotal");
        Self {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory_kib.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0)
                / 1024,
            kernel: line("/proc/sys/kernel/osrelease"),
            receive_buffer_max: line("/proc/sys/net/core/rmem_max"),
            load_before: line("/proc/loadavg"),
            commit: commit(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            unix_time: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |duration| duration.as_secs()),
        }
    }

    /// One line of it.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}, {} cores, Linux {}, commit {}", self.cpu, self.cores, self.kernel, self.commit)
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "--short=12", "HEAD"]), git(&["status", "--porcelain", "--untracked-files=no"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with local changes"),
        (None, _) => "unknown".to_owned(),
    }
}
