//! The client's end: requests out, everything else in, on one thread that never waits for one thing alone.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ch02_processes_and_signals::signals::time_left;
use ch03_socketpair::Decoder;
use ch03_socketpair::duplex::{Outgoing, read_once};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use serde_json::Value;
use thiserror::Error;

use crate::ledger::{Event, Ledger, Outcome};

/// How many requests may wait for an answer.
pub const MAX_REQUESTS: usize = 256;

/// How much may wait to be sent before no more is taken, in bytes. One message may go beyond it.
pub const MAX_UNSENT: usize = 4 * 1024 * 1024;

/// How many events [`Channel::ask`] keeps for later while its answer has not come.
pub const MAX_KEPT: usize = 10_000;

/// Why a request was not taken, or a channel can't go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The worker has so much to do that no more is taken. It is the caller's turn to wait: take events meanwhile.
    #[error("{requests} requests wait for an answer, and {bytes} bytes for being sent: no more is taken now")]
    Busy {
        /// How many requests are under way.
        requests: usize,
        /// How many bytes of them the kernel has not taken.
        bytes: usize,
    },
    /// A method or a handler's id with a colon in it would be read as something else.
    #[error("{0:?} has a colon in it")]
    Colon(String),
    /// There is no worker any more.
    #[error("the channel has ended")]
    Ended,
    /// Events came while one answer was waited for, and none of them was taken.
    #[error("{MAX_KEPT} events came before the answer")]
    Flooded,
    /// A message is too long, or the stream is of no use any more.
    #[error(transparent)]
    Frame(#[from] ch03_socketpair::Error),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

// ANCHOR: channel
/// The client's end of a worker's channel: two sockets, each used in one direction.
#[derive(Debug)]
pub struct Channel {
    to_worker: UnixStream,
    from_worker: UnixStream,
    /// The worker's process, if the caller has told: its end is the channel's end too.
    process: Option<OwnedFd>,
    ledger: Ledger,
    incoming: Decoder,
    outgoing: Outgoing,
    /// Whether the worker is to be told that there will be no more requests.
    finished: bool,
    /// Whether nothing more will come from the worker.
    ended: bool,
    /// What came while [`ask`](Channel::ask) waited for something else.
    kept: VecDeque<Event>,
}
// ANCHOR_END: channel

impl Channel {
    /// Takes over the two sockets.
    pub fn new(to_worker: UnixStream, from_worker: UnixStream) -> Channel {
        Channel {
            to_worker,
            from_worker,
            process: None,
            ledger: Ledger::default(),
            incoming: Decoder::default(),
            outgoing: Outgoing::default(),
            finished: false,
            ended: false,
            kept: VecDeque::new(),
        }
    }

    /// Takes a pidfd of the process at the other end: when that has ended, so has the channel.
    pub fn watch(&mut self, process: OwnedFd) {
        self.process = Some(process);
    }

    // ANCHOR: request
    /// Takes a request for the worker (`handler` is `None`) or for one of its entities, and returns its id. It goes out,
    /// and what becomes of it is told, during [`next_event`](Channel::next_event). `data` is an object, or null.
    ///
    /// # Errors
    /// Whatever the error is, nothing of the request was taken.
    pub fn request(
        &mut self,
        method: &str,
        handler: Option<&str>,
        data: Value,
        patience: Duration,
    ) -> Result<u32, Error> {
        if self.ended || self.finished {
            return Err(Error::Ended);
        }
        if let Some(field) = [Some(method), handler].into_iter().flatten().find(|field| field.contains(':')) {
            return Err(Error::Colon(field.to_owned()));
        }
        let (requests, bytes) = (self.ledger.waiting(), self.outgoing.waiting());
        if requests >= MAX_REQUESTS || bytes >= MAX_UNSENT {
            return Err(Error::Busy { requests, bytes });
        }
        let request = self.ledger.begin(Instant::now(), patience, method, handler, data);
        if let Err(too_long) = self.outgoing.push(request.to_text().as_bytes()) {
            self.ledger.cancel(request.id);
            return Err(too_long.into());
        }
        Ok(request.id)
    }
    // ANCHOR_END: request

    /// Says goodbye: once all requests are sent, the worker is told that there will be no more. Its answers still come.
    pub fn finish(&mut self) {
        self.finished = true;
        if self.outgoing.waiting() == 0 {
            // It fails if there is nobody any more, who then needs no goodbye.
            let _ = self.to_worker.shutdown(Shutdown::Write);
        }
    }

    /// Waits for the next event, and sends what is queued meanwhile; `None` when `until` has come and no event. After
    /// [`Event::Ended`] there is only that.
    ///
    /// # Errors
    /// When a frame from the worker is too long or cut off, or a system call fails. The channel has ended then, and the
    /// events that follow say what was lost.
    pub fn next_event(&mut self, until: Option<Instant>) -> Result<Option<Event>, Error> {
        match self.kept.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.advance(until),
        }
    }

    /// Sends one request, waits for its end, and keeps other events for [`next_event`](Channel::next_event).
    ///
    /// # Errors
    /// Those of [`request`](Channel::request) and [`next_event`](Channel::next_event), and [`Error::Flooded`].
    pub fn ask(
        &mut self,
        method: &str,
        handler: Option<&str>,
        data: Value,
        patience: Duration,
    ) -> Result<Outcome, Error> {
        let asked = self.request(method, handler, data, patience)?;
        while self.kept.len() < MAX_KEPT {
            match self.advance(None)? {
                Some(Event::Done { id, outcome, .. }) if id == asked => return Ok(outcome),
                event => self.kept.extend(event),
            }
        }
        Err(Error::Flooded)
    }

    // ANCHOR: advance
    fn advance(&mut self, until: Option<Instant>) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.ledger.poll_event() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(Some(Event::Ended));
            }
            // One message at a time: what the caller does not take stays in the socket, where the worker feels it.
            if let Some(message) = self.incoming.next_message().map_err(|error| self.end(error.into()))? {
                self.ledger.handle_message(&message);
                continue;
            }
            match self.turn(until).map_err(|error| self.end(error.into()))? {
                Turn::Progress => {}
                Turn::Silence => {
                    // Not before: an answer that has come while the caller was away has come in time.
                    let now = Instant::now();
                    self.ledger.handle_timeout(now);
                    if until.is_some_and(|until| until <= now) {
                        return Ok(self.ledger.poll_event());
                    }
                }
                Turn::End => {
                    let end = self.incoming.finish();
                    self.ledger.handle_end();
                    self.ended = true;
                    end?;
                }
            }
        }
    }
    // ANCHOR_END: advance

    /// Nothing of the stream can be understood any more; passes on why.
    fn end(&mut self, why: Error) -> Error {
        self.ledger.handle_end();
        self.ended = true;
        why
    }

    // ANCHOR: turn
    /// Sleeps until something can be done, a request's time is over or `until` has come; then reads once, writes once.
    fn turn(&mut self, until: Option<Instant>) -> io::Result<Turn> {
        let deadline = [until, self.ledger.poll_timeout()].into_iter().flatten().min();
        let unsent = self.outgoing.waiting() > 0;
        let mut sources = vec![PollFd::new(self.from_worker.as_fd(), PollFlags::POLLIN)];
        sources.extend(self.process.as_ref().map(|process| PollFd::new(process.as_fd(), PollFlags::POLLIN)));
        sources.extend(unsent.then(|| PollFd::new(self.to_worker.as_fd(), PollFlags::POLLOUT)));
        match poll(&mut sources, time_left(deadline)) {
            Ok(0) => return Ok(Turn::Silence),
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Turn::Progress),
            Err(error) => return Err(error.into()),
        }
        let ready = |source: &PollFd<'_>| source.any() == Some(true);
        let readable = ready(&sources[0]);
        let dead = self.process.is_some() && ready(&sources[1]);
        let writable = unsent && sources.last().is_some_and(ready);
        if readable {
            // First what the worker has said: it may have said it and died.
            match read_once(&self.from_worker, &mut self.incoming) {
                Ok(true) => {}
                Ok(false) => return Ok(Turn::End),
                // It has gone, and left requests unread. What it had said before is read by now.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Turn::End),
                Err(error) => return Err(error),
            }
        } else if dead {
            // Somebody else may hold the worker's end open, so that there is no end of file. Nobody will say more there.
            return Ok(Turn::End);
        }
        if writable {
            match self.outgoing.write_once(&self.to_worker) {
                Ok(()) if self.finished && self.outgoing.waiting() == 0 => self.finish(),
                Ok(()) => {}
                // A worker that no longer listens is of no use, if it lives at all: what it has said until now can still
                // be read, and then there is end of file.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    self.from_worker.shutdown(Shutdown::Read)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Turn::Progress)
    }
    // ANCHOR_END: turn
}

/// What a turn brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Something was read or written, or a signal came.
    Progress,
    /// Nothing was there to be read or written, and the time is over.
    Silence,
    /// Nothing more will come.
    End,
}
