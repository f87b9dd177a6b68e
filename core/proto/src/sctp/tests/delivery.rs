//! Messages arrive as their streams promise.

use std::time::Duration;

use bytes::Bytes;

use super::super::packet::{self, chunk};
use super::super::*;
use super::pair::{BAD, DELAY, Faults, GOOD, Pair, Random, config, reliable};

fn numbered(number: u32, len: usize) -> Bytes {
    let mut message = vec![number as u8; len];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message.into()
}

fn numbers(messages: &[Bytes]) -> Vec<u32> {
    messages.iter().map(|message| u32::from_be_bytes(message[..4].try_into().unwrap())).collect()
}

/// Sends as fast as the buffer takes it, and returns when all is acknowledged.
fn send_all(pair: &mut Pair, stream: &StreamParameters, count: u32, len: usize) {
    for number in 0..count {
        let message = numbered(number, len);
        while pair.ends[0].send(stream, Ppid::Binary, message.clone()) == Err(SendError::BufferFull) {
            assert!(pair.step_until(pair.start + Duration::from_secs(3600)), "nothing will make room");
        }
        pair.collect();
    }
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.ends[0].buffered_amount(), 0);
}

/// Ordered and reliable: all of them, once, in order, whole, whatever the link does.
#[test]
fn an_ordered_stream_delivers_everything_in_order() {
    for seed in 0..5 {
        let mut pair = Pair::connected();
        pair.random = Random::new(seed);
        pair.faults = [BAD; 2];
        send_all(&mut pair, &reliable(7), 300, 3000);
        let messages = pair.messages(1, 7);
        assert_eq!(numbers(&messages), (0..300).collect::<Vec<_>>(), "seed {seed}");
        for (number, message) in messages.iter().enumerate() {
            assert_eq!(*message, numbered(number as u32, 3000));
        }
    }
}

/// Unordered and reliable: all of them, once, and one that is lost holds nobody up.
#[test]
fn an_unordered_stream_holds_nothing_up() {
    let stream = StreamParameters { ordered: false, ..reliable(7) };
    let mut pair = Pair::connected();
    pair.faults = [BAD; 2];
    send_all(&mut pair, &stream, 300, 3000);
    let mut numbers = numbers(&pair.messages(1, 7));
    assert_ne!(numbers, (0..300).collect::<Vec<_>>(), "they came as the link let them");
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());

    for (ordered, expected) in [(false, vec![1]), (true, vec![])] {
        let mut pair = Pair::connected();
        let stream = StreamParameters { ordered, ..stream };
        pair.faults[0] = Faults { loss: 100, ..GOOD };
        pair.send(0, &stream, numbered(0, 100));
        pair.faults[0] = GOOD;
        pair.send(0, &stream, numbered(1, 100));
        pair.run_for(2 * DELAY);
        assert_eq!(self::numbers(&pair.messages(1, 7)), expected);
    }
}

/// A stream waits for its own losses only.
#[test]
fn streams_do_not_wait_for_each_other() {
    let mut pair = Pair::connected();
    pair.faults[0] = Faults { loss: 100, ..GOOD };
    pair.send(0, &reliable(1), "lost at first");
    pair.faults[0] = GOOD;
    pair.send(0, &reliable(2), "not lost");
    pair.run_for(2 * DELAY);
    assert_eq!((pair.messages(1, 1).len(), pair.messages(1, 2).len()), (0, 1));
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.messages(1, 1), ["lost at first"]);
}

/// A message is sent once and as often again as its stream says, and then given up.
#[test]
fn a_message_is_not_sent_again_more_often_than_wanted() {
    for retransmits in [0, 1, 3] {
        let reliability = Reliability::MaxRetransmits(retransmits);
        let stream = StreamParameters { id: 7, ordered: false, reliability };
        let mut pair = Pair::connected();
        pair.faults[0] = Faults { loss: 100, ..GOOD };
        pair.ends[0].send(&stream, Ppid::Binary, numbered(0, 100)).unwrap();
        let mut transmissions = 0;
        while let Some(packet) = pair.ends[0].poll_transmit(pair.now) {
            transmissions += u16::from(packet::first_chunk(&packet) == Some(chunk::DATA));
            // All of them are lost, and only time goes on.
            if let Some(at) = pair.ends[0].poll_timeout().filter(|_| pair.ends[0].buffered_amount() > 0) {
                pair.now = at;
                pair.ends[0].handle_timeout(at);
            }
        }
        assert_eq!(transmissions, 1 + retransmits);
        assert_eq!(pair.ends[0].buffered_amount(), 0, "what is given up does not wait");
        pair.faults[0] = GOOD;
        pair.send(0, &stream, numbered(1, 100));
        pair.run_for(Duration::from_secs(10));
        assert_eq!(numbers(&pair.messages(1, 7)), [1], "the next one comes");
    }
}

/// On a bad link nobody waits for long: what comes is at most as old as its lifetime and the way.
#[test]
fn a_message_is_not_sent_again_after_its_lifetime() {
    let stream = StreamParameters { id: 7, ordered: false, reliability: Reliability::MaxLifetime(100) };
    let mut pair = Pair::connected();
    pair.faults = [Faults { loss: 30, ..GOOD }; 2];
    let mut late = 0;
    for number in 0..500 {
        pair.send(0, &stream, numbered(number, 100));
        pair.run_for(Duration::from_millis(10));
        for message in numbers(&pair.messages(1, 7)) {
            // One message every 10 ms.
            late = late.max(number - message);
        }
        pair.events[1].clear();
    }
    pair.run_for(Duration::from_secs(10));
    assert!(late <= 13, "a message came {late}0 ms after it had been sent");
    assert_eq!(pair.ends[0].buffered_amount(), 0, "what is given up does not wait");
    // And reliable messages still come on another stream.
    pair.send(0, &reliable(8), "reliable");
    pair.run_for(Duration::from_secs(30));
    assert_eq!(pair.messages(1, 8), ["reliable"]);
}

#[test]
fn the_longest_message_passes_and_a_longer_one_does_not() {
    let mut pair = Pair::connected();
    pair.faults = [BAD; 2];
    let longest = numbered(1, 262_144);
    pair.send(0, &reliable(0), longest.clone());
    assert_eq!(pair.ends[0].send(&reliable(0), Ppid::Binary, "x".into()), Err(SendError::BufferFull));
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.messages(1, 0), [longest]);
    let longer = vec![0; 262_145];
    assert_eq!(pair.ends[0].send(&reliable(0), Ppid::Binary, longer.into()), Err(SendError::TooLong(262_145)));
    assert_eq!(pair.ends[0].send(&reliable(0), Ppid::Binary, Bytes::new()), Err(SendError::Empty));
}

/// What the peer sends against the agreement is dropped, and the association goes on.
#[test]
fn a_message_longer_than_agreed_is_dropped() {
    let strict = Config { max_message_size: 1000, ..config() };
    let mut pair = Pair::connected_with([config(), strict]);
    pair.send(0, &reliable(4), vec![1; 200_000]);
    pair.send(0, &reliable(4), vec![2; 1000]);
    pair.run_for(Duration::from_secs(5));
    let dropped = Event::MessageDropped { stream_id: 4, reason: DropReason::TooLong(200_000) };
    assert_eq!(pair.events[1].iter().filter(|event| **event == dropped).count(), 1);
    assert_eq!(pair.messages(1, 4), [Bytes::from(vec![2; 1000])]);
    assert_eq!(pair.states(), [State::Connected; 2]);
}

#[test]
fn what_waits_is_counted_and_bounded() {
    let small = Config { send_buffer_size: 10_000, ..config() };
    let mut pair = Pair::connected_with([small, config()]);
    for id in 0..10 {
        pair.send(0, &reliable(id), vec![0; 1000]);
    }
    assert_eq!(pair.ends[0].buffered_amount(), 10_000);
    assert_eq!(pair.ends[0].send(&reliable(0), Ppid::Binary, "x".into()), Err(SendError::BufferFull));
    assert_eq!(pair.ends[0].send(&reliable(0), Ppid::Binary, vec![0; 10_001].into()), Err(SendError::TooLong(10_001)));
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.ends[0].buffered_amount(), 0);
    // It is told how it has become less, without a gap.
    let mut waits = 10_000;
    for event in &pair.events[0] {
        let Event::BufferedAmountDecreased { from, to } = event else { continue };
        assert_eq!(*from, waits);
        assert!(to < from);
        waits = *to;
    }
    assert_eq!(waits, 0);
}

/// Every kind of message arrives as what it is.
#[test]
fn what_a_message_holds_is_told() {
    let mut pair = Pair::connected();
    let kinds = [Ppid::String, Ppid::Binary, Ppid::StringEmpty, Ppid::BinaryEmpty];
    for ppid in kinds {
        pair.ends[0].send(&reliable(1), ppid, "x".into()).unwrap();
        assert_eq!(Ppid::from_number(ppid.number()), Some(ppid));
    }
    pair.collect();
    pair.run_for(Duration::from_secs(1));
    let came: Vec<Ppid> = pair.events[1]
        .iter()
        .filter_map(|event| if let Event::Message { ppid, .. } = event { Some(*ppid) } else { None })
        .collect();
    assert_eq!(came, kinds);
}

/// Packets keep to an MTU that passes everywhere, DTLS and UDP included.
#[test]
fn packets_fit_the_path() {
    let mut pair = Pair::connected();
    for len in [262_144, 1, 2, 3, 1143, 1144, 1145] {
        pair.ends[0].send(&reliable(0), Ppid::Binary, vec![0; len].into()).unwrap_or_default();
        while let Some(packet) = pair.ends[0].poll_transmit(pair.now) {
            assert!(packet.len() <= 1200, "{} bytes", packet.len());
            pair.wire.insert((pair.now + DELAY, pair.sent), (1, packet));
            pair.sent += 1;
        }
        pair.run_for(Duration::from_secs(10));
    }
    // The worst case: nothing but padding.
    for _ in 0..200 {
        pair.ends[0].send(&reliable(0), Ppid::Binary, "x".into()).unwrap();
    }
    while let Some(packet) = pair.ends[0].poll_transmit(pair.now) {
        assert!(packet.len() <= 1400, "{} bytes", packet.len());
    }
}

/// A megabyte over a link of 40 ms and a loss in a hundred packets.
#[test]
fn a_loss_costs_little() {
    let mut pair = Pair::connected();
    pair.faults = [Faults { loss: 1, ..GOOD }; 2];
    let before = pair.now;
    for number in 0..16 {
        let message = numbered(number, 65_536);
        while pair.ends[0].send(&reliable(0), Ppid::Binary, message.clone()) == Err(SendError::BufferFull) {
            assert!(pair.step_until(pair.start + Duration::from_secs(60)));
        }
        pair.collect();
    }
    while pair.messages(1, 0).len() < 16 {
        assert!(pair.step_until(pair.start + Duration::from_secs(60)));
    }
    let took = pair.now - before;
    assert!(took < Duration::from_secs(4), "it took {took:?}");
}
