//! Which requests are answered, how, and which leave no trace.

use proptest::prelude::*;
use sfu_proto::ice::{IceError, IceState};
use sfu_proto::stun::{Class, METHOD_BINDING, Message, MessageBuilder, StunError, TransactionId, attribute};

use super::support::{Agent, credentials, request, sealed, udp};

/// Hands in a request that must be rejected with `code`, and leave no trace. Whether the response is authenticated
/// depends on whether the request was.
fn rejected(packet: &[u8], code: u16, authenticated: bool) -> IceError {
    let mut agent = Agent::new();
    let error = agent.handle(udp(1), packet).unwrap_err();
    let response = agent.response();
    assert_eq!(response.tuple, udp(1));
    let message = Message::parse(&response.payload).unwrap();
    assert_eq!((message.class(), message.method()), (Class::ErrorResponse, METHOD_BINDING));
    assert_eq!(message.transaction_id(), Message::parse(packet).unwrap().transaction_id());
    assert_eq!(message.error_code().unwrap().unwrap().code, code);
    assert_eq!(message.has_message_integrity(), authenticated);
    if authenticated {
        assert!(message.check_message_integrity(credentials("server").password.as_bytes()));
    }
    assert!(message.check_fingerprint());
    agent.assert_untouched();
    error
}

/// Hands in a packet that must get no answer and leave no trace.
fn ignored(packet: &[u8]) -> Result<(), IceError> {
    let mut agent = Agent::new();
    let result = agent.handle(udp(1), packet);
    assert_eq!(agent.ice.poll_transmit(), None);
    agent.assert_untouched();
    result
}

#[test]
fn a_good_request_is_answered_with_the_address_it_came_from() {
    for remote in ["198.51.100.7:50000", "[2001:db8::7]:50000"] {
        let mut agent = Agent::new();
        let mut tuple = udp(1);
        tuple.remote = remote.parse().unwrap();
        agent.handle(tuple, &sealed(request("server"), "server")).unwrap();
        let response = agent.response();
        assert_eq!(response.tuple, tuple);
        let message = Message::parse(&response.payload).unwrap();
        assert_eq!((message.class(), message.method()), (Class::SuccessResponse, METHOD_BINDING));
        assert_eq!(message.transaction_id(), TransactionId([9; 12]));
        assert_eq!(message.xor_mapped_address(), Ok(Some(tuple.remote)));
        assert!(message.check_message_integrity(credentials("server").password.as_bytes()));
        assert!(message.check_fingerprint());
        assert_eq!(agent.ice.state(), IceState::Connected);
    }
}

#[test]
fn without_username_or_message_integrity_400() {
    let no_integrity = request("server").fingerprint().finish();
    assert_eq!(rejected(&no_integrity, 400, false), IceError::Missing("MESSAGE-INTEGRITY"));

    let no_username = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([1; 12])).priority(1);
    assert_eq!(rejected(&sealed(no_username, "server"), 400, false), IceError::Missing("USERNAME"));
}

#[test]
fn for_someone_else_401() {
    for ufrag in ["serve", "server2", "SERVER", ""] {
        assert_eq!(rejected(&sealed(request(ufrag), "server"), 401, false), IceError::Username);
    }
    let no_colon =
        MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([1; 12])).username("server").priority(1);
    assert_eq!(rejected(&sealed(no_colon, "server"), 401, false), IceError::Username);
}

#[test]
fn under_a_wrong_password_401() {
    assert_eq!(rejected(&sealed(request("server"), "other"), 401, false), IceError::Integrity);
    let mut tampered = sealed(request("server").use_candidate(), "server");
    // The last byte of PRIORITY, with the FINGERPRINT made anew, which takes no key.
    let offset = tampered.windows(4).position(|bytes| bytes == [0x6e, 0, 1, 0xff]).unwrap();
    tampered[offset] = 0x7e;
    let body = Message::parse(&tampered).unwrap();
    let mut forged = MessageBuilder::new(Class::Request, METHOD_BINDING, body.transaction_id());
    for attribute in body.attributes().filter(|attribute| attribute.kind != attribute::FINGERPRINT) {
        forged = forged.attribute(attribute.kind, attribute.value);
    }
    assert_eq!(rejected(&forged.fingerprint().finish(), 401, false), IceError::Integrity);
}

#[test]
fn without_priority_400() {
    let no_priority = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([1; 12]))
        .username("server:peer")
        .ice_controlling(1);
    assert_eq!(rejected(&sealed(no_priority, "server"), 400, true), IceError::Missing("PRIORITY"));
}

#[test]
fn with_an_attribute_that_cannot_be_read_400() {
    for (kind, value) in [
        (attribute::USE_CANDIDATE, &[0; 4][..]),
        (attribute::NOMINATION, &[0; 3]),
        (attribute::ICE_CONTROLLED, &[0; 4]),
    ] {
        let packet = sealed(request("server").attribute(kind, value), "server");
        let wrong = StunError::ValueLength { kind, len: value.len() };
        assert_eq!(rejected(&packet, 400, true), IceError::Attribute(wrong));
    }
    let not_utf8 = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([1; 12]))
        .attribute(attribute::USERNAME, b"server:\xff")
        .priority(1);
    let wrong = StunError::Value { kind: attribute::USERNAME };
    assert_eq!(rejected(&sealed(not_utf8, "server"), 400, false), IceError::Attribute(wrong));
}

#[test]
fn with_unknown_attributes_that_must_be_understood_420() {
    let unknown = request("server").attribute(0x7f01, b"?").attribute(0xff01, b"?").attribute(0x0003, &[0; 4]);
    let packet = sealed(unknown, "server");
    assert_eq!(rejected(&packet, 420, true), IceError::UnknownAttributes(vec![0x7f01, 0x0003]));

    let mut agent = Agent::new();
    let _ = agent.handle(udp(1), &packet);
    let response = agent.response();
    let message = Message::parse(&response.payload).unwrap();
    assert_eq!(message.attribute(attribute::UNKNOWN_ATTRIBUTES), Some(&[0x7f, 0x01, 0x00, 0x03][..]));
}

/// However many attributes a request has, the response lists no more than 16 types.
#[test]
fn a_420_response_is_short() {
    let unknown = (0x7f00..0x7f20).fold(request("server"), |request, kind| request.attribute(kind, &[]));
    let packet = sealed(unknown, "server");
    assert_eq!(rejected(&packet, 420, true), IceError::UnknownAttributes((0x7f00..0x7f10).collect()));
}

#[test]
fn unknown_attributes_that_may_be_ignored_are() {
    let mut agent = Agent::new();
    agent.check_as(udp(1), "server", |request| request.attribute(0xc057, &[0, 1, 0, 10]).software("a browser"));
    assert_eq!(agent.ice.state(), IceState::Connected);
}

#[test]
fn from_a_controlled_peer_487() {
    let controlled = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([1; 12]))
        .username("server:peer")
        .ice_controlled(u64::MAX)
        .priority(1);
    assert_eq!(rejected(&sealed(controlled, "server"), 487, true), IceError::RoleConflict);
}

#[test]
fn without_fingerprint_silence() {
    let none = request("server").message_integrity(credentials("server").password.as_bytes()).finish();
    assert_eq!(ignored(&none), Err(IceError::Fingerprint));
    let mut wrong = sealed(request("server"), "server");
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(ignored(&wrong), Err(IceError::Fingerprint));
}

#[test]
fn of_another_method_silence() {
    let allocate =
        MessageBuilder::new(Class::Request, 0x003, TransactionId([1; 12])).username("server:peer").priority(1);
    assert_eq!(ignored(&sealed(allocate, "server")), Err(IceError::Method(0x003)));
}

#[test]
fn indications_and_responses_are_ignored() {
    for class in [Class::Indication, Class::SuccessResponse, Class::ErrorResponse] {
        let message = MessageBuilder::new(class, METHOD_BINDING, TransactionId([1; 12]))
            .username("server:peer")
            .priority(1)
            .use_candidate();
        assert_eq!(ignored(&sealed(message, "server")), Ok(()));
    }
}

/// The two agents of a loop can't keep each other busy: an agent answers no response.
#[test]
fn an_answer_is_never_answered() {
    let mut agent = Agent::new();
    agent.handle(udp(1), &sealed(request("server"), "other")).unwrap_err();
    let response = agent.response();
    assert_eq!(ignored(&response.payload), Ok(()));
}

/// A response is no weapon: it must not be much longer than the request that an attacker forged.
#[test]
fn unauthenticated_requests_are_not_amplified() {
    let smallest = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([1; 12])).fingerprint().finish();
    let mut agent = Agent::new();
    agent.handle(udp(1), &smallest).unwrap_err();
    assert!(agent.response().payload.len() <= 2 * smallest.len());
}

proptest! {
    #[test]
    fn arbitrary_bytes_leave_no_trace(packet in proptest::collection::vec(any::<u8>(), 0..150)) {
        prop_assert!(ignored(&packet).is_err());
    }

    /// Whatever happens to a packet on its way, nothing comes of it: an error, or silence where the change made it a
    /// response or an indication.
    #[test]
    fn mutated_requests_leave_no_trace(at: prop::sample::Index, change in 1u8..) {
        let mut packet = sealed(request("server").use_candidate(), "server");
        let at = at.index(packet.len());
        packet[at] ^= change;
        let _ = ignored(&packet);
    }

    /// The same with FINGERPRINT made to fit, as an attacker would.
    #[test]
    fn forged_requests_leave_no_trace(at: prop::sample::Index, change in 1u8..) {
        let original = sealed(request("server").use_candidate(), "server");
        let mut packet = original.clone();
        // Behind the type, a change of which would make it no request, and the length.
        let at = 4 + at.index(packet.len() - 4);
        packet[at] ^= change;
        let Ok(message) = Message::parse(&packet) else { return Ok(()) };
        let mut forged = MessageBuilder::new(message.class(), message.method(), message.transaction_id());
        for attribute in message.attributes().filter(|attribute| attribute.kind != attribute::FINGERPRINT) {
            forged = forged.attribute(attribute.kind, attribute.value);
        }
        let forged = forged.fingerprint().finish();
        // A change of FINGERPRINT, or of padding, is undone by the forger.
        prop_assume!(forged != original);
        let mut agent = Agent::new();
        prop_assert!(agent.handle(udp(1), &forged).is_err());
        agent.assert_untouched();
    }
}
