//! The load generator: a process that sends packets by a schedule and notes when each one left.

use crate::link::Requests;
use crate::machine::monotonic_ns;
use crate::workload::{PACKET_LEN, Packets, Pattern};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{UdpOptions, UdpSocket};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the runner asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    /// Each packet goes to each of these, with its SSRC: one for a worker, many where the generator itself is the control.
    pub targets: Vec<Target>,
    /// The payload type to send.
    pub payload_type: u8,
    /// The first packet's number; they count up.
    pub first: u64,
    /// Packets a second, each counted once however many targets it has.
    pub rate: f64,
    /// For how long.
    pub seconds: f64,
    /// How they are spaced.
    pub pattern: Pattern,
    /// Where to leave the times at which they left.
    pub times: PathBuf,
}

/// A destination.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Target {
    /// Where to.
    pub address: SocketAddr,
    /// The SSRC that packets for it carry.
    pub ssrc: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Generated {
    /// Packets, each counted once.
    pub packets: u64,
    /// From the first to the last, in seconds; the last one's share of the schedule included.
    pub seconds: f64,
    /// Datagrams that the kernel refused.
    pub refused: u64,
    /// When the last one left, by the monotonic clock, in nanoseconds.
    pub ended: u64,
}

/// The most packets that are sent together when the schedule is behind.
const MAX_GROUP: usize = 64;

/// Serves the runner until it goes.
///
/// # Errors
/// The system's, in words.
pub fn main() -> Result<()> {
    // A timer may otherwise be 50 µs late by intention, which is the distance of two packets.
    nix::sys::prctl::set_timerslack(1).context("the timer slack can't be set")?;
    let mut requests = Requests::new()?;
    let poller = Poller::new()?;
    poller.add(requests.descriptor(), Token(0), Interest::READ)?;
    let mut events = Events::with_capacity(1);
    let mut generator = Generator::new()?;
    loop {
        poller.wait(&mut events, None)?;
        let open = requests.fill()?;
        while let Some(load) = requests.take::<Load>()? {
            let result = generator.run(&load);
            requests.answer(result)?;
        }
        if !open {
            return Ok(());
        }
    }
}

struct Generator {
    socket: UdpSocket,
    packets: Packets,
    /// Sleeps only: nothing is registered.
    sleeper: Poller,
    buffer: Vec<u8>,
}

impl Generator {
    fn new() -> Result<Self> {
        // No trains: over loopback they would arrive as trains, which no network brings, and would spare a worker that takes them most of
        // its receiving.
        let options = UdpOptions {
            gso: false,
            gro: false,
            send_buffer: Some(1 << 22),
            backlog_datagrams: 0,
            ..UdpOptions::default()
        };
        Ok(Self {
            socket: UdpSocket::bind("127.0.0.1:0".parse()?, &options)?,
            packets: Packets::new(),
            sleeper: Poller::new()?,
            buffer: vec![0; MAX_GROUP * PACKET_LEN],
        })
    }

    fn run(&mut self, load: &Load) -> Result<Generated> {
        if load.targets.is_empty() || !(load.rate > 0.0 && load.seconds > 0.0) {
            bail!("a load needs targets, a rate and a duration");
        }
        let planned = (load.rate * load.seconds).ceil() as u64;
        let mut times = Vec::with_capacity(planned as usize + 64);
        let mut events = Events::with_capacity(1);
        let start = monotonic_ns();
        // When packet n (from 0) is due.
        let due = |number: u64| start + (number as f64 * 1e9 / load.rate) as u64;
        let (mut sent, mut turn, mut refused) = (0, 0, 0);
        while sent < planned {
            let now = monotonic_ns();
            if now < due(sent) {
                self.sleeper.wait(&mut events, Some(Duration::from_nanos(due(sent) - now)))?;
                continue;
            }
            // One turn of the schedule, and with it those that should have left by now: a late generator catches up, so that
            // the offered load is what was asked for.
            let mut group = 0;
            while group < MAX_GROUP as u64 && sent + group < planned && due(sent + group) <= now {
                let next = load.pattern.group(turn).min(planned - sent - group);
                if group > 0 && group + next > MAX_GROUP as u64 {
                    break;
                }
                group += next;
                turn += 1;
            }
            refused += self.send(load, load.first + sent, group as usize)?;
            times.extend(std::iter::repeat_n(now, group as usize));
            sent += group;
        }
        let ended = monotonic_ns();
        let end = ended.max(due(planned));
        let bytes: Vec<u8> = times.iter().flat_map(|time: &u64| time.to_ne_bytes()).collect();
        fs::write(&load.times, bytes).with_context(|| format!("{} can't be written", load.times.display()))?;
        Ok(Generated { packets: sent, seconds: (end - start) as f64 / 1e9, refused, ended })
    }

    fn send(&mut self, load: &Load, first: u64, count: usize) -> Result<u64> {
        let lengths = [PACKET_LEN as u16; MAX_GROUP];
        let slots = &mut self.buffer[..count * PACKET_LEN];
        for (number, slot) in (first..).zip(slots.chunks_exact_mut(PACKET_LEN)) {
            self.packets.write(number, load.targets[0].ssrc, load.payload_type, slot)?;
        }
        let mut refused = 0;
        for target in &load.targets {
            for slot in slots.chunks_exact_mut(PACKET_LEN) {
                sfu_proto::rtp::set_ssrc(slot, target.ssrc);
            }
            let result = self.socket.send_segments(target.address, slots, &lengths[..count]);
            refused += result.dropped as u64;
        }
        Ok(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu_reactor::udp::RecvBatch;

    #[test]
    fn what_is_asked_for_is_sent_to_every_target_and_timed() {
        let mut generator = Generator::new().unwrap();
        let options = UdpOptions { receive_buffer: Some(1 << 22), ..UdpOptions::default() };
        let bind = || UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        let mut sockets = [bind(), bind()];
        let targets: Vec<Target> =
            sockets.iter().zip(7..).map(|(socket, ssrc)| Target { address: socket.local_addr(), ssrc }).collect();
        let times = std::env::temp_dir().join(format!("bench-forward-test-{}", std::process::id()));
        let load = Load {
            targets: targets.clone(),
            payload_type: 101,
            first: 1_000,
            rate: 10_000.0,
            seconds: 0.02,
            pattern: Pattern::Burst,
            times: times.clone(),
        };
        let generated = generator.run(&load).unwrap();
        assert_eq!((generated.packets, generated.refused), (200, 0));
        // It may be late on a busy machine, but never early.
        assert!(generated.seconds >= 0.02);
        let noted = fs::read(&times).unwrap();
        fs::remove_file(&times).unwrap();
        let noted: Vec<u64> = noted.chunks_exact(8).map(|time| u64::from_ne_bytes(time.try_into().unwrap())).collect();
        assert_eq!(noted.len(), 200);
        assert!(noted.is_sorted() && noted[0] < noted[199]);

        for (socket, target) in sockets.iter_mut().zip(&targets) {
            let mut batch = RecvBatch::new(256, 2_000);
            socket.recv_batch(&mut batch).unwrap();
            assert_eq!(batch.len(), 200);
            for (number, (_, packet)) in (1_000..).zip(batch.iter()) {
                generator.packets.check(packet, number, target.ssrc, 101).unwrap();
            }
        }
    }
}
