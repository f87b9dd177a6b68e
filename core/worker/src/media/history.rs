//! What a stream remembers of the packets that it sent last, for when its peer asks for them again.

use std::time::{Duration, Instant};

/// Packets that can be sent again on a stream of their own (RTX, RFC 4588): as many as a producer's stream keeps.
const WITH_RTX: u16 = 2500;
/// Packets that can be sent again under their own numbers: SRTP lets numbers go back no further than its replay window.
const WITHOUT_RTX: u16 = 1024;

/// The values that are made for each packet sent. A packet that is sent again under its own number must be the same to
/// the byte, so they are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamps {
    /// Absolute send time.
    pub abs_send_time: [u8; 3],
    /// Transport-wide sequence number.
    pub transport_sequence: [u8; 2],
}

/// A table of the packets sent last, each at its sequence number modulo the table's length. It takes no memory until it
/// is needed.
#[derive(Debug)]
pub struct History {
    depth: u16,
    entries: Vec<Entry>,
    /// What the times in the table count from.
    start: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    sequence_number: u16,
    stamps: Option<Stamps>,
    /// When it was last sent again: milliseconds since the start, plus one; 0 for not at all.
    resent: u32,
}

impl History {
    /// An empty table for a stream with or without RTX.
    pub fn new(has_rtx: bool) -> History {
        History { depth: if has_rtx { WITH_RTX } else { WITHOUT_RTX }, entries: Vec::new(), start: None }
    }

    /// Whether a packet that is this many numbers behind the newest may be sent again.
    pub fn reaches(&self, age: u16) -> bool {
        age < self.depth
    }

    /// Keeps the values that a packet was sent with.
    pub fn remember(&mut self, sequence_number: u16, stamps: Stamps) {
        *self.entry(sequence_number) = Entry { sequence_number, stamps: Some(stamps), resent: 0 };
    }

    /// The values that a packet was sent with; `None` if they are forgotten.
    pub fn recall(&self, sequence_number: u16) -> Option<Stamps> {
        self.entries.get(self.place(sequence_number)).filter(|entry| entry.sequence_number == sequence_number)?.stamps
    }

    /// Notes that a packet is sent again, unless that was done within the pause, if any: says then whether it is the first
    /// time.
    pub fn resend(&mut self, now: Instant, sequence_number: u16, pause: Option<Duration>) -> Option<bool> {
        let start = *self.start.get_or_insert(now);
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX - 1);
        let time = millis(now.saturating_duration_since(start)).saturating_add(1);
        let entry = self.entry(sequence_number);
        let last = std::mem::replace(&mut entry.resent, time);
        if last != 0 && pause.is_some_and(|pause| time.saturating_sub(last) <= millis(pause)) {
            entry.resent = last;
            return None;
        }
        Some(last == 0)
    }

    /// A power of two of entries makes the remainder a mask.
    fn place(&self, sequence_number: u16) -> usize {
        usize::from(sequence_number) & self.entries.len().wrapping_sub(1)
    }

    fn entry(&mut self, sequence_number: u16) -> &mut Entry {
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); usize::from(self.depth).next_power_of_two()];
        }
        let place = self.place(sequence_number);
        let entry = &mut self.entries[place];
        if entry.sequence_number != sequence_number {
            *entry = Entry { sequence_number, ..Entry::default() };
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(number: u16) -> Stamps {
        Stamps { abs_send_time: [1, 2, number as u8], transport_sequence: number.to_be_bytes() }
    }

    #[test]
    fn stamps_are_recalled_until_a_newer_packet_has_their_place() {
        let mut history = History::new(false);
        assert_eq!(history.recall(0), None);
        for number in 1..=2000 {
            history.remember(number, stamps(number));
        }
        assert_eq!(history.recall(2000), Some(stamps(2000)));
        assert_eq!(history.recall(977), Some(stamps(977)));
        assert_eq!(history.recall(976), None);
        assert!(history.reaches(1023) && !history.reaches(1024));
    }

    #[test]
    fn a_packet_is_sent_again_once_a_pause() {
        let millis = Duration::from_millis;
        let pause = Some(millis(100));
        let start = Instant::now();
        let mut history = History::new(true);
        assert_eq!(history.resend(start, 7, pause), Some(true));
        assert_eq!(history.resend(start, 8, pause), Some(true));
        assert_eq!(history.resend(start + millis(100), 7, pause), None);
        assert_eq!(history.resend(start + millis(101), 7, pause), Some(false));
        assert_eq!(history.resend(start + millis(201), 7, pause), None, "since the last time");
        assert_eq!(history.resend(start + millis(201), 7u16.wrapping_add(4096), pause), Some(true));
        assert_eq!(history.resend(start + millis(201), 8, None), Some(false));
        assert_eq!(history.resend(start + millis(201), 8, None), Some(false), "there is no pause");
        assert!(history.reaches(2499) && !history.reaches(2500));
    }

    #[test]
    fn it_is_small() {
        let mut history = History::new(true);
        assert_eq!(history.entries.capacity(), 0);
        history.resend(Instant::now(), 1, None);
        assert!(history.entries.capacity() * size_of::<Entry>() <= 64 << 10);
    }
}
