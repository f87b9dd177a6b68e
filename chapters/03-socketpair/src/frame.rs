//! Messages in a stream of bytes: each is preceded by its length.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the message, in this machine's byte order: both ends are on it |
//! | length | the message, which may be empty |
//!
//! This is the framing of a mediasoup worker's channel, its limit included.

use std::io::{self, Read, Write};

use ch01_simplest_server::{read_some, write_fully};
use thiserror::Error;

/// The length's own length, in bytes.
pub const HEADER: usize = 4;

/// The longest message, in bytes. A length from another process is believed this far: memory is set aside for it.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// How much one `read` asks for, in bytes.
pub const CHUNK: usize = 16 * 1024;

// ANCHOR: error
/// Why a conversation can't go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A message or a frame's header has a length beyond [`MAX_MESSAGE`]. If it came from the other side, the stream is
    /// of no use any more: nobody knows where the next frame begins.
    #[error("a message of {length} bytes is too long: {MAX_MESSAGE} are allowed")]
    TooLong {
        /// What it says its length is, in bytes.
        length: usize,
    },
    /// The stream ended inside a frame. What came of it is not a message.
    #[error("the stream ended inside a frame, after {received} bytes of it")]
    Cut {
        /// How many bytes of the frame had come, its header included.
        received: usize,
    },
    /// So much waits for being sent, or for being read, that no more is taken.
    #[error("{waiting} bytes wait already, and nobody takes them")]
    Full {
        /// How much waits, in bytes.
        waiting: usize,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
// ANCHOR_END: error

// ANCHOR: encode
/// A message as a frame.
///
/// # Errors
/// [`Error::TooLong`].
pub fn encode(message: &[u8]) -> Result<Vec<u8>, Error> {
    if message.len() > MAX_MESSAGE {
        return Err(Error::TooLong { length: message.len() });
    }
    let length = message.len() as u32;
    Ok([&length.to_ne_bytes()[..], message].concat())
}
// ANCHOR_END: encode

// ANCHOR: decoder
/// Cuts what was read into messages, wherever the reads had cut it.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How much of the buffer's beginning has been taken out as messages.
    taken: usize,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        // Once a read, and not once a message: many small ones in one read would be moved again and again.
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    ///
    /// # Errors
    /// [`Error::TooLong`], now and ever after.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let unread = &self.buffer[self.taken..];
        let Some((header, rest)) = unread.split_first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_ne_bytes(*header) as usize;
        if length > MAX_MESSAGE {
            return Err(Error::TooLong { length });
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        let message = message.to_vec();
        self.taken += HEADER + length;
        Ok(Some(message))
    }

    /// How many bytes wait to be taken out, whole messages or not.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// What the end of the stream means here. Between two messages it is a goodbye.
    ///
    /// # Errors
    /// [`Error::Cut`] anywhere else.
    pub fn finish(&self) -> Result<(), Error> {
        match self.waiting() {
            0 => Ok(()),
            received => Err(Error::Cut { received }),
        }
    }
}
// ANCHOR_END: decoder

// ANCHOR: blocking
/// Sends a message, and waits until the kernel has all of it.
///
/// # Errors
/// [`Error::TooLong`], and those of writing.
pub fn write_message(sink: &mut impl Write, message: &[u8]) -> Result<(), Error> {
    // In one piece: header and message in two writes would be two system calls, and two wake-ups of the reader.
    Ok(write_fully(sink, &encode(message)?)?)
}

/// Waits for the next message; `None` is the other side's goodbye.
///
/// The decoder holds what one read has brought of later messages. It belongs to this source as long as that lives.
///
/// # Errors
/// [`Error::TooLong`], [`Error::Cut`], and those of reading.
pub fn read_message(source: &mut impl Read, decoder: &mut Decoder) -> Result<Option<Vec<u8>>, Error> {
    let mut chunk = [0; CHUNK];
    loop {
        if let Some(message) = decoder.next_message()? {
            return Ok(Some(message));
        }
        match read_some(source, &mut chunk)? {
            0 => return decoder.finish().map(|()| None),
            length => decoder.push(&chunk[..length]),
        }
    }
}
// ANCHOR_END: blocking
