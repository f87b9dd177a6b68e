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

/// How long it matters when a packet was sent again: after that nobody keeps it for sending it once more.
const MAX_AGE_MILLIS: u32 = 2000;
/// Entries of a table that has just come into use.
const FIRST_ENTRIES: usize = 64;

/// A table of the packets sent last, each at its sequence number modulo the table's length. It takes no memory until it
/// is needed, and doubles when two packets that matter would meet in one place: receivers with RTX, that ask for few, have a
/// small one.
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

impl Entry {
    fn is_vacant(&self) -> bool {
        self.stamps.is_none() && self.resent == 0
    }
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
        // Without the time all others count as recent, and so they are: they have stamps, too.
        *self.entry(0, sequence_number) = Entry { sequence_number, stamps: Some(stamps), resent: 0 };
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
        let entry = self.entry(time, sequence_number);
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

    /// The entry of a packet, which is made if there is none. `time` is that of [`Entry::resent`].
    fn entry(&mut self, time: u32, sequence_number: u16) -> &mut Entry {
        let limit = usize::from(self.depth).next_power_of_two();
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); FIRST_ENTRIES.min(limit)];
        }
        while self.entries.len() < limit && self.is_taken(time, sequence_number) {
            let entries = vec![Entry::default(); self.entries.len() * 2];
            let before = std::mem::replace(&mut self.entries, entries);
            // Different places in the smaller table stay different in the larger one.
            for entry in before.into_iter().filter(|entry| !entry.is_vacant()) {
                let place = self.place(entry.sequence_number);
                self.entries[place] = entry;
            }
        }
        let place = self.place(sequence_number);
        let entry = &mut self.entries[place];
        if entry.sequence_number != sequence_number {
            *entry = Entry { sequence_number, ..Entry::default() };
        }
        entry
    }

    /// Whether the place of a packet is that of another one that may still be asked for.
    fn is_taken(&self, time: u32, sequence_number: u16) -> bool {
        let is_recent = |entry: &Entry| entry.resent != 0 && time.saturating_sub(entry.resent) <= MAX_AGE_MILLIS;
        self.entries
            .get(self.place(sequence_number))
            .filter(|entry| entry.sequence_number != sequence_number)
            .is_some_and(|entry| entry.stamps.is_some() || is_recent(entry))
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
    fn it_is_as_small_as_few_requests_allow() {
        let millis = Duration::from_millis;
        let start = Instant::now();
        let mut history = History::new(true);
        assert_eq!(history.entries.capacity(), 0);
        // One of a hundred packets, fifty packets a second.
        for index in 0..1000u32 {
            history.resend(start + millis(u64::from(index) * 2000), (index * 100) as u16, None);
        }
        assert!(history.entries.capacity() * size_of::<Entry>() <= 1 << 10);
    }

    #[test]
    fn it_grows_rather_than_forget_what_was_sent_again() {
        let start = Instant::now();
        let pause = Some(Duration::from_millis(100));
        for (first, step, count) in [(65_000_u16, 1, 2000), (64_000, 64, 30), (65_000, 37, 60)] {
            let mut history = History::new(true);
            let numbers = || (0..count).map(|index: u16| first.wrapping_add(index * step));
            assert!(numbers().all(|number| history.resend(start, number, pause) == Some(true)));
            assert!(numbers().all(|number| history.resend(start, number, pause).is_none()), "in steps of {step}");
            assert!(history.entries.len() <= 4096);
        }
    }
}
