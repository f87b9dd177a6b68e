//! What both negotiators say of the server's own transport, and read of the peer's.

use sfu_channel::{
    DtlsFingerprint, DtlsParameters, DtlsRole, FingerprintAlgorithm, IceCandidate, IceCandidateTcpType, IceParameters,
    Protocol,
};

use super::NegotiationError;
use super::attribute::{Attribute, Candidate, Setup};
use super::description::{MediaDescription, Origin, SessionDescription, fingerprints, setup};

/// The WebRTC transport that the peer is to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTransport {
    /// ICE credentials; an ICE restart replaces them.
    pub ice_parameters: IceParameters,
    /// All candidates.
    pub ice_candidates: Vec<IceCandidate>,
    /// Fingerprints of the certificate. The role is chosen by negotiation.
    pub dtls_parameters: DtlsParameters,
    /// The largest message that data channels take, in bytes; `None` for a transport without SCTP.
    pub max_message_size: Option<u32>,
}

/// The port that SCTP uses inside DTLS: only one association, so always the same.
const SCTP_PORT: u16 = 5000;
/// The port of a section whose real address ICE chooses (RFC 8829 section 5.2.1).
pub(super) const DISCARD_PORT: u16 = 9;
/// `m=`'s protocol of RTP sections.
pub(super) const RTP_PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";
/// `m=`'s protocol of data channels.
const DATA_PROTOCOL: &str = "UDP/DTLS/SCTP";

impl LocalTransport {
    /// The attributes of a section that belong to the transport.
    pub(super) fn attributes(&self, setup: Setup) -> Vec<Attribute> {
        let mut attributes = vec![
            Attribute::IceUfrag(self.ice_parameters.username_fragment.clone()),
            Attribute::IcePwd(self.ice_parameters.password.clone()),
        ];
        attributes.extend(self.fingerprints().into_iter().map(|fingerprint| Attribute::Fingerprint {
            algorithm: algorithm_name(fingerprint.algorithm).to_owned(),
            value: fingerprint.value.clone(),
        }));
        attributes.push(Attribute::Setup(setup));
        attributes.extend(self.ice_candidates.iter().map(candidate));
        attributes.push(Attribute::EndOfCandidates);
        attributes
    }

    /// SHA-256 alone where there is one, as every peer knows it; else whatever there is.
    fn fingerprints(&self) -> Vec<&DtlsFingerprint> {
        let all = &self.dtls_parameters.fingerprints;
        match all.iter().find(|fingerprint| fingerprint.algorithm == FingerprintAlgorithm::Sha256) {
            Some(sha256) => vec![sha256],
            None => all.iter().collect(),
        }
    }

    /// A section for data channels, without the attributes of the transport; `None` without SCTP.
    pub(super) fn data_section(&self, mid: &str) -> Option<MediaDescription> {
        let max_message_size = self.max_message_size?;
        let attributes = vec![
            Attribute::Mid(mid.to_owned()),
            Attribute::SctpPort(SCTP_PORT),
            Attribute::MaxMessageSize(max_message_size.into()),
        ];
        Some(section("application", DATA_PROTOCOL, vec!["webrtc-datachannel".to_owned()], attributes))
    }
}

/// A description of the server's with its session-level attributes. An answer may have `extmap_allow_mixed` only if the
/// offer has it (RFC 8285 section 6).
pub(super) fn session(
    session_id: u64,
    version: u64,
    extmap_allow_mixed: bool,
    media: Vec<MediaDescription>,
) -> SessionDescription {
    let live = media.iter().filter(|section| section.is_live());
    let mids: Vec<String> = live.filter_map(|section| section.mid().map(str::to_owned)).collect();
    let mut attributes = vec![Attribute::IceLite];
    if extmap_allow_mixed {
        attributes.push(Attribute::ExtmapAllowMixed);
    }
    if !mids.is_empty() {
        attributes.push(Attribute::Group { semantics: "BUNDLE".to_owned(), mids });
    }
    attributes.push(Attribute::Other { name: "msid-semantic".to_owned(), value: Some(" WMS *".to_owned()) });
    let origin = Origin {
        username: "sfu".to_owned(),
        session_id,
        session_version: version,
        address: "IN IP4 0.0.0.0".to_owned(),
    };
    SessionDescription { origin, session_name: "-".to_owned(), timing: (0, 0), connection: None, attributes, media }
}

/// A live section at an address that ICE will replace.
pub(super) fn section(
    media: &str,
    protocol: &str,
    formats: Vec<String>,
    attributes: Vec<Attribute>,
) -> MediaDescription {
    MediaDescription {
        media: media.to_owned(),
        port: DISCARD_PORT,
        protocol: protocol.to_owned(),
        formats,
        connection: Some("IN IP4 0.0.0.0".to_owned()),
        bandwidths: Vec::new(),
        attributes,
    }
}

/// The DTLS role and fingerprint of the peer, from one of its live sections. In an offer, `actpass` makes it the client.
pub(super) fn remote_dtls(
    description: &SessionDescription,
    section: &MediaDescription,
    is_offer: bool,
) -> Result<DtlsParameters, NegotiationError> {
    let mid = || section.mid().unwrap_or_default().to_owned();
    let role = match setup(description, section) {
        Some(Setup::Active) => DtlsRole::Client,
        Some(Setup::Passive) => DtlsRole::Server,
        Some(Setup::ActPass) if is_offer => DtlsRole::Client,
        _ => return Err(NegotiationError::Setup(mid())),
    };
    let stated = fingerprints(description, section).into_iter();
    let mut known: Vec<DtlsFingerprint> = stated
        .filter_map(|(name, value)| Some(DtlsFingerprint { algorithm: algorithm(name)?, value: value.to_owned() }))
        .collect();
    // Only the first is checked: let it be a strong one.
    known.sort_by_key(|fingerprint| fingerprint.algorithm != FingerprintAlgorithm::Sha256);
    if known.is_empty() {
        return Err(NegotiationError::MissingFingerprint(mid()));
    }
    Ok(DtlsParameters { role, fingerprints: known })
}

/// A number for `o=` that no other session has.
pub(super) fn random_session_id() -> u64 {
    let [high, low] = [crate::ortc::random_ssrc(), crate::ortc::random_ssrc()];
    u64::from(high) * 1_000_000_000 + u64::from(low)
}

fn candidate(candidate: &IceCandidate) -> Attribute {
    let transport = match candidate.protocol {
        Protocol::Udp => "udp",
        Protocol::Tcp => "tcp",
    };
    let tcp_type = candidate.tcp_type.map(|IceCandidateTcpType::Passive| ("tcptype".to_owned(), "passive".to_owned()));
    Attribute::Candidate(Candidate {
        foundation: candidate.foundation.clone(),
        component: 1,
        transport: transport.to_owned(),
        priority: candidate.priority,
        address: candidate.address.clone(),
        port: candidate.port,
        kind: "host".to_owned(),
        extensions: tcp_type.into_iter().collect(),
    })
}

const ALGORITHMS: [(FingerprintAlgorithm, &str); 5] = [
    (FingerprintAlgorithm::Sha1, "sha-1"),
    (FingerprintAlgorithm::Sha224, "sha-224"),
    (FingerprintAlgorithm::Sha256, "sha-256"),
    (FingerprintAlgorithm::Sha384, "sha-384"),
    (FingerprintAlgorithm::Sha512, "sha-512"),
];

fn algorithm(name: &str) -> Option<FingerprintAlgorithm> {
    ALGORITHMS.iter().find(|(_, other)| *other == name).map(|&(algorithm, _)| algorithm)
}

fn algorithm_name(algorithm: FingerprintAlgorithm) -> &'static str {
    ALGORITHMS.iter().find(|(other, _)| *other == algorithm).map_or("sha-256", |&(_, name)| name)
}
