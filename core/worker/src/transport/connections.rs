//! ICE-TCP connections of a transport or a WebRTC server: how many there may be, and how long one may stay without a
//! connectivity check.
//!
//! Anyone can connect. Only a check with the right password shows that it was the peer, so until one has passed a
//! connection is on trial: else whoever opens as many as there may be and says nothing would keep the peer out.

use std::time::{Duration, Instant};

/// Connections that a transport may have at a time; further ones are closed at once.
pub const MAX: usize = 32;

/// How long a connection may stay without a good check. A peer connects in order to check and does so at once (RFC 6544,
/// 7.1); the time lets TCP repeat a lost segment three times (after 1, 2 and 4 seconds, RFC 6298).
pub const TRIAL: Duration = Duration::from_secs(10);

/// The connections, by their keys in the table of sockets.
#[derive(Debug)]
pub struct Connections {
    all: Vec<Connection>,
    max: usize,
}

impl Default for Connections {
    /// For a transport.
    fn default() -> Connections {
        Connections::new(MAX)
    }
}

#[derive(Debug)]
struct Connection {
    key: usize,
    /// When it is closed; `None` once a check has passed, from when on ICE decides how long it stays.
    trial_ends: Option<Instant>,
}

impl Connections {
    /// At most so many.
    pub fn new(max: usize) -> Connections {
        Connections { all: Vec::new(), max }
    }

    /// Whether no further connection may be added.
    pub fn is_full(&self) -> bool {
        self.all.len() >= self.max
    }

    /// A connection was accepted.
    pub fn add(&mut self, now: Instant, key: usize) {
        self.all.push(Connection { key, trial_ends: Some(now + TRIAL) });
    }

    /// A connection on which a check has passed already.
    pub fn add_approved(&mut self, key: usize) {
        self.all.push(Connection { key, trial_ends: None });
    }

    /// A good check has come by a connection.
    pub fn approve(&mut self, key: usize) {
        for connection in self.all.iter_mut().filter(|connection| connection.key == key) {
            connection.trial_ends = None;
        }
    }

    /// A connection is closed.
    pub fn remove(&mut self, key: usize) {
        self.all.retain(|connection| connection.key != key);
    }

    /// The keys, in the order in which the connections came.
    pub fn keys(&self) -> impl Iterator<Item = usize> {
        self.all.iter().map(|connection| connection.key)
    }

    /// When the next trial ends.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.all.iter().filter_map(|connection| connection.trial_ends).min()
    }

    /// Takes out a connection whose trial has ended by `now`. Call it until it returns `None`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<usize> {
        let expired = |connection: &Connection| connection.trial_ends.is_some_and(|end| end <= now);
        let position = self.all.iter().position(expired)?;
        Some(self.all.remove(position).key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_a_check_makes_room_after_its_trial() {
        let start = Instant::now();
        let mut connections = Connections::default();
        for key in 0..MAX {
            assert!(!connections.is_full());
            connections.add(start + Duration::from_millis(key as u64), key);
        }
        assert!(connections.is_full());
        connections.approve(0);

        assert_eq!(connections.next_deadline(), Some(start + TRIAL + Duration::from_millis(1)));
        assert_eq!(connections.pop_expired(start + TRIAL), None, "the first one was approved");
        let later = start + TRIAL + Duration::from_millis(2);
        assert_eq!((connections.pop_expired(later), connections.pop_expired(later)), (Some(1), Some(2)));
        assert_eq!(connections.pop_expired(later), None);
        assert!(!connections.is_full());
        assert_eq!(connections.next_deadline(), Some(start + TRIAL + Duration::from_millis(3)));
    }

    #[test]
    fn approved_and_removed_connections_have_no_deadline() {
        let start = Instant::now();
        let mut connections = Connections::default();
        connections.add(start, 7);
        connections.add(start, 8);
        connections.approve(7);
        connections.remove(8);
        assert_eq!(connections.next_deadline(), None);
        assert_eq!(connections.pop_expired(start + 100 * TRIAL), None);
        assert_eq!(connections.keys().collect::<Vec<_>>(), [7]);
    }
}
