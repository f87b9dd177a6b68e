//! The values of header extensions. `decode` gives `None` for a value of the wrong length. Audio level, video orientation,
//! transport-wide sequence number and frame marking pass over bytes behind those they know; the others must have
//! exactly their length.

use std::time::Duration;

use crate::rtcp::Ntp;

/// Audio level of the packet (RFC 6464 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// The encoder thinks that the packet contains voice.
    pub voice: bool,
    /// Level in -dBov: 0 is the loudest, 127 is digital silence.
    pub level: u8,
}

impl AudioLevel {
    /// Decodes the value.
    pub fn decode(value: &[u8]) -> Option<AudioLevel> {
        value.first().map(|byte| AudioLevel { voice: byte & 0x80 != 0, level: byte & 0x7f })
    }

    /// The value's byte.
    pub fn encode(self) -> [u8; 1] {
        [u8::from(self.voice) << 7 | self.level & 0x7f]
    }
}

/// How the receiver must turn the picture (3GPP TS 26.114 section 7.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct VideoOrientation {
    /// The back-facing camera is used.
    pub camera: bool,
    /// The picture is flipped horizontally.
    pub flip: bool,
    /// Clockwise rotation in degrees: 0, 90, 180 or 270.
    pub rotation: u16,
}

impl VideoOrientation {
    /// Decodes the value.
    pub fn decode(value: &[u8]) -> Option<VideoOrientation> {
        value.first().map(|byte| VideoOrientation {
            camera: byte & 0x08 != 0,
            flip: byte & 0x04 != 0,
            // The field counts the quarter turns by which the picture was turned counter-clockwise: they are undone.
            rotation: u16::from(byte & 0x03) * 90,
        })
    }

    /// The value's byte. Of a rotation that is no quarter turn, the quarter turn below counts.
    pub fn encode(self) -> [u8; 1] {
        let quarters = self.rotation / 90 % 4;
        [u8::from(self.camera) << 3 | u8::from(self.flip) << 2 | quarters as u8]
    }
}

/// Absolute send time: seconds as 24 bits of 6.18 fixed point, which wraps every 64 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// From the time since any fixed point.
    pub fn from_duration(time: Duration) -> AbsSendTime {
        let fraction = (u64::from(time.subsec_nanos()) << 18) / 1_000_000_000;
        AbsSendTime(((time.as_secs() << 18 | fraction) & 0x00ff_ffff) as u32)
    }

    /// The time within the 64 s of one wrap.
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos((u64::from(self.0) * 1_000_000_000) >> 18)
    }

    /// The 24 bits.
    pub fn value(self) -> u32 {
        self.0
    }

    /// Decodes the value.
    pub fn decode(value: &[u8]) -> Option<AbsSendTime> {
        let &[a, b, c] = value else { return None };
        Some(AbsSendTime(u32::from_be_bytes([0, a, b, c])))
    }

    /// The value's bytes.
    pub fn encode(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// The transport-wide sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSequence(pub u16);

impl TransportSequence {
    /// Decodes the value. The longer form of version 2, with a feedback request, is read for its number.
    pub fn decode(value: &[u8]) -> Option<TransportSequence> {
        value.first_chunk().map(|bytes| TransportSequence(u16::from_be_bytes(*bytes)))
    }

    /// The value's bytes.
    pub fn encode(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

/// When the frame was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// NTP time by the clock of the capturer.
    pub capture: Ntp,
    /// What to add to the capturer's clock to get the sender's, in 2^-32 s, if it is known.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// Decodes the value, which has 8 or 16 bytes.
    pub fn decode(value: &[u8]) -> Option<AbsCaptureTime> {
        let (capture, rest) = value.split_first_chunk()?;
        let clock_offset = match rest.len() {
            0 => None,
            8 => rest.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)),
            _ => return None,
        };
        Some(AbsCaptureTime { capture: Ntp(u64::from_be_bytes(*capture)), clock_offset })
    }

    /// Writes the value into `out` and says how many bytes it has, 8 or 16.
    pub fn encode(self, out: &mut [u8; 16]) -> usize {
        let (capture, offset) = out.split_at_mut(8);
        capture.copy_from_slice(&self.capture.0.to_be_bytes());
        match self.clock_offset {
            Some(clock_offset) => {
                offset.copy_from_slice(&clock_offset.to_be_bytes());
                16
            }
            None => 8,
        }
    }
}

/// What a video packet is to its frame (RFC 9626 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrameMarking {
    /// First packet of a frame within its layer.
    pub start_of_frame: bool,
    /// Last packet of a frame within its layer.
    pub end_of_frame: bool,
    /// The frame can be decoded by itself.
    pub independent: bool,
    /// The frame can be left out, no other depends on it.
    pub discardable: bool,
    /// The frame depends on the base temporal layer alone: a point to switch up at.
    pub base_layer_sync: bool,
    /// Temporal layer, 0 to 7.
    pub temporal_id: u8,
    /// The layer id of the codec, as spatial layer.
    pub layer_id: u8,
    /// Running index of base-layer frames, when given.
    pub tl0_pic_idx: Option<u8>,
}

impl FrameMarking {
    /// Decodes the short form (1 byte, no layers) or the scalable form (2 or 3 bytes).
    pub fn decode(value: &[u8]) -> Option<FrameMarking> {
        let (&flags, rest) = value.split_first()?;
        let scalable = !rest.is_empty();
        Some(FrameMarking {
            start_of_frame: flags & 0x80 != 0,
            end_of_frame: flags & 0x40 != 0,
            independent: flags & 0x20 != 0,
            discardable: flags & 0x10 != 0,
            base_layer_sync: scalable && flags & 0x08 != 0,
            temporal_id: if scalable { flags & 0x07 } else { 0 },
            layer_id: rest.first().copied().unwrap_or(0),
            tl0_pic_idx: rest.get(1).copied(),
        })
    }
}

/// Limits of the delay from capture to rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// Least delay, in steps of 10 ms, 12 bits.
    pub min: u16,
    /// Greatest delay, in steps of 10 ms, 12 bits.
    pub max: u16,
}

impl PlayoutDelay {
    /// Decodes the value.
    pub fn decode(value: &[u8]) -> Option<PlayoutDelay> {
        let &[a, b, c] = value else { return None };
        Some(PlayoutDelay { min: u16::from(a) << 4 | u16::from(b) >> 4, max: u16::from(b & 0x0f) << 8 | u16::from(c) })
    }

    /// The value's bytes.
    pub fn encode(self) -> [u8; 3] {
        [(self.min >> 4) as u8, (self.min << 4) as u8 | (self.max >> 8 & 0x0f) as u8, self.max as u8]
    }
}

/// Transmission time offset (RFC 5450): signed 24 bits, in units of the timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransmissionOffset(pub i32);

impl TransmissionOffset {
    /// Decodes the value.
    pub fn decode(value: &[u8]) -> Option<TransmissionOffset> {
        let &[a, b, c] = value else { return None };
        Some(TransmissionOffset(i32::from_be_bytes([a, b, c, 0]) >> 8))
    }

    /// The value's bytes.
    pub fn encode(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn audio_level_splits_voice_and_level() {
        assert_eq!(AudioLevel::decode(&[0x85]), Some(AudioLevel { voice: true, level: 5 }));
        assert_eq!(AudioLevel { voice: false, level: 127 }.encode(), [0x7f]);
        assert_eq!(AudioLevel::decode(&[]), None);
    }

    #[test]
    fn orientation_of_every_byte() {
        // The table of TS 26.114 7.4.5: 1 needs a quarter turn clockwise, 3 three of them.
        for (byte, rotation) in [(0, 0), (1, 90), (2, 180), (3, 270)] {
            let expected = VideoOrientation { camera: false, flip: false, rotation };
            assert_eq!(VideoOrientation::decode(&[byte]), Some(expected));
        }
        let both = VideoOrientation { camera: true, flip: true, rotation: 90 };
        assert_eq!(VideoOrientation::decode(&[0x0d]), Some(both));
        assert_eq!(VideoOrientation::decode(&[0x08]).map(|value| (value.camera, value.flip)), Some((true, false)));
        for byte in 0..16 {
            assert_eq!(VideoOrientation::decode(&[byte]).unwrap().encode(), [byte]);
        }
    }

    #[test]
    fn send_time_is_6_18_fixed_point_and_wraps_at_64_seconds() {
        assert_eq!(AbsSendTime::from_duration(Duration::from_secs(1)).value(), 1 << 18);
        assert_eq!(AbsSendTime::from_duration(Duration::from_millis(64_500)).value(), 1 << 17);
        assert_eq!(AbsSendTime::from_duration(Duration::from_millis(1500)).encode(), [0x06, 0, 0]);
        assert_eq!(AbsSendTime::decode(&[0x06, 0, 0]).unwrap().to_duration(), Duration::from_millis(1500));
        assert_eq!(AbsSendTime::decode(&[0, 0]), None);
    }

    #[test]
    fn capture_time_has_an_optional_offset() {
        let mut out = [0; 16];
        for (time, len) in [
            (AbsCaptureTime { capture: Ntp(0x0102_0304_0506_0708), clock_offset: None }, 8),
            (AbsCaptureTime { capture: Ntp(9), clock_offset: Some(-2) }, 16),
        ] {
            assert_eq!(time.encode(&mut out), len);
            assert_eq!(AbsCaptureTime::decode(&out[..len]), Some(time));
        }
        assert_eq!(AbsCaptureTime::decode(&out[..9]), None);
    }

    #[test]
    fn frame_marking_short_and_scalable() {
        let short = FrameMarking::decode(&[0xe0 | 0x0f]).unwrap();
        assert!(short.start_of_frame && short.end_of_frame && short.independent && !short.base_layer_sync);
        assert_eq!((short.temporal_id, short.layer_id, short.tl0_pic_idx), (0, 0, None));
        let scalable = FrameMarking::decode(&[0x1a, 1, 7]).unwrap();
        assert!(scalable.discardable && scalable.base_layer_sync && !scalable.independent);
        assert_eq!((scalable.temporal_id, scalable.layer_id, scalable.tl0_pic_idx), (2, 1, Some(7)));
    }

    proptest! {
        #[test]
        fn three_byte_values_come_back(bytes: [u8; 3]) {
            prop_assert_eq!(PlayoutDelay::decode(&bytes).unwrap().encode(), bytes);
            prop_assert_eq!(TransmissionOffset::decode(&bytes).unwrap().encode(), bytes);
            prop_assert_eq!(AbsSendTime::decode(&bytes).unwrap().encode(), bytes);
        }
    }
}
