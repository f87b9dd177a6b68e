//! The work that servers are given, and how answers are checked and timed.

use crate::machine::monotonic_ns;
use crate::stats::Latency;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Work {
    /// A connection is made, gets one message of so many bytes back, and is closed; one at a time.
    Connections {
        /// Bytes of the message.
        len: usize,
    },
    /// A message goes to and fro over TCP; each connection has one under way.
    Echoes {
        /// How many connections there are.
        connections: usize,
        /// Bytes of a message.
        len: usize,
    },
    /// A message goes to and fro over one unix stream, behind its length.
    Frames {
        /// How many are under way.
        window: usize,
        /// Bytes of a message.
        len: usize,
    },
    /// A datagram goes to and fro.
    Datagrams {
        /// How many are under way.
        window: usize,
        /// Bytes of a datagram.
        len: usize,
    },
    /// A request is answered, over a channel.
    Requests {
        /// How many wait for their answers.
        window: usize,
    },
}

/// Where the server is.
#[derive(Debug)]
pub enum Place {
    /// TCP and UDP.
    Internet(SocketAddr),
    /// Frames, over a unix socket.
    Unix(PathBuf),
    /// Over a worker's channels: requests to it, answers from it, and the two of its second channel, which stays silent.
    Channel([UnixStream; 4]),
}

/// What came of a load.
#[derive(Debug, Clone)]
pub struct Done {
    /// For so long, in seconds.
    pub seconds: f64,
    /// How long each operation took.
    pub latency: Option<Latency>,
}

/// A server's clients, connected.
#[derive(Debug)]
pub struct Clients {
    work: Work,
    place: Place,
    conversations: Vec<Conversation>,
    datagrams: Option<UdpSocket>,
    poller: Poller,
    /// The number of the next operation.
    next: u64,
}

impl Clients {
    /// Connects what the work needs.
    ///
    /// # Errors
    /// The server refuses, or can't do such work.
    pub fn connect(work: Work, place: Place) -> Result<Self> {
        let poller = Poller::new()?;
        let mut conversations = Vec::new();
        let mut datagrams = None;
        match (work, &place) {
            (Work::Connections { .. }, Place::Internet(_)) => {}
            (Work::Echoes { connections, len }, Place::Internet(address)) => {
                for _ in 0..connections {
                    let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    conversations.push(Conversation::new(Dialect::Raw { len }, stream.try_clone()?, stream));
                }
            }
            (Work::Frames { len, .. }, Place::Unix(path)) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                conversations.push(Conversation::new(Dialect::Framed { len }, stream.try_clone()?, stream));
            }
            (Work::Datagrams { .. }, Place::Internet(address)) => {
                let socket = UdpSocket::bind(SocketAddr::new(address.ip(), 0))?;
                socket.connect(address)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                datagrams = Some(socket);
            }
            (Work::Requests { .. }, Place::Channel([requests, answers, ..])) => {
                let (requests, answers) = (requests.try_clone()?, answers.try_clone()?);
                requests.set_nonblocking(true)?;
                answers.set_nonblocking(true)?;
                conversations.push(Conversation::new(Dialect::Requests, answers, requests));
            }
            _ => bail!("{work:?} can't be done at {place:?}"),
        }
        for (index, conversation) in conversations.iter().enumerate() {
            poller.add(&conversation.reader, Token(2 * index as u64), Interest::READ)?;
            poller.add(&conversation.writer, Token(2 * index as u64 + 1), Interest::NONE)?;
        }
        Ok(Self { work, place, conversations, datagrams, poller, next: 1 })
    }

    /// How many connections there are that stay.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.conversations.len() as u64
    }

    /// Has so many operations done, and checks each.
    ///
    /// # Errors
    /// An answer is wrong, or doesn't come.
    pub fn run(&mut self, operations: u64) -> Result<Done> {
        let mut times = Vec::with_capacity(usize::try_from(operations)?);
        let begin = monotonic_ns();
        match self.work {
            Work::Connections { len } => self.connect_each(operations, len, &mut times)?,
            Work::Datagrams { window, len } => self.exchange_datagrams(operations, window, len, &mut times)?,
            Work::Echoes { .. } => self.exchange_messages(operations, 1, &mut times)?,
            Work::Frames { window, .. } | Work::Requests { window } => {
                self.exchange_messages(operations, window, &mut times)?
            }
        }
        let seconds = (monotonic_ns() - begin) as f64 / 1e9;
        ensure!(times.len() as u64 == operations, "{} of {operations} operations were done", times.len());
        Ok(Done { seconds, latency: Latency::of(times) })
    }

    fn connect_each(&mut self, operations: u64, len: usize, times: &mut Vec<u64>) -> Result<()> {
        let Place::Internet(address) = self.place else { bail!("connections need an address") };
        let mut answer = Vec::with_capacity(len);
        for _ in 0..operations {
            let question = message(self.next, len);
            self.next += 1;
            let begin = monotonic_ns();
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&question)?;
            stream.shutdown(Shutdown::Write)?;
            answer.clear();
            stream.read_to_end(&mut answer)?;
            times.push(monotonic_ns() - begin);
            ensure!(answer == question, "what came back is not what was sent");
        }
        Ok(())
    }

    fn exchange_datagrams(&mut self, operations: u64, window: usize, len: usize, times: &mut Vec<u64>) -> Result<()> {
        let socket = self.datagrams.as_ref().context("there is no socket")?;
        let mut under_way: VecDeque<(Vec<u8>, u64)> = VecDeque::with_capacity(window);
        let mut answer = vec![0; len + 1];
        let mut sent = 0;
        loop {
            while under_way.len() < window && sent < operations {
                let question = message(self.next, len);
                self.next += 1;
                sent += 1;
                let begin = monotonic_ns();
                socket.send(&question)?;
                under_way.push_back((question, begin));
            }
            // Loopback keeps the order, and one server answers in it.
            let Some((question, begin)) = under_way.pop_front() else { return Ok(()) };
            let received = socket.recv(&mut answer).context("a datagram does not come back")?;
            times.push(monotonic_ns() - begin);
            ensure!(answer[..received] == question, "what came back is not what was sent");
        }
    }

    fn exchange_messages(&mut self, operations: u64, window: usize, times: &mut Vec<u64>) -> Result<()> {
        let mut left = operations;
        let mut under_way = 0;
        let mut events = Events::with_capacity(1024);
        for _ in 0..window {
            for conversation in &mut self.conversations {
                if left > 0 {
                    conversation.ask(&mut self.next);
                    (left, under_way) = (left - 1, under_way + 1);
                }
            }
        }
        for index in 0..self.conversations.len() {
            self.write(index)?;
        }
        let mut buffer = vec![0; 256 << 10];
        while under_way > 0 {
            let waiting = Instant::now();
            self.poller.wait(&mut events, Some(PATIENCE))?;
            // A process that was stopped, and goes on, stops waiting without having had anything.
            ensure!(!events.is_empty() || waiting.elapsed() < PATIENCE, "{under_way} answers do not come");
            for event in &events {
                let index = event.token.0 as usize / 2;
                let conversation = &mut self.conversations[index];
                if event.token.0.is_multiple_of(2) {
                    let answered = conversation.read(&mut buffer, times)?;
                    under_way -= answered;
                    for _ in 0..answered {
                        if left > 0 {
                            conversation.ask(&mut self.next);
                            (left, under_way) = (left - 1, under_way + 1);
                        }
                    }
                }
                self.write(index)?;
            }
        }
        Ok(())
    }

    /// Writes what a conversation has to say, and has the poller tell when there is room for the rest.
    fn write(&mut self, index: usize) -> Result<()> {
        let conversation = &mut self.conversations[index];
        let waited = conversation.waits;
        conversation.write()?;
        if conversation.waits != waited {
            let token = Token(2 * index as u64 + 1);
            self.poller.modify(&conversation.writer, token, Interest::write_if(conversation.waits))?;
        }
        Ok(())
    }
}

/// How questions and answers are written.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    /// The answer is the question; nothing says where it ends.
    Raw { len: usize },
    /// The same, behind its length.
    Framed { len: usize },
    /// A mediasoup worker's requests.
    Requests,
}

impl Dialect {
    fn question(self, number: u64, out: &mut Vec<u8>) {
        match self {
            Self::Raw { len } => out.extend_from_slice(&message(number, len)),
            Self::Framed { len } => frame(&message(number, len), out),
            Self::Requests => frame(format!("{number}:worker.dump:undefined:undefined").as_bytes(), out),
        }
    }

    /// How many bytes the next answer has, its framing included, as soon as that can be told.
    fn answer_len(self, incoming: &[u8]) -> Option<usize> {
        match self {
            Self::Raw { len } => Some(len),
            Self::Framed { .. } | Self::Requests => {
                incoming.first_chunk().map(|length| 4 + u32::from_ne_bytes(*length) as usize)
            }
        }
    }

    /// Whether this is the answer to that question, or, which may come between, none to any.
    fn check(self, number: u64, answer: &[u8]) -> Result<bool> {
        if !matches!(self, Self::Requests) {
            let mut expected = Vec::with_capacity(answer.len());
            self.question(number, &mut expected);
            ensure!(answer == expected, "what came back is not what was sent");
            return Ok(true);
        }
        let Some(json) = answer.get(4..).filter(|text| text.first() == Some(&b'{')) else { return Ok(false) };
        let answer: serde_json::Value = serde_json::from_slice(json).context("an answer that isn't JSON")?;
        let Some(id) = answer.get("id") else { return Ok(false) };
        ensure!(id.as_u64() == Some(number), "answer {id} comes instead of {number}");
        ensure!(answer["accepted"] == true && answer["data"]["pid"].is_u64(), "request {id} is answered {answer}");
        Ok(true)
    }
}

/// One connection and what is under way on it.
#[derive(Debug)]
struct Conversation {
    dialect: Dialect,
    reader: File,
    writer: File,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Whether the kernel has no room for what is to be written.
    waits: bool,
    under_way: VecDeque<(u64, u64)>,
}

impl Conversation {
    fn new(dialect: Dialect, reader: impl Into<OwnedFd>, writer: impl Into<OwnedFd>) -> Self {
        let (reader, writer) = (File::from(reader.into()), File::from(writer.into()));
        let (incoming, outgoing) = (Vec::new(), Vec::new());
        Self { dialect, reader, writer, incoming, outgoing, waits: false, under_way: VecDeque::new() }
    }

    fn ask(&mut self, next: &mut u64) {
        self.dialect.question(*next, &mut self.outgoing);
        self.under_way.push_back((*next, monotonic_ns()));
        *next += 1;
    }

    fn write(&mut self) -> Result<()> {
        let mut written = 0;
        self.waits = false;
        while written < self.outgoing.len() {
            match self.writer.write(&self.outgoing[written..]) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.waits = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the server takes nothing any more"),
            }
        }
        self.outgoing.drain(..written);
        Ok(())
    }

    /// Reads once; returns how many answers were among it.
    fn read(&mut self, buffer: &mut [u8], times: &mut Vec<u64>) -> Result<usize> {
        match self.reader.read(buffer) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(length) => self.incoming.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(0),
            Err(error) => return Err(error).context("the connection broke"),
        }
        let now = monotonic_ns();
        let (mut answered, mut taken) = (0, 0);
        loop {
            let len = self.dialect.answer_len(&self.incoming[taken..]);
            let Some(answer) = len.and_then(|len| self.incoming.get(taken..taken + len)) else { break };
            let number = self.under_way.front().map_or(0, |(number, _)| *number);
            let is_answer = self.dialect.check(number, answer)?;
            taken += answer.len();
            if is_answer {
                let (_, begin) = self.under_way.pop_front().context("an answer comes that nobody waits for")?;
                times.push(now - begin);
                answered += 1;
            }
        }
        self.incoming.drain(..taken);
        Ok(answered)
    }
}

/// A message that no other is like: its number, again and again, in what is the same in capitals.
fn message(number: u64, len: usize) -> Vec<u8> {
    format!("{number:016X}").into_bytes().into_iter().cycle().take(len).collect()
}

fn frame(message: &[u8], out: &mut Vec<u8>) {
    // No message here is longer than a frame may be.
    out.extend_from_slice(&(message.len() as u32).to_ne_bytes());
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Serves one TCP client, and does something to each piece that it sends back.
    fn server(change: fn(&mut [u8])) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = [0; 100];
            loop {
                let length = stream.read(&mut buffer)?;
                if length == 0 {
                    return Ok::<_, std::io::Error>(());
                }
                change(&mut buffer[..length]);
                stream.write_all(&buffer[..length])?;
            }
        });
        Place::Internet(address)
    }

    #[test]
    fn all_operations_are_timed() {
        let mut clients = Clients::connect(Work::Echoes { connections: 1, len: 1_000 }, server(|_| {})).unwrap();
        for operations in [1, 50] {
            let latency = clients.run(operations).unwrap().latency.unwrap();
            assert_eq!(latency.samples as u64, operations);
        }
    }

    #[test]
    fn one_wrong_byte_is_noticed() {
        let place = server(|bytes| bytes[bytes.len() - 1] ^= 1);
        let mut clients = Clients::connect(Work::Echoes { connections: 1, len: 64 }, place).unwrap();
        let error = clients.run(10).unwrap_err().to_string();
        assert_eq!(error, "what came back is not what was sent");
    }

    #[test]
    fn frames_may_come_together_and_in_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = [0; 999];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok::<_, std::io::Error>(()),
                    length => stream.write_all(&buffer[..length])?,
                }
            }
        });
        let mut clients = Clients::connect(Work::Frames { window: 8, len: 300 }, Place::Unix(path)).unwrap();
        assert_eq!(clients.run(100).unwrap().latency.unwrap().samples, 100);
    }

    #[test]
    fn answers_are_told_from_what_comes_between() {
        let check = |text: &str| {
            let mut framed = Vec::new();
            frame(text.as_bytes(), &mut framed);
            Dialect::Requests.check(7, &framed)
        };
        assert!(!check(r#"{"targetId":1,"event":"running"}"#).unwrap());
        assert!(!check("Da line for the log").unwrap());
        assert!(check(r#"{"id":7,"accepted":true,"data":{"pid":1}}"#).unwrap());
        assert!(check(r#"{"id":8,"accepted":true,"data":{"pid":1}}"#).is_err());
        assert!(check(r#"{"id":7,"error":"Error","reason":"no"}"#).is_err());
    }
}
