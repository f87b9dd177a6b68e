//! The test vectors of RFC 5769.

use std::net::SocketAddr;

use openssl::hash::MessageDigest;
use sfu_proto::stun::{Class, METHOD_BINDING, Message, MessageBuilder, TransactionId, attribute, is_stun};

/// The password of §2.1 to §2.3.
pub const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

/// §2.1: a connectivity check. The padding of USERNAME is spaces.
pub const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
    802200105354554e207465737420636c69656e74\
    002400046e0001ff\
    80290008932ff9b151263b36\
    000600096576746a3a68367659202020\
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
    80280004e57a3bcf";

/// §2.2.
pub const IPV4_RESPONSE: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae\
    8022000b7465737420766563746f7220\
    002000080001a147e112a643\
    000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7\
    80280004c07d4c96";

/// §2.3.
pub const IPV6_RESPONSE: &str = "010100482112a442b7e7a701bc34d686fa87dfae\
    8022000b7465737420766563746f7220\
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9\
    00080014a382954e4be67bf11784c97c8292c275bfe3ed41\
    80280004c8fb0b4c";

/// §2.4: long-term credentials, no FINGERPRINT.
const LONG_TERM_REQUEST: &str = "000100602112a44278ad3433c6ad72c029da412e\
    00060012e3839ee38388e383aae38383e382afe382b90000\
    0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b\
    6578616d706c652e6f726700\
    00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

pub fn bytes(vector: &str) -> Vec<u8> {
    hex::decode(vector).unwrap()
}

const ID: TransactionId = TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

#[test]
fn sample_request() {
    let bytes = bytes(REQUEST);
    assert!(is_stun(&bytes));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, METHOD_BINDING));
    assert_eq!(message.transaction_id(), ID);
    assert_eq!(message.software(), Ok(Some("STUN test client")));
    assert_eq!(message.priority(), Ok(Some(0x6e00_01ff)));
    assert_eq!(message.ice_controlled(), Ok(Some(0x932f_f9b1_5126_3b36)));
    assert_eq!(message.ice_controlling(), Ok(None));
    assert_eq!(message.username(), Ok(Some("evtj:h6vY")));
    assert_eq!(message.receiver_username_fragment(), Ok(Some("evtj")));
    assert_eq!(message.use_candidate(), Ok(false));
    assert!(message.check_fingerprint());
    assert!(message.check_message_integrity(PASSWORD));
    assert!(!message.check_message_integrity(b"VOkJxbRl1RmTxUk/WvJxBu"));
}

#[test]
fn sample_responses() {
    for (vector, address) in
        [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let bytes = bytes(vector);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::SuccessResponse, METHOD_BINDING));
        assert_eq!(message.transaction_id(), ID);
        assert_eq!(message.software(), Ok(Some("test vector")));
        assert_eq!(message.xor_mapped_address(), Ok(Some(address.parse::<SocketAddr>().unwrap())));
        assert!(message.check_fingerprint());
        assert!(message.check_message_integrity(PASSWORD));
    }
}

#[test]
fn sample_request_with_long_term_authentication() {
    let bytes = bytes(LONG_TERM_REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Ok(Some("マトリックス")));
    assert_eq!(message.attribute(attribute::REALM), Some(&b"example.org"[..]));
    assert_eq!(message.attribute(attribute::NONCE), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    let key = openssl::hash::hash(MessageDigest::md5(), "マトリックス:example.org:TheMatrIX".as_bytes()).unwrap();
    assert!(message.check_message_integrity(&key));
    assert!(!message.check_fingerprint(), "there is none");
}

/// The vector pads SOFTWARE with a space and the builder with zero, so the space is made a part of the value here, and
/// the length bytes that this changes are changed in the vector too. What seals a message is not compared: the HMAC
/// covers those bytes.
#[test]
fn the_builder_writes_the_bytes_of_the_ipv6_response() {
    let written = MessageBuilder::new(Class::SuccessResponse, METHOD_BINDING, ID)
        .attribute(attribute::SOFTWARE, b"test vector ")
        .xor_mapped_address("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap())
        .finish();
    let mut expected = bytes(IPV6_RESPONSE);
    expected.truncate(written.len());
    expected[2..4].copy_from_slice(&[0, 40]);
    expected[23] = 12;
    assert_eq!(hex::encode(written), hex::encode(expected));
}
