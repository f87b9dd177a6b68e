//! Bytes that are not a STUN message, or not quite.

use proptest::prelude::*;
use sfu_proto::stun::{Class, Message, MessageBuilder, StunError, TransactionId, attribute, is_stun};

use super::rfc5769::{IPV4_RESPONSE, IPV6_RESPONSE, PASSWORD, REQUEST, bytes};

/// Calls all that there is to call on a message.
fn read_everything(message: &Message<'_>) {
    let _ = (message.class(), message.method(), message.transaction_id());
    let _ = (message.username(), message.receiver_username_fragment(), message.software(), message.priority());
    let _ = (message.use_candidate(), message.nomination(), message.ice_controlling(), message.ice_controlled());
    let _ = (message.xor_mapped_address(), message.error_code());
    let _ = (message.check_message_integrity(PASSWORD), message.check_fingerprint());
    let _ = message.attributes().count();
}

fn empty(class: Class) -> MessageBuilder {
    MessageBuilder::new(class, 1, TransactionId([0; 12]))
}

#[test]
fn every_prefix_of_a_message_is_refused() {
    for vector in [REQUEST, IPV4_RESPONSE, IPV6_RESPONSE] {
        let bytes = bytes(vector);
        for len in 0..bytes.len() {
            assert!(Message::parse(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn bytes_after_the_message_are_refused() {
    let mut bytes = bytes(REQUEST);
    bytes.extend_from_slice(&[0; 4]);
    assert_eq!(Message::parse(&bytes).unwrap_err(), StunError::Length { said: 88, present: 92 });
}

/// Each single-bit error breaks the structure or one of the checksums; none passes for the original.
#[test]
fn every_flipped_bit_is_noticed() {
    let original = bytes(REQUEST);
    for bit in 0..original.len() * 8 {
        let mut flipped = original.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(message) = Message::parse(&flipped) {
            assert!(!(message.check_fingerprint() && message.check_message_integrity(PASSWORD)), "bit {bit}");
        }
    }
}

#[test]
fn other_protocols_are_told_apart() {
    let stun = bytes(REQUEST);
    let mut dtls = stun.clone();
    dtls[0] = 22;
    let mut rtp = stun.clone();
    rtp[0] = 0x80;
    let mut classic = stun.clone();
    classic[4] ^= 1;
    assert!(is_stun(&stun));
    for other in [&dtls, &rtp, &classic, &stun[..19].to_vec(), &vec![]] {
        assert!(!is_stun(other));
    }
    assert_eq!(Message::parse(&rtp).unwrap_err(), StunError::NotStun);
    assert_eq!(Message::parse(&classic).unwrap_err(), StunError::NotStun);
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let parse = |bytes: &[u8]| Message::parse(bytes).map(|_| ()).unwrap_err();
    assert_eq!(parse(&[0; 19]), StunError::TooShort(19));

    let mut too_long = empty(Class::Request).software("abcd").priority(1).finish();
    too_long[31] = 5;
    assert_eq!(parse(&too_long), StunError::AttributeTooLong { kind: attribute::PRIORITY, offset: 28 });

    let after = empty(Class::Request).fingerprint().software("late").finish();
    assert_eq!(parse(&after), StunError::AfterFingerprint { kind: attribute::SOFTWARE, offset: 28 });

    let short = empty(Class::Request).attribute(attribute::MESSAGE_INTEGRITY, &[0; 19]).finish();
    assert_eq!(parse(&short), StunError::ValueLength { kind: attribute::MESSAGE_INTEGRITY, len: 19 });

    let value = |kind, value: &[u8]| empty(Class::Request).attribute(kind, value).finish();
    let bytes = value(attribute::PRIORITY, &[1, 2, 3]);
    let wrong_length = StunError::ValueLength { kind: attribute::PRIORITY, len: 3 };
    assert_eq!(Message::parse(&bytes).unwrap().priority(), Err(wrong_length));
    let bytes = value(attribute::USERNAME, &[0xff]);
    assert_eq!(Message::parse(&bytes).unwrap().username(), Err(StunError::Value { kind: attribute::USERNAME }));
    for address in [&[0, 3, 0, 0, 1, 2, 3, 4][..], &[0, 1, 0, 0, 1, 2, 3], &[0, 2, 0, 0, 1, 2, 3, 4], &[0, 1]] {
        let bytes = value(attribute::XOR_MAPPED_ADDRESS, address);
        assert!(Message::parse(&bytes).unwrap().xor_mapped_address().is_err(), "{address:?}");
    }
    for code in [&[0, 0, 2, 0][..], &[0, 0, 7, 0], &[0, 0, 4, 100], &[0, 0, 4]] {
        let bytes = value(attribute::ERROR_CODE, code);
        assert!(Message::parse(&bytes).unwrap().error_code().is_err(), "{code:?}");
    }
}

/// RFC 8489 §14.5: who appends to a message that someone else has sealed gets nowhere.
#[test]
fn attributes_after_message_integrity_are_invisible() {
    let bytes =
        empty(Class::Request).username("a:b").message_integrity(PASSWORD).use_candidate().fingerprint().finish();
    let message = Message::parse(&bytes).unwrap();
    assert!(message.check_message_integrity(PASSWORD) && message.check_fingerprint());
    assert_eq!(message.use_candidate(), Ok(false));
    let kinds: Vec<u16> = message.attributes().map(|attribute| attribute.kind).collect();
    assert_eq!(kinds, [attribute::USERNAME, attribute::MESSAGE_INTEGRITY, attribute::FINGERPRINT]);
}

#[test]
fn the_first_of_a_repeated_attribute_counts() {
    let bytes = empty(Class::Request).priority(1).priority(2).finish();
    assert_eq!(Message::parse(&bytes).unwrap().priority(), Ok(Some(1)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::parse(&bytes) {
            read_everything(&message);
        }
    }

    /// Arbitrary attributes behind a valid header get further than arbitrary bytes do.
    #[test]
    fn arbitrary_attributes_never_panic(message_type in 0u16..0x4000, words in proptest::collection::vec(any::<u32>(), 0..60)) {
        let mut bytes = message_type.to_be_bytes().to_vec();
        bytes.extend_from_slice(&(words.len() as u16 * 4).to_be_bytes());
        bytes.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        for word in &words {
            // Small lengths and known types are likely: half of the words look like an attribute's header.
            let word = if word & 1 == 0 { (word >> 10) & 0x002f_000f } else { *word };
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        if let Ok(message) = Message::parse(&bytes) {
            read_everything(&message);
        }
    }

    #[test]
    fn mutated_messages_never_panic(
        vector in prop_oneof![Just(REQUEST), Just(IPV4_RESPONSE), Just(IPV6_RESPONSE)],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = bytes(vector);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(message) = Message::parse(&bytes) {
            read_everything(&message);
        }
    }
}
