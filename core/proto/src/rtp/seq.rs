//! Arithmetic on numbers that wrap: sequence numbers (u16) and timestamps (u32), in the manner of RFC 1982.
//!
//! Of two numbers exactly half the number space apart neither is newer.

/// Whether sequence number `a` comes after `b`.
pub fn newer(a: u16, b: u16) -> bool {
    (a.wrapping_sub(b) as i16) > 0
}

/// The shortest way from `b` to `a`: positive if `a` comes after `b`; -32768 to 32767.
pub fn diff(a: u16, b: u16) -> i32 {
    i32::from(a.wrapping_sub(b) as i16)
}

/// Whether timestamp `a` comes after `b`.
pub fn timestamp_newer(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// The shortest way from timestamp `b` to `a`: positive if `a` comes after `b`.
pub fn timestamp_diff(a: u32, b: u32) -> i64 {
    i64::from(a.wrapping_sub(b) as i32)
}

/// Unwraps 16-bit sequence numbers into 64-bit ones, by their distance from the highest so far.
///
/// The first one stands for itself; those before it may unwrap to negative numbers. The low 16 bits of an unwrapped
/// number are always the sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtendedSequence {
    highest: Option<i64>,
}

impl ExtendedSequence {
    /// An unwrapper that has seen nothing.
    pub const fn new() -> ExtendedSequence {
        ExtendedSequence { highest: None }
    }

    /// Unwraps `seq` and remembers it if it is the highest.
    pub fn unwrap(&mut self, seq: u16) -> i64 {
        let extended = self.peek(seq);
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
        extended
    }

    /// Unwraps `seq` without remembering it.
    pub fn peek(&self, seq: u16) -> i64 {
        match self.highest {
            None => i64::from(seq),
            Some(highest) => highest + i64::from(diff(seq, highest as u16)),
        }
    }

    /// The highest number so far.
    pub fn highest(&self) -> Option<i64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comparison_wraps() {
        assert!(newer(0, 65535) && !newer(65535, 0) && !newer(5, 5));
        assert!(newer(32767, 0) && !newer(32768, 0) && !newer(0, 32768));
        assert_eq!(diff(1, 65534), 3);
        assert_eq!(diff(65534, 1), -3);
        assert!(timestamp_newer(0, u32::MAX));
        assert_eq!(timestamp_diff(9, u32::MAX), 10);
    }

    #[test]
    fn unwrapping_crosses_the_wrap_both_ways() {
        let mut seq = ExtendedSequence::new();
        assert_eq!(seq.unwrap(65534), 65534);
        assert_eq!(seq.unwrap(1), 65537);
        assert_eq!(seq.unwrap(65535), 65535);
        assert_eq!(seq.highest(), Some(65537));
        let mut seq = ExtendedSequence::new();
        seq.unwrap(0);
        assert_eq!(seq.unwrap(65535), -1);
    }

    proptest! {
        #[test]
        fn diff_is_the_way_back(a: u16, b: u16) {
            prop_assert_eq!(b.wrapping_add(diff(a, b) as u16), a);
            prop_assert_eq!(newer(a, b), diff(a, b) > 0);
            prop_assert!(!(newer(a, b) && newer(b, a)));
        }

        #[test]
        fn timestamp_diff_is_the_way_back(a: u32, b: u32) {
            prop_assert_eq!(b.wrapping_add(timestamp_diff(a, b) as u32), a);
            prop_assert_eq!(timestamp_newer(a, b), timestamp_diff(a, b) > 0);
        }

        #[test]
        fn unwrapping_recovers_a_walk_of_small_steps(
            start in 0i64..65536, steps in proptest::collection::vec(-3000i64..3000, 0..300)
        ) {
            let mut seq = ExtendedSequence::new();
            let (mut position, mut highest) = (start, start);
            prop_assert_eq!(seq.unwrap(start as u16), start);
            for step in steps {
                // Stay within half the number space of the highest.
                position = (position + step).max(highest - 30_000);
                prop_assert_eq!(seq.unwrap(position as u16), position);
                highest = highest.max(position);
            }
        }
    }
}
