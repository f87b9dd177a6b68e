//! Attributes from and to text.
//!
//! [`Attribute::parse`] takes what stands after `a=`; [`Display`](fmt::Display) writes the same back. An attribute that
//! is known by name but malformed is an error, because dropping it in silence would turn, say, a bad fingerprint into none.

use std::fmt;
use std::str::FromStr;

use super::attribute::{Attribute, AttributeError, Candidate, RidDirection, Setup, SimulcastRid, SimulcastStream};

type Result<T, E = AttributeError> = std::result::Result<T, E>;

impl Attribute {
    /// Reads what stands after `a=`.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((name, value)) = text.split_once(':') else {
            return Self::parse_flag(text);
        };
        Ok(match name {
            "group" => {
                let mut words = words(value);
                let semantics = word(&mut words, "the semantics of the group")?;
                Self::Group { semantics, mids: words.map(str::to_owned).collect() }
            }
            "ice-options" => Self::IceOptions(words(value).map(str::to_owned).collect()),
            "ice-ufrag" => Self::IceUfrag(token(value, "an ICE user name fragment")?),
            "ice-pwd" => Self::IcePwd(token(value, "an ICE password")?),
            "fingerprint" => parse_fingerprint(value)?,
            "setup" => Self::Setup(match value.trim() {
                "active" => Setup::Active,
                "passive" => Setup::Passive,
                "actpass" => Setup::ActPass,
                "holdconn" => Setup::HoldConn,
                _ => return Err(AttributeError("active, passive, actpass or holdconn")),
            }),
            "mid" => Self::Mid(token(value, "an identification tag")?),
            "rtpmap" => parse_rtpmap(value)?,
            "fmtp" => {
                let (payload_type, parameters) = value.split_once(' ').unwrap_or((value, ""));
                Self::Fmtp { payload_type: parse_payload_type(payload_type)?, parameters: parameters.trim().to_owned() }
            }
            "rtcp-fb" => parse_rtcp_fb(value)?,
            "extmap" => parse_extmap(value)?,
            "ssrc" => parse_ssrc(value)?,
            "ssrc-group" => {
                let mut words = words(value);
                let semantics = word(&mut words, "the semantics of the group")?;
                let ssrcs = words.map(|word| number(word, "an SSRC")).collect::<Result<_>>()?;
                Self::SsrcGroup { semantics, ssrcs }
            }
            "msid" => {
                let mut words = words(value);
                let stream = word(&mut words, "the id of a stream")?;
                Self::Msid { stream, track: words.next().map(str::to_owned) }
            }
            "rid" => parse_rid(value)?,
            "simulcast" => parse_simulcast(value)?,
            "candidate" => Self::Candidate(Candidate::parse(value)?),
            "sctp-port" => Self::SctpPort(number(value.trim(), "a port")?),
            "max-message-size" => Self::MaxMessageSize(number(value.trim(), "a size in bytes")?),
            _ => Self::Other { name: name.to_owned(), value: Some(value.to_owned()) },
        })
    }

    fn parse_flag(name: &str) -> Result<Self> {
        Ok(match name.trim_end() {
            "extmap-allow-mixed" => Self::ExtmapAllowMixed,
            "ice-lite" => Self::IceLite,
            "rtcp-mux" => Self::RtcpMux,
            "rtcp-mux-only" => Self::RtcpMuxOnly,
            "rtcp-rsize" => Self::RtcpRsize,
            "bundle-only" => Self::BundleOnly,
            "end-of-candidates" => Self::EndOfCandidates,
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => Self::Direction(name.trim_end().parse()?),
            "" => return Err(AttributeError("the name of an attribute")),
            other => Self::Other { name: other.to_owned(), value: None },
        })
    }
}

impl Candidate {
    /// Reads what stands after `candidate:`, as also `RTCIceCandidate.candidate` has it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut words = words(text);
        let foundation = word(&mut words, "a foundation")?;
        let component = number(words.next().unwrap_or(""), "a component")?;
        let transport = word(&mut words, "a transport protocol")?.to_ascii_lowercase();
        let priority = number(words.next().unwrap_or(""), "a priority")?;
        let address = word(&mut words, "an address")?;
        let port = number(words.next().unwrap_or(""), "a port")?;
        if words.next() != Some("typ") {
            return Err(AttributeError("`typ`"));
        }
        let kind = word(&mut words, "the type of the candidate")?;
        let mut extensions = Vec::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            extensions.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { foundation, component, transport, priority, address, port, kind, extensions })
    }
}

fn parse_fingerprint(value: &str) -> Result<Attribute> {
    let mut words = words(value);
    let algorithm = word(&mut words, "a hash function")?.to_ascii_lowercase();
    let value = word(&mut words, "a fingerprint")?.to_ascii_uppercase();
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !value.split(':').all(is_pair) {
        return Err(AttributeError("pairs of hexadecimal digits separated by colons"));
    }
    Ok(Attribute::Fingerprint { algorithm, value })
}

fn parse_rtpmap(value: &str) -> Result<Attribute> {
    let mut words = words(value);
    let payload_type = parse_payload_type(words.next().unwrap_or(""))?;
    let mut parts = words.next().unwrap_or("").split('/');
    let encoding = token(parts.next().unwrap_or(""), "the name of an encoding")?;
    let clock_rate = number(parts.next().unwrap_or(""), "a clock rate")?;
    let channels = parts.next().map(|channels| number(channels, "a number of channels")).transpose()?;
    Ok(Attribute::Rtpmap { payload_type, encoding, clock_rate, channels })
}

fn parse_rtcp_fb(value: &str) -> Result<Attribute> {
    let mut words = words(value);
    let payload_type = match words.next() {
        Some("*") => None,
        other => Some(parse_payload_type(other.unwrap_or(""))?),
    };
    let kind = word(&mut words, "the kind of feedback")?;
    let parameter = words.collect::<Vec<_>>().join(" ");
    Ok(Attribute::RtcpFb { payload_type, kind, parameter })
}

fn parse_extmap(value: &str) -> Result<Attribute> {
    let mut words = value.trim().splitn(3, ' ');
    let id = words.next().unwrap_or("");
    let (id, direction) = match id.split_once('/') {
        Some((id, direction)) => (id, Some(direction.parse()?)),
        None => (id, None),
    };
    let id = number(id, "an id from 1 to 255")?;
    if id == 0 {
        return Err(AttributeError("an id from 1 to 255"));
    }
    let uri = token(words.next().unwrap_or(""), "the URI of a header extension")?;
    let attributes = words.next().map(|rest| rest.trim().to_owned()).filter(|rest| !rest.is_empty());
    Ok(Attribute::Extmap { id, direction, uri, attributes })
}

fn parse_ssrc(value: &str) -> Result<Attribute> {
    let (ssrc, rest) = value.split_once(' ').ok_or(AttributeError("an attribute of the source"))?;
    let ssrc = number(ssrc, "an SSRC")?;
    let (attribute, value) = match rest.trim().split_once(':') {
        Some((attribute, value)) => (attribute, Some(value.to_owned())),
        None => (rest.trim(), None),
    };
    Ok(Attribute::Ssrc { ssrc, attribute: token(attribute, "an attribute of the source")?, value })
}

fn parse_rid(value: &str) -> Result<Attribute> {
    let mut words = value.trim().splitn(3, ' ');
    let id = token(words.next().unwrap_or(""), "a restriction identifier")?;
    let direction = match words.next() {
        Some("send") => RidDirection::Send,
        Some("recv") => RidDirection::Recv,
        _ => return Err(AttributeError("send or recv")),
    };
    let restrictions = words.next().map(|rest| rest.trim().to_owned()).filter(|rest| !rest.is_empty());
    Ok(Attribute::Rid { id, direction, restrictions })
}

fn parse_simulcast(value: &str) -> Result<Attribute> {
    let (mut send, mut recv) = (Vec::new(), Vec::new());
    let mut words = words(value);
    while let Some(direction) = words.next() {
        let streams = words.next().unwrap_or("").split(';').map(parse_simulcast_stream).collect::<Result<_>>()?;
        match direction {
            "send" if send.is_empty() => send = streams,
            "recv" if recv.is_empty() => recv = streams,
            _ => return Err(AttributeError("send or recv, each once at most")),
        }
    }
    Ok(Attribute::Simulcast { send, recv })
}

fn parse_simulcast_stream(text: &str) -> Result<SimulcastStream> {
    let rid = |text: &str| {
        let (paused, id) = match text.strip_prefix('~') {
            Some(id) => (true, id),
            None => (false, text),
        };
        Ok(SimulcastRid { id: token(id, "a restriction identifier")?, paused })
    };
    Ok(SimulcastStream { alternatives: text.split(',').map(rid).collect::<Result<_>>()? })
}

fn parse_payload_type(text: &str) -> Result<u8> {
    match number(text, "a payload type") {
        Ok(payload_type) if payload_type < 128 => Ok(payload_type),
        _ => Err(AttributeError("a payload type from 0 to 127")),
    }
}

fn words(text: &str) -> std::str::SplitAsciiWhitespace<'_> {
    text.split_ascii_whitespace()
}

fn word<'a>(words: &mut impl Iterator<Item = &'a str>, expected: &'static str) -> Result<String> {
    words.next().map(str::to_owned).ok_or(AttributeError(expected))
}

fn token(text: &str, expected: &'static str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(AttributeError(expected));
    }
    Ok(text.to_owned())
}

fn number<T: FromStr>(text: &str, expected: &'static str) -> Result<T> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AttributeError(expected));
    }
    text.parse().map_err(|_| AttributeError(expected))
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { semantics, mids } => {
                write!(f, "group:{semantics}")?;
                mids.iter().try_for_each(|mid| write!(f, " {mid}"))
            }
            Self::ExtmapAllowMixed => f.write_str("extmap-allow-mixed"),
            Self::IceLite => f.write_str("ice-lite"),
            Self::IceOptions(options) => write!(f, "ice-options:{}", options.join(" ")),
            Self::IceUfrag(ufrag) => write!(f, "ice-ufrag:{ufrag}"),
            Self::IcePwd(password) => write!(f, "ice-pwd:{password}"),
            Self::Fingerprint { algorithm, value } => write!(f, "fingerprint:{algorithm} {value}"),
            Self::Setup(setup) => write!(f, "setup:{}", setup.name()),
            Self::Mid(mid) => write!(f, "mid:{mid}"),
            Self::Direction(direction) => f.write_str(direction.name()),
            Self::RtcpMux => f.write_str("rtcp-mux"),
            Self::RtcpMuxOnly => f.write_str("rtcp-mux-only"),
            Self::RtcpRsize => f.write_str("rtcp-rsize"),
            Self::BundleOnly => f.write_str("bundle-only"),
            Self::Rtpmap { payload_type, encoding, clock_rate, channels } => {
                write!(f, "rtpmap:{payload_type} {encoding}/{clock_rate}")?;
                channels.iter().try_for_each(|channels| write!(f, "/{channels}"))
            }
            Self::Fmtp { payload_type, parameters } => {
                write!(f, "fmtp:{payload_type}")?;
                write_word(f, parameters)
            }
            Self::RtcpFb { payload_type, kind, parameter } => {
                match payload_type {
                    Some(payload_type) => write!(f, "rtcp-fb:{payload_type} {kind}")?,
                    None => write!(f, "rtcp-fb:* {kind}")?,
                }
                write_word(f, parameter)
            }
            Self::Extmap { id, direction, uri, attributes } => {
                write!(f, "extmap:{id}")?;
                direction.iter().try_for_each(|direction| write!(f, "/{}", direction.name()))?;
                write!(f, " {uri}")?;
                write_word(f, attributes.as_deref().unwrap_or(""))
            }
            Self::Ssrc { ssrc, attribute, value } => {
                write!(f, "ssrc:{ssrc} {attribute}")?;
                value.iter().try_for_each(|value| write!(f, ":{value}"))
            }
            Self::SsrcGroup { semantics, ssrcs } => {
                write!(f, "ssrc-group:{semantics}")?;
                ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
            }
            Self::Msid { stream, track } => {
                write!(f, "msid:{stream}")?;
                write_word(f, track.as_deref().unwrap_or(""))
            }
            Self::Rid { id, direction, restrictions } => {
                write!(f, "rid:{id} {}", direction.name())?;
                write_word(f, restrictions.as_deref().unwrap_or(""))
            }
            Self::Simulcast { send, recv } => write_simulcast(f, send, recv),
            Self::Candidate(candidate) => write!(f, "candidate:{candidate}"),
            Self::EndOfCandidates => f.write_str("end-of-candidates"),
            Self::SctpPort(port) => write!(f, "sctp-port:{port}"),
            Self::MaxMessageSize(size) => write!(f, "max-message-size:{size}"),
            Self::Other { name, value: Some(value) } => write!(f, "{name}:{value}"),
            Self::Other { name, value: None } => f.write_str(name),
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, transport, priority, address, port, kind, extensions } = self;
        write!(f, "{foundation} {component} {transport} {priority} {address} {port} typ {kind}")?;
        extensions.iter().try_for_each(|(name, value)| write!(f, " {name} {value}"))
    }
}

fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    if word.is_empty() { Ok(()) } else { write!(f, " {word}") }
}

fn write_simulcast(f: &mut fmt::Formatter<'_>, send: &[SimulcastStream], recv: &[SimulcastStream]) -> fmt::Result {
    let rid = |rid: &SimulcastRid| format!("{}{}", if rid.paused { "~" } else { "" }, rid.id);
    let stream = |stream: &SimulcastStream| stream.alternatives.iter().map(rid).collect::<Vec<_>>().join(",");
    let list = |streams: &[SimulcastStream]| streams.iter().map(stream).collect::<Vec<_>>().join(";");
    let directions = [("send", send), ("recv", recv)];
    let written = directions.iter().filter(|(_, streams)| !streams.is_empty());
    let parts: Vec<String> = written.map(|(name, streams)| format!("{name} {}", list(streams))).collect();
    write!(f, "simulcast:{}", parts.join(" "))
}
