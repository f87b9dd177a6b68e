//! The `a=` lines: one variant for each attribute that a conference reads or writes, and [`Attribute::Other`] for the rest.
//! How they are read and written is in [`attribute_text`](super::attribute_text).

use std::str::FromStr;

/// One attribute of the session or of a media section.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute {
    /// `a=group:BUNDLE 0 1` (RFC 5888; BUNDLE: RFC 9143).
    Group {
        /// `BUNDLE`, `LS`...
        semantics: String,
        /// The identification tags of the sections in the group; the first is the tagged one.
        mids: Vec<String>,
    },
    /// `a=extmap-allow-mixed`: one-byte and two-byte header extensions may alternate (RFC 8285 section 6).
    ExtmapAllowMixed,
    /// `a=ice-lite` (RFC 8839 section 5.3).
    IceLite,
    /// `a=ice-options:trickle` (RFC 8839 section 5.6).
    IceOptions(Vec<String>),
    /// `a=ice-ufrag` (RFC 8839 section 5.4).
    IceUfrag(String),
    /// `a=ice-pwd` (RFC 8839 section 5.4).
    IcePwd(String),
    /// `a=fingerprint:sha-256 AB:CD:..` (RFC 8122 section 5).
    Fingerprint {
        /// The hash function, in lower case.
        algorithm: String,
        /// Pairs of upper-case hexadecimal digits separated by colons.
        value: String,
    },
    /// `a=setup` (RFC 4145 section 4, as used by RFC 8842).
    Setup(Setup),
    /// `a=mid` (RFC 5888 section 4).
    Mid(String),
    /// `a=sendrecv`, `a=sendonly`, `a=recvonly` or `a=inactive` (RFC 8866 section 6.7).
    Direction(Direction),
    /// `a=rtcp-mux` (RFC 5761).
    RtcpMux,
    /// `a=rtcp-mux-only` (RFC 8858).
    RtcpMuxOnly,
    /// `a=rtcp-rsize` (RFC 5506).
    RtcpRsize,
    /// `a=bundle-only` (RFC 9143 section 6).
    BundleOnly,
    /// `a=rtpmap:96 VP8/90000` (RFC 8866 section 6.6).
    Rtpmap {
        /// RTP payload type, 0 to 127.
        payload_type: u8,
        /// The name of the encoding: the subtype of the media type, in any case.
        encoding: String,
        /// In hertz.
        clock_rate: u32,
        /// The number of audio channels, when written.
        channels: Option<u8>,
    },
    /// `a=fmtp:96 apt=97` (RFC 8866 section 6.15).
    Fmtp {
        /// RTP payload type, 0 to 127.
        payload_type: u8,
        /// Everything after the payload type, as it stands.
        parameters: String,
    },
    /// `a=rtcp-fb:96 nack pli` (RFC 4585 section 4.2).
    RtcpFb {
        /// The payload type, or `None` for `*`: every one of the section.
        payload_type: Option<u8>,
        /// `nack`, `ccm`, `transport-cc`...
        kind: String,
        /// `pli`, `fir`... or empty.
        parameter: String,
    },
    /// `a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 8285 section 8).
    Extmap {
        /// 1 to 14 for one-byte headers, up to 255 for two-byte headers.
        id: u8,
        /// As in `a=extmap:4/recvonly`.
        direction: Option<Direction>,
        /// What the extension means.
        uri: String,
        /// The rest of the line, where there is any.
        attributes: Option<String>,
    },
    /// `a=ssrc:1234 cname:abc` (RFC 5576 section 4.1).
    Ssrc {
        /// The synchronisation source that is described.
        ssrc: u32,
        /// The name of the source's attribute.
        attribute: String,
        /// Its value, where there is one.
        value: Option<String>,
    },
    /// `a=ssrc-group:FID 1 2` (RFC 5576 section 4.2).
    SsrcGroup {
        /// `FID`: a source and its retransmissions (RFC 4588); `SIM`: layers of one simulcast.
        semantics: String,
        /// The sources of the group, in order.
        ssrcs: Vec<u32>,
    },
    /// `a=msid:stream track` (RFC 8830).
    Msid {
        /// The id of the MediaStream; `-` for none.
        stream: String,
        /// The id of the track; newer browsers leave it out.
        track: Option<String>,
    },
    /// `a=rid:r0 send` (RFC 8851).
    Rid {
        /// The restriction identifier.
        id: String,
        /// Whether the author of the description sends or receives it.
        direction: RidDirection,
        /// Payload types and limits, as they stand.
        restrictions: Option<String>,
    },
    /// `a=simulcast:send r0;r1;r2` (RFC 8853).
    Simulcast {
        /// The streams that the author sends; empty when there is no `send`.
        send: Vec<SimulcastStream>,
        /// The streams that the author would receive; empty when there is no `recv`.
        recv: Vec<SimulcastStream>,
    },
    /// `a=candidate` (RFC 8839 section 5.1).
    Candidate(Candidate),
    /// `a=end-of-candidates` (RFC 8840 section 8.2).
    EndOfCandidates,
    /// `a=sctp-port` (RFC 8841 section 5).
    SctpPort(u16),
    /// `a=max-message-size`, in bytes; 0 means any size (RFC 8841 section 6).
    MaxMessageSize(u64),
    /// An attribute of another name, kept as it stands.
    Other {
        /// The name before the colon.
        name: String,
        /// What follows the colon, where there is one.
        value: Option<String>,
    },
}

/// Which way media goes, as the author of a description sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways: what holds where nothing is written.
    #[default]
    SendRecv,
    /// From the author only.
    SendOnly,
    /// To the author only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether the author sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the author receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

impl FromStr for Direction {
    type Err = AttributeError;

    fn from_str(text: &str) -> Result<Self, AttributeError> {
        match text {
            "sendrecv" => Ok(Self::SendRecv),
            "sendonly" => Ok(Self::SendOnly),
            "recvonly" => Ok(Self::RecvOnly),
            "inactive" => Ok(Self::Inactive),
            _ => Err(AttributeError("a direction")),
        }
    }
}

/// Who begins the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The author is the DTLS client.
    Active,
    /// The author is the DTLS server.
    Passive,
    /// The author leaves the choice to the other (in offers only).
    ActPass,
    /// No connection yet. Not used by WebRTC.
    HoldConn,
}

impl Setup {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

/// The direction of an `a=rid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RidDirection {
    /// The author sends the stream.
    Send,
    /// The author would receive the stream.
    Recv,
}

impl RidDirection {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }
}

/// One simulcast stream: the rids that may carry it, the preferred one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulcastStream {
    /// At least one.
    pub alternatives: Vec<SimulcastRid>,
}

/// A rid in `a=simulcast`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulcastRid {
    /// The id that an `a=rid` declares.
    pub id: String,
    /// Written with `~`: not sent at first.
    pub paused: bool,
}

/// An ICE candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Equal for candidates of the same kind, base and server.
    pub foundation: String,
    /// 1 for RTP (and RTCP multiplexed with it).
    pub component: u16,
    /// `udp` or `tcp`, in lower case.
    pub transport: String,
    /// Higher is preferred.
    pub priority: u32,
    /// An IP address, or a name: browsers hide their addresses as `<uuid>.local`.
    pub address: String,
    /// The port; 9 for active TCP.
    pub port: u16,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub kind: String,
    /// Name and value pairs that follow: `raddr`, `rport`, `tcptype`, `generation`...
    pub extensions: Vec<(String, String)>,
}

/// What an attribute's value lacks. [`ParseError`](super::ParseError) adds the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct AttributeError(pub(super) &'static str);
