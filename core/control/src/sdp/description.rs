//! A session description as a tree: the session, its media sections, their attributes (RFC 8866).
//!
//! Only what WebRTC uses has a field. Lines that carry nothing for it (`i=`, `u=`, `e=`, `p=`, `r=`, `z=`, `k=`) are read over.

use super::attribute::{Attribute, Candidate, Direction, Setup};

/// A whole session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// `o=`
    pub origin: Origin,
    /// `s=`, `-` where there is nothing to say.
    pub session_name: String,
    /// `t=`: start and stop, 0 and 0 for a session that is not bounded.
    pub timing: (u64, u64),
    /// `c=` of the session: the address, as in `IN IP4 0.0.0.0`.
    pub connection: Option<String>,
    /// `a=` of the session.
    pub attributes: Vec<Attribute>,
    /// The media sections, in order. The index is the m-line index.
    pub media: Vec<MediaDescription>,
}

/// `o=`: who made the description, and which version of it this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `-` where there is no user.
    pub username: String,
    /// Stays the same for one RTCPeerConnection.
    pub session_id: u64,
    /// Grows with each change.
    pub session_version: u64,
    /// `IN IP4 127.0.0.1`: an address that means nothing.
    pub address: String,
}

/// A media section: an `m=` line and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// `audio`, `video`, `application`...
    pub media: String,
    /// 9 where ICE chooses it; 0 for a section that is rejected, closed or (with `bundle-only`) bundled.
    pub port: u16,
    /// `UDP/TLS/RTP/SAVPF`...
    pub protocol: String,
    /// Payload types, or `webrtc-datachannel`.
    pub formats: Vec<String>,
    /// `c=` of the section: the address, as in `IN IP4 0.0.0.0`.
    pub connection: Option<String>,
    /// `b=`: kind (`AS`, `TIAS`) and value.
    pub bandwidths: Vec<(String, u64)>,
    /// `a=` of the section.
    pub attributes: Vec<Attribute>,
}

impl SessionDescription {
    /// The identification tags of the sections in the first BUNDLE group, empty where there is none.
    pub fn bundle(&self) -> &[String] {
        self.attributes
            .iter()
            .find_map(|attribute| match attribute {
                Attribute::Group { semantics, mids } if semantics == "BUNDLE" => Some(mids.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// The section whose `a=mid` is `mid`.
    pub fn section(&self, mid: &str) -> Option<&MediaDescription> {
        self.media.iter().find(|section| section.mid() == Some(mid))
    }
}

impl MediaDescription {
    /// `a=mid`
    pub fn mid(&self) -> Option<&str> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Mid(mid) => Some(mid.as_str()),
            _ => None,
        })
    }

    /// The direction; [`Direction::SendRecv`] where none is written.
    pub fn direction(&self) -> Direction {
        let written = self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Direction(direction) => Some(*direction),
            _ => None,
        });
        written.unwrap_or_default()
    }

    /// Whether the section takes part: its port is not 0, or it is only bundled.
    pub fn is_live(&self) -> bool {
        self.port != 0 || self.attributes.contains(&Attribute::BundleOnly)
    }

    /// The candidates of the section.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Candidate(candidate) => Some(candidate),
            _ => None,
        })
    }

    /// The CNAME that the section gives to its first source (RFC 5576 section 6.1).
    pub fn cname(&self) -> Option<&str> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Ssrc { attribute, value: Some(value), .. } if attribute == "cname" => Some(value.as_str()),
            _ => None,
        })
    }
}

/// `a=setup`, of the section or else of the session.
pub(super) fn setup(session: &SessionDescription, section: &MediaDescription) -> Option<Setup> {
    either(session, section, |attribute| match attribute {
        Attribute::Setup(setup) => Some(*setup),
        _ => None,
    })
}

/// Every `a=fingerprint`, of the section or else of the session: algorithm and value.
pub(super) fn fingerprints<'a>(
    session: &'a SessionDescription,
    section: &'a MediaDescription,
) -> Vec<(&'a str, &'a str)> {
    let of = |attributes: &'a [Attribute]| -> Vec<(&'a str, &'a str)> {
        let fingerprints = attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Fingerprint { algorithm, value } => Some((algorithm.as_str(), value.as_str())),
            _ => None,
        });
        fingerprints.collect()
    };
    let own = of(&section.attributes);
    if own.is_empty() { of(&session.attributes) } else { own }
}

fn either<T>(
    session: &SessionDescription,
    section: &MediaDescription,
    pick: impl Fn(&Attribute) -> Option<T>,
) -> Option<T> {
    section.attributes.iter().find_map(&pick).or_else(|| session.attributes.iter().find_map(&pick))
}
