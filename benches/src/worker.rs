//! A worker under test: any program that speaks the channel protocol of mediasoup 3.12.16 on descriptors 3 to 6.
//!
//! The messages are written out by hand, not with this project's types for them: a peer's worker must be driven by what
//! the protocol says, and ours must not be able to agree with itself on something else.

use crate::machine::{Core, pinned_to};
use crate::session::Subject;
use anyhow::{Context, Result, anyhow, bail};
use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The generation of the protocol that the worker is told to speak.
const PROTOCOL_VERSION: &str = "3.12.16";

/// An answer that takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest frame of the channel.
const MAX_FRAME: usize = 4_194_304;

/// A running worker. Dropping it ends the process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: UnixStream,
    messages: UnixStream,
    /// Kept open, since a worker ends when its payload channel does.
    _payload: [UnixStream; 2],
    stderr: PathBuf,
    next_id: u32,
}

impl Worker {
    /// Starts a worker on a core and waits until it says that it is running. Its standard error goes to a file in `directory`.
    ///
    /// # Errors
    /// It can't be started, ends at once, or stays silent.
    pub fn start(program: &Path, arguments: &[String], core: Core, directory: &Path) -> Result<Self> {
        let (requests, their_requests) = UnixStream::pair()?;
        let (messages, their_messages) = UnixStream::pair()?;
        let (payload_in, their_payload_in) = UnixStream::pair()?;
        let (payload_out, their_payload_out) = UnixStream::pair()?;
        messages.set_read_timeout(Some(PATIENCE))?;
        requests.set_write_timeout(Some(PATIENCE))?;
        let stderr = directory.join("worker-stderr");
        let mut command = Command::new(program);
        command
            .arg("--logLevel=error")
            .args(arguments)
            .env("MEDIASOUP_VERSION", PROTOCOL_VERSION)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&stderr)?)
            .fd_mappings(
                [their_requests, their_messages, their_payload_in, their_payload_out]
                    .into_iter()
                    .zip(3..)
                    .map(|(stream, child_fd)| FdMapping { parent_fd: stream.into(), child_fd })
                    .collect(),
            )?;
        let child =
            pinned_to(core, || command.spawn()).with_context(|| format!("{} can't be started", program.display()))?;
        // Our copies of its ends, so that its end is the end of the streams.
        drop(command);
        let mut worker = Self { child, requests, messages, _payload: [payload_in, payload_out], stderr, next_id: 1 };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = worker.message(deadline)?;
            if message.get("event").and_then(Value::as_str) == Some("running") {
                return Ok(worker);
            }
        }
    }

    /// Makes a request and waits for its answer's data (null when it has none).
    ///
    /// # Errors
    /// The worker refuses, is silent, or has died.
    pub fn request(&mut self, method: &str, handler: &str, data: &Value) -> Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        let text = format!("{id}:{method}:{handler}:{data}");
        let length = u32::try_from(text.len())?.to_ne_bytes();
        let sent = self.requests.write_all(&length).and_then(|()| self.requests.write_all(text.as_bytes()));
        if sent.is_err() {
            return Err(self.gone());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut message = self.message(deadline).with_context(|| format!("no answer to {method}"))?;
            if message.get("id").and_then(Value::as_u64) != Some(id.into()) {
                continue;
            }
            if message.get("accepted").and_then(Value::as_bool) == Some(true) {
                return Ok(message.get_mut("data").map_or(Value::Null, Value::take));
            }
            let reason = message.get("reason").and_then(Value::as_str).unwrap_or("for no reason given");
            bail!("the worker refuses {method}: {reason}");
        }
    }

    /// The next JSON message, log lines passed over.
    fn message(&mut self, deadline: Instant) -> Result<Value> {
        loop {
            if Instant::now() > deadline {
                bail!("the worker says nothing of what is expected within {} seconds", PATIENCE.as_secs());
            }
            let mut length = [0; 4];
            let mut frame = Vec::new();
            let read = self.messages.read_exact(&mut length).and_then(|()| {
                let length = u32::from_ne_bytes(length) as usize;
                frame.resize(length.min(MAX_FRAME), 0);
                self.messages.read_exact(&mut frame)
            });
            match read {
                Ok(()) if frame.first() == Some(&b'{') => {
                    return serde_json::from_slice(&frame).context("the worker sends what isn't JSON");
                }
                Ok(()) => {}
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    bail!("the worker is silent for {} seconds", PATIENCE.as_secs());
                }
                Err(_) => return Err(self.gone()),
            }
        }
    }

    /// What to say of a worker whose channel has ended.
    fn gone(&mut self) -> anyhow::Error {
        let deadline = Instant::now() + Duration::from_secs(1);
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status.to_string(),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                _ => break "its channel closed".to_owned(),
            }
        };
        let stderr = fs::read(&self.stderr).unwrap_or_default();
        match String::from_utf8_lossy(&stderr).lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => anyhow!("the worker has ended ({status}); its last words: {line}"),
            None => anyhow!("the worker has ended ({status})"),
        }
    }
}

impl Subject for Worker {
    fn id(&self) -> u32 {
        self.child.id()
    }

    fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(_) => Err(self.gone()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Gently first, so that it may say something when it doesn't close cleanly; any failure means that it is gone already.
        if let Ok(process) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The SRTP backends that a worker program offers in its `--help`, of those known here; none for a program that has no such option.
#[must_use]
pub fn srtp_backends(program: &Path) -> Vec<&'static str> {
    // A worker may take an unknown option for an invitation to run: without MEDIASOUP_VERSION it doesn't.
    let output = Command::new(program).arg("--help").env_remove("MEDIASOUP_VERSION").stdin(Stdio::null()).output();
    let Ok(output) = output else { return Vec::new() };
    let help = [output.stdout, output.stderr].concat();
    let help = String::from_utf8_lossy(&help);
    let Some((_, option)) = help.split_once("--srtpBackend") else { return Vec::new() };
    let option = option.split("--").next().unwrap_or(option);
    ["evp", "libsrtp2"].into_iter().filter(|name| option.contains(name)).collect()
}
