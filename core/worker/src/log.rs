//! Log frames: text for the library to print, sent on the channel between replies and notifications.
//!
//! A frame begins with one letter that says its level (`D` debug, `W` warn, `E` error, `X` a dump), and the text
//! follows. Debug and warn lines belong to a subject (a [`Tag`]) and are written only if that subject is on; errors
//! always are, unless the level is none.
//!
//! The worker has one thread, so the log is that thread's: lines gather here and the event loop sends them at the end
//! of its turn. Nothing secret may be logged: no keys, no ICE passwords.

use std::cell::{Cell, RefCell};

pub use sfu_channel::LogLevel as Level;

/// A subject of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// The process.
    Info,
    /// ICE.
    Ice,
    /// DTLS.
    Dtls,
    /// RTP.
    Rtp,
    /// SRTP.
    Srtp,
    /// RTCP.
    Rtcp,
    /// Retransmission.
    Rtx,
    /// Bandwidth estimation.
    Bwe,
    /// Stream scores.
    Score,
    /// Simulcast.
    Simulcast,
    /// Scalable coding.
    Svc,
    /// SCTP.
    Sctp,
    /// Data messages.
    Message,
}

const TAGS: [(&str, Tag); 13] = [
    ("info", Tag::Info),
    ("ice", Tag::Ice),
    ("dtls", Tag::Dtls),
    ("rtp", Tag::Rtp),
    ("srtp", Tag::Srtp),
    ("rtcp", Tag::Rtcp),
    ("rtx", Tag::Rtx),
    ("bwe", Tag::Bwe),
    ("score", Tag::Score),
    ("simulcast", Tag::Simulcast),
    ("svc", Tag::Svc),
    ("sctp", Tag::Sctp),
    ("message", Tag::Message),
];

/// A set of [`Tag`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tags(u16);

impl Tags {
    /// The set of the tags so named; unknown names are skipped, as the library expects.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Tags {
        let mut set = 0;
        for name in names {
            if let Some((_, tag)) = TAGS.iter().find(|(known, _)| *known == name) {
                set |= 1 << (*tag as u8);
            }
        }
        Tags(set)
    }

    fn contains(self, tag: Tag) -> bool {
        self.0 & (1 << (tag as u8)) != 0
    }
}

/// No more lines than this wait for the end of a turn; the rest are dropped, so that no peer can fill the memory or the
/// channel by provoking warnings.
const MAX_LINES: usize = 256;

thread_local! {
    static LEVEL: Cell<Level> = const { Cell::new(Level::Error) };
    static ENABLED_TAGS: Cell<Tags> = const { Cell::new(Tags(0)) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Sets what is logged from now on.
pub fn configure(level: Level, tags: Tags) {
    LEVEL.set(level);
    ENABLED_TAGS.set(tags);
}

/// What is logged at present.
pub fn configuration() -> (Level, Tags) {
    (LEVEL.get(), ENABLED_TAGS.get())
}

/// Whether a line of this level and subject would be written.
pub fn enabled(level: Level, tag: Tag) -> bool {
    LEVEL.get() >= level && ENABLED_TAGS.get().contains(tag)
}

/// Whether errors are written.
pub fn errors_enabled() -> bool {
    LEVEL.get() >= Level::Error
}

/// Adds a line; `letter` is the level's. The macros [`debug!`](crate::debug), [`warn!`](crate::warn) and
/// [`error!`](crate::error) ask first whether it is wanted.
pub fn write(letter: char, module: &str, text: std::fmt::Arguments<'_>) {
    LINES.with_borrow_mut(|lines| {
        if lines.len() < MAX_LINES {
            let module = module.strip_prefix("sfu_worker::").unwrap_or(module);
            lines.push(format!("{letter}{module} | {text}"));
        }
    });
}

/// Takes the lines gathered so far, oldest first.
pub fn take_lines() -> Vec<String> {
    LINES.take()
}

/// Logs what happens: `debug!(Ice, "selected {tuple}")`.
#[macro_export]
macro_rules! debug {
    ($tag:ident, $($text:tt)+) => {
        if $crate::log::enabled($crate::log::Level::Debug, $crate::log::Tag::$tag) {
            $crate::log::write('D', module_path!(), format_args!($($text)+));
        }
    };
}

/// Logs what a peer or the library did wrong: `warn!(Rtp, "no producer for ssrc {ssrc}")`.
#[macro_export]
macro_rules! warn {
    ($tag:ident, $($text:tt)+) => {
        if $crate::log::enabled($crate::log::Level::Warn, $crate::log::Tag::$tag) {
            $crate::log::write('W', module_path!(), format_args!($($text)+));
        }
    };
}

/// Logs an error of the worker or in what the library sends: `error!("unsplittable request")`.
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => {
        if $crate::log::errors_enabled() {
            $crate::log::write('E', module_path!(), format_args!($($text)+));
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_and_tag_decide() {
        configure(Level::Warn, Tags::from_names(["ice"]));
        crate::debug!(Ice, "too low a level");
        crate::warn!(Rtp, "a subject that is off");
        crate::warn!(Ice, "wanted {}", 1);
        crate::error!("always");
        let lines = take_lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with('W') && lines[0].ends_with("| wanted 1"));
        assert!(lines[1].starts_with('E') && lines[1].ends_with("| always"));
        configure(Level::None, Tags::default());
        crate::error!("not even this");
        assert!(take_lines().is_empty());
    }

    #[test]
    fn a_flood_is_cut() {
        configure(Level::Error, Tags::default());
        for n in 0..10_000 {
            crate::error!("line {n}");
        }
        assert_eq!(take_lines().len(), MAX_LINES);
    }
}
