//! Packets that no peer of good will sends.

use std::time::Duration;

use proptest::prelude::*;

use super::super::packet::{self, chunk};
use super::super::*;
use super::pair::{Pair, config, reliable};

/// What who speaks for an end's peer must know.
#[derive(Clone, Copy)]
struct Secret {
    /// The tag that the end wants to see.
    tag: u32,
    /// The TSN that it expects next.
    tsn: u32,
}

/// Learns it from a message to the end.
fn spy(pair: &mut Pair, end: usize) -> Secret {
    pair.send(1 - end, &reliable(0), "x");
    let (_, (_, packet)) = pair.wire.last_key_value().unwrap();
    assert_eq!(packet::first_chunk(packet), Some(chunk::DATA));
    let tsn = u32::from_be_bytes(packet[16..20].try_into().unwrap());
    let secret = Secret { tag: packet::tag(packet).unwrap(), tsn: tsn.wrapping_add(1) };
    pair.run_for(Duration::from_secs(1));
    secret
}

fn packet(tag: u32, chunks: &[u8]) -> Vec<u8> {
    let ports = [PORT.to_be_bytes(), PORT.to_be_bytes()].concat();
    let mut packet = [&ports[..], &tag.to_be_bytes(), &[0; 4], chunks].concat();
    packet::write_checksum(&mut packet);
    packet
}

fn data(flags: u8, tsn: u32, stream: u16, ssn: u16, payload: &[u8]) -> Vec<u8> {
    let len = (16 + payload.len()) as u16;
    let mut data = vec![chunk::DATA, flags];
    data.extend_from_slice(&len.to_be_bytes());
    data.extend_from_slice(&tsn.to_be_bytes());
    data.extend_from_slice(&stream.to_be_bytes());
    data.extend_from_slice(&ssn.to_be_bytes());
    data.extend_from_slice(&53_u32.to_be_bytes());
    data.extend_from_slice(payload);
    data.resize(data.len().next_multiple_of(4), 0);
    data
}

/// Tiny chunks behind a lost one, without end: memory and time have a bound, at which the peer is told.
#[test]
fn chunks_that_can_not_be_delivered_are_bounded() {
    let mut pair = Pair::connected();
    let Secret { tag, tsn } = spy(&mut pair, 1);
    let mut sent = 0_u16;
    while pair.ends[1].state() == State::Connected {
        assert!(usize::from(sent) < 2 * MAX_HELD_CHUNKS, "{sent} chunks are held");
        let next = (sent + 1)..=(sent + 50);
        sent += 50;
        let chunks: Vec<u8> =
            next.flat_map(|number| data(3, tsn.wrapping_add(number.into()), 1, number, b"x")).collect();
        pair.ends[1].handle_packet(pair.now, &packet(tag, &chunks)).unwrap();
        pair.collect();
    }
    assert!(usize::from(sent) > MAX_HELD_CHUNKS);
    assert_eq!(pair.ends[1].poll_timeout(), None, "nothing is left of it");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.states(), [State::Closed; 2]);
}

/// Chunks that are delivered, or repeated, or given up, don't count for ever.
#[test]
fn a_long_life_does_not_reach_the_bound() {
    let mut pair = Pair::connected();
    let stream = StreamParameters { id: 1, ordered: false, reliability: Reliability::MaxRetransmits(0) };
    pair.faults = [super::pair::Faults { loss: 5, duplication: 50, reordering: 20 }; 2];
    for _ in 0..3 * MAX_HELD_CHUNKS {
        if pair.ends[0].send(&stream, Ppid::Binary, vec![0; 100].into()).is_err() {
            pair.collect();
            pair.run_for(Duration::from_secs(1));
        }
    }
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.states(), [State::Connected; 2]);
    let came = pair.messages(1, 1).len();
    assert!(came > MAX_HELD_CHUNKS, "{came} messages came");
}

#[test]
fn data_on_a_stream_that_was_not_agreed_on_ends_the_association() {
    let mut pair = Pair::connected_with([config(), Config { incoming_streams: 10, ..config() }]);
    let Secret { tag, tsn } = spy(&mut pair, 1);
    pair.ends[1].handle_packet(pair.now, &packet(tag, &data(3, tsn, 9, 0, b"x"))).unwrap();
    assert_eq!(pair.ends[1].state(), State::Connected, "the last one that was");
    pair.ends[1].handle_packet(pair.now, &packet(tag, &data(3, tsn.wrapping_add(1), 10, 0, b"x"))).unwrap();
    assert_eq!(pair.ends[1].state(), State::Closed);
    pair.collect();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.states(), [State::Closed; 2]);
}

/// More of one message than the window holds.
#[test]
fn a_message_without_end_ends_the_association() {
    let mut pair = Pair::connected();
    let Secret { tag, tsn } = spy(&mut pair, 1);
    let mut bytes = 0;
    while pair.ends[1].state() == State::Connected {
        assert!(bytes <= MIN_RECEIVE_WINDOW, "{bytes} bytes are held");
        let flags = if bytes == 0 { 2 } else { 0 };
        let chunk = data(flags, tsn.wrapping_add(bytes / 1024), 1, 0, &[0; 1024]);
        pair.ends[1].handle_packet(pair.now, &packet(tag, &chunk)).unwrap();
        bytes += 1024;
        pair.collect();
    }
    assert!(pair.messages(1, 1).is_empty());
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.states(), [State::Closed; 2], "the peer was told");
}

/// A chunk of a later extension, or an error, is no reason to end, or to pass over what is with it.
#[test]
fn unknown_chunks_and_errors_are_passed_over() {
    let mut pair = Pair::connected();
    let Secret { tag, tsn } = spy(&mut pair, 1);
    let unknown = [0xc5, 0, 0, 6, 1, 2, 0, 0];
    let error = [9, 0, 0, 8, 0, 6, 0, 4];
    let heartbeat_ack = [5, 0, 0, 8, 0, 1, 0, 4];
    let message = data(3, tsn, 9, 0, b"beside them");
    let chunks = [&unknown[..], &error, &heartbeat_ack, &message, &unknown].concat();
    pair.ends[1].handle_packet(pair.now, &packet(tag, &chunks)).unwrap();
    pair.collect();
    assert_eq!(pair.messages(1, 9), ["beside them"]);
    assert_eq!(pair.ends[1].state(), State::Connected);
    // Nothing but them.
    assert_eq!(packet::inspect(&packet(tag, &error)), None);
    // Behind an unknown chunk without the bit, nothing is looked at.
    let stop = [&[0x3f, 0, 0, 4][..], &data(3, tsn.wrapping_add(1), 9, 1, b"x")].concat();
    assert_eq!(packet::inspect(&packet(tag, &stop)), None);
}

/// A DCEP message is passed over, and what data channels don't carry too.
#[test]
fn only_messages_of_data_channels_are_delivered() {
    let mut pair = Pair::connected();
    let Secret { tag, tsn } = spy(&mut pair, 1);
    for (number, ppid) in [(0, 50_u32), (1, 0), (2, 51)] {
        let mut chunk = data(3, tsn.wrapping_add(number), 9, number as u16, b"x");
        chunk[12..16].copy_from_slice(&ppid.to_be_bytes());
        pair.ends[1].handle_packet(pair.now, &packet(tag, &chunk)).unwrap();
    }
    pair.events[1].clear();
    pair.collect();
    let dropped = |reason| Event::MessageDropped { stream_id: 9, reason };
    let delivered = Event::Message { stream_id: 9, ppid: Ppid::String, payload: "x".into() };
    assert_eq!(pair.events[1], [dropped(DropReason::Dcep), dropped(DropReason::Ppid), delivered]);
}

#[test]
fn what_is_not_sctp_is_refused() {
    let mut pair = Pair::connected();
    let now = pair.now;
    assert_eq!(pair.ends[0].handle_packet(now, &[0; 12]), Err(SctpError::TooShort(12)));
    assert_eq!(pair.ends[0].handle_packet(now, &[0; MAX_PACKET_LEN + 1]), Err(SctpError::TooLong(MAX_PACKET_LEN + 1)));
    assert_eq!(Association::new(config()).handle_packet(now, &[0; 20]), Err(SctpError::NotOpen(State::New)));
    assert!(is_sctp(&packet(0, &[])));
    assert!(!is_sctp(&[0x80; 20]));
    assert!(!is_sctp(&[0x13, 0x88, 0x13, 0x88]));
}

/// Chunks as they may be written: any type and flags, a length that fits mostly.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        4 => prop::sample::select(vec![0, 1, 2, 3, 4, 6, 7, 8, 10, 11, 14, 130, 192, 194]),
        1 => any::<u8>(),
    ];
    let body = prop::collection::vec(prop_oneof![3 => 0..4_u8, 1 => any::<u8>()], 0..40);
    prop::collection::vec((kind, any::<u8>(), body, any::<bool>(), any::<u16>()), 0..4).prop_map(|chunks| {
        let mut bytes = Vec::new();
        for (kind, flags, body, honest, len) in chunks {
            let len = if honest { body.len() as u16 + 4 } else { len };
            bytes.extend_from_slice(&[kind, flags]);
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(&body);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    })
}

/// Steps of a life, at which something bad comes.
fn at_step(step: usize) -> Pair {
    let mut pair = Pair::new();
    pair.start();
    for _ in 0..step {
        pair.step_until(pair.start + Duration::from_secs(60));
    }
    if pair.states() == [State::Connected; 2] {
        for id in 0..3 {
            pair.send(0, &reliable(id), vec![0; 3000]);
            pair.send(1, &StreamParameters { ordered: false, ..reliable(id) }, "x");
        }
        pair.ends[0].reset_stream(1);
        pair.collect();
    }
    pair
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Arbitrary bytes are looked at without harm.
    #[test]
    fn arbitrary_bytes_change_nothing(packet in prop::collection::vec(any::<u8>(), 0..100), step in 0..12_usize) {
        let mut pair = at_step(step);
        let before = pair.states();
        for end in &mut pair.ends {
            let _ = end.handle_packet(pair.now, &packet);
        }
        prop_assert_eq!(pair.states(), before);
        packet::inspect(&packet);
        packet::init(&packet);
        packet::granted_window(&packet);
    }

    /// Chunks that only a peer can send, with a good checksum and tag: the association may end, in time.
    #[test]
    fn arbitrary_chunks_never_panic(
        packets in prop::collection::vec((chunks(), 0..3_u8), 1..6),
        step in 0..12_usize,
        end in 0..2_usize,
    ) {
        let mut pair = at_step(step);
        let tag = pair.wire.values().filter(|(to, _)| *to == end).find_map(|(_, packet)| packet::tag(packet)).unwrap_or(0);
        for (chunks, tag_kind) in packets {
            let tag = if tag_kind == 0 { 0 } else { tag };
            let _ = pair.ends[end].handle_packet(pair.now, &packet(tag, &chunks));
            pair.collect();
        }
        pair.run_for(Duration::from_secs(20));
        for end in &pair.ends {
            prop_assert!(end.buffered_amount() <= 262_144);
        }
    }

    /// Real packets with some bytes changed and a good checksum.
    #[test]
    fn mutated_packets_never_panic(
        step in 0..12_usize,
        changes in prop::collection::vec((12..200_usize, 1..=255_u8), 1..4),
    ) {
        let mut pair = at_step(step);
        let wire: Vec<_> = pair.wire.values().cloned().collect();
        for (end, packet) in wire {
            let mut packet = packet.to_vec();
            for (at, change) in &changes {
                let len = packet.len();
                packet[12 + at % (len - 12)] ^= change;
            }
            packet::write_checksum(&mut packet);
            let _ = pair.ends[end].handle_packet(pair.now, &packet);
            pair.collect();
        }
        pair.run_for(Duration::from_secs(20));
    }

    /// What is kept of a packet is a packet with the same chunks, but those that are taken out.
    #[test]
    fn inspection_keeps_what_the_engine_takes(chunks in chunks(), tag in any::<u32>()) {
        let mut packet = [&[0; 4][..], &tag.to_be_bytes(), &[0; 4], &chunks].concat();
        packet::write_checksum(&mut packet);
        if let Some(inspected) = packet::inspect(&packet) {
            prop_assert!(packet::has_good_checksum(&inspected.packet));
            prop_assert!(inspected.packet.len() <= packet.len());
            let again = packet::inspect(&inspected.packet).map(|again| (again.packet.to_vec(), again.data_chunks));
            prop_assert_eq!(again, Some((inspected.packet.to_vec(), inspected.data_chunks)));
        }
    }
}
