//! What the kernel takes to receive a packet.
//!
//! A thread on the generator's core sends as the load generator does, while nobody reads; then a thread on the worker's core takes all of
//! it in one call. So many packets share a call that more would make it no cheaper, nor would more sockets at once: what is sent in the
//! one core's cache is to be read from there, and not from memory.

use super::thread_ns;
use crate::machine::{Cores, pinned_to};
use anyhow::{Context, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use sfu_reactor::udp::{UdpOptions, UdpSocket};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long is measured, the sending in between included.
const RECEIVING: Duration = Duration::from_millis(200);

/// Packets that come in on a socket, and are taken, at once: the cheapest number of 8, 16, 32, 64 and more.
const BATCH: usize = 32;

/// The most sockets. A stream more makes no packet dearer then.
const MAX_SOCKETS: usize = 1_024;

/// Processor nanoseconds of a packet of this length. Each stream has a socket of its own, and they take turns.
pub(super) fn measure(streams: usize, len: usize, cores: Cores) -> Result<f64> {
    let options = UdpOptions { receive_buffer: Some(1 << 22), gro: false, ..UdpOptions::default() };
    let sockets: Vec<UdpSocket> = (0..streams.min(MAX_SOCKETS))
        .map(|_| UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options))
        .collect::<Result<_, _>>()?;
    let (requests, requested) = channel();
    let (reports, reported) = channel();
    thread::scope(|scope| {
        let sender = scope.spawn(|| pinned_to(cores.generator, || send(requested, &reports, len)));
        let taken = pinned_to(cores.worker, || Ok(take(&sockets, requests, &reported, len)));
        match sender.join() {
            Ok(sent) => sent?,
            Err(_) => bail!("the sender has failed whose packets the limit of receiving is measured with"),
        }
        taken?
    })
}

/// Sends a batch wherever it is asked for one, and reports how many packets the kernel has refused.
fn send(requested: Receiver<SocketAddr>, reports: &Sender<usize>, len: usize) -> io::Result<()> {
    // As the load generator's: no trains.
    let options = UdpOptions {
        gso: false,
        gro: false,
        send_buffer: Some(1 << 22),
        backlog_datagrams: 0,
        ..UdpOptions::default()
    };
    let mut socket = UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options)?;
    let (packets, lengths) = (vec![0x55; BATCH * len], vec![len as u16; BATCH]);
    for target in requested {
        let sent = socket.send_segments(target, &packets, &lengths);
        if reports.send(sent.dropped).is_err() {
            break;
        }
    }
    Ok(())
}

/// Takes batches until it is known what a packet takes. The sender ends with `requests`, which is dropped here.
fn take(sockets: &[UdpSocket], requests: Sender<SocketAddr>, reported: &Receiver<usize>, len: usize) -> Result<f64> {
    const GONE: &str = "the sender has failed whose packets the limit of receiving is measured with";
    let mut memory = vec![0; BATCH * len];
    // Who has sent a packet isn't asked: it is the kernel's cheapest.
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let clock_ns = clock_ns()?;
    // The first turn of each socket only warms up.
    let (mut measured, mut used, mut turn) = (0, 0, 0);
    let begin = Instant::now();
    while measured == 0 || begin.elapsed() < RECEIVING {
        let socket = &sockets[turn % sockets.len()];
        requests.send(socket.local_addr()).context(GONE)?;
        let refused = reported.recv().context(GONE)?;
        if refused > 0 {
            bail!("the kernel refuses {refused} of {BATCH} packets");
        }
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            memory.chunks_exact_mut(len).map(|slot| [IoSliceMut::new(slot)]).collect();
        let before = thread_ns()?;
        let received = recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_DONTWAIT, None)?.count();
        let taken = thread_ns()? - before;
        if received != BATCH {
            bail!("{} of {BATCH} packets were lost while the limit of receiving was measured", BATCH - received);
        }
        if turn >= sockets.len() {
            measured += received;
            used += taken.saturating_sub(clock_ns);
        }
        turn += 1;
    }
    Ok(used as f64 / measured as f64)
}

/// What reading the clock adds to what lies between two readings.
fn clock_ns() -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..100 {
        let before = thread_ns()?;
        least = least.min(thread_ns()? - before);
    }
    Ok(least)
}
