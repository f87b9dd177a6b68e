//! SCTP: an association whose peer sends whatever chunks it likes.

use std::panic;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc};
use sfu_proto::sctp::{Association, Config, Event, PORT, Ppid, Reliability, State, StreamParameters, is_sctp};

use super::input::Input;

const HEADER_LEN: usize = 12;
const DATA: u8 = 0;
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// More packets than this at once are no answer to one packet: congestion control starts with a few.
const MAX_BURST: usize = 64;

/// Two associations, connected unless the first byte says how few packets of the handshake arrive. Then packets, sealed with
/// the right tag and checksum, mixed with what the ends have to say to each other.
pub fn sctp(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::new();
    let handshake = input.below(16);
    for _ in 0..if handshake == 0 { 100 } else { handshake } {
        pair.deliver();
    }
    while !input.is_empty() {
        let operation = input.u8();
        let end = usize::from(operation >> 7);
        match operation & 7 {
            0 => pair.send(end, &mut input),
            1 => pair.ends[end].reset_stream(u16::from(operation >> 3) & 3),
            2 => drop(pair.deliver()),
            3 => pair.wait(Duration::from_millis(u64::from(input.u8()) * 20)),
            4 => {
                let result = pair.ends[end].handle_packet(pair.now, input.datagram());
                let _ = result.map_err(|error| error.to_string());
            }
            _ => pair.attack(end, operation & 0x08 != 0, input.datagram()),
        }
        pair.collect();
    }
    // It all comes to rest.
    for _ in 0..200 {
        if !pair.deliver() {
            pair.wait(Duration::from_millis(200));
        }
    }
    // Longer than an end whose peer shuts down goes on sending.
    pair.wait(Duration::from_secs(11));
    for end in [0, 1] {
        assert!(!pair.ended[end] || pair.ends[end].buffered_amount() == 0);
    }
}

/// The engine below our associations may panic: that is caught, and ends one association. The fuzzer must not take it for
/// an error of ours.
pub fn ignore_contained_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let contained = info.location().is_some_and(|location| location.file().contains("sctp-proto"));
        if contained {
            eprintln!("contained: {info}");
        } else {
            report(info);
        }
    }));
}

struct Pair {
    ends: [Association; 2],
    now: Instant,
    /// Packets under way: to which end, what.
    wire: Vec<(usize, Bytes)>,
    /// What the packets to each end must have: ports and tag.
    heads: [[u8; 8]; 2],
    /// The TSN that each end expects next, or one a little off.
    tsns: [u32; 2],
    ended: [bool; 2],
}

impl Pair {
    fn new() -> Pair {
        let config = || Config {
            outgoing_streams: 16,
            incoming_streams: 16,
            max_message_size: 65_536,
            send_buffer_size: 65_536,
            receive_window: None,
        };
        let now = Instant::now();
        let mut ends = [Association::new(config()), Association::new(config())];
        ends.iter_mut().for_each(|end| end.start(now));
        let mut pair = Pair { ends, now, wire: Vec::new(), heads: [[0; 8]; 2], tsns: [0; 2], ended: [false; 2] };
        pair.collect();
        pair
    }

    /// Puts what the ends have to send on the wire, learns from it what only the peer can know, and takes their events.
    fn collect(&mut self) {
        for end in [0, 1] {
            let mut burst = 0;
            while let Some(packet) = self.ends[end].poll_transmit(self.now) {
                burst += 1;
                assert!(burst <= MAX_BURST, "packets without end");
                assert!(is_sctp(&packet) && packet.len() <= 1500, "{} bytes", packet.len());
                self.learn(1 - end, &packet);
                self.wire.push((1 - end, packet));
            }
            while let Some(event) = self.ends[end].poll_event() {
                match event {
                    Event::StateChange(state) => {
                        assert!(!self.ended[end], "{state:?} after the end");
                        self.ended[end] = matches!(state, State::Failed | State::Closed);
                    }
                    Event::Message { payload, .. } => assert!((1..=65_536).contains(&payload.len())),
                    Event::BufferedAmountDecreased { from, to } => assert!(to < from),
                    Event::MessageDropped { .. } | Event::StreamReset { .. } => {}
                }
            }
            assert!(self.ends[end].buffered_amount() <= 65_536);
        }
        // What is not delivered is lost.
        let surplus = self.wire.len().saturating_sub(256);
        self.wire.drain(..surplus);
    }

    fn learn(&mut self, to: usize, packet: &[u8]) {
        if let Some(head) = packet.first_chunk::<8>()
            && head[4..] != [0; 4]
        {
            self.heads[to] = *head;
        }
        if packet.get(HEADER_LEN) == Some(&DATA)
            && let Some(tsn) = packet.get(16..).and_then(|rest| rest.first_chunk())
        {
            self.tsns[to] = u32::from_be_bytes(*tsn).wrapping_add(1);
        }
    }

    /// Delivers the packet that is under way for longest; false if there is none.
    fn deliver(&mut self) -> bool {
        if self.wire.is_empty() {
            return false;
        }
        let (end, packet) = self.wire.remove(0);
        let _ = self.ends[end].handle_packet(self.now, &packet);
        self.collect();
        true
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.collect();
    }

    fn send(&mut self, end: usize, input: &mut Input<'_>) {
        let choice = input.u8();
        let reliability = match choice >> 6 {
            0 | 1 => Reliability::Reliable,
            2 => Reliability::MaxRetransmits(0),
            _ => Reliability::MaxLifetime(100),
        };
        let stream = StreamParameters { id: u16::from(choice & 3), ordered: choice & 4 == 0, reliability };
        let before = self.ends[end].buffered_amount();
        let message = vec![choice; usize::from(input.u16())];
        if self.ends[end].send(&stream, Ppid::Binary, message.into()).is_err() {
            assert_eq!(self.ends[end].buffered_amount(), before);
        }
    }

    /// A packet of the peer with these chunks. `relative`: numbers of chunks that have one at their beginning count from
    /// the one that is expected.
    fn attack(&mut self, end: usize, relative: bool, chunks: &[u8]) {
        let mut packet = self.heads[end].to_vec();
        if packet[..2] == [0; 2] {
            packet[..2].copy_from_slice(&PORT.to_be_bytes());
            packet[2..4].copy_from_slice(&PORT.to_be_bytes());
        }
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(chunks);
        if relative {
            let mut at = HEADER_LEN;
            while let Some([kind, _, high, low, number @ ..]) =
                packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<8>())
            {
                // DATA and FORWARD TSN count what the peer sends, SACK what we have sent.
                let base = match *kind {
                    DATA | 192 => self.tsns[end],
                    3 => self.tsns[1 - end].wrapping_sub(1),
                    _ => 0,
                };
                *number = u32::from_be_bytes(*number).wrapping_add(base).to_be_bytes();
                at += usize::from(u16::from_be_bytes([*high, *low])).max(4).next_multiple_of(4);
            }
        }
        let checksum = CHECKSUM.checksum(&packet);
        packet[8..12].copy_from_slice(&checksum.to_le_bytes());
        let _ = self.ends[end].handle_packet(self.now, &packet);
    }
}
