//! What one of those who receive gets: whether each packet is one of the expected, new, and what was sent.

use crate::workload::{
    CONSUMER_PAYLOAD_TYPE, HEADER_LEN, Identity, PRODUCER_PAYLOAD_TYPE, Packets, is_from_before, number_of,
    producer_ssrc,
};
use anyhow::{Context, Result, bail};
use ch05_event_libraries::forwarder::{JOIN, JOINED};
use sfu_proto::srtp::{self, Suite};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpSocket};
use std::net::SocketAddr;
use std::time::Duration;

/// Nothing for so long means that nothing more will come: longer than a busy machine keeps a worker off its core.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// What holds for all of them from a [`Begin`](crate::receiver::Request::Begin) to its end.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) first: u64,
    pub(crate) check_every: u64,
    pub(crate) time_every: u64,
    pub(crate) checked: u64,
    pub(crate) wrong: Option<String>,
    pub(crate) wrong_count: u64,
    /// Of the packets that are timed.
    pub(crate) arrivals: Vec<(u64, Arrival)>,
    /// When the last packet came.
    pub(crate) last: u64,
    pub(crate) calls_before: u64,
}

/// When a packet came, in nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// By the kernel where it stamps packets, otherwise as below.
    pub(crate) came: u64,
    /// When the receiver had it.
    pub(crate) read: u64,
}

/// One who receives.
pub(crate) struct Inlet {
    /// What its packets' SSRCs mean: few, so that looking through them is fast.
    streams: Vec<(u32, usize)>,
    /// The only port that packets come from, once it is known.
    source: Option<u16>,
    /// Datagrams from others.
    pub(crate) strays: u64,
    payload_type: u8,
    srtp: Option<srtp::Receiver>,
    /// Bytes that protection adds to a packet.
    tag_len: usize,
    /// Of all streams together, whose packets have different numbers.
    seen: Seen,
    pub(crate) duplicates: u64,
}

impl Inlet {
    pub(crate) fn new() -> Self {
        Self {
            streams: Vec::new(),
            source: None,
            strays: 0,
            payload_type: CONSUMER_PAYLOAD_TYPE,
            srtp: None,
            tag_len: 0,
            seen: Seen::default(),
            duplicates: 0,
        }
    }

    /// This stream is to come, with this SSRC.
    pub(crate) fn expect(&mut self, ssrc: u32, stream: usize) {
        self.streams.push((ssrc, stream));
    }

    /// What comes is protected with this key.
    pub(crate) fn protect(&mut self, suite: Suite, key: &[u8]) -> Result<()> {
        self.srtp = Some(srtp::Receiver::new(srtp::Backend::Evp, suite, key)?);
        self.tag_len = suite.rtp_tag_len();
        Ok(())
    }

    /// Only this port sends to it.
    pub(crate) fn expect_from(&mut self, port: u16) {
        self.source = Some(port);
    }

    /// Whether a datagram from this port is for it. Ports are used again, so that what is meant for somebody else may come.
    pub(crate) fn admits(&mut self, port: u16) -> bool {
        let admits = self.source.is_none_or(|source| source == port);
        self.strays += u64::from(!admits);
        admits
    }

    /// Forgets what came.
    pub(crate) fn begin(&mut self) {
        self.seen = Seen::default();
        self.duplicates = 0;
        self.strays = 0;
    }

    /// How many different packets came.
    pub(crate) fn count(&self) -> u64 {
        self.seen.count
    }

    /// Subscribes its socket to a forwarder of chapter 05, which changes nothing. Asked again when no answer comes: a datagram may be lost.
    pub(crate) fn join(&mut self, socket: &mut UdpSocket, forwarder: SocketAddr) -> Result<()> {
        const ATTEMPTS: usize = 10;
        let poller = Poller::new()?;
        poller.add(&*socket, Token(0), Interest::READ)?;
        let mut events = Events::with_capacity(1);
        let mut batch = RecvBatch::new(1, 64);
        for _ in 0..ATTEMPTS {
            socket.send_to(forwarder, &[JOIN]);
            poller.wait(&mut events, Some(QUIET))?;
            socket.recv_batch(&mut batch)?;
            if batch.iter().any(|(from, bytes)| *from == forwarder && bytes.first() == Some(&JOINED)) {
                self.payload_type = PRODUCER_PAYLOAD_TYPE;
                self.source = Some(forwarder.port());
                for (ssrc, stream) in &mut self.streams {
                    *ssrc = producer_ssrc(*stream);
                }
                return Ok(());
            }
        }
        bail!("the forwarder at {forwarder} doesn't answer to join");
    }

    /// Takes a packet that came to it; it has this index.
    pub(crate) fn take(
        &mut self,
        index: usize,
        packet: &mut [u8],
        arrival: Arrival,
        step: &mut Step,
        packets: &Packets,
    ) -> Result<()> {
        let Clear { timestamp, ssrc, header_len } =
            Clear::of(packet).context("a datagram is shorter than an RTP header")?;
        let Some(&(_, stream)) = self.streams.iter().find(|(expected, _)| *expected == ssrc) else {
            let expected = self.streams.first().map_or(0, |(ssrc, _)| *ssrc);
            bail!("a packet has SSRC {ssrc:#x}, expected {expected:#x} or one of {}", self.streams.len());
        };
        let number = number_of(timestamp, step.first)
            .with_context(|| format!("timestamp {timestamp} belongs to no packet: forwarding has to leave it alone"))?;
        let expected = packets.packet_len() - HEADER_LEN + self.tag_len;
        if packet.len() - header_len != expected {
            bail!("packet {number} has {} bytes after its header, expected {expected}", packet.len() - header_len);
        }
        match self.seen.insert(number - step.first) {
            Some(true) => step.last = arrival.came,
            Some(false) => self.duplicates += 1,
            // Counted as lost where it belongs.
            None if is_from_before(timestamp, step.first) => return Ok(()),
            None => bail!("timestamp {timestamp} belongs to no packet of this step"),
        }
        // Spread over those who receive, so that all of them are sampled.
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
            packets.check(&packet[..len], Identity { stream, number }, ssrc, self.payload_type)?;
        }
        Ok(())
    }
}

/// What SRTP leaves in clear of a packet.
struct Clear {
    timestamp: u32,
    ssrc: u32,
    /// Bytes of the header, with the extensions that a forwarder may add.
    header_len: usize,
}

impl Clear {
    fn of(packet: &[u8]) -> Option<Self> {
        let &[first, _, _, _, a, b, c, d, e, f, g, h] = packet.first_chunk::<HEADER_LEN>()?;
        // RFC 3550 §5.3.1: a profile, a length in words, and so many words.
        let extension = match first & 0x10 {
            0 => 0,
            _ => 4 + 4 * usize::from(u16::from_be_bytes([*packet.get(14)?, *packet.get(15)?])),
        };
        let header_len = HEADER_LEN + extension;
        (packet.len() >= header_len).then_some(Self {
            timestamp: u32::from_be_bytes([a, b, c, d]),
            ssrc: u32::from_be_bytes([e, f, g, h]),
            header_len,
        })
    }
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
