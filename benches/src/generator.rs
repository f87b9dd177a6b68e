//! The load generator: a process that sends packets by a schedule and notes when each one left.

use crate::link::Requests;
use crate::machine::monotonic_ns;
use crate::traffic::{Pattern, Traffic};
use crate::workload::{Identity, Labels, Packets};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{UdpOptions, UdpSocket};
use std::fs;
use std::iter::repeat_n;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the runner asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// These are the streams, and of this kind. Answer: nothing.
    Streams {
        /// Where each stream's packets go: one target for a worker, many where the generator itself is the control.
        targets: Vec<Vec<Target>>,
        /// The payload type to send.
        payload_type: u8,
        /// Packets' length and spacing.
        traffic: Traffic,
    },
    /// Send. Answer: [`Generated`].
    Load(Load),
}

/// A stretch of constant load. Streams take turns: a packet of each, or a frame of each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    /// The first packet's number; they count up over all streams.
    pub first: u64,
    /// Packets a second, each counted once however many targets it has.
    pub rate: f64,
    /// For how long.
    pub seconds: f64,
    /// Where to leave the times at which they left.
    pub times: PathBuf,
    /// Whether to note how late they left, which takes another reading of the clock for each group.
    pub lateness: bool,
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
    /// By how many nanoseconds after they were due 99 % of the packets had left at the latest, where that was to be noted.
    pub late: Option<u64>,
    /// When that was over, by the monotonic clock, in nanoseconds: a burst to many is to be worked off by the time that the next one is due.
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
    let mut generator = None;
    loop {
        poller.wait(&mut events, None)?;
        let open = requests.fill()?;
        while let Some(request) = requests.take::<Request>()? {
            match request {
                Request::Streams { targets, payload_type, traffic } => {
                    let made = Generator::new(targets, payload_type, traffic).map(|made| generator = Some(made));
                    requests.answer(made)?;
                }
                Request::Load(load) => {
                    let generator = generator.as_mut().context("a load is asked for before its streams");
                    requests.answer(generator.and_then(|generator| generator.run(&load)))?;
                }
            }
        }
        if !open {
            return Ok(());
        }
    }
}

struct Generator {
    socket: UdpSocket,
    packets: Packets,
    pattern: Pattern,
    payload_type: u8,
    streams: Vec<Stream>,
    /// Turns of the schedule so far.
    turn: u64,
    /// Sleeps only: nothing is registered.
    sleeper: Poller,
    buffer: Vec<u8>,
}

struct Stream {
    targets: Vec<Target>,
    /// The next packet's number in it.
    sequence: u64,
}

impl Generator {
    fn new(targets: Vec<Vec<Target>>, payload_type: u8, traffic: Traffic) -> Result<Self> {
        if targets.is_empty() || targets.iter().any(Vec::is_empty) {
            bail!("a load needs streams, and each stream a target");
        }
        // No trains: over loopback they would arrive as trains, which no network brings, and would spare a worker that takes them most of
        // its receiving.
        let options = UdpOptions {
            gso: false,
            gro: false,
            send_buffer: Some(1 << 22),
            backlog_datagrams: 0,
            ..UdpOptions::default()
        };
        let packets = Packets::new(traffic.packet_len)?;
        Ok(Self {
            socket: UdpSocket::bind("127.0.0.1:0".parse()?, &options)?,
            buffer: vec![0; MAX_GROUP * packets.packet_len()],
            packets,
            pattern: traffic.pattern,
            payload_type,
            streams: targets.into_iter().map(|targets| Stream { targets, sequence: 0 }).collect(),
            turn: 0,
            sleeper: Poller::new()?,
        })
    }

    fn run(&mut self, load: &Load) -> Result<Generated> {
        if !(load.rate > 0.0 && load.seconds > 0.0) {
            bail!("a load needs a rate and a duration");
        }
        let planned = (load.rate * load.seconds).ceil() as u64;
        let mut times = Vec::with_capacity(planned as usize + 64);
        let mut events = Events::with_capacity(1);
        let start = monotonic_ns();
        // When packet n (from 0) is due.
        let due = |number: u64| start + (number as f64 * 1e9 / load.rate) as u64;
        let (mut sent, mut refused) = (0, 0);
        let mut late = Vec::with_capacity(if load.lateness { times.capacity() } else { 0 });
        while sent < planned {
            let now = monotonic_ns();
            if now < due(sent) {
                self.sleeper.wait(&mut events, Some(Duration::from_nanos(due(sent) - now)))?;
                continue;
            }
            // One turn of the schedule, and with it those of the same stream that should have left by now: a late generator catches
            // up, so that the offered load is what was asked for.
            let (stream, mut group) = self.take_turn();
            let first = late.len();
            let mut note = |number: u64, group: u64| {
                if load.lateness {
                    late.extend(repeat_n(due(number), group as usize));
                }
            };
            note(sent, group);
            while self.streams.len() == 1 && sent + group < planned && due(sent + group) <= now {
                let next = self.pattern.group(self.turn);
                if group + next > MAX_GROUP as u64 {
                    break;
                }
                note(sent + group, next);
                group += self.take_turn().1;
            }
            group = group.min(planned - sent);
            refused += self.send(stream, load.first + sent, group as usize)?;
            times.extend(repeat_n(now, group as usize));
            sent += group;
            if load.lateness {
                let left = monotonic_ns();
                late.truncate(first + group as usize);
                late[first..].iter_mut().for_each(|due| *due = left.saturating_sub(*due));
            }
        }
        let ended = monotonic_ns().max(due(planned));
        let bytes: Vec<u8> = times.iter().flat_map(|time: &u64| time.to_ne_bytes()).collect();
        fs::write(&load.times, bytes).with_context(|| format!("{} can't be written", load.times.display()))?;
        Ok(Generated { packets: sent, seconds: (ended - start) as f64 / 1e9, refused, late: p99(late), ended })
    }

    /// Whose turn it is, and how many packets leave. Not all streams have their key frames at once.
    fn take_turn(&mut self) -> (usize, u64) {
        let streams = self.streams.len() as u64;
        let (stream, frame) = (self.turn % streams, self.turn / streams);
        self.turn += 1;
        (stream as usize, self.pattern.group(frame + stream))
    }

    fn send(&mut self, stream: usize, first: u64, count: usize) -> Result<u64> {
        let packet_len = self.packets.packet_len();
        let lengths = [packet_len as u16; MAX_GROUP];
        let slots = &mut self.buffer[..count * packet_len];
        let Stream { targets, sequence } = &mut self.streams[stream];
        for (number, slot) in (first..).zip(slots.chunks_exact_mut(packet_len)) {
            let labels = Labels { sequence: *sequence, ssrc: targets[0].ssrc, payload_type: self.payload_type };
            self.packets.write(Identity { stream, number }, labels, slot)?;
            *sequence += 1;
        }
        let mut refused = 0;
        for (index, target) in targets.iter().enumerate() {
            if index > 0 {
                for slot in slots.chunks_exact_mut(packet_len) {
                    sfu_proto::rtp::set_ssrc(slot, target.ssrc);
                }
            }
            let result = self.socket.send_segments(target.address, slots, &lengths[..count]);
            refused += result.dropped as u64;
        }
        Ok(refused)
    }
}

/// What 99 % of the values don't exceed; `None` of none.
fn p99(mut values: Vec<u64>) -> Option<u64> {
    let rank = (values.len() * 99).div_ceil(100).checked_sub(1)?;
    Some(*values.select_nth_unstable(rank).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu_reactor::udp::RecvBatch;

    #[test]
    fn what_is_asked_for_is_sent_to_every_target_and_timed() {
        let options = UdpOptions { receive_buffer: Some(1 << 22), ..UdpOptions::default() };
        let bind = || UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
        let mut sockets = [bind(), bind(), bind()];
        let targets: Vec<Target> =
            sockets.iter().zip(7..).map(|(socket, ssrc)| Target { address: socket.local_addr(), ssrc }).collect();
        // The first stream has two targets, the second one has the third.
        let streams = vec![targets[..2].to_vec(), targets[2..].to_vec()];
        let mut generator = Generator::new(streams, 101, Traffic::video(Pattern::Burst)).unwrap();
        let times = std::env::temp_dir().join(format!("bench-forward-test-{}", std::process::id()));
        let load = Load { first: 1_000, rate: 10_000.0, seconds: 0.02, times: times.clone(), lateness: true };
        let generated = generator.run(&load).unwrap();
        assert_eq!((generated.packets, generated.refused), (200, 0));
        // It may be late on a busy machine, but never early.
        assert!(generated.seconds >= 0.02);
        // Nothing had left when it was due: sending takes time.
        let late = generated.late.unwrap();
        assert!(late > 0 && late as f64 <= generated.seconds * 1e9, "{late} ns late");
        let noted = fs::read(&times).unwrap();
        fs::remove_file(&times).unwrap();
        let noted: Vec<u64> = noted.chunks_exact(8).map(|time| u64::from_ne_bytes(time.try_into().unwrap())).collect();
        assert_eq!(noted.len(), 200);
        assert!(noted.is_sorted() && noted[0] < noted[199]);

        // A key frame of the first stream, then frames of each in turn, until there are 200.
        let turns = [40, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 6];
        let mut numbers = [Vec::new(), Vec::new()];
        let mut number = 1_000;
        for (turn, count) in turns.into_iter().enumerate() {
            numbers[turn % 2].extend(number..number + count);
            number += count;
        }
        for (index, (socket, target)) in sockets.iter_mut().zip(&targets).enumerate() {
            let stream = index / 2;
            let mut batch = RecvBatch::new(256, 2_000);
            socket.recv_batch(&mut batch).unwrap();
            assert_eq!(batch.len(), numbers[stream].len());
            for (&number, (_, packet)) in numbers[stream].iter().zip(batch.iter()) {
                generator.packets.check(packet, Identity { stream, number }, target.ssrc, 101).unwrap();
            }
        }
    }

    #[test]
    fn lateness_is_what_one_in_a_hundred_exceeds_and_is_noted_only_when_asked_for() {
        assert_eq!(p99((1..=200).rev().collect()), Some(198));
        assert_eq!((p99(vec![7]), p99(Vec::new())), (Some(7), None));
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
        let target = Target { address: socket.local_addr(), ssrc: 7 };
        let mut generator = Generator::new(vec![vec![target]], 101, Traffic::video(Pattern::Even)).unwrap();
        let times = std::env::temp_dir().join(format!("bench-forward-lateness-{}", std::process::id()));
        let load = Load { first: 0, rate: 1e9, seconds: 1e-6, times: times.clone(), lateness: false };
        assert_eq!(generator.run(&load).unwrap().late, None);
        // A thousand packets that are all due at once leave one after the other.
        let load = Load { lateness: true, ..load };
        let generated = generator.run(&load).unwrap();
        fs::remove_file(&times).unwrap();
        assert!(generated.late.unwrap() as f64 > 0.9e9 * generated.seconds, "{generated:?}");
    }
}
