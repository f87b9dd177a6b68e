//! The packets sent, until the receiver has told what became of them.

use std::collections::VecDeque;

use crate::rtp::ExtendedSequence;

/// Packets that are remembered at most: 800 ms at 100 Mbit/s.
const MAX_PACKETS: usize = 8192;
/// How long a packet is remembered that nothing is heard of, in microseconds: longer than any queue.
const MAX_AGE: i64 = 2_000_000;

/// A packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// When, in microseconds.
    pub at: i64,
    /// Its size in bytes.
    pub size: u32,
    /// The probe cluster that it was part of.
    pub cluster: Option<u16>,
    /// How long it would wait on a link that is faster than we take the path for, with all that was sent before, in
    /// microseconds.
    pub backlog: u32,
    /// What has been told of it.
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    Missing,
    Received,
}

/// What feedback says of a packet, if it is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It has arrived. Whether it had been told to be missing before.
    Received(Sent, bool),
    /// It is missing.
    Missing(Sent),
}

/// The packets sent, in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct SentHistory {
    packets: VecDeque<Sent>,
    /// The extended number behind the newest packet.
    end: i64,
    numbers: ExtendedSequence,
}

impl SentHistory {
    /// A packet was sent. A number that does not follow the last one starts afresh.
    pub fn push(&mut self, number: u16, at: i64, size: usize, cluster: Option<u16>, backlog: u32) {
        let extended = self.numbers.unwrap(number);
        if extended != self.end {
            self.packets.clear();
            self.numbers = ExtendedSequence::new();
            self.end = self.numbers.unwrap(number);
        }
        self.end += 1;
        while self.packets.len() >= MAX_PACKETS || self.packets.front().is_some_and(|packet| packet.at < at - MAX_AGE) {
            self.packets.pop_front();
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.packets.push_back(Sent { at, size, cluster, backlog, fate: Fate::Unknown });
    }

    /// Feedback about a packet. `None` if it is not known (any more), or nothing new is told of it.
    pub fn report(&mut self, number: u16, received: bool) -> Option<News> {
        let first = self.end - self.packets.len() as i64;
        let index = usize::from(number.wrapping_sub(first as u16));
        let packet = self.packets.get_mut(index)?;
        match (packet.fate, received) {
            (Fate::Unknown, false) => {
                packet.fate = Fate::Missing;
                Some(News::Missing(*packet))
            }
            (Fate::Unknown | Fate::Missing, true) => {
                let was_missing = std::mem::replace(&mut packet.fate, Fate::Received) == Fate::Missing;
                Some(News::Received(*packet, was_missing))
            }
            _ => None,
        }
    }

    /// Forgets the packets at the front that are known to have arrived.
    pub fn prune(&mut self) {
        while self.packets.front().is_some_and(|packet| packet.fate == Fate::Received) {
            self.packets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_fate_is_news_once() {
        let mut history = SentHistory::default();
        for (index, number) in [65_534, 65_535, 0, 1].into_iter().enumerate() {
            history.push(number, index as i64 * 1000, 1200, None, 0);
        }
        assert!(matches!(history.report(65_534, true), Some(News::Received(Sent { at: 0, .. }, false))));
        assert_eq!(history.report(65_534, true), None);
        assert!(matches!(history.report(0, false), Some(News::Missing(Sent { at: 2000, .. }))));
        assert_eq!(history.report(0, false), None);
        assert!(matches!(history.report(0, true), Some(News::Received(_, true))), "it was only late");
        assert_eq!(history.report(2, true), None, "never sent");
        history.prune();
        assert_eq!(history.packets.len(), 3);
    }

    #[test]
    fn the_memory_has_bounds() {
        let mut history = SentHistory::default();
        for index in 0..20_000u32 {
            history.push(index as u16, i64::from(index), 1200, None, 0);
        }
        assert_eq!(history.packets.len(), MAX_PACKETS);
        history.push(20_000, 10_000_000, 1200, None, 0);
        assert_eq!(history.packets.len(), 1, "the others are too old");
        history.push(5, 10_000_000, 1200, None, 0);
        assert_eq!(history.packets.len(), 1, "another sequence");
        assert!(history.report(5, true).is_some());
    }

    proptest! {
        #[test]
        fn no_report_is_about_another_packet(
            start: u16, count in 1u16..500, reports in proptest::collection::vec((any::<u16>(), any::<bool>()), 0..50)
        ) {
            let mut history = SentHistory::default();
            for index in 0..count {
                history.push(start.wrapping_add(index), i64::from(index), 100, None, 0);
            }
            for (number, received) in reports {
                let index = number.wrapping_sub(start);
                if let Some(News::Received(sent, _) | News::Missing(sent)) = history.report(number, received) {
                    prop_assert_eq!(sent.at, i64::from(index));
                } else {
                    history.prune();
                }
            }
        }
    }
}
