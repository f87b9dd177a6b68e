//! RTP: headers, the writer, RTX, and the renumbering of what a consumer is sent.

use std::collections::VecDeque;

use sfu_proto::rtp::{FixedHeader, Header, HeaderWriter, Origin, SequenceMapper, pad, rtx, seq};
use sfu_proto::rtp::{set_payload_type, set_sequence_number, set_ssrc, set_timestamp};

use super::input::Input;

/// The first byte chooses: one packet, or what happens to a [`SequenceMapper`].
pub fn rtp(data: &[u8]) {
    let mut input = Input::new(data);
    if input.u8() & 1 == 0 {
        packet(input.rest());
    } else {
        mapper(input);
    }
}

fn fixed(header: &Header) -> FixedHeader {
    FixedHeader {
        marker: header.marker,
        payload_type: header.payload_type,
        sequence_number: header.sequence_number,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    }
}

fn packet(packet: &[u8]) {
    let Ok(header) = Header::parse(packet) else { return };
    let payload = header.payload(packet);
    assert_eq!(header.packet_len(), packet.len());
    assert!(header.csrc_range().end <= header.extension_range().start);
    assert_eq!(header.extension_range().end, header.header_len());
    assert_eq!(header.header_len() + payload.len() + usize::from(header.padding_len), packet.len());
    assert_eq!(header.csrcs(packet).len(), 4 * usize::from(header.csrc_count));

    // Written anew without its extensions it is the same packet.
    let mut slot = vec![0xff; packet.len()];
    let written = HeaderWriter::new(&mut slot, &fixed(&header)).csrcs(header.csrcs(packet)).finish();
    let head = written.expect("a header without extensions is no longer than one with them");
    slot[head..head + payload.len()].copy_from_slice(payload);
    let len = pad(&mut slot, head + payload.len(), header.padding_len).expect("there is room");
    let again = Header::parse(&slot[..len]).expect("what is written parses");
    assert_eq!(fixed(&again), fixed(&header));
    assert_eq!(
        (again.csrcs(&slot), again.payload(&slot), again.padding_len),
        (header.csrcs(packet), payload, header.padding_len)
    );

    let mut changed = packet.to_vec();
    set_payload_type(&mut changed, 1);
    set_sequence_number(&mut changed, 2);
    set_timestamp(&mut changed, 3);
    set_ssrc(&mut changed, 4);
    let mut expected = header;
    (expected.payload_type, expected.sequence_number, expected.timestamp, expected.ssrc) = (1, 2, 3, 4);
    assert_eq!(Header::parse(&changed), Ok(expected));

    retransmission(packet, &header);
}

/// The packet sent by RTX, and taken out of it again; and the packet itself taken for one of RTX.
fn retransmission(packet: &[u8], header: &Header) {
    let head = header.header_len();
    let payload = header.payload(packet);
    let mut sent = [&packet[..head], &rtx::prefix(header.sequence_number), payload].concat();
    sent[0] &= !0x20;
    set_payload_type(&mut sent, 97);
    set_ssrc(&mut sent, 7);
    set_sequence_number(&mut sent, 1);
    if let Ok(rtx_header) = Header::parse(&sent) {
        let original = rtx::decapsulate(&mut sent, &rtx_header, header.payload_type, header.ssrc).expect("it has one");
        let restored = &sent[rtx::PREFIX_LEN..];
        assert_eq!(fixed(&original), fixed(header));
        assert_eq!(original.payload(restored), payload);
        assert_eq!(Header::parse(restored), Ok(original));
    }
    let mut taken = packet.to_vec();
    if let Ok(original) = rtx::decapsulate(&mut taken, header, 96, 7) {
        let restored = &taken[rtx::PREFIX_LEN..][..original.packet_len()];
        assert_eq!(Header::parse(restored), Ok(original));
    }
}

/// Packets arrive, are left out, and the input is changed. What was sent is found again under its number.
///
/// Packets are late by some thousands of numbers at most, and so few are lost in a row that it can be told from being late.
fn mapper(mut input: Input<'_>) {
    let mut mapper = SequenceMapper::new(input.u16());
    let mut source = 0;
    // Of the input, without wrapping: the packet that comes, the highest that came, the highest that was sent.
    let (mut position, mut highest, mut highest_sent) = (0_i64, 0, 0);
    let mut sent: VecDeque<(u16, Origin)> = VecDeque::new();
    while !input.is_empty() {
        let operation = input.u8();
        // Mostly the next number, sometimes one that is far away.
        let step = if operation & 0x10 == 0 { operation >> 5 } else { 0 };
        let jump = if operation & 0x10 == 0 { 0 } else { i64::from(input.u16()) % 2001 - 1000 };
        position = (position + i64::from(step) + jump).max(highest - 5000);
        highest = highest.max(position);
        let number = position as u16;
        let before = mapper.max_output();
        let operation = if highest - highest_sent > 20_000 { 0 } else { operation & 3 };
        match operation {
            0 => {
                source = input.u8().into();
                mapper.sync(number, source);
                assert_eq!(mapper.max_output(), before, "nothing is sent yet");
                (highest, highest_sent) = (position, position);
            }
            1 => {
                mapper.drop(number);
                assert_eq!(mapper.max_output(), before, "what is left out has no number");
            }
            _ => {
                let Some(output) = mapper.input(number) else { continue };
                highest_sent = highest_sent.max(position);
                let origin = Origin { source, sequence_number: number };
                assert!(seq::diff(mapper.max_output(), before) >= 0, "the highest number does not go back");
                assert_eq!(mapper.to_input(output), Some(origin));
                // Under one number one packet only, for as long as numbers can be told apart.
                sent.retain(|(number, _)| seq::diff(mapper.max_output(), *number).unsigned_abs() < 10_000);
                for (number, other) in &sent {
                    assert!(*number != output || *other == origin, "{output} is {origin:?} and was {other:?}");
                }
                sent.push_back((output, origin));
                if sent.len() > 64 {
                    sent.pop_front();
                }
            }
        }
    }
}
