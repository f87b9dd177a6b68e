//! Speaking and listening at once, on one descriptor and one thread.

use std::collections::VecDeque;
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
    outgoing: Outgoing,
}

impl Duplex {
    /// Takes over one end of a socketpair, or any connected unix stream.
    pub fn new(stream: UnixStream) -> Duplex {
        Duplex { stream, incoming: Decoder::default(), ended: false, outgoing: Outgoing::default() }
    }

    /// Puts a message into the queue. It goes out during the next [`receive`](Duplex::receive) or
    /// [`flush`](Duplex::flush).
    ///
    /// # Errors
    /// [`Error::TooLong`], and [`Error::Full`] when [`MAX_WAITING`] bytes wait already.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        if self.outgoing.waiting() >= MAX_WAITING {
            return Err(Error::Full { waiting: self.outgoing.waiting() });
        }
        self.outgoing.push(message)
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
        while self.outgoing.waiting() > 0 {
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
}
// ANCHOR_END: duplex

impl Duplex {
    // ANCHOR: turn
    /// Sleeps until something can be done, and does it: reads once, writes once.
    fn turn(&mut self) -> Result<(), Error> {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, !self.ended);
        wanted.set(PollFlags::POLLOUT, self.outgoing.waiting() > 0);
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
            let more = read_once(&self.stream, &mut self.incoming);
            self.ended = !matches!(more, Ok(true));
            more?;
        }
        if self.outgoing.waiting() > 0 && ready.intersects(PollFlags::POLLOUT | over) {
            self.outgoing.write_once(&self.stream)?;
        }
        Ok(())
    }
}

/// Reads once what is there, without waiting; returns whether more may come.
///
/// # Errors
/// Those of `recv`.
pub fn read_once(stream: &UnixStream, incoming: &mut Decoder) -> io::Result<bool> {
    let mut chunk = [0; CHUNK];
    match recv(stream.as_raw_fd(), &mut chunk, MsgFlags::MSG_DONTWAIT) {
        Ok(0) => return Ok(false),
        Ok(length) => incoming.push(&chunk[..length]),
        Err(Errno::EAGAIN | Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

/// Frames that wait to be sent.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: VecDeque<u8>,
}

impl Outgoing {
    /// Adds a message.
    ///
    /// # Errors
    /// [`Error::TooLong`]; nothing of it was added.
    pub fn push(&mut self, message: &[u8]) -> Result<(), Error> {
        self.bytes.extend(encode(message)?);
        Ok(())
    }

    /// How many bytes wait.
    pub fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// Writes once what the kernel takes, without waiting.
    ///
    /// # Errors
    /// Those of `send`. Nobody will ever take the rest, and nothing waits any more.
    pub fn write_once(&mut self, stream: &UnixStream) -> io::Result<()> {
        // Never waits (DONTWAIT), and a dead peer is an error rather than a deadly signal (NOSIGNAL).
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(stream.as_raw_fd(), self.bytes.as_slices().0, flags) {
            Ok(length) => drop(self.bytes.drain(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => {
                // What the peer has said before can still be received.
                self.bytes.clear();
                return Err(error.into());
            }
        }
        Ok(())
    }
}
// ANCHOR_END: turn

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// A conversation in which something always waits must not keep what has long been sent.
    #[test]
    fn what_the_kernel_has_taken_is_not_kept() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut outgoing = Outgoing::default();
        let mut taken = vec![0; 64 * 1024];
        // More than the kernel holds, and from then on as much again as the peer takes.
        for round in 0..200 {
            outgoing.push(&[7; 64 * 1024 - 4]).unwrap();
            outgoing.write_once(&ours).unwrap();
            while outgoing.waiting() > 1024 * 1024 {
                theirs.read_exact(&mut taken).unwrap();
                outgoing.write_once(&ours).unwrap();
            }
            assert!(round < 20 || outgoing.waiting() > 0, "the queue ran empty");
        }
        let kept = outgoing.bytes.capacity();
        assert!(kept <= 4 * 1024 * 1024, "{kept} bytes are kept for {}", outgoing.waiting());
    }
}
