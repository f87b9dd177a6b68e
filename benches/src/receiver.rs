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
mod tests {
    use super::*;
    use crate::case::Audience;
    use crate::workload::{CONSUMER_PAYLOAD_TYPE, HEADER_LEN, Identity, Labels};
    use sfu_proto::srtp;

    const PACKET_LEN: usize = 300;

    struct Bench {
        receiver: Receiver,
        sender: UdpSocket,
        ports: Vec<u16>,
        times: PathBuf,
    }

    impl Bench {
        fn new(name: &str, consumers: usize) -> Self {
            Self::with(name, consumers, false)
        }

        fn with(name: &str, consumers: usize, stamps: bool) -> Self {
            let mut receiver = Receiver::new().unwrap();
            let feeds = Audience::Fan { producers: 2, consumers }.feeds();
            let ports = receiver.open(consumers, &feeds, PACKET_LEN, false, stamps).unwrap();
            let sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
            let times = std::env::temp_dir().join(format!("bench-receiver-{name}-{}", std::process::id()));
            fs::write(&times, 5_u64.to_ne_bytes().repeat(10)).unwrap();
            Self { receiver, sender, ports, times }
        }

        fn send(&mut self, consumer: usize, packet: &[u8]) {
            self.sender.send_to(SocketAddr::new([127, 0, 0, 1].into(), self.ports[consumer]), packet);
        }

        fn end(&mut self, expected: u64) -> Received {
            let received = self.receiver.end(expected, &self.times).unwrap();
            fs::remove_file(&self.times).unwrap();
            received
        }
    }

    /// Of the first stream for this one of two consumers, as [`Audience::feeds`] numbers them.
    fn packet(number: u64, consumer: u32) -> Vec<u8> {
        of_stream(0, number, 0x0300_0000 + 2 * consumer)
    }

    fn of_stream(stream: usize, number: u64, ssrc: u32) -> Vec<u8> {
        let mut slot = vec![0; PACKET_LEN];
        let labels = Labels { sequence: number, ssrc, payload_type: CONSUMER_PAYLOAD_TYPE };
        Packets::new(PACKET_LEN).unwrap().write(Identity { stream, number }, labels, &mut slot).unwrap();
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
        // The second stream's, under its own SSRC.
        bench.send(1, &of_stream(1, 104, 0x0300_0003));
        let received = bench.end(20);
        assert_eq!((received.packets, received.fewest, received.duplicates), (13, 3, 1));
        assert_eq!((received.checked, received.wrong_count, received.wrong), (14, 0, None));
        assert_eq!(received.latency.unwrap().samples, 14);
    }

    #[test]
    fn what_comes_from_elsewhere_than_the_worker_is_passed_over_and_counted() {
        let mut bench = Bench::new("strays", 2);
        let port = bench.sender.local_addr().port();
        assert!(bench.receiver.set_sources(&[port]).is_err(), "there are two sockets");
        // The second socket's packets come from another transport.
        bench.receiver.set_sources(&[port, port ^ 1]).unwrap();
        bench.receiver.begin(0, 1, 1);
        // A STUN binding request, as a socket that had the port before gets it.
        let mut stun = [0; 20];
        stun[1] = 1;
        bench.send(1, &stun);
        bench.send(1, &packet(0, 1));
        bench.send(0, &packet(0, 0));
        let received = bench.end(2);
        assert_eq!((received.packets, received.strays, received.wrong), (1, 2, None));
    }

    #[test]
    fn packets_are_as_late_as_the_kernel_got_them_however_long_they_wait_to_be_read() {
        const WAIT: u64 = 2_000_000;
        let mut bench = Bench::with("stamps", 1, true);
        // The kernel begins to stamp soon after the first socket has asked.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            bench.receiver.begin(0, 1, 1);
            let before = monotonic_ns();
            fs::write(&bench.times, before.to_ne_bytes()).unwrap();
            bench.send(0, &packet(0, 0));
            let sent = monotonic_ns();
            while monotonic_ns() < sent + WAIT {}
            let received = bench.receiver.end(1, &bench.times).unwrap();
            assert_eq!((received.packets, received.wrong), (1, None));
            let (came, read) = (received.latency.unwrap(), received.latency_read.unwrap());
            assert!(read.max >= (sent + WAIT - before) as f64 / 1e3, "{read:?}");
            // It had come when the call was over. The two clocks are compared to within a tenth of a microsecond.
            if came.max < (sent - before) as f64 / 1e3 + 0.1 {
                break;
            }
            assert!(Instant::now() < deadline, "{came:?}");
        }
        fs::remove_file(&bench.times).unwrap();
    }

    #[test]
    fn other_work_than_the_expected_is_told() {
        let mut damaged = packet(1, 0);
        damaged[200] ^= 1;
        let mut of_another_step = packet(1, 0);
        rtp::set_timestamp(&mut of_another_step, u32::MAX - 3);
        let of_another_stream = of_stream(1, 1, 0x0300_0000);
        for (name, wrong) in [
            ("damaged", damaged),
            ("ssrc", packet(1, 3)),
            ("stream", of_another_stream),
            ("short", vec![0x80; 11]),
            ("step", of_another_step),
        ] {
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
