//! The codecs that rooms speak.

use sfu_channel::{MediaKind, ParameterValue, RtpCodecCapability};

/// What a browser begins to send at, in kilobits per second, before it has measured.
const START_BITRATE: i64 = 1000;

/// Opus, VP8, VP9 and H264, in the order of preference; the video codecs that need most of a browser come last.
#[must_use]
pub fn media_codecs() -> Vec<RtpCodecCapability> {
    let h264 = |profile: &str| {
        video(
            "video/H264",
            &[
                ("packetization-mode", 1.into()),
                ("profile-level-id", profile.into()),
                ("level-asymmetry-allowed", 1.into()),
            ],
        )
    };
    vec![
        codec(MediaKind::Audio, "audio/opus", 48_000, Some(2), &[]),
        video("video/VP8", &[]),
        video("video/VP9", &[("profile-id", 0.into())]),
        h264("4d0032"),
        h264("42e01f"),
    ]
}

fn video(mime_type: &str, parameters: &[(&str, ParameterValue)]) -> RtpCodecCapability {
    let mut codec = codec(MediaKind::Video, mime_type, 90_000, None, parameters);
    codec.parameters.insert("x-google-start-bitrate".into(), START_BITRATE.into());
    codec
}

fn codec(
    kind: MediaKind,
    mime_type: &str,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: &[(&str, ParameterValue)],
) -> RtpCodecCapability {
    RtpCodecCapability {
        kind,
        mime_type: mime_type.into(),
        preferred_payload_type: None,
        clock_rate,
        channels,
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        rtcp_feedback: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_can_be_made_of_them() {
        let capabilities = sfu_control::ortc::generate_router_rtp_capabilities(&media_codecs()).expect("capabilities");
        let mut mime_types: Vec<_> = capabilities.codecs.iter().map(|codec| codec.mime_type.as_str()).collect();
        mime_types.retain(|mime_type| *mime_type != "video/rtx");
        assert_eq!(mime_types, ["audio/opus", "video/VP8", "video/VP9", "video/H264", "video/H264"]);
    }
}
