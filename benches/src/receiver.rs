//! The receiver: a process with the sockets of all who receive, that counts every packet, checks a share of them, and knows how long they took.

mod intake;

use crate::inlet::{Arrival, Inlet, QUIET, Step};
use crate::link::Requests;
use crate::stats::Latency;
use crate::workload::Mode;
use anyhow::{Context, Result, anyhow};
use intake::Intake;
pub use intake::{Opening, Reception};
use serde::{Deserialize, Serialize};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the runner asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Close all sockets and open others. Answer: the port where each who receives gets packets.
    Open(Opening),
    /// Which port sends to each who receives: what comes from others is passed over, and counted. Without it, all are taken as what they
    /// should be; but from sockets that are shared nothing is. Answer: nothing.
    Sources(Vec<u16>),
    /// How packets are protected. Answer: nothing.
    Keys {
        /// The suite.
        mode: Mode,
        /// Master key and salt of what each gets, in base64.
        keys: Vec<String>,
    },
    /// Subscribe everybody to a forwarder of chapter 05, which changes nothing: what comes is what the producer sends.
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
        /// How many packets should have come, all who receive together.
        expected: u64,
        /// The generator's notes.
        times: PathBuf,
    },
}

/// What has been received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received {
    /// Different packets of the expected numbers, all who receive together.
    pub packets: u64,
    /// As many got who got fewest.
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

/// How long swept sockets are left alone at a time.
pub(crate) const PAUSE: Duration = Duration::from_micros(500);

struct Receiver {
    poller: Poller,
    events: Events,
    intake: Intake,
    /// Whether packets are expected: swept sockets are read only then, so that who has no turn takes no processor time.
    expecting: bool,
}

/// What a turn has brought.
struct Turn {
    /// Media only.
    datagrams: usize,
    requests: bool,
}

impl Receiver {
    fn new() -> Result<Self> {
        let (poller, events) = (Poller::new()?, Events::with_capacity(256));
        Ok(Self { poller, events, intake: Intake::new()?, expecting: false })
    }

    fn handle(&mut self, request: Request, requests: &mut Requests) -> Result<()> {
        match request {
            Request::Open(opening) => {
                let ports = self.open(&opening);
                requests.answer(ports)
            }
            Request::Sources(ports) => {
                let result = self.intake.set_sources(&ports);
                requests.answer(result)
            }
            Request::Keys { mode, keys } => {
                let result = self.intake.set_keys(mode, &keys);
                requests.answer(result)
            }
            Request::Join { forwarder } => {
                let result = self.intake.join(forwarder);
                requests.answer(result)
            }
            Request::Begin { first, check_every, time_every } => {
                self.begin(first, check_every.max(1), time_every.max(1))?;
                requests.answer(Ok(()))
            }
            Request::End { expected, times } => {
                let result = self.end(expected, &times);
                requests.answer(result)
            }
        }
    }

    fn open(&mut self, opening: &Opening) -> Result<Vec<u16>> {
        self.expecting = false;
        self.intake.open(opening)?;
        if !self.intake.is_swept() {
            for (index, socket) in self.intake.sockets.iter().enumerate() {
                self.poller.add(socket, Token(index as u64), Interest::READ)?;
            }
        }
        Ok(self.intake.ports())
    }

    fn begin(&mut self, first: u64, check_every: u64, time_every: u64) -> Result<()> {
        self.expecting = true;
        // What an overloaded step before has left in the sockets doesn't count.
        while self.receive(Some(Duration::ZERO))?.datagrams > 0 {}
        let calls_before = self.intake.calls();
        self.intake.begin(Step { first, check_every, time_every, calls_before, ..Step::default() });
        Ok(())
    }

    fn end(&mut self, expected: u64, times: &PathBuf) -> Result<Received> {
        // Where everything is checked nothing is timed, and a busy machine is waited for.
        let quiet = if self.intake.step.check_every == 1 { 10 * QUIET } else { QUIET };
        // Only media counts: the worker's reports to many consumers never cease.
        let mut last = Instant::now();
        while self.intake.received() < expected && last.elapsed() < quiet {
            if self.receive(Some(quiet.saturating_sub(last.elapsed())))?.datagrams > 0 {
                last = Instant::now();
            }
        }
        self.expecting = false;
        let Self { intake, .. } = self;
        let step = &intake.step;
        let times = fs::read(times).with_context(|| format!("{} can't be read", times.display()))?;
        let sent_at = |number: u64| {
            let index = usize::try_from(number - step.first).ok()?;
            times.as_chunks().0.get(index).map(|&time| u64::from_ne_bytes(time))
        };
        let latency = |until: fn(Arrival) -> u64| -> Result<Option<Latency>> {
            let took = step.arrivals.iter().map(|&(number, arrival)| {
                let sent = sent_at(number).ok_or_else(|| anyhow!("packet {number} arrived and was never sent"))?;
                Ok(until(arrival).saturating_sub(sent))
            });
            Ok(Latency::of(took.collect::<Result<_>>()?))
        };
        Ok(Received {
            packets: intake.received(),
            fewest: intake.inlets.iter().map(Inlet::count).min().unwrap_or(0),
            duplicates: intake.inlets.iter().map(|inlet| inlet.duplicates).sum(),
            checked: step.checked,
            wrong: step.wrong.clone(),
            wrong_count: step.wrong_count,
            latency: latency(|arrival| arrival.came)?,
            latency_read: if intake.is_stamped() { latency(|arrival| arrival.read)? } else { None },
            strays: intake.strays(),
            calls: intake.calls() - step.calls_before,
            last: step.last,
        })
    }

    /// Waits until something comes, or it is time to look, and takes it.
    fn receive(&mut self, timeout: Option<Duration>) -> Result<Turn> {
        let sweeps = self.expecting && self.intake.is_swept();
        let timeout = if sweeps { Some(timeout.map_or(PAUSE, |timeout| timeout.min(PAUSE))) } else { timeout };
        self.poller.wait(&mut self.events, timeout)?;
        let mut turn = Turn { datagrams: 0, requests: false };
        for event in &self.events {
            if event.token == REQUESTS {
                turn.requests = true;
            } else {
                turn.datagrams += self.intake.take(event.token.0 as usize)?.1;
            }
        }
        if sweeps {
            turn.datagrams += self.intake.sweep()?;
        }
        Ok(turn)
    }
}

#[cfg(test)]
mod tests;
