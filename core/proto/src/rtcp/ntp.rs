//! NTP timestamps (RFC 3550 section 4).

use std::time::Duration;

/// Seconds from the NTP epoch (1900) to the unix epoch (1970).
const UNIX_EPOCH: u64 = 2_208_988_800;

/// An NTP timestamp: seconds since 1900 in the upper 32 bits, their fraction in the lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ntp(pub u64);

impl Ntp {
    /// From the time since the unix epoch. Seconds wrap in 2036, as NTP's do.
    pub fn from_unix(since_epoch: Duration) -> Ntp {
        let seconds = since_epoch.as_secs().wrapping_add(UNIX_EPOCH);
        let fraction = (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000;
        Ntp(seconds << 32 | fraction)
    }

    /// The time since the unix epoch, to the nearest nanosecond; zero for times before it.
    pub fn to_unix(self) -> Duration {
        let nanos = (u64::from(self.fraction()) * 1_000_000_000 + (1 << 31)) >> 32;
        Duration::from_secs(u64::from(self.seconds()).saturating_sub(UNIX_EPOCH)) + Duration::from_nanos(nanos)
    }

    /// Whole seconds since 1900.
    pub fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Fraction of the second, in 2^-32 s.
    pub fn fraction(self) -> u32 {
        self.0 as u32
    }

    /// The middle 32 bits: 16.16 fixed-point seconds, as in LSR and LRR.
    pub fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// A duration as 16.16 fixed-point seconds, as in DLSR and DLRR; saturates at 65,536 s.
pub fn to_compact(duration: Duration) -> u32 {
    let fraction = (u64::from(duration.subsec_nanos()) << 16) / 1_000_000_000;
    match u16::try_from(duration.as_secs()) {
        Ok(seconds) => u32::from(seconds) << 16 | fraction as u32,
        Err(_) => u32::MAX,
    }
}

/// The duration that 16.16 fixed-point seconds stand for.
pub fn from_compact(compact: u32) -> Duration {
    Duration::from_nanos((u64::from(compact) * 1_000_000_000) >> 16)
}

/// Round-trip time by a report: `now - delay - last` in 16.16 fixed point (RFC 3550 section 6.4.1), where `last` is
/// the compact time at which the report's subject was sent (LSR, LRR) and `delay` how long the peer held it (DLSR,
/// DLRR). `None` if the peer has received none (`last` 0) or if the result is negative by the clocks' error.
pub fn round_trip(now: Ntp, last: u32, delay: u32) -> Option<Duration> {
    if last == 0 {
        return None;
    }
    let compact = now.compact().wrapping_sub(last).wrapping_sub(delay);
    (compact < 1 << 31).then(|| from_compact(compact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_unix_epoch_and_half_a_second() {
        let ntp = Ntp::from_unix(Duration::from_millis(500));
        assert_eq!((ntp.seconds(), ntp.fraction()), (2_208_988_800, 1 << 31));
        assert_eq!(ntp.compact(), 0x7e80_8000);
    }

    #[test]
    fn round_trip_of_the_example_in_rfc_3550() {
        // Section 6.4.1, figure 2: A = 0xb710:8000, DLSR = 5.25 s, LSR = 0xb705:2000, round trip 6.125 s.
        let now = Ntp(0xb44d_b710_8000_0000);
        assert_eq!(round_trip(now, 0xb705_2000, 0x0005_4000), Some(Duration::from_millis(6125)));
        assert_eq!(round_trip(now, 0, 0x0005_4000), None);
        assert_eq!(round_trip(now, 0xb710_8000, 1), None);
    }

    proptest! {
        #[test]
        fn unix_time_comes_back(seconds in 0u64..2_000_000_000, nanos in 0u32..1_000_000_000) {
            let time = Duration::new(seconds, nanos);
            prop_assert_eq!(Ntp::from_unix(time).to_unix(), time);
        }

        #[test]
        fn compact_durations_come_back_within_a_step(millis in 0u64..65_000_000) {
            let time = Duration::from_millis(millis);
            let back = from_compact(to_compact(time));
            prop_assert!(back <= time && time - back < Duration::from_nanos(15_260));
        }
    }
}
