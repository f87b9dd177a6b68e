//! Chapter 04: one thread, thousands of clients.
//!
//! A blocking call waits for one thing. `epoll` waits for many, and says which of them would not block now; the program
//! then does what can be done at once, and waits again. That loop, on the bare system calls, is this chapter:
//!
//! - [`poll`]: `epoll` itself, level and edge triggered;
//! - [`timer`]: time in the loop, as a heap of deadlines or as a descriptor;
//! - [`wake`]: another thread's way into the loop, an eventfd;
//! - [`server`]: chapter 01's echo on it, for TCP and UDP, fair and within bounds.
//!
//! Chapter 05 compares it with the libraries that do the same.

#![deny(missing_docs)]

pub mod exercises;
pub mod poll;
pub mod server;
pub mod solutions;
pub mod timer;
pub mod wake;

pub use poll::{Epoll, Events, Interest, Token, Trigger};
pub use server::{Event, Progress, Server, Settings};
pub use timer::{TimerFd, Timers};
pub use wake::EventFd;
