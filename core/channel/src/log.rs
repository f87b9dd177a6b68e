//! Log lines, which share the worker's channel with its responses and notifications: one letter, then text.

use std::fmt;

/// The kind of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// `D`: detail.
    Debug,
    /// `W`: something is odd.
    Warn,
    /// `E`: something failed.
    Error,
    /// `X`: a dump that somebody asked for.
    Dump,
}

impl LogKind {
    /// The letter that the line begins with.
    pub fn letter(self) -> char {
        match self {
            Self::Debug => 'D',
            Self::Warn => 'W',
            Self::Error => 'E',
            Self::Dump => 'X',
        }
    }

    fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'D' => Some(Self::Debug),
            b'W' => Some(Self::Warn),
            b'E' => Some(Self::Error),
            b'X' => Some(Self::Dump),
            _ => None,
        }
    }
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its kind.
    pub kind: LogKind,
    /// Its text.
    pub text: String,
}

impl LogLine {
    /// Reads a frame; `None` if it does not begin with one of the letters. Bytes that are no UTF-8 are replaced.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (first, text) = frame.split_first()?;
        Some(Self { kind: LogKind::from_letter(*first)?, text: String::from_utf8_lossy(text).into_owned() })
    }
}

impl fmt::Display for LogLine {
    /// The frame: the letter and the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.letter(), self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        let line = LogLine::parse(b"WRTC::Transport | odd").unwrap();
        assert_eq!(line.kind, LogKind::Warn);
        assert_eq!(line.text, "RTC::Transport | odd");
        assert_eq!(line.to_string(), "WRTC::Transport | odd");
        assert_eq!(LogLine::parse(b"X").unwrap().text, "");
        assert_eq!(LogLine::parse(b"{}"), None);
        assert_eq!(LogLine::parse(b""), None);
    }
}
