//! What a contender has to do: who sends to whom, what, and how protected.

use crate::traffic::{Pattern, Traffic};
use crate::workload::Mode;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// Who sends to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Some producers, each with the same consumers.
    Fan {
        /// How many send one stream each.
        producers: usize,
        /// How many get every stream.
        consumers: usize,
    },
    /// Rooms with a router each, in which everybody sends one stream and gets those of the others.
    Rooms {
        /// How many there are.
        rooms: usize,
        /// How many are in each.
        people: usize,
    },
}

/// A stream as one receiver gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// The receiver's socket.
    pub socket: usize,
    /// Which stream it is.
    pub stream: usize,
    /// The SSRC that it has there.
    pub ssrc: u32,
}

impl Audience {
    /// How many streams go in.
    #[must_use]
    pub const fn streams(self) -> usize {
        match self {
            Self::Fan { producers, .. } => producers,
            Self::Rooms { rooms, people } => rooms * people,
        }
    }

    /// How many receive.
    #[must_use]
    pub const fn sockets(self) -> usize {
        match self {
            Self::Fan { consumers, .. } => consumers,
            Self::Rooms { rooms, people } => rooms * people,
        }
    }

    /// How many packets come out for each that goes in.
    #[must_use]
    pub const fn copies(self) -> usize {
        match self {
            Self::Fan { consumers, .. } => consumers,
            Self::Rooms { people, .. } => people - 1,
        }
    }

    /// How many routers there are.
    #[must_use]
    pub const fn routers(self) -> usize {
        match self {
            Self::Fan { .. } => 1,
            Self::Rooms { rooms, .. } => rooms,
        }
    }

    /// In which router a stream, or a socket, is.
    #[must_use]
    pub const fn router_of(self, index: usize) -> usize {
        match self {
            Self::Fan { .. } => 0,
            Self::Rooms { people, .. } => index / people,
        }
    }

    /// What every socket gets, in the order of the sockets.
    #[must_use]
    pub fn feeds(self) -> Vec<Feed> {
        let mut feeds = Vec::with_capacity(self.sockets() * self.copies());
        for socket in 0..self.sockets() {
            let streams = match self {
                Self::Fan { producers, .. } => 0..producers,
                Self::Rooms { people, .. } => {
                    let first = socket / people * people;
                    first..first + people
                }
            };
            let own = matches!(self, Self::Rooms { .. }).then_some(socket);
            for stream in streams.filter(|&stream| Some(stream) != own) {
                feeds.push(Feed { socket, stream, ssrc: FIRST_CONSUMER_SSRC + feeds.len() as u32 });
            }
        }
        feeds
    }
}

/// Consumers' SSRCs count up from here.
const FIRST_CONSUMER_SSRC: u32 = 0x0300_0000;

impl Display for Audience {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Fan { producers: 1, consumers } => write!(f, "1 to {consumers}"),
            Self::Fan { producers, consumers } => write!(f, "{producers} streams to {consumers}"),
            Self::Rooms { rooms: 1, people } => write!(f, "1 room of {people}"),
            Self::Rooms { rooms, people } => write!(f, "{rooms} rooms of {people}"),
        }
    }
}

/// What a contender has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Case {
    /// Who sends to whom.
    pub audience: Audience,
    /// How packets leave.
    pub mode: Mode,
    /// What comes, and how.
    pub traffic: Traffic,
}

impl Case {
    /// One producer's video to so many.
    #[must_use]
    pub const fn one_to(consumers: usize, mode: Mode, pattern: Pattern) -> Self {
        Self { audience: Audience::Fan { producers: 1, consumers }, mode, traffic: Traffic::video(pattern) }
    }

    /// Its kind: cases of a kind stand in one table.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.audience {
            Audience::Fan { .. } => self.traffic.name(),
            Audience::Rooms { .. } => "rooms",
        }
    }
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}, {}", self.audience, self.mode.name(), self.traffic.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn everybody_in_a_room_gets_the_others() {
        let audience = Audience::Rooms { rooms: 2, people: 3 };
        assert_eq!((audience.streams(), audience.sockets(), audience.copies()), (6, 6, 2));
        let feeds = audience.feeds();
        let got: Vec<(usize, usize)> = feeds.iter().map(|feed| (feed.socket, feed.stream)).collect();
        let expected = [
            [(0, 1), (0, 2)],
            [(1, 0), (1, 2)],
            [(2, 0), (2, 1)],
            [(3, 4), (3, 5)],
            [(4, 3), (4, 5)],
            [(5, 3), (5, 4)],
        ];
        assert_eq!(got, expected.concat());
        assert_eq!(feeds.iter().map(|feed| feed.ssrc).collect::<HashSet<_>>().len(), feeds.len());
        assert!(feeds.iter().all(|feed| audience.router_of(feed.socket) == audience.router_of(feed.stream)));
    }

    #[test]
    fn everybody_gets_every_stream_of_a_fan() {
        let audience = Audience::Fan { producers: 2, consumers: 3 };
        let feeds = audience.feeds();
        assert_eq!(feeds.len(), audience.streams() * audience.copies());
        for socket in 0..3 {
            let streams: Vec<_> = feeds.iter().filter(|feed| feed.socket == socket).map(|feed| feed.stream).collect();
            assert_eq!(streams, [0, 1]);
        }
    }
}
