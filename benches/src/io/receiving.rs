//! The control of all other cases: nobody has joined, so that the forwarder receives and has nothing to send. What a forwarded
//! packet costs more than this is the price of sending it.
//!
//! No packet comes out that could be counted. What the forwarder has taken is what was sent less what the kernel says it
//! dropped at its socket, once nothing waits there any more.

use super::forwarder::{Allocations, Contender, Forwarder};
use crate::calls::Counter;
use crate::generator::{self, Generated, Load, Target};
use crate::link::Helper;
use crate::machine::cpu_ns;
use crate::measure::{Durations, TOLERATED_LOSS};
use crate::session::{Setting, Subject};
use crate::traffic::Traffic;
use crate::workload::{PRODUCER_PAYLOAD_TYPE, producer_ssrc};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// One contender's one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receiving {
    /// At the highest load without loss.
    pub full: Point,
    /// At half of it.
    pub half: Point,
    /// System calls for each packet taken, at half load.
    pub calls_per_packet: Option<f64>,
    /// Why they were not counted.
    pub uncounted: Option<String>,
    /// Allocations for each packet taken, at half load.
    pub allocations_per_packet: f64,
}

/// A measurement at one load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Point {
    /// Packets a second that were taken.
    pub packets_per_second: f64,
    /// Processor time of the forwarder for each, in nanoseconds.
    pub ns_per_packet: f64,
    /// How busy the forwarder was, 0 to 1.
    pub busy: f64,
    /// How busy the generator was, 0 to 1.
    pub load_busy: f64,
}

/// A stretch of constant load.
struct Step {
    sent: u64,
    taken: u64,
    point: Point,
    on_schedule: bool,
}

impl Step {
    fn is_good(&self) -> bool {
        self.on_schedule && self.loss() < TOLERATED_LOSS
    }

    fn loss(&self) -> f64 {
        1.0 - self.taken as f64 / self.sent.max(1) as f64
    }
}

/// Packets a second at which it is seen that it takes packets at all.
const GENTLE: f64 = 5_000.0;
/// From one load to the next.
const FACTOR: f64 = 1.25;

/// Runs it all.
///
/// # Errors
/// The contender dies, leaves packets lying, or drops them even under a small load.
pub fn measure(
    contender: &Contender,
    traffic: Traffic,
    setting: Setting<'_>,
    durations: Durations,
    tell: &mut dyn FnMut(&str),
) -> Result<Receiving> {
    let (mut sink, mut allocations) = Sink::start(contender, traffic, setting)?;
    tell("receiving only: does it receive?");
    let first = sink.step(GENTLE, durations.verify)?;
    ensure!(first.taken == first.sent, "it took {} of {} packets of a small load", first.taken, first.sent);
    // The generator is slower than any receiver, so that mostly its own limit is found.
    let mut rate = 100_000.0;
    while sink.step(rate * FACTOR, durations.search)?.is_good() {
        rate *= FACTOR;
        tell(&format!("receiving only: {rate:.0} packets/s"));
    }
    let full = loop {
        let step = sink.step(rate, durations.measure)?;
        if step.is_good() {
            break step.point;
        }
        rate *= 0.9;
        ensure!(rate > GENTLE, "it drops {:.1} % of the packets at only {rate:.0} a second", 100.0 * step.loss());
    };
    let half = sink.step(rate / 2.0, durations.measure)?.point;
    let before = allocations.count()?;
    let counter = Counter::start(sink.forwarder.id(), setting.directory);
    let step = sink.step(rate / 2.0, durations.search)?;
    let packets = step.taken.max(1) as f64;
    let (calls_per_packet, uncounted) = match counter.and_then(Counter::finish) {
        Ok(calls) => (Some(calls as f64 / packets), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let allocations_per_packet = (allocations.count()? - before) as f64 / packets;
    Ok(Receiving { full, half, calls_per_packet, uncounted, allocations_per_packet })
}

/// A forwarder without subscribers, and what sends to it.
struct Sink {
    forwarder: Forwarder,
    generator: Helper,
    times: PathBuf,
    next: u64,
}

impl Sink {
    fn start(contender: &Contender, traffic: Traffic, setting: Setting<'_>) -> Result<(Self, Allocations)> {
        let (forwarder, allocations) = Forwarder::start(contender, setting.cores.worker)?;
        let mut generator = Helper::start("generator", setting.cores.generator)?;
        let target = Target { address: forwarder.address(), ssrc: producer_ssrc(0) };
        let () = generator.ask(&generator::Request::Streams {
            targets: vec![vec![target]],
            payload_type: PRODUCER_PAYLOAD_TYPE,
            traffic,
        })?;
        Ok((Self { forwarder, generator, times: setting.directory.join("times"), next: 0 }, allocations))
    }

    fn step(&mut self, rate: f64, seconds: f64) -> Result<Step> {
        self.forwarder.check_alive()?;
        let (process, generator) = (self.forwarder.id(), self.generator.id());
        let port = self.forwarder.address().port();
        let before = (cpu_ns(process)?, cpu_ns(generator)?, queue(port)?.dropped);
        let load = Load { first: self.next, rate, seconds, times: self.times.clone(), lateness: false };
        let generated: Generated = self.generator.ask(&generator::Request::Load(load))?;
        self.next += generated.packets;
        let busy = cpu_ns(process)?.saturating_sub(before.0) as f64 / 1e9 / generated.seconds;
        let load_busy = cpu_ns(generator)?.saturating_sub(before.1) as f64 / 1e9 / generated.seconds;
        let dropped = drained(port)?.dropped - before.2;
        self.forwarder.check_alive()?;
        let used = cpu_ns(process)?.saturating_sub(before.0);
        let taken = generated.packets.saturating_sub(dropped);
        Ok(Step {
            sent: generated.packets,
            taken,
            point: Point {
                packets_per_second: taken as f64 / generated.seconds,
                ns_per_packet: used as f64 / taken.max(1) as f64,
                busy,
                load_busy,
            },
            on_schedule: generated.seconds < seconds * 1.03 + 0.01 && generated.refused == 0,
        })
    }
}

/// What the kernel says of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queue {
    /// Bytes that wait to be received.
    waiting: u64,
    /// Datagrams that found no room.
    dropped: u64,
}

/// Waits until nothing waits in the socket any more.
fn drained(port: u16) -> Result<Queue> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let queue = queue(port)?;
        if queue.waiting == 0 {
            return Ok(queue);
        }
        if Instant::now() > deadline {
            bail!("it leaves {} bytes in its socket, and takes none for a second", queue.waiting);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The UDP socket with this port on 127.0.0.1.
fn queue(port: u16) -> Result<Queue> {
    let table = fs::read_to_string("/proc/net/udp").context("/proc/net/udp can't be read")?;
    find(&table, port).with_context(|| format!("/proc/net/udp has no socket with port {port}"))
}

/// A line: number, local address, remote address, state, bytes to send and to receive, ..., datagrams dropped.
fn find(table: &str, port: u16) -> Option<Queue> {
    let local = format!("0100007F:{port:04X}");
    let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&local))?;
    let (_, waiting) = line.split_whitespace().nth(4)?.split_once(':')?;
    let dropped = line.split_whitespace().last()?;
    Some(Queue { waiting: u64::from_str_radix(waiting, 16).ok()?, dropped: dropped.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn the_kernel_s_account_of_a_socket_is_understood() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(queue(port).unwrap(), Queue { waiting: 0, dropped: 0 });
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // More than any socket holds.
        for _ in 0..20_000 {
            sender.send_to(&[0; 1_000], socket.local_addr().unwrap()).unwrap();
        }
        let full = queue(port).unwrap();
        assert!(full.waiting > 0 && full.dropped > 0, "{full:?}");
        socket.set_nonblocking(true).unwrap();
        let mut received = 0;
        while socket.recv(&mut [0; 1_000]).is_ok() {
            received += 1;
        }
        let drained = drained(port).unwrap();
        assert_eq!((drained.waiting, drained.dropped + received), (0, 20_000));
    }
}
