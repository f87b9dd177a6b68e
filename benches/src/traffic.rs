//! What kinds of traffic there are: media, packet length and spacing.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How packets are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Each packet at its own time, all equally far apart.
    Even,
    /// Like video: the packets of a frame together, frames equally far apart, every thirtieth frame a key frame of
    /// more than three times the size.
    Burst,
}

impl Pattern {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Burst => "burst",
        }
    }

    /// How many packets of a stream leave together: a frame of it.
    #[must_use]
    pub const fn group(self, frame: u64) -> u64 {
        match self {
            Self::Even => 1,
            Self::Burst if frame.is_multiple_of(30) => 40,
            Self::Burst => 11,
        }
    }

    /// The same on average.
    #[must_use]
    pub const fn mean_group(self) -> f64 {
        match self {
            Self::Even => 1.0,
            Self::Burst => (40 + 29 * 11) as f64 / 30.0,
        }
    }
}

/// What the packets carry, as the worker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// VP8 with NACK.
    Video,
    /// Opus.
    Audio,
}

/// What a stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Traffic {
    /// What the packets carry.
    pub media: Media,
    /// How they are spaced.
    pub pattern: Pattern,
    /// Bytes of an RTP packet as it goes into the worker, its header included.
    pub packet_len: usize,
}

impl Traffic {
    /// Packets of 1,200 bytes.
    #[must_use]
    pub const fn video(pattern: Pattern) -> Self {
        Self { media: Media::Video, pattern, packet_len: 1_200 }
    }

    /// Packets of 100 bytes, as Opus makes them of 20 ms at 35 kbit/s. Each comes at its own time.
    #[must_use]
    pub const fn audio() -> Self {
        Self { media: Media::Audio, pattern: Pattern::Even, packet_len: 100 }
    }

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.media {
            Media::Audio => "audio",
            Media::Video => self.pattern.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_average_what_the_schedule_assumes() {
        let total: u64 = (0..30).map(|frame| Pattern::Burst.group(frame)).sum();
        assert_eq!(total as f64 / 30.0, Pattern::Burst.mean_group());
        assert_eq!(Pattern::Even.mean_group(), Pattern::Even.group(0) as f64);
    }
}
