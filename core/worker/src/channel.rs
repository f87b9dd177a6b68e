//! The four streams between the library and this process.
//!
//! | fd | direction | carries |
//! |---|---|---|
//! | 3 | in | requests |
//! | 4 | out | replies, notifications, log lines |
//! | 5 | in | messages of two frames, a header and a payload |
//! | 6 | out | the same |
//!
//! Output only gathers here and leaves at the end of the loop's turn. While a request is handled, notifications are
//! held back until its reply has been queued, because the library expects that order.

use std::io;
use std::os::fd::OwnedFd;

use sfu_channel::json;
use sfu_channel::notification::{Event, Notification, Target};
use sfu_reactor::frame::{FrameError, FrameWriter};
use sfu_reactor::poll::{Interest, Poller, Token};

use crate::log;

/// Bytes that may wait for a library that doesn't read. Beyond them frames are dropped.
const OUTPUT_BOUND: usize = 64 << 20;

/// The output side of the channel: what the entities write to.
#[derive(Debug)]
pub struct Output {
    frames: FrameWriter,
    payload_frames: FrameWriter,
    /// Notifications of the request that is being handled.
    held: Vec<Vec<u8>>,
    in_request: bool,
    /// Whether the poller tells when there is room.
    polls: [bool; 2],
    dropped: u64,
}

impl Output {
    /// Over file descriptors 4 and 6.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn new(frames: OwnedFd, payload_frames: OwnedFd) -> io::Result<Output> {
        Ok(Output {
            frames: FrameWriter::new(frames, OUTPUT_BOUND)?,
            payload_frames: FrameWriter::new(payload_frames, OUTPUT_BOUND)?,
            held: Vec::new(),
            in_request: false,
            polls: [false; 2],
            dropped: 0,
        })
    }

    /// From here to [`Output::reply`], notifications are held back.
    pub fn begin_request(&mut self) {
        self.in_request = true;
    }

    /// Queues the reply (if there is one), and then the notifications that the request has caused.
    pub fn reply(&mut self, reply: Option<&[u8]>) {
        self.in_request = false;
        if let Some(reply) = reply {
            self.push(reply);
        }
        for notification in std::mem::take(&mut self.held) {
            self.push(&notification);
        }
    }

    /// Tells the library what happened to an entity.
    pub fn notify(&mut self, id: &str, event: Event) {
        self.send(&Notification { target: Target::Entity(id.to_owned()), event });
    }

    /// Tells the library that the worker is ready.
    pub fn notify_running(&mut self) {
        self.send(&Notification { target: Target::Worker(std::process::id()), event: Event::Running });
    }

    fn send(&mut self, notification: &Notification) {
        let notification = json::write_notification(notification).into_bytes();
        if self.in_request {
            self.held.push(notification);
        } else {
            self.push(&notification);
        }
    }

    /// Queues the reply to a request that came on the payload channel.
    pub fn reply_on_payload_channel(&mut self, reply: &[u8]) {
        if self.payload_frames.push(reply).is_err() {
            self.dropped += 1;
        }
    }

    /// Writes what has gathered, log lines last, as far as there is room, and has the poller tell when there is more.
    ///
    /// # Errors
    /// The library is gone, or the poller fails.
    pub fn flush(&mut self, poller: &Poller, tokens: [Token; 2]) -> io::Result<()> {
        if self.dropped > 0 && !self.has_queued() {
            crate::error!(
                "{} messages were dropped because the library did not read",
                std::mem::take(&mut self.dropped)
            );
        }
        for line in log::take_lines() {
            self.push(line.as_bytes());
        }
        for (index, frames) in [&mut self.frames, &mut self.payload_frames].into_iter().enumerate() {
            frames.flush()?;
            let wants_write = frames.wants_write();
            if wants_write && !self.polls[index] {
                poller.add(frames, tokens[index], Interest::WRITE)?;
            } else if !wants_write && self.polls[index] {
                poller.remove(frames)?;
            }
            self.polls[index] = wants_write;
        }
        Ok(())
    }

    /// Whether something waits for the library to read.
    pub fn has_queued(&self) -> bool {
        self.frames.wants_write() || self.payload_frames.wants_write()
    }

    fn push(&mut self, frame: &[u8]) {
        match self.frames.push(frame) {
            Ok(()) => {}
            Err(FrameError::QueueFull { .. }) => self.dropped += 1,
            Err(error) => {
                self.dropped += 1;
                crate::error!("a message to the library is dropped: {error}");
            }
        }
    }
}
