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
    /// Sorted by `output`, and those of the current input also by `input`.
    segments: VecDeque<Segment>,
    /// How many segments at the end belong to the current input.
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
            segments: VecDeque::new(),
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
        if self.current == 0 {
            return None;
        }
        let input = self.input.unwrap(sequence_number);
        let mut next_output = i64::MAX;
        for segment in self.segments.iter().rev().take(self.current) {
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
        let Some(&last) = self.segments.back().filter(|_| self.current > 0) else {
            return;
        };
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
            if let Some(segment) = self.segments.back_mut() {
                *segment = next;
            }
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
        let after = self.segments.partition_point(|segment| segment.output <= output);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let input = segment.input + (output - segment.output);
        Some(Origin { source: segment.source, sequence_number: input as u16 })
    }

    /// The highest output number so far; one before the first output if there was none.
    pub fn max_output(&self) -> u16 {
        self.max_output as u16
    }

    fn push(&mut self, segment: Segment) {
        // A segment from which nothing was sent is replaced: outputs stay strictly increasing.
        while self.segments.back().is_some_and(|last| last.output >= segment.output) {
            self.segments.pop_back();
            self.current = self.current.saturating_sub(1);
        }
        if self.segments.len() == MAX_SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(segment);
        self.current = (self.current + 1).min(self.segments.len());
    }
}
