//! One run of one contender: two processes, and a round trip at a time or a stream of messages one way.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ch03_socketpair::{Decoder, fork_with_channel, read_message, write_message};
use ipc_demos::play::child;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, alarm};
use serde::Serialize;
use stage::Transcript;

use crate::links::{Contender, Ends, Link};

/// Rounds before the clock runs. Their answers are compared byte by byte.
const WARM_UP: u64 = 200;

/// A run that takes longer is ended by a signal, in seconds: a ring does not notice that the other side has died.
const PATIENCE: u32 = 120;

/// A credit: how a receiver says that it has half a window of messages, in bytes.
const CREDIT: usize = 8;

/// Where the two processes run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cores {
    /// The one that measures.
    pub here: usize,
    /// The other one.
    pub there: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub fn choose() -> Result<Cores> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("the allowed cores are unknown")?;
        let mut cores = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
        let two = cores.next().zip(cores.next());
        let (here, there) = two.context("comparing takes two cores: what two processes do at once is the point")?;
        Ok(Cores { here, there })
    }

    /// Both on the first one.
    pub fn one(self) -> Cores {
        Cores { there: self.here, ..self }
    }
}

/// How the kernel chooses between these processes and others.
pub fn scheduling() -> &'static str {
    // SAFETY: it takes a number and returns one.
    match unsafe { libc::sched_getscheduler(0) } {
        libc::SCHED_FIFO | libc::SCHED_RR => "at real-time priority, so that no other program comes between",
        _ => "among whatever else runs",
    }
}

fn stay_on(core: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &only).context("the core was refused")
}

/// What the two processes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One message there and the same one back; then the next.
    RoundTrip,
    /// All messages one way, then a word that they have come.
    OneWay,
}

/// What a run has found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Nanoseconds: of each round trip, in order of length, or of the whole way of all messages.
    pub times_ns: Vec<u64>,
    /// System calls of both processes for each round trip, or message.
    pub calls: f64,
}

impl Found {
    /// The time that this part (0 to 1) of the round trips did not exceed.
    pub fn percentile(&self, part: f64) -> u64 {
        let place = (part * self.times_ns.len() as f64).ceil() as usize;
        self.times_ns.get(place.saturating_sub(1)).copied().unwrap_or(0)
    }
}

/// Runs one contender with `count` messages of `length` bytes each.
pub fn run(contender: &Contender, kind: Kind, length: usize, count: u64, cores: Cores) -> Result<Found> {
    let ends = (contender.open)()?;
    stay_on(cores.here)?;
    alarm::set(PATIENCE);
    let found = match contender.forks {
        true => together(ends, kind, length, count, cores),
        false => alone(ends, kind, length, count),
    };
    alarm::cancel();
    found
}

fn together(ends: Ends, kind: Kind, length: usize, count: u64, cores: Cores) -> Result<Found> {
    let (mut ours, mut theirs) = (Some(ends.0), Some(ends.1));
    let (pid, mut report) = fork_with_channel(|mut report| {
        child(&mut Transcript::new(), |_| {
            set_pdeathsig(Signal::SIGKILL)?;
            stay_on(cores.there)?;
            drop(ours.take());
            let mut link = theirs.take().context("there is no other end")?;
            echo(&mut *link, length, WARM_UP)?;
            let before = link.calls();
            match kind {
                Kind::RoundTrip => echo(&mut *link, length, count),
                Kind::OneWay => sink(&mut *link, length, count),
            }?;
            Ok(write_message(&mut report, &(link.calls() - before).to_ne_bytes())?)
        })
    })?;
    drop(theirs);
    let mut link = ours.context("there is no end")?;
    warm_up(&mut *link, length)?;
    let before = link.calls();
    let times_ns = match kind {
        Kind::RoundTrip => ask(&mut *link, length, count),
        Kind::OneWay => pour(&mut *link, length, count),
    }?;
    let ours = link.calls() - before;
    let theirs = read_message(&mut report, &mut Decoder::default())?.context("the other process has failed")?;
    let theirs = u64::from_ne_bytes(theirs.try_into().ok().context("that is no number")?);
    let status = waitpid(pid, None)?;
    ensure!(status == WaitStatus::Exited(pid, 0), "the other process ended with {status:?}");
    Ok(Found { times_ns, calls: (ours + theirs) as f64 / count as f64 })
}

/// The control: the same calls, and nobody to wake.
fn alone((mut here, mut there): Ends, kind: Kind, length: usize, count: u64) -> Result<Found> {
    let mut message = numbered(length, 0);
    let mut times_ns = Vec::with_capacity(count as usize);
    let before = here.calls() + there.calls();
    let begin = Instant::now();
    for number in 0..count {
        set_number(&mut message, number);
        let sent = Instant::now();
        here.send(&message)?;
        message.copy_from_slice(there.receive(length)?);
        if kind == Kind::RoundTrip {
            there.send(&message)?;
            message.copy_from_slice(here.receive(length)?);
            times_ns.push(sent.elapsed().as_nanos() as u64);
        }
        ensure!(number_of(&message) == number, "message {number} is another one");
    }
    if kind == Kind::OneWay {
        times_ns.push(begin.elapsed().as_nanos() as u64);
    }
    times_ns.sort_unstable();
    Ok(Found { times_ns, calls: (here.calls() + there.calls() - before) as f64 / count as f64 })
}

/// Asks with different messages, and compares the answers.
fn warm_up(link: &mut dyn Link, length: usize) -> Result<()> {
    for round in 0..WARM_UP {
        let message: Vec<u8> = (0..length as u64).map(|index| (index * 31 + round) as u8).collect();
        link.send(&message)?;
        ensure!(link.receive(length)? == message, "the answer of round {round} is another one");
    }
    Ok(())
}

/// Sends back what comes.
fn echo(link: &mut dyn Link, length: usize, count: u64) -> Result<()> {
    let mut message = vec![0; length];
    for _ in 0..count {
        message.copy_from_slice(link.receive(length)?);
        link.send(&message)?;
    }
    Ok(())
}

fn ask(link: &mut dyn Link, length: usize, count: u64) -> Result<Vec<u64>> {
    let mut message = numbered(length, 0);
    let mut times_ns = Vec::with_capacity(count as usize);
    for number in 0..count {
        set_number(&mut message, number);
        let sent = Instant::now();
        link.send(&message)?;
        let answer = number_of(link.receive(length)?);
        times_ns.push(sent.elapsed().as_nanos() as u64);
        ensure!(answer == number, "the answer to {number} is {answer}");
    }
    times_ns.sort_unstable();
    Ok(times_ns)
}

/// Sends all, and waits for the word that all have come. Where the way stops nobody, by the receiver's credits.
fn pour(link: &mut dyn Link, length: usize, count: u64) -> Result<Vec<u64>> {
    let window = link.window(length);
    let mut message = numbered(length, 0);
    let mut credits = 0;
    let begin = Instant::now();
    for number in 0..count {
        if let Some(window) = window
            && number - credits * (window / 2) >= window
        {
            link.receive(CREDIT)?;
            credits += 1;
        }
        set_number(&mut message, number);
        link.send(&message)?;
    }
    if let Some(window) = window {
        (credits..count / (window / 2)).try_for_each(|_| link.receive(CREDIT).map(drop))?;
    }
    let have = number_of(link.receive(length)?);
    ensure!(have == count, "{have} of {count} messages have come");
    Ok(vec![begin.elapsed().as_nanos() as u64])
}

/// Takes all, and sees that none is missing and none comes twice.
fn sink(link: &mut dyn Link, length: usize, count: u64) -> Result<()> {
    let window = link.window(length);
    for number in 0..count {
        let got = number_of(link.receive(length)?);
        ensure!(got == number, "message {got} came in the place of {number}");
        if let Some(window) = window
            && (number + 1) % (window / 2) == 0
        {
            link.send(&[0; CREDIT])?;
        }
    }
    link.send(&numbered(length, count))
}

fn numbered(length: usize, number: u64) -> Vec<u8> {
    let mut message = vec![0xa5; length];
    set_number(&mut message, number);
    message
}

fn set_number(message: &mut [u8], number: u64) {
    message[..8].copy_from_slice(&number.to_ne_bytes());
}

fn number_of(message: &[u8]) -> u64 {
    message.first_chunk().map_or(u64::MAX, |number| u64::from_ne_bytes(*number))
}
