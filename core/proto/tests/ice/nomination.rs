//! Which tuple is selected, and what the state is.

use sfu_proto::ice::{Event, IceState, Protocol};

use super::support::{Agent, tuple, udp};

#[test]
fn the_first_check_connects_and_a_nomination_completes() {
    let mut agent = Agent::new();
    agent.check(udp(1));
    assert_eq!(agent.ice.selected_tuple(), Some(udp(1)));
    assert_eq!(
        agent.events(),
        [Event::TupleAdded(udp(1)), Event::SelectedTuple(udp(1)), Event::StateChange(IceState::Connected)]
    );

    agent.check(udp(2));
    assert_eq!(agent.ice.selected_tuple(), Some(udp(1)), "a check without USE-CANDIDATE moves nothing");
    assert_eq!(agent.events(), [Event::TupleAdded(udp(2))]);

    agent.nominate(udp(2));
    assert_eq!(agent.ice.selected_tuple(), Some(udp(2)));
    assert_eq!(agent.events(), [Event::SelectedTuple(udp(2)), Event::StateChange(IceState::Completed)]);
}

#[test]
fn aggressive_nomination_completes_at_once_and_the_latest_wins() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    assert_eq!(
        agent.events(),
        [Event::TupleAdded(udp(1)), Event::SelectedTuple(udp(1)), Event::StateChange(IceState::Completed)]
    );
    agent.nominate(udp(2));
    agent.nominate(udp(2));
    assert_eq!(agent.events(), [Event::TupleAdded(udp(2)), Event::SelectedTuple(udp(2))]);
    agent.nominate(udp(1));
    assert_eq!(agent.events(), [Event::SelectedTuple(udp(1))]);
    assert_eq!(agent.ice.state(), IceState::Completed);
}

#[test]
fn checks_on_the_other_tuples_leave_a_nominated_one_alone() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    agent.events();
    agent.check(udp(2));
    agent.check(udp(1));
    assert_eq!(agent.events(), [Event::TupleAdded(udp(2))]);
    assert_eq!((agent.ice.state(), agent.ice.selected_tuple()), (IceState::Completed, Some(udp(1))));
}

/// A delayed check with a lower NOMINATION doesn't take the decision back.
#[test]
fn renomination_only_counts_upwards() {
    let mut agent = Agent::new();
    agent.check_as(udp(1), "server", |request| request.nomination(1));
    assert_eq!(agent.ice.state(), IceState::Completed);
    agent.check_as(udp(2), "server", |request| request.nomination(3));
    assert_eq!(agent.ice.selected_tuple(), Some(udp(2)));
    for late in [1, 2, 3] {
        agent.check_as(udp(1), "server", |request| request.nomination(late).use_candidate());
        assert_eq!(agent.ice.selected_tuple(), Some(udp(2)), "nomination {late}");
    }
    agent.check_as(udp(1), "server", |request| request.nomination(4));
    assert_eq!(agent.ice.selected_tuple(), Some(udp(1)));
}

#[test]
fn tcp_and_udp_of_the_same_addresses_are_two_tuples() {
    let mut agent = Agent::new();
    agent.nominate(tuple(Protocol::Tcp, 1));
    assert!(!agent.ice.is_valid_tuple(&udp(1)));
    agent.nominate(udp(1));
    assert_eq!(agent.ice.selected_tuple(), Some(udp(1)));
    assert_eq!(agent.ice.tuples().count(), 2);
}
