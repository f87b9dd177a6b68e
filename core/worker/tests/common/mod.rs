//! A worker process and the library's side of its channel, spoken by hand: what the tests send and expect is written
//! out as text, so that they do not share a mistake with the crate that the worker uses.

#![allow(dead_code, reason = "each test program uses its part")]

pub mod media;
pub mod sctp;
pub mod webrtc;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A refused request: its class (`Error` or `TypeError`) and its reason.
#[derive(Debug)]
pub struct Refused {
    pub class: String,
    pub reason: String,
}

/// A running worker with the four ends of its channel.
pub struct Worker {
    pub child: Child,
    /// The library's end of fd 3.
    pub requests: Option<UnixStream>,
    /// The library's end of fd 4.
    answers: UnixStream,
    /// The library's ends of fds 5 and 6.
    pub payload_requests: Option<UnixStream>,
    pub payload_answers: UnixStream,
    next_id: u32,
    notifications: VecDeque<Value>,
    /// Log lines that came over the channel, first letter included.
    pub log: Vec<String>,
}

/// The worker's program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sfu-worker");

/// A command for the worker, or for a program that becomes it, and its channel's other ends.
fn command(program: &str, arguments: &[&str]) -> (Command, [UnixStream; 4]) {
    let mut command = Command::new(program);
    command.args(arguments).env("MEDIASOUP_VERSION", "3.12.16").stdin(Stdio::null());
    let pairs = [(); 4].map(|()| UnixStream::pair().unwrap());
    let mut mappings = Vec::new();
    let ours = pairs.map(|(ours, theirs)| {
        mappings.push(FdMapping { parent_fd: OwnedFd::from(theirs), child_fd: 3 + mappings.len() as i32 });
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        ours
    });
    command.fd_mappings(mappings).unwrap();
    (command, ours)
}

/// Runs a worker that is expected to end by itself; returns its exit status and what it wrote to stderr.
pub fn run_to_end(arguments: &[&str], change: impl FnOnce(&mut Command)) -> (ExitStatus, String) {
    let (mut command, _channel) = command(PROGRAM, arguments);
    change(&mut command);
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

impl Worker {
    /// Starts a worker and waits for its `running` event.
    pub fn start() -> Worker {
        Worker::start_with(&["--logLevel=warn", "--rtcMinPort=20000", "--rtcMaxPort=29999"])
    }

    /// Starts a worker with these arguments and waits for its `running` event.
    pub fn start_with(arguments: &[&str]) -> Worker {
        Worker::start_by(PROGRAM, arguments)
    }

    /// Starts a worker by a program that becomes one, and waits for its `running` event.
    pub fn start_by(program: &str, arguments: &[&str]) -> Worker {
        let mut worker = Worker::spawn(program, arguments);
        let running = worker.notification("running");
        assert_eq!(running["targetId"], json!(worker.child.id()), "targetId is the pid, as a number");
        worker
    }

    /// Starts a worker and does not wait.
    pub fn spawn(program: &str, arguments: &[&str]) -> Worker {
        let (mut command, [requests, answers, payload_requests, payload_answers]) = command(program, arguments);
        let child = command.spawn().unwrap();
        // The command holds the child's ends of the channel: with them open we would never see its end.
        drop(command);
        Worker {
            child,
            requests: Some(requests),
            answers,
            payload_requests: Some(payload_requests),
            payload_answers,
            next_id: 1,
            notifications: VecDeque::new(),
            log: Vec::new(),
        }
    }

    /// Sends one frame on fd 3.
    pub fn send_frame(&mut self, payload: &[u8]) {
        let frame = [&(payload.len() as u32).to_ne_bytes()[..], payload].concat();
        self.send_bytes(&frame);
    }

    /// Sends bytes on fd 3, framed or not.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.requests.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Asks and waits for the answer: the data (null when there is none), or the refusal.
    pub fn request(&mut self, method: &str, handler: &str, data: Value) -> Result<Value, Refused> {
        let id = self.post(method, handler, data);
        self.answer(id)
    }

    /// Asks, and returns the id of the request, whose answer is to be waited for.
    pub fn post(&mut self, method: &str, handler: &str, data: Value) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let data = if data.is_null() { "undefined".to_owned() } else { data.to_string() };
        self.send_frame(format!("{id}:{method}:{handler}:{data}").as_bytes());
        id
    }

    /// Asks for what must succeed.
    pub fn ask(&mut self, method: &str, handler: &str, data: Value) -> Value {
        self.request(method, handler, data.clone())
            .unwrap_or_else(|refused| panic!("{method} {data} was refused: {refused:?}"))
    }

    /// Asks for what must be refused.
    pub fn refused(&mut self, method: &str, handler: &str, data: Value) -> Refused {
        match self.request(method, handler, data.clone()) {
            Ok(answer) => panic!("{method} {data} was accepted with {answer}"),
            Err(refused) => refused,
        }
    }

    /// Waits for the answer to the request with that id; notifications that come before it are kept.
    pub fn answer(&mut self, id: u32) -> Result<Value, Refused> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next_message(deadline).unwrap_or_else(|| panic!("no answer to request {id}"));
            if message.get("id").is_none() {
                self.notifications.push_back(message);
                continue;
            }
            assert_eq!(message["id"], json!(id), "answers come in the order of their requests");
            if message["accepted"] == json!(true) {
                return Ok(message.get("data").cloned().unwrap_or(Value::Null));
            }
            let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
            return Err(Refused { class: text("error"), reason: text("reason") });
        }
    }

    /// Passes over every answer until the one to the request with that id, which must be a success.
    pub fn pass_over_until(&mut self, id: u32) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next_message(deadline).unwrap_or_else(|| panic!("no answer to request {id}"));
            if message["id"] == json!(id) {
                assert_eq!(message["accepted"], json!(true));
                return;
            }
        }
    }

    /// Waits for a notification of that name; others that come before it are kept.
    pub fn notification(&mut self, event: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        if let Some(place) = self.notifications.iter().position(|known| known["event"] == json!(event)) {
            return self.notifications.remove(place).unwrap();
        }
        loop {
            let message = self.next_message(deadline).unwrap_or_else(|| panic!("no notification {event}"));
            assert!(message.get("id").is_none(), "an answer that nobody asked for: {message}");
            if message["event"] == json!(event) {
                return message;
            }
            self.notifications.push_back(message);
        }
    }

    /// The same, but not for longer than that; `None` when there is none.
    pub fn notification_within(&mut self, event: &str, patience: Duration) -> Option<Value> {
        let wanted = |known: &Value| known["event"] == json!(event);
        if let Some(place) = self.notifications.iter().position(wanted) {
            return self.notifications.remove(place);
        }
        self.answers.set_read_timeout(Some(patience)).unwrap();
        let message = self.next_message(Instant::now() + patience);
        self.answers.set_read_timeout(Some(PATIENCE)).unwrap();
        match message {
            Some(message) if wanted(&message) => Some(message),
            Some(message) => {
                self.notifications.push_back(message);
                None
            }
            None => None,
        }
    }

    /// The next JSON frame of fd 4; log frames are kept aside. `None` when the channel ended or time ran out.
    pub fn next_message(&mut self, deadline: Instant) -> Option<Value> {
        while Instant::now() < deadline {
            let text = String::from_utf8(read_frame(&mut self.answers)?).expect("frames on fd 4 are text");
            if text.starts_with('{') {
                return Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")));
            }
            assert!(text.starts_with(['D', 'W', 'E', 'X']), "neither JSON nor a log line: {text}");
            self.log.push(text);
        }
        None
    }

    /// Reads fd 4 to its end, which must come.
    pub fn read_to_end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.next_message(deadline).is_some() {}
        let end = self.answers.read(&mut [0]).map_err(|error| error.kind());
        assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "the channel did not end: {end:?}");
    }

    /// Sends a message on the payload channel: a header, then its payload.
    pub fn send_payload(&mut self, header: &str, payload: &[u8]) {
        let channel = self.payload_requests.as_mut().unwrap();
        for frame in [header.as_bytes(), payload] {
            channel.write_all(&[&(frame.len() as u32).to_ne_bytes()[..], frame].concat()).unwrap();
        }
    }

    /// The next frame of fd 6, which must come and be JSON.
    pub fn payload_answer(&mut self) -> Value {
        let frame = read_frame(&mut self.payload_answers).expect("an answer on the payload channel");
        serde_json::from_slice(&frame).unwrap()
    }

    /// The next frame of fd 6 as it is: the payload behind a header.
    pub fn payload(&mut self) -> Vec<u8> {
        read_frame(&mut self.payload_answers).expect("a payload on the payload channel")
    }

    /// Closes our end of fd 4.
    pub fn close_answers(&mut self) {
        self.answers = UnixStream::pair().unwrap().0;
    }

    /// A field of the process's /proc file.
    pub fn proc_field(&self, file: &str, field: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        text.lines().find_map(|line| line.strip_prefix(field)).expect("the file has that line").trim().to_owned()
    }

    /// Waits until the process is in that state (`S` asleep, `T` stopped) and stays in it while it is looked at.
    pub fn wait_for_state(&self, state: char) {
        let deadline = Instant::now() + PATIENCE;
        let mut times = 0;
        while times < 100 {
            times = if self.proc_field("status", "State:").starts_with(state) { times + 1 } else { 0 };
            assert!(Instant::now() < deadline, "the worker is never in state {state}");
        }
    }

    /// Holds the process until [`Worker::go_on`]: what comes in the meantime waits for one turn of its loop.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        self.wait_for_state('T');
    }

    /// Lets the process go on.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the process to end, which is seen by the end of its channel first.
    pub fn wait(&mut self) -> ExitStatus {
        self.read_to_end();
        self.child.wait().unwrap()
    }

    /// Its dump, which must be answered: it lives.
    pub fn dump(&mut self) -> Value {
        self.ask("worker.dump", "undefined", Value::Null)
    }
}

/// Reads a frame; `None` when the channel ended or time ran out.
fn read_frame(channel: &mut UnixStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    channel.read_exact(&mut length).ok()?;
    let mut payload = vec![0; u32::from_ne_bytes(length) as usize];
    channel.read_exact(&mut payload).ok()?;
    Some(payload)
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
