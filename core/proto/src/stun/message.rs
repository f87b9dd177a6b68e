//! The view: a datagram whose structure has been checked, read in place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::integrity::{self, HMAC_SHA1_LEN};
use super::{Class, HEADER_LEN, MAGIC_COOKIE, TransactionId, attribute, class_and_method, padded};

/// What is wrong with a STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    /// The datagram is shorter than a header.
    #[error("a STUN header takes 20 bytes, there are {0}")]
    TooShort(usize),
    /// The two most significant bits, or the magic cookie, are those of another protocol.
    #[error("not STUN: the first byte or the magic cookie is wrong")]
    NotStun,
    /// The header's length field and the datagram disagree, or it isn't a multiple of four.
    #[error("the header says {said} bytes of attributes, there are {present}")]
    Length {
        /// The length field.
        said: usize,
        /// The bytes after the header.
        present: usize,
    },
    /// An attribute goes beyond the end of the message.
    #[error("attribute {kind:#06x} at byte {offset} goes beyond the end of the message")]
    AttributeTooLong {
        /// The attribute's type.
        kind: u16,
        /// Where its header is, from the message's first byte.
        offset: usize,
    },
    /// An attribute follows FINGERPRINT, which must be the last one.
    #[error("attribute {kind:#06x} at byte {offset} follows FINGERPRINT")]
    AfterFingerprint {
        /// The attribute's type.
        kind: u16,
        /// Where its header is, from the message's first byte.
        offset: usize,
    },
    /// An attribute's value has a length that its type doesn't allow.
    #[error("attribute {kind:#06x} can't have {len} bytes")]
    ValueLength {
        /// The attribute's type.
        kind: u16,
        /// The length of its value, in bytes.
        len: usize,
    },
    /// An attribute's value means nothing: bad UTF-8, an unknown address family, an error class outside 3..=6.
    #[error("attribute {kind:#06x} has a value that means nothing")]
    Value {
        /// The attribute's type.
        kind: u16,
    },
}

/// A STUN message in borrowed bytes.
///
/// Attributes that follow MESSAGE-INTEGRITY are outside its protection. As RFC 8489 §14.5 says they are invisible here,
/// except MESSAGE-INTEGRITY-SHA256 and FINGERPRINT. Of an attribute that occurs more than once, the first counts (§14).
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: u16,
    /// The offset of MESSAGE-INTEGRITY's header.
    integrity: Option<usize>,
    /// The offset of FINGERPRINT's header.
    fingerprint: Option<usize>,
}

/// One attribute: its type and its value without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The type, one of [`attribute`] or unknown.
    pub kind: u16,
    /// The value.
    pub value: &'a [u8],
}

/// The content of ERROR-CODE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// 300..=699.
    pub code: u16,
    /// The reason phrase, for people.
    pub reason: &'a str,
}

impl<'a> Message<'a> {
    /// Checks that `bytes` are exactly one message: header, length, every attribute inside, FINGERPRINT last.
    ///
    /// Neither checksum is verified: see [`check_fingerprint`](Self::check_fingerprint) and
    /// [`check_message_integrity`](Self::check_message_integrity).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, StunError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(StunError::TooShort(bytes.len()));
        };
        let message_type = u16::from_be_bytes([header[0], header[1]]);
        if message_type >= 0x4000 || header[4..8] != MAGIC_COOKIE.to_be_bytes() {
            return Err(StunError::NotStun);
        }
        let said = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let present = bytes.len() - HEADER_LEN;
        if said != present || said % 4 != 0 {
            return Err(StunError::Length { said, present });
        }

        let (class, method) = class_and_method(message_type);
        let mut message = Self { bytes, class, method, integrity: None, fingerprint: None };
        let mut offset = HEADER_LEN;
        while offset < bytes.len() {
            // The length is a multiple of four, so there are four bytes for the attribute's header.
            let kind = u16::from_be_bytes([bytes[offset], bytes[offset + 1]]);
            let len = usize::from(u16::from_be_bytes([bytes[offset + 2], bytes[offset + 3]]));
            if bytes.len() - offset - 4 < padded(len) {
                return Err(StunError::AttributeTooLong { kind, offset });
            }
            if message.fingerprint.is_some() {
                return Err(StunError::AfterFingerprint { kind, offset });
            }
            match kind {
                attribute::MESSAGE_INTEGRITY if message.integrity.is_none() => {
                    expect_len(kind, len, HMAC_SHA1_LEN)?;
                    message.integrity = Some(offset);
                }
                attribute::FINGERPRINT => {
                    expect_len(kind, len, 4)?;
                    message.fingerprint = Some(offset);
                }
                _ => {}
            }
            offset += 4 + padded(len);
        }
        Ok(message)
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The method, 12 bits.
    pub fn method(&self) -> u16 {
        self.method
    }

    /// The transaction id.
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.bytes[8..HEADER_LEN]);
        TransactionId(id)
    }

    /// The attributes in their order, those without protection left out (see [`Message`]).
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: &self.bytes[HEADER_LEN..], sealed: false }
    }

    /// The value of the first attribute of type `kind`.
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// USERNAME.
    pub fn username(&self) -> Result<Option<&'a str>, StunError> {
        self.text(attribute::USERNAME)
    }

    /// The ufrag before the colon of USERNAME: that of the agent that receives this request (RFC 8445 §7.2.2). It tells
    /// which of the agents that share a socket the request is for.
    pub fn receiver_username_fragment(&self) -> Result<Option<&'a str>, StunError> {
        Ok(self.username()?.and_then(|username| username.split_once(':')).map(|(receiver, _)| receiver))
    }

    /// SOFTWARE.
    pub fn software(&self) -> Result<Option<&'a str>, StunError> {
        self.text(attribute::SOFTWARE)
    }

    /// PRIORITY.
    pub fn priority(&self) -> Result<Option<u32>, StunError> {
        Ok(self.fixed(attribute::PRIORITY)?.map(u32::from_be_bytes))
    }

    /// Whether there is USE-CANDIDATE.
    pub fn use_candidate(&self) -> Result<bool, StunError> {
        Ok(self.fixed::<0>(attribute::USE_CANDIDATE)?.is_some())
    }

    /// NOMINATION.
    pub fn nomination(&self) -> Result<Option<u32>, StunError> {
        Ok(self.fixed(attribute::NOMINATION)?.map(u32::from_be_bytes))
    }

    /// The tie-breaker in ICE-CONTROLLING.
    pub fn ice_controlling(&self) -> Result<Option<u64>, StunError> {
        Ok(self.fixed(attribute::ICE_CONTROLLING)?.map(u64::from_be_bytes))
    }

    /// The tie-breaker in ICE-CONTROLLED.
    pub fn ice_controlled(&self) -> Result<Option<u64>, StunError> {
        Ok(self.fixed(attribute::ICE_CONTROLLED)?.map(u64::from_be_bytes))
    }

    /// XOR-MAPPED-ADDRESS, unmasked (RFC 8489 §14.2).
    pub fn xor_mapped_address(&self) -> Result<Option<SocketAddr>, StunError> {
        let kind = attribute::XOR_MAPPED_ADDRESS;
        let Some(value) = self.attribute(kind) else { return Ok(None) };
        let [_, family, port @ ..] =
            *value.first_chunk::<4>().ok_or(StunError::ValueLength { kind, len: value.len() })?;
        let address = &value[4..];
        let wrong_length = |_| StunError::ValueLength { kind, len: value.len() };
        let ip = match family {
            FAMILY_IPV4 => {
                IpAddr::V4(Ipv4Addr::from(address.try_into().map(u32::from_be_bytes).map_err(wrong_length)?))
            }
            FAMILY_IPV6 => {
                IpAddr::V6(Ipv6Addr::from(address.try_into().map(u128::from_be_bytes).map_err(wrong_length)?))
            }
            _ => return Err(StunError::Value { kind }),
        };
        Ok(Some(xor_address(SocketAddr::new(ip, u16::from_be_bytes(port)), self.transaction_id())))
    }

    /// ERROR-CODE (RFC 8489 §14.8).
    pub fn error_code(&self) -> Result<Option<ErrorCode<'a>>, StunError> {
        let kind = attribute::ERROR_CODE;
        let Some(value) = self.attribute(kind) else { return Ok(None) };
        let Some((&[_, _, hundreds, number], reason)) = value.split_first_chunk::<4>() else {
            return Err(StunError::ValueLength { kind, len: value.len() });
        };
        let hundreds = u16::from(hundreds & 0x07);
        let reason = str::from_utf8(reason).map_err(|_| StunError::Value { kind })?;
        if !(3..=6).contains(&hundreds) || number > 99 {
            return Err(StunError::Value { kind });
        }
        Ok(Some(ErrorCode { code: hundreds * 100 + u16::from(number), reason }))
    }

    /// Whether MESSAGE-INTEGRITY is there.
    pub fn has_message_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether FINGERPRINT is there.
    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and is the HMAC-SHA1 under `key` (RFC 8489 §14.5), compared in constant time.
    ///
    /// With short-term credentials the key is the password's bytes.
    pub fn check_message_integrity(&self, key: &[u8]) -> bool {
        let Some(offset) = self.integrity else { return false };
        // The HMAC was made when MESSAGE-INTEGRITY was the last attribute: its length field ended there.
        let end = offset + 4 + HMAC_SHA1_LEN;
        let hmac = integrity::hmac_sha1(
            key,
            &[&self.bytes[..2], &((end - HEADER_LEN) as u16).to_be_bytes(), &self.bytes[4..offset]],
        );
        openssl::memcmp::eq(&hmac, &self.bytes[offset + 4..end])
    }

    /// Whether FINGERPRINT is there and right (RFC 8489 §14.7).
    pub fn check_fingerprint(&self) -> bool {
        let Some(offset) = self.fingerprint else { return false };
        self.bytes[offset + 4..offset + 8] == integrity::fingerprint(&[&self.bytes[..offset]]).to_be_bytes()
    }

    fn text(&self, kind: u16) -> Result<Option<&'a str>, StunError> {
        self.attribute(kind).map(|value| str::from_utf8(value).map_err(|_| StunError::Value { kind })).transpose()
    }

    fn fixed<const N: usize>(&self, kind: u16) -> Result<Option<[u8; N]>, StunError> {
        self.attribute(kind)
            .map(|value| value.try_into().map_err(|_| StunError::ValueLength { kind, len: value.len() }))
            .transpose()
    }
}

/// Iterates over a [`Message`]'s attributes.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
    /// MESSAGE-INTEGRITY has been seen.
    sealed: bool,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&[k1, k0, l1, l0], rest) = self.rest.split_first_chunk::<4>()?;
            let kind = u16::from_be_bytes([k1, k0]);
            let len = usize::from(u16::from_be_bytes([l1, l0]));
            let value = rest.get(..len)?;
            self.rest = rest.get(padded(len)..)?;
            if self.sealed && !matches!(kind, attribute::MESSAGE_INTEGRITY_SHA256 | attribute::FINGERPRINT) {
                continue;
            }
            self.sealed |= kind == attribute::MESSAGE_INTEGRITY;
            return Some(Attribute { kind, value });
        }
    }
}

pub(super) const FAMILY_IPV4: u8 = 1;
pub(super) const FAMILY_IPV6: u8 = 2;

/// Masks an address or takes the mask off: the port with the cookie's upper half, an IPv4 address with the cookie, an
/// IPv6 address with the cookie and the transaction id (RFC 8489 §14.2).
pub(super) fn xor_address(address: SocketAddr, id: TransactionId) -> SocketAddr {
    let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) ^ MAGIC_COOKIE)),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(&id.0);
            IpAddr::V6(Ipv6Addr::from(u128::from(ip) ^ u128::from_be_bytes(mask)))
        }
    };
    SocketAddr::new(ip, port)
}

fn expect_len(kind: u16, len: usize, expected: usize) -> Result<(), StunError> {
    if len == expected { Ok(()) } else { Err(StunError::ValueLength { kind, len }) }
}
