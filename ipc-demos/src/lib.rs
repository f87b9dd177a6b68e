//! What the small programs of `src/bin` share. Each program shows one way that two processes talk, by itself, in seconds:
//!
//! | program | shows |
//! |---|---|
//! | `pipe` | anonymous pipes: end of file, atomic writes, capacity, a program as a filter |
//! | `fifo` | pipes with a name: opening waits for the other side, end of file that is not the end |
//! | `socketpair` | both ways over one descriptor, as a stream (with chapter 03's frames) and as packets |
//! | `unix` | sockets with a name: stream, datagram, and passing an open UDP socket and credentials |
//! | `loopback` | TCP and UDP on one machine: back-pressure against loss |
//! | `shm` | a ring in shared memory, with futex or eventfd to wake the other side |
//! | `signals` | sigaction, self-pipe, signalfd, and what a handler may do |
//! | `processes` | fork, exec, waitpid: zombies, inherited descriptors, the death of a parent |
//! | `compare` | measures all that carry messages, side by side |

#![deny(missing_docs)]

pub mod exercises;
pub mod memory;
pub mod passing;
pub mod play;
pub mod ring;
pub mod solutions;
