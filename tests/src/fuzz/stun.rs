//! STUN messages: the view, the writer, both checksums.

use sfu_proto::stun::{Attribute, Message, MessageBuilder, attribute, is_stun};

const KEY: &[u8] = b"a password of 22 chars";

/// One message.
pub fn stun(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    if data[0] < 4 {
        assert!(is_stun(data), "what parses passes the cheap test");
    }
    let attributes: Vec<Attribute<'_>> = message.attributes().collect();
    assert!(attributes.len() <= data.len() / 4);
    // Getters agree with the list.
    for attribute in &attributes {
        assert!(message.attribute(attribute.kind).is_some());
    }
    let is_there = |kind| message.attribute(kind).is_some();
    assert_eq!(message.has_message_integrity(), is_there(attribute::MESSAGE_INTEGRITY));
    assert_eq!(message.has_fingerprint(), is_there(attribute::FINGERPRINT));
    if let Ok(Some(username)) = message.username() {
        assert_eq!(Some(username.as_bytes()), message.attribute(attribute::USERNAME));
    }
    if let Ok(Some(error)) = message.error_code() {
        assert!((300..700).contains(&error.code));
    }
    let _ = (message.software(), message.priority(), message.nomination(), message.use_candidate());
    let _ = (message.ice_controlling(), message.ice_controlled());
    let mapped = message.xor_mapped_address();
    let _ = (message.check_message_integrity(KEY), message.check_fingerprint());

    let new = || MessageBuilder::new(message.class(), message.method(), message.transaction_id());
    let written =
        attributes.iter().fold(new(), |builder, attribute| builder.attribute(attribute.kind, attribute.value)).finish();
    assert!(written.len() <= data.len());
    let again = Message::parse(&written).expect("what is written parses");
    assert_eq!(
        (again.class(), again.method(), again.transaction_id()),
        (message.class(), message.method(), message.transaction_id())
    );
    assert!(again.attributes().eq(attributes.iter().copied()));
    if let Ok(Some(address)) = mapped {
        let written = new().xor_mapped_address(address).finish();
        assert_eq!(Message::parse(&written).expect("it parses").xor_mapped_address(), Ok(Some(address)));
    }
    // Sealing makes it longer, and a message has a greatest length.
    if data.len() < 60_000 {
        check_sealing(new(), &attributes);
    }
}

/// A sealed message passes both checks, and none after a change.
fn check_sealing(builder: MessageBuilder, attributes: &[Attribute<'_>]) {
    let seals =
        [attribute::MESSAGE_INTEGRITY, attribute::MESSAGE_INTEGRITY_SHA256, attribute::FINGERPRINT].map(u32::from);
    let mut sealed = attributes
        .iter()
        .filter(|attribute| !seals.contains(&attribute.kind.into()))
        .fold(builder, |builder, attribute| builder.attribute(attribute.kind, attribute.value))
        .message_integrity(KEY)
        .fingerprint()
        .finish();
    let message = Message::parse(&sealed).expect("a sealed message parses");
    assert!(message.check_message_integrity(KEY) && message.check_fingerprint());
    assert!(!message.check_message_integrity(b"another key"));
    // The last byte of the transaction id is covered by both.
    sealed[19] ^= 1;
    let message = Message::parse(&sealed).expect("its structure is the same");
    assert!(!message.check_message_integrity(KEY) && !message.check_fingerprint());
}
