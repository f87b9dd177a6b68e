//! Which packets belong to a stream, by their sequence numbers (RFC 3550 A.1), and how many of them there are (A.3).

/// A jump forward of fewer numbers is a loss, of more a restart to be confirmed (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// A packet at most this late is a straggler, an older one a restart to be confirmed.
const MAX_MISORDER: u16 = 1500;

/// What a packet is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the stream.
    Accepted,
    /// Its sequence number is far off: leave it out. If the next packet follows it, the stream has restarted.
    Discarded,
    /// It confirms that the stream restarted with new sequence numbers: forget what depends on the old ones.
    Restarted,
}

/// The sequence numbers since the stream began, or restarted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    base: u16,
    highest: u16,
    cycles: u64,
    /// The number that would confirm a restart.
    confirms_restart: Option<u16>,
    received: u64,
    /// Packets expected and received before the last restart.
    before: (u64, u64),
}

impl Started {
    /// A stream that begins with this number, which is yet to be handled.
    pub fn new(seq: u16) -> Started {
        Started { base: seq, highest: seq, cycles: 0, confirms_restart: None, received: 0, before: (0, 0) }
    }

    /// The highest number since the last start, with its cycles above the low 16 bits.
    pub fn extended_highest(&self) -> u64 {
        self.cycles << 16 | u64::from(self.highest)
    }

    /// Packets that should have come, from the first to the highest, since the beginning.
    pub fn expected(&self) -> u64 {
        self.before.0 + self.extended_highest() - u64::from(self.base) + 1
    }

    /// Packets that came since the beginning.
    pub fn received(&self) -> u64 {
        self.before.1 + self.received
    }

    /// Judges a packet by its number, and counts it unless it is to be left out.
    pub fn handle(&mut self, seq: u16) -> Verdict {
        let ahead = seq.wrapping_sub(self.highest);
        let verdict = if ahead < MAX_DROPOUT {
            if seq < self.highest {
                self.cycles += 1;
            }
            self.highest = seq;
            Verdict::Accepted
        } else if ahead > u16::MAX - MAX_MISORDER {
            Verdict::Accepted
        } else if self.confirms_restart == Some(seq) {
            *self = Started { before: (self.expected(), self.received()), ..Started::new(seq) };
            Verdict::Restarted
        } else {
            self.confirms_restart = Some(seq.wrapping_add(1));
            return Verdict::Discarded;
        };
        self.confirms_restart = None;
        self.received += 1;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_of_3000_and_stragglers_of_1501_must_be_confirmed() {
        let verdict = |jump: i32| {
            let mut started = Started::new(20_000);
            started.handle(20_000);
            started.handle((20_000 + jump) as u16)
        };
        assert_eq!((verdict(2999), verdict(3000)), (Verdict::Accepted, Verdict::Discarded));
        assert_eq!((verdict(-1500), verdict(-1501)), (Verdict::Accepted, Verdict::Discarded));
    }
}
