//! RTP parameters and capabilities, in ORTC's terms: who sends or may receive what, with which codecs, payload types,
//! SSRCs and header extensions.
//!
//! The structs are shared by the library's API, its negotiation, and the requests to the worker; their JSON is that
//! of mediasoup. Optional members are left out of the JSON when absent. Unknown members are ignored.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::serde_helpers::rough_number;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
}

impl MediaKind {
    /// The name on the wire, which is also the type in a MIME type: `audio` or `video`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value among the parameters of a codec or of a header extension.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, such as `apt` or `packetization-mode`.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text, such as `profile-level-id`.
    String(String),
    /// A list of whole numbers, such as multiopus's `channel_mapping` may be.
    IntArray(Vec<i64>),
}

impl ParameterValue {
    /// The value as a whole number, if it is one; texts of digits (as SDP gives them) count too.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::String(text) => text.parse().ok(),
            Self::Bool(_) | Self::Float(_) | Self::IntArray(_) => None,
        }
    }

    /// The value as a text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    fn from_json(value: serde_json::Value) -> Option<Self> {
        use serde_json::Value;
        match value {
            Value::Bool(value) => Some(Self::Bool(value)),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Some(Self::Int(value)),
                None => number.as_f64().map(Self::Float),
            },
            Value::String(text) => Some(Self::String(text)),
            Value::Array(items) => items.iter().map(Value::as_i64).collect::<Option<Vec<_>>>().map(Self::IntArray),
            Value::Null | Value::Object(_) => None,
        }
    }
}

impl From<i64> for ParameterValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for ParameterValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

/// Parameters of a codec (SDP's `a=fmtp`) or of a header extension, by name.
pub type Parameters = BTreeMap<String, ParameterValue>;

/// Reads parameters; a value of a kind that no parameter has (null, an object, a mixed list) is left out.
fn parameters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Parameters, D::Error> {
    let values = Option::<BTreeMap<String, serde_json::Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(values.into_iter().filter_map(|(name, value)| Some((name, ParameterValue::from_json(value)?))).collect())
}

/// Reads what may be null, which means the same as if it were missing: nothing is in it.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What one endpoint can receive, or a router can route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCapabilities {
    /// Media, RTX and other codecs.
    #[serde(default, deserialize_with = "or_default")]
    pub codecs: Vec<RtpCodecCapability>,
    /// RTP header extensions.
    #[serde(default, deserialize_with = "or_default")]
    pub header_extensions: Vec<RtpHeaderExtension>,
}

/// A codec that can be received, or that a router is made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCodecCapability {
    /// Audio or video.
    pub kind: MediaKind,
    /// Such as `audio/opus` or `video/VP8`; compared without case.
    pub mime_type: String,
    /// The payload type that the endpoint would like, 0 to 127.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_payload_type: Option<u8>,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// Number of audio channels; absent means one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Codec specific parameters.
    #[serde(default, deserialize_with = "parameters")]
    pub parameters: Parameters,
    /// Feedback messages that the codec can use.
    #[serde(default, deserialize_with = "or_default")]
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// In which direction a header extension is used, seen from the endpoint that states it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtpHeaderExtensionDirection {
    /// Sent and received.
    #[default]
    SendRecv,
    /// Only sent.
    SendOnly,
    /// Only received.
    RecvOnly,
    /// Not used.
    Inactive,
}

/// A header extension that can be received or sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpHeaderExtension {
    /// The kind of media that it applies to; absent means both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MediaKind>,
    /// The extension's URI (RFC 8285).
    pub uri: String,
    /// The id that the endpoint would like, 1 to 255; 1 to 14 fit one-byte headers.
    pub preferred_id: u8,
    /// Whether the value is to be encrypted (RFC 6904). Not supported: always false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_encrypt: Option<bool>,
    /// Absent means both directions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<RtpHeaderExtensionDirection>,
}

/// Encodings that one producer or consumer has at most; the worker refuses more. Simulcast has three or four.
pub const MAX_ENCODINGS: usize = 16;

/// What one producer sends, or one consumer receives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpParameters {
    /// The MID of the media section (RFC 8843), up to 8 characters in mediasoup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Codecs in use: media codecs, each with its RTX codec behind it.
    pub codecs: Vec<RtpCodecParameters>,
    /// Header extensions in use.
    #[serde(default, deserialize_with = "or_default")]
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// The RTP streams: one, or one a simulcast layer; [`MAX_ENCODINGS`] at most.
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP settings; none given is the same as an empty object.
    #[serde(default)]
    pub rtcp: RtcpParameters,
    /// The WebRTC stream and track id (newer generations of the protocol).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msid: Option<String>,
}

/// A codec in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCodecParameters {
    /// Such as `audio/opus`, `video/VP8`, `video/rtx`.
    pub mime_type: String,
    /// The RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// Number of audio channels; absent means one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Codec specific parameters; RTX has `apt`, the payload type that it repeats.
    #[serde(default, deserialize_with = "parameters")]
    pub parameters: Parameters,
    /// Feedback messages in use.
    #[serde(default, deserialize_with = "or_default")]
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

impl RtpCodecParameters {
    /// Whether this is a retransmission codec (RFC 4588).
    pub fn is_rtx(&self) -> bool {
        subtype(&self.mime_type).eq_ignore_ascii_case("rtx")
    }

    /// The `apt` parameter of an RTX codec: the payload type that it repeats.
    pub fn apt(&self) -> Option<u8> {
        self.parameters.get("apt")?.as_int()?.try_into().ok()
    }
}

impl RtpCodecCapability {
    /// Whether this is a retransmission codec (RFC 4588).
    pub fn is_rtx(&self) -> bool {
        subtype(&self.mime_type).eq_ignore_ascii_case("rtx")
    }
}

/// The part of a MIME type behind its slash.
fn subtype(mime_type: &str) -> &str {
    mime_type.split_once('/').map_or("", |(_, subtype)| subtype)
}

/// One kind of RTCP feedback, as in SDP's `a=rtcp-fb` (RFC 4585).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RtcpFeedback {
    /// `nack`, `ccm`, `goog-remb`, `transport-cc`...
    #[serde(rename = "type")]
    pub kind: String,
    /// `pli` of `nack pli`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub parameter: String,
}

impl RtcpFeedback {
    /// A feedback of that type and parameter (empty for none).
    pub fn new(kind: &str, parameter: &str) -> Self {
        Self { kind: kind.to_owned(), parameter: parameter.to_owned() }
    }
}

/// One RTP stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpEncodingParameters {
    /// Its SSRC, when known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// Its RTP stream id (RFC 8852), when it is told apart by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// The payload type of its codec; absent means the first media codec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec_payload_type: Option<u8>,
    /// Its retransmission stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx: Option<RtpEncodingRtx>,
    /// Whether the sender may stop sending while it is silent. Dumps show it only when true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtx: Option<bool>,
    /// Layers within the stream, such as `L1T3` or `L3T3_KEY`; see [`ScalabilityMode`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalability_mode: Option<String>,
    /// Resolution is divided by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_resolution_down_by: Option<f64>,
    /// Upper bound of the bit rate, in bits per second. Browsers may say fractions.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "rough_number")]
    pub max_bitrate: Option<u64>,
    /// Upper bound of the frame rate, in frames per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_framerate: Option<f64>,
    /// Number of spatial layers; only dumps have it, and only with a scalability mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spatial_layers: Option<u8>,
    /// Number of temporal layers; only dumps have it, and only with a scalability mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal_layers: Option<u8>,
    /// Whether spatial layers depend on lower ones in key frames only; only dumps have it, and only with a scalability mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ksvc: Option<bool>,
}

/// The retransmission stream (RFC 4588) of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RtpEncodingRtx {
    /// Its SSRC.
    pub ssrc: u32,
}

/// A header extension in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RtpHeaderExtensionParameters {
    /// The extension's URI (RFC 8285).
    pub uri: String,
    /// Its id in the packets, 1 to 255.
    pub id: u8,
    /// Whether the value is encrypted (RFC 6904). Not supported: always false.
    #[serde(default)]
    pub encrypt: bool,
    /// Extension specific parameters.
    #[serde(default, deserialize_with = "parameters")]
    pub parameters: Parameters,
}

/// RTCP settings of a producer or consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtcpParameters {
    /// The canonical name in SDES (RFC 3550, 6.5.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// The SSRC of a receiver's own reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// Whether reduced size RTCP (RFC 5506) is used; absent means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduced_size: Option<bool>,
}

/// How a producer's payload types and SSRCs become those that its router uses inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpMapping {
    /// Of payload types.
    pub codecs: Vec<RtpMappingCodec>,
    /// Of encodings, in the order of the producer's.
    pub encodings: Vec<RtpMappingEncoding>,
}

/// One payload type's mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpMappingCodec {
    /// The producer's payload type.
    pub payload_type: u8,
    /// The router's payload type.
    pub mapped_payload_type: u8,
}

/// One encoding's mapping. The encoding is found by SSRC, else RID, else by the producer's MID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpMappingEncoding {
    /// The producer's SSRC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// The producer's RID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// The producer's scalability mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalability_mode: Option<String>,
    /// The SSRC inside the router.
    pub mapped_ssrc: u32,
}

/// The layers within one RTP stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScalabilityMode {
    /// Number of spatial layers, 1 to 99.
    pub spatial_layers: u8,
    /// Number of temporal layers, 1 to 99.
    pub temporal_layers: u8,
    /// Whether spatial layers depend on lower ones in key frames only.
    pub ksvc: bool,
}

impl Default for ScalabilityMode {
    fn default() -> Self {
        Self { spatial_layers: 1, temporal_layers: 1, ksvc: false }
    }
}

impl ScalabilityMode {
    /// Reads a mode such as `L3T3_KEY` or `S1T2`; what follows is ignored. A text of another form means one layer of each.
    pub fn parse(mode: &str) -> Self {
        Self::try_parse(mode).unwrap_or_default()
    }

    fn try_parse(mode: &str) -> Option<Self> {
        let rest = mode.strip_prefix(['L', 'S'])?;
        let (spatial_layers, rest) = layer_count(rest)?;
        let (temporal_layers, rest) = layer_count(rest.strip_prefix('T')?)?;
        Some(Self { spatial_layers, temporal_layers, ksvc: rest.starts_with("_KEY") })
    }
}

/// Takes a number of one or two digits, the first of them not 0.
fn layer_count(text: &str) -> Option<(u8, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    match number.parse() {
        Ok(count) if !number.starts_with('0') => Some((count, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_when_it_is_written_and_read_again() {
        let read = |text: &str| ParameterValue::from_json(serde_json::from_str(text).unwrap()).unwrap();
        let number = read("14444444444444044401");
        assert_eq!(number, ParameterValue::Float(1.4444444444444045e19));
        assert_eq!(read(&serde_json::to_string(&number).unwrap()), number);
    }

    #[test]
    fn scalability_modes() {
        let mode = |spatial_layers, temporal_layers, ksvc| ScalabilityMode { spatial_layers, temporal_layers, ksvc };
        assert_eq!(ScalabilityMode::parse("L1T3"), mode(1, 3, false));
        assert_eq!(ScalabilityMode::parse("L3T3_KEY"), mode(3, 3, true));
        assert_eq!(ScalabilityMode::parse("S12T45"), mode(12, 45, false));
        assert_eq!(ScalabilityMode::parse("L4T7_KEY_SHIFT"), mode(4, 7, true));
        for other in ["", "L0T3", "T3", "L1", "L1T0", "LéT1", "foo"] {
            assert_eq!(ScalabilityMode::parse(other), ScalabilityMode::default(), "{other}");
        }
    }

    #[test]
    fn odd_parameter_values_are_left_out() {
        let codec: RtpCodecParameters = serde_json::from_value(serde_json::json!({
            "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000,
            "parameters": {"apt": 96, "a": null, "b": {}, "c": [1, "x"], "d": [1, 2], "e": 1.5, "f": true, "g": "s"},
            "rtcpFeedback": null, "unknown": 1
        }))
        .unwrap();
        assert_eq!(codec.apt(), Some(96));
        assert!(codec.is_rtx());
        let names: Vec<_> = codec.parameters.keys().map(String::as_str).collect();
        assert_eq!(names, ["apt", "d", "e", "f", "g"]);
    }
}
