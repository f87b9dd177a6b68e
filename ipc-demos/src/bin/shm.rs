//! `cargo run -p ipc-demos --bin shm`: memory that two processes share, and how one wakes the other.

use std::time::Instant;

use anyhow::{Context, ensure};
use ch03_socketpair::{fork_with_channel, read_message, write_message};
use ipc_demos::play::{begin, child, grouped, reap};
use ipc_demos::ring::{Ring, Wake};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use stage::Transcript;
use stage::transcript::time;

/// How many messages go through each ring.
const MESSAGES: u64 = 200_000;

/// A ring's size in bytes.
const RING: usize = 64 * 1024;

fn main() -> anyhow::Result<()> {
    let mut transcript =
        begin("Shows a ring of messages in shared memory, with futex or eventfd to wake the other side");
    transcript.heading("A ring in shared memory: one process writes, the other one reads");
    through(&mut transcript, "futex", Wake::Futex)?;
    through(&mut transcript, "eventfd", Wake::eventfd()?)?;
    transcript.note("who finds something to do makes no system call at all; only an empty or a full ring costs one");
    ping_pong(&mut transcript)?;
    seals(&mut transcript)
}

fn through(transcript: &mut Transcript, name: &str, wake: Wake) -> anyhow::Result<()> {
    let ring = Ring::create(RING, wake).context("no shared memory")?;
    transcript.line("parent", format!("memfd_create, mmap {} KiB, {name} to wake; fork", RING / 1024));
    let begin = Instant::now();
    let (pid, mut report) = fork_with_channel(|mut report| {
        child(transcript, |_| {
            (0..MESSAGES).try_for_each(|number| ring.send(&[number; 8].map(u64::to_ne_bytes).concat()))?;
            Ok(write_message(&mut report, &ring.calls().to_ne_bytes())?)
        })
    })?;
    let mut message = Vec::new();
    for number in 0..MESSAGES {
        ring.receive(&mut message)?;
        ensure!(message == [number; 8].map(u64::to_ne_bytes).concat(), "message {number} is another one");
    }
    let took = begin.elapsed();
    let calls = read_message(&mut report, &mut Default::default())?.context("the child left")?;
    let theirs = u64::from_ne_bytes(calls.try_into().ok().context("that is no number")?);
    let count = grouped(MESSAGES as usize);
    transcript.line("parent", format!("{count} messages of 64 bytes came, each as it was sent, in {}", time(took)));
    transcript.line("parent", format!("≈ {} system calls for them, both processes together", ring.calls() + theirs));
    reap(transcript, pid)?;
    Ok(())
}

fn ping_pong(transcript: &mut Transcript) -> anyhow::Result<()> {
    const ROUNDS: u64 = 2_000;
    transcript.heading("One message at a time: now each of them must wake somebody");
    let (there, back) = (Ring::create(RING, Wake::Futex)?, Ring::create(RING, Wake::Futex)?);
    let begin = Instant::now();
    let (pid, _channel) = fork_with_channel(|_channel| {
        child(transcript, |_| {
            let mut message = Vec::new();
            for _ in 0..ROUNDS {
                there.receive(&mut message)?;
                back.send(&message)?;
            }
            Ok(())
        })
    })?;
    let mut message = Vec::new();
    for round in 0..ROUNDS {
        there.send(&round.to_ne_bytes())?;
        back.receive(&mut message)?;
        ensure!(message == round.to_ne_bytes(), "the answer is another one");
    }
    let took = begin.elapsed();
    transcript.line("parent", format!("{} round trips, {} each", grouped(ROUNDS as usize), time(took / ROUNDS as u32)));
    transcript
        .line("parent", format!("≈ {} system calls, its own, to sleep and to wake", there.calls() + back.calls()));
    reap(transcript, pid)?;
    Ok(())
}

fn seals(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A peer that makes the memory shorter");
    let plain = memfd_create(c"plain", MFdFlags::MFD_CLOEXEC)?;
    ftruncate(&plain, 4096)?;
    ftruncate(&plain, 0)?;
    transcript
        .line("peer", "ftruncate of a plain memfd: succeeds. Who has it mapped dies of SIGBUS at the next access");
    let ring = Ring::create(RING, Wake::Futex)?;
    let refused = ftruncate(&ring, 0);
    ensure!(refused == Err(Errno::EPERM), "a sealed memfd: {refused:?}");
    transcript.line("peer", "ftruncate of the ring's: EPERM, it was sealed (F_SEAL_SHRINK) before it was shared");
    Ok(())
}
