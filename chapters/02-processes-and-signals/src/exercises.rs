//! Exercises of chapter 02: replace each `unsolved!()`, then let them be graded:
//!
//! ```text
//! cargo test -p ch02-processes-and-signals --test exercises
//! ```

use std::io;
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use stage::unsolved;

/// The first pause of exercise 1.
pub const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause of exercise 1. A child that has lived this long was a healthy one.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Exercise 1. How long to wait before a crashed child is started again, given how long it lived and how long the pause
/// before its start was (zero: it was the first). Each early death in a row doubles the pause, from [`FIRST_PAUSE`] up to
/// [`LONGEST_PAUSE`]. After the death of a healthy child it begins anew.
pub fn pause_after(lived: Duration, pause: Duration) -> Duration {
    let _ = (lived, pause);
    unsolved!()
}

/// Exercise 2. Ends a child as a service manager does: it is asked by SIGTERM, has the grace to obey, and is killed when
/// that is over. Returns as soon as the child has ended, waits without turning in a loop, and leaves no zombie. A child
/// that has ended already is no error.
///
/// # Errors
/// Those of the system calls.
pub fn stop_politely(child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
    let _ = (child, grace);
    unsolved!()
}

/// Exercise 3. Starts a program that goes on with this listening socket: it finds it as descriptor 3, and `1` in the
/// environment variable `LISTEN_FDS`. Programs that this process starts otherwise must not inherit the socket, then as
/// before.
///
/// # Errors
/// Those of starting a program.
pub fn hand_over(listener: &TcpListener, program: &mut Command) -> io::Result<Child> {
    let _ = (listener, program);
    unsolved!()
}
