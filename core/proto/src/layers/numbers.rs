//! Picture ids, TL0PICIDX and frame numbers of the output.

use crate::codec::{PayloadDescriptor, PayloadInfo};

/// What is taken from the numbers in a packet to get those to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    pub(super) picture_id: u16,
    pub(super) tl0_pic_idx: u8,
    pub(super) frame_number: u16,
}

/// Numbers the pictures of one input after the other without a gap.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    offsets: Offsets,
    /// The numbers sent last.
    picture_id: Option<u16>,
    tl0_pic_idx: Option<u8>,
    frame_number: Option<u16>,
}

impl Numbers {
    pub(super) fn offsets(&self) -> Offsets {
        self.offsets
    }

    /// Another input begins with this packet: its numbers follow the last ones sent.
    pub(super) fn switch(&mut self, info: &PayloadInfo) {
        if let (Some((input, _)), Some(last)) = (info.descriptor.picture_id(), self.picture_id) {
            self.offsets.picture_id = input.wrapping_sub(last.wrapping_add(1));
        }
        if let (Some(input), Some(last)) = (info.descriptor.tl0_pic_idx(), self.tl0_pic_idx) {
            self.offsets.tl0_pic_idx = input.wrapping_sub(last.wrapping_add(1));
        }
        if let (Some(dependency), Some(last)) = (info.dependency, self.frame_number) {
            self.offsets.frame_number = dependency.frame_number.wrapping_sub(last.wrapping_add(1));
        }
    }

    /// A picture that is newer than all before is forwarded.
    pub(super) fn forward(&mut self, info: &PayloadInfo) {
        if let Some((input, _)) = info.descriptor.picture_id() {
            self.picture_id = Some(input.wrapping_sub(self.offsets.picture_id));
        }
        if let Some(input) = info.descriptor.tl0_pic_idx() {
            self.tl0_pic_idx = Some(input.wrapping_sub(self.offsets.tl0_pic_idx));
        }
        if let Some(dependency) = info.dependency {
            self.frame_number = Some(dependency.frame_number.wrapping_sub(self.offsets.frame_number));
        }
    }

    /// A picture that is newer than all before is left out. VP8's receivers take a missing picture id for a loss; VP9's
    /// references are differences of picture ids, which must stay as they are.
    pub(super) fn leave_out(&mut self, info: &PayloadInfo) {
        if matches!(info.descriptor, PayloadDescriptor::Vp8(descriptor) if descriptor.picture_id.is_some()) {
            self.offsets.picture_id = self.offsets.picture_id.wrapping_add(1);
        }
    }
}
