//! Grades the exercises of ipc-demos.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use ipc_demos::{exercises, solutions};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::Mode;
use nix::sys::time::TimeVal;
use nix::unistd::{Pid, mkfifo};
use stage::grade::{self, Exercise};

type ReadLines = fn(&Path, usize) -> io::Result<Vec<String>>;
type Receive = fn(&UnixStream, &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)>;
type OrDeath = fn(&UnixStream, Pid, &mut [u8]) -> io::Result<Option<usize>>;

/// How long nothing happens where an attempt may sleep, or spin.
const SILENCE: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    grade::main(vec![
        Exercise::new("lines from anybody", lines, exercises::read_lines as ReadLines, solutions::read_lines),
        Exercise::new(
            "many descriptors",
            descriptors,
            exercises::receive_descriptors as Receive,
            solutions::receive_descriptors,
        ),
        Exercise::new("bytes or death", death, exercises::receive_or_death as OrDeath, solutions::receive_or_death),
    ])
}

fn lines(read_lines: ReadLines) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let reader = {
        let path = path.clone();
        thread::spawn(move || read_lines(&path, 4))
    };
    let write = |text: &str| OpenOptions::new().write(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    write("one\ntw");
    write("o\n");
    let before = processor_time();
    thread::sleep(SILENCE);
    let used = processor_time() - before;
    assert!(used < SILENCE / 3, "in {SILENCE:?} without a writer it used {used:?} of processor time");
    write("three\nfour\n");
    assert_eq!(reader.join().expect("it does not panic").unwrap(), ["one", "two", "three", "four"]);
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |time: TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1_000);
    time(usage.user_time()) + time(usage.system_time())
}

fn descriptors(receive: Receive) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let (readers, writers): (Vec<_>, Vec<_>) = (0..20).map(|_| pipe().unwrap()).unzip();
    let numbers: Vec<i32> = writers.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"twenty")], &rights, MsgFlags::empty(), None).unwrap();
    drop(writers);
    let mut buffer = [0; 64];
    let (length, received) = receive(&theirs, &mut buffer).unwrap();
    assert_eq!((&buffer[..length], received.len()), (&b"twenty"[..], 20));
    for (number, descriptor) in received.into_iter().enumerate() {
        let flags = FdFlag::from_bits_retain(fcntl(descriptor.as_fd(), FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC), "a program started now would inherit it");
        fs::File::from(descriptor).write_all(&[number as u8]).unwrap();
    }
    for (number, mut reader) in readers.into_iter().enumerate() {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [number as u8], "pipe {number}");
    }
    ours.write_all(b"none").unwrap();
    let (length, received) = receive(&theirs, &mut buffer).unwrap();
    assert_eq!((length, received.len()), (4, 0));
}

fn death(receive_or_death: OrDeath) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut buffer = [0; 64];
    // It lives until its standard input ends. This process holds a copy of its end of the stream, which stays open.
    let script = "printf hello; read line; printf 'last words'";
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(OwnedFd::from(theirs.try_clone().unwrap()));
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    assert_eq!(receive_or_death(&ours, pid, &mut buffer).unwrap(), Some(5));
    assert_eq!(&buffer[..5], b"hello");
    drop(child.stdin.take());
    // It has died with words unread, as far as one can tell from outside: they come first.
    nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), wait_flags()).unwrap();
    assert_eq!(receive_or_death(&ours, pid, &mut buffer).unwrap(), Some(10));
    assert_eq!(receive_or_death(&ours, pid, &mut buffer).unwrap(), None);
    child.wait().unwrap();

    // A death while it waits.
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let waiter = thread::spawn(move || receive_or_death(&ours, pid, &mut [0; 64]).map_err(|error| error.kind()));
    thread::sleep(SILENCE);
    assert!(!waiter.is_finished(), "it did not wait");
    child.kill().unwrap();
    assert_eq!(waiter.join().expect("it does not panic"), Ok(None));
    child.wait().unwrap();

    // The end of the stream is none of the process's death.
    let (ours, ends) = UnixStream::pair().unwrap();
    drop(ends);
    let this = Pid::this();
    assert_eq!(receive_or_death(&ours, this, &mut buffer).unwrap(), Some(0));
    drop(theirs);
}

/// Its end, and that it is not reaped.
fn wait_flags() -> nix::sys::wait::WaitPidFlag {
    nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT
}
