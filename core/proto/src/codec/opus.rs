//! Opus payloads: the table-of-contents byte (RFC 6716 section 3.1).

use std::time::Duration;

/// What the first byte of a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toc {
    /// Configuration, 0 to 31: mode, bandwidth and frame size.
    pub config: u8,
    /// Two channels.
    pub stereo: bool,
    /// 0: one frame; 1: two of equal size; 2: two; 3: any number.
    pub frame_count_code: u8,
}

impl Toc {
    /// Reads the first byte; `None` for an empty payload.
    pub fn parse(payload: &[u8]) -> Option<Toc> {
        payload.first().map(|toc| Toc { config: toc >> 3, stereo: toc & 4 != 0, frame_count_code: toc & 3 })
    }

    /// Length of each frame.
    pub fn frame_duration(&self) -> Duration {
        let micros = match self.config {
            // SILK alone: 10, 20, 40 or 60 ms.
            0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(self.config & 3)],
            // Hybrid: 10 or 20 ms.
            12..=15 => [10_000, 20_000][usize::from(self.config & 1)],
            // CELT alone: 2.5, 5, 10 or 20 ms.
            _ => [2_500, 5_000, 10_000, 20_000][usize::from(self.config & 3)],
        };
        Duration::from_micros(micros)
    }
}

/// Whether the packet is one of discontinuous transmission: a table of contents with at most one byte after it codes no
/// sound (RFC 6716 section 2.1.9), and a forwarder may leave it out.
pub fn is_dtx(payload: &[u8]) -> bool {
    matches!(payload.len(), 1 | 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_contents() {
        // What browsers send: CELT fullband 20 ms, stereo, one frame.
        let toc = Toc::parse(&[0xfc]).unwrap();
        assert_eq!(toc, Toc { config: 31, stereo: true, frame_count_code: 0 });
        assert_eq!(toc.frame_duration(), Duration::from_millis(20));
        let millis = |config: u8| Toc::parse(&[config << 3]).unwrap().frame_duration().as_secs_f64() * 1e3;
        assert_eq!([0, 3, 11, 12, 13, 16, 19].map(millis), [10.0, 60.0, 60.0, 10.0, 20.0, 2.5, 20.0]);
        assert_eq!(Toc::parse(&[]), None);
    }

    #[test]
    fn only_packets_of_one_or_two_bytes_are_silence() {
        assert!(is_dtx(&[0x78]) && is_dtx(&[0x78, 0]));
        assert!(!is_dtx(&[0x78, 1, 2]) && !is_dtx(&[]));
    }
}
