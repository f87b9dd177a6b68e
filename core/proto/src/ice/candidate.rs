//! Priorities of the candidates that a lite agent offers.

/// The type preference of host candidates. RFC 8445 recommends 126; mediasoup's 64 is what its clients know.
const TYPE_PREFERENCE: u32 = 64;
/// RTP and RTCP share the only component.
const COMPONENT: u32 = 1;

/// The priority (RFC 8445 §5.1.2.1) of a host candidate; `local_preference` orders an agent's candidates among themselves.
pub fn host_candidate_priority(local_preference: u16) -> u32 {
    (TYPE_PREFERENCE << 24) + (u32::from(local_preference) << 8) + (256 - COMPONENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_mediasoups() {
        // As `mediasoup` 3.12 reports for one listen address, with preferUdp and without.
        assert_eq!(host_candidate_priority(11_000), 1_076_558_079);
        assert_eq!(host_candidate_priority(10_000), 1_076_302_079);
    }

    #[test]
    fn the_type_counts_more_than_any_local_preference() {
        assert_eq!(host_candidate_priority(0), (64 << 24) + 255);
        assert_eq!(host_candidate_priority(u16::MAX), (65 << 24) - 1);
    }
}
