//! The demonstrations: real workers, and a transcript of who did what. It is the client's: what a worker did is told when
//! the client hears of it.

mod fault;
mod worker;

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use ch03_socketpair::encode;
use ch03_socketpair::frame::HEADER;
use ch06_channel::channel::Error;
use ch06_channel::{Event, FromWorker, Outcome, Request, Worker};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde_json::{Value, json};
use stage::transcript::time;
use stage::{Field, Transcript};

use crate::{PATIENCE, own_worker, told};

pub use fault::{be_client, faults};
pub use worker::be_worker;

/// How long the client waits for an answer that won't come in time.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// How long a process lives that has a dead worker's end of the channel.
const GRANDCHILD_SECONDS: u32 = 5;

/// How long the client looks away while the worker talks.
const AWAY: Duration = Duration::from_millis(300);

/// What the worker says meanwhile: more than the socket holds.
const TICKS: u64 = 20_000;

/// How much the data of each request has that a stopped worker gets, in bytes.
const BULK: usize = 64 * 1024;

/// Plays the whole demonstration, in a second or two.
pub fn run() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    let mut worker = meet(&mut transcript)?;
    pipelined(&mut transcript, &mut worker)?;
    timed_out(&mut transcript, &mut worker)?;
    looked_away(&mut transcript, &mut worker)?;
    goodbye(&mut transcript, worker)?;
    stopped(&mut transcript)
}

fn meet(transcript: &mut Transcript) -> anyhow::Result<Worker> {
    transcript.heading("A request, its answer, and what nobody asked for");
    let mut worker = start(transcript)?;
    send(transcript, &mut worker, "worker.echo", json!({"say": "hello"}))?;
    let text = r#"1:worker.echo:undefined:{"say":"hello"}"#;
    let fields = [
        Field::new(HEADER, format!("length {}, in this machine's byte order", text.len())),
        Field::new(2, "\"1:\" the id, which the answer will name"),
        Field::new(12, "\"worker.echo:\" the method"),
        Field::new(10, "\"undefined:\" whose affair: the worker's own"),
        Field::new(15, "{\"say\":\"hello\"} the parameters"),
    ];
    transcript.bytes("client", "that is, on descriptor 3:", &encode(text.as_bytes())?, &fields);
    let event = hear(transcript, &mut worker)?;
    let Event::Done { id, outcome: Outcome::Accepted(data), .. } = event else { bail!("{event:?}") };
    let text = FromWorker::Answer(id, Ok(data)).to_text();
    let fields = [Field::new(HEADER, format!("length {}", text.len())), Field::new(text.len(), text.clone())];
    transcript.bytes("worker", "that was, on descriptor 4:", &encode(text.as_bytes())?, &fields);
    send(transcript, &mut worker, "worker.fly", Value::Null)?;
    hear(transcript, &mut worker)?;
    send(transcript, &mut worker, "worker.tick", json!({"count": 2}))?;
    for _ in 0..3 {
        hear(transcript, &mut worker)?;
    }
    transcript.note("the answer comes before what the request has caused: whoever asked is ready for it");
    Ok(worker)
}

fn pipelined(transcript: &mut Transcript, worker: &mut Worker) -> anyhow::Result<()> {
    transcript.heading("Three questions at once: the ids tell the answers apart");
    for method in ["worker.hold", "worker.echo", "worker.release"] {
        send(transcript, worker, method, Value::Null)?;
    }
    transcript.note("the worker answers the first one when the third one comes");
    for method in ["worker.echo", "worker.release", "worker.hold"] {
        let event = hear(transcript, worker)?;
        ensure!(matches!(&event, Event::Done { method: done, .. } if done == method), "{event:?}");
    }
    Ok(())
}

fn timed_out(transcript: &mut Transcript, worker: &mut Worker) -> anyhow::Result<()> {
    transcript.heading("No answer in time");
    let begin = Instant::now();
    worker.channel.request("worker.hold", None, Value::Null, IMPATIENCE)?;
    transcript.line("client", "worker.hold, and not as patient as before");
    hear(transcript, worker)?;
    transcript.note(format!("after {}: whether the worker will still do it, nobody knows", time(begin.elapsed())));
    send(transcript, worker, "worker.release", Value::Null)?;
    hear(transcript, worker)?;
    let event = hear(transcript, worker)?;
    ensure!(matches!(event, Event::Unasked(_)), "{event:?}");
    transcript
        .note("its id comes again after four thousand million others: a late answer is not taken for another one's");
    Ok(())
}

fn looked_away(transcript: &mut Transcript, worker: &mut Worker) -> anyhow::Result<()> {
    transcript.heading("Back-pressure: the client does not listen for a while");
    send(transcript, worker, "worker.tick", json!({"count": TICKS}))?;
    hear(transcript, worker)?;
    std::thread::sleep(AWAY);
    for number in 1..=TICKS {
        let event = next(worker)?;
        let Event::Notification(notification) = &event else { bail!("{event:?}") };
        ensure!(notification.data["number"] == number, "{event:?} is not tick {number}");
    }
    transcript
        .line("client", format!("looks away for a third of a second, then hears ticks 1 to {TICKS}, none missing"));
    let outcome = worker.channel.ask("worker.dump", None, Value::Null, PATIENCE)?;
    let Outcome::Accepted(dump) = outcome else { bail!("{outcome:?}") };
    let waited = dump["waitedMs"].as_u64().context("no waitedMs")?;
    ensure!(waited >= AWAY.as_millis() as u64 / 2, "the worker did not wait: {dump}");
    transcript.line("worker", format!("it took me {waited} ms to say that: my write waited for a reader"));
    Ok(())
}

fn goodbye(transcript: &mut Transcript, mut worker: Worker) -> anyhow::Result<()> {
    transcript.heading("Goodbye");
    send(transcript, &mut worker, "worker.echo", json!({"last": true}))?;
    transcript.line("client", "shutdown(SHUT_WR) on its end of 3: no more requests, but it still listens");
    let status = worker.end(PATIENCE, |event| transcript.line("worker", told(&event)))?;
    transcript.line("client", format!("end of file on its end of 4; the worker has ended: {status}"));
    ensure!(status.success(), "{status}");
    Ok(())
}

fn stopped(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Back-pressure the other way: a worker takes nothing for a while");
    let mut worker = start(transcript)?;
    kill(worker.pid(), Signal::SIGSTOP)?;
    let status = waitpid(worker.pid(), Some(WaitPidFlag::WUNTRACED))?;
    ensure!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
    transcript.line("client", format!("kill(SIGSTOP): pid {} does nothing at all", worker.pid()));
    let mut ids = Vec::new();
    let busy = loop {
        match worker.channel.request("worker.length", None, json!({"text": "x".repeat(BULK)}), PATIENCE) {
            Ok(id) => ids.push(id),
            Err(busy @ Error::Busy { .. }) => break busy,
            Err(error) => return Err(error.into()),
        }
        // Gives the kernel what that takes, and waits for nothing.
        let event = worker.channel.next_event(Some(Instant::now()))?;
        ensure!(event.is_none(), "{event:?}");
    };
    let Error::Busy { bytes, .. } = busy else { bail!("{busy}") };
    transcript
        .line("client", format!("≈ {} requests of 64 KiB, then error: Busy, with ≈ {bytes} bytes unsent", ids.len()));
    transcript
        .note("the kernel has some of it, the queue the rest; it is for the caller to wait now, or to do without");
    kill(worker.pid(), Signal::SIGCONT)?;
    for asked in &ids {
        let event = next(&mut worker)?;
        let Event::Done { id, outcome: Outcome::Accepted(data), .. } = &event else { bail!("{event:?}") };
        ensure!(id == asked && data["bytes"] == BULK + 11, "{event:?}");
    }
    transcript.line("client", "kill(SIGCONT): each of them is answered, in order");
    Ok(())
}

/// Starts a worker, and waits until it says that it runs.
fn start(transcript: &mut Transcript) -> anyhow::Result<Worker> {
    let mut worker = Worker::spawn(own_worker()?, Vec::new()).context("the worker does not start")?;
    transcript.line("client", "two socketpairs, fork, exec: the worker has its ends as 3 and 4");
    hear(transcript, &mut worker)?;
    Ok(worker)
}

/// Queues a request that has all the time it needs, and says so.
fn send(transcript: &mut Transcript, worker: &mut Worker, method: &str, data: Value) -> anyhow::Result<u32> {
    let id = worker.channel.request(method, None, data.clone(), PATIENCE)?;
    let request = Request { id, method: method.to_owned(), handler: None, data };
    transcript.line("client", request.to_text());
    Ok(id)
}

/// Waits for an event, and says what it is.
fn hear(transcript: &mut Transcript, worker: &mut Worker) -> anyhow::Result<Event> {
    let event = next(worker)?;
    let who = match event {
        Event::Done { outcome: Outcome::Accepted(_) | Outcome::Refused(_), .. } => "worker",
        Event::Notification(_) | Event::Log(_) => "worker",
        _ => "client",
    };
    transcript.line(who, told(&event));
    Ok(event)
}

fn next(worker: &mut Worker) -> anyhow::Result<Event> {
    worker.channel.next_event(Some(Instant::now() + PATIENCE))?.context("the worker says nothing")
}
