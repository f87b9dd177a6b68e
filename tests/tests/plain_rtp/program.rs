//! A program that is run, watched by what it writes and which ports it binds, and killed at the end.

use std::net::UdpSocket;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// The longest that anything is waited for.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills it.
pub struct Program {
    name: String,
    child: Child,
    output: Arc<Output>,
}

/// All that a program has written, and a bell for when it writes more or ends.
#[derive(Default)]
struct Output {
    text: Mutex<String>,
    changed: Notify,
}

impl Program {
    /// Starts a program that is installed.
    pub fn start(name: &str, arguments: &[String]) -> Program {
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; `tests/install.sh test` installs it"));
        let output = Arc::<Output>::default();
        tokio::spawn(gather(child.stdout.take().unwrap(), output.clone()));
        tokio::spawn(gather(child.stderr.take().unwrap(), output.clone()));
        Program { name: name.to_owned(), child, output }
    }

    /// All that it has written.
    pub fn output(&self) -> String {
        self.output.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it ends, which must be well, and returns what it has written.
    pub async fn success(&mut self) -> String {
        let status = match tokio::time::timeout(LIMIT, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("{} still runs and has written:\n{}", self.name, self.output()),
        };
        // The pipes may still hold the last lines; both ends of the output are told by the bell.
        let output = self.await_output("its end", |text| text.matches(END).count() == 2).await;
        assert!(status.success(), "{}: {status}; it has written:\n{output}", self.name);
        output
    }

    /// Waits until what it has written fits, and returns that.
    pub async fn await_output(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let wait = async {
            loop {
                let changed = self.output.changed.notified();
                let text = self.output();
                if fits(&text) {
                    return text;
                }
                assert!(text.matches(END).count() < 2, "{} has ended before {what}:\n{text}", self.name);
                changed.await;
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(text) => text,
            Err(_) => panic!("{}: waiting for {what}; it has written:\n{}", self.name, self.output()),
        }
    }

    /// Waits until somebody has bound all of these UDP ports. There is no event for that, so that this looks often.
    pub async fn bound(&mut self, ports: &[u16]) {
        let look = async {
            while !ports.iter().all(|port| is_bound(*port)) {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "{} has ended without binding its ports:\n{}", self.name, self.output());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(LIMIT, look).await.is_err() {
            panic!("{} does not bind {ports:?}; it has written:\n{}", self.name, self.output());
        }
    }
}

/// Stands in the output for the end of one of its two streams.
const END: &str = "\u{4}";

async fn gather(stream: impl AsyncRead + Unpin, output: Arc<Output>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        output.append(&String::from_utf8_lossy(&line));
        line.clear();
    }
    output.append(END);
}

impl Output {
    fn append(&self, text: &str) {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        self.changed.notify_waiters();
    }
}

fn is_bound(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
    let suffix = format!(":{port:04X}");
    sockets.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).any(|local| local.ends_with(&suffix))
}

/// Ports for a program that can't be told to choose: an even one for RTP, of which the next is free as well, for RTCP.
/// They are of the system's ephemeral range, where the workers of these tests take none.
pub fn port_pair() -> u16 {
    for _ in 0..1000 {
        let first = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port.is_multiple_of(2) && UdpSocket::bind(("0.0.0.0", port + 1)).is_ok() {
            return port;
        }
    }
    panic!("no two neighbouring UDP ports are free")
}
