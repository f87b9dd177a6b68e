//! How tuples come, go, and are limited.

use std::time::Duration;

use sfu_proto::ice::{Event, IceState, MAX_TUPLES, Protocol};

use super::support::{Agent, tuple, udp};

#[test]
fn only_tuples_that_passed_a_check_are_valid() {
    let mut agent = Agent::new();
    agent.check(udp(1));
    agent.check(udp(2));
    assert!(agent.ice.is_valid_tuple(&udp(1)));
    assert!(agent.ice.is_valid_tuple(&udp(2)));
    assert!(!agent.ice.is_valid_tuple(&udp(3)));
    let mut other_socket = udp(1);
    other_socket.local.set_port(1);
    assert!(!agent.ice.is_valid_tuple(&other_socket));
}

#[test]
fn one_too_many_and_the_idlest_unselected_has_to_go() {
    let mut agent = Agent::new();
    agent.nominate(udp(0));
    for port in 1..MAX_TUPLES as u16 {
        agent.after(Duration::from_millis(10)).check(udp(port));
    }
    // The selected tuple is the oldest, and 1 has been heard of since 2 was.
    agent.after(Duration::from_millis(10)).check(udp(1));
    agent.events();
    agent.after(Duration::from_millis(10)).check(udp(100));
    assert_eq!(agent.events(), [Event::TupleRemoved(udp(2)), Event::TupleAdded(udp(100))]);
    assert_eq!(agent.ice.tuples().count(), MAX_TUPLES);
    assert_eq!(agent.ice.selected_tuple(), Some(udp(0)));
}

#[test]
fn a_flood_of_tuples_stays_within_the_limit() {
    let mut agent = Agent::new();
    for port in 0..1000 {
        agent.nominate(udp(port));
        assert!(agent.ice.tuples().count() <= MAX_TUPLES);
        assert_eq!(agent.ice.selected_tuple(), Some(udp(port)));
    }
}

#[test]
fn when_the_selected_tuple_closes_the_latest_other_follows() {
    let mut agent = Agent::new();
    let tcp = tuple(Protocol::Tcp, 1);
    agent.nominate(tcp);
    agent.after(Duration::from_millis(10)).check(udp(2));
    agent.after(Duration::from_millis(10)).check(udp(3));
    agent.after(Duration::from_millis(10)).check(udp(2));
    agent.events();
    agent.ice.remove_tuple(&tcp);
    assert_eq!(agent.events(), [Event::TupleRemoved(tcp), Event::SelectedTuple(udp(2))]);
    assert_eq!(agent.ice.state(), IceState::Completed);
    assert!(!agent.ice.is_valid_tuple(&tcp));

    agent.ice.remove_tuple(&udp(3));
    assert_eq!(agent.events(), [Event::TupleRemoved(udp(3))]);
    agent.ice.remove_tuple(&udp(2));
    assert_eq!(agent.events(), [Event::TupleRemoved(udp(2)), Event::StateChange(IceState::Disconnected)]);
    assert_eq!(agent.ice.selected_tuple(), None);
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut agent = Agent::new();
    agent.ice.remove_tuple(&udp(1));
    agent.assert_untouched();
}

#[test]
fn after_disconnection_the_peer_can_come_back() {
    let mut agent = Agent::new();
    agent.check_as(udp(1), "server", |request| request.nomination(7));
    agent.ice.remove_tuple(&udp(1));
    agent.events();
    agent.check(udp(2));
    assert_eq!(
        agent.events(),
        [Event::TupleAdded(udp(2)), Event::SelectedTuple(udp(2)), Event::StateChange(IceState::Connected)]
    );
    agent.check_as(udp(2), "server", |request| request.nomination(1));
    assert_eq!(agent.ice.state(), IceState::Completed, "nominations count anew");
}
