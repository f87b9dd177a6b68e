//! Opus payloads (RFC 6716 section 3).

/// Whether the packet is one of discontinuous transmission: a table of contents with at most one byte after it codes no
/// sound (RFC 6716 section 2.1.9), and a forwarder may leave it out.
pub fn is_dtx(payload: &[u8]) -> bool {
    matches!(payload.len(), 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_of_one_or_two_bytes_are_silence() {
        assert!(is_dtx(&[0x78]) && is_dtx(&[0x78, 0]));
        assert!(!is_dtx(&[0x78, 1, 2]) && !is_dtx(&[]));
    }
}
