//! Codecs by their MIME type.

use std::fmt;
use std::str::FromStr;

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

impl MediaType {
    /// `"audio"` or `"video"`.
    pub fn as_str(self) -> &'static str {
        match self {
            MediaType::Audio => "audio",
            MediaType::Video => "video",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An encoding name of RTP payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// Opus.
    Opus,
    /// Opus with several streams, for surround sound.
    MultiOpus,
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
    /// iSAC.
    Isac,
    /// G.722.
    G722,
    /// iLBC.
    Ilbc,
    /// SILK.
    Silk,
    /// Comfort noise.
    ComfortNoise,
    /// DTMF digits and other events.
    TelephoneEvent,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// H.264.
    H264,
    /// H.264 with scalable layers (H264-SVC, X-H264UC).
    H264Svc,
    /// H.265.
    H265,
    /// AV1.
    Av1,
    /// Retransmission of another stream.
    Rtx,
    /// Forward error correction, RFC 5109.
    UlpFec,
    /// Forward error correction, Skype's.
    XUlpFecUc,
    /// Flexible forward error correction.
    FlexFec,
    /// Redundant audio data.
    Red,
}

use Codec::*;
use MediaType::*;

/// Every MIME type known, in its canonical case; the first name of a codec is the one that is written.
const NAMES: &[(MediaType, &str, Codec)] = &[
    (Audio, "opus", Opus),
    (Audio, "multiopus", MultiOpus),
    (Audio, "PCMA", Pcma),
    (Audio, "PCMU", Pcmu),
    (Audio, "ISAC", Isac),
    (Audio, "G722", G722),
    (Audio, "iLBC", Ilbc),
    (Audio, "SILK", Silk),
    (Audio, "CN", ComfortNoise),
    (Audio, "telephone-event", TelephoneEvent),
    (Audio, "rtx", Rtx),
    (Audio, "ulpfec", UlpFec),
    (Audio, "x-ulpfecuc", XUlpFecUc),
    (Audio, "flexfec", FlexFec),
    (Audio, "red", Red),
    (Video, "VP8", Vp8),
    (Video, "VP9", Vp9),
    (Video, "H264", H264),
    (Video, "X-H264UC", H264Svc),
    (Video, "H264-SVC", H264Svc),
    (Video, "H265", H265),
    (Video, "AV1", Av1),
    (Video, "AV1X", Av1),
    (Video, "rtx", Rtx),
    (Video, "ulpfec", UlpFec),
    (Video, "x-ulpfecuc", XUlpFecUc),
    (Video, "flexfec", FlexFec),
    (Video, "red", Red),
];

/// A MIME type of RTP payloads, such as `video/VP8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MimeType {
    /// What comes before the slash.
    pub media: MediaType,
    /// What comes after it.
    pub codec: Codec,
}

/// The string names no MIME type that this crate knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown codec MIME type {0:?}")]
pub struct UnknownMimeType(pub String);

impl MimeType {
    /// Whether the payload is media by itself, and not repair, redundancy, noise or events beside it.
    pub fn is_media_codec(&self) -> bool {
        !self.is_feature_codec() && !matches!(self.codec, ComfortNoise | TelephoneEvent)
    }

    /// Whether the payload repairs or repeats another codec's: RTX, FEC or RED.
    pub fn is_feature_codec(&self) -> bool {
        matches!(self.codec, Rtx | UlpFec | XUlpFecUc | FlexFec | Red)
    }

    /// The subtype in its canonical case.
    pub fn subtype(&self) -> &'static str {
        let name = NAMES.iter().find(|(media, _, codec)| (*media, *codec) == (self.media, self.codec));
        name.map_or("unknown", |(_, name, _)| name)
    }
}

impl FromStr for MimeType {
    type Err = UnknownMimeType;

    /// Case does not matter.
    fn from_str(mime_type: &str) -> Result<MimeType, UnknownMimeType> {
        let unknown = || UnknownMimeType(mime_type.to_owned());
        let (media, subtype) = mime_type.split_once('/').ok_or_else(unknown)?;
        NAMES
            .iter()
            .find(|(kind, name, _)| kind.as_str().eq_ignore_ascii_case(media) && name.eq_ignore_ascii_case(subtype))
            .map(|&(media, _, codec)| MimeType { media, codec })
            .ok_or_else(unknown)
    }
}

impl fmt::Display for MimeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.media, self.subtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_canonical_case() {
        for (media, name, codec) in NAMES {
            let mime_type: MimeType = format!("{media}/{name}").to_uppercase().parse().unwrap();
            assert_eq!(mime_type, MimeType { media: *media, codec: *codec });
            assert_eq!(mime_type.to_string().parse(), Ok(mime_type));
        }
        assert_eq!("VIDEO/vp8".parse::<MimeType>().unwrap().to_string(), "video/VP8");
        assert_eq!("Audio/OPUS".parse::<MimeType>().unwrap().to_string(), "audio/opus");
    }

    #[test]
    fn media_and_feature_codecs() {
        let mime_type = |name: &str| name.parse::<MimeType>().unwrap();
        assert!(mime_type("video/H264").is_media_codec());
        assert!(mime_type("video/rtx").is_feature_codec() && !mime_type("video/rtx").is_media_codec());
        assert!(!mime_type("audio/CN").is_media_codec() && !mime_type("audio/CN").is_feature_codec());
        for name in ["video/opus", "audio/VP8", "chicken/VP8", "VP8", "video/", ""] {
            assert_eq!(name.parse::<MimeType>(), Err(UnknownMimeType(name.to_owned())));
        }
    }
}
