//! The connection on which a browser receives: the server offers, the browser answers.
//!
//! ```text
//! add(..), remove(..), restart_ice(..)     what changed
//! offer()                                  the SDP to send, if anything changed and no offer is open
//! answer(sdp)                              what to connect, what the browser refused; then offer() again
//! ```
//!
//! A section keeps its mid for life. That of a removed consumer is offered with port 0; once the browser has answered
//! that, the section is used again under the mid of a new consumer of the same kind (RFC 8829 section 5.2.2), so that
//! there are never more sections than there were consumers at one time. The first section is not given up but becomes
//! inactive, because the bundle's transport is described there.

use std::collections::HashSet;

use sfu_channel::{DtlsParameters, IceParameters, MediaKind, RtpParameters};

use super::attribute::{Attribute, Direction, Setup};
use super::description::{MediaDescription, SessionDescription};
use super::parse::has_control_character;
use super::transport::{LocalTransport, RTP_PROTOCOL, random_session_id, remote_dtls, session};
use super::{NegotiationError, fmtp, transport};

/// The mid of the section for data channels; consumers' are numbers.
const DATA_MID: &str = "data";

/// A consumer as the browser is to see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiveSection {
    /// Audio or video.
    pub kind: MediaKind,
    /// The consumer's parameters; they have its mid.
    pub rtp_parameters: RtpParameters,
    /// The id of the MediaStream: one for all that has to play in step, such as the producing peer's id. No spaces.
    pub stream_id: String,
    /// The id of the track, such as the consumer's id. No spaces.
    pub track_id: String,
}

/// The server's side of a connection on which a browser receives.
#[derive(Debug)]
pub struct ReceiveNegotiator {
    transport: LocalTransport,
    session_id: u64,
    version: u64,
    /// Known from the first answer on.
    peer: Option<DtlsParameters>,
    slots: Vec<Slot>,
    /// Something changed since the last offer.
    changed: bool,
    /// The sections of the offer that is not answered yet.
    open: Option<Vec<MediaDescription>>,
}

/// A media section, and who uses it.
#[derive(Debug)]
struct Slot {
    /// The section of the offer, without the attributes of the transport.
    offer: MediaDescription,
    mid: String,
    state: SlotState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotState {
    /// To be used, once the browser agrees.
    Added,
    /// In use.
    Used,
    /// Given up; the browser does not know yet.
    Removed,
    /// Given up on both sides.
    Free,
    /// Without use, but never given up.
    Kept,
}

impl Slot {
    fn is_used(&self) -> bool {
        matches!(self.state, SlotState::Added | SlotState::Used)
    }
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiveAnswer {
    /// What to connect the transport with: in the first answer only.
    pub dtls_parameters: Option<DtlsParameters>,
    /// The mids of consumers that the browser now receives for the first time: time to resume them.
    pub accepted: Vec<String>,
    /// The mids of consumers that the browser does not receive: close them. Their sections are removed already.
    pub rejected: Vec<String>,
}

impl ReceiveNegotiator {
    /// For a connection to `transport`. With SCTP, its first section is one for data channels, so that there is
    /// something to connect before the first consumer.
    pub fn new(transport: LocalTransport) -> Self {
        let data = transport.data_section(DATA_MID).map(|offer| Slot {
            offer,
            mid: DATA_MID.to_owned(),
            state: SlotState::Kept,
        });
        Self {
            transport,
            session_id: random_session_id(),
            version: 0,
            peer: None,
            changed: data.is_some(),
            slots: data.into_iter().collect(),
            open: None,
        }
    }

    /// Adds a consumer to the next offer. Error: its mid is missing or in use, or something of it can't be written in a
    /// line: parameters and the canonical name come from whoever produces.
    pub fn add(&mut self, consumer: ReceiveSection) -> Result<(), NegotiationError> {
        let mid = consumer.rtp_parameters.mid.clone().unwrap_or_default();
        if mid.is_empty() || self.slots.iter().any(|slot| slot.mid == mid) {
            return Err(NegotiationError::Mid(mid));
        }
        let offer = offer_section(&consumer, &mid);
        if offer.attributes.iter().any(|attribute| has_control_character(&attribute.to_string())) {
            return Err(NegotiationError::ControlCharacter);
        }
        let slot = Slot { offer, mid, state: SlotState::Added };
        let is_free = |slot: &&mut Slot| slot.state == SlotState::Free && slot.offer.media == consumer.kind.as_str();
        match self.slots.iter_mut().find(is_free) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.changed = true;
        Ok(())
    }

    /// Removes a consumer from the next offer. Returns whether it was there.
    pub fn remove(&mut self, mid: &str) -> bool {
        let position = self.slots.iter().position(|slot| slot.mid == mid && slot.is_used());
        let Some(index) = position else { return false };
        let Some(slot) = self.slots.get_mut(index) else { return false };
        set_direction(&mut slot.offer, Direction::Inactive);
        slot.state = if index == 0 { SlotState::Kept } else { SlotState::Removed };
        if slot.state == SlotState::Removed {
            slot.offer.port = 0;
        }
        self.changed = true;
        true
    }

    /// Uses new ICE credentials from the next offer on.
    pub fn restart_ice(&mut self, ice_parameters: IceParameters) {
        self.transport.ice_parameters = ice_parameters;
        self.changed = true;
    }

    /// The next offer, if anything changed since the last one and that one is answered.
    pub fn offer(&mut self) -> Option<String> {
        if !self.changed || self.open.is_some() || self.slots.is_empty() {
            return None;
        }
        self.changed = false;
        self.version += 1;
        let attributes = self.transport.attributes(Setup::ActPass);
        let sections: Vec<MediaDescription> = self.slots.iter().map(|slot| slot.offer.clone()).collect();
        let described = sections.iter().cloned().map(|mut section| {
            if section.is_live() {
                section.attributes.extend(attributes.iter().cloned());
            }
            section
        });
        let offer = session(self.session_id, self.version, true, described.collect()).to_string();
        self.open = Some(sections);
        Some(offer)
    }

    /// Takes the browser's answer to the open offer. An error leaves everything as it was, with the offer open.
    pub fn answer(&mut self, sdp: &str) -> Result<ReceiveAnswer, NegotiationError> {
        let offered = self.open.as_deref().ok_or(NegotiationError::NoOffer)?;
        let answer: SessionDescription = sdp.parse()?;
        check_sections(offered, &answer)?;
        let dtls_parameters = match answer.media.iter().find(|section| section.is_live()) {
            Some(section) => Some(self.check_peer(&answer, section)?),
            None => None,
        };

        let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
        let offered = self.open.take().unwrap_or_default();
        for (index, (offered, answered)) in offered.iter().zip(&answer.media).enumerate() {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let sent = offered.is_live() && offered.direction().sends();
            let received = answered.is_live() && answered.direction().receives();
            match slot.state {
                SlotState::Removed if !offered.is_live() => slot.state = SlotState::Free,
                SlotState::Added if sent && received => {
                    slot.state = SlotState::Used;
                    accepted.push(slot.mid.clone());
                }
                SlotState::Added | SlotState::Used if sent && !received => rejected.push(slot.mid.clone()),
                _ => {}
            }
        }
        rejected.iter().for_each(|mid| {
            self.remove(mid);
        });
        let dtls_parameters = match (&self.peer, dtls_parameters) {
            (None, Some(parameters)) => self.peer.insert(parameters).clone().into(),
            _ => None,
        };
        Ok(ReceiveAnswer { dtls_parameters, accepted, rejected })
    }

    fn check_peer(
        &self,
        answer: &SessionDescription,
        section: &MediaDescription,
    ) -> Result<DtlsParameters, NegotiationError> {
        let parameters = remote_dtls(answer, section, false)?;
        match &self.peer {
            Some(before) if before.fingerprints != parameters.fingerprints => {
                Err(NegotiationError::FingerprintChanged(section.mid().unwrap_or_default().to_owned()))
            }
            _ => Ok(parameters),
        }
    }
}

/// An answer has the sections of the offer in their order (RFC 8829 section 5.3.1), and no payload types of its own.
fn check_sections(offered: &[MediaDescription], answer: &SessionDescription) -> Result<(), NegotiationError> {
    let (expected, found) = (offered.len(), answer.media.len());
    if expected != found {
        return Err(NegotiationError::SectionCount { expected, found });
    }
    for (index, (offered, answered)) in offered.iter().zip(&answer.media).enumerate() {
        let mid = offered.mid().unwrap_or_default();
        // A browser may leave the mid out of a section that it refuses.
        let same_mid = answered.mid() == Some(mid) || (answered.mid().is_none() && !answered.is_live());
        if answered.media != offered.media || !same_mid {
            return Err(NegotiationError::SectionMismatch { index, expected: mid.to_owned() });
        }
        if !answered.is_live() || !offered.is_live() {
            continue;
        }
        let known: HashSet<&String> = offered.formats.iter().collect();
        if let Some(stray) =
            answered.formats.iter().filter(|format| !known.contains(format)).find_map(|stray| stray.parse().ok())
        {
            return Err(NegotiationError::PayloadType { mid: mid.to_owned(), payload_type: stray });
        }
    }
    Ok(())
}

fn offer_section(consumer: &ReceiveSection, mid: &str) -> MediaDescription {
    let parameters = &consumer.rtp_parameters;
    let msid = format!("{} {}", consumer.stream_id, consumer.track_id);
    let mut attributes = vec![
        Attribute::Mid(mid.to_owned()),
        Attribute::Direction(Direction::SendOnly),
        Attribute::Msid { stream: consumer.stream_id.clone(), track: Some(consumer.track_id.clone()) },
    ];
    attributes.extend(parameters.codecs.iter().flat_map(fmtp::codec_attributes));
    attributes.extend(parameters.header_extensions.iter().map(|extension| Attribute::Extmap {
        id: extension.id,
        direction: None,
        uri: extension.uri.clone(),
        attributes: None,
    }));
    attributes.push(Attribute::RtcpMux);
    attributes.push(Attribute::RtcpRsize);
    let cname = parameters.rtcp.cname.as_ref().filter(|cname| !cname.is_empty()).unwrap_or(&consumer.stream_id);
    for encoding in &parameters.encodings {
        let Some(ssrc) = encoding.ssrc else { continue };
        let rtx = encoding.rtx.map(|rtx| rtx.ssrc);
        let ssrcs: Vec<u32> = std::iter::once(ssrc).chain(rtx).collect();
        attributes.extend(ssrcs.iter().flat_map(|&ssrc| {
            [("cname", cname), ("msid", &msid)].map(|(attribute, value)| Attribute::Ssrc {
                ssrc,
                attribute: attribute.to_owned(),
                value: Some(value.clone()),
            })
        }));
        if rtx.is_some() {
            attributes.push(Attribute::SsrcGroup { semantics: "FID".to_owned(), ssrcs });
        }
    }
    let formats = parameters.codecs.iter().map(|codec| codec.payload_type.to_string()).collect();
    transport::section(consumer.kind.as_str(), RTP_PROTOCOL, formats, attributes)
}

fn set_direction(section: &mut MediaDescription, direction: Direction) {
    for attribute in &mut section.attributes {
        if let Attribute::Direction(written) = attribute {
            *written = direction;
        }
    }
}
