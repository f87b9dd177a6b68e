//! The system calls that one payload takes: each driver under strace, which sees what no library tells.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ch05_event_libraries::Driver;
use ch05_event_libraries::probe::Probe;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stage::Transcript;

use crate::process::Process;

/// The calls that drivers work with.
const CALLS: &str = "recvfrom,sendto,recvmsg,sendmsg,recvmmsg,sendmmsg,epoll_wait,epoll_pwait,io_uring_enter,futex";

/// Shows, for a payload to three subscribers while nothing else happens, what each driver asks of the kernel.
pub fn run() -> anyhow::Result<()> {
    let strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    ensure!(strace.is_ok_and(|status| status.success()), "strace is needed for this, and could not be run");
    let mut transcript = Transcript::new();
    for payloads in [1, 8] {
        let what = if payloads == 1 { "One payload".to_owned() } else { format!("{payloads} payloads at once") };
        transcript.heading(&format!("{what} to 3 subscribers: what the kernel is asked for"));
        for driver in Driver::ALL {
            match driver.refused() {
                Some(why) => transcript.line("strace", format!("{driver:<14} not here: {why}")),
                None => transcript.line("strace", format!("{driver:<14} {}", trace(driver, payloads)?)),
            }
        }
    }
    Ok(())
}

fn trace(driver: Driver, payloads: u32) -> anyhow::Result<String> {
    let file = std::env::temp_dir().join(format!("ch05-{}-{driver}.trace", std::process::id()));
    let lines = observe(driver, payloads, &file);
    // Where it fails, the trace was not written either.
    let _ = fs::remove_file(&file);
    let lines = lines.with_context(|| format!("{driver} could not be traced"))?;
    let names: Vec<&str> = lines.iter().filter_map(|line| name(line)).collect();
    if matches!(driver, Driver::UringPlain | Driver::Uring) {
        // How many completions one call brings depends on how fast they come.
        return Ok(format!("≈ {} calls: io_uring_enter", names.len()));
    }
    Ok(format!("{:>2} calls: {}", names.len(), counts(&names)))
}

/// The lines of the trace that came while so many payloads passed.
fn observe(driver: Driver, payloads: u32, file: &Path) -> anyhow::Result<Vec<String>> {
    let server = Process::start_traced(driver, file, CALLS)?;
    let mut probe = Probe::new(server.address, 3)?;
    probe.forward(1, 1_200)?;
    wait_until_idle(server.server)?;
    let before = finished(file)?.len();
    // Stopped while they come, it finds all of them together.
    if payloads > 1 {
        kill(server.server, Signal::SIGSTOP)?;
    }
    let sent = probe.send(payloads, 1_200)?;
    kill(server.server, Signal::SIGCONT)?;
    probe.receive(sent, 1_200)?;
    wait_until_idle(server.server)?;
    Ok(finished(file)?.split_off(before))
}

/// The lines of calls that have returned. The call that it sleeps in has begun a line only.
fn finished(trace: &Path) -> anyhow::Result<Vec<String>> {
    let trace = fs::read_to_string(trace)?;
    Ok(trace.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect())
}

/// Waits until all threads of it sleep, and have slept for a while.
fn wait_until_idle(server: Pid) -> anyhow::Result<()> {
    const QUIET: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        if !states(server)?.iter().all(|&state| state == 'S') {
            since = Instant::now();
        }
        ensure!(Instant::now() < deadline, "the server does not come to rest");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The state letters of its threads, as in ps.
fn states(server: Pid) -> anyhow::Result<Vec<char>> {
    let threads = fs::read_dir(format!("/proc/{server}/task")).context("the server is gone")?;
    let state = |stat: &str| stat.rsplit(')').next()?.trim_start().chars().next();
    Ok(threads.flatten().filter_map(|thread| state(&fs::read_to_string(thread.path().join("stat")).ok()?)).collect())
}

/// The call of a line, if it is one that returned and that stopping it did not cause.
fn name(line: &str) -> Option<&str> {
    if line.contains("<unfinished") || line.contains("EINTR") || line.contains("ERESTART") {
        return None;
    }
    // "1234  sendto(5, ..." or "1234  <... sendto resumed>..."
    let call = line.split_once(' ')?.1.trim_start();
    let name = call.strip_prefix("<... ").unwrap_or(call).split(['(', ' ']).next()?;
    let name = CALLS.split(',').find(|known| *known == name)?;
    Some(name)
}

/// How often each was called, in the order of their first calls.
fn counts(names: &[&str]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let counts =
        counts.iter().map(|(name, count)| if *count == 1 { (*name).to_owned() } else { format!("{name} × {count}") });
    counts.collect::<Vec<_>>().join(", ")
}
