//! The writer: a message from owned values.

use std::net::{IpAddr, SocketAddr};

use super::message::{FAMILY_IPV4, FAMILY_IPV6, xor_address};
use super::{Class, HEADER_LEN, MAGIC_COOKIE, TransactionId, attribute, integrity, message_type, padded};

/// Writes a message, attribute by attribute.
///
/// Attributes come in the order of the calls. The order that receivers expect is: the attributes, then
/// [`message_integrity`](Self::message_integrity), then [`fingerprint`](Self::fingerprint), then
/// [`finish`](Self::finish).
#[derive(Debug, Clone)]
pub struct MessageBuilder {
    bytes: Vec<u8>,
    id: TransactionId,
}

impl MessageBuilder {
    /// A message without attributes.
    pub fn new(class: Class, method: u16, id: TransactionId) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&message_type(class, method).to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        bytes.extend_from_slice(&id.0);
        Self { bytes, id }
    }

    /// Any attribute, padded with zeros.
    ///
    /// # Panics
    ///
    /// When the message would no longer fit its 16-bit length field.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let attributes = self.bytes.len() - HEADER_LEN + 4 + padded(value.len());
        assert!(attributes <= usize::from(u16::MAX), "a STUN message can't have {attributes} bytes of attributes");
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(HEADER_LEN + attributes, 0);
        self.bytes[2..4].copy_from_slice(&(attributes as u16).to_be_bytes());
        self
    }

    /// USERNAME.
    pub fn username(self, username: &str) -> Self {
        self.attribute(attribute::USERNAME, username.as_bytes())
    }

    /// SOFTWARE.
    pub fn software(self, software: &str) -> Self {
        self.attribute(attribute::SOFTWARE, software.as_bytes())
    }

    /// PRIORITY.
    pub fn priority(self, priority: u32) -> Self {
        self.attribute(attribute::PRIORITY, &priority.to_be_bytes())
    }

    /// USE-CANDIDATE.
    pub fn use_candidate(self) -> Self {
        self.attribute(attribute::USE_CANDIDATE, &[])
    }

    /// NOMINATION.
    pub fn nomination(self, nomination: u32) -> Self {
        self.attribute(attribute::NOMINATION, &nomination.to_be_bytes())
    }

    /// ICE-CONTROLLING.
    pub fn ice_controlling(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLING, &tie_breaker.to_be_bytes())
    }

    /// ICE-CONTROLLED.
    pub fn ice_controlled(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLED, &tie_breaker.to_be_bytes())
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn xor_mapped_address(self, address: SocketAddr) -> Self {
        let masked = xor_address(address, self.id);
        let mut value = Vec::with_capacity(20);
        value.push(0);
        value.push(if masked.is_ipv4() { FAMILY_IPV4 } else { FAMILY_IPV6 });
        value.extend_from_slice(&masked.port().to_be_bytes());
        match masked.ip() {
            IpAddr::V4(ip) => value.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => value.extend_from_slice(&ip.octets()),
        }
        self.attribute(attribute::XOR_MAPPED_ADDRESS, &value)
    }

    /// ERROR-CODE, with `code` in 300..=699.
    pub fn error_code(self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        self.attribute(attribute::ERROR_CODE, &value)
    }

    /// UNKNOWN-ATTRIBUTES.
    pub fn unknown_attributes(self, kinds: &[u16]) -> Self {
        let value: Vec<u8> = kinds.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, &value)
    }

    /// MESSAGE-INTEGRITY: HMAC-SHA1 under `key` over all that has been written. With short-term credentials the key is
    /// the password's bytes.
    pub fn message_integrity(self, key: &[u8]) -> Self {
        // The HMAC covers a header whose length counts this attribute already (RFC 8489 §14.5).
        let offset = self.bytes.len();
        let mut sealed = self.attribute(attribute::MESSAGE_INTEGRITY, &[0; integrity::HMAC_SHA1_LEN]);
        let hmac = integrity::hmac_sha1(key, &[&sealed.bytes[..offset]]);
        sealed.bytes[offset + 4..].copy_from_slice(&hmac);
        sealed
    }

    /// FINGERPRINT: must be the last attribute.
    pub fn fingerprint(self) -> Self {
        let offset = self.bytes.len();
        let mut sealed = self.attribute(attribute::FINGERPRINT, &[0; 4]);
        let fingerprint = integrity::fingerprint(&[&sealed.bytes[..offset]]);
        sealed.bytes[offset + 4..].copy_from_slice(&fingerprint.to_be_bytes());
        sealed
    }

    /// The message's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
