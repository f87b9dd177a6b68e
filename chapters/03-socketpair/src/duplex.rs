//! Speaking and listening at once, on one descriptor and one thread.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::frame::{CHUNK, Decoder, Error, encode};

/// How much may wait in either direction, in bytes. Without such a bound, a peer that never reads, or never stops
/// writing, has all of our memory.
pub const MAX_WAITING: usize = 16 * 1024 * 1024;

// ANCHOR: duplex
/// One end of a channel. Nothing it does waits for the peer to read while the peer may be waiting for the same.
#[derive(Debug)]
pub struct Duplex {
    stream: UnixStream,
    incoming: Decoder,
    /// Whether the peer has said that it will send no more.
    ended: bool,
    outgoing: Vec<u8>,
    /// How much of `outgoing` the kernel has taken.
    sent: usize,
}

impl Duplex {
    /// Takes over one end of a socketpair, or any connected unix stream.
    pub fn new(stream: UnixStream) -> Duplex {
        Duplex { stream, incoming: Decoder::default(), ended: false, outgoing: Vec::new(), sent: 0 }
    }

    /// Puts a message into the queue. It goes out during the next [`receive`](Duplex::receive) or
    /// [`flush`](Duplex::flush).
    ///
    /// # Errors
    /// [`Error::TooLong`], and [`Error::Full`] when [`MAX_WAITING`] bytes wait already.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        if self.unsent() >= MAX_WAITING {
            return Err(Error::Full { waiting: self.unsent() });
        }
        self.outgoing.extend_from_slice(&encode(message)?);
        Ok(())
    }

    /// Waits for a message, and sends what is queued meanwhile; `None` is the peer's goodbye.
    ///
    /// # Errors
    /// Those of the frames, and those of the system calls.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(message) = self.incoming.next_message()? {
                return Ok(Some(message));
            }
            if self.ended {
                return self.incoming.finish().map(|()| None);
            }
            self.turn()?;
        }
    }

    /// Waits until the kernel has all that is queued, and keeps what comes meanwhile for [`receive`](Duplex::receive).
    ///
    /// # Errors
    /// [`Error::Full`] when the peer talks on and on, and those of the system calls.
    pub fn flush(&mut self) -> Result<(), Error> {
        while self.unsent() > 0 {
            if self.incoming.waiting() >= MAX_WAITING {
                return Err(Error::Full { waiting: self.incoming.waiting() });
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Sends what is queued, and says that no more will come. The peer may go on talking.
    ///
    /// # Errors
    /// Those of [`flush`](Duplex::flush).
    pub fn finish(&mut self) -> Result<(), Error> {
        self.flush()?;
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    fn unsent(&self) -> usize {
        self.outgoing.len() - self.sent
    }
}
// ANCHOR_END: duplex

impl Duplex {
    // ANCHOR: turn
    /// Sleeps until something can be done, and does it: reads once, writes once.
    fn turn(&mut self) -> Result<(), Error> {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, !self.ended);
        wanted.set(PollFlags::POLLOUT, self.unsent() > 0);
        let mut polled = [PollFd::new(self.stream.as_fd(), wanted)];
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(()),
            result => result.map_err(io::Error::from)?,
        };
        let ready = polled[0].revents().unwrap_or(PollFlags::empty());
        // Both are reported unasked, and mean that a read or a write will not wait, but say what has happened.
        let over = PollFlags::POLLHUP | PollFlags::POLLERR;
        // First what the peer has said: it may have said it and died.
        if !self.ended && ready.intersects(PollFlags::POLLIN | over) {
            self.read_once()?;
        }
        if self.unsent() > 0 && ready.intersects(PollFlags::POLLOUT | over) {
            self.write_once()?;
        }
        Ok(())
    }

    fn read_once(&mut self) -> Result<(), Error> {
        let mut chunk = [0; CHUNK];
        match recv(self.stream.as_raw_fd(), &mut chunk, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => self.ended = true,
            Ok(length) => self.incoming.push(&chunk[..length]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => {
                self.ended = true;
                return Err(Error::Io(error.into()));
            }
        }
        Ok(())
    }

    fn write_once(&mut self) -> Result<(), Error> {
        // Never waits (DONTWAIT), and a dead peer is an error rather than a deadly signal (NOSIGNAL).
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.stream.as_raw_fd(), &self.outgoing[self.sent..], flags) {
            Ok(length) => self.sent += length,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => {
                // Nobody will ever take it. What the peer has said before can still be received.
                self.sent = self.outgoing.len();
                return Err(Error::Io(error.into()));
            }
        }
        if self.unsent() == 0 {
            self.outgoing.clear();
            self.sent = 0;
        }
        Ok(())
    }
    // ANCHOR_END: turn
}
