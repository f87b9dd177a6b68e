//! `cargo run -p ch06-channel`: shows the chapter's idea by itself, breaks it with `--fault`, asks its own worker or
//! another one with `--ask` and `--worker`, and is the worker with `--be-worker`.

mod demo;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use ch06_channel::{Event, Outcome, Worker};
use clap::Parser;
use serde_json::Value;

/// How long a worker may take to start, to answer, or to end, unless a scene is about that.
const PATIENCE: Duration = Duration::from_secs(10);

/// The generation of the protocol; mediasoup's worker wants to be told.
const PROTOCOL: &str = "3.12.16";

/// A worker process, and the channel to it.
///
/// Without arguments it starts workers and prints what passes between them and their client. With --ask it starts one
/// worker, sends it these requests all at once, and prints what comes back; try
/// `--ask worker.dump --ask 'worker.tick::{"count":3}'`. With --worker it asks another program that speaks the protocol:
/// a mediasoup worker from 3.10.6 to 3.12.16, or this project's own; try
/// `--worker target/debug/sfu-worker --ask worker.dump`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Show what goes wrong, and what is lost by it.
    #[arg(long, conflicts_with_all = ["worker", "ask"])]
    fault: bool,
    /// The worker's program, instead of this one.
    #[arg(long, value_name = "PATH", requires = "ask")]
    worker: Option<PathBuf>,
    /// A request: a method, an entity's id if it is for one, and parameters as JSON.
    #[arg(long, value_name = "METHOD[:ID[:JSON]]")]
    ask: Vec<String>,
    /// Be the worker: requests come in descriptor 3, and answers go to 4.
    #[arg(long, conflicts_with_all = ["fault", "worker", "ask"])]
    be_worker: bool,
    /// Be a client that starts a worker, says what its pid is, and waits for it: the faults need one to kill.
    #[arg(long, hide = true)]
    be_client: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.be_worker {
        demo::be_worker()
    } else if arguments.be_client {
        demo::be_client()
    } else if arguments.fault {
        demo::faults()
    } else if arguments.ask.is_empty() {
        demo::run()
    } else {
        ask(arguments.worker, &arguments.ask)
    }
}

/// This program as a worker.
fn own_worker() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("where this program is, is not known")?);
    command.arg("--be-worker");
    Ok(command)
}

/// Sends all requests at once and prints what comes back, in the order in which it comes.
fn ask(program: Option<PathBuf>, questions: &[String]) -> anyhow::Result<()> {
    let mut command = match &program {
        Some(program) => Command::new(program),
        None => own_worker()?,
    };
    command.env("MEDIASOUP_VERSION", PROTOCOL);
    // mediasoup's worker has a second channel, for media: it ends when that does.
    let (_payloads_in, theirs_in) = UnixStream::pair()?;
    let (_payloads_out, theirs_out) = UnixStream::pair()?;
    let more = vec![OwnedFd::from(theirs_in), OwnedFd::from(theirs_out)];
    let shown = command.get_program().to_string_lossy().into_owned();
    let mut worker = Worker::spawn(command, more).with_context(|| format!("cannot start {shown}"))?;

    let mut waiting = 0;
    for question in questions {
        let mut fields = question.splitn(3, ':');
        let method = fields.next().filter(|method| !method.is_empty()).context("a request has a method")?;
        let handler = fields.next().filter(|handler| !handler.is_empty());
        let data = match fields.next() {
            None => Value::Null,
            Some(data) => serde_json::from_str(data).with_context(|| format!("{data:?} is no JSON"))?,
        };
        worker.channel.request(method, handler, data, PATIENCE)?;
        waiting += 1;
    }
    while waiting > 0 {
        let event = worker.channel.next_event(None)?.context("no event")?;
        println!("{}", told(&event));
        match event {
            Event::Done { .. } => waiting -= 1,
            Event::Ended => bail!("the worker ended: {}", worker.wait_until(std::time::Instant::now() + PATIENCE)?),
            _ => {}
        }
    }
    let status = worker.end(PATIENCE, |event| println!("{}", told(&event)))?;
    println!("no more requests, says the client; the worker has ended: {status}");
    Ok(())
}

/// What an event says, in a line.
fn told(event: &Event) -> String {
    match event {
        Event::Done { id, method, outcome } => {
            let how = match outcome {
                Outcome::Accepted(Value::Null) => "accepted".to_owned(),
                Outcome::Accepted(data) => format!("accepted: {}", short(&data.to_string())),
                Outcome::Refused(refusal) => format!("refused: {}: {}", refusal.error, refusal.reason),
                Outcome::TimedOut => "timed out".to_owned(),
                Outcome::Lost => "lost".to_owned(),
            };
            format!("request {id} {method}: {how}")
        }
        Event::Notification(notification) => {
            let target = match &notification.target {
                Value::Number(pid) => format!("pid {pid}"),
                Value::String(id) => id.clone(),
                other => other.to_string(),
            };
            let data = match &notification.data {
                Value::Null => String::new(),
                data => format!(" {}", short(&data.to_string())),
            };
            format!("notification from {target}: {}{data}", notification.event)
        }
        Event::Log(line) => format!("log: {line}"),
        Event::Unasked(id) => format!("an answer to {id}, for which nobody waits: thrown away"),
        Event::Malformed(why) => format!("a message that is none: {why}"),
        Event::Ended => "the channel has ended".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The beginning of a long text, and how much there is.
fn short(text: &str) -> String {
    const SHOWN: usize = 800;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
