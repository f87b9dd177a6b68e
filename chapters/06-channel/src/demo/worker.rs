//! The demonstration's worker: it has no media, and some ways to misbehave.

use std::os::fd::AsFd;
use std::process::{Command, Stdio, id};
use std::time::{Duration, Instant};

use anyhow::Context;
use ch03_socketpair::encode;
use ch06_channel::process::{ANSWERS, REQUESTS, inherited};
use ch06_channel::{FromWorker, Refusal, Request, Server};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, raise};
use nix::unistd::write;
use serde_json::{Value, json};

use super::GRANDCHILD_SECONDS;

/// Serves requests until the client says goodbye or dies.
pub fn be_worker() -> anyhow::Result<()> {
    // SAFETY: whoever started this process as a worker has opened these two for it. Nothing was opened since.
    let (requests, answers) = unsafe { (inherited(REQUESTS), inherited(ANSWERS)) };
    let (requests, answers) = (requests.context("descriptor 3")?, answers.context("descriptor 4")?);
    // What misbehaves goes past the server.
    let raw = answers.try_clone()?;
    let mut server = Server::new(requests, answers);
    let mut held = Vec::new();
    // How long it has waited for its client to read.
    let mut waited = Duration::ZERO;

    server.notify(id(), "running", Value::Null)?;
    while let Some(Request { id, method, handler, data }) = server.next_request()? {
        let number = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
        if let Some(handler) = handler {
            let reason = format!("Channel request handler with ID {handler} not found [method:{method}]");
            server.answer(id, Err(Refusal { error: "Error".to_owned(), reason }))?;
            continue;
        }
        match method.as_str() {
            "worker.dump" => {
                let waited = waited.as_millis() as u64;
                server.answer(id, Ok(json!({"pid": std::process::id(), "waitedMs": waited})))?;
            }
            "worker.echo" => server.answer(id, Ok(data))?,
            "worker.length" => server.answer(id, Ok(json!({"bytes": data.to_string().len()})))?,
            "worker.repeat" => server.answer(id, Ok(json!({"text": "x".repeat(number("count"))})))?,
            "worker.tick" => {
                server.answer(id, Ok(Value::Null))?;
                let begin = Instant::now();
                for tick in 1..=number("count") {
                    server.notify(std::process::id(), "tick", json!({"number": tick}))?;
                }
                waited = begin.elapsed();
            }
            "worker.hold" => held.push(id),
            "worker.release" => {
                server.answer(id, Ok(Value::Null))?;
                for id in held.drain(..) {
                    server.answer(id, Ok(Value::Null))?;
                }
            }
            "worker.die" => {
                let answer = encode(FromWorker::Answer(id, Ok(Value::Null)).to_text().as_bytes())?;
                write(&raw, &answer[..11])?;
                raise(Signal::SIGKILL)?;
            }
            "worker.mumble" => {
                write(&raw, &encode(b"{\"id\":")?)?;
                server.answer(id, Ok(Value::Null))?;
            }
            "worker.http" => drop(write(&raw, b"HTTP/1.1 200 OK\r\n\r\n")?),
            "worker.leak" => {
                // A program that inherits descriptor 4, as every one would if it were not close-on-exec.
                fcntl(raw.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
                let mut command = Command::new("sleep");
                command.arg(GRANDCHILD_SECONDS.to_string());
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
                raise(Signal::SIGKILL)?;
            }
            _ => {
                let reason = format!("unknown method [method:{method}]");
                server.answer(id, Err(Refusal { error: "Error".to_owned(), reason }))?;
            }
        }
    }
    Ok(())
}
