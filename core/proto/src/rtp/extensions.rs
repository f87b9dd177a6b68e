//! Header extensions (RFC 8285): which kinds there are, under which ids, and where their values lie in a packet.

use std::str::FromStr;

use super::header::{ExtensionForm, Header};

/// The header extensions that this crate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExtensionKind {
    /// Media identification, the `mid` of the SDP (RFC 9143 section 15).
    Mid,
    /// `RtpStreamId`, the `rid` of a simulcast encoding (RFC 8852).
    Rid,
    /// `RepairedRtpStreamId`: the `rid` that an RTX stream repairs (RFC 8852).
    RepairedRid,
    /// Absolute send time, 24 bits of 6.18 fixed-point seconds (WebRTC's experiment).
    AbsSendTime,
    /// The transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportWideCc,
    /// Client-to-mixer audio level (RFC 6464).
    AudioLevel,
    /// Coordination of video orientation (3GPP TS 26.114).
    VideoOrientation,
    /// Transmission time offset (RFC 5450).
    TransmissionOffset,
    /// Absolute capture time (WebRTC's experiment).
    AbsCaptureTime,
    /// Video frame marking (RFC 9626 and its draft 07).
    FrameMarking,
    /// The AV1 dependency descriptor (AV1 RTP specification, appendix A).
    DependencyDescriptor,
    /// Playout delay limits (WebRTC's experiment).
    PlayoutDelay,
}

const KINDS: usize = ExtensionKind::ALL.len();

/// Frame marking's URI before it became an RFC, which some senders still offer.
const FRAME_MARKING_DRAFT_07: &str = "http://tools.ietf.org/html/draft-ietf-avtext-framemarking-07";

impl ExtensionKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [ExtensionKind; 12] = [
        ExtensionKind::Mid,
        ExtensionKind::Rid,
        ExtensionKind::RepairedRid,
        ExtensionKind::AbsSendTime,
        ExtensionKind::TransportWideCc,
        ExtensionKind::AudioLevel,
        ExtensionKind::VideoOrientation,
        ExtensionKind::TransmissionOffset,
        ExtensionKind::AbsCaptureTime,
        ExtensionKind::FrameMarking,
        ExtensionKind::DependencyDescriptor,
        ExtensionKind::PlayoutDelay,
    ];

    /// The URI that names the extension in SDP and ORTC parameters.
    pub fn uri(self) -> &'static str {
        match self {
            ExtensionKind::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            ExtensionKind::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            ExtensionKind::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            ExtensionKind::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            ExtensionKind::TransportWideCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            ExtensionKind::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            ExtensionKind::VideoOrientation => "urn:3gpp:video-orientation",
            ExtensionKind::TransmissionOffset => "urn:ietf:params:rtp-hdrext:toffset",
            ExtensionKind::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            ExtensionKind::FrameMarking => "urn:ietf:params:rtp-hdrext:framemarking",
            ExtensionKind::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            ExtensionKind::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        }
    }
}

/// The URI names no extension that this crate knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown header extension URI {0:?}")]
pub struct UnknownExtension(pub String);

impl FromStr for ExtensionKind {
    type Err = UnknownExtension;

    fn from_str(uri: &str) -> Result<ExtensionKind, UnknownExtension> {
        if uri == FRAME_MARKING_DRAFT_07 {
            return Ok(ExtensionKind::FrameMarking);
        }
        ExtensionKind::ALL.into_iter().find(|kind| kind.uri() == uri).ok_or_else(|| UnknownExtension(uri.to_owned()))
    }
}

/// The negotiated ids, 1 to 255, of the kinds of extension. Both ways are array look-ups for ids up to 15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    /// Id by kind; 0 means none.
    ids: [u8; KINDS],
    /// Kind + 1 by id, for the ids that the one-byte form can carry; 0 means none.
    kinds: [u8; 16],
}

impl ExtensionIds {
    /// A table without ids.
    pub const fn new() -> ExtensionIds {
        ExtensionIds { ids: [0; KINDS], kinds: [0; 16] }
    }

    /// Sets the id of a kind; 0 removes it. A kind that had the id before loses it.
    pub fn set(&mut self, kind: ExtensionKind, id: u8) {
        for other in &mut self.ids {
            if *other == id {
                *other = 0;
            }
        }
        self.ids[kind as usize] = id;
        self.kinds = [0; 16];
        for kind in ExtensionKind::ALL {
            let id = self.ids[kind as usize];
            if let Some(slot) = self.kinds.get_mut(usize::from(id)).filter(|_| id != 0) {
                *slot = kind as u8 + 1;
            }
        }
    }

    /// The id of a kind, if it has one.
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        Some(self.ids[kind as usize]).filter(|&id| id != 0)
    }

    /// The kind with an id, if there is one.
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        match self.kinds.get(usize::from(id)) {
            Some(0) => None,
            Some(&kind) => ExtensionKind::ALL.get(usize::from(kind) - 1).copied(),
            None => ExtensionKind::ALL.into_iter().find(|&kind| self.ids[kind as usize] == id),
        }
    }

    /// The kinds that have an id, with it.
    pub fn iter(&self) -> impl Iterator<Item = (ExtensionKind, u8)> + '_ {
        ExtensionKind::ALL.into_iter().filter_map(|kind| Some((kind, self.id(kind)?)))
    }
}

/// Where a value lies in its packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Bytes from the start of the packet.
    pub offset: u16,
    /// Length in bytes; may be 0.
    pub len: u8,
}

/// Where the known extensions of one packet lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionSpans {
    /// By kind. Offset 0, which no value can have, means absent.
    spans: [Span; KINDS],
}

impl ExtensionSpans {
    /// Where the value of `kind` lies, if the packet has it.
    pub fn get(&self, kind: ExtensionKind) -> Option<Span> {
        Some(self.spans[kind as usize]).filter(|span| span.offset != 0)
    }

    /// The bytes of `kind` in the packet that was parsed.
    pub fn value<'a>(&self, kind: ExtensionKind, packet: &'a [u8]) -> Option<&'a [u8]> {
        let span = self.get(kind)?;
        let start = usize::from(span.offset);
        packet.get(start..start + usize::from(span.len))
    }
}

/// Finds the values of the known extensions. Elements with other ids are skipped; a malformed element ends the search,
/// as RFC 8285 asks, and what came before it stands. Of a repeated extension the last one counts.
pub fn parse_extensions(packet: &[u8], header: &Header, ids: &ExtensionIds) -> ExtensionSpans {
    let mut spans = ExtensionSpans::default();
    let two_byte = match header.extension {
        Some(ExtensionForm::OneByte) => false,
        Some(ExtensionForm::TwoByte) => true,
        Some(ExtensionForm::Other(_)) | None => return spans,
    };
    let range = header.extension_range();
    let Some(elements) = packet.get(range.clone()) else {
        return spans;
    };
    let mut at = 0;
    while let Some(&first) = elements.get(at) {
        at += 1;
        // A zero byte is padding in both forms.
        if first == 0 {
            continue;
        }
        let (id, len) = if two_byte {
            let Some(&len) = elements.get(at) else { break };
            at += 1;
            (first, len)
        } else {
            (first >> 4, (first & 0x0f) + 1)
        };
        let end = at + usize::from(len);
        // In the one-byte form id 15 ends the elements, and so does id 0 with a length (RFC 8285 section 4.2).
        if end > elements.len() || !two_byte && (id == 15 || id == 0) {
            break;
        }
        if let (Some(kind), Ok(offset)) = (ids.kind(id), u16::try_from(range.start + at)) {
            spans.spans[kind as usize] = Span { offset, len };
        }
        at = end;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> ExtensionIds {
        let mut ids = ExtensionIds::new();
        ids.set(ExtensionKind::Mid, 1);
        ids.set(ExtensionKind::AudioLevel, 2);
        ids.set(ExtensionKind::TransportWideCc, 14);
        ids.set(ExtensionKind::DependencyDescriptor, 40);
        ids
    }

    fn packet(profile: u16, elements: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90; 12];
        packet.extend(profile.to_be_bytes());
        packet.extend(((elements.len() / 4) as u16).to_be_bytes());
        packet.extend(elements);
        packet.push(0xff);
        packet
    }

    fn spans(packet: &[u8]) -> ExtensionSpans {
        parse_extensions(packet, &Header::parse(packet).unwrap(), &ids())
    }

    #[test]
    fn every_uri_comes_back_as_its_kind() {
        for kind in ExtensionKind::ALL {
            assert_eq!(kind.uri().parse(), Ok(kind));
        }
        assert_eq!(FRAME_MARKING_DRAFT_07.parse(), Ok(ExtensionKind::FrameMarking));
        assert!("urn:x".parse::<ExtensionKind>().is_err());
    }

    #[test]
    fn ids_look_up_both_ways_and_move() {
        let mut ids = ids();
        assert_eq!(ids.id(ExtensionKind::Mid), Some(1));
        assert_eq!(ids.kind(40), Some(ExtensionKind::DependencyDescriptor));
        assert_eq!((ids.kind(0), ids.kind(3), ids.kind(41)), (None, None, None));
        ids.set(ExtensionKind::Rid, 1);
        assert_eq!(ids.id(ExtensionKind::Mid), None);
        assert_eq!(ids.kind(1), Some(ExtensionKind::Rid));
        ids.set(ExtensionKind::Rid, 0);
        assert_eq!((ids.kind(1), ids.kind(0)), (None, None));
        assert_eq!(ids.iter().count(), 3);
    }

    #[test]
    fn one_byte_elements_with_padding_between() {
        let packet = packet(0xbede, &[0x10, b'7', 0, 0x20, 0x85, 0xe1, 0x12, 0x34]);
        let spans = spans(&packet);
        assert_eq!(spans.value(ExtensionKind::Mid, &packet), Some(&b"7"[..]));
        assert_eq!(spans.value(ExtensionKind::AudioLevel, &packet), Some(&[0x85][..]));
        assert_eq!(spans.value(ExtensionKind::TransportWideCc, &packet), Some(&[0x12, 0x34][..]));
        assert_eq!(spans.get(ExtensionKind::Rid), None);
    }

    #[test]
    fn id_15_and_an_overlong_element_end_the_search() {
        let stopped = packet(0xbede, &[0x10, b'7', 0xf0, 0, 0x20, 0x85, 0, 0]);
        assert_eq!(spans(&stopped).get(ExtensionKind::AudioLevel), None);
        assert!(spans(&stopped).get(ExtensionKind::Mid).is_some());
        // Id 0 is padding only without a length.
        let zero = packet(0xbede, &[0x10, b'7', 0x01, 0, 0, 0x20, 0x85, 0]);
        assert_eq!(spans(&zero).get(ExtensionKind::AudioLevel), None);
        let overlong = packet(0xbede, &[0x10, b'7', 0x2f, 1]);
        assert_eq!(spans(&overlong).get(ExtensionKind::AudioLevel), None);
    }

    #[test]
    fn two_byte_elements_may_be_empty_or_have_high_ids() {
        // The low four bits of the profile are free (RFC 8285 section 4.3).
        for profile in [0x1000, 0x100f] {
            let packet = packet(profile, &[1, 0, 40, 3, 9, 8, 7, 0]);
            let spans = spans(&packet);
            assert_eq!(spans.value(ExtensionKind::Mid, &packet), Some(&[][..]));
            assert_eq!(spans.value(ExtensionKind::DependencyDescriptor, &packet), Some(&[9, 8, 7][..]));
        }
    }

    #[test]
    fn an_unknown_profile_has_no_known_extensions() {
        for profile in [0xabcd, 0x1010] {
            let packet = packet(profile, &[0x10, b'7', 0, 0]);
            assert_eq!(spans(&packet), ExtensionSpans::default());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_elements_stay_inside(
            two_byte: bool, mut elements in proptest::collection::vec(any::<u8>(), 0..80)
        ) {
            elements.truncate(elements.len() / 4 * 4);
            let packet = packet(if two_byte { 0x1000 } else { 0xbede }, &elements);
            let spans = spans(&packet);
            for kind in ExtensionKind::ALL {
                prop_assert_eq!(spans.get(kind).is_some(), spans.value(kind, &packet).is_some());
            }
        }
    }
}
