//! Framed messages over a byte stream: a 4-byte length in the machine's own byte order, then that many bytes.
//!
//! This is the framing of a worker's channel: both ends are processes of one machine, so neither swaps bytes.

use crate::fd::{read, set_nonblocking, write};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The longest payload of a frame, in bytes.
pub const MAX_PAYLOAD: usize = 4_194_304;

const LENGTH_SIZE: usize = 4;
const READ_SIZE: usize = 65_536;

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer announces more than [`MAX_PAYLOAD`]. The frame is passed over as its bytes come.
    #[error("a frame announces {announced} bytes, more than the {MAX_PAYLOAD} allowed")]
    TooLong {
        /// The announced payload length.
        announced: usize,
    },
    /// A payload to send is longer than [`MAX_PAYLOAD`].
    #[error("a payload of {length} bytes doesn't fit a frame, which holds {MAX_PAYLOAD}")]
    PayloadTooLong {
        /// Its length.
        length: usize,
    },
    /// The peer doesn't read: what waits to be sent has reached its bound.
    #[error("{queued} bytes wait to be read by the peer, and {length} more would exceed the bound of {bound}")]
    QueueFull {
        /// Bytes that wait.
        queued: usize,
        /// Bytes refused, the length field included.
        length: usize,
        /// The bound given to [`FrameWriter::new`].
        bound: usize,
    },
}

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// More may come.
    Open,
    /// The peer has closed its end. Frames that came before can still be taken.
    Closed,
}

/// The receiving end of a framed stream.
///
/// When the descriptor is readable: [`FrameReader::fill`] once, then [`FrameReader::next_frame`] until `None`.
#[derive(Debug)]
pub struct FrameReader {
    fd: OwnedFd,
    buffer: Vec<u8>,
    /// `buffer[start..end]` has been received and not yet taken.
    start: usize,
    end: usize,
    /// Bytes of a frame that is too long, still to come and to be thrown away.
    unwanted: usize,
}

impl FrameReader {
    /// Takes over a stream (socket or pipe) and makes it non-blocking.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        set_nonblocking(&fd)?;
        Ok(Self { fd, buffer: vec![0; READ_SIZE], start: 0, end: 0, unwanted: 0 })
    }

    /// Reads what has arrived, at most one buffer full; a level-triggered poller tells of the rest.
    ///
    /// # Errors
    /// Those of `read`, except that "nothing there" is no error and a reset counts as closed.
    pub fn fill(&mut self) -> io::Result<Stream> {
        self.make_room();
        match read(&self.fd, &mut self.buffer[self.end..]) {
            Ok(0) => Ok(Stream::Closed),
            Ok(count) => {
                self.end += count;
                self.pass_over();
                Ok(Stream::Open)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Stream::Open),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Stream::Closed),
            Err(error) => Err(error),
        }
    }

    /// The payload of the next whole frame, valid until the next call. `None` when the rest of it hasn't come yet.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], once a frame; the next call goes on behind it.
    pub fn next_frame(&mut self) -> Result<Option<&mut [u8]>, FrameError> {
        let Some(announced) = self.announced() else { return Ok(None) };
        if announced > MAX_PAYLOAD {
            self.start += LENGTH_SIZE;
            self.unwanted = announced;
            self.pass_over();
            return Err(FrameError::TooLong { announced });
        }
        let payload = self.start + LENGTH_SIZE;
        let next = payload + announced;
        if next > self.end {
            return Ok(None);
        }
        self.start = next;
        Ok(Some(&mut self.buffer[payload..next]))
    }

    /// Whether [`FrameReader::next_frame`] would return something now. A poller does not tell: it has been read.
    #[must_use]
    pub fn has_frame(&self) -> bool {
        self.announced().is_some_and(|length| length > MAX_PAYLOAD || self.start + LENGTH_SIZE + length <= self.end)
    }

    /// Whether part of a frame waits for its rest: an end of stream now would be in mid-frame.
    #[must_use]
    pub const fn is_mid_frame(&self) -> bool {
        self.start < self.end || self.unwanted > 0
    }

    /// Throws away what has come of a frame that is too long.
    fn pass_over(&mut self) {
        let passed = self.unwanted.min(self.end - self.start);
        self.unwanted -= passed;
        self.start += passed;
    }

    fn announced(&self) -> Option<usize> {
        let length = self.buffer[self.start..self.end].first_chunk::<LENGTH_SIZE>()?;
        usize::try_from(u32::from_ne_bytes(*length)).ok()
    }

    /// Moves the unfinished frame to the front, and sees that the whole of it will fit, or some read's worth.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let frame = self.announced().map_or(0, |announced| LENGTH_SIZE + announced.min(MAX_PAYLOAD));
        if frame > self.buffer.len() {
            // Grow as bytes come, not as they are announced: a peer must send what it makes us allocate.
            let wanted = frame.min(self.buffer.len() * 2);
            if self.end == self.buffer.len() {
                self.buffer.resize(wanted, 0);
            }
        } else if self.end == 0 && self.buffer.len() > 16 * READ_SIZE {
            self.buffer.truncate(READ_SIZE);
            self.buffer.shrink_to_fit();
        }
    }
}

impl AsRawFd for FrameReader {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// The sending end of a framed stream.
///
/// [`FrameWriter::push`] only queues, so that all frames of a turn leave with one system call; [`FrameWriter::flush`]
/// at the end of the turn writes them. While [`FrameWriter::wants_write`], the owner polls for writability and flushes again.
///
/// A peer that has gone makes the write fail with `EPIPE`, provided that SIGPIPE is ignored, as Rust programs start out.
#[derive(Debug)]
pub struct FrameWriter {
    fd: OwnedFd,
    buffer: Vec<u8>,
    /// `buffer[start..]` waits to be written.
    start: usize,
    bound: usize,
}

impl FrameWriter {
    /// Takes over a stream (socket or pipe) and makes it non-blocking. `bound` is how many bytes may wait for a peer
    /// that doesn't read.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn new(fd: OwnedFd, bound: usize) -> io::Result<Self> {
        set_nonblocking(&fd)?;
        Ok(Self { fd, buffer: Vec::new(), start: 0, bound })
    }

    /// Queues one frame.
    ///
    /// # Errors
    /// [`FrameError::PayloadTooLong`] and [`FrameError::QueueFull`]; nothing of the payload is queued then.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let announced = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_PAYLOAD)
            .ok_or(FrameError::PayloadTooLong { length: payload.len() })?;
        let length = LENGTH_SIZE + payload.len();
        let queued = self.queued();
        if queued + length > self.bound {
            return Err(FrameError::QueueFull { queued, length, bound: self.bound });
        }
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(&announced.to_ne_bytes());
        self.buffer.extend_from_slice(payload);
        Ok(())
    }

    /// Writes what the kernel takes of the queue now.
    ///
    /// # Errors
    /// Those of `write`, except that "no room" is no error; `EPIPE` when the peer is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.start < self.buffer.len() {
            match write(&self.fd, &self.buffer[self.start..]) {
                Ok(count) => self.start += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(16 * READ_SIZE);
        self.start = 0;
        Ok(())
    }

    /// Whether something waits: poll for writability, then flush.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.queued() > 0
    }

    /// Bytes that wait, length fields included.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.buffer.len() - self.start
    }
}

impl AsRawFd for FrameWriter {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
