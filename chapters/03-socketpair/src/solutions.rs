//! Solutions of the exercises of chapter 03. Try yours first.

// ANCHOR: uses
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::frame::{CHUNK, MAX_MESSAGE};
use crate::{Decoder, Error, encode};
// ANCHOR_END: uses

// ANCHOR: parse_netstring
/// The length is checked digit by digit, so that a stranger who sends digits for ever is refused at the eighth.
pub fn parse_netstring(bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let mut length = 0;
    let mut digits = 0;
    loop {
        match bytes.get(digits) {
            None => return Ok(None),
            Some(digit @ b'0'..=b'9') if digits == 0 || length > 0 => length = length * 10 + usize::from(digit - b'0'),
            Some(b':') if digits > 0 => break,
            Some(_) => return Err(ErrorKind::InvalidData.into()),
        }
        if length > MAX_MESSAGE {
            return Err(ErrorKind::InvalidData.into());
        }
        digits += 1;
    }
    let content = digits + 1;
    match bytes.get(content + length) {
        None => Ok(None),
        Some(b',') => Ok(Some((bytes[content..content + length].to_vec(), content + length + 1))),
        Some(_) => Err(ErrorKind::InvalidData.into()),
    }
}
// ANCHOR_END: parse_netstring

// ANCHOR: ask_within
/// A socket's timeout is for one call. The patience is for all of them, so that each call gets what is left of it.
pub fn ask_within(mut stream: &UnixStream, question: &[u8], patience: Duration) -> Result<Vec<u8>, Error> {
    let deadline = Instant::now() + patience;
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(ErrorKind::TimedOut)),
        left => Ok(Some(left)),
    };
    // A call that ran out of time, or was interrupted, is tried again: `left` knows whether there is any.
    let again = |error: &io::Error| {
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::TimedOut)
    };

    let frame = encode(question)?;
    let mut unsent = &frame[..];
    while !unsent.is_empty() {
        stream.set_write_timeout(left()?)?;
        match stream.write(unsent) {
            Err(error) if again(&error) => {}
            result => unsent = &unsent[result?..],
        }
    }
    let mut decoder = Decoder::default();
    let mut chunk = [0; CHUNK];
    loop {
        if let Some(answer) = decoder.next_message()? {
            return Ok(answer);
        }
        stream.set_read_timeout(left()?)?;
        match stream.read(&mut chunk) {
            Err(error) if again(&error) => {}
            Ok(0) => {
                decoder.finish()?;
                return Err(Error::Io(ErrorKind::UnexpectedEof.into()));
            }
            result => decoder.push(&chunk[..result?]),
        }
    }
}
// ANCHOR_END: ask_within

// ANCHOR: relay
/// Two threads, one a direction: each may wait as long as it likes. The kernel's socket buffers are the bound on what
/// is under way, and a sender whose peer does not read is stopped by them.
pub fn relay(left: &UnixStream, right: &UnixStream) -> io::Result<()> {
    fn one_way(mut from: &UnixStream, mut to: &UnixStream) -> io::Result<()> {
        let result = io::copy(&mut from, &mut to).map(drop);
        // Even after a failure: whoever listens there must not wait for ever.
        let _ = to.shutdown(Shutdown::Write);
        result
    }
    thread::scope(|scope| {
        let back = scope.spawn(|| one_way(right, left));
        let forth = one_way(left, right);
        let back = back.join().map_err(|_| io::Error::other("the thread has panicked"))?;
        forth.and(back)
    })
}
// ANCHOR_END: relay
