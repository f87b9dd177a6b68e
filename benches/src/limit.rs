//! The limit that a result is held against: what the kernel takes to send a packet in the cheapest way known for its pattern, and what the
//! cipher takes, both on the worker's core and without anything around them.
//!
//! Even packets leave in one `sendmmsg` for all their receivers, a message each; a burst's packets for one receiver leave as one train
//! (UDP GSO). The receivers, on the other core, take no trains, as in the measurements, and must get every packet.

use crate::case::{Audience, Case, Feed};
use crate::machine::{Cores, pinned_to};
use crate::traffic::Pattern;
use crate::workload::{HEADER_LEN, Mode};
use anyhow::{Context, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sfu_proto::srtp::{Backend, MAX_RTP_OVERHEAD, Sender};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::hint::black_box;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// In nanoseconds of processor time a packet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Limit {
    /// Of the kernel's sending.
    pub send_ns: f64,
    /// Of the cipher.
    pub cipher_ns: f64,
}

/// How long is measured.
const SENDING: Duration = Duration::from_millis(200);
const CIPHERING: Duration = Duration::from_millis(40);

/// Packets that may wait at one receiver, below what its buffer holds.
const WAITING: u64 = 800;

/// Packets that are sent before it is waited until all have come.
const ROUND: u64 = 4_000;

/// Measures it.
///
/// # Errors
/// The system's; or packets were lost.
pub fn measure(case: Case, cores: Cores) -> Result<Limit> {
    let overhead = case.mode.suite().map_or(0, |suite| suite.rtp_tag_len());
    let len = case.traffic.packet_len + overhead;
    let cipher_ns = pinned_to(cores.worker, || Ok(cipher(case.mode, case.traffic.packet_len)))??;
    let send_ns = send(case.audience, case.traffic.pattern, len, cores)?;
    Ok(Limit { send_ns, cipher_ns })
}

/// Processor time of this thread, in nanoseconds.
fn thread_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("a thread's processor time is unknown")?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

fn cipher(mode: Mode, packet_len: usize) -> Result<f64> {
    let Some(suite) = mode.suite() else { return Ok(0.0) };
    let mut sender = Sender::new(Backend::Evp, suite, &vec![7; suite.key_and_salt_len()])?;
    let payload = vec![9; packet_len - HEADER_LEN];
    let mut slot = vec![0; packet_len + MAX_RTP_OVERHEAD];
    let mut sequence = 0_u16;
    let mut protect = |count: u64| -> Result<()> {
        for _ in 0..count {
            slot[..2].copy_from_slice(&[0x80, 96]);
            slot[2..4].copy_from_slice(&sequence.to_be_bytes());
            black_box(sender.protect_rtp(&mut slot, HEADER_LEN, &payload)?);
            sequence = sequence.wrapping_add(1);
        }
        Ok(())
    };
    protect(100)?;
    let (mut count, start) = (0, Instant::now());
    let before = thread_ns()?;
    while start.elapsed() < CIPHERING {
        protect(1_000)?;
        count += 1_000;
    }
    Ok((thread_ns()? - before) as f64 / count as f64)
}

fn send(audience: Audience, pattern: Pattern, len: usize, cores: Cores) -> Result<f64> {
    let options = UdpOptions { receive_buffer: Some(1 << 22), gro: false, ..UdpOptions::default() };
    let sockets: Vec<UdpSocket> = (0..audience.sockets())
        .map(|_| UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options))
        .collect::<Result<_, _>>()?;
    let mut targets = vec![Targets::default(); audience.streams()];
    for Feed { socket, stream, .. } in audience.feeds() {
        let address = sockets[socket].local_addr();
        targets[stream].addresses.push(address);
        targets[stream].names.push(Some(address.into()));
    }
    let (received, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let drain = scope
            .spawn(|| pinned_to(cores.receiver, || drain(sockets, &received, &done).map_err(std::io::Error::other)));
        let sent = pinned_to(cores.worker, || Ok(send_rounds(&targets, audience, pattern, len, &received)));
        done.store(true, Ordering::Relaxed);
        match drain.join() {
            Ok(drained) => drained?,
            Err(_) => bail!("the limit's receiver has failed"),
        }
        sent?
    })
}

/// Who gets a stream's packets.
#[derive(Debug, Clone, Default)]
struct Targets {
    addresses: Vec<SocketAddr>,
    /// The same, as `sendmmsg` takes them.
    names: Vec<Option<SockaddrStorage>>,
}

/// Sends until it is known what a packet takes.
fn send_rounds(
    targets: &[Targets],
    audience: Audience,
    pattern: Pattern,
    len: usize,
    received: &AtomicU64,
) -> Result<f64> {
    let mut out = Out::new(pattern, len, audience.copies())?;
    // The first round only warms up.
    let (mut measured, mut used, mut sent, mut turn) = (0, 0, 0, 0_u64);
    let begin = Instant::now();
    loop {
        let mut round = 0;
        let before = thread_ns()?;
        while round == 0 || round < ROUND.min(WAITING * audience.sockets() as u64) {
            let streams = targets.len() as u64;
            let (stream, frame) = (turn % streams, turn / streams + turn % streams);
            turn += 1;
            round += out.send(&targets[stream as usize], pattern.group(frame))?;
        }
        let taken = thread_ns()? - before;
        if sent > 0 {
            measured += round;
            used += taken;
        }
        sent += round;
        wait_for(received, sent)?;
        if measured > 0 && begin.elapsed() > SENDING {
            return Ok(used as f64 / measured as f64);
        }
    }
}

fn wait_for(received: &AtomicU64, sent: u64) -> Result<()> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = received.load(Ordering::Relaxed);
        if now >= sent {
            return Ok(());
        }
        if now > last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > Duration::from_secs(1) {
            bail!("{} packets were lost while the limit was measured", sent - now);
        }
        thread::sleep(Duration::from_micros(20));
    }
}

/// Takes what comes until it is done.
fn drain(mut sockets: Vec<UdpSocket>, received: &AtomicU64, done: &AtomicBool) -> Result<()> {
    let poller = Poller::new()?;
    for (index, socket) in sockets.iter().enumerate() {
        poller.add(socket, Token(index as u64), Interest::READ)?;
    }
    let mut events = Events::with_capacity(256);
    let mut batch = RecvBatch::new(64, 2_048);
    while !done.load(Ordering::Relaxed) {
        poller.wait(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let Some(socket) = sockets.get_mut(event.token.0 as usize) else { continue };
            batch.clear();
            socket.recv_batch(&mut batch)?;
            received.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The cheapest way of sending that is known for a pattern.
struct Out {
    socket: UdpSocket,
    pattern: Pattern,
    /// A burst's packets, one after the other.
    packets: Vec<u8>,
    lengths: Vec<u16>,
    headers: MultiHeaders<SockaddrStorage>,
    len: usize,
}

/// The longest burst.
const LONGEST: usize = 64;

/// Messages that the kernel takes in one call.
const MESSAGES: usize = 1_024;

impl Out {
    fn new(pattern: Pattern, len: usize, copies: usize) -> Result<Self> {
        let options =
            UdpOptions { gro: false, send_buffer: Some(1 << 22), backlog_datagrams: 0, ..UdpOptions::default() };
        Ok(Self {
            socket: UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options)?,
            pattern,
            packets: vec![0x55; LONGEST * len],
            lengths: vec![u16::try_from(len)?; LONGEST],
            headers: MultiHeaders::preallocate(copies.min(MESSAGES), None),
            len,
        })
    }

    /// Sends so many packets to each of these. Returns how many that were.
    fn send(&mut self, targets: &Targets, group: u64) -> Result<u64> {
        let count = group as usize;
        match self.pattern {
            Pattern::Even => self.send_messages(targets)?,
            Pattern::Burst => {
                for &target in &targets.addresses {
                    let sent =
                        self.socket.send_segments(target, &self.packets[..count * self.len], &self.lengths[..count]);
                    if sent.dropped > 0 {
                        bail!("the kernel refuses packets");
                    }
                }
            }
        }
        Ok((targets.addresses.len() * count) as u64)
    }

    fn send_messages(&mut self, targets: &Targets) -> Result<()> {
        let slice = [IoSlice::new(&self.packets[..self.len])];
        let slices = vec![slice; targets.names.len().min(MESSAGES)];
        for names in targets.names.chunks(MESSAGES) {
            let descriptor = self.socket.as_raw_fd();
            let slices = &slices[..names.len()];
            let sent = sendmmsg(descriptor, &mut self.headers, slices, names, [], MsgFlags::empty())?.count();
            if sent != names.len() {
                bail!("the kernel takes {sent} of {} messages", names.len());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Traffic;

    #[test]
    fn trains_are_cheaper_than_messages_and_ciphers_cost_something() {
        let Ok(cores) = Cores::divide() else { return };
        let case = |mode, pattern| Case::one_to(4, mode, pattern);
        // A machine that does other work may be wrong once.
        let trains_are_cheaper = (0..3).any(|_| {
            let even = measure(case(Mode::AesCm, Pattern::Even), cores).unwrap();
            let burst = measure(case(Mode::Plain, Pattern::Burst), cores).unwrap();
            assert!(even.cipher_ns > 50.0 && burst.cipher_ns == 0.0, "{even:?}");
            burst.send_ns < even.send_ns
        });
        assert!(trains_are_cheaper);
        let rooms = Audience::Rooms { rooms: 2, people: 3 };
        let rooms = Case { audience: rooms, mode: Mode::AesGcm, traffic: Traffic::audio() };
        assert!(measure(rooms, cores).unwrap().send_ns > 100.0);
    }
}
