//! Streams that are closed and used anew (RFC 6525; RFC 8831, 6.7).

use std::time::Duration;

use super::super::*;
use super::pair::{BAD, Pair, Random, reliable};

fn resets(pair: &Pair, end: usize, stream_id: u16) -> usize {
    pair.events[end].iter().filter(|event| **event == Event::StreamReset { stream_id }).count()
}

/// What was sent before comes before the reset, and the peer's direction is reset too.
#[test]
fn a_reset_comes_after_what_was_sent() {
    for seed in 0..50 {
        let mut pair = Pair::connected();
        pair.random = Random::new(seed);
        pair.faults = [BAD; 2];
        pair.send(0, &reliable(5), vec![1; 50_000]);
        pair.send(0, &reliable(5), "last");
        pair.ends[0].reset_stream(5);
        pair.collect();
        pair.run_for(Duration::from_secs(30));
        assert_eq!(pair.messages(1, 5).len(), 2, "seed {seed}");
        assert!(matches!(pair.events[1].last(), Some(Event::StreamReset { stream_id: 5 })), "seed {seed}");
        assert_eq!((resets(&pair, 0, 5), resets(&pair, 1, 5)), (1, 1), "seed {seed}");
    }
}

/// A stream can be used again at once; what is sent waits for the reset, and comes in order.
#[test]
fn a_stream_begins_anew() {
    for seed in 0..50 {
        let mut pair = Pair::connected();
        pair.random = Random::new(seed);
        pair.faults = [BAD; 2];
        for round in 0..5 {
            for message in 0..3 {
                pair.send(0, &reliable(5), format!("{round}.{message}"));
            }
            pair.ends[0].reset_stream(5);
            pair.collect();
            assert!(pair.ends[0].send(&reliable(5), Ppid::Binary, format!("{round}.3").into()).is_ok());
            assert!(pair.ends[0].buffered_amount() > 0);
            pair.collect();
            pair.run_for(Duration::from_secs(60));
            assert_eq!(pair.ends[0].buffered_amount(), 0);
        }
        let expected: Vec<String> =
            (0..5).flat_map(|round| (0..4).map(move |message| format!("{round}.{message}"))).collect();
        assert_eq!(pair.messages(1, 5), expected, "seed {seed}");
    }
}

/// Both ends close the same stream at once, and may both use it afterwards.
#[test]
fn both_may_reset_at_once() {
    for seed in 0..50 {
        let mut pair = Pair::connected();
        pair.random = Random::new(seed);
        pair.faults = [BAD; 2];
        pair.send(0, &reliable(5), "a");
        pair.send(1, &reliable(5), "b");
        pair.run_for(Duration::from_secs(10));
        for end in &mut pair.ends {
            end.reset_stream(5);
        }
        pair.collect();
        pair.run_for(Duration::from_secs(60));
        for end in [0, 1] {
            pair.send(end, &reliable(5), "again");
        }
        pair.run_for(Duration::from_secs(60));
        assert_eq!(pair.messages(1, 5), ["a", "again"], "seed {seed}");
        assert_eq!(pair.messages(0, 5), ["b", "again"], "seed {seed}");
        assert_eq!(pair.states(), [State::Connected; 2]);
    }
}

/// A peer that does not know a stream has nothing to reset in return; it can be used all the same.
#[test]
fn a_stream_that_only_we_know_begins_anew() {
    let mut pair = Pair::connected();
    pair.ends[0].reset_stream(5);
    pair.collect();
    pair.send(0, &reliable(5), "first");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.messages(1, 5), ["first"]);
    pair.ends[1].reset_stream(5);
    pair.collect();
    pair.run_for(Duration::from_secs(1));
    pair.send(0, &reliable(5), "second");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.messages(1, 5), ["first", "second"]);
    assert!(!pair.events.concat().iter().any(|event| matches!(event, Event::MessageDropped { .. })));
}

/// A peer that sends on a stream that we have closed and it has not, sends to nobody.
#[test]
fn what_comes_on_a_closed_stream_is_dropped() {
    let mut pair = Pair::connected();
    pair.ends[0].reset_stream(5);
    pair.collect();
    pair.run_for(Duration::from_secs(1));
    pair.send(1, &reliable(5), "to nobody");
    pair.send(1, &reliable(6), "to somebody");
    pair.run_for(Duration::from_secs(1));
    assert_eq!((pair.messages(0, 5).len(), pair.messages(0, 6).len()), (0, 1));
    assert!(pair.events[0].contains(&Event::MessageDropped { stream_id: 5, reason: DropReason::StreamClosed }));
    // When it resets the stream, both can use it again.
    pair.ends[1].reset_stream(5);
    pair.collect();
    pair.run_for(Duration::from_secs(1));
    pair.send(1, &reliable(5), "anew");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.messages(0, 5), ["anew"]);
}

/// Other streams go on.
#[test]
fn a_reset_concerns_one_stream() {
    let mut pair = Pair::connected();
    for id in 0..100 {
        pair.send(0, &reliable(id), "before");
    }
    for id in (0..100).step_by(2) {
        pair.ends[0].reset_stream(id);
    }
    pair.collect();
    for id in (1..100).step_by(2) {
        pair.send(0, &reliable(id), "after");
    }
    pair.run_for(Duration::from_secs(10));
    for id in 0..100 {
        let expected: &[&str] = if id % 2 == 0 { &["before"] } else { &["before", "after"] };
        assert_eq!(pair.messages(1, id), expected);
        assert_eq!(resets(&pair, 1, id), usize::from(id % 2 == 0));
    }
}
