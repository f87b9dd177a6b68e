//! RTP headers and payload descriptors: read, written, rewritten.

use super::{Bench, Id, check, check_on};
use anyhow::{Context, Result};
use sfu_proto::codec::{Codec, Inspector};
use sfu_proto::rtp::{
    self, ExtensionIds, ExtensionKind, FixedHeader, Header, HeaderWriter, SequenceMapper, parse_extensions, rtx,
};
use std::hint::black_box;

const GROUP: &str = "RTP";

const FIXED: FixedHeader =
    FixedHeader { marker: true, payload_type: 101, sequence_number: 4_711, timestamp: 90_000, ssrc: 0x1234_5678 };

/// A header as a browser sends it: mid, absolute send time, transport-wide sequence number, audio level.
fn write(slot: &mut [u8]) -> Option<usize> {
    HeaderWriter::new(slot, &FIXED)
        .extension(1, b"0")
        .extension(4, &[1, 2, 3])
        .extension(5, &[4, 5])
        .extension(10, &[0x85])
        .finish()
        .ok()
}

/// A VP8 payload with a picture id of 15 bits, TL0PICIDX and a temporal layer.
pub(super) fn vp8(picture_id: u16, tl0_pic_idx: u8, temporal_layer: u8, is_key_frame: bool) -> Vec<u8> {
    let [high, low] = picture_id.to_be_bytes();
    let mut payload =
        vec![0x90, 0xe0, high | 0x80, low, tl0_pic_idx, temporal_layer << 6 | 0x20, u8::from(!is_key_frame)];
    payload.resize(1_180, 0x5a);
    payload
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    let mut ids = ExtensionIds::new();
    for (kind, id) in [
        (ExtensionKind::Mid, 1),
        (ExtensionKind::AbsSendTime, 4),
        (ExtensionKind::TransportWideCc, 5),
        (ExtensionKind::AudioLevel, 10),
    ] {
        ids.set(kind, id);
    }
    let mut packet = vec![0x5A; 1_200];
    let len = write(&mut packet).context("there is no room for a header")?;
    let header = Header::parse(&packet)?;
    let mut slot = vec![0; 1_200];
    check(
        bench,
        &Id::new(GROUP, "parse a header"),
        || Header::parse(black_box(&packet)),
        |header| header.as_ref().is_ok_and(|header| header.ssrc == FIXED.ssrc && header.header_len() == len),
    )?;
    check(
        bench,
        &Id::new(GROUP, "find 4 extensions"),
        || parse_extensions(black_box(&packet), &header, &ids),
        |spans| spans.value(ExtensionKind::AudioLevel, &packet) == Some(&[0x85]),
    )?;
    check(
        bench,
        &Id::new(GROUP, "write a header without extensions"),
        || HeaderWriter::new(black_box(&mut slot), &FIXED).finish(),
        |len| *len == Ok(rtp::FIXED_HEADER_LEN),
    )?;
    check(
        bench,
        &Id::new(GROUP, "write a header with 4 extensions"),
        || write(black_box(&mut slot)),
        |written| *written == Some(len),
    )?;
    check(
        bench,
        &Id::new(GROUP, "rewrite payload type, number, timestamp and SSRC in place"),
        || {
            rtp::set_payload_type(black_box(&mut slot), 96);
            rtp::set_sequence_number(&mut slot, 7);
            rtp::set_timestamp(&mut slot, 8);
            rtp::set_ssrc(&mut slot, 9);
            slot[11]
        },
        |last| *last == 9,
    )?;

    let mut mapper = SequenceMapper::new(100);
    let mut input = 0_u16;
    mapper.sync(input, 0);
    check(
        bench,
        &Id::new(GROUP, "map a sequence number"),
        || {
            let output = mapper.input(black_box(input));
            input = input.wrapping_add(1);
            output.map(|output| output.wrapping_sub(input))
        },
        |distance| *distance == Some(99),
    )?;

    let again = [&packet[..len], &rtx::prefix(4_700), &packet[len..1_190]].concat();
    let header = Header::parse(&again)?;
    check_on(
        bench,
        &Id::new(GROUP, "turn an RTX packet back into the original"),
        || again.clone(),
        |packet| rtx::decapsulate(packet, &header, 96, 5),
        |_, original| original.is_ok_and(|original| original.sequence_number == 4_700 && original.ssrc == 5),
    )?;

    let payload = vp8(300, 20, 1, false);
    let mut inspector = Inspector::new(Codec::Vp8);
    check(
        bench,
        &Id::new(GROUP, "inspect a VP8 payload"),
        || inspector.inspect(black_box(&payload), None, None),
        |info| info.temporal_layer == 1 && !info.is_key_frame,
    )?;
    let descriptor = inspector.inspect(&payload, None, None).descriptor;
    let mut copy = payload.clone();
    check(
        bench,
        &Id::new(GROUP, "rewrite a VP8 descriptor's numbers"),
        || {
            descriptor.set_numbers(black_box(&mut copy), 301, 21);
            copy[4]
        },
        |tl0_pic_idx| *tl0_pic_idx == 21,
    )
}
