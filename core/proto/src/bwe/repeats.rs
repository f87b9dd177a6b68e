//! What becomes of packets that were sent again.
//!
//! Receivers ask again for what they still miss (RFC 4585, 6.2.1), but not always: libwebrtc forgets the packets that it
//! misses of a higher spatial layer as soon as a later picture's lowest layer is there, since that needs none of them. It
//! still decodes whole pictures only, so that one retransmission that is lost stops it until it asks for a key frame, after
//! three seconds. Transport-wide feedback tells of that loss within a round trip.

use std::collections::VecDeque;

use crate::rtcp::TransportCc;

/// Packets that are watched at most. When more are on their way, those that were sent first are left to the receiver.
const MAX_PACKETS: usize = 256;
/// How often a packet is sent again before its receiver is better off with a key frame. While a queue is full, each time
/// takes longer than the picture was worth waiting for.
const MAX_TIMES: u8 = 3;

/// A packet that was sent again, and lost once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The SSRC of its stream, not of that on which it was sent again.
    pub ssrc: u32,
    /// Its number there.
    pub sequence_number: u16,
    /// It has been sent so often that it is of no use any more.
    pub is_given_up: bool,
}

/// A packet that was sent again.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    ssrc: u32,
    sequence_number: u16,
    /// The transport-wide number that it was last sent under.
    number: u16,
    /// How often it has been sent again.
    times: u8,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    Lost,
    /// Lost, and said so.
    Told,
}

/// Packets that were sent again, until it is known what became of them.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    packets: VecDeque<Repeat>,
}

impl Repeats {
    /// A packet of a stream was sent again, under a transport-wide sequence number of its own.
    pub fn handle_sent(&mut self, number: u16, ssrc: u32, sequence_number: u16) {
        let is_it = |packet: &Repeat| packet.ssrc == ssrc && packet.sequence_number == sequence_number;
        let before = self.packets.iter().position(is_it).and_then(|index| self.packets.remove(index));
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        if self.packets.len() >= MAX_PACKETS {
            self.packets.pop_front();
        }
        self.packets.push_back(Repeat { ssrc, sequence_number, number, times, fate: Fate::Unknown });
    }

    /// The receiver has told what became of packets.
    pub fn handle_feedback(&mut self, feedback: &TransportCc<'_>) {
        let is_reported = |packet: &Repeat| packet.number.wrapping_sub(feedback.base_sequence) < feedback.status_count;
        if !self.packets.iter().any(is_reported) {
            return;
        }
        for status in feedback.statuses() {
            let is_it = |packet: &Repeat| packet.number == status.sequence_number && packet.fate == Fate::Unknown;
            let Some(index) = self.packets.iter().position(is_it) else { continue };
            if status.arrival.is_some() {
                self.packets.remove(index);
            } else if let Some(packet) = self.packets.get_mut(index) {
                packet.fate = Fate::Lost;
            }
        }
    }

    /// A packet that is to be sent again once more, or given up: each once, and again when it was lost again.
    pub fn poll_lost(&mut self) -> Option<Lost> {
        let index = self.packets.iter().position(|packet| packet.fate == Fate::Lost)?;
        let packet = self.packets.get_mut(index)?;
        packet.fate = Fate::Told;
        let lost =
            Lost { ssrc: packet.ssrc, sequence_number: packet.sequence_number, is_given_up: packet.times >= MAX_TIMES };
        if lost.is_given_up {
            self.packets.remove(index);
        }
        Some(lost)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::rtcp::{FeedbackBuilder, Packet, packets};

    const SSRC: u32 = 7;

    /// Feedback about packets of these numbers, of which those with `true` have arrived. The first and the last have.
    fn report(repeats: &mut Repeats, fates: &[(u16, bool)]) {
        let start = Instant::now();
        let mut builder = FeedbackBuilder::new(start, 1, 2);
        for (number, _) in fates.iter().filter(|(_, arrived)| *arrived) {
            builder.handle_packet(*number, start + Duration::from_millis(1));
        }
        let mut bytes = Vec::new();
        while builder.poll_feedback(&mut bytes, 1200) {}
        for packet in packets(&bytes) {
            let Ok(Packet::TransportCc(feedback)) = packet else { panic!("feedback alone") };
            repeats.handle_feedback(&feedback);
        }
    }

    fn lost(sequence_number: u16, is_given_up: bool) -> Option<Lost> {
        Some(Lost { ssrc: SSRC, sequence_number, is_given_up })
    }

    #[test]
    fn what_was_lost_again_is_told_once_each_time_until_it_is_given_up() {
        let mut repeats = Repeats::default();
        // Numbers of the transport wrap.
        for (number, sequence_number) in [(65_534, 40), (65_535, 41), (0, 42)] {
            repeats.handle_sent(number, SSRC, sequence_number);
        }
        report(&mut repeats, &[(65_533, true), (65_534, true), (65_535, false), (0, false), (1, true)]);
        assert_eq!(repeats.poll_lost(), lost(41, false));
        assert_eq!(repeats.poll_lost(), lost(42, false));
        assert_eq!(repeats.poll_lost(), None);
        report(&mut repeats, &[(65_533, true), (65_535, false), (1, true)]);
        assert_eq!(repeats.poll_lost(), None, "that is known");

        repeats.handle_sent(2, SSRC, 41);
        repeats.handle_sent(3, SSRC, 42);
        report(&mut repeats, &[(1, true), (2, false), (3, true)]);
        assert_eq!(repeats.poll_lost(), lost(41, false));
        repeats.handle_sent(4, SSRC, 41);
        report(&mut repeats, &[(3, true), (4, false), (5, true)]);
        assert_eq!(repeats.poll_lost(), lost(41, true), "three times");
        assert_eq!(repeats.poll_lost(), None);
        assert!(repeats.packets.is_empty());
    }

    #[test]
    fn what_the_receiver_has_asked_for_again_in_the_meantime_is_not_lost() {
        let mut repeats = Repeats::default();
        repeats.handle_sent(10, SSRC, 40);
        repeats.handle_sent(12, SSRC, 40);
        report(&mut repeats, &[(9, true), (10, false), (11, true)]);
        assert_eq!(repeats.poll_lost(), None);
        report(&mut repeats, &[(12, true)]);
        assert!(repeats.packets.is_empty());
    }

    #[test]
    fn the_memory_has_bounds() {
        let mut repeats = Repeats::default();
        for number in 0..1000 {
            repeats.handle_sent(number, SSRC, number);
        }
        assert_eq!(repeats.packets.len(), MAX_PACKETS);
        report(&mut repeats, &[(0, true), (999, true)]);
        assert_eq!(repeats.poll_lost(), lost(744, false), "the newest are watched");
    }
}
