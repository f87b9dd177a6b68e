//! What the builder writes, the view reads.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use sfu_proto::stun::{Attribute, Class, ErrorCode, Message, MessageBuilder, TransactionId, attribute};

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Request), Just(Class::Indication), Just(Class::SuccessResponse), Just(Class::ErrorResponse)]
}

proptest! {
    #[test]
    fn a_connectivity_check(
        class in class(),
        method in 0u16..0x1000,
        id: [u8; 12],
        username in ".{0,100}",
        software in ".{0,100}",
        priority: u32,
        tie_breaker: u64,
        nomination: u32,
        use_candidate: bool,
        key in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut builder = MessageBuilder::new(class, method, TransactionId(id))
            .username(&username)
            .software(&software)
            .priority(priority)
            .nomination(nomination)
            .ice_controlling(tie_breaker)
            .ice_controlled(!tie_breaker);
        if use_candidate {
            builder = builder.use_candidate();
        }
        let bytes = builder.message_integrity(&key).fingerprint().finish();

        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.class(), class);
        prop_assert_eq!(message.method(), method);
        prop_assert_eq!(message.transaction_id(), TransactionId(id));
        prop_assert_eq!(message.username(), Ok(Some(&*username)));
        prop_assert_eq!(message.software(), Ok(Some(&*software)));
        prop_assert_eq!(message.priority(), Ok(Some(priority)));
        prop_assert_eq!(message.nomination(), Ok(Some(nomination)));
        prop_assert_eq!(message.ice_controlling(), Ok(Some(tie_breaker)));
        prop_assert_eq!(message.ice_controlled(), Ok(Some(!tie_breaker)));
        prop_assert_eq!(message.use_candidate(), Ok(use_candidate));
        prop_assert!(message.check_message_integrity(&key));
        prop_assert!(message.check_fingerprint());

        let mut wrong = key.clone();
        wrong.push(1);
        prop_assert!(!message.check_message_integrity(&wrong));
    }

    #[test]
    fn addresses(id: [u8; 12], ip: IpAddr, port: u16) {
        let address = SocketAddr::new(ip, port);
        let bytes = MessageBuilder::new(Class::SuccessResponse, 1, TransactionId(id)).xor_mapped_address(address).finish();
        prop_assert_eq!(Message::parse(&bytes).unwrap().xor_mapped_address(), Ok(Some(address)));
    }

    #[test]
    fn errors(code in 300u16..700, reason in ".{0,80}", kinds in proptest::collection::vec(any::<u16>(), 0..20)) {
        let bytes = MessageBuilder::new(Class::ErrorResponse, 1, TransactionId([0; 12]))
            .error_code(code, &reason)
            .unknown_attributes(&kinds)
            .finish();
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.error_code(), Ok(Some(ErrorCode { code, reason: &reason })));
        let listed: Vec<u16> = message
            .attribute(attribute::UNKNOWN_ATTRIBUTES)
            .unwrap()
            .chunks(2)
            .map(|kind| u16::from_be_bytes([kind[0], kind[1]]))
            .collect();
        prop_assert_eq!(listed, kinds);
    }

    #[test]
    fn attributes_in_their_order(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
        let mut builder = MessageBuilder::new(Class::Indication, 1, TransactionId([0; 12]));
        for (kind, value) in (0x9000..).zip(&values) {
            builder = builder.attribute(kind, value);
        }
        let bytes = builder.finish();
        let read: Vec<_> = Message::parse(&bytes).unwrap().attributes().collect();
        let written: Vec<_> = (0x9000..).zip(&values).map(|(kind, value)| Attribute { kind, value }).collect();
        prop_assert_eq!(read, written);
    }
}
