//! One TCP connection's echo, without the connection: what chapter 01's loop keeps on its stack while it waits, kept in
//! a value instead, so that a driver can leave it and come back.

use std::io::{self, ErrorKind, Read, Write};

use ch01_simplest_server::CHUNK;

/// Bytes that have come and have not gone back yet. There is room for more only when all of them have: a client that
/// does not read is not read from either.
#[derive(Debug)]
pub struct Echo {
    buffer: Box<[u8; CHUNK]>,
    start: usize,
    end: usize,
    finished: bool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// For the client to send.
    Read,
    /// For the client to read.
    Write,
    /// For nothing: everything is echoed, and the client has finished.
    Nothing,
}

impl Default for Echo {
    fn default() -> Echo {
        Echo { buffer: Box::new([0; CHUNK]), start: 0, end: 0, finished: false }
    }
}

impl Echo {
    /// What has to happen next.
    pub fn wants(&self) -> Wants {
        match (self.start < self.end, self.finished) {
            (true, _) => Wants::Write,
            (false, false) => Wants::Read,
            (false, true) => Wants::Nothing,
        }
    }

    /// Where the next bytes are to be read to.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.end..]
    }

    /// So many bytes have been read there; 0 is the client's end of file.
    pub fn received(&mut self, count: usize) {
        self.end += count;
        self.finished |= count == 0;
    }

    /// What is to be written next.
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// So many of these have been written.
    pub fn sent(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}

/// How an attempt to make progress ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The socket said "would block": wait until it is ready for this.
    Blocked(Wants),
    /// It went on and on; the others' turn. The socket may well be ready still.
    Yielded,
    /// The connection is over.
    Over,
}

// ANCHOR: advance
/// Reads and writes a non-blocking connection until it would block, or until its turn is over.
pub fn advance(stream: &mut (impl Read + Write), echo: &mut Echo) -> Progress {
    for _ in 0..TURN {
        let result = match echo.wants() {
            Wants::Read => stream.read(echo.room()).map(|count| echo.received(count)),
            Wants::Write => match stream.write(echo.pending()) {
                Ok(0) => Err(io::Error::from(ErrorKind::WriteZero)),
                result => result.map(|count| echo.sent(count)),
            },
            Wants::Nothing => return Progress::Over,
        };
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Blocked(echo.wants()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It breaks for this client only.
            Err(_) => return Progress::Over,
        }
    }
    Progress::Yielded
}
// ANCHOR_END: advance

/// Reads and writes of one connection before it is another one's turn.
const TURN: usize = 16;
