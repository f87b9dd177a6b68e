//! The programs that are compared, and what a run of one costs.

use super::load::{Place, Work};
use crate::machine::{Core, pinned_to};
use anyhow::{Context, Result, bail, ensure};
use command_fds::{CommandFdExt, FdMapping};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use serde::Serialize;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Contender {
    /// Chapter 01: blocking calls, one client at a time.
    SimplestServer,
    /// Chapter 02: a process for each connection.
    Fork,
    /// Chapter 02: as many processes as there are connections, started before.
    Prefork,
    /// Chapter 03: frames, a blocking thread for each connection.
    Socketpair,
    /// Chapter 04: one thread, level-triggered epoll.
    Epoll,
    /// Chapter 04: edge-triggered.
    EpollEdge,
    /// Chapter 06's worker.
    Channel,
    /// The same work on the core: on `core/reactor`, or by `sfu-worker`.
    Core,
}

impl Contender {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SimplestServer => "ch01",
            Self::Fork => "ch02 fork",
            Self::Prefork => "ch02 prefork",
            Self::Socketpair => "ch03",
            Self::Epoll => "ch04",
            Self::EpollEdge => "ch04 edge",
            Self::Channel => "ch06",
            Self::Core => "core",
        }
    }

    /// Why it can't do that, if it can't.
    #[must_use]
    pub const fn refuses(self, work: Work) -> Option<&'static str> {
        match (self, work) {
            (Self::SimplestServer, Work::Echoes { connections: 2.., .. }) => Some("serves one"),
            (Self::Fork | Self::Prefork, Work::Datagrams { .. }) => Some("no UDP"),
            // It has no process that waits for more.
            (Self::Prefork, Work::Echoes { connections: 1001.., .. }) => Some("at most 1000"),
            _ => None,
        }
    }

    fn command(self, work: Work, directory: &Path) -> Result<(Command, Serves)> {
        let connections = if let Work::Echoes { connections, .. } = work { connections } else { 1 };
        let socket = directory.join("socket");
        let (program, arguments, serves): (_, Vec<String>, _) = match self {
            Self::SimplestServer => ("ch01-simplest-server", listen(&[]), Serves::Internet),
            Self::Fork => ("ch02-processes-and-signals", listen(&["--mode", "fork"]), Serves::Internet),
            Self::Prefork => {
                let children = connections.to_string();
                let arguments = listen(&["--mode", "prefork", "--children", &children]);
                ("ch02-processes-and-signals", arguments, Serves::Internet)
            }
            Self::Epoll => ("ch04-epoll", listen(&[]), Serves::Internet),
            Self::EpollEdge => ("ch04-epoll", listen(&["--edge"]), Serves::Internet),
            Self::Socketpair => {
                let arguments = ["--listen", &socket.to_string_lossy(), "--quiet"].map(str::to_owned);
                ("ch03-socketpair", arguments.to_vec(), Serves::Unix(socket))
            }
            Self::Channel => ("ch06-channel", vec!["--be-worker".to_owned()], Serves::Channel),
            Self::Core if matches!(work, Work::Requests { .. }) => ("sfu-worker", Vec::new(), Serves::Channel),
            Self::Core if matches!(work, Work::Frames { .. }) => {
                let arguments = vec!["--unix".to_owned(), socket.to_string_lossy().into_owned()];
                ("echo-core", arguments, Serves::Unix(socket))
            }
            Self::Core => ("echo-core", vec!["--listen".to_owned(), ANY.to_owned()], Serves::Internet),
        };
        let mut command = Command::new(sibling(program)?);
        // mediasoup's worker wants to be told the generation of the protocol.
        command.args(arguments).env("MEDIASOUP_VERSION", "3.12.16");
        Ok((command, serves))
    }
}

const ANY: &str = "127.0.0.1:0";

fn listen(more: &[&str]) -> Vec<String> {
    ["--listen", ANY, "--quiet"].iter().chain(more).map(|&argument| argument.to_owned()).collect()
}

/// A program that cargo has built beside this one.
fn sibling(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe().context("this program's own path is unknown")?.with_file_name(name);
    ensure!(path.is_file(), "there is no {}: `make bench-chapters` builds it", path.display());
    Ok(path)
}

/// How a program is reached.
enum Serves {
    /// It says at which address.
    Internet,
    /// At this path, once it says something.
    Unix(PathBuf),
    /// Over descriptors that it inherits.
    Channel,
}

/// Four socketpairs: the other ends will be descriptors 3 to 6.
fn give_channels(command: &mut Command) -> Result<[UnixStream; 4]> {
    let mut theirs = Vec::new();
    let mut pair = |child_fd| {
        let (here, there) = UnixStream::pair()?;
        theirs.push(FdMapping { parent_fd: there.into(), child_fd });
        Ok::<_, std::io::Error>(here)
    };
    let ours = [pair(3)?, pair(4)?, pair(5)?, pair(6)?];
    command.fd_mappings(theirs).context("descriptors 3 to 6 can't be given away")?;
    Ok(ours)
}

fn first_line(output: Option<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    BufReader::new(output.context("it has no standard output")?).read_line(&mut line)?;
    Ok(line)
}

/// A server at work. Dropping it ends the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts it on a core.
    ///
    /// # Errors
    /// It can't be started, or doesn't say where it is.
    pub fn start(contender: Contender, work: Work, core: Core, directory: &Path) -> Result<(Self, Place)> {
        let (mut command, serves) = contender.command(work, directory)?;
        if let Serves::Unix(path) = &serves {
            // The one before has left it. That there was none is no error.
            let _ = fs::remove_file(path);
        }
        let shown = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let ours = if matches!(serves, Serves::Channel) { Some(give_channels(&mut command)?) } else { None };
        let mut child = pinned_to(core, || command.spawn()).with_context(|| format!("{shown} can't be started"))?;
        drop(command);
        let output = child.stdout.take();
        let server = Self { child };
        let place = match (serves, ours) {
            (Serves::Internet, _) => {
                let line = first_line(output)?;
                let address = line.split([' ', ';']).find_map(|word| word.trim().parse().ok());
                Place::Internet(address.with_context(|| format!("{shown} says {line:?} instead of where it listens"))?)
            }
            (Serves::Unix(path), _) => {
                ensure!(!first_line(output)?.is_empty(), "{shown} does not begin");
                Place::Unix(path)
            }
            (Serves::Channel, Some(ends)) => Place::Channel(ends),
            (Serves::Channel, None) => bail!("a channel has ends"),
        };
        Ok((server, place))
    }

    /// Bytes that it and all that it has forked have for themselves, and their shares of what they share.
    ///
    /// # Errors
    /// It is gone.
    pub fn memory(&self) -> Result<u64> {
        let mut sum = 0;
        let mut processes = vec![self.child.id()];
        while let Some(process) = processes.pop() {
            let Ok(rollup) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else {
                ensure!(process != self.child.id(), "it is gone");
                // A process that served a connection which is closed now.
                continue;
            };
            // A process that has just ended has no memory, and says none.
            let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next());
            sum += pss.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024;
            let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
            processes.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        Ok(sum)
    }

    /// Ends it, and returns the processor time, in nanoseconds, that it and all that it has forked have used. Where its
    /// clients have gone it may have ended by itself, as a worker does whose channel is closed.
    ///
    /// # Errors
    /// It has failed before, or doesn't end.
    pub fn stop(mut self) -> Result<u64> {
        let before = children_ns()?;
        match self.child.try_wait()? {
            Some(status) => ensure!(status.success(), "it has ended by itself ({status})"),
            None => {
                kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
                let deadline = Instant::now() + PATIENCE;
                while self.child.try_wait()?.is_none() {
                    ensure!(Instant::now() < deadline, "it does not end when it is told to");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        Ok(children_ns()? - before)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a server may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Processor time of all children that have been waited for, and of those that these had waited for.
fn children_ns() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let used = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(u64::try_from(used)? * 1_000)
}
