//! What was decided of the last pictures.

use std::collections::VecDeque;

use super::Layers;
use super::choice::Chooser;
use super::numbers::Offsets;
use crate::codec::PayloadInfo;
use crate::rtp::seq::timestamp_newer;

/// Pictures that are remembered: as long as packets are kept to be sent again, at up to 100 a second.
const REMEMBERED: usize = 256;

/// One picture of an input: all frames with one timestamp.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    /// The input.
    pub(super) source: u16,
    /// Its timestamp there.
    pub(super) timestamp: u32,
    /// What is added to that.
    pub(super) timestamp_offset: u32,
    /// What is taken from its numbers.
    pub(super) offsets: Offsets,
    /// What is taken from those of the next picture.
    pub(super) offsets_after: Offsets,
    /// The number of the key frame that its references can reach back to, if they come near it.
    pub(super) first_frame: Option<u16>,
    /// VP9: which pictures before it the receiver has: bit `n` for the one `n + 1` before.
    pub(super) pictures_before: u128,
    /// The layers that were being forwarded with its first frame.
    pub(super) layers: Layers,
    /// The spatial layer that ends it: that one, or a lower one if it turned out that the picture has no more.
    pub(super) ends_with: u8,
    /// The receiver must be told with it which layers those are.
    pub(super) announces: bool,
    /// Bit mask of the spatial layers that were decided about.
    decided: u8,
    /// Of those, the ones that are forwarded.
    forwarded: u8,
}

impl Picture {
    pub(super) fn new(
        source: u16,
        timestamp: u32,
        timestamp_offset: u32,
        offsets: Offsets,
        chooser: &Chooser,
        info: &PayloadInfo,
    ) -> Picture {
        Picture {
            source,
            timestamp,
            timestamp_offset,
            offsets,
            offsets_after: offsets,
            first_frame: chooser.first_frame(),
            pictures_before: chooser.pictures_before(info),
            layers: chooser.current(),
            ends_with: chooser.current().spatial,
            announces: false,
            decided: 0,
            forwarded: 0,
        }
    }

    /// Whether its frame of a spatial layer is forwarded, if that has been decided.
    pub(super) fn decision(&self, spatial: u8) -> Option<bool> {
        let bit = bit(spatial);
        (self.decided & bit != 0).then_some(self.forwarded & bit != 0)
    }

    /// Whether any of its frames is forwarded.
    pub(super) fn is_forwarded(&self) -> bool {
        self.forwarded != 0
    }

    /// It ends with this spatial layer: what else comes of it is not forwarded any more.
    pub(super) fn end_with(&mut self, spatial: u8) {
        self.ends_with = spatial;
        self.decided |= !(bit(spatial) | (bit(spatial) - 1));
    }

    pub(super) fn decide(&mut self, spatial: u8, forwarded: bool) {
        self.decided |= bit(spatial);
        if forwarded {
            self.forwarded |= bit(spatial);
        }
    }
}

fn bit(spatial: u8) -> u8 {
    1 << (spatial & 7)
}

/// The last pictures, in the order in which they first came.
#[derive(Clone, Debug, Default)]
pub(super) struct Pictures {
    ring: VecDeque<Picture>,
}

impl Pictures {
    pub(super) fn push(&mut self, picture: Picture) {
        if self.ring.len() == REMEMBERED {
            self.ring.pop_front();
        }
        self.ring.push_back(picture);
    }

    pub(super) fn find(&mut self, source: u16, timestamp: u32) -> Option<&mut Picture> {
        self.ring.iter_mut().rev().find(|picture| picture.timestamp == timestamp && picture.source == source)
    }

    /// The newest picture of an input that is older than this timestamp.
    pub(super) fn before(&self, source: u16, timestamp: u32) -> Option<&Picture> {
        let older = |picture: &&Picture| picture.source == source && timestamp_newer(timestamp, picture.timestamp);
        self.ring.iter().rev().filter(older).max_by(|one, other| {
            if timestamp_newer(one.timestamp, other.timestamp) {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Less
            }
        })
    }
}
