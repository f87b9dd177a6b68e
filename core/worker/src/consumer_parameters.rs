//! What a consumer keeps of its RTP parameters.
//!
//! A stream can have thousands of consumers, and most of them are told of the same codecs, header extensions and CNAME: only
//! their SSRCs differ. What is the same is kept once.

use std::sync::Arc;

use sfu_channel::{
    RtcpParameters, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionParameters, RtpParameters,
};

/// The parameters of one consumer.
#[derive(Debug)]
pub struct ConsumerParameters {
    common: Arc<Common>,
    mid: Option<Box<str>>,
    msid: Option<Box<str>>,
    encodings: Box<[RtpEncodingParameters]>,
}

/// What consumers of one producer may have in common.
#[derive(Debug, PartialEq)]
struct Common {
    codecs: Box<[RtpCodecParameters]>,
    header_extensions: Box<[RtpHeaderExtensionParameters]>,
    rtcp: RtcpParameters,
    consumable: Box<[RtpEncodingParameters]>,
}

impl ConsumerParameters {
    /// Keeps (normalized) parameters, and the producer's streams as they are inside the router. What one of `others` has, too,
    /// is shared with it.
    pub fn new<'a>(
        parameters: RtpParameters,
        consumable: Vec<RtpEncodingParameters>,
        others: impl IntoIterator<Item = &'a ConsumerParameters>,
    ) -> ConsumerParameters {
        let common = Common {
            codecs: parameters.codecs.into(),
            header_extensions: parameters.header_extensions.into(),
            rtcp: parameters.rtcp,
            consumable: consumable.into(),
        };
        let known = others.into_iter().find(|other| *other.common == common).map(|other| Arc::clone(&other.common));
        ConsumerParameters {
            common: known.unwrap_or_else(|| Arc::new(common)),
            mid: parameters.mid.map(Box::from),
            msid: parameters.msid.map(Box::from),
            encodings: parameters.encodings.into(),
        }
    }

    /// All of them, as they were.
    pub fn to_rtp_parameters(&self) -> RtpParameters {
        RtpParameters {
            mid: self.mid.as_deref().map(str::to_owned),
            codecs: self.common.codecs.to_vec(),
            header_extensions: self.common.header_extensions.to_vec(),
            encodings: self.encodings.to_vec(),
            rtcp: self.common.rtcp.clone(),
            msid: self.msid.as_deref().map(str::to_owned),
        }
    }

    /// The codecs.
    pub fn codecs(&self) -> &[RtpCodecParameters] {
        &self.common.codecs
    }

    /// The header extensions.
    pub fn header_extensions(&self) -> &[RtpHeaderExtensionParameters] {
        &self.common.header_extensions
    }

    /// The encodings.
    pub fn encodings(&self) -> &[RtpEncodingParameters] {
        &self.encodings
    }

    /// The canonical name in SDES; empty if there is none.
    pub fn cname(&self) -> &str {
        self.common.rtcp.cname.as_deref().unwrap_or_default()
    }

    /// The producer's streams as they are inside the router.
    pub fn consumable(&self) -> &[RtpEncodingParameters] {
        &self.common.consumable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(ssrc: u32, codec: &str) -> RtpParameters {
        serde_json::from_value(serde_json::json!({
            "mid": "0",
            "codecs": [{"mimeType": codec, "payloadType": 96, "clockRate": 90000, "rtcpFeedback": [{"type": "nack"}]}],
            "headerExtensions": [{"uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1}],
            "encodings": [{"ssrc": ssrc}],
            "rtcp": {"cname": "somebody"},
        }))
        .expect("well-formed")
    }

    #[test]
    fn what_others_have_is_kept_once_and_nothing_is_mixed_up() {
        let consumable = || vec![RtpEncodingParameters { ssrc: Some(1), ..RtpEncodingParameters::default() }];
        let first = ConsumerParameters::new(parameters(7, "video/VP8"), consumable(), []);
        let alike = ConsumerParameters::new(parameters(8, "video/VP8"), consumable(), [&first]);
        let other = ConsumerParameters::new(parameters(9, "video/H264"), consumable(), [&first, &alike]);
        let further = ConsumerParameters::new(parameters(10, "video/VP8"), Vec::new(), [&other, &first]);
        assert!(Arc::ptr_eq(&first.common, &alike.common));
        assert_eq!(Arc::strong_count(&first.common), 2);
        for (kept, ssrc, codec) in [(&alike, 8, "video/VP8"), (&other, 9, "video/H264"), (&further, 10, "video/VP8")] {
            assert_eq!(kept.to_rtp_parameters(), parameters(ssrc, codec));
        }
        assert_eq!((alike.consumable(), further.consumable()), (&consumable()[..], &[][..]));
    }
}
