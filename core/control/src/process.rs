//! The worker's process: how it is started, watched and ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sfu_channel::LogLevel;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tracing::{debug, error};

/// The version of mediasoup whose channel protocol is spoken; the worker wants to be told.
pub const PROTOCOL_VERSION: &str = "3.12.16";

/// Bytes of what the worker writes to its standard output and error that are held at a time, until the end of the line.
const MAX_LINE: u64 = 65_536;

/// The exit code of a worker that refuses its settings.
const EXIT_WRONG_SETTINGS: i32 = 42;

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The worker's program.
    pub worker_bin: PathBuf,
    /// Arguments before the worker's own, by which a program can start itself in the role of a worker.
    pub leading_args: Vec<String>,
    /// How much the worker logs.
    pub log_level: LogLevel,
    /// What the worker logs: `info`, `ice`, `dtls`, `rtp`, `srtp`, `rtcp`, `rtx`, `bwe`, `score`, `simulcast`, `svc`,
    /// `sctp`, `message`.
    pub log_tags: Vec<String>,
    /// The lowest port that transports take when none is named.
    pub rtc_min_port: u16,
    /// The highest port that transports take when none is named.
    pub rtc_max_port: u16,
    /// The DTLS certificate and its private key, as PEM files; absent, the worker makes a certificate of its own.
    pub dtls_files: Option<DtlsFiles>,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
    /// How long the worker may take until it runs.
    pub start_timeout: Duration,
    /// How long it may take to answer a request.
    pub request_timeout: Duration,
    /// How long it may take to exit once it is told to, before it is killed.
    pub close_timeout: Duration,
}

/// PEM files of a DTLS certificate.
#[derive(Debug, Clone)]
pub struct DtlsFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

impl WorkerSettings {
    /// Default settings for a worker of that program: errors are logged, ports 10000 to 59999.
    pub fn new(worker_bin: impl Into<PathBuf>) -> Self {
        Self {
            worker_bin: worker_bin.into(),
            leading_args: Vec::new(),
            log_level: LogLevel::Error,
            log_tags: Vec::new(),
            rtc_min_port: 10_000,
            rtc_max_port: 59_999,
            dtls_files: None,
            env: Vec::new(),
            start_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(3),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.worker_bin);
        command
            .args(&self.leading_args)
            .arg(format!("--logLevel={}", self.log_level.as_str()))
            .args(self.log_tags.iter().map(|tag| format!("--logTag={tag}")))
            .arg(format!("--rtcMinPort={}", self.rtc_min_port))
            .arg(format!("--rtcMaxPort={}", self.rtc_max_port));
        if let Some(files) = &self.dtls_files {
            command
                .arg(option_with_path("--dtlsCertificateFile=", &files.certificate))
                .arg(option_with_path("--dtlsPrivateKeyFile=", &files.private_key));
        }
        command
            .env("MEDIASOUP_VERSION", PROTOCOL_VERSION)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            // Whoever starts it may give up before it runs, or end with all that would watch it.
            .kill_on_drop(true)
            // Ctrl-C on the terminal is for this program alone, which then closes its workers: of themselves they would
            // seem to die.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Paths need not be UTF-8.
fn option_with_path(option: &str, path: &std::path::Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push(path);
    argument
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The process could not be made.
    #[error("can't start the worker {}: {source}", worker_bin.display())]
    Io {
        /// The program.
        worker_bin: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The worker refuses its settings.
    #[error("wrong worker settings")]
    WrongSettings,
    /// The worker exited before it ran.
    #[error("the worker exited before it ran: {0}")]
    Exited(WorkerExit),
    /// The worker did not say in time that it runs.
    #[error("the worker did not start in time")]
    Timeout,
}

/// How a worker's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerExit {
    /// It exited with that code.
    Code(i32),
    /// That signal ended it.
    Signal(i32),
    /// The system does not tell.
    Unknown,
}

impl std::fmt::Display for WorkerExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "signal {signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

impl WorkerExit {
    /// The error of a worker that ended so before it ran.
    pub(crate) fn before_running(self) -> SpawnError {
        match self {
            Self::Code(EXIT_WRONG_SETTINGS) => SpawnError::WrongSettings,
            other => SpawnError::Exited(other),
        }
    }
}

impl From<io::Result<ExitStatus>> for WorkerExit {
    fn from(status: io::Result<ExitStatus>) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let Ok(status) = status else { return Self::Unknown };
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

/// A started process and our ends of its channels.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) pid: u32,
    pub(crate) to_worker: UnixStream,
    pub(crate) from_worker: UnixStream,
    pub(crate) payload_to_worker: UnixStream,
    pub(crate) payload_from_worker: UnixStream,
}

impl Process {
    /// Starts the worker with a socket pair on each of the file descriptors 3 to 6.
    pub(crate) fn start(settings: &WorkerSettings) -> io::Result<Self> {
        let mut command = settings.command();
        let mut mappings = Vec::new();
        let mut pair = |child_fd| -> io::Result<UnixStream> {
            // Both ends are close-on-exec, so that no other worker inherits them: only the mapping below lifts that.
            let (ours, theirs) = StdUnixStream::pair()?;
            mappings.push(FdMapping { parent_fd: OwnedFd::from(theirs), child_fd });
            ours.set_nonblocking(true)?;
            UnixStream::from_std(ours)
        };
        let to_worker = pair(3)?;
        let from_worker = pair(4)?;
        let payload_to_worker = pair(5)?;
        let payload_from_worker = pair(6)?;
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        let mut child = command.spawn()?;
        // The command owns the worker's ends. Only without them here does the channel end when the worker does.
        drop(command);
        let pid = child.id().ok_or_else(|| io::Error::other("the worker is gone already"))?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(each_line(stdout, move |line| debug!(target: "sfu_worker", pid, "(stdout) {line}")));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(each_line(stderr, move |line| error!(target: "sfu_worker", pid, "(stderr) {line}")));
        }
        Ok(Self { child, pid, to_worker, from_worker, payload_to_worker, payload_from_worker })
    }
}

/// Reads lines until the end, whatever their encoding: a pipe that nobody empties would stop the worker. What is longer
/// than [`MAX_LINE`] becomes several lines.
async fn each_line(stream: impl AsyncRead + Unpin, mut line: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    while let Ok(1..) = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut bytes).await {
        line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
}

/// Asks a process to exit, and kills it if it does not within `patience`.
pub(crate) async fn terminate(child: &mut Child, patience: Duration) -> WorkerExit {
    // A process that has been waited for has no id any more, so that no stranger gets the signal.
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
        && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM)
    {
        debug!(pid, "can't send SIGTERM to the worker: {error}");
    }
    wait_or_kill(child, patience).await
}

/// Waits for a process to exit, and kills it if it does not within `patience`.
pub(crate) async fn wait_or_kill(child: &mut Child, patience: Duration) -> WorkerExit {
    match tokio::time::timeout(patience, child.wait()).await {
        Ok(status) => status.into(),
        Err(_) => {
            error!(pid = child.id(), "the worker does not exit: killing it");
            let _ = child.kill().await;
            child.wait().await.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let text = [vec![b'x'; 150_000], b"\nshort\nlast".to_vec()].concat();
        let mut lengths = Vec::new();
        each_line(text.as_slice(), |line| lengths.push(line.len())).await;
        assert_eq!(lengths, [65_536, 65_536, 150_000 - 2 * 65_536, 5, 4]);
    }
}
