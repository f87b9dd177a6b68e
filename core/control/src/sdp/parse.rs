//! Text to [`SessionDescription`].

use std::str::FromStr;

use super::attribute::{Attribute, AttributeError};
use super::description::{MediaDescription, Origin, SessionDescription};

/// More media sections than this are refused: a bound on the work that one description can cause.
pub const MAX_MEDIA_SECTIONS: usize = 1024;
/// More lines than this are refused. A browser writes up to 140 for a section that it sends, and some 30 for one that it
/// receives.
pub const MAX_LINES: usize = 8192;

/// Why a text is not a session description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SDP line {line}, `{text}`: {reason}")]
pub struct ParseError {
    /// The number of the line, from 1.
    pub line: usize,
    /// The line, cut at 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: ParseErrorReason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorReason {
    /// A line has a control character: RFC 8866 section 9 allows none of those that end a line, and others would only
    /// disturb whoever the text is passed on to.
    #[error("a line can't have control characters")]
    ControlCharacter,
    /// Every line is a letter, `=` and a value (RFC 8866 section 5).
    #[error("expected a letter and `=`")]
    NotALine,
    /// The first line must be `v=0`.
    #[error("expected `v=0` as the first line")]
    Version,
    /// `o=` has the wrong fields.
    #[error("expected `o=<username> <session id> <session version> <address>`")]
    Origin,
    /// There is no `o=`.
    #[error("the description ends without `o=`")]
    MissingOrigin,
    /// `t=` has the wrong fields.
    #[error("expected `t=<start> <stop>`")]
    Timing,
    /// `m=` has the wrong fields.
    #[error("expected `m=<media> <port> <protocol> <formats>`")]
    Media,
    /// There are more than [`MAX_MEDIA_SECTIONS`].
    #[error("too many media sections")]
    TooManySections,
    /// There are more than [`MAX_LINES`].
    #[error("too many lines")]
    TooManyLines,
    /// `b=` has the wrong fields.
    #[error("expected `b=<kind>:<value>`")]
    Bandwidth,
    /// An attribute is known by name, but its value can't be read.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
}

impl FromStr for SessionDescription {
    type Err = ParseError;

    /// Reads a description. Lines end with CR LF or LF; empty lines are read over, as some programs append one.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::default();
        let mut last = 0;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            last = index + 1;
            if last > MAX_LINES {
                return Err(error(last, line, ParseErrorReason::TooManyLines));
            }
            if !line.is_empty() {
                parser.line(line).map_err(|reason| error(last, line, reason))?;
            }
        }
        parser.finish().map_err(|reason| error(last, "", reason))
    }
}

/// Whether a text can't stand in a line of a description.
pub(super) fn has_control_character(text: &str) -> bool {
    text.contains(|character: char| character.is_control() && character != '\t')
}

fn error(line: usize, text: &str, reason: ParseErrorReason) -> ParseError {
    ParseError { line, text: text.chars().take(80).collect(), reason }
}

#[derive(Default)]
struct Parser {
    version_seen: bool,
    origin: Option<Origin>,
    session_name: String,
    timing: (u64, u64),
    connection: Option<String>,
    attributes: Vec<Attribute>,
    media: Vec<MediaDescription>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), ParseErrorReason> {
        if has_control_character(line) {
            return Err(ParseErrorReason::ControlCharacter);
        }
        let (letter, value) = line.split_once('=').ok_or(ParseErrorReason::NotALine)?;
        if !self.version_seen {
            if letter != "v" || value.trim() != "0" {
                return Err(ParseErrorReason::Version);
            }
            self.version_seen = true;
            return Ok(());
        }
        match letter {
            "o" => self.origin = Some(parse_origin(value).ok_or(ParseErrorReason::Origin)?),
            "s" => self.session_name = value.to_owned(),
            "t" => self.timing = parse_timing(value).ok_or(ParseErrorReason::Timing)?,
            "m" if self.media.len() == MAX_MEDIA_SECTIONS => return Err(ParseErrorReason::TooManySections),
            "m" => self.media.push(parse_media(value).ok_or(ParseErrorReason::Media)?),
            "c" => *self.connection() = Some(value.trim().to_owned()),
            "b" => {
                let bandwidth = parse_bandwidth(value).ok_or(ParseErrorReason::Bandwidth)?;
                if let Some(section) = self.media.last_mut() {
                    section.bandwidths.push(bandwidth);
                }
            }
            "a" => {
                let attribute = Attribute::parse(value)?;
                self.attributes().push(attribute);
            }
            _ if letter.len() == 1 => {}
            _ => return Err(ParseErrorReason::NotALine),
        }
        Ok(())
    }

    fn connection(&mut self) -> &mut Option<String> {
        self.media.last_mut().map_or(&mut self.connection, |section| &mut section.connection)
    }

    fn attributes(&mut self) -> &mut Vec<Attribute> {
        self.media.last_mut().map_or(&mut self.attributes, |section| &mut section.attributes)
    }

    fn finish(self) -> Result<SessionDescription, ParseErrorReason> {
        if !self.version_seen {
            return Err(ParseErrorReason::Version);
        }
        Ok(SessionDescription {
            origin: self.origin.ok_or(ParseErrorReason::MissingOrigin)?,
            session_name: self.session_name,
            timing: self.timing,
            connection: self.connection,
            attributes: self.attributes,
            media: self.media,
        })
    }
}

fn parse_origin(value: &str) -> Option<Origin> {
    let mut words = value.split_ascii_whitespace();
    Some(Origin {
        username: words.next()?.to_owned(),
        session_id: words.next()?.parse().ok()?,
        session_version: words.next()?.parse().ok()?,
        address: words.collect::<Vec<_>>().join(" "),
    })
}

fn parse_timing(value: &str) -> Option<(u64, u64)> {
    let (start, stop) = value.trim().split_once(' ')?;
    Some((start.parse().ok()?, stop.parse().ok()?))
}

fn parse_media(value: &str) -> Option<MediaDescription> {
    let mut words = value.split_ascii_whitespace();
    let media = words.next()?.to_owned();
    let port = words.next()?;
    Some(MediaDescription {
        media,
        port: port.split_once('/').map_or(port, |(port, _count)| port).parse().ok()?,
        protocol: words.next()?.to_owned(),
        formats: words.map(str::to_owned).collect(),
        connection: None,
        bandwidths: Vec::new(),
        attributes: Vec::new(),
    })
}

fn parse_bandwidth(value: &str) -> Option<(String, u64)> {
    let (kind, value) = value.trim().split_once(':')?;
    Some((kind.to_owned(), value.parse().ok()?))
}
