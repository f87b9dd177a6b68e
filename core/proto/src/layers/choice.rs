//! Which frames of one stream are forwarded: see the table in the module above.

use super::Layers;
use crate::codec::dependency_descriptor::{Descriptor, LayerSet, References};
use crate::codec::{PayloadDescriptor, PayloadInfo, vp9};
use crate::rtp::seq;

/// Where a frame stands among those that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The first frame of a picture that is newer than all before.
    FirstOfPicture,
    /// Another frame of the newest picture.
    SamePicture,
    /// A frame of an older picture.
    Late,
}

/// Chooses frames of one stream, from a key frame on.
#[derive(Clone, Debug)]
pub(super) struct Chooser {
    /// No spatial layer refers to another one, but in key frames (K-SVC) or not even there (S modes).
    independent: bool,
    /// What is being forwarded.
    current: Layers,
    /// VP9: the picture before was a point to switch up at.
    rises: bool,
    frames: Frames,
    /// Decode targets that can be decoded: they were joined, and forwarded completely since.
    joined: LayerSet,
}

impl Chooser {
    pub(super) fn new(independent: bool) -> Chooser {
        Chooser {
            independent,
            current: Layers { spatial: 0, temporal: 0 },
            rises: false,
            frames: Frames::default(),
            joined: LayerSet::default(),
        }
    }

    /// The layers that are being forwarded.
    pub(super) fn current(&self) -> Layers {
        self.current
    }

    /// A stream begins, with a key frame.
    pub(super) fn begin(&mut self, wanted: Layers) {
        *self = Chooser { current: wanted, ..Chooser::new(self.independent) };
    }

    /// Whether a frame is forwarded, by the first of its packets that comes.
    pub(super) fn choose(&mut self, info: &PayloadInfo, wanted: Layers, arrival: Arrival) -> bool {
        match (info.dependency, info.descriptor) {
            (Some(dependency), _) => self.choose_by_target(&dependency, wanted, arrival),
            (None, PayloadDescriptor::Vp9(vp9::Descriptor { layers: Some(layers), inter_picture_predicted, .. })) => {
                self.choose_by_picture(info, layers, inter_picture_predicted, wanted, arrival)
            }
            (None, _) => self.choose_by_sync(info, wanted, arrival),
        }
    }

    /// By the decode targets of the dependency descriptor.
    fn choose_by_target(&mut self, frame: &Descriptor, wanted: Layers, arrival: Arrival) -> bool {
        if frame.has_structure && arrival == Arrival::FirstOfPicture {
            self.frames = Frames::default();
            self.joined = LayerSet::default();
        }
        let is_newest = self.frames.advance(frame.frame_number);
        let is_decodable = self.frames.has_all(frame.frame_number, frame.references);
        if is_newest && arrival != Arrival::Late {
            let switches = if is_decodable { frame.switches.0 } else { 0 };
            // Within a picture the spatial layer stays: its end has been marked for the receiver, or will be.
            let within = match arrival {
                Arrival::FirstOfPicture => LayerSet(u32::MAX),
                _ => LayerSet::of_spatial(self.current.spatial),
            };
            let possible = (self.joined.0 | switches) & within.0;
            let allowed = possible & LayerSet::up_to(wanted.spatial, wanted.temporal).0;
            let best = match frame.has_structure && arrival == Arrival::FirstOfPicture {
                // Everything begins anew with this picture. The target's own key frame may come later in it (S modes).
                true => LayerSet(frame.active.0 & LayerSet::up_to(wanted.spatial, wanted.temporal).0).highest(),
                false => None,
            };
            let best = best.or(LayerSet(allowed & frame.active.0).highest()).or(LayerSet(allowed).highest());
            // Nor are there fewer temporal layers: those of the picture that are above would be missing at its end.
            let is_kept =
                |(_, temporal): &(u8, u8)| arrival == Arrival::FirstOfPicture || *temporal >= self.current.temporal;
            if let Some((spatial, temporal)) = best.filter(is_kept) {
                self.current = Layers { spatial, temporal };
            }
        }
        let forwarded = frame.present.contains(self.current.spatial, self.current.temporal);
        self.frames.set_usable(frame.frame_number, forwarded && is_decodable);
        if forwarded && is_decodable {
            self.joined.0 |= frame.switches.0;
        }
        if !forwarded {
            self.joined.0 &= !frame.present.0;
        }
        forwarded
    }

    /// By VP9's payload descriptor (RFC 9628, 4.2 and 5.1).
    fn choose_by_picture(
        &mut self,
        info: &PayloadInfo,
        layers: vp9::Layers,
        is_predicted: bool,
        wanted: Layers,
        arrival: Arrival,
    ) -> bool {
        if arrival == Arrival::FirstOfPicture {
            let rises = std::mem::take(&mut self.rises);
            if info.is_key_frame {
                self.current = wanted;
            } else {
                if rises || wanted.temporal < self.current.temporal {
                    self.current.temporal = wanted.temporal;
                }
                if !self.independent {
                    self.current.spatial = self.current.spatial.min(wanted.spatial);
                }
            }
        }
        let is_needed = match self.independent && is_predicted {
            true => layers.spatial_id == self.current.spatial,
            false => layers.spatial_id <= self.current.spatial,
        };
        let forwarded = is_needed && layers.temporal_id <= self.current.temporal;
        // The pictures of higher layers that come after it refer to none of those that were left out before it.
        self.rises |= forwarded && arrival != Arrival::Late && layers.switching_up;
        forwarded
    }

    /// By the sync bit of VP8 (RFC 7741, 4.2) and of frame marking (RFC 9626, 3.1), one layer at a time: a frame with it
    /// refers to the lowest layer alone, while those between may have missed frames of their own.
    fn choose_by_sync(&mut self, info: &PayloadInfo, wanted: Layers, arrival: Arrival) -> bool {
        let temporal = &mut self.current.temporal;
        if arrival != Arrival::Late {
            if info.is_key_frame {
                *temporal = wanted.temporal;
            }
            *temporal = (*temporal).min(wanted.temporal);
            let is_next = info.temporal_layer == *temporal + 1 && info.temporal_layer <= wanted.temporal;
            if info.has_temporal_layer && is_next && info.switches_temporal {
                *temporal = info.temporal_layer;
            }
        }
        !info.has_temporal_layer || info.temporal_layer <= *temporal
    }
}

/// Which of the last frames a receiver has, or may still get, and can decode.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    newest: Option<u16>,
    /// Bit `n` stands for the frame `n` before the newest.
    usable: u64,
}

impl Frames {
    /// A frame has come. Those between it and the newest so far may still come. Says whether it is the newest itself.
    fn advance(&mut self, frame_number: u16) -> bool {
        let Some(newest) = self.newest else {
            self.newest = Some(frame_number);
            return true;
        };
        let ahead = seq::diff(frame_number, newest);
        if ahead <= 0 {
            return ahead == 0;
        }
        self.newest = Some(frame_number);
        self.usable = match ahead {
            1..64 => self.usable << ahead | ((1 << ahead) - 2),
            _ => 0,
        };
        true
    }

    fn set_usable(&mut self, frame_number: u16, usable: bool) {
        if let Some(age @ 0..64) = self.newest.map(|newest| seq::diff(newest, frame_number)) {
            self.usable = self.usable & !(1 << age) | u64::from(usable) << age;
        }
    }

    /// Whether all references of a frame are to usable frames.
    fn has_all(&self, frame_number: u16, references: References) -> bool {
        let Some(age @ 0..63) = self.newest.map(|newest| seq::diff(newest, frame_number)) else { return false };
        let within = references.near << (age + 1) >> (age + 1) == references.near;
        !references.far && within && references.near << (age + 1) & !self.usable == 0
    }
}
