//! What goes wrong between a client and its worker, and what is lost by it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ch03_socketpair::frame::MAX_MESSAGE;
use ch06_channel::{Event, Outcome, Worker};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use stage::Transcript;
use stage::transcript::time;

use super::{GRANDCHILD_SECONDS, hear, next, send, start};
use crate::{PATIENCE, own_worker, told};

/// Plays the faults, in a second or two.
pub fn faults() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    killed(&mut transcript)?;
    leaked(&mut transcript)?;
    too_long(&mut transcript)?;
    babbled(&mut transcript)?;
    orphaned(&mut transcript)
}

fn killed(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("The worker is killed in the middle of an answer, and three requests wait");
    let mut worker = start(transcript)?;
    send(transcript, &mut worker, "worker.hold", Value::Null)?;
    send(transcript, &mut worker, "worker.echo", json!({"say": "whole"}))?;
    send(transcript, &mut worker, "worker.die", Value::Null)?;
    hear(transcript, &mut worker)?;
    let broken = worker.channel.next_event(None).err().context("half an answer was taken for one")?;
    transcript.line("client", format!("error: {broken}"));
    for _ in 0..3 {
        hear(transcript, &mut worker)?;
    }
    let refused = worker.channel.request("worker.echo", None, Value::Null, PATIENCE).err().context("a dead worker?")?;
    transcript.line("client", format!("one more request: error: {refused}"));
    died(transcript, &mut worker)?;
    transcript.note("what was answered is answered; each of the others is reported as lost, once");
    Ok(())
}

fn leaked(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A killed worker's end of the channel lives on in a program that it had started");
    let mut worker = start(transcript)?;
    let begin = Instant::now();
    send(transcript, &mut worker, "worker.leak", Value::Null)?;
    transcript.note(format!("it starts `sleep {GRANDCHILD_SECONDS}`, which inherits descriptor 4, and is killed"));
    for _ in 0..2 {
        hear(transcript, &mut worker)?;
    }
    let noticed = begin.elapsed();
    ensure!(noticed < Duration::from_secs(GRANDCHILD_SECONDS.into()), "noticed after {}", time(noticed));
    transcript.note(format!("after {}, and without end of file: by the pidfd, which is the process", time(noticed)));
    died(transcript, &mut worker)
}

fn too_long(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("More than 4 MiB, either way: the message is refused, the channel lives");
    let mut worker = start(transcript)?;
    let text = "x".repeat(MAX_MESSAGE);
    let refused = worker.channel.request("worker.length", None, json!({"text": text}), PATIENCE);
    let refused = refused.err().context("a request of more than 4 MiB was taken")?;
    transcript.line("client", format!("worker.length with 4 MiB of text: error: {refused}"));
    send(transcript, &mut worker, "worker.repeat", json!({"count": MAX_MESSAGE}))?;
    hear(transcript, &mut worker)?;
    send(transcript, &mut worker, "worker.echo", json!({"say": "still here"}))?;
    hear(transcript, &mut worker)?;
    Ok(())
}

fn babbled(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("The worker says what is no message, and then what is not even a frame");
    let mut worker = start(transcript)?;
    send(transcript, &mut worker, "worker.mumble", Value::Null)?;
    for _ in 0..2 {
        hear(transcript, &mut worker)?;
    }
    transcript.note("the frame is sound, and tells where the next one begins: one message is lost");
    send(transcript, &mut worker, "worker.http", Value::Null)?;
    let broken = worker.channel.next_event(None).err().context("a stranger was understood")?;
    transcript.line("client", format!("error: {broken}"));
    for _ in 0..2 {
        hear(transcript, &mut worker)?;
    }
    transcript.note("where the next frame begins is not known: the worker lives, and is of no use");
    let status = worker.wait_until(Instant::now())?;
    transcript.line("client", format!("kill; wait: {status}"));
    Ok(())
}

fn orphaned(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("The client is killed");
    // The worker of a killed client becomes our child, so that we can see how it ends.
    set_child_subreaper(true)?;
    let mut command = Command::new(std::env::current_exe()?);
    let mut client = command.arg("--be-client").stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    BufReader::new(client.stdout.take().context("no output")?).read_line(&mut said)?;
    let worker: i32 = said.trim().parse().with_context(|| format!("the client said {said:?}"))?;
    transcript.line("shell", format!("pid {} is a client, pid {worker} its worker", client.id()));
    client.kill()?;
    transcript.line("shell", format!("kill(SIGKILL) the client; wait: {}", client.wait()?));
    let begin = Instant::now();
    let status = waitpid(Pid::from_raw(worker), None)?;
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    transcript.line("shell", format!("the worker, pid {worker}, has exited with 0, {} later", time(begin.elapsed())));
    transcript.note("it has read 0 from descriptor 3: nobody had to tell it");
    Ok(())
}

/// Says how the worker's process ended.
fn died(transcript: &mut Transcript, worker: &mut Worker) -> anyhow::Result<()> {
    let status = worker.wait_until(Instant::now() + PATIENCE)?;
    transcript.line("client", format!("wait: {status}"));
    Ok(())
}

/// A client that starts a worker, says its pid, and waits for what the worker says.
pub fn be_client() -> anyhow::Result<()> {
    let mut worker = Worker::spawn(own_worker()?, Vec::new())?;
    next(&mut worker)?;
    let outcome = worker.channel.ask("worker.echo", None, Value::Null, PATIENCE)?;
    ensure!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    println!("{}", worker.pid());
    while let Some(event) = worker.channel.next_event(None)? {
        eprintln!("{}", told(&event));
        ensure!(event != Event::Ended, "the worker was to live");
    }
    Ok(())
}
