//! The I/O side: everything that touches a file descriptor, and nothing that knows what the bytes mean.
//!
//! A worker is one thread around one loop, and each part of that loop is a small type here that can be used alone:
//!
//! | step of a turn | type |
//! |---|---|
//! | wait for work or a deadline | [`poll::Poller`], [`timer::TimerQueue`] |
//! | be told of signals as plain reads | [`signal::Signals`] |
//! | framed messages from and to the parent process | [`frame::FrameReader`], [`frame::FrameWriter`] |
//! | many datagrams per system call, both ways | [`udp::UdpSocket`], [`udp::RecvBatch`] |
//! | datagrams over TCP (RFC 4571) | [`tcp::TcpListener`], [`tcp::TcpStream`] |
//! | have memory fetched before it is needed | [`mod@prefetch`] |
//!
//! Nothing here starts a thread, blocks (except [`poll::Poller::wait`]) or calls back: the owner asks, and is answered.
//! All sockets are non-blocking and close-on-exec. Everything is readiness-based and level-triggered, so a caller may
//! stop reading whenever its turn is full and is told again in the next turn.
//!
//! ```no_run
//! use sfu_reactor::poll::{Events, Interest, Poller, Token};
//! use sfu_reactor::timer::TimerQueue;
//! use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
//! use std::time::Instant;
//!
//! # fn main() -> std::io::Result<()> {
//! let poller = Poller::new()?;
//! let mut events = Events::with_capacity(256);
//! let mut timers: TimerQueue<u32> = TimerQueue::new();
//! let mut batch = RecvBatch::new(64, 65_536);
//! let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default())?;
//! poller.add(&socket, Token(0), Interest::READ)?;
//! loop {
//!     let now = Instant::now();
//!     let timeout = timers.next_deadline().map(|deadline| deadline.saturating_duration_since(now));
//!     poller.wait(&mut events, timeout)?;
//!     let now = Instant::now();
//!     batch.clear();
//!     for event in &events {
//!         if event.is_readable() && event.token == Token(0) {
//!             socket.recv_batch(&mut batch)?;
//!         }
//!         if event.is_writable() && event.token == Token(0) {
//!             socket.flush();
//!         }
//!     }
//!     for index in 0..batch.len() {
//!         let (remote, bytes) = batch.datagram_mut(index);
//!         // ...route it; the bytes stay where they are until `clear`.
//! #       let _ = (remote, bytes);
//!     }
//!     while let Some(key) = timers.pop_expired(now) {
//!         // ...
//! #       let _ = key;
//!     }
//! }
//! # }
//! ```

pub mod fd;
pub mod frame;
pub mod poll;
pub mod prefetch;
pub mod signal;
pub mod tcp;
pub mod timer;
pub mod udp;
