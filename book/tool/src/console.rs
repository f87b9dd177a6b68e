//! The commands that pages show, and running them as a reader would.
//!
//! A fenced block of the language `console` holds commands (lines that begin with `$ `; a backslash at the end goes on) and
//! under each what it prints:
//!
//! | in the block | means |
//! |---|---|
//! | an include of a transcript | the output is recorded there by `book record` |
//! | lines of text | the output; `…` stands for anything, and alone on a line for any lines |
//! | nothing | whatever it prints |
//! | ```` ```console,serves ```` | the command goes on serving until the page ends; what it prints first is shown |
//! | ```` ```console,yours ```` | needs what a gate has not (a person, a browser): it is not run |
//!
//! Ports from 7000 to 7099 are the pages' own: each run uses free ones in their place.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use regex::{Captures, Regex};

use crate::includes;
use crate::normalise::normalise;
use crate::pages::Page;

/// How long a command may take, compiling included, and waiting while somebody else compiles in the same folder.
const PATIENCE: Duration = Duration::from_secs(900);

static PAGE_PORT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b70\d\d\b").unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
});

/// A command and what the page says it prints.
#[derive(Debug, Clone)]
pub struct Step {
    /// The line of its block's fence.
    pub line: usize,
    /// What to type.
    pub command: String,
    /// The lines shown under it.
    pub shown: Vec<String>,
    /// The file that its output is recorded in.
    pub transcript: Option<PathBuf>,
    /// Whether it goes on serving.
    pub serves: bool,
}

/// The commands of a page, in order, less those that only a person can run.
pub fn steps(page: &Page) -> anyhow::Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for fence in page.fences() {
        if fence.language() != "console" || fence.has_flag("yours") {
            continue;
        }
        let before = steps.len();
        let mut goes_on = false;
        for line in &fence.body {
            if goes_on {
                let step = steps.last_mut().context("a command goes on that never began")?;
                step.command.push('\n');
                step.command.push_str(line);
            } else if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    line: fence.line,
                    command: command.to_owned(),
                    shown: Vec::new(),
                    transcript: None,
                    serves: fence.has_flag("serves"),
                });
            } else {
                ensure!(steps.len() > before, "{}:{}: output without a command", page.name, fence.line);
                let step = steps.last_mut().context("output without a command")?;
                match includes::find(page, fence.line, [line.as_str()].into_iter()).pop() {
                    Some(include) => step.transcript = Some(include.file),
                    None => step.shown.push(line.clone()),
                }
            }
            goes_on = steps.last().is_some_and(|step| step.command.ends_with('\\')) && line.ends_with('\\');
        }
    }
    Ok(steps)
}

/// A reader's terminals: what was started stays until this is dropped.
#[derive(Debug)]
pub struct Terminals<'a> {
    root: &'a Path,
    /// Free ports in the place of the page's.
    ports: BTreeMap<String, u16>,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.0);
    }
}

/// Ends a command and all that it started.
fn stop(child: &mut Child) {
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    let _ = child.wait();
}

impl<'a> Terminals<'a> {
    /// Terminals in that folder.
    pub fn new(root: &'a Path) -> Terminals<'a> {
        Terminals { root, ports: BTreeMap::new(), servers: Vec::new() }
    }

    /// Runs a command to its end and returns what it printed, normalised.
    ///
    /// # Errors
    /// When it fails or does not end.
    pub fn run(&mut self, step: &Step) -> anyhow::Result<String> {
        let mut child = self.spawn(&step.command)?;
        let output = reader(child.stdout.take().context("no output")?);
        let errors = reader(child.stderr.take().context("no errors")?);
        let deadline = Instant::now() + PATIENCE;
        let printed = collect(&output, deadline);
        let complaints = collect(&errors, deadline);
        if Instant::now() >= deadline {
            stop(&mut child);
            bail!("`{}` did not end within {} s; it printed:\n{printed}", step.command, PATIENCE.as_secs());
        }
        let status = child.wait()?;
        ensure!(status.success(), "`{}` failed ({status}):\n{printed}{complaints}", step.command);
        Ok(normalise(&self.as_on_page(&printed)))
    }

    /// Starts a command that serves, and waits until it has printed what the page shows.
    ///
    /// # Errors
    /// When it ends, or prints something else.
    pub fn serve(&mut self, step: &Step) -> anyhow::Result<()> {
        let mut child = self.spawn(&step.command)?;
        let output = reader(child.stdout.take().context("no output")?);
        // Nobody reads its errors; it must not stop because of that.
        drop(reader(child.stderr.take().context("no errors")?));
        self.servers.push(Server(child));
        let deadline = Instant::now() + PATIENCE;
        let mut printed = String::new();
        // What the page shows, or anything: a line is the sign that it serves.
        while printed.lines().count() < step.shown.len().max(1) {
            match output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => printed.push_str(&line),
                Err(_) => bail!("`{}` ended, or printed no more than:\n{printed}", step.command),
            }
        }
        let printed = normalise(&self.as_on_page(&printed));
        ensure!(step.shown.is_empty() || matches(&step.shown, &printed), "`{}` printed:\n{printed}", step.command);
        Ok(())
    }

    fn spawn(&mut self, command: &str) -> anyhow::Result<Child> {
        let command = PAGE_PORT.replace_all(command, |found: &Captures<'_>| self.port(&found[0])).into_owned();
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &command])
            .current_dir(self.root)
            .env("CARGO_TERM_QUIET", "true")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("bash could not be started")
    }

    /// The port that stands for the page's.
    fn port(&mut self, shown: &str) -> String {
        self.ports.entry(shown.to_owned()).or_insert_with(free_port).to_string()
    }

    /// With the page's ports again.
    fn as_on_page(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (shown, used)| text.replace(&used.to_string(), shown))
    }
}

/// A port that is free for TCP and UDP now.
fn free_port() -> u16 {
    loop {
        let Ok(listener) = TcpListener::bind("127.0.0.1:0") else { continue };
        let Ok(address) = listener.local_addr() else { continue };
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

/// Reads lines in a thread; the channel ends with the stream.
fn reader(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            // When nobody listens any more the stream is still emptied.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
    });
    receiver
}

fn collect(lines: &Receiver<String>, deadline: Instant) -> String {
    let mut text = String::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        text.push_str(&line);
    }
    text
}

/// Whether the output is what a page shows.
pub fn matches(shown: &[String], printed: &str) -> bool {
    let lines = shown.iter().map(|line| match line.trim() {
        "…" => r"(?:.*\n)*?".to_owned(),
        _ => regex::escape(line.trim_end()).replace('…', ".*") + r"\n",
    });
    let pattern = format!("^{}$", lines.collect::<String>());
    Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(printed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page { name: "p.md".to_owned(), path: PathBuf::from("book/p.md"), text: text.to_owned() }
    }

    #[test]
    fn commands_are_read_with_their_output() {
        let text = "```console\n$ one \\\n  two\nout\n$ three\n```\n```console,yours\n$ open a browser\n```\n\
                    ```console\n$ four\n{{#include transcripts/four.txt}}\n```\n";
        let steps = steps(&page(text)).unwrap();
        let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
        assert_eq!(commands, ["one \\\n  two", "three", "four"]);
        assert_eq!((&steps[0].shown[..], steps[1].shown.len()), (&["out".to_owned()][..], 0));
        assert!(steps[2].transcript.as_ref().unwrap().ends_with("transcripts/four.txt"));
    }

    #[test]
    fn shown_output_may_leave_things_out() {
        let matches =
            |shown: &str, printed: &str| matches(&shown.lines().map(str::to_owned).collect::<Vec<_>>(), printed);
        assert!(matches("a … c\n…\nend", "a b c\nx\ny\nend\n"));
        assert!(matches("a\n…\nend", "a\nend\n"));
        assert!(!matches("a\nend", "a\nx\nend\n"));
        assert!(!matches("a.c", "abc\n"));
    }

    #[test]
    fn a_page_has_its_own_ports_and_its_servers_end_with_it() {
        let root = std::env::temp_dir();
        let mut terminals = Terminals::new(&root);
        let step = |command: &str, shown: &[&str]| Step {
            line: 1,
            command: command.to_owned(),
            shown: shown.iter().map(|line| (*line).to_owned()).collect(),
            transcript: None,
            serves: false,
        };
        terminals.serve(&step("echo on 127.0.0.1:7000; sleep 1000", &["on 127.0.0.1:7000"])).unwrap();
        assert_eq!(terminals.run(&step("echo to 7000", &[])).unwrap(), "to 7000\n");
        assert!(terminals.run(&step("false", &[])).is_err());
        let server = terminals.servers[0].0.id() as i32;
        drop(terminals);
        assert!(nix::sys::signal::kill(Pid::from_raw(server), None).is_err());
    }
}
