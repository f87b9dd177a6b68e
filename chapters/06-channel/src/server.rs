//! The worker's end: requests in; answers, notifications and lines for the log out.

use std::io::{Read, Write};

use ch03_socketpair::{Decoder, Error, read_message, write_message};
use serde_json::Value;

use crate::message::{Answer, FromWorker, Notification, Refusal, Request};

// ANCHOR: server
/// The worker's end of a channel. It may wait to be read: the client promises to read whenever it can't write.
///
/// # Errors
/// All its methods have those of chapter 03's frames, and those of reading and writing.
#[derive(Debug)]
pub struct Server<R, W> {
    requests: R,
    decoder: Decoder,
    answers: W,
}

impl<R: Read, W: Write> Server<R, W> {
    /// Takes over the two streams, which may be sockets or pipes.
    pub fn new(requests: R, answers: W) -> Server<R, W> {
        Server { requests, decoder: Decoder::default(), answers }
    }

    /// Waits for the next request; `None` is the client's goodbye, or its death. What is no request can't be answered,
    /// and goes to the log.
    pub fn next_request(&mut self) -> Result<Option<Request>, Error> {
        loop {
            let Some(message) = read_message(&mut self.requests, &mut self.decoder)? else { return Ok(None) };
            match Request::parse(&message) {
                Ok(request) => return Ok(Some(request)),
                Err(malformed) => self.log(&format!("Ea request is ignored: {malformed}"))?,
            }
        }
    }

    /// Answers a request. An answer too long for a frame becomes a refusal: the client waits for something.
    pub fn answer(&mut self, id: u32, answer: Answer) -> Result<(), Error> {
        match self.send(&FromWorker::Answer(id, answer)) {
            Err(Error::TooLong { length }) => {
                let reason = format!("its answer would have {length} bytes, which no frame holds");
                self.send(&FromWorker::Answer(id, Err(Refusal { error: "Error".to_owned(), reason })))
            }
            result => result,
        }
    }

    /// Tells of something that has happened. If a request has caused it, the answer to that goes first.
    pub fn notify(&mut self, target: impl Into<Value>, event: &str, data: Value) -> Result<(), Error> {
        self.send(&FromWorker::Notification(Notification { target: target.into(), event: event.to_owned(), data }))
    }

    /// A line for the client's log. Its first letter says how bad it is: `D`ebug, `W`arning, `E`rror, or a dump (`X`).
    pub fn log(&mut self, line: &str) -> Result<(), Error> {
        self.send(&FromWorker::Log(line.to_owned()))
    }

    fn send(&mut self, message: &FromWorker) -> Result<(), Error> {
        write_message(&mut self.answers, message.to_text().as_bytes())
    }
}
// ANCHOR_END: server
