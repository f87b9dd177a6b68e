//! What the kernel takes to send a packet.
//!
//! The receivers, on the other core, take no trains, as in the measurements, and must get every packet. They look for packets now and then, and
//! none wakes them up: on loopback that would be the sender's work, and a network has nothing of it.

use super::thread_ns;
use crate::case::{Audience, Feed};
use crate::machine::{Cores, pinned_to};
use crate::receiver::PAUSE;
use crate::traffic::Pattern;
use anyhow::{Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Packets that may wait at one receiver, below what its buffer holds.
const WAITING: u64 = 800;

/// Packets that are sent before it is waited until all have come.
const ROUND: u64 = 4_000;

/// A way of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// One `sendmmsg` with a message for each receiver.
    Messages,
    /// A burst's packets for one receiver as one train.
    Bursts,
    /// The longest trains for one receiver that every kernel takes.
    LongestTrains,
}

impl Way {
    /// The cheapest one for a pattern that has no more packets for a receiver at a time.
    pub(super) const fn of(pattern: Pattern) -> Self {
        match pattern {
            Pattern::Even => Self::Messages,
            Pattern::Burst => Self::Bursts,
        }
    }

    /// How many packets of this length leave together.
    fn group(self, frame: u64, len: usize) -> u64 {
        match self {
            Self::Messages => 1,
            Self::Bursts => Pattern::Burst.group(frame),
            Self::LongestTrains => LONGEST.min(MAX_TRAIN_BYTES / len) as u64,
        }
    }
}

/// Processor nanoseconds that a packet of this length takes, sent in this way to all receivers for so long.
pub(super) fn measure(audience: Audience, way: Way, len: usize, cores: Cores, duration: Duration) -> Result<f64> {
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
        let sent = pinned_to(cores.worker, || Ok(send_rounds(&targets, audience, way, len, &received, duration)));
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
    way: Way,
    len: usize,
    received: &AtomicU64,
    duration: Duration,
) -> Result<f64> {
    let mut out = Out::new(way, len, audience.copies())?;
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
            round += out.send(&targets[stream as usize], way.group(frame, len))?;
        }
        let taken = thread_ns()? - before;
        if sent > 0 {
            measured += round;
            used += taken;
        }
        sent += round;
        wait_for(received, sent)?;
        if measured > 0 && begin.elapsed() > duration {
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

/// Takes what has come, again and again until it is done.
fn drain(mut sockets: Vec<UdpSocket>, received: &AtomicU64, done: &AtomicBool) -> Result<()> {
    let mut batch = RecvBatch::new(64, 2_048);
    while !done.load(Ordering::Relaxed) {
        for socket in &mut sockets {
            loop {
                batch.clear();
                if socket.recv_batch(&mut batch)? == 0 {
                    break;
                }
                received.fetch_add(batch.len() as u64, Ordering::Relaxed);
            }
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// What is sent.
struct Out {
    socket: UdpSocket,
    way: Way,
    /// As many as can leave together, one after the other.
    packets: Vec<u8>,
    lengths: Vec<u16>,
    headers: MultiHeaders<SockaddrStorage>,
    len: usize,
}

/// The longest train that every kernel takes: UDP_MAX_SEGMENTS before Linux 6.9.
const LONGEST: usize = 64;

/// Bytes in a train at most, as the socket sends them.
const MAX_TRAIN_BYTES: usize = 65_000;

/// Messages that the kernel takes in one call.
const MESSAGES: usize = 1_024;

impl Out {
    fn new(way: Way, len: usize, copies: usize) -> Result<Self> {
        let options =
            UdpOptions { gro: false, send_buffer: Some(1 << 22), backlog_datagrams: 0, ..UdpOptions::default() };
        Ok(Self {
            socket: UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options)?,
            way,
            packets: vec![0x55; LONGEST * len],
            lengths: vec![u16::try_from(len)?; LONGEST],
            headers: MultiHeaders::preallocate(copies.min(MESSAGES), None),
            len,
        })
    }

    /// Sends so many packets to each of these. Returns how many that were.
    fn send(&mut self, targets: &Targets, group: u64) -> Result<u64> {
        let count = group as usize;
        match self.way {
            Way::Messages => self.send_messages(targets)?,
            Way::Bursts | Way::LongestTrains => {
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
