//! Exercises of chapter 01: replace each `unsolved!()`, then let them be graded:
//!
//! ```text
//! cargo test -p ch01-simplest-server --test exercises
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use stage::unsolved;

/// Exercise 1. Serves like [`serve_tcp`](crate::serve_tcp), for ever, but gives up on a client from which nothing has
/// come for `patience`. A client that is slow, yet not silent for that long, is served to its end.
///
/// # Errors
/// When `accept` fails for good.
pub fn serve_patiently(listener: &TcpListener, patience: Duration) -> io::Result<()> {
    let _ = (listener, patience);
    unsolved!()
}

/// Exercise 2. Like exercise 1, but it also gives up on a client that sends and never reads: its echo fills both
/// sockets' buffers, and then `write` blocks as `read` did.
///
/// # Errors
/// When `accept` fails for good.
pub fn serve_warily(listener: &TcpListener, patience: Duration) -> io::Result<()> {
    let _ = (listener, patience);
    unsolved!()
}

/// Exercise 3. A listener whose backlog has room for so few connections. (The standard library does not ask; the crate
/// `nix` has `socket`, `bind` and `listen`.)
///
/// # Errors
/// Those of the system calls.
pub fn listen_with_backlog(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let _ = (address, backlog);
    unsolved!()
}
