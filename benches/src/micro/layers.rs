//! Choosing layers for one consumer, per packet.

use super::rtp::vp8;
use super::{Bench, Id, check};
use anyhow::{Context, Result};
use sfu_proto::codec::{Codec, Inspector, PayloadDescriptor, PayloadInfo};
use sfu_proto::layers::{Forwarder, Input, Kind, Layers};
use sfu_proto::rtp::SequenceMapper;
use std::hint::black_box;
use std::time::{Duration, Instant};

const GROUP: &str = "Layers, per packet";
/// The temporal layers of four frames.
const TEMPORAL: [u8; 4] = [0, 2, 1, 2];

/// A VP8 stream of three temporal layers, a packet a frame.
struct Stream {
    inspector: Inspector,
    /// What a payload of each temporal layer is; its numbers are put right for each frame.
    infos: [PayloadInfo; 3],
    frame: u32,
    base: u8,
}

impl Stream {
    fn new() -> Self {
        let mut inspector = Inspector::for_layers(Codec::Vp8);
        let infos = [0, 1, 2].map(|layer| inspector.inspect(&vp8(0, 0, layer, false), None, None));
        Self { inspector, infos, frame: 0, base: 0 }
    }

    fn key_frame(&mut self) -> PayloadInfo {
        self.inspector.inspect(&vp8(0, 0, 0, true), None, None)
    }

    fn next(&mut self) -> Option<PayloadInfo> {
        self.frame += 1;
        let layer = TEMPORAL[self.frame as usize % TEMPORAL.len()];
        self.base = self.base.wrapping_add(u8::from(layer == 0));
        let mut info = self.infos[usize::from(layer)];
        let PayloadDescriptor::Vp8(descriptor) = &mut info.descriptor else { return None };
        descriptor.picture_id = Some((self.frame & 0x7fff) as u16);
        descriptor.tl0_pic_idx = Some(self.base);
        Some(info)
    }
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    for (what, temporal) in [("all three temporal layers forwarded", 2), ("one of three temporal layers forwarded", 0)]
    {
        let mut stream = Stream::new();
        let mut forwarder = Forwarder::new(Kind::Simulcast, 90_000);
        let mut sequence = SequenceMapper::new(1);
        let mut now = Instant::now();
        forwarder.set_wanted(Some(Layers { spatial: 0, temporal }));
        let mut forward = |frame: u32, info: &PayloadInfo| {
            now += Duration::from_millis(33);
            let input = Input {
                stream: 0,
                epoch: 0,
                sequence_number: frame as u16,
                timestamp: frame.wrapping_mul(3_000),
                marker: true,
                is_kept: true,
                info,
            };
            forwarder.handle_packet(now, &mut sequence, black_box(&input), |_| None)
        };
        forward(0, &stream.key_frame()).context("the forwarder doesn't begin with a key frame")?;
        let id = Id::new(GROUP, &format!("VP8 simulcast, {what}"));
        check(
            bench,
            &id,
            || {
                let info = stream.next()?;
                Some((info.temporal_layer, forward(stream.frame, &info).is_some()))
            },
            |decision| decision.is_some_and(|(layer, forwarded)| forwarded == (layer <= temporal)),
        )?;
    }
    Ok(())
}
