//! Priorities of the candidates that a lite agent offers.

/// The type preference of host candidates. RFC 8445 recommends 126; mediasoup's 64 is what its clients know.
const TYPE_PREFERENCE: u32 = 64;
/// The local preference of the first listen address.
const LOCAL_PREFERENCE: u32 = 10_000;
/// What the preferred transport protocol has more.
const PROTOCOL_BONUS: u32 = 1_000;
/// What each further listen address has less.
const LISTEN_ADDRESS_STEP: u32 = 100;
/// RTP and RTCP share the only component.
const COMPONENT: u32 = 1;

/// The priority (RFC 8445 §5.1.2.1) of the host candidate on the `listen_index`-th listen address, counted from 0.
///
/// `preferred` is for the transport protocol, UDP or TCP, that the transport prefers. The local preferences are
/// mediasoup's, so that its clients order our candidates alike.
pub fn host_candidate_priority(listen_index: usize, preferred: bool) -> u32 {
    let step = u32::try_from(listen_index).unwrap_or(u32::MAX).saturating_mul(LISTEN_ADDRESS_STEP);
    let bonus = if preferred { PROTOCOL_BONUS } else { 0 };
    let local = (LOCAL_PREFERENCE + bonus).saturating_sub(step);
    (TYPE_PREFERENCE << 24) + (local << 8) + (256 - COMPONENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_mediasoups() {
        // As `mediasoup` 3.12 reports for one listen address with preferUdp: 2^24·64 + 2^8·local + 255.
        assert_eq!(host_candidate_priority(0, true), 1_076_558_079);
        assert_eq!(host_candidate_priority(0, false), 1_076_302_079);
        assert_eq!(host_candidate_priority(1, false), 1_076_276_479);
    }

    #[test]
    fn a_very_long_list_of_addresses_ends_at_the_lowest_preference() {
        assert_eq!(host_candidate_priority(usize::MAX, false), (64 << 24) + 255);
    }
}
