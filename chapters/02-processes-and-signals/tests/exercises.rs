//! Grades the exercises of chapter 02.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ch01_simplest_server::echo;
use ch02_processes_and_signals::exercises::{FIRST_PAUSE, LONGEST_PAUSE};
use ch02_processes_and_signals::{exercises, solutions};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use stage::grade::{self, Exercise};

type Pause = fn(Duration, Duration) -> Duration;
type Stop = fn(&mut Child, Duration) -> io::Result<ExitStatus>;
type HandOver = fn(&TcpListener, &mut Command) -> io::Result<Child>;

/// The argument with which this program is the one that a socket is handed over to.
const SUCCESSOR: &str = "successor";

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(SUCCESSOR) {
        return succeed();
    }
    grade::main(vec![
        Exercise::new("back-off", pauses, exercises::pause_after as Pause, solutions::pause_after),
        Exercise::new("a polite stop", stops, exercises::stop_politely as Stop, solutions::stop_politely),
        Exercise::new(
            "a new program, the same socket",
            hands_over,
            exercises::hand_over as HandOver,
            solutions::hand_over,
        ),
    ])
}

fn pauses(pause_after: Pause) {
    let at_once = Duration::from_millis(3);
    let mut pause = Duration::ZERO;
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map(|times| FIRST_PAUSE * times) {
        pause = pause_after(at_once, pause);
        assert_eq!(pause, expected, "after one more early death");
    }
    assert_eq!(pause_after(LONGEST_PAUSE, pause), FIRST_PAUSE, "a healthy child begins the count anew");
    assert_eq!(pause_after(LONGEST_PAUSE - at_once, FIRST_PAUSE), FIRST_PAUSE * 2);
}

/// A child that doesn't outlive the check, whatever the check finds.
struct Shell(Child);

impl Shell {
    /// A shell that has come so far that its trap is set.
    fn new(script: &str) -> Shell {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script}; echo")]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = Shell(command.spawn().unwrap());
        // Read without owning it: a closed pipe would end the shell before its time.
        let mut line = String::new();
        BufReader::new(shell.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        shell
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stops(stop: Stop) {
    let long = Duration::from_secs(15);
    let begin = Instant::now();
    let mut obedient = Shell::new("trap 'exit 7' TERM; echo; while :; do sleep 0.02; done");
    assert_eq!(stop(&mut obedient.0, long).unwrap().code(), Some(7), "it has asked, and the child has answered");
    assert!(begin.elapsed() < long / 2, "it returned {:?} later, long after the child's end", begin.elapsed());

    let grace = Duration::from_millis(200);
    let mut stubborn = Shell::new("trap '' TERM; echo; while :; do sleep 0.02; done");
    let begin = Instant::now();
    assert_eq!(stop(&mut stubborn.0, grace).unwrap().signal(), Some(Signal::SIGKILL as i32));
    assert!(begin.elapsed() >= grace, "killed after {:?}: that is no grace", begin.elapsed());

    let mut gone = Shell::new("exit 3");
    assert_eq!(stop(&mut gone.0, long).unwrap().code(), Some(3), "a child that has ended already");
}

fn hands_over(hand_over: HandOver) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // It waits in the queue while the programs change.
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.write_all(b"anyone?").unwrap();
    let mut successor = hand_over(&listener, Command::new(env::current_exe().unwrap()).arg(SUCCESSOR)).unwrap();
    let flags = FdFlag::from_bits_retain(fcntl(&listener, FcntlArg::F_GETFD).unwrap());
    assert!(flags.contains(FdFlag::FD_CLOEXEC), "every program started from here on would inherit the socket");
    drop(listener);
    let mut answer = [0; 7];
    client.read_exact(&mut answer).expect("the new program serves who came before it");
    assert_eq!(&answer, b"anyone?");
    drop(client);
    assert!(successor.wait().unwrap().success());
}

/// The new program: it serves one connection.
fn succeed() -> ExitCode {
    if env::var("LISTEN_FDS").as_deref() != Ok("1") {
        return ExitCode::FAILURE;
    }
    // SAFETY: by the exercise's contract descriptor 3 is this process's, and nothing here has taken it yet.
    let listener = unsafe { TcpListener::from_raw_fd(3) };
    let served = listener.accept().map(|(mut stream, _)| echo(&mut stream));
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
