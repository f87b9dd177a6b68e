//! How associations come to be and end.

use std::time::Duration;

use super::super::packet::{self, chunk};
use super::super::*;
use super::pair::{BAD, DELAY, Pair, config, reliable};

/// Both ends send INIT at once, as two WebRTC peers do, and it is one association.
#[test]
fn inits_that_cross_make_one_association() {
    let mut pair = Pair::new();
    assert_eq!(pair.states(), [State::New; 2]);
    pair.start();
    assert_eq!(pair.states(), [State::Connecting; 2]);
    // INIT, INIT ACK, COOKIE ECHO, COOKIE ACK.
    pair.run_for(4 * DELAY + Duration::from_millis(1));
    assert_eq!(pair.states(), [State::Connected; 2]);
    for end in [0, 1] {
        assert_eq!(pair.state_changes(end), [State::Connecting, State::Connected]);
        pair.send(end, &reliable(3), "over the one association");
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!([0, 1].map(|end| pair.messages(end, 3).len()), [1, 1]);
}

/// The other end is started when the first has been calling for long.
#[test]
fn an_end_may_be_late() {
    let mut pair = Pair::new();
    pair.ends[0].start(pair.now);
    pair.collect();
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.states(), [State::Connecting, State::New]);
    pair.ends[1].start(pair.now);
    pair.collect();
    pair.run_for(Duration::from_secs(4));
    assert_eq!(pair.states(), [State::Connected; 2]);
}

#[test]
fn a_handshake_survives_a_bad_link() {
    for seed in 0..200 {
        let mut pair = Pair::new();
        pair.random = super::pair::Random::new(seed);
        pair.faults = [super::pair::Faults { loss: 30, ..BAD }; 2];
        pair.start();
        pair.run_for(Duration::from_secs(60));
        assert_eq!(pair.states(), [State::Connected; 2], "seed {seed}");
        pair.send(0, &reliable(0), "in");
        pair.send(1, &reliable(0), "out");
        pair.run_for(Duration::from_secs(60));
        assert_eq!([0, 1].map(|end| pair.messages(end, 0).len()), [1, 1], "seed {seed}");
    }
}

#[test]
fn a_handshake_without_a_peer_fails_in_the_end() {
    let mut pair = Pair::new();
    pair.ends[0].start(pair.now);
    pair.run_for(Duration::from_secs(400));
    assert_eq!(pair.state_changes(0), [State::Connecting, State::Failed]);
    assert_eq!(pair.ends[0].poll_timeout(), None);
    assert_eq!(pair.ends[0].handle_packet(pair.now, &[0; 20]), Err(SctpError::NotOpen(State::Failed)));
}

/// An INIT that was under way for long, or is sent anew, must not end what works.
#[test]
fn a_late_init_changes_nothing() {
    let mut pair = Pair::new();
    pair.start();
    let inits: Vec<_> = pair.wire.values().cloned().collect();
    pair.run_for(Duration::from_secs(1));
    for (end, init) in inits {
        assert_eq!(packet::first_chunk(&init), Some(chunk::INIT));
        pair.ends[end].handle_packet(pair.now, &init).unwrap();
    }
    pair.collect();
    pair.send(0, &reliable(0), "still here");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.states(), [State::Connected; 2]);
    assert_eq!(pair.messages(1, 0), ["still here"]);
}

/// INITs that are repeated when they have crossed keep the tag zero, without which they would be for nobody.
#[test]
fn every_init_has_no_tag() {
    let mut pair = Pair::new();
    pair.start();
    let (_, (end, init)) = pair.wire.pop_first().unwrap();
    pair.ends[end].handle_packet(pair.now, &init).unwrap();
    let mut inits = 0;
    for _ in 0..4 {
        while let Some(packet) = pair.ends[end].poll_transmit(pair.now) {
            if packet::first_chunk(&packet) == Some(chunk::INIT) {
                assert_eq!(packet::tag(&packet), Some(0));
                assert!(packet::has_good_checksum(&packet));
                inits += 1;
            }
        }
        pair.now += Duration::from_secs(4);
        pair.ends[end].handle_timeout(pair.now);
    }
    assert!(inits >= 2, "{inits} INITs were repeated");
}

#[test]
fn an_abort_ends_both() {
    let mut pair = Pair::connected();
    pair.send(0, &reliable(0), "under way");
    let abort = pair.ends[0].abort().expect("there is a peer");
    pair.collect();
    assert_eq!((pair.ends[0].state(), pair.ends[0].buffered_amount()), (State::Closed, 0));
    assert_eq!(pair.state_changes(0), [], "who aborts knows");
    assert_eq!(pair.ends[0].abort(), None);
    pair.wire.clear();
    pair.ends[1].handle_packet(pair.now, &abort).unwrap();
    pair.collect();
    assert_eq!(pair.state_changes(1), [State::Closed]);
    assert!(pair.wire.is_empty(), "an ABORT is not answered");
    let refused = pair.ends[1].send(&reliable(0), Ppid::String, "late".into());
    assert_eq!(refused, Err(SendError::NotConnected(State::Closed)));
}

/// A peer that says SHUTDOWN gets what was on its way to it, and the answers that it waits for.
#[test]
fn a_shutdown_by_the_peer_closes() {
    let mut pair = Pair::connected();
    let own_tag = {
        pair.send(0, &reliable(0), "x");
        packet::tag(&pair.wire.first_key_value().unwrap().1.1).unwrap()
    };
    pair.run_for(Duration::from_secs(1));
    let mut shutdown = [&5000_u16.to_be_bytes()[..], &5000_u16.to_be_bytes(), &own_tag.to_be_bytes(), &[0; 4]].concat();
    shutdown.extend_from_slice(&[chunk::SHUTDOWN, 0, 0, 8, 0, 0, 0, 0]);
    packet::write_checksum(&mut shutdown);
    pair.ends[1].handle_packet(pair.now, &shutdown).unwrap();
    let answer = pair.ends[1].poll_transmit(pair.now).unwrap();
    assert_eq!(packet::first_chunk(&answer), Some(chunk::SHUTDOWN_ACK));
    pair.collect();
    assert_eq!(pair.state_changes(1), [State::Closed]);
    // It does not go on for ever if the peer is gone.
    pair.wire.clear();
    let before = pair.now;
    while let Some(at) = pair.ends[1].poll_timeout() {
        pair.now = at;
        pair.ends[1].handle_timeout(at);
        pair.collect();
        pair.wire.clear();
    }
    assert!(pair.now - before <= Duration::from_secs(10));
}

#[test]
fn streams_are_as_many_as_both_have() {
    let few = Config { outgoing_streams: 10, incoming_streams: 16, ..config() };
    let mut pair = Pair::connected_with([few, Config { incoming_streams: 65_535, ..config() }]);
    assert_eq!([0, 1].map(|end| pair.ends[end].outgoing_streams()), [10, 16]);
    pair.send(1, &reliable(15), "the last one");
    let refused = pair.ends[1].send(&reliable(16), Ppid::Binary, "one too many".into());
    assert_eq!(refused, Err(SendError::NoStream(16)));
    // The peer receives on more than we had asked for.
    pair.send(0, &reliable(65_534), "the very last one");
    pair.run_for(Duration::from_secs(1));
    assert_eq!((pair.messages(0, 15).len(), pair.messages(1, 65_534).len()), (1, 1));
}
