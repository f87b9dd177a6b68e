//! Lets the load generator run before anything else on its core.
//!
//! Where generator and receiver share a core, a worker that answers soon wakes the receiver up while the generator is in the middle of a
//! burst. The rest of the burst then leaves late, and that looks like the worker's latency. With the class SCHED_FIFO the generator is
//! never kept from its core: the receiver, whose arrivals the kernel stamps ([`crate::arrivals`]), can wait.
//!
//! The kernel gives such processes 95 % of each second at most, by default. Where the generator is that busy, it doesn't keep its schedule, which each
//! turn says.
//!
//! The class is set by `chrt` of util-linux, as that of [`crate::awake`] is.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// The class, and the lowest priority in it: there is no other process of the class to give way to.
const CLASS: [&str; 2] = ["-f", "1"];

/// To start a program in the class.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("chrt");
    command.args(CLASS).arg(program);
    command
}

/// Whether it can be.
///
/// # Errors
/// `chrt` isn't there, or the system doesn't allow it.
pub(crate) fn check() -> Result<()> {
    let output = command("true").stdin(Stdio::null()).output();
    let output = output.context("it is started by means of `chrt` of util-linux, which can't be started")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};

    #[test]
    fn a_program_is_started_in_the_class_where_that_is_allowed() {
        if let Err(error) = check() {
            assert!(!error.to_string().is_empty());
            return;
        }
        let mut child = command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut echo = [0];
        // What answers is the program and no longer `chrt`.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut echo).unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        // Fields 40 and 41: real-time priority 1, and SCHED_FIFO.
        assert_eq!((fields[37], fields[38]), ("1", "1"));
    }
}
