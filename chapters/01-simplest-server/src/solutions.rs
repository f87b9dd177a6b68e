//! Solutions of the exercises of chapter 01. Try yours first.

// ANCHOR: uses
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

use crate::echo;
// ANCHOR_END: uses

// ANCHOR: serve_patiently
/// A read that times out fails, and `echo` ends the connection on any failure.
pub fn serve_patiently(listener: &TcpListener, patience: Duration) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(patience))?;
        let _ = echo(&mut stream);
    }
}
// ANCHOR_END: serve_patiently

// ANCHOR: serve_warily
/// The same for writing. Each write starts its own clock, so that a reader who is only slow keeps the server busy: fair
/// to it, unfair to all who wait. Chapter 02 gives each client a process instead.
pub fn serve_warily(listener: &TcpListener, patience: Duration) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let _ = echo(&mut stream);
    }
}
// ANCHOR_END: serve_warily

// ANCHOR: listen_with_backlog
/// Linux lets one connection more into the queue than `listen` was asked for, and never more than
/// `/proc/sys/net/core/somaxconn`.
pub fn listen_with_backlog(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(backlog)?)?;
    Ok(socket.into())
}
// ANCHOR_END: listen_with_backlog
