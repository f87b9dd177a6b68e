//! The agent and a full controlling agent, over a network that loses, delays, reorders and duplicates.

use std::time::{Duration, Instant};

use sfu_proto::ice::{IceLite, IceState, Protocol, Tuple};

use super::client::{Client, Link, Pairing};
use super::support::{CONSENT, credentials, tuple, udp};

const PERFECT: Link =
    Link { loss_percent: 0, duplication_percent: 0, delay: Duration::from_millis(20), jitter: Duration::ZERO };
const BAD: Link = Link {
    loss_percent: 30,
    duplication_percent: 10,
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(400),
};

fn pairing(tuples: &[Tuple], link: Link, seed: u64) -> Pairing {
    let now = Instant::now();
    let server = IceLite::new(credentials("server"), Some(CONSENT));
    Pairing::new(now, Client::new(now, credentials("server"), tuples), server, link, seed)
}

/// Both sides agree on the tuple, and the server knows that it was nominated.
fn agreed(pairing: &Pairing, on: Tuple) -> bool {
    pairing.client.nominated() == Some(on)
        && pairing.server.selected_tuple() == Some(on)
        && pairing.server.state() == IceState::Completed
}

#[test]
fn a_perfect_network_takes_two_round_trips() {
    let mut pairing = pairing(&[udp(1)], PERFECT, 1);
    let start = pairing.now;
    assert!(pairing.run(Duration::from_secs(1), |pairing| agreed(pairing, udp(1))));
    assert_eq!(pairing.now - start, 4 * PERFECT.delay);
    assert!(!pairing.client.mapped_address_was_wrong);
}

/// 500 seeds: with every third packet lost, one transaction succeeds with probability 0.49, so that in 30 seconds of
/// four checks a second the two that are needed practically always do.
#[test]
fn a_bad_network_takes_longer_and_ends_the_same() {
    for seed in 0..500 {
        let mut pairing = pairing(&[udp(1), udp(2), tuple(Protocol::Tcp, 3)], BAD, seed);
        let ok = pairing.run(Duration::from_secs(30), |pairing| agreed(pairing, udp(1)));
        assert!(ok, "seed {seed}: {:?} {:?}", pairing.client.nominated(), pairing.server);
        assert!(!pairing.client.mapped_address_was_wrong);
    }
}

#[test]
fn where_udp_is_blocked_tcp_is_nominated() {
    let tcp = tuple(Protocol::Tcp, 2);
    let mut pairing = pairing(&[udp(1), tcp], BAD, 7);
    pairing.dead.push(udp(1));
    assert!(pairing.run(Duration::from_secs(30), |pairing| agreed(pairing, tcp)));
    assert!(!pairing.server.is_valid_tuple(&udp(1)));
}

#[test]
fn consent_holds_for_an_hour_of_a_bad_network() {
    let mut pairing = pairing(&[udp(1)], Link { loss_percent: 15, ..BAD }, 3);
    assert!(pairing.run(Duration::from_secs(30), |pairing| agreed(pairing, udp(1))));
    let lost = pairing.run(Duration::from_secs(3600), |pairing| pairing.server.state() != IceState::Completed);
    assert!(!lost);
}

#[test]
fn a_dead_network_ends_it_after_the_consent_timeout() {
    let mut pairing = pairing(&[udp(1)], PERFECT, 3);
    assert!(pairing.run(Duration::from_secs(1), |pairing| agreed(pairing, udp(1))));
    pairing.dead.push(udp(1));
    let cut = pairing.now;
    assert!(pairing.run(2 * CONSENT, |pairing| pairing.server.state() == IceState::Disconnected));
    assert!(pairing.now - cut <= CONSENT && pairing.now - cut >= CONSENT - Duration::from_secs(6));
}

/// The client changes networks: its old tuple is dead, it comes with a new one under new credentials.
#[test]
fn a_restart_moves_the_session_to_another_network() {
    for seed in 0..100 {
        let mut pairing = pairing(&[udp(1)], BAD, seed);
        assert!(pairing.run(Duration::from_secs(30), |pairing| agreed(pairing, udp(1))));
        pairing.dead.push(udp(1));
        pairing.server.restart(credentials("second"));
        let now = pairing.now;
        pairing.client.restart(now, credentials("second"), &[udp(2)]);
        assert!(pairing.run(Duration::from_secs(30), |pairing| agreed(pairing, udp(2))), "seed {seed}");
        assert!(pairing.run(2 * CONSENT, |pairing| !pairing.server.is_valid_tuple(&udp(1))), "the old one expires");
        assert!(agreed(&pairing, udp(2)));
    }
}
