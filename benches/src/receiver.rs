//! The receiver: a process with a socket for each who receives, that counts every packet, checks a share of them, and knows how long they took.

use crate::arrivals::Stamped;
use crate::case::Feed;
use crate::inlet::{Arrival, Inlet, QUIET, Step};
use crate::link::Requests;
use crate::machine::monotonic_ns;
use crate::stats::Latency;
use crate::workload::{Mode, Packets};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sfu_proto::rtp;
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the runner asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Close all sockets and open these many. Answer: their ports.
    Open {
        /// How many.
        sockets: usize,
        /// What they get.
        feeds: Vec<Feed>,
        /// Bytes of a packet as it was sent.
        packet_len: usize,
        /// Whether to take trains of datagrams as they are (UDP_GRO).
        trains: bool,
        /// Whether the kernel says when a packet came, not the receiver when it has it. It does so of no trains.
        stamps: bool,
    },
    /// Which port sends to each socket: what comes from others is passed over, and counted. Without it, all are taken as what they should be.
    /// Answer: nothing.
    Sources(Vec<u16>),
    /// How packets are protected. Answer: nothing.
    Keys {
        /// The suite.
        mode: Mode,
        /// Master key and salt of each socket's packets, in base64.
        keys: Vec<String>,
    },
    /// Subscribe every socket to a forwarder of chapter 05, which changes nothing: what comes is what the producer sends.
    /// Answer: nothing.
    Join {
        /// Where it is.
        forwarder: SocketAddr,
    },
    /// Forget what was received and expect packets from this number on. Answer: nothing.
    Begin {
        /// The first number.
        first: u64,
        /// Of how many packets one is decrypted and compared with what was sent: 1 for all.
        check_every: u64,
        /// Of how many packets one has its latency noted.
        time_every: u64,
    },
    /// The generator has finished: receive what is still under way, and report. Answer: [`Received`].
    End {
        /// How many packets should have come, all sockets together.
        expected: u64,
        /// The generator's notes.
        times: PathBuf,
    },
}

/// What has been received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received {
    /// Different packets of the expected numbers, all sockets together.
    pub packets: u64,
    /// As many got the socket that got fewest.
    pub fewest: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that were decrypted and compared.
    pub checked: u64,
    /// The first thing that was wrong with any packet.
    pub wrong: Option<String>,
    /// How many packets were wrong.
    pub wrong_count: u64,
    /// From the generator's send call until the packet was on its way into the receiver's socket where the kernel says so, otherwise until
    /// the receiver had it.
    pub latency: Option<Latency>,
    /// Until the receiver had it, where the other is the kernel's.
    pub latency_read: Option<Latency>,
    /// Datagrams that came from elsewhere.
    pub strays: u64,
    /// Receive calls.
    pub calls: u64,
    /// When the last packet came, by the monotonic clock, in nanoseconds; 0 when none did.
    pub last: u64,
}

/// Serves the runner until it goes.
///
/// # Errors
/// The system's, in words.
pub fn main() -> Result<()> {
    nix::sys::prctl::set_timerslack(1).context("the timer slack can't be set")?;
    let mut requests = Requests::new()?;
    let mut receiver = Receiver::new()?;
    receiver.poller.add(requests.descriptor(), REQUESTS, Interest::READ)?;
    loop {
        if receiver.receive(None)?.requests {
            let open = requests.fill()?;
            while let Some(request) = requests.take::<Request>()? {
                receiver.handle(request, &mut requests)?;
            }
            if !open {
                return Ok(());
            }
        }
    }
}

const REQUESTS: Token = Token(u64::MAX);

struct Receiver {
    poller: Poller,
    events: Events,
    batch: RecvBatch,
    /// Used instead of the batch where the kernel stamps.
    stamped: Option<Stamped>,
    packets: Packets,
    inlets: Vec<Inlet>,
    step: Step,
}

/// What a turn has brought.
struct Turn {
    /// Media only.
    datagrams: usize,
    requests: bool,
}

impl Receiver {
    fn new() -> Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            events: Events::with_capacity(256),
            batch: RecvBatch::new(64, 65_536),
            stamped: None,
            packets: Packets::new(Packets::MIN_LEN)?,
            inlets: Vec::new(),
            step: Step::default(),
        })
    }

    fn handle(&mut self, request: Request, requests: &mut Requests) -> Result<()> {
        match request {
            Request::Open { sockets, feeds, packet_len, trains, stamps } => {
                let ports = self.open(sockets, &feeds, packet_len, trains, stamps);
                requests.answer(ports)
            }
            Request::Sources(ports) => {
                let result = self.set_sources(&ports);
                requests.answer(result)
            }
            Request::Keys { mode, keys } => {
                let result = self.set_keys(mode, &keys);
                requests.answer(result)
            }
            Request::Join { forwarder } => {
                let result = self.inlets.iter_mut().try_for_each(|inlet| inlet.join(forwarder));
                requests.answer(result)
            }
            Request::Begin { first, check_every, time_every } => {
                // What an overloaded step before has left in the sockets doesn't count.
                self.drain()?;
                self.begin(first, check_every.max(1), time_every.max(1));
                requests.answer(Ok(()))
            }
            Request::End { expected, times } => {
                let result = self.end(expected, &times);
                requests.answer(result)
            }
        }
    }

    fn open(
        &mut self,
        sockets: usize,
        feeds: &[Feed],
        packet_len: usize,
        trains: bool,
        stamps: bool,
    ) -> Result<Vec<u16>> {
        if trains && stamps {
            bail!("trains that are taken as they are can't be stamped");
        }
        let options = UdpOptions { receive_buffer: Some(1 << 22), gro: trains, ..UdpOptions::default() };
        self.inlets.clear();
        self.packets = Packets::new(packet_len)?;
        self.stamped = stamps.then(Stamped::new);
        for index in 0..sockets {
            let socket = UdpSocket::bind("127.0.0.1:0".parse()?, &options)?;
            if stamps {
                Stamped::ask(&socket)?;
            }
            self.poller.add(&socket, Token(index as u64), Interest::READ)?;
            self.inlets.push(Inlet::new(socket));
        }
        for feed in feeds {
            let inlet = self.inlets.get_mut(feed.socket).context("a feed for a socket that there isn't")?;
            inlet.expect(feed.ssrc, feed.stream);
        }
        self.step = Step::default();
        Ok(self.inlets.iter().map(|inlet| inlet.socket.local_addr().port()).collect())
    }

    fn set_sources(&mut self, ports: &[u16]) -> Result<()> {
        if ports.len() != self.inlets.len() {
            bail!("{} sources for {} sockets", ports.len(), self.inlets.len());
        }
        self.inlets.iter_mut().zip(ports).for_each(|(inlet, &port)| inlet.expect_from(port));
        Ok(())
    }

    fn set_keys(&mut self, mode: Mode, keys: &[String]) -> Result<()> {
        let Some(suite) = mode.suite() else { return Ok(()) };
        if keys.len() != self.inlets.len() {
            bail!("{} keys for {} sockets", keys.len(), self.inlets.len());
        }
        for (inlet, key) in self.inlets.iter_mut().zip(keys) {
            let key = STANDARD.decode(key).context("a key isn't base64")?;
            inlet.protect(suite, &key)?;
        }
        Ok(())
    }

    fn begin(&mut self, first: u64, check_every: u64, time_every: u64) {
        self.step = Step { first, check_every, time_every, calls_before: self.calls(), ..Step::default() };
        self.inlets.iter_mut().for_each(Inlet::begin);
    }

    fn drain(&mut self) -> Result<()> {
        while self.receive(Some(Duration::ZERO))?.datagrams > 0 {}
        Ok(())
    }

    fn end(&mut self, expected: u64, times: &PathBuf) -> Result<Received> {
        // Where everything is checked nothing is timed, and a busy machine is waited for.
        let quiet = if self.step.check_every == 1 { 10 * QUIET } else { QUIET };
        // Only media counts: the worker's reports to many consumers never cease.
        let mut last = Instant::now();
        while self.received() < expected && last.elapsed() < quiet {
            if self.receive(Some(quiet.saturating_sub(last.elapsed())))?.datagrams > 0 {
                last = Instant::now();
            }
        }
        let times = fs::read(times).with_context(|| format!("{} can't be read", times.display()))?;
        let sent_at = |number: u64| {
            let index = usize::try_from(number - self.step.first).ok()?;
            times.as_chunks().0.get(index).map(|&time| u64::from_ne_bytes(time))
        };
        let latency = |until: fn(Arrival) -> u64| -> Result<Option<Latency>> {
            let took = self.step.arrivals.iter().map(|&(number, arrival)| {
                let sent = sent_at(number).ok_or_else(|| anyhow!("packet {number} arrived and was never sent"))?;
                Ok(until(arrival).saturating_sub(sent))
            });
            Ok(Latency::of(took.collect::<Result<_>>()?))
        };
        Ok(Received {
            packets: self.received(),
            fewest: self.inlets.iter().map(Inlet::count).min().unwrap_or(0),
            duplicates: self.inlets.iter().map(|inlet| inlet.duplicates).sum(),
            checked: self.step.checked,
            wrong: self.step.wrong.clone(),
            wrong_count: self.step.wrong_count,
            latency: latency(|arrival| arrival.came)?,
            latency_read: if self.stamped.is_some() { latency(|arrival| arrival.read)? } else { None },
            strays: self.inlets.iter().map(|inlet| inlet.strays).sum(),
            calls: self.calls() - self.step.calls_before,
            last: self.step.last,
        })
    }

    fn received(&self) -> u64 {
        self.inlets.iter().map(Inlet::count).sum()
    }

    fn calls(&self) -> u64 {
        self.inlets.iter().map(|inlet| inlet.socket.counters().receive_calls).sum()
    }

    /// Waits until something comes, and takes it.
    fn receive(&mut self, timeout: Option<Duration>) -> Result<Turn> {
        self.poller.wait(&mut self.events, timeout)?;
        let mut turn = Turn { datagrams: 0, requests: false };
        for event in &self.events {
            if event.token == REQUESTS {
                turn.requests = true;
                continue;
            }
            let index = event.token.0 as usize;
            let Some(inlet) = self.inlets.get_mut(index) else { continue };
            let (step, packets) = (&mut self.step, &self.packets);
            let mut take = |inlet: &mut Inlet, from: u16, bytes: &mut [u8], arrival| {
                // Sender reports and the like aren't counted.
                if !inlet.admits(from) || rtp::is_rtcp(bytes) {
                    return;
                }
                turn.datagrams += 1;
                if let Err(error) = inlet.take(index, bytes, arrival, step, packets) {
                    step.wrong_count += 1;
                    step.wrong.get_or_insert_with(|| format!("receiver {index}: {error:#}"));
                }
            };
            if let Some(stamped) = &mut self.stamped {
                let count = stamped.receive(&inlet.socket)?;
                let read = monotonic_ns();
                for datagram in 0..count {
                    let (from, bytes, came) = stamped.datagram_mut(datagram);
                    take(inlet, from, bytes, Arrival { came, read });
                }
            } else {
                self.batch.clear();
                inlet.socket.recv_batch(&mut self.batch)?;
                let read = monotonic_ns();
                for datagram in 0..self.batch.len() {
                    let (from, bytes) = self.batch.datagram_mut(datagram);
                    let from = from.port();
                    take(inlet, from, bytes, Arrival { came: read, read });
                }
            }
        }
        Ok(turn)
    }
}

#[cfg(test)]
mod tests;
