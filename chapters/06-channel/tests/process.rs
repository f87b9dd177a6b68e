//! Real processes: their descriptors, and how their end is noticed. The demonstrations are tests too: they fail when what
//! they show is not so.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ch06_channel::process::inherited;
use ch06_channel::{Event, Outcome, Worker};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ch06-channel");

const PATIENCE: Duration = Duration::from_secs(20);

/// What is noticed at once is noticed within that on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

fn run(arguments: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = Command::new(PROGRAM).args(arguments).output().unwrap();
    (status.success(), String::from_utf8(stdout).unwrap() + &String::from_utf8_lossy(&stderr))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn the_demonstrations_show_what_they_say() {
    let (succeeded, text) = run(&[]);
    assert!(succeeded && text.contains("each of them is answered, in order"), "{text}");
    let (succeeded, text) = run(&["--fault"]);
    assert!(succeeded, "{text}");
    assert_eq!(text.matches(": lost").count(), 4, "{text}");
}

#[test]
fn own_worker_is_asked_from_the_command_line() {
    let (succeeded, text) = run(&["--ask", "worker.echo::{\"a\":1}", "--ask", "router.dump:r1"]);
    assert!(succeeded && text.contains("request 1 worker.echo: accepted: {\"a\":1}\n"), "{text}");
    assert!(text.contains("request 2 router.dump: refused: Error: Channel request handler with ID r1 not found"));
    assert!(text.ends_with("the worker has ended: exit status: 0\n"), "{text}");
}

/// That exec has failed comes through a pipe of the standard library's, whose number must not be taken from it.
#[test]
fn a_program_that_is_not_there_is_an_error_and_no_dead_worker() {
    let missing = Worker::spawn(Command::new("/nonexistent/worker"), Vec::new());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    // And in a process in which the numbers from 3 on are free.
    let (succeeded, text) = run(&["--worker", "/nonexistent/worker", "--ask", "worker.dump"]);
    assert!(!succeeded && text.contains("No such file or directory"), "{text}");
}

#[test]
fn a_worker_has_its_descriptors_by_number_and_no_others_of_ours() {
    // Sockets only: the shell, and whoever started this test, may have others open.
    let script = r#"list=; for fd in 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        if [ -S /proc/$$/fd/$fd ]; then list="$list $fd"; fi; done
        text="E$list"; printf "\\$(printf %03o ${#text})\000\000\000%s" "$text" >&4; cat <&3"#;
    for count in 0..3_usize {
        let more = (0..count).map(|_| OwnedFd::from(UnixStream::pair().unwrap().0)).collect();
        let mut worker = Worker::spawn(shell(script), more).unwrap();
        let event = worker.channel.next_event(Some(Instant::now() + PATIENCE)).unwrap().unwrap();
        let list: String = (3..5 + count).map(|number| format!(" {number}")).collect();
        assert_eq!(event, Event::Log(format!("E{list}")));
        assert!(worker.end(PATIENCE, |event| panic!("{event:?}")).unwrap().success());
    }
}

/// Nor does a program that the worker starts have the worker's channel.
#[test]
fn what_a_worker_takes_over_is_its_own() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    // SAFETY: the number is that of `theirs`, which gives it up.
    let file = unsafe { inherited(theirs.into_raw_fd()) }.unwrap();
    assert_eq!(fcntl(&file, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
    drop(file);
    assert_eq!((&ours).read(&mut [0]).unwrap(), 0);
    // SAFETY: there is no such descriptor, so that nobody owns it.
    let missing = unsafe { inherited(i32::MAX) };
    assert_eq!(missing.unwrap_err().raw_os_error(), Some(Errno::EBADF as i32));
}

#[test]
fn several_workers_don_t_hold_each_other_s_channels() {
    let own = || {
        let mut command = Command::new(PROGRAM);
        command.arg("--be-worker");
        Worker::spawn(command, Vec::new()).unwrap()
    };
    let (mut first, second) = (own(), own());
    let outcome = first.channel.ask("worker.echo", None, json!({"a": 1}), PATIENCE).unwrap();
    assert_eq!(outcome, Outcome::Accepted(json!({"a": 1})));
    let begin = Instant::now();
    // The second one, started while the first one's channel was open, does not keep it from seeing the end of that.
    assert!(first.end(PATIENCE, drop).unwrap().success());
    assert!(second.end(PATIENCE, drop).unwrap().success());
    assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
}

/// The shell is gone, `sleep` has its descriptors: there is no end of file for a long time.
#[test]
fn a_death_is_noticed_although_another_process_holds_the_channel() {
    let (pid, theirs) = UnixStream::pair().unwrap();
    let script = "sleep 60 >&2 & echo $! >&5; exit 7";
    let mut worker = Worker::spawn(shell(script), vec![theirs.into()]).unwrap();
    worker.channel.request("worker.dump", None, Value::Null, PATIENCE).unwrap();
    let begin = Instant::now();
    let events: Vec<Event> = (0..2).map(|_| worker.channel.next_event(None).unwrap().unwrap()).collect();
    assert!(matches!(events[..], [Event::Done { outcome: Outcome::Lost, .. }, Event::Ended]), "{events:?}");
    assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
    assert_eq!(worker.wait_until(Instant::now() + PATIENCE).unwrap().code(), Some(7));
    let mut sleeper = String::new();
    BufReader::new(pid).read_line(&mut sleeper).unwrap();
    kill(Pid::from_raw(sleeper.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[test]
fn a_worker_that_does_not_leave_is_killed() {
    let deaf = Worker::spawn(shell("exec sleep 1000"), Vec::new()).unwrap();
    let begin = Instant::now();
    let status = deaf.end(Duration::from_millis(50), |event| panic!("{event:?}")).unwrap();
    assert!(!status.success() && begin.elapsed() < AT_ONCE, "{status} after {:?}", begin.elapsed());

    let dropped = Worker::spawn(shell("exec sleep 1000"), Vec::new()).unwrap();
    let pid = dropped.pid();
    assert!(kill(pid, None).is_ok());
    drop(dropped);
    assert!(kill(pid, None).is_err(), "it lives, or is a zombie");
}
