//! STUN (RFC 8489): messages as checked views, and a builder.
//!
//! A [`Message`] borrows the bytes of a datagram and checks their structure once; after that, its getters can't fail on
//! structure, only on the content of the attribute that is asked for. A [`MessageBuilder`] writes a message from owned
//! values, and closes it with MESSAGE-INTEGRITY and FINGERPRINT.
//!
//! What is here is what ICE connectivity checks (RFC 8445 §7) use: the Binding method, short-term credentials with
//! HMAC-SHA1 and the ICE attributes. Left out: the long-term credential mechanism's nonces, realms and password
//! algorithms, MESSAGE-INTEGRITY-SHA256, retransmission (an ICE-lite agent sends no requests), and the classic STUN of
//! RFC 3489, which has no magic cookie.
//!
//! ```
//! use sfu_proto::stun::{Class, Message, MessageBuilder, TransactionId, METHOD_BINDING};
//!
//! let request = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([7; 12]))
//!     .username("server:client")
//!     .priority(0x6e00_01ff)
//!     .message_integrity(b"the server's password")
//!     .fingerprint()
//!     .finish();
//!
//! let message = Message::parse(&request)?;
//! assert_eq!(message.username()?, Some("server:client"));
//! assert!(message.check_message_integrity(b"the server's password"));
//! # Ok::<(), sfu_proto::stun::StunError>(())
//! ```

mod builder;
mod integrity;
mod message;

pub use builder::MessageBuilder;
pub use message::{Attribute, Attributes, ErrorCode, Message, StunError};

/// The fixed value in bytes 4..8 of every message (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The length of the header, in bytes: type, length, magic cookie, transaction id.
pub const HEADER_LEN: usize = 20;

/// The Binding method (RFC 8489 §18.1), the only one that ICE uses.
pub const METHOD_BINDING: u16 = 0x001;

/// Attribute types (RFC 8489 §18.3, RFC 8445 §20.1). Those below 0x8000 are comprehension-required.
pub mod attribute {
    /// MAPPED-ADDRESS: the reflexive address, in clear.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// USERNAME: `receiver's ufrag ":" sender's ufrag` in ICE.
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY: HMAC-SHA1, 20 bytes.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE.
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES: the types that a 420 response is about.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    /// REALM, of the long-term credential mechanism.
    pub const REALM: u16 = 0x0014;
    /// NONCE, of the long-term credential mechanism.
    pub const NONCE: u16 = 0x0015;
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    /// XOR-MAPPED-ADDRESS: the reflexive address, masked against meddling NATs.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// PRIORITY: that of the peer-reflexive candidate that this check would make.
    pub const PRIORITY: u16 = 0x0024;
    /// USE-CANDIDATE: the controlling agent nominates this pair.
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// SOFTWARE: a description for people.
    pub const SOFTWARE: u16 = 0x8022;
    /// FINGERPRINT: CRC-32 of the message, xor 0x5354554e.
    pub const FINGERPRINT: u16 = 0x8028;
    /// ICE-CONTROLLED, with the sender's tie-breaker.
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// ICE-CONTROLLING, with the sender's tie-breaker.
    pub const ICE_CONTROLLING: u16 = 0x802A;
    /// NOMINATION: a growing counter with which a controlling agent renominates (draft-thatcher-ice-renomination).
    pub const NOMINATION: u16 = 0xC001;
}

/// The class of a message (RFC 8489 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Asks for a response.
    Request,
    /// Asks for none.
    Indication,
    /// Answers a request that was accepted.
    SuccessResponse,
    /// Answers a request that was rejected, with an ERROR-CODE.
    ErrorResponse,
}

/// The 96 random bits that tie a response to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// Whether a datagram is STUN, judged by its first byte (0..=3, RFC 7983 §7), its length and the magic cookie.
///
/// This is the cheap test for demultiplexing. [`Message::parse`] may still refuse the datagram.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_LEN && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE.to_be_bytes()
}

/// The 14-bit message type: the method's twelve bits with the class's two between them (RFC 8489 §5, figure 3).
///
/// ```text
///  13 12 11 10  9  8  7  6  5  4  3  2  1  0
///  M11 .. ..  .  . M7 C1 M6 .. M4 C0 M3 .. M0
/// ```
fn message_type(class: Class, method: u16) -> u16 {
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::SuccessResponse => 0x100,
        Class::ErrorResponse => 0x110,
    };
    (method & 0x00F) | (method & 0x070) << 1 | (method & 0xF80) << 2 | class
}

/// The inverse of [`message_type`].
fn class_and_method(message_type: u16) -> (Class, u16) {
    let class = match message_type & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::SuccessResponse,
        _ => Class::ErrorResponse,
    };
    (class, (message_type & 0x00F) | (message_type & 0x0E0) >> 1 | (message_type & 0x3E00) >> 2)
}

/// The length of an attribute's value with its padding to a multiple of four bytes (RFC 8489 §14).
fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}
