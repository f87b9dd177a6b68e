//! The connection on which a browser sends: it offers, the server answers.
//!
//! ```text
//! offer(sdp)      what to connect, produce and close
//!   (the caller does so; reject(mid) if a producer can't be made; restart_ice(..) if the browser restarted)
//! answer()        the SDP to send back
//! ```

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use sfu_channel::{
    DtlsParameters, DtlsRole, IceParameters, MAX_ENCODINGS, MediaKind, RtcpParameters, RtpCapabilities,
    RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters, RtpEncodingRtx, RtpHeaderExtensionDirection,
    RtpHeaderExtensionParameters, RtpParameters,
};

use super::attribute::{Attribute, Direction, RidDirection, Setup, SimulcastStream};
use super::description::{MediaDescription, SessionDescription};
use super::transport::{LocalTransport, random_session_id, remote_dtls, session};
use super::{NegotiationError, fmtp, transport};
use crate::ortc::{self, Strictness, match_codecs};

/// What SDP does not say of an encoding, but the browser's `RTCRtpSendParameters` do: their `encodings` can be read
/// as these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EncodingHint {
    /// Which encoding is meant; without it, or where the offer has no rids, the order decides.
    pub rid: Option<String>,
    /// Such as `L1T3`. Without it nobody knows of the temporal layers.
    pub scalability_mode: Option<String>,
    /// In bits per second. Browsers may say fractions.
    pub max_bitrate: Option<f64>,
}

/// The server's side of a connection on which a browser sends.
#[derive(Debug)]
pub struct SendNegotiator {
    transport: LocalTransport,
    router_capabilities: RtpCapabilities,
    session_id: u64,
    version: u64,
    /// What the peer is: known from the first offer on.
    peer: Option<Peer>,
    sections: Vec<Section>,
    /// Whether the session of the last offer allows one-byte and two-byte header extensions to alternate; a section may
    /// do so for itself.
    extmap_allow_mixed: bool,
}

#[derive(Debug)]
struct Peer {
    dtls_parameters: DtlsParameters,
    ice_ufrag: Option<String>,
}

/// What became of one section of the offer.
#[derive(Debug, Clone)]
struct Section {
    mid: String,
    media: String,
    /// The section of the answer, without the attributes of the transport.
    answer: MediaDescription,
    /// What is produced, while the browser sends.
    producing: Option<RtpParameters>,
}

/// A section on which the browser begins to send.
#[derive(Debug, Clone, PartialEq)]
pub struct SendSection {
    /// The section; also in the parameters.
    pub mid: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What to produce.
    pub rtp_parameters: RtpParameters,
}

/// What an offer asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct SendAnswer {
    /// What to connect the transport with: in the first offer only.
    pub dtls_parameters: Option<DtlsParameters>,
    /// The browser restarted ICE: restart the transport's too and hand the new credentials to
    /// [`SendNegotiator::restart_ice`] before the answer is made.
    pub ice_restart: bool,
    /// The mids whose producers end. A section whose streams changed ends and begins.
    pub stopped: Vec<String>,
    /// The sections whose producers begin.
    pub started: Vec<SendSection>,
    /// The mids that can't be accepted: no codec in common, not bundled, RTCP not multiplexed, more encodings than the worker takes, or
    /// no media at all.
    pub rejected: Vec<String>,
    /// Whether the offer has a section for data channels that is accepted.
    pub has_data: bool,
}

impl SendNegotiator {
    /// For a connection to `transport`, of which a router with `router_capabilities` receives.
    pub fn new(transport: LocalTransport, router_capabilities: RtpCapabilities) -> Self {
        Self {
            transport,
            router_capabilities,
            session_id: random_session_id(),
            version: 0,
            peer: None,
            sections: Vec::new(),
            extmap_allow_mixed: false,
        }
    }

    /// Takes the browser's offer. `hints` are the encodings of its senders by mid. An error leaves everything as it was.
    ///
    /// One media codec is taken for each section: the one that is in use, else the first of the offer that the router
    /// has. Its RTX codec comes along. Another `maxBitrate` alone changes nothing of what is produced.
    pub fn offer(
        &mut self,
        sdp: &str,
        hints: &HashMap<String, Vec<EncodingHint>>,
    ) -> Result<SendAnswer, NegotiationError> {
        let offer: SessionDescription = sdp.parse()?;
        self.check_sections(&offer)?;
        let bundled = bundled(&offer);
        let is_used =
            |section: &MediaDescription| section.is_live() && section.mid().is_some_and(|mid| bundled.contains(mid));
        let peer = match offer.media.iter().find(|section| is_used(section)) {
            Some(section) => Some(self.check_peer(&offer, section)?),
            None => None,
        };

        let mut sections = Vec::with_capacity(offer.media.len());
        for (index, offered) in offer.media.iter().enumerate() {
            let mid = offered.mid().unwrap_or_default();
            let before = self.sections.get(index).filter(|section| section.mid == mid);
            let hints = hints.get(mid).map(Vec::as_slice).unwrap_or_default();
            let accepted = is_used(offered).then(|| self.accept(offered, mid, before, hints)).flatten();
            let mut section = accepted.unwrap_or_else(|| rejected(offered, mid));
            if let (Some(before), Some(now)) = (before.and_then(|b| b.producing.as_ref()), &mut section.producing)
                && same_streams(before, now)
            {
                now.clone_from(before);
            }
            sections.push(section);
        }

        let mut answer = SendAnswer {
            dtls_parameters: None,
            ice_restart: false,
            stopped: Vec::new(),
            started: Vec::new(),
            rejected: Vec::new(),
            has_data: sections.iter().any(|section| section.media == "application" && section.answer.is_live()),
        };
        for before in self.sections.iter().filter(|section| section.producing.is_some()) {
            let now = sections.iter().find(|section| section.mid == before.mid);
            if now.is_none_or(|now| now.producing != before.producing) {
                answer.stopped.push(before.mid.clone());
            }
        }
        for (section, offered) in sections.iter().zip(&offer.media) {
            let before = self.sections.iter().find(|before| before.mid == section.mid);
            let was = before.and_then(|before| before.producing.as_ref());
            match (&section.producing, fmtp::kind_of(&section.answer)) {
                (Some(parameters), Some(kind)) if was != Some(parameters) => answer.started.push(SendSection {
                    mid: section.mid.clone(),
                    kind,
                    rtp_parameters: parameters.clone(),
                }),
                _ if offered.is_live() && !section.answer.is_live() => answer.rejected.push(section.mid.clone()),
                _ => {}
            }
        }
        self.sections = sections;
        self.extmap_allow_mixed = offer.attributes.contains(&Attribute::ExtmapAllowMixed);
        if let Some(peer) = peer {
            match &self.peer {
                None => answer.dtls_parameters = Some(peer.dtls_parameters.clone()),
                Some(before) => answer.ice_restart = before.ice_ufrag != peer.ice_ufrag,
            }
            self.peer = Some(peer);
        }
        Ok(answer)
    }

    /// Answers a section of the last offer with a refusal after all. Its mid can't come back.
    pub fn reject(&mut self, mid: &str) {
        if let Some(section) = self.sections.iter_mut().find(|section| section.mid == mid) {
            *section = rejected(&section.answer, mid);
        }
    }

    /// Uses new ICE credentials from the next answer on.
    pub fn restart_ice(&mut self, ice_parameters: IceParameters) {
        self.transport.ice_parameters = ice_parameters;
    }

    /// The answer to the last offer.
    pub fn answer(&mut self) -> String {
        self.version += 1;
        let role = self.peer.as_ref().map_or(DtlsRole::Client, |peer| peer.dtls_parameters.role);
        let setup = if role == DtlsRole::Server { Setup::Active } else { Setup::Passive };
        let attributes = self.transport.attributes(setup);
        let media = self.sections.iter().map(|section| {
            let mut section = section.answer.clone();
            if section.is_live() {
                section.attributes.extend(attributes.iter().cloned());
            }
            section
        });
        session(self.session_id, self.version, self.extmap_allow_mixed, media.collect()).to_string()
    }

    /// Every section has a mid of its own, and sections stay where they are, unless they were given up.
    fn check_sections(&self, offer: &SessionDescription) -> Result<(), NegotiationError> {
        let mut mids = HashSet::new();
        for (index, section) in offer.media.iter().enumerate() {
            let mid = section.mid().ok_or(NegotiationError::MissingMid(index))?;
            if !mids.insert(mid) {
                return Err(NegotiationError::DuplicateMid(mid.to_owned()));
            }
        }
        if offer.media.len() < self.sections.len() {
            let (expected, found) = (self.sections.len(), offer.media.len());
            return Err(NegotiationError::SectionCount { expected, found });
        }
        for (index, (before, now)) in self.sections.iter().zip(&offer.media).enumerate() {
            let same = now.mid() == Some(&before.mid) && now.media == before.media;
            if !same && before.answer.is_live() {
                return Err(NegotiationError::SectionMismatch { index, expected: before.mid.clone() });
            }
        }
        Ok(())
    }

    /// The peer as this offer has it. Its role and certificate stay what they were.
    fn check_peer(&self, offer: &SessionDescription, section: &MediaDescription) -> Result<Peer, NegotiationError> {
        let mut dtls_parameters = remote_dtls(offer, section, true)?;
        if let Some(before) = &self.peer {
            dtls_parameters.role = before.dtls_parameters.role;
            if dtls_parameters.fingerprints != before.dtls_parameters.fingerprints {
                return Err(NegotiationError::FingerprintChanged(section.mid().unwrap_or_default().to_owned()));
            }
        }
        let ufrag = section.attributes.iter().chain(&offer.attributes).find_map(|attribute| match attribute {
            Attribute::IceUfrag(ufrag) => Some(ufrag.clone()),
            _ => None,
        });
        Ok(Peer { dtls_parameters, ice_ufrag: ufrag })
    }

    fn accept(
        &self,
        offered: &MediaDescription,
        mid: &str,
        before: Option<&Section>,
        hints: &[EncodingHint],
    ) -> Option<Section> {
        let media = offered.media.clone();
        let Some(kind) = fmtp::kind_of(offered) else {
            let is_data = media == "application" && offered.formats.iter().any(|format| format == "webrtc-datachannel");
            let answer = is_data.then(|| self.transport.data_section(mid)).flatten()?;
            return Some(Section { mid: mid.to_owned(), media, answer, producing: None });
        };
        // RTCP has no address of its own here (RFC 8858).
        if !offered.attributes.contains(&Attribute::RtcpMux) {
            return None;
        }
        let in_use = before.and_then(|before| before.answer.formats.first()?.parse().ok());
        let (codecs, answer_codecs) = self.choose_codecs(kind, offered, in_use)?;
        let header_extensions = self.choose_header_extensions(kind, offered);
        let answer = answer_section(offered, mid, &answer_codecs, &header_extensions);
        let has_rtx = codecs.iter().any(RtpCodecParameters::is_rtx);
        let encodings = encodings(offered, has_rtx, hints)?;
        let producing = offered.direction().sends().then(|| RtpParameters {
            mid: Some(mid.to_owned()),
            codecs,
            header_extensions,
            encodings,
            rtcp: RtcpParameters {
                cname: offered.cname().map(str::to_owned),
                ssrc: None,
                reduced_size: Some(offered.attributes.contains(&Attribute::RtcpRsize)),
            },
            msid: None,
        });
        Some(Section { mid: mid.to_owned(), media, answer, producing })
    }

    /// A media codec with its RTX codec: as the browser sends them, and as they are answered.
    fn choose_codecs(
        &self,
        kind: MediaKind,
        offered: &MediaDescription,
        in_use: Option<u8>,
    ) -> Option<(Vec<RtpCodecParameters>, Vec<RtpCodecParameters>)> {
        let mut codecs = fmtp::codecs(kind, offered);
        codecs.sort_by_key(|codec| Some(codec.payload_type) != in_use);
        let router = &self.router_capabilities.codecs;
        let of_router = |codec: &RtpCodecParameters| -> Option<&RtpCodecCapability> {
            router.iter().find(|other| match_codecs(codec.into(), (*other).into(), Strictness::Strict))
        };
        let chosen = codecs.iter().filter(|codec| !codec.is_rtx());
        let (mut codec, capability) = chosen.cloned().find_map(|codec| Some((codec.clone(), of_router(&codec)?)))?;
        let repeats = |rtx: &&RtpCodecParameters| rtx.is_rtx() && rtx.apt() == Some(codec.payload_type);
        let rtx = codecs.iter().find(repeats).filter(|_| kind == MediaKind::Video).cloned();

        codec.rtcp_feedback.retain(|feedback| capability.rtcp_feedback.contains(feedback));
        let has = |uri: &str| self.choose_header_extensions(kind, offered).iter().any(|extension| extension.uri == uri);
        let codecs = std::slice::from_mut(&mut codec);
        ortc::reduce_feedback(codecs, has(ortc::TRANSPORT_CC_URI), has(ortc::ABS_SEND_TIME_URI));

        let mut answered = codec.clone();
        answered.parameters.extend(capability.parameters.clone());
        if let Some(agreed) = ortc::agreed_profile_level_id((&codec).into(), capability.into()) {
            answered.parameters.insert("profile-level-id".to_owned(), agreed.as_str().into());
        }
        // What the answer asks of an audio encoder is what it will send: the router must know of silence and of FEC.
        if kind == MediaKind::Audio {
            codec.parameters = answered.parameters.clone();
        }
        let with_rtx = |codec: RtpCodecParameters| std::iter::once(codec).chain(rtx.clone()).collect();
        Some((with_rtx(codec), with_rtx(answered)))
    }

    fn choose_header_extensions(
        &self,
        kind: MediaKind,
        offered: &MediaDescription,
    ) -> Vec<RtpHeaderExtensionParameters> {
        let received = |uri: &str| {
            use RtpHeaderExtensionDirection::{RecvOnly, SendRecv};
            self.router_capabilities.header_extensions.iter().any(|extension| {
                extension.uri == uri
                    && extension.kind.is_none_or(|other| other == kind)
                    && matches!(extension.direction.unwrap_or_default(), SendRecv | RecvOnly)
            })
        };
        let mut seen = HashSet::new();
        let extensions = offered.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Extmap { id, direction, uri, .. }
                if direction.unwrap_or_default().sends() && received(uri) && seen.insert(uri) =>
            {
                Some(RtpHeaderExtensionParameters {
                    uri: uri.clone(),
                    id: *id,
                    encrypt: false,
                    parameters: Default::default(),
                })
            }
            _ => None,
        });
        extensions.collect()
    }
}

/// The mids that share the transport: the BUNDLE group, else the first live section alone.
fn bundled(offer: &SessionDescription) -> HashSet<&str> {
    match offer.bundle() {
        [] => {
            offer.media.iter().filter(|section| section.is_live()).take(1).filter_map(|section| section.mid()).collect()
        }
        mids => mids.iter().map(String::as_str).collect(),
    }
}

fn rejected(offered: &MediaDescription, mid: &str) -> Section {
    let attributes = vec![Attribute::Mid(mid.to_owned()), Attribute::Direction(Direction::Inactive)];
    let answer = transport::section(&offered.media, &offered.protocol, offered.formats.clone(), attributes);
    let answer = MediaDescription { port: 0, ..answer };
    Section { mid: mid.to_owned(), media: offered.media.clone(), answer, producing: None }
}

fn answer_section(
    offered: &MediaDescription,
    mid: &str,
    codecs: &[RtpCodecParameters],
    header_extensions: &[RtpHeaderExtensionParameters],
) -> MediaDescription {
    let direction = if offered.direction().sends() { Direction::RecvOnly } else { Direction::Inactive };
    let mut attributes = vec![Attribute::Mid(mid.to_owned()), Attribute::Direction(direction)];
    attributes.extend(codecs.iter().flat_map(fmtp::codec_attributes));
    attributes.extend(header_extensions.iter().map(|extension| Attribute::Extmap {
        id: extension.id,
        direction: None,
        uri: extension.uri.clone(),
        attributes: None,
    }));
    attributes.push(Attribute::RtcpMux);
    let echoed = [Attribute::RtcpRsize, Attribute::ExtmapAllowMixed].into_iter();
    attributes.extend(echoed.filter(|attribute| offered.attributes.contains(attribute)));
    let rids = simulcast_rids(offered);
    if !rids.is_empty() {
        attributes.extend(rids.iter().map(|rid| Attribute::Rid {
            id: (*rid).to_owned(),
            direction: RidDirection::Recv,
            restrictions: None,
        }));
        attributes.push(Attribute::Simulcast { send: Vec::new(), recv: simulcast_streams(offered).to_vec() });
    }
    let formats = codecs.iter().map(|codec| codec.payload_type.to_string()).collect();
    transport::section(&offered.media, &offered.protocol, formats, attributes)
}

/// Whether two sets of parameters differ in bounds of bit rates at most, which browsers change as they run.
fn same_streams(one: &RtpParameters, other: &RtpParameters) -> bool {
    let unbounded = |parameters: &RtpParameters| {
        let mut parameters = parameters.clone();
        parameters.encodings.iter_mut().for_each(|encoding| encoding.max_bitrate = None);
        parameters
    };
    unbounded(one) == unbounded(other)
}

/// The streams that a section's simulcast sends.
fn simulcast_streams(section: &MediaDescription) -> &[SimulcastStream] {
    let streams = section.attributes.iter().find_map(|attribute| match attribute {
        Attribute::Simulcast { send, .. } => Some(send.as_slice()),
        _ => None,
    });
    streams.unwrap_or_default()
}

fn simulcast_rids(section: &MediaDescription) -> Vec<&str> {
    let streams = simulcast_streams(section).iter();
    streams.filter_map(|stream| Some(stream.alternatives.first()?.id.as_str())).collect()
}

/// The encodings of a section: its rids, else its SSRCs, else one that only the mid tells. `None` if they are too many
/// for the worker, or two have one rid.
fn encodings(section: &MediaDescription, has_rtx: bool, hints: &[EncodingHint]) -> Option<Vec<RtpEncodingParameters>> {
    let rids = simulcast_rids(section);
    let mut distinct = HashSet::new();
    if rids.len() > MAX_ENCODINGS || !rids.iter().all(|rid| distinct.insert(rid)) {
        return None;
    }
    let mut encodings: Vec<RtpEncodingParameters> = if rids.is_empty() {
        by_ssrc(section, has_rtx)?
    } else {
        let of_rid = |rid: &&str| RtpEncodingParameters { rid: Some((*rid).to_owned()), ..Default::default() };
        rids.iter().map(of_rid).collect()
    };
    for (index, encoding) in encodings.iter_mut().enumerate() {
        let by_rid = hints.iter().find(|hint| hint.rid.is_some() && hint.rid == encoding.rid);
        // Never that of another rid; but a browser may leave out the rid of its only encoding.
        let is_for = |hint: &&EncodingHint| hint.rid.is_none() || encoding.rid.is_none();
        if let Some(hint) = by_rid.or_else(|| hints.get(index).filter(is_for)) {
            encoding.scalability_mode = hint.scalability_mode.clone();
            // The cast keeps what is out of range within it.
            encoding.max_bitrate = hint.max_bitrate.map(|bitrate| bitrate as u64);
        }
    }
    Some(encodings)
}

fn by_ssrc(section: &MediaDescription, has_rtx: bool) -> Option<Vec<RtpEncodingParameters>> {
    let group = |wanted: &'static str| {
        section.attributes.iter().filter_map(move |attribute| match attribute {
            Attribute::SsrcGroup { semantics, ssrcs } if semantics == wanted => Some(ssrcs.as_slice()),
            _ => None,
        })
    };
    let described = section.attributes.iter().find_map(|attribute| match attribute {
        Attribute::Ssrc { ssrc, .. } => Some(*ssrc),
        _ => None,
    });
    let rtx = |media: u32| {
        let pairs = group("FID").filter(|_| has_rtx);
        pairs.filter_map(|pair| <[u32; 2]>::try_from(pair).ok()).find(|pair| pair[0] == media).map(|pair| pair[1])
    };
    let ssrcs: Vec<u32> = match (group("SIM").next(), group("FID").next()) {
        (Some(layers), _) if !layers.is_empty() => layers.to_vec(),
        (_, Some([first, ..])) => vec![*first],
        _ => described.into_iter().collect(),
    };
    if ssrcs.len() > MAX_ENCODINGS {
        return None;
    }
    if ssrcs.is_empty() {
        return Some(vec![RtpEncodingParameters::default()]);
    }
    let encodings = ssrcs.into_iter().map(|ssrc| RtpEncodingParameters {
        ssrc: Some(ssrc),
        rtx: rtx(ssrc).map(|ssrc| RtpEncodingRtx { ssrc }),
        ..Default::default()
    });
    Some(encodings.collect())
}
