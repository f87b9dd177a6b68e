//! Packet indices: the 48-bit index of RTP packets from 16-bit sequence numbers (RFC 3711 §3.3.1), the replay window
//! (§3.3.2), and the table that keeps both for each SSRC.

use super::SrtpError;
use rustc_hash::FxHashMap;

/// How many indices the replay window covers. RFC 3711 asks for at least 64; video that is sent again on its own SSRC
/// can lie hundreds of packets behind.
pub(super) const WINDOW: u64 = 1024;

/// The greatest RTP index: 32 bits of roll-over counter and 16 of sequence number.
const MAX_RTP_INDEX: u64 = (1 << 48) - 1;

/// The index of the packet with `sequence` in a stream whose highest index so far is `highest`: the one that is nearest
/// to it. Of two that are equally near RFC 3711 takes the one under the same roll-over counter.
pub(super) fn estimate(highest: Option<u64>, sequence: u16) -> Result<u64, SrtpError> {
    let Some(highest) = highest else { return Ok(u64::from(sequence)) };
    let highest_sequence = highest as u16;
    let distance = match sequence.wrapping_sub(highest_sequence) as i16 {
        i16::MIN => i64::from(sequence) - i64::from(highest_sequence),
        distance => i64::from(distance),
    };
    match highest.checked_add_signed(distance) {
        None => Err(SrtpError::TooOld),
        Some(index) if index > MAX_RTP_INDEX => Err(SrtpError::KeyExhausted),
        Some(index) => Ok(index),
    }
}

/// The roll-over counter that belongs to an RTP index.
pub(super) fn roc(index: u64) -> u32 {
    (index >> 16) as u32
}

/// Whether `index` may still be sent in a stream whose highest index so far is `highest`: new ones, and those as far
/// back as a receiver's window reaches.
pub(super) fn check_sent(highest: Option<u64>, index: u64) -> Result<(), SrtpError> {
    match highest {
        Some(highest) if index + WINDOW <= highest => Err(SrtpError::TooOld),
        _ => Ok(()),
    }
}

/// Which of the last [`WINDOW`] indices were received.
#[derive(Debug, Default)]
pub(super) struct ReplayWindow {
    highest: Option<u64>,
    /// A ring: index i has bit i modulo [`WINDOW`].
    seen: [u64; WINDOW as usize / 64],
}

impl ReplayWindow {
    /// The highest index accepted so far.
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether a packet with this index may be accepted. To be asked before the packet is authenticated.
    pub fn check(&self, index: u64) -> Result<(), SrtpError> {
        check_sent(self.highest, index)?;
        let (word, bit) = Self::place(index);
        match self.highest {
            Some(highest) if index <= highest && self.seen[word] & bit != 0 => Err(SrtpError::Replayed),
            _ => Ok(()),
        }
    }

    /// Notes an index that passed [`check`](ReplayWindow::check) and whose packet authenticated.
    pub fn accept(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {}
            Some(highest) => {
                for skipped in (highest + 1..index).rev().take(WINDOW as usize) {
                    let (word, bit) = Self::place(skipped);
                    self.seen[word] &= !bit;
                }
                self.highest = Some(index);
            }
            None => self.highest = Some(index),
        }
        let (word, bit) = Self::place(index);
        self.seen[word] |= bit;
    }

    fn place(index: u64) -> (usize, u64) {
        let slot = index % WINDOW;
        ((slot / 64) as usize, 1 << (slot % 64))
    }
}

/// State per SSRC, with a limit, and with a short way to the one used last: packets come in bursts of one stream.
#[derive(Debug)]
pub(super) struct Streams<T> {
    places: FxHashMap<u32, usize>,
    states: Vec<T>,
    last: Option<(u32, usize)>,
    limit: usize,
}

impl<T> Streams<T> {
    /// An empty table for at most `limit` streams.
    pub fn new(limit: usize) -> Streams<T> {
        Streams { places: FxHashMap::default(), states: Vec::new(), last: None, limit }
    }

    /// The state of a stream.
    pub fn get(&mut self, ssrc: u32) -> Option<&mut T> {
        let place = match self.last {
            Some((last, place)) if last == ssrc => place,
            _ => {
                let place = *self.places.get(&ssrc)?;
                self.last = Some((ssrc, place));
                place
            }
        };
        self.states.get_mut(place)
    }

    /// Whether one more stream has room.
    pub fn has_room(&self) -> bool {
        self.states.len() < self.limit
    }

    /// Adds a stream that [`get`](Streams::get) did not find.
    pub fn insert(&mut self, ssrc: u32, state: T) -> Result<(), SrtpError> {
        if !self.has_room() {
            return Err(SrtpError::TooManyStreams);
        }
        self.places.insert(ssrc, self.states.len());
        self.states.push(state);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn index_follows_the_sequence_number_across_the_wrap() {
        assert_eq!(estimate(None, 65_535), Ok(65_535));
        assert_eq!(estimate(Some(65_535), 0), Ok(65_536));
        assert_eq!(estimate(Some(65_536), 65_535), Ok(65_535));
        assert_eq!(estimate(Some(65_536 + 7), 32_000), Ok(65_536 + 32_000));
        assert_eq!(roc(estimate(Some(3 << 16), 65_000).unwrap()), 2);
    }

    #[test]
    fn index_never_leaves_its_48_bits() {
        assert_eq!(estimate(Some(5), 65_530), Err(SrtpError::TooOld));
        assert_eq!(estimate(Some(MAX_RTP_INDEX), 0), Err(SrtpError::KeyExhausted));
    }

    /// RFC 3711 §3.3.1, line by line; none where the roll-over counter would have to wrap.
    fn rfc_3711_estimate(highest: u64, sequence: u16) -> Option<u64> {
        let (highest_sequence, sequence) = (highest & 0xffff, u64::from(sequence));
        let roc = roc(highest);
        let roc = if highest_sequence < 32_768 {
            if sequence.saturating_sub(highest_sequence) > 32_768 { roc.checked_sub(1)? } else { roc }
        } else if highest_sequence - 32_768 > sequence {
            roc.checked_add(1)?
        } else {
            roc
        };
        Some(u64::from(roc) << 16 | sequence)
    }

    proptest! {
        #[test]
        fn index_is_the_rfcs(
            roc in prop_oneof![Just(0_u32), Just(1), Just(u32::MAX), any::<u32>()],
            highest in any::<u16>(),
            distance in prop_oneof![any::<u16>(), 32_766..=32_770_u16],
        ) {
            let sequence = highest.wrapping_add(distance);
            let highest = u64::from(roc) << 16 | u64::from(highest);
            prop_assert_eq!(estimate(Some(highest), sequence).ok(), rfc_3711_estimate(highest, sequence));
        }
    }

    #[test]
    fn window_accepts_each_index_once_and_none_behind_it() {
        let mut window = ReplayWindow::default();
        for index in [5000, 5002, 5001, 4999, 5002 - (WINDOW - 1)] {
            assert_eq!(window.check(index), Ok(()), "{index}");
            window.accept(index);
            assert_eq!(window.check(index), Err(SrtpError::Replayed), "{index}");
        }
        assert_eq!(window.check(5002 - WINDOW), Err(SrtpError::TooOld));
    }

    #[test]
    fn window_forgets_when_it_jumps() {
        for jump in [1, 63, 64, 65, WINDOW - 1, WINDOW, WINDOW + 1, 10 * WINDOW] {
            let mut window = ReplayWindow::default();
            let start = 100_000;
            for index in start - WINDOW + 1..=start {
                window.accept(index);
            }
            window.accept(start + jump);
            for index in start + jump + 1 - WINDOW..start + jump {
                let expected = if index <= start { Err(SrtpError::Replayed) } else { Ok(()) };
                assert_eq!(window.check(index), expected, "jump {jump}, index {index}");
            }
        }
    }

    #[test]
    fn streams_are_limited() {
        let mut streams = Streams::new(2);
        assert_eq!(streams.insert(1, 'a'), Ok(()));
        assert_eq!(streams.insert(2, 'b'), Ok(()));
        assert_eq!(streams.insert(3, 'c'), Err(SrtpError::TooManyStreams));
        assert_eq!(streams.get(1), Some(&mut 'a'));
        assert_eq!(streams.get(2), Some(&mut 'b'));
        assert_eq!(streams.get(3), None);
    }
}
