//! How the runner speaks to its load generator and receiver: they are this same program, run again, with JSON messages framed as
//! on a worker's channel over their standard input and output.

use crate::machine::{Core, pinned_to};
use crate::precedence;
use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sfu_reactor::frame::{FrameReader, FrameWriter, Stream};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The runner's end. Dropping it ends the process.
#[derive(Debug)]
pub struct Helper {
    role: &'static str,
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Helper {
    /// Runs this program again in a role, on a core of its own.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(role: &'static str, core: Core) -> Result<Self> {
        Self::spawn(role, core, Command::new(this_program()?))
    }

    /// The same, as a process that runs before all usual ones on the core.
    ///
    /// # Errors
    /// It can't be started. That the class isn't allowed is an error of the first request: [`precedence::check`] says it before.
    pub(crate) fn start_first(role: &'static str, core: Core) -> Result<Self> {
        Self::spawn(role, core, precedence::command(this_program()?))
    }

    fn spawn(role: &'static str, core: Core, mut command: Command) -> Result<Self> {
        command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pinned_to(core, || command.spawn()).with_context(|| format!("the {role} can't be started"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the {role} has no standard input and output");
        };
        Ok(Self { role, child, input, output })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The helper's own error, or that it has died.
    pub fn ask<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> Result<A> {
        let role = self.role;
        self.exchange(request).with_context(|| format!("the {role} has failed"))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn exchange<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> Result<A> {
        let request = serde_json::to_vec(request)?;
        self.input.write_all(&u32::try_from(request.len())?.to_ne_bytes())?;
        self.input.write_all(&request)?;
        let mut length = [0; 4];
        self.output.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_ne_bytes(length) as usize];
        self.output.read_exact(&mut answer)?;
        let answer: Result<A, String> = serde_json::from_slice(&answer)?;
        answer.map_err(|error| anyhow!(error))
    }
}

fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("this program's own path is unknown")
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The helper's end.
#[derive(Debug)]
pub struct Requests {
    reader: FrameReader,
    writer: FrameWriter,
}

impl Requests {
    /// Over this process's standard input and output.
    ///
    /// # Errors
    /// They are closed.
    pub fn new() -> Result<Self> {
        Ok(Self {
            reader: FrameReader::new(std::io::stdin().as_fd().try_clone_to_owned()?)?,
            writer: FrameWriter::new(std::io::stdout().as_fd().try_clone_to_owned()?, 1 << 20)?,
        })
    }

    /// The descriptor to poll for requests.
    #[must_use]
    pub const fn descriptor(&self) -> &FrameReader {
        &self.reader
    }

    /// Takes what has come. False when the runner is gone.
    ///
    /// # Errors
    /// Those of reading.
    pub fn fill(&mut self) -> Result<bool> {
        Ok(self.reader.fill()? == Stream::Open)
    }

    /// The next request, if a whole one has come.
    ///
    /// # Errors
    /// It isn't understood.
    pub fn take<Q: DeserializeOwned>(&mut self) -> Result<Option<Q>> {
        match self.reader.next_frame()? {
            Some(frame) => Ok(Some(serde_json::from_slice(frame)?)),
            None => Ok(None),
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The runner is gone, or doesn't read.
    pub fn answer<A: Serialize>(&mut self, answer: Result<A>) -> Result<()> {
        let answer = answer.map_err(|error| format!("{error:#}"));
        self.writer.push(&serde_json::to_vec(&answer)?)?;
        self.writer.flush()?;
        if self.writer.wants_write() {
            bail!("the runner doesn't read its answers");
        }
        Ok(())
    }
}
