//! Renumbering for a consumer that is not sent every packet: the numbers it sees must have no holes but real losses.

use std::collections::VecDeque;

use super::seq::{self, ExtendedSequence};

/// How many changes of numbering are remembered, for late packets and for NACKs of old ones.
const MAX_SEGMENTS: usize = 512;

/// Where a packet that was sent came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The input stream, as named to [`SequenceMapper::sync`].
    pub source: u16,
    /// The sequence number in that stream.
    pub sequence_number: u16,
}

/// Maps input sequence numbers to output sequence numbers: `output = input - packets dropped so far`.
///
/// [`sync`](Self::sync) joins the numbering of another input (a layer switch, a resume) without a hole.
/// Drops are remembered as ranges, so that a late packet gets the number that was kept for it, and a NACK for an output
/// number finds the [`Origin`]. Memory is bounded and grows only with drops; a packet costs a look at the newest range.
#[derive(Clone, Debug)]
pub struct SequenceMapper {
    /// Sorted by `output`, and those of the current input also by `input`. The last of them lies here: most packets need no other, and
    /// who maps for many consumers waits for each place in memory.
    newest: Option<Segment>,
    /// Those before it.
    older: VecDeque<Segment>,
    /// How many segments at the end belong to the current input: the newest always does.
    current: usize,
    input: ExtendedSequence,
    /// The highest output number so far, unwrapped.
    max_output: i64,
}

/// From input number `input` on (until the next segment), `output - input` is constant.
#[derive(Clone, Copy, Debug)]
struct Segment {
    input: i64,
    output: i64,
    source: u16,
}

impl Segment {
    fn map(&self, input: i64) -> i64 {
        self.output + (input - self.input)
    }
}

impl SequenceMapper {
    /// A mapper whose first output will be `first_output`. Nothing maps before the first [`sync`](Self::sync).
    pub fn new(first_output: u16) -> SequenceMapper {
        SequenceMapper {
            newest: None,
            older: VecDeque::new(),
            current: 0,
            input: ExtendedSequence::new(),
            // Room below, so that outputs and their predecessors never turn negative.
            max_output: (1 << 16) + i64::from(first_output) - 1,
        }
    }

    /// Starts a new input: its packet `input` takes the number after the highest output. Packets before it no longer
    /// map. `source` names the input in [`Origin`]s.
    pub fn sync(&mut self, input: u16, source: u16) {
        self.input = ExtendedSequence::new();
        let input = self.input.unwrap(input);
        self.current = 0;
        self.push(Segment { input, output: self.max_output + 1, source });
    }

    /// The output number for a packet that is sent, or `None` if it was dropped, is older than the last sync, or is
    /// older than what is remembered.
    pub fn input(&mut self, sequence_number: u16) -> Option<u16> {
        let newest = self.newest?;
        let input = self.input.unwrap(sequence_number);
        if input >= newest.input {
            let output = newest.map(input);
            self.max_output = self.max_output.max(output);
            return Some(output as u16);
        }
        let mut next_output = newest.output;
        for segment in self.older.iter().rev().take(self.current - 1) {
            if input >= segment.input {
                let output = segment.map(input);
                // At or past the next segment's first output: it lies in the range that was dropped between them.
                if output >= next_output {
                    return None;
                }
                self.max_output = self.max_output.max(output);
                return Some(output as u16);
            }
            next_output = segment.output;
        }
        None
    }

    /// Leaves a packet out. Without effect if a newer one was mapped or dropped already: its number then stays a hole.
    pub fn drop(&mut self, sequence_number: u16) {
        let Some(last) = self.newest else { return };
        let highest = self.input.highest();
        let input = self.input.peek(sequence_number);
        // The packet of the sync itself counts as unseen: dropping it moves the start.
        let unseen = highest.is_none_or(|highest| input > highest) || input == last.input;
        if !unseen || input < last.input {
            return;
        }
        self.input.unwrap(sequence_number);
        let next = Segment { input: input + 1, output: last.map(input), source: last.source };
        if input == last.input && self.max_output < last.output {
            self.newest = Some(next);
        } else if input > last.input {
            self.push(next);
        }
    }

    /// Which packet was sent under an output number; `None` if none was, or if it is too old.
    pub fn to_input(&self, output: u16) -> Option<Origin> {
        let output = self.max_output + i64::from(seq::diff(output, self.max_output as u16));
        if output > self.max_output {
            return None;
        }
        let in_older = || {
            let after = self.older.partition_point(|segment| segment.output <= output);
            self.older.get(after.checked_sub(1)?).copied()
        };
        let segment = self.newest.filter(|newest| newest.output <= output).or_else(in_older)?;
        let input = segment.input + (output - segment.output);
        Some(Origin { source: segment.source, sequence_number: input as u16 })
    }

    /// The highest output number so far; one before the first output if there was none.
    pub fn max_output(&self) -> u16 {
        self.max_output as u16
    }

    fn push(&mut self, segment: Segment) {
        // A segment from which nothing was sent is replaced: outputs stay strictly increasing.
        while self.newest.is_some_and(|newest| newest.output >= segment.output) {
            self.newest = self.older.pop_back();
            self.current = self.current.saturating_sub(1);
        }
        if self.older.len() == MAX_SEGMENTS - 1 {
            self.older.pop_front();
        }
        self.older.extend(self.newest.replace(segment));
        self.current = (self.current + 1).min(self.older.len() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn synced(first_output: u16, input: u16) -> SequenceMapper {
        let mut mapper = SequenceMapper::new(first_output);
        mapper.sync(input, 0);
        mapper
    }

    #[test]
    fn drops_leave_no_hole_and_losses_do() {
        let mut mapper = synced(100, 65533);
        assert_eq!(mapper.input(65533), Some(100));
        mapper.drop(65534);
        mapper.drop(65535);
        assert_eq!(mapper.input(0), Some(101));
        // 1 is lost.
        assert_eq!(mapper.input(2), Some(103));
        mapper.drop(3);
        assert_eq!(mapper.input(4), Some(104));
        assert_eq!(mapper.max_output(), 104);
    }

    #[test]
    fn a_late_packet_gets_the_number_kept_for_it_and_a_dropped_one_none() {
        let mut mapper = synced(0, 10);
        mapper.input(10);
        mapper.drop(13);
        assert_eq!(mapper.input(14), Some(3));
        assert_eq!(mapper.input(12), Some(2));
        assert_eq!(mapper.input(13), None);
        assert_eq!(mapper.input(11), Some(1));
        assert_eq!(mapper.input(9), None);
        // Too late to be dropped without a hole: the numbers stay.
        mapper.drop(12);
        assert_eq!(mapper.input(15), Some(4));
    }

    #[test]
    fn a_sync_joins_another_input_and_nacks_find_the_old_one() {
        let mut mapper = SequenceMapper::new(1);
        assert_eq!((mapper.input(5), mapper.to_input(1)), (None, None));
        mapper.sync(5, 7);
        assert_eq!((mapper.input(5), mapper.input(6)), (Some(1), Some(2)));
        mapper.sync(40_000, 8);
        assert_eq!(mapper.input(40_000), Some(3));
        assert_eq!(mapper.input(39_999), None);
        assert_eq!(mapper.to_input(2), Some(Origin { source: 7, sequence_number: 6 }));
        assert_eq!(mapper.to_input(3), Some(Origin { source: 8, sequence_number: 40_000 }));
        assert_eq!((mapper.to_input(4), mapper.to_input(0)), (None, None));
    }

    #[test]
    fn a_sync_that_sent_nothing_is_replaced() {
        let mut mapper = synced(1, 5);
        mapper.input(5);
        mapper.sync(900, 1);
        mapper.drop(900);
        mapper.sync(50, 2);
        assert_eq!(mapper.input(50), Some(2));
        assert_eq!(mapper.to_input(2), Some(Origin { source: 2, sequence_number: 50 }));
    }

    #[test]
    fn memory_is_bounded_when_every_other_packet_is_dropped() {
        let mut mapper = synced(0, 0);
        for index in 0..200_000u32 {
            match index % 2 {
                0 => assert_eq!(mapper.input(index as u16), Some((index / 2) as u16)),
                _ => mapper.drop(index as u16),
            }
        }
        assert_eq!(mapper.older.len() + 1, MAX_SEGMENTS);
        let last = mapper.max_output();
        let origin = mapper.to_input(last.wrapping_sub(400)).unwrap();
        assert_eq!(origin.sequence_number, (199_998u32 - 800) as u16);
    }

    proptest! {
        /// Against the definition: output = input - drops before it, for inputs in any order within a window.
        #[test]
        fn agrees_with_counting(
            first_output: u16, start: u16,
            packets in proptest::collection::vec((0u8..4, 0usize..6), 1..300)
        ) {
            // Each packet's fate: kept, dropped or lost; and how much later it comes than its neighbours.
            let mut arrivals: Vec<(usize, usize, bool)> = vec![(0, 0, true)];
            for (index, (fate, delay)) in packets.iter().enumerate() {
                match fate {
                    0 => {}
                    // Drops happen in order, as they are decided on the newest packet.
                    1 => arrivals.push((index + 1, index + 1, false)),
                    _ => arrivals.push((index + 1 + delay, index + 1, true)),
                }
            }
            arrivals.sort();
            let mut mapper = synced(first_output, start);
            let mut dropped: Vec<usize> = vec![];
            let mut highest = 0;
            let mut sent = HashMap::new();
            for (_, index, kept) in arrivals {
                let input = start.wrapping_add(index as u16);
                if !kept {
                    mapper.drop(input);
                    if index > highest { dropped.push(index) } else { continue }
                } else {
                    let before = dropped.iter().filter(|&&drop| drop < index).count();
                    let output = first_output.wrapping_add((index - before) as u16);
                    prop_assert_eq!(mapper.input(input), Some(output));
                    prop_assert_eq!(sent.insert(output, input), None);
                }
                highest = highest.max(index);
            }
            for (output, input) in sent {
                prop_assert_eq!(mapper.to_input(output), Some(Origin { source: 0, sequence_number: input }));
            }
        }
    }
}
