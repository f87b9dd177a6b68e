//! Two servers made of processes, and how they end.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use ch01_simplest_server::echo;
use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket;
use nix::unistd::{ForkResult, Pid, getpid, getppid};

use crate::child::{End, fork_alone, reap, run_child};
use crate::signals::{Signals, Wake, wait};

/// The signals that a server takes: a child has ended; please stop (`kill` and service managers send SIGTERM, Ctrl-C
/// sends SIGINT to all processes of the terminal's foreground job).
const TAKEN: [Signal; 3] = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT];

/// How many children [`fork_per_connection`] has at once at most. More clients wait in the kernel's accept queue.
pub const MOST_CHILDREN: usize = 1000;

/// A preforked child that ends is replaced, but within this time there are no more starts than there are children to
/// be: a child that crashes at once must not make a loop that does nothing but fork.
pub const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// What a process of the server did, told in that process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The parent has started a child: for this connection, or, preforked, for any.
    Forked {
        /// The new process.
        child: Pid,
        /// The client that it was started for.
        peer: Option<SocketAddr>,
    },
    /// The parent could start no child for this client, whose connection it has closed.
    NotForked {
        /// The client.
        peer: SocketAddr,
        /// Why.
        error: ErrorKind,
    },
    /// A preforked child has accepted a connection.
    Accepted(SocketAddr),
    /// A child has served a connection to its end.
    Finished {
        /// The client.
        peer: SocketAddr,
        /// Payload bytes sent back.
        bytes: u64,
        /// Why the connection ended, when it was not by the client's orderly close.
        error: Option<ErrorKind>,
    },
    /// SIGCHLD came, and the parent asked for all that it may stand for: these children have ended.
    Reaped(Vec<(Pid, End)>),
    /// The parent was told to stop. It accepts no more, and waits for this many children.
    Stopping {
        /// The signal that told it.
        signal: Signal,
        /// Children that are not at their end yet.
        children: usize,
    },
    /// The grace is over, and this child, which is not done, is killed.
    Killed(Pid),
}

// ANCHOR: fork_per_connection
/// Serves each connection in a process of its own, until SIGTERM or SIGINT.
///
/// # Errors
/// When `accept` or `poll` fails for good.
pub fn fork_per_connection(listener: TcpListener, grace: Duration, mut observe: impl FnMut(Event)) -> io::Result<()> {
    let signals = Signals::block(&TAKEN)?;
    listener.set_nonblocking(true)?;
    let mut children = BTreeSet::new();
    loop {
        let has_room = children.len() < MOST_CHILDREN;
        match wait(&signals, has_room.then_some(&listener), None)? {
            Wake::Connection => {
                let Some((stream, peer)) = accept(&listener)? else { continue };
                match fork_alone() {
                    Ok(ForkResult::Child) => {
                        // The child would keep the port occupied for as long as its client stays.
                        drop(listener);
                        run_child(|| serve(stream, peer, &mut observe))
                    }
                    Ok(ForkResult::Parent { child }) => {
                        children.insert(child);
                        observe(Event::Forked { child, peer: Some(peer) });
                    }
                    Err(error) => observe(Event::NotForked { peer, error: error.kind() }),
                }
                // Here the parent's copy of the connection is closed. If it were not, the client would never see the
                // end of it, and the parent would run out of descriptors.
            }
            Wake::Signal(Signal::SIGCHLD) => bury(&mut children, &mut observe)?,
            Wake::Signal(signal) => return stop(signal, &signals, listener, children, grace, observe),
            Wake::Deadline => {}
        }
    }
}

/// Chapter 01's echo, until the client has finished. A broken connection is the client's affair, not a crash.
fn serve(mut stream: TcpStream, peer: SocketAddr, observe: &mut impl FnMut(Event)) -> i32 {
    let (bytes, result) = echo(&mut stream);
    observe(Event::Finished { peer, bytes, error: result.err().map(|error| error.kind()) });
    0
}
// ANCHOR_END: fork_per_connection

// ANCHOR: prefork
/// Serves connections from so many processes, started beforehand, which share the listening socket. One that ends is
/// replaced. Until SIGTERM or SIGINT.
///
/// # Errors
/// When `fork` or `poll` fails for good.
pub fn prefork(
    listener: TcpListener,
    children: usize,
    grace: Duration,
    mut observe: impl FnMut(Event),
) -> io::Result<()> {
    let signals = Signals::block(&TAKEN)?;
    // The flag belongs to the socket, which all processes share: each of them is told that a connection waits, one gets
    // it, and the others must not wait in `accept` for the next one.
    listener.set_nonblocking(true)?;
    let mut alive = BTreeSet::new();
    let mut started = Vec::new();
    loop {
        // Starts within the last moments are the ones that may have been in vain.
        started.retain(|start: &Instant| start.elapsed() < RESTART_PAUSE);
        while alive.len() < children && started.len() < children {
            let parent = getpid();
            match fork_alone()? {
                ForkResult::Child => run_child(|| accept_and_serve(&listener, &signals, parent, &mut observe)),
                ForkResult::Parent { child } => {
                    alive.insert(child);
                    started.push(Instant::now());
                    observe(Event::Forked { child, peer: None });
                }
            }
        }
        let retry = started.first().filter(|_| alive.len() < children).map(|start| *start + RESTART_PAUSE);
        match wait(&signals, None, retry)? {
            Wake::Signal(Signal::SIGCHLD) => bury(&mut alive, &mut observe)?,
            Wake::Signal(signal) => return stop(signal, &signals, listener, alive, grace, observe),
            Wake::Connection | Wake::Deadline => {}
        }
    }
}

/// A preforked child: one connection after another, like chapter 01's server. It stops between two of them.
fn accept_and_serve(listener: &TcpListener, signals: &Signals, parent: Pid, observe: &mut impl FnMut(Event)) -> i32 {
    // When the parent is gone nobody would replace this child or tell it to stop, and the port would stay taken. If it
    // was gone before this call there will be no signal, but another parent.
    if set_pdeathsig(Signal::SIGTERM).is_err() {
        return 1;
    }
    if getppid() != parent {
        return 0;
    }
    loop {
        match wait(signals, Some(listener), None) {
            Ok(Wake::Connection) => match accept(listener) {
                Ok(Some((stream, peer))) => {
                    observe(Event::Accepted(peer));
                    serve(stream, peer, observe);
                }
                Ok(None) => {}
                // The parent has shut the listening socket down, and its signal is about to come.
                Err(error) if error.kind() == ErrorKind::InvalidInput => return 0,
                Err(_) => return 1,
            },
            Ok(Wake::Signal(Signal::SIGTERM | Signal::SIGINT)) => return 0,
            Ok(Wake::Signal(_) | Wake::Deadline) => {}
            Err(_) => return 1,
        }
    }
}
// ANCHOR_END: prefork

/// The next connection, if there is one: the client may have given up, or another process may have been faster.
fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    match listener.accept() {
        Ok(connection) => Ok(Some(connection)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        },
    }
}

/// Asks for all children that have ended.
fn bury(children: &mut BTreeSet<Pid>, observe: &mut impl FnMut(Event)) -> io::Result<()> {
    let ended = reap()?;
    for (pid, _) in &ended {
        children.remove(pid);
    }
    if !ended.is_empty() {
        observe(Event::Reaped(ended));
    }
    Ok(())
}

// ANCHOR: stop
/// Ends the server: nobody new is let in, and whoever is served has the grace to finish.
fn stop(
    signal: Signal,
    signals: &Signals,
    listener: TcpListener,
    mut children: BTreeSet<Pid>,
    grace: Duration,
    mut observe: impl FnMut(Event),
) -> io::Result<()> {
    observe(Event::Stopping { signal, children: children.len() });
    tell(&children, Signal::SIGTERM)?;
    // `close` takes this process's descriptor from it; the busy children hold copies, so that clients could still connect
    // and would wait for nobody. `shutdown` is about the socket itself, whoever holds it.
    socket::shutdown(listener.as_raw_fd(), socket::Shutdown::Both)?;
    drop(listener);
    let mut deadline = Some(Instant::now() + grace);
    while !children.is_empty() {
        match wait(signals, None, deadline)? {
            Wake::Signal(Signal::SIGCHLD) => bury(&mut children, &mut observe)?,
            Wake::Signal(_) | Wake::Connection => {}
            Wake::Deadline => {
                tell(&children, Signal::SIGKILL)?;
                children.iter().for_each(|child| observe(Event::Killed(*child)));
                deadline = None;
            }
        }
    }
    Ok(())
}

/// Sends a signal to each. One that has ended and is not yet reaped still has its id, so that it reaches no other process.
fn tell(children: &BTreeSet<Pid>, signal: Signal) -> io::Result<()> {
    for child in children {
        match kill(*child, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
// ANCHOR_END: stop
