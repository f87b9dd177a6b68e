//! The four streams between the library and this process.
//!
//! | fd | direction | carries |
//! |---|---|---|
//! | 3 | in | requests |
//! | 4 | out | replies, notifications, log lines |
//! | 5 | in | messages of two frames, a header and a payload |
//! | 6 | out | the same |
//!
//! Output only gathers here and leaves at the end of the loop's turn. A library that does not read its answers is asked
//! for patience: its requests wait, and media goes on. While a request is handled, notifications are
//! held back until its reply has been queued, because the library expects that order.

use std::io;
use std::os::fd::OwnedFd;

use sfu_channel::json;
use sfu_channel::notification::{Event, Notification, Target};
use sfu_channel::payload::{PayloadEvent, PayloadNotification};
use sfu_reactor::frame::{FrameError, FrameWriter};
use sfu_reactor::poll::{Interest, Poller, Token};

use crate::log;

/// Bytes that may wait for a library that doesn't read. Beyond them frames are dropped.
const OUTPUT_BOUND: usize = 64 << 20;

/// Bytes waiting from which on no more requests are taken: replies then come late instead of never. What the library
/// did not ask for (notifications, log lines) may go on up to [`OUTPUT_BOUND`].
const CONGESTED: usize = 4 << 20;

/// The output side of the channel: what the entities write to.
#[derive(Debug)]
pub struct Output {
    /// File descriptor 4.
    main: Outlet,
    /// File descriptor 6.
    payload: Outlet,
    /// Notifications of the request that is being handled.
    held: Vec<Vec<u8>>,
    in_request: bool,
}

impl Output {
    /// Over file descriptors 4 and 6, which the poller will know by these tokens.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn new(frames: OwnedFd, payload_frames: OwnedFd, tokens: [Token; 2]) -> io::Result<Output> {
        Ok(Output {
            main: Outlet::new(frames, tokens[0])?,
            payload: Outlet::new(payload_frames, tokens[1])?,
            held: Vec::new(),
            in_request: false,
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

    /// Brings the library something binary for one of its entities.
    pub fn notify_with_payload(&mut self, id: &str, event: PayloadEvent, payload: &[u8]) {
        let notification = PayloadNotification { target: Target::Entity(id.to_owned()), event };
        self.payload.push_both(json::payload::write_notification(&notification).as_bytes(), payload);
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
        self.payload.push(reply);
    }

    /// Whether so much waits on fd 4 that requests should wait too.
    pub fn is_congested(&self) -> bool {
        self.main.queued() >= CONGESTED
    }

    /// The same for fd 6.
    pub fn is_payload_congested(&self) -> bool {
        self.payload.queued() >= CONGESTED
    }

    /// Writes what has gathered, log lines last, as far as there is room, and has the poller tell when there is more.
    /// A descriptor that cannot be written to any more is closed, and what is for it goes nowhere; that the library is
    /// gone is noticed by reading.
    ///
    /// # Errors
    /// The poller fails.
    pub fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        // First, since it may have something to log.
        self.payload.flush(poller)?;
        self.main.report_dropped();
        self.payload.report_dropped();
        for line in log::take_lines() {
            self.main.push(line.as_bytes());
        }
        self.main.flush(poller)
    }

    /// Whether something waits for the library to read.
    pub fn has_queued(&self) -> bool {
        self.main.queued() + self.payload.queued() > 0
    }

    fn push(&mut self, frame: &[u8]) {
        self.main.push(frame);
    }
}

/// One of the two descriptors that are written to.
#[derive(Debug)]
struct Outlet {
    /// `None` when the library has closed its end.
    frames: Option<FrameWriter>,
    token: Token,
    /// Whether the poller tells when there is room.
    polled: bool,
    dropped: u64,
}

impl Outlet {
    fn new(fd: OwnedFd, token: Token) -> io::Result<Outlet> {
        Ok(Outlet { frames: Some(FrameWriter::new(fd, OUTPUT_BOUND)?), token, polled: false, dropped: 0 })
    }

    fn push(&mut self, frame: &[u8]) {
        match self.frames.as_mut().map(|frames| frames.push(frame)) {
            None | Some(Ok(())) => {}
            Some(Err(FrameError::QueueFull { .. })) => self.dropped += 1,
            Some(Err(error)) => crate::error!("a message to the library is dropped: {error}"),
        }
    }

    /// Queues a header and its payload, or neither: each without the other would be taken for what it is not.
    fn push_both(&mut self, header: &[u8], payload: &[u8]) {
        const LENGTHS: usize = 8;
        if self.queued() + LENGTHS + header.len() + payload.len() > OUTPUT_BOUND {
            self.dropped += 1;
            return;
        }
        self.push(header);
        self.push(payload);
    }

    /// Bytes that wait.
    fn queued(&self) -> usize {
        self.frames.as_ref().map_or(0, FrameWriter::queued)
    }

    /// Logs how many frames were dropped, once there is room again.
    fn report_dropped(&mut self) {
        if self.dropped > 0 && self.queued() == 0 {
            let dropped = std::mem::take(&mut self.dropped);
            crate::error!("{dropped} messages were dropped because the library did not read");
        }
    }

    fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let result = frames.flush();
        let wants_write = result.is_ok() && frames.wants_write();
        if wants_write && !self.polled {
            poller.add(frames, self.token, Interest::WRITE)?;
        } else if !wants_write && self.polled {
            poller.remove(frames)?;
        }
        self.polled = wants_write;
        if let Err(error) = result {
            self.frames = None;
            crate::error!("cannot write to the library any more: {error}");
        }
        Ok(())
    }
}
