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
    /// VP9: which pictures a receiver has.
    pictures: PicturesSent,
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
            pictures: PicturesSent::default(),
            frames: Frames::default(),
            joined: LayerSet::default(),
        }
    }

    /// The layers that are being forwarded.
    pub(super) fn current(&self) -> Layers {
        self.current
    }

    /// The number of the key frame that references of dependency descriptors can reach back to, if any comes near it.
    pub(super) fn first_frame(&self) -> Option<u16> {
        self.frames.first
    }

    /// VP9: which of the pictures before a receiver has, or may still get: bit `n` for the one `n + 1` before it.
    pub(super) fn pictures_before(&self, info: &PayloadInfo) -> u128 {
        match info.descriptor {
            PayloadDescriptor::Vp9(descriptor) => self.pictures.before(&descriptor),
            _ => u128::MAX,
        }
    }

    /// A stream begins, with a key frame.
    pub(super) fn begin(&mut self, wanted: Layers) {
        *self = Chooser { current: wanted, ..Chooser::new(self.independent) };
    }

    /// Whether a frame is forwarded, by the first of its packets that comes.
    pub(super) fn choose(&mut self, info: &PayloadInfo, wanted: Layers, arrival: Arrival) -> bool {
        match (info.dependency, info.descriptor) {
            (Some(dependency), _) => self.choose_by_target(&dependency, wanted, arrival),
            (None, PayloadDescriptor::Vp9(descriptor)) => {
                if info.is_key_frame && arrival == Arrival::FirstOfPicture {
                    self.pictures = PicturesSent::default();
                }
                let forwarded = match descriptor.layers {
                    Some(layers) => {
                        self.choose_by_picture(info, layers, descriptor.inter_picture_predicted, wanted, arrival)
                    }
                    None => self.choose_by_sync(info, wanted, arrival),
                };
                self.pictures.record(&descriptor, forwarded);
                forwarded
            }
            (None, _) => self.choose_by_sync(info, wanted, arrival),
        }
    }

    /// By the decode targets of the dependency descriptor.
    fn choose_by_target(&mut self, frame: &Descriptor, wanted: Layers, arrival: Arrival) -> bool {
        if frame.has_structure && arrival == Arrival::FirstOfPicture {
            self.frames = Frames::beginning_with(frame.frame_number);
            self.joined = LayerSet::default();
        }
        let is_newest = self.frames.advance(frame.frame_number);
        let is_decodable = self.frames.has_all(frame.frame_number, &frame.references);
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
        let is_part = frame.present.contains(self.current.spatial, self.current.temporal);
        let forwarded = is_part && is_decodable;
        self.frames.set_usable(frame.frame_number, forwarded);
        self.joined.0 = match (is_part, is_decodable) {
            (true, true) => self.joined.0 | frame.switches.0,
            // A target can be joined where an encoder that has left out frames still refers to older ones of its layers.
            (true, false) => self.joined.0 & !(frame.present.0 & !frame.discardable.0),
            (false, _) => self.joined.0 & !frame.present.0,
        };
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

/// Which of the last pictures of VP9 a receiver has, or may still get, since the last key frame.
///
/// In flexible mode a frame refers to earlier pictures by the differences of picture ids. Chromium's differences are wrong
/// once its encoder has left out a picture: they count it, the ids do not. Then a frame refers to a picture of before the one
/// that it means: one of a higher temporal layer, or of before the key frame. A receiver that was not sent that picture would
/// wait for it.
#[derive(Clone, Copy, Debug, Default)]
struct PicturesSent {
    newest: Option<u16>,
    /// Bit `n` for the picture `n` before the newest.
    sent: u128,
}

impl PicturesSent {
    /// A frame of a picture is forwarded or not. Pictures between it and the newest so far may still come.
    fn record(&mut self, picture: &vp9::Descriptor, forwarded: bool) {
        let Some(newest) = self.newest else {
            (self.newest, self.sent) = (picture.picture_id, forwarded.into());
            return;
        };
        let Some(ahead) = picture.pictures_since(newest).map(u32::from) else { return };
        match ahead {
            // Of several spatial layers one is enough: a receiver's layers do not change but with key frames.
            0 => self.sent |= u128::from(forwarded),
            1..64 => {
                self.newest = picture.picture_id;
                self.sent = self.sent << ahead | ((1 << ahead) - 2) | u128::from(forwarded);
            }
            _ => match picture.pictures_before(newest).map(u32::from) {
                Some(age @ 1..64) if !forwarded => self.sent &= !(1 << age),
                Some(1..64) => {}
                _ => (self.newest, self.sent) = (picture.picture_id, u128::MAX << 1 | u128::from(forwarded)),
            },
        }
    }

    /// Which pictures before one there are: bit `n` for the one `n + 1` before it.
    fn before(&self, picture: &vp9::Descriptor) -> u128 {
        let age = self.newest.and_then(|newest| picture.pictures_before(newest)).map_or(128, u32::from);
        self.sent.checked_shr(age + 1).unwrap_or(0)
    }
}

/// How many frames back it is known whether a receiver has them: some seconds of all layers. An encoder that leaves out
/// frames of a layer (libaom does) refers to older ones of it.
const WINDOW: usize = 1024;

/// Farther back than the dependency descriptor can tell.
const MAX_REACH: u16 = 0x4000;

/// Which of the last frames a receiver has, or may still get, and can decode.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    /// The key frame that they follow. What refers to a frame before it means the key frame itself, which has taken the
    /// place of all that a decoder had kept: Chromium's descriptors do where the encoder has left out a frame since.
    first: Option<u16>,
    newest: u16,
    /// A bit for each frame, at its number modulo the window.
    usable: [u64; WINDOW / 64],
}

impl Frames {
    /// Nothing is known of the frames before this one.
    fn beginning_with(frame_number: u16) -> Frames {
        Frames { first: Some(frame_number), newest: frame_number, usable: [0; WINDOW / 64] }
    }

    /// A frame has come. Those between it and the newest so far may still come. Says whether it is the newest itself.
    fn advance(&mut self, frame_number: u16) -> bool {
        if self.first.is_none() {
            *self = Frames::beginning_with(frame_number);
        }
        let ahead = seq::diff(frame_number, self.newest);
        if ahead <= 0 {
            return ahead == 0;
        }
        if ahead as usize >= WINDOW {
            self.usable = [0; WINDOW / 64];
        } else {
            for skipped in 1..=ahead as u16 {
                self.set(self.newest.wrapping_add(skipped), true);
            }
        }
        self.newest = frame_number;
        // No reference reaches back so far; the numbers may wrap.
        if self.first.is_some_and(|first| frame_number.wrapping_sub(first) > MAX_REACH) {
            self.first = Some(frame_number.wrapping_sub(MAX_REACH));
        }
        true
    }

    fn set(&mut self, frame_number: u16, usable: bool) {
        let (word, bit) = place(frame_number);
        self.usable[word] = self.usable[word] & !(1 << bit) | u64::from(usable) << bit;
    }

    fn set_usable(&mut self, frame_number: u16, usable: bool) {
        if (0..WINDOW as i32).contains(&seq::diff(self.newest, frame_number)) {
            self.set(frame_number, usable);
        }
    }

    /// Whether all references of a frame are to usable frames.
    fn has_all(&self, frame_number: u16, references: &References) -> bool {
        let reach = self.reach(frame_number);
        let is_usable = |difference: &u16| {
            let reference = frame_number.wrapping_sub(*difference);
            let (word, bit) = place(reference);
            let is_known = (0..WINDOW as i32).contains(&seq::diff(self.newest, reference));
            is_known && self.usable[word] >> bit & 1 != 0
        };
        let mut near = references.differences().iter().filter(|difference| **difference <= reach);
        !references.has_more && near.all(is_usable)
    }

    /// How far back a frame's references can reach.
    fn reach(&self, frame_number: u16) -> u16 {
        // Of a frame of before this is more than any reference has.
        self.first.map_or(u16::MAX, |first| frame_number.wrapping_sub(first))
    }
}

fn place(frame_number: u16) -> (usize, u32) {
    let place = usize::from(frame_number) % WINDOW;
    (place / 64, (place % 64) as u32)
}
