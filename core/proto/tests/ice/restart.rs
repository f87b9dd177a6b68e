//! ICE restart (RFC 8445 §9): new credentials, the same media.

use sfu_proto::ice::{Event, IceError, IceState};

use super::support::{Agent, credentials, request, sealed, udp};

#[test]
fn old_credentials_serve_until_the_first_good_check_with_the_new_ones() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    agent.events();

    agent.ice.restart(credentials("second"));
    assert_eq!(agent.ice.local_credentials().username_fragment, "second");
    assert_eq!((agent.ice.state(), agent.ice.selected_tuple()), (IceState::Completed, Some(udp(1))));
    agent.check_as(udp(1), "server", |request| request);
    assert_eq!(agent.events(), [], "the peer may not know of the restart yet");

    agent.check_as(udp(2), "second", |request| request.use_candidate());
    assert_eq!(
        agent.events(),
        [Event::CredentialsRetired("server".into()), Event::TupleAdded(udp(2)), Event::SelectedTuple(udp(2))]
    );

    let late = sealed(request("server"), "server");
    assert_eq!(agent.handle(udp(1), &late), Err(IceError::Username));
}

#[test]
fn a_bad_check_with_the_new_ufrag_does_not_end_the_old_credentials() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    agent.ice.restart(credentials("second"));
    assert_eq!(agent.handle(udp(2), &sealed(request("second"), "server")), Err(IceError::Integrity));
    agent.response();
    agent.check(udp(1));
}

#[test]
fn the_passwords_are_not_interchangeable() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    agent.ice.restart(credentials("second"));
    assert_eq!(agent.handle(udp(1), &sealed(request("server"), "second")), Err(IceError::Integrity));
    assert_eq!(agent.handle(udp(1), &sealed(request("second"), "server")), Err(IceError::Integrity));
}

/// The peer still holds the first ones: those in between were never used.
#[test]
fn a_restart_overtaken_by_another_retires_the_credentials_in_between() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    agent.events();
    agent.ice.restart(credentials("second"));
    agent.ice.restart(credentials("third"));
    assert_eq!(agent.events(), [Event::CredentialsRetired("second".into())]);
    agent.check(udp(1));
    assert_eq!(agent.handle(udp(1), &sealed(request("second"), "second")), Err(IceError::Username));
    agent.response();
    agent.check_as(udp(1), "third", |request| request);
    assert_eq!(agent.events(), [Event::CredentialsRetired("server".into())]);
}

#[test]
fn a_restart_brings_a_disconnected_peer_back() {
    let mut agent = Agent::new();
    agent.nominate(udp(1));
    agent.ice.remove_tuple(&udp(1));
    agent.ice.restart(credentials("second"));
    assert_eq!(agent.ice.state(), IceState::Disconnected);
    agent.check_as(udp(2), "second", |request| request.use_candidate());
    assert_eq!((agent.ice.state(), agent.ice.selected_tuple()), (IceState::Completed, Some(udp(2))));
}

#[test]
fn nominations_count_anew_in_the_new_session() {
    let mut agent = Agent::new();
    agent.check_as(udp(1), "server", |request| request.nomination(9));
    agent.ice.restart(credentials("second"));
    agent.check_as(udp(1), "server", |request| request.nomination(10));
    agent.check_as(udp(2), "second", |request| request.nomination(1));
    assert_eq!(agent.ice.selected_tuple(), Some(udp(2)));
}
