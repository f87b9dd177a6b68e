//! The demonstrations. Server and children are real processes; they report what they do through a socket, and this
//! process, which plays the clients, prints it: so the order of the lines is that of the play.

mod fault;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::id;
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, bail, ensure};
use ch01_simplest_server::serve_tcp;
use ch02_processes_and_signals::{End, Event, fork_alone, fork_per_connection, prefork, run_child};
use nix::sys::prctl::set_thp_disable;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use stage::Transcript;
use stage::transcript::time;

pub use fault::faults;

/// Whoever hears nothing for this long says so, instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long clients may take to finish in the main demonstration, where all of them do.
const GRACE: Duration = Duration::from_secs(10);

/// Connections per server when their cost is measured.
const CONNECTIONS: u32 = 100;

/// What the large parent has in memory, in bytes.
const LARGE: usize = 64 << 20;

/// Plays the whole demonstration, in a few seconds.
pub fn run() -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    one_each(&mut transcript)?;
    one_signal_for_three(&mut transcript)?;
    shared_socket(&mut transcript)?;
    cost(&mut transcript)
}

/// An event for people. Told by a child, it begins with who that is.
pub fn told(event: &Event) -> String {
    match event {
        Event::Forked { child, peer: Some(peer) } => format!("accept, fork: pid {child} is for {peer}"),
        Event::Forked { child, peer: None } => format!("fork: pid {child}"),
        Event::NotForked { peer, error } => format!("no process for {peer}: {error}"),
        Event::Accepted(peer) => format!("accept returned {peer}"),
        Event::Finished { bytes, error: None, .. } => format!("read returned 0 after {bytes} echoed bytes"),
        Event::Finished { bytes, error: Some(error), .. } => format!("broke after {bytes} bytes: {error}"),
        Event::Reaped(ended) => {
            let ends: Vec<String> = ended.iter().map(|(pid, end)| format!("pid {pid} {}", how(*end))).collect();
            format!("SIGCHLD, waitpid: {}", ends.join(", "))
        }
        Event::Stopping { signal, children } => format!("{signal}: no more clients; {children} children to wait for"),
        Event::Killed(child) => format!("the grace is over: SIGKILL for pid {child}"),
        other => format!("{other:?}"),
    }
}

fn how(end: End) -> String {
    match end {
        End::Exited(code) => format!("exited with {code}"),
        End::Killed(signal) => format!("was killed by {signal}"),
    }
}

fn one_each(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A process for each connection: a silent client stops nobody");
    let server = Server::start(|listener, observe| fork_per_connection(listener, GRACE, observe))?;
    transcript.line("silent", format!("connect to {}, and say nothing", server.address));
    let silent = server.connect()?;
    server.tell(transcript)?;
    transcript.line("eager", format!("connect to {}", server.address));
    let mut eager = server.connect()?;
    server.tell(transcript)?;
    let asked = Instant::now();
    converse(&mut eager, b"me too")?;
    transcript.line("eager", format!("write and read 6 bytes \"me too\" in {}", time(asked.elapsed())));
    for (name, client) in [("eager", eager), ("silent", silent)] {
        drop(client);
        transcript.line(name, "close");
        server.tell(transcript)?;
        server.tell(transcript)?;
    }
    server.stop()
}

fn one_signal_for_three(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("SIGCHLD is a flag and not a counter: one for three");
    let server = Server::start(|listener, observe| fork_per_connection(listener, GRACE, observe))?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push((server.connect()?, server.tell(transcript)?));
    }
    kill(server.pid, Signal::SIGSTOP)?;
    ensure!(matches!(waitpid(server.pid, Some(WaitPidFlag::WUNTRACED))?, WaitStatus::Stopped(..)), "it didn't stop");
    transcript.line("you", format!("kill -STOP: the server, pid {}, stands still", server.pid));
    for (client, child) in clients {
        drop(client);
        server.tell(transcript)?;
        until(|| Ok(state(child)? == 'Z'))?;
    }
    transcript.note("all three are zombies now: dead, and in the table until somebody asks how they ended");
    kill(server.pid, Signal::SIGCONT)?;
    transcript.line("you", "kill -CONT");
    server.tell(transcript)?;
    server.stop()
}

fn shared_socket(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Preforked: two processes share one listening socket, and one of them is killed");
    let server = Server::start(|listener, observe| prefork(listener, 2, GRACE, observe))?;
    // Which of the two accepts first is the kernel's choice: their names are told when they do.
    server.hear()?;
    server.hear()?;
    transcript.line("server", "fork, fork: both wait for connections");
    let mut first = server.connect()?;
    transcript.line("first", format!("connect to {}", server.address));
    let victim = server.tell(transcript)?;
    let mut second = server.connect()?;
    transcript.line("second", format!("connect to {}", server.address));
    server.tell(transcript)?;
    converse(&mut first, b"hello")?;
    transcript.line("first", "write and read 5 bytes");
    kill(victim, Signal::SIGKILL)?;
    transcript.line("you", format!("kill -KILL pid {victim}, as a fault in its code would"));
    ensure!(first.read(&mut [0])? == 0, "the connection outlived its process");
    transcript.line("first", "read 0: the kernel has closed what the process had open");
    server.tell(transcript)?;
    server.tell(transcript)?;
    converse(&mut second, b"and I?")?;
    transcript.line("second", "write and read 6 bytes: nothing has happened to it");
    let mut third = server.connect()?;
    transcript.line("third", format!("connect to {}", server.address));
    server.tell(transcript)?;
    converse(&mut third, b"hi")?;
    drop(third);
    transcript.line("third", "write and read 2 bytes, close");
    server.tell(transcript)?;

    transcript.heading("SIGTERM: the idle child ends at once, the busy one when its client has finished");
    kill(server.pid, Signal::SIGTERM)?;
    transcript.line("you", format!("kill -TERM pid {}", server.pid));
    server.tell(transcript)?;
    server.tell(transcript)?;
    let refused = TcpStream::connect(server.address);
    ensure!(refused.is_err(), "a client was let in");
    transcript.line("fourth", format!("connect to {}: refused", server.address));
    converse(&mut second, b"still there?")?;
    transcript.line("second", "write and read 12 bytes: it was let in before");
    drop(second);
    transcript.line("second", "close");
    server.tell(transcript)?;
    server.tell(transcript)?;
    let end = end_of(server.pid)?;
    ensure!(end == WaitStatus::Exited(server.pid, 0), "the server ended so: {end:?}");
    transcript.line("server", "exits with 0");
    Ok(())
}

fn cost(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("What a connection costs: connect, five bytes there and back, close");
    let one = Server::start(|listener, _| serve_tcp(&listener, |_| true))?;
    measure(transcript, one, "one process, chapter 01")?;
    let few = Server::start(|listener, _| prefork(listener, 2, GRACE, |_| {}))?;
    measure(transcript, few, "preforked, 2 processes")?;
    let many = Server::start(|listener, _| fork_per_connection(listener, GRACE, |_| {}))?;
    measure(transcript, many, "fork for each")?;
    let large = Server::start(|listener, _| {
        // Small pages, as a heap has that was filled bit by bit.
        set_thp_disable(true)?;
        let memory = vec![1_u8; LARGE];
        let result = fork_per_connection(listener, GRACE, |_| {});
        drop(std::hint::black_box(memory));
        result
    })?;
    measure(transcript, large, "fork for each, 64 MiB in use")?;
    transcript.note("fork copies no memory, but it copies the table of it: 8 bytes for each page of 4 KiB");
    Ok(())
}

fn measure(transcript: &mut Transcript, server: Server, name: &str) -> anyhow::Result<()> {
    // Until it serves: the large one fills its memory first.
    converse(&mut server.connect()?, b"ready")?;
    let begin = Instant::now();
    for _ in 0..CONNECTIONS {
        converse(&mut server.connect()?, b"hello")?;
    }
    let each = begin.elapsed() / CONNECTIONS;
    transcript.line("client", format!("{name:<30} {} a connection", time(each)));
    kill(server.pid, Signal::SIGTERM)?;
    end_of(server.pid)?;
    Ok(())
}

/// Sends a message and waits for its echo.
fn converse(client: &mut TcpStream, message: &[u8]) -> anyhow::Result<()> {
    client.write_all(message)?;
    let mut answer = vec![0; message.len()];
    client.read_exact(&mut answer).context("no echo came back")?;
    ensure!(answer == message, "the echo differs");
    Ok(())
}

/// Waits for another process to get there.
fn until(mut arrived: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !arrived()? {
        ensure!(begin.elapsed() < PATIENCE, "it never came to that");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Waits for a child's end, and says what it was. One that doesn't end is killed, and that is an error.
fn end_of(pid: Pid) -> anyhow::Result<WaitStatus> {
    let mut status = WaitStatus::StillAlive;
    let ended = until(|| {
        status = waitpid(pid, Some(WaitPidFlag::WNOHANG)).with_context(|| format!("pid {pid} is not ours"))?;
        Ok(status != WaitStatus::StillAlive)
    });
    if ended.is_err() {
        kill(pid, Signal::SIGKILL)?;
    }
    ended.map(|()| status).with_context(|| format!("pid {pid} didn't end"))
}

/// A process's state as `ps` shows it: R runs, S sleeps, T is stopped, Z is a zombie.
fn state(pid: Pid) -> anyhow::Result<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Its name is in front of the state, in brackets, and may be anything.
    stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).context("no state")
}

/// A server in a process of its own.
struct Server {
    pid: Pid,
    address: SocketAddr,
    /// What it and its children report: the actor, the process that it is about, and a sentence, with tabs between.
    reports: UnixDatagram,
}

impl Server {
    fn start(serve: impl FnOnce(TcpListener, Box<dyn FnMut(Event)>) -> std::io::Result<()>) -> anyhow::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (reports, told_to) = UnixDatagram::pair()?;
        reports.set_read_timeout(Some(PATIENCE))?;
        match fork_alone()? {
            ForkResult::Child => {
                drop(reports);
                let server = id();
                let observe = move |event: Event| {
                    let child = match event {
                        Event::Forked { child, .. } => child.as_raw() as u32,
                        _ => id(),
                    };
                    let (actor, who) = match id() == server {
                        true => ("server", String::new()),
                        false => ("child", format!("pid {}: ", id())),
                    };
                    // It can fail only when the demonstration has ended.
                    let _ = told_to.send(format!("{actor}\t{child}\t{who}{}", told(&event)).as_bytes());
                };
                run_child(|| i32::from(serve(listener, Box::new(observe)).is_err()))
            }
            ForkResult::Parent { child: pid } => Ok(Server { pid, address, reports }),
        }
    }

    fn connect(&self) -> anyhow::Result<TcpStream> {
        let client = TcpStream::connect(self.address)?;
        client.set_read_timeout(Some(PATIENCE))?;
        Ok(client)
    }

    /// The next report: actor, process, sentence.
    fn hear(&self) -> anyhow::Result<(String, Pid, String)> {
        let mut buffer = [0; 1024];
        let length = self.reports.recv(&mut buffer).context("the server did not do what it should")?;
        let report = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let mut parts = report.splitn(3, '\t');
        let (Some(actor), Some(pid), Some(what)) = (parts.next(), parts.next(), parts.next()) else {
            bail!("not a report: {report}")
        };
        Ok((actor.to_owned(), Pid::from_raw(i32::from_str(pid)?), what.to_owned()))
    }

    /// Prints the next report, and returns which process it is about.
    fn tell(&self, transcript: &mut Transcript) -> anyhow::Result<Pid> {
        let (actor, pid, what) = self.hear()?;
        transcript.line(&actor, what);
        Ok(pid)
    }

    /// Ends it between two scenes.
    fn stop(self) -> anyhow::Result<()> {
        kill(self.pid, Signal::SIGTERM)?;
        let end = end_of(self.pid)?;
        ensure!(end == WaitStatus::Exited(self.pid, 0), "the server ended so: {end:?}");
        Ok(())
    }
}
