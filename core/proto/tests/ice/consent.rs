//! RFC 7675, seen from the side that answers: who isn't heard of for the timeout is not sent to any more.

use std::time::Duration;

use sfu_proto::ice::{Event, IceLite, IceState};

use super::support::{Agent, CONSENT, credentials, request, sealed, udp};

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_peer_that_falls_silent_is_disconnected_when_the_timeout_has_passed() {
    let mut agent = Agent::new();
    assert_eq!(agent.ice.poll_timeout(), None);
    agent.nominate(udp(1));
    agent.events();
    let deadline = agent.now + CONSENT;
    assert_eq!(agent.ice.poll_timeout(), Some(deadline));

    agent.ice.handle_timeout(deadline - MOMENT);
    assert_eq!(agent.events(), []);
    agent.ice.handle_timeout(deadline);
    assert_eq!(agent.events(), [Event::TupleRemoved(udp(1)), Event::StateChange(IceState::Disconnected)]);
    assert_eq!(agent.ice.selected_tuple(), None);
    assert!(!agent.ice.is_valid_tuple(&udp(1)));
    assert_eq!(agent.ice.poll_timeout(), None);
}

#[test]
fn each_good_check_prolongs_consent() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    for _ in 0..10 {
        agent.after(CONSENT - MOMENT).check(udp(1));
        agent.ice.handle_timeout(agent.now);
        assert_eq!(agent.ice.poll_timeout(), Some(agent.now + CONSENT));
    }
    assert_eq!(agent.ice.state(), IceState::Completed);
}

#[test]
fn only_good_checks_do() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    let deadline = agent.ice.poll_timeout();
    agent.after(CONSENT / 2);
    agent.handle(udp(1), &sealed(request("server"), "other")).unwrap_err();
    agent.handle(udp(1), &sealed(request("server").attribute(0x7f00, &[]), "server")).unwrap_err();
    assert_eq!(agent.ice.poll_timeout(), deadline);
}

#[test]
fn a_silent_selected_tuple_gives_way_to_one_that_is_alive() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    agent.after(CONSENT / 2).check(udp(2));
    agent.events();
    agent.after(CONSENT / 2);
    agent.ice.handle_timeout(agent.now);
    assert_eq!(agent.events(), [Event::TupleRemoved(udp(1)), Event::SelectedTuple(udp(2))]);
    assert_eq!(agent.ice.state(), IceState::Completed);
}

/// With all tuples expired at the same time none of them is selected on the way.
#[test]
fn tuples_that_expire_together_go_without_a_detour() {
    let mut agent = Agent::new();
    for port in [1, 2, 3] {
        agent.nominate(udp(port));
    }
    agent.nominate(udp(1));
    agent.events();
    agent.after(2 * CONSENT);
    agent.ice.handle_timeout(agent.now);
    assert_eq!(
        agent.events(),
        [
            Event::TupleRemoved(udp(2)),
            Event::TupleRemoved(udp(3)),
            Event::TupleRemoved(udp(1)),
            Event::StateChange(IceState::Disconnected)
        ]
    );
}

#[test]
fn without_a_timeout_nothing_expires() {
    let mut agent = Agent::new();
    agent.ice = IceLite::new(credentials("server"), None);
    agent.nominate(udp(1));
    assert_eq!(agent.ice.poll_timeout(), None);
    agent.after(100 * CONSENT);
    agent.ice.handle_timeout(agent.now);
    assert_eq!(agent.ice.state(), IceState::Completed);
}
