//! The receiver: a process with one socket a consumer, that counts every packet, checks a share of them, and knows how long they took.

use crate::link::Requests;
use crate::machine::monotonic_ns;
use crate::stats::Latency;
use crate::workload::{
    CONSUMER_PAYLOAD_TYPE, HEADER_LEN, Mode, PRODUCER_PAYLOAD_TYPE, PRODUCER_SSRC, Packets, consumer_ssrc,
    is_from_before, number_of,
};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ch05_event_libraries::forwarder::{JOIN, JOINED};
use serde::{Deserialize, Serialize};
use sfu_proto::rtp;
use sfu_proto::srtp;
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
        consumers: usize,
        /// Whether to take trains of datagrams as they are (UDP_GRO).
        trains: bool,
    },
    /// How packets are protected. Answer: nothing.
    Keys {
        /// The suite.
        mode: Mode,
        /// Master key and salt of each consumer's packets, in base64.
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
        /// How many packets were sent to each consumer.
        packets: u64,
        /// The generator's notes.
        times: PathBuf,
    },
}

/// What has been received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received {
    /// Different packets of the expected numbers, all consumers together.
    pub packets: u64,
    /// The consumer that got fewest.
    pub fewest: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that were decrypted and compared.
    pub checked: u64,
    /// The first thing that was wrong with any packet.
    pub wrong: Option<String>,
    /// How many packets were wrong.
    pub wrong_count: u64,
    /// From the generator's send call to the receiver's having it.
    pub latency: Option<Latency>,
    /// Receive calls.
    pub calls: u64,
    /// When the last packet came, by the monotonic clock, in nanoseconds; 0 when none did.
    pub last: u64,
}

/// Nothing for so long means that nothing more will come: longer than a busy machine keeps a worker off its core.
const QUIET: Duration = Duration::from_millis(300);

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
    packets: Packets,
    consumers: Vec<Consumer>,
    step: Step,
}

struct Consumer {
    socket: UdpSocket,
    /// What its packets carry.
    ssrc: u32,
    payload_type: u8,
    srtp: Option<srtp::Receiver>,
    seen: Seen,
    duplicates: u64,
}

/// What holds from a [`Request::Begin`] to its end.
#[derive(Default)]
struct Step {
    first: u64,
    check_every: u64,
    time_every: u64,
    checked: u64,
    wrong: Option<String>,
    wrong_count: u64,
    /// Packet and time of arrival.
    arrivals: Vec<(u64, u64)>,
    /// When the last packet came.
    last: u64,
    calls_before: u64,
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
            packets: Packets::new(),
            consumers: Vec::new(),
            step: Step::default(),
        })
    }

    fn handle(&mut self, request: Request, requests: &mut Requests) -> Result<()> {
        match request {
            Request::Open { consumers, trains } => {
                let ports = self.open(consumers, trains);
                requests.answer(ports)
            }
            Request::Keys { mode, keys } => {
                let result = self.set_keys(mode, &keys);
                requests.answer(result)
            }
            Request::Join { forwarder } => {
                let result = self.consumers.iter_mut().try_for_each(|consumer| consumer.join(forwarder));
                requests.answer(result)
            }
            Request::Begin { first, check_every, time_every } => {
                // What an overloaded step before has left in the sockets doesn't count.
                self.drain()?;
                self.begin(first, check_every.max(1), time_every.max(1));
                requests.answer(Ok(()))
            }
            Request::End { packets, times } => {
                let result = self.end(packets, &times);
                requests.answer(result)
            }
        }
    }

    fn open(&mut self, consumers: usize, trains: bool) -> Result<Vec<u16>> {
        let options = UdpOptions { receive_buffer: Some(1 << 22), gro: trains, ..UdpOptions::default() };
        self.consumers.clear();
        for index in 0..consumers {
            let socket = UdpSocket::bind("127.0.0.1:0".parse()?, &options)?;
            self.poller.add(&socket, Token(index as u64), Interest::READ)?;
            self.consumers.push(Consumer {
                socket,
                ssrc: consumer_ssrc(index),
                payload_type: CONSUMER_PAYLOAD_TYPE,
                srtp: None,
                seen: Seen::default(),
                duplicates: 0,
            });
        }
        self.step = Step::default();
        Ok(self.consumers.iter().map(|consumer| consumer.socket.local_addr().port()).collect())
    }

    fn set_keys(&mut self, mode: Mode, keys: &[String]) -> Result<()> {
        let Some(suite) = mode.suite() else { return Ok(()) };
        if keys.len() != self.consumers.len() {
            bail!("{} keys for {} consumers", keys.len(), self.consumers.len());
        }
        for (consumer, key) in self.consumers.iter_mut().zip(keys) {
            let key = STANDARD.decode(key).context("a key isn't base64")?;
            consumer.srtp = Some(srtp::Receiver::new(srtp::Backend::Evp, suite, &key)?);
        }
        Ok(())
    }

    fn begin(&mut self, first: u64, check_every: u64, time_every: u64) {
        self.step = Step { first, check_every, time_every, calls_before: self.calls(), ..Step::default() };
        for consumer in &mut self.consumers {
            consumer.seen = Seen::default();
            consumer.duplicates = 0;
        }
    }

    fn drain(&mut self) -> Result<()> {
        while self.receive(Some(Duration::ZERO))?.datagrams > 0 {}
        Ok(())
    }

    fn end(&mut self, packets: u64, times: &PathBuf) -> Result<Received> {
        let expected = packets * self.consumers.len() as u64;
        // Only media counts: the worker's reports to many consumers never cease.
        let mut last = Instant::now();
        while self.received() < expected && last.elapsed() < QUIET {
            if self.receive(Some(QUIET.saturating_sub(last.elapsed())))?.datagrams > 0 {
                last = Instant::now();
            }
        }
        let times = fs::read(times).with_context(|| format!("{} can't be read", times.display()))?;
        let sent_at = |number: u64| {
            let index = usize::try_from(number - self.step.first).ok()?;
            times.as_chunks().0.get(index).map(|&time| u64::from_ne_bytes(time))
        };
        let mut latencies = Vec::with_capacity(self.step.arrivals.len());
        for &(number, arrival) in &self.step.arrivals {
            let sent = sent_at(number).ok_or_else(|| anyhow!("packet {number} arrived and was never sent"))?;
            latencies.push(arrival.saturating_sub(sent));
        }
        Ok(Received {
            packets: self.received(),
            fewest: self.consumers.iter().map(|consumer| consumer.seen.count).min().unwrap_or(0),
            duplicates: self.consumers.iter().map(|consumer| consumer.duplicates).sum(),
            checked: self.step.checked,
            wrong: self.step.wrong.clone(),
            wrong_count: self.step.wrong_count,
            latency: Latency::of(latencies),
            calls: self.calls() - self.step.calls_before,
            last: self.step.last,
        })
    }

    fn received(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.seen.count).sum()
    }

    fn calls(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.socket.counters().receive_calls).sum()
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
            let Some(consumer) = self.consumers.get_mut(index) else { continue };
            self.batch.clear();
            consumer.socket.recv_batch(&mut self.batch)?;
            let arrival = monotonic_ns();
            for datagram in 0..self.batch.len() {
                let (_, bytes) = self.batch.datagram_mut(datagram);
                // Sender reports and the like.
                if rtp::is_rtcp(bytes) {
                    continue;
                }
                turn.datagrams += 1;
                if let Err(error) = consumer.take(index, bytes, arrival, &mut self.step, &self.packets) {
                    self.step.wrong_count += 1;
                    self.step.wrong.get_or_insert_with(|| format!("consumer {index}: {error:#}"));
                }
            }
        }
        Ok(turn)
    }
}

impl Consumer {
    /// Subscribes. Asked again when no answer comes: a datagram may be lost.
    fn join(&mut self, forwarder: SocketAddr) -> Result<()> {
        const ATTEMPTS: usize = 10;
        let poller = Poller::new()?;
        poller.add(&self.socket, Token(0), Interest::READ)?;
        let mut events = Events::with_capacity(1);
        let mut batch = RecvBatch::new(1, 64);
        for _ in 0..ATTEMPTS {
            self.socket.send_to(forwarder, &[JOIN]);
            poller.wait(&mut events, Some(QUIET))?;
            self.socket.recv_batch(&mut batch)?;
            if batch.iter().any(|(from, bytes)| *from == forwarder && bytes.first() == Some(&JOINED)) {
                (self.ssrc, self.payload_type) = (PRODUCER_SSRC, PRODUCER_PAYLOAD_TYPE);
                return Ok(());
            }
        }
        bail!("the forwarder at {forwarder} doesn't answer to join");
    }

    fn take(
        &mut self,
        index: usize,
        packet: &mut [u8],
        arrival: u64,
        step: &mut Step,
        packets: &Packets,
    ) -> Result<()> {
        let (timestamp, ssrc) = clear_fields(packet).context("a datagram is shorter than an RTP header")?;
        if ssrc != self.ssrc {
            bail!("a packet has SSRC {ssrc:#x}, expected {:#x}", self.ssrc);
        }
        let number = number_of(timestamp, step.first)
            .with_context(|| format!("timestamp {timestamp} belongs to no packet: forwarding has to leave it alone"))?;
        match self.seen.insert(number - step.first) {
            Some(true) => step.last = arrival,
            Some(false) => self.duplicates += 1,
            // Counted as lost where it belongs.
            None if is_from_before(timestamp, step.first) => return Ok(()),
            None => bail!("timestamp {timestamp} belongs to no packet of this step"),
        }
        // Spread over the consumers, so that all of them are sampled.
        let spread = number + index as u64;
        if spread.is_multiple_of(step.time_every) {
            step.arrivals.push((number, arrival));
        }
        if spread.is_multiple_of(step.check_every) {
            step.checked += 1;
            let len = match &mut self.srtp {
                Some(srtp) => {
                    srtp.unprotect_rtp(packet).with_context(|| format!("packet {number} can't be decrypted"))?
                }
                None => packet.len(),
            };
            packets.check(&packet[..len], number, self.ssrc, self.payload_type)?;
        }
        Ok(())
    }
}

/// Timestamp and SSRC, which SRTP leaves in clear.
fn clear_fields(packet: &[u8]) -> Option<(u32, u32)> {
    let header = packet.first_chunk::<HEADER_LEN>()?;
    let [_, _, _, _, a, b, c, d, e, f, g, h] = *header;
    Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
}

/// Which packets have come, a bit each.
#[derive(Debug, Default)]
struct Seen {
    bits: Vec<u64>,
    count: u64,
}

impl Seen {
    /// More than any step sends; a number beyond is none of its.
    const LIMIT: u64 = 1 << 26;

    /// Whether it is new; `None` when it is beyond the limit.
    fn insert(&mut self, index: u64) -> Option<bool> {
        if index >= Self::LIMIT {
            return None;
        }
        let word = (index / 64) as usize;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let bit = 1 << (index % 64);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.count += u64::from(new);
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::PACKET_LEN;

    struct Bench {
        receiver: Receiver,
        sender: UdpSocket,
        ports: Vec<u16>,
        times: PathBuf,
    }

    impl Bench {
        fn new(name: &str, consumers: usize) -> Self {
            let mut receiver = Receiver::new().unwrap();
            let ports = receiver.open(consumers, false).unwrap();
            let sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
            let times = std::env::temp_dir().join(format!("bench-receiver-{name}-{}", std::process::id()));
            fs::write(&times, 5_u64.to_ne_bytes().repeat(10)).unwrap();
            Self { receiver, sender, ports, times }
        }

        fn send(&mut self, consumer: usize, packet: &[u8]) {
            self.sender.send_to(SocketAddr::new([127, 0, 0, 1].into(), self.ports[consumer]), packet);
        }

        fn end(&mut self, packets: u64) -> Received {
            let received = self.receiver.end(packets, &self.times).unwrap();
            fs::remove_file(&self.times).unwrap();
            received
        }
    }

    fn packet(number: u64, consumer: usize) -> Vec<u8> {
        let mut slot = vec![0; PACKET_LEN];
        Packets::new().write(number, consumer_ssrc(consumer), CONSUMER_PAYLOAD_TYPE, &mut slot).unwrap();
        slot
    }

    #[test]
    fn counts_checks_and_times_what_comes() {
        let mut bench = Bench::new("counts", 2);
        bench.receiver.begin(100, 1, 1);
        for number in 100..110 {
            bench.send(0, &packet(number, 0));
        }
        for number in [100, 100, 103] {
            bench.send(1, &packet(number, 1));
        }
        // RTCP isn't counted.
        bench.send(1, &[0x80, 200, 0, 1, 0, 0, 0, 0]);
        let received = bench.end(10);
        assert_eq!((received.packets, received.fewest, received.duplicates), (12, 2, 1));
        assert_eq!((received.checked, received.wrong_count, received.wrong), (13, 0, None));
        assert_eq!(received.latency.unwrap().samples, 13);
    }

    #[test]
    fn other_work_than_the_expected_is_told() {
        let mut damaged = packet(1, 0);
        damaged[600] ^= 1;
        let mut of_another_step = packet(1, 0);
        rtp::set_timestamp(&mut of_another_step, u32::MAX - 3);
        for (name, wrong) in
            [("damaged", damaged), ("ssrc", packet(1, 3)), ("short", vec![0x80; 11]), ("step", of_another_step)]
        {
            let mut bench = Bench::new(name, 1);
            bench.receiver.begin(0, 1, 1);
            bench.send(0, &packet(0, 0));
            bench.send(0, &wrong);
            let received = bench.end(10);
            assert_eq!(received.wrong_count, 1, "{name}");
            assert!(received.wrong.is_some(), "{name}");
        }
    }

    #[test]
    fn protected_packets_are_decrypted_before_they_are_compared() {
        let suite = Mode::AesGcm.suite().unwrap();
        let key: Vec<u8> = (0..suite.key_and_salt_len() as u8).collect();
        let mut bench = Bench::new("srtp", 1);
        bench.receiver.set_keys(Mode::AesGcm, &[STANDARD.encode(&key)]).unwrap();
        bench.receiver.begin(0, 1, 1);
        let mut sender = srtp::Sender::new(srtp::Backend::Evp, suite, &key).unwrap();
        for number in 0..3 {
            let plain = packet(number, 0);
            let mut slot = vec![0; PACKET_LEN + 16];
            slot[..HEADER_LEN].copy_from_slice(&plain[..HEADER_LEN]);
            let len = sender.protect_rtp(&mut slot, HEADER_LEN, &plain[HEADER_LEN..]).unwrap();
            if number == 2 {
                slot[len - 1] ^= 1;
            }
            bench.send(0, &slot[..len]);
        }
        let received = bench.end(3);
        assert_eq!((received.packets, received.checked, received.wrong_count), (3, 3, 1));
        assert!(received.wrong.unwrap().contains("authentication"));
    }
}
