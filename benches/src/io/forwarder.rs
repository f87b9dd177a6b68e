//! A forwarder under test: a program that serves chapter 05's wire format and says where.

use crate::case::Case;
use crate::generator::Target;
use crate::machine::{Core, pinned_to};
use crate::receiver::Request;
use crate::session::{Session, Setting, Subject};
use crate::workload::{PRODUCER_PAYLOAD_TYPE, producer_ssrc};
use anyhow::{Context, Result, bail};
use ch05_event_libraries::Driver;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What is compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contender {
    /// Its name in tables.
    pub name: String,
    /// The program and its arguments; empty for the control, where the generator itself sends to every receiver.
    pub command: Vec<String>,
}

/// The chapter's drivers, the core's forwarder and the control, as far as there are such; and who is absent, and why.
///
/// # Errors
/// The programs aren't built.
pub fn contenders() -> Result<(Vec<Contender>, Vec<String>)> {
    let (mut contenders, mut absent) = (Vec::new(), Vec::new());
    let chapter = sibling("ch05-event-libraries")?;
    for driver in Driver::ALL {
        if let Some(why) = driver.refused() {
            absent.push(format!("{driver}: {why}"));
            continue;
        }
        let arguments = ["--driver", driver.name(), "--listen", ANY, "--quiet", COUNTS];
        contenders.push(Contender { name: driver.name().to_owned(), command: command(&chapter, &arguments) });
    }
    let core = command(&sibling("forwarder-core")?, &["--listen", ANY, COUNTS]);
    contenders.push(Contender { name: "core".to_owned(), command: core });
    contenders.push(Contender { name: "control".to_owned(), command: Vec::new() });
    Ok((contenders, absent))
}

const ANY: &str = "127.0.0.1:0";
const COUNTS: &str = "--count-allocations";

/// A program that cargo has built beside this one.
fn sibling(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe().context("this program's own path is unknown")?.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    bail!("there is no {}: `make bench-io` builds it", path.display())
}

fn command(program: &std::path::Path, arguments: &[&str]) -> Vec<String> {
    let program = program.display().to_string();
    std::iter::once(program).chain(arguments.iter().map(|&argument| argument.to_owned())).collect()
}

/// A running forwarder. Dropping it ends the process.
#[derive(Debug)]
pub struct Forwarder {
    child: Child,
    address: SocketAddr,
}

impl Forwarder {
    /// Starts it on a core.
    ///
    /// # Errors
    /// It can't be started, or doesn't say where it listens.
    pub fn start(contender: &Contender, core: Core) -> Result<(Self, Allocations)> {
        let (program, arguments) = contender.command.split_first().context("the control is no program")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pinned_to(core, || command.spawn()).with_context(|| format!("{program} can't be started"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let mut allocations = pipes.map(|(asks, answers)| Allocations { asks, answers: BufReader::new(answers) });
        let mut line = String::new();
        if let Some(allocations) = &mut allocations {
            allocations.answers.read_line(&mut line)?;
        }
        match (allocations, line.split([' ', ';']).find_map(|word| word.trim().parse().ok())) {
            (Some(allocations), Some(address)) => Ok((Self { child, address }, allocations)),
            _ => {
                // It is of no use, whatever it does.
                let _ = child.kill();
                let _ = child.wait();
                bail!("it says {line:?} instead of where it listens")
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Asks a forwarder how often it has allocated.
#[derive(Debug)]
pub struct Allocations {
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Allocations {
    /// How often so far.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn count(&mut self) -> Result<u64> {
        let mut line = String::new();
        self.asks.write_all(b"?").and_then(|()| self.answers.read_line(&mut line)).context("it has ended")?;
        line.trim().parse().with_context(|| format!("it says {line:?} instead of how often it has allocated"))
    }
}

impl Subject for Forwarder {
    fn id(&self) -> u32 {
        self.child.id()
    }

    fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the forwarder has ended ({status})"),
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session with a contender, and how to ask it for its allocations unless it is the control.
///
/// # Errors
/// Something can't be started, or the forwarder doesn't let the receiver's sockets join.
pub fn session(contender: &Contender, case: Case, setting: Setting<'_>) -> Result<(Session, Option<Allocations>)> {
    if contender.command.is_empty() {
        return Ok((Session::control(case, setting)?, None));
    }
    let mut asks = None;
    let session = Session::with(case, setting, PRODUCER_PAYLOAD_TYPE, |receiver, _| {
        let (forwarder, allocations) = Forwarder::start(contender, setting.cores.worker)?;
        asks = Some(allocations);
        let () = receiver.ask(&Request::Join { forwarder: forwarder.address })?;
        let target = Target { address: forwarder.address, ssrc: producer_ssrc(0) };
        Ok((Box::new(forwarder), vec![target]))
    })?;
    Ok((session, asks))
}
