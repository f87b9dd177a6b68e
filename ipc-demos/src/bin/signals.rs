//! `cargo run -p ipc-demos --bin signals`: what a signal interrupts, what gets lost, and how to make a descriptor of it.

use std::io::{ErrorKind, PipeWriter, Read, Write, pipe};
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU32};
use std::thread::sleep;
use std::time::Duration;
use std::{io, ptr};

use anyhow::{Context, ensure};
use ch02_processes_and_signals::fork_alone;
use ch03_socketpair::fork_with_channel;
use ipc_demos::play::{begin, child, fork, reap};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, getpid, getppid};
use stage::Transcript;

/// How often a child sends its signal.
const EVERY: Duration = Duration::from_millis(10);

/// How long a wait is left waiting that is there to show that it waits.
const STUCK: Duration = Duration::from_millis(300);

fn main() -> anyhow::Result<()> {
    let mut transcript = begin("Shows sigaction, the self-pipe, signalfd, and what a signal handler may do");
    interruption(&mut transcript)?;
    flags_and_queues(&mut transcript)?;
    self_pipe(&mut transcript)?;
    signal_descriptor(&mut transcript)?;
    unsafe_handler(&mut transcript)
}

/// How often the handler has run.
static HANDLED: AtomicU32 = AtomicU32::new(0);

// ANCHOR: sigaction
/// An atomic number is safe to change between any two instructions of the rest of the program.
extern "C" fn count(_signal: i32) {
    HANDLED.fetch_add(1, Relaxed);
}

fn handle(signal: Signal, handler: extern "C" fn(i32), flags: SaFlags) -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(handler), flags, SigSet::empty());
    // SAFETY: the handlers of this program are async-signal-safe, but for one that is there to show what happens then.
    unsafe { sigaction(signal, &action) }.map(drop)
}
// ANCHOR_END: sigaction

fn interruption(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("sigaction: a handler, and what becomes of a call that waits");
    for (flags, name, expected) in [
        (SaFlags::empty(), "without flags", Err(ErrorKind::Interrupted)),
        (SaFlags::SA_RESTART, "with SA_RESTART", Ok(1)),
    ] {
        handle(Signal::SIGUSR1, count, flags)?;
        HANDLED.store(0, Relaxed);
        let (mut reader, mut writer) = pipe()?;
        let parent = getpid();
        let pid = fork(transcript, |_| {
            // Without SA_RESTART until it is killed; otherwise the parent gets a byte in the end.
            let mut sent = 0;
            while getppid() == parent && (expected.is_err() || sent < 5) {
                kill(parent, Signal::SIGUSR1)?;
                sent += 1;
                sleep(EVERY);
            }
            Ok(writer.write_all(b"!")?)
        })?;
        drop(writer);
        let result = reader.read(&mut [0]).map_err(|error| error.kind());
        ensure!(result == expected && HANDLED.load(Relaxed) > 0, "{name}: {result:?}");
        let what = match result {
            Ok(length) => format!("returns {length} byte, though the handler ran before it came"),
            Err(_) => "fails with EINTR; the handler has run, and no byte is lost".to_owned(),
        };
        transcript.line("parent", format!("{name}: read {what}"));
        kill(pid, Signal::SIGKILL)?;
        nix::sys::wait::waitpid(pid, None)?;
    }
    transcript.note("SA_RESTART is no way out: poll, epoll_wait and calls with a timeout fail with EINTR even so");
    Ok(())
}

fn flags_and_queues(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A signal is a flag, not a message");
    handle(Signal::SIGUSR1, count, SaFlags::empty())?;
    HANDLED.store(0, Relaxed);
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    blocked.thread_block()?;
    for _ in 0..3 {
        raise(Signal::SIGUSR1)?;
    }
    transcript.line("parent", "block SIGUSR1; raise it three times");
    blocked.thread_unblock()?;
    let handled = HANDLED.load(Relaxed);
    ensure!(handled == 1, "the handler ran {handled} times");
    transcript.line("parent", format!("unblock: the handler runs {handled} time"));
    let values = realtime()?;
    ensure!(values == [1, 2, 3], "{values:?} came");
    transcript
        .line("parent", format!("the same with a real-time signal and sigqueue: {values:?}, a queue with values"));
    Ok(())
}

/// Sends itself three values with the first real-time signal, while that is blocked, and takes what has come.
fn realtime() -> anyhow::Result<Vec<i32>> {
    // SAFETY: a sigset_t is plain data; the three calls write to it, or read it, within its size.
    let set = unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGRTMIN());
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
        set
    };
    for value in 1..=3_usize {
        let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
        // SAFETY: the value is a number; nobody follows it as a pointer.
        Errno::result(unsafe { libc::sigqueue(getpid().as_raw(), libc::SIGRTMIN(), value) })?;
    }
    let mut values = Vec::new();
    for _ in 0..3 {
        // SAFETY: plain data, written by the call; si_value belongs to what sigqueue has sent.
        let value = unsafe {
            let mut info: libc::siginfo_t = zeroed();
            Errno::result(libc::sigwaitinfo(&set, &mut info))?;
            info.si_value().sival_ptr as usize
        };
        values.push(value as i32);
    }
    Ok(values)
}

// ANCHOR: self_pipe
/// Where the handler writes: it gets no argument of ours.
static SELF_PIPE: AtomicI32 = AtomicI32::new(-1);

/// `write` is async-signal-safe. It may set errno, which belongs to the code that was interrupted.
extern "C" fn tell_the_loop(signal: i32) {
    let errno = Errno::last_raw();
    let byte = [signal as u8];
    // SAFETY: one byte, from an array of one. Should the pipe be full, there is a byte in it: the loop will look.
    unsafe { libc::write(SELF_PIPE.load(Relaxed), byte.as_ptr().cast(), 1) };
    Errno::set_raw(errno);
}

fn open_self_pipe() -> anyhow::Result<(impl Read + AsFd, PipeWriter)> {
    let (reader, writer) = pipe()?;
    // Neither may wait: the handler's write would stop the very code that is to read.
    for descriptor in [reader.as_fd(), writer.as_fd()] {
        fcntl(descriptor, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    let raw: RawFd = writer.as_raw_fd();
    SELF_PIPE.store(raw, Relaxed);
    Ok((reader, writer))
}
// ANCHOR_END: self_pipe

fn self_pipe(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("The self-pipe: the handler says it to the loop, and the loop does the work");
    let (mut reader, writer) = open_self_pipe()?;
    handle(Signal::SIGUSR2, tell_the_loop, SaFlags::SA_RESTART)?;
    let parent = getpid();
    let pid = fork(transcript, |_| Ok(kill(parent, Signal::SIGUSR2)?))?;
    // The signal may come before poll, or within it. The byte is there in either case: no moment is the wrong one.
    let mut wanted = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    while let Err(Errno::EINTR) = poll(&mut wanted, PollTimeout::NONE) {}
    let mut bytes = [0; 16];
    let length = reader.read(&mut bytes)?;
    let signal = Signal::try_from(i32::from(bytes[0]))?;
    ensure!((length, signal) == (1, Signal::SIGUSR2), "{length} bytes came");
    transcript.line("handler", "write 1 byte, the signal's number");
    transcript.line(
        "loop",
        format!("poll: the pipe is readable; read {length} byte: {signal}. Here one may print, lock, allocate"),
    );
    // Before the pipe closes, the handler must not find its number any more.
    handle(Signal::SIGUSR2, count, SaFlags::SA_RESTART)?;
    drop(writer);
    reap(transcript, pid)?;
    Ok(())
}

fn signal_descriptor(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("signalfd: no handler at all");
    // ANCHOR: signalfd
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    // Blocked: otherwise they would be handled, or ignored, before the descriptor sees them.
    signals.thread_block()?;
    let descriptor = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
    let pid = match fork_alone()? {
        ForkResult::Child => std::process::exit(7),
        ForkResult::Parent { child } => child,
    };
    let info = descriptor.read_signal()?.context("nothing could be read")?;
    // ANCHOR_END: signalfd
    let told = (info.ssi_signo, info.ssi_pid, info.ssi_status);
    ensure!(told == (Signal::SIGCHLD as u32, pid.as_raw() as u32, 7), "{told:?}");
    transcript
        .line("parent", format!("block SIGCHLD; signalfd; fork; read: SIGCHLD, pid {pid}, status {}", info.ssi_status));
    reap(transcript, pid)?;
    transcript.note("two children that die together may be one SIGCHLD: after each, waitpid until there is no more");
    transcript.note("the block is inherited through fork and exec: undo it in a child that runs another program");
    signals.thread_unblock()?;
    Ok(())
}

// ANCHOR: deadlock
static STATE: Mutex<u32> = Mutex::new(0);

/// Not async-signal-safe: the lock may be held by the code that this has interrupted, which goes on only afterwards.
extern "C" fn lock_in_handler(_signal: i32) {
    if let Ok(mut state) = STATE.lock() {
        *state += 1;
    }
}
// ANCHOR_END: deadlock

fn unsafe_handler(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("What a handler must not do: wait for what it has interrupted");
    let (pid, mut channel) = fork_with_channel(|mut channel| {
        child(transcript, |_| {
            handle(Signal::SIGUSR1, lock_in_handler, SaFlags::empty())?;
            let _state = STATE.lock();
            raise(Signal::SIGUSR1)?;
            Ok(channel.write_all(b"I am through")?)
        })
    })?;
    transcript.line("child", "lock a mutex; a signal comes; the handler locks the same mutex");
    channel.set_read_timeout(Some(STUCK))?;
    let waited: io::Result<usize> = channel.read(&mut [0]);
    let waited = waited.map_err(|error| error.kind());
    ensure!(waited == Err(ErrorKind::WouldBlock), "the child went on: {waited:?}");
    transcript.line("parent", "the child says nothing any more: it waits for itself");
    kill(pid, Signal::SIGKILL)?;
    reap(transcript, pid)?;
    transcript
        .note("malloc and printf have such locks inside. write, _exit, kill, atomics: man 7 signal-safety lists them");
    Ok(())
}
