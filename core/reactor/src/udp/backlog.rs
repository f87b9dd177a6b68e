//! Datagrams that wait for room in the socket's send buffer.

use std::collections::VecDeque;
use std::net::SocketAddr;

/// A queue bounded in datagrams and in bytes. It takes no memory until it is first needed.
#[derive(Debug)]
pub(super) struct Backlog {
    entries: VecDeque<Entry>,
    /// `bytes[start..]` holds the entries' payloads, one after another.
    bytes: Vec<u8>,
    start: usize,
    max_datagrams: usize,
    max_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    to: SocketAddr,
    len: u16,
}

/// The waiting datagrams at the front that go to one destination.
pub(super) struct Front<'a> {
    pub(super) to: SocketAddr,
    pub(super) bytes: &'a [u8],
    pub(super) lengths: &'a [u16],
}

impl Backlog {
    pub(super) const fn new(max_datagrams: usize, max_bytes: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: Vec::new(), start: 0, max_datagrams, max_bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Queues a datagram, unless a bound is reached.
    pub(super) fn push(&mut self, to: SocketAddr, payload: &[u8]) -> bool {
        let Ok(len) = u16::try_from(payload.len()) else { return false };
        if self.entries.len() >= self.max_datagrams || self.queued_bytes() + payload.len() > self.max_bytes {
            return false;
        }
        if self.start > self.max_bytes {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(payload);
        self.entries.push_back(Entry { to, len });
        true
    }

    /// The datagrams at the front with one destination, as many as `lengths` has room for.
    pub(super) fn front<'a>(&'a self, lengths: &'a mut [u16]) -> Option<Front<'a>> {
        let to = self.entries.front()?.to;
        let mut count = 0;
        for (length, entry) in lengths.iter_mut().zip(self.entries.iter().take_while(|entry| entry.to == to)) {
            *length = entry.len;
            count += 1;
        }
        Some(Front { to, bytes: &self.bytes[self.start..], lengths: &lengths[..count] })
    }

    /// Forgets the first `count` datagrams.
    pub(super) fn pop(&mut self, count: usize) {
        for entry in self.entries.drain(..count.min(self.entries.len())) {
            self.start += usize::from(entry.len);
        }
        if self.entries.is_empty() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    fn queued_bytes(&self) -> usize {
        self.bytes.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::new([127, 0, 0, 1].into(), port)
    }

    fn front(backlog: &Backlog) -> Option<(SocketAddr, Vec<u16>, Vec<u8>)> {
        let mut lengths = [0; 2];
        let front = backlog.front(&mut lengths)?;
        let total = front.lengths.iter().map(|&length| usize::from(length)).sum();
        Some((front.to, front.lengths.to_vec(), front.bytes[..total].to_vec()))
    }

    #[test]
    fn groups_what_goes_to_one_destination_and_keeps_the_order() {
        let mut backlog = Backlog::new(10, 100);
        for (port, payload) in [(1, "a"), (1, "bb"), (1, "ccc"), (2, "dd"), (1, "e")] {
            assert!(backlog.push(address(port), payload.as_bytes()));
        }
        assert_eq!(front(&backlog), Some((address(1), vec![1, 2], b"abb".to_vec())), "as many as there is room for");
        backlog.pop(1);
        assert_eq!(front(&backlog), Some((address(1), vec![2, 3], b"bbccc".to_vec())));
        backlog.pop(2);
        assert_eq!(front(&backlog), Some((address(2), vec![2], b"dd".to_vec())));
        backlog.pop(2);
        assert!(backlog.is_empty() && front(&backlog).is_none());
    }

    #[test]
    fn is_bounded_and_gives_its_memory_to_the_next() {
        let mut backlog = Backlog::new(3, 10);
        assert!(!backlog.push(address(1), &[0; 11]), "too many bytes");
        for _ in 0..3 {
            assert!(backlog.push(address(1), b""));
        }
        assert!(!backlog.push(address(1), b""), "too many datagrams");
        backlog.pop(3);

        assert!(backlog.push(address(1), &[0; 4]));
        for number in 1..1_000_u32 {
            assert!(backlog.push(address(1), &number.to_be_bytes()));
            assert!(!backlog.push(address(1), &[7; 3]), "8 bytes wait already");
            backlog.pop(1);
            assert_eq!(front(&backlog), Some((address(1), vec![4], number.to_be_bytes().to_vec())));
            assert!(backlog.bytes.len() <= 2 * 10 + 4, "{} bytes for 4", backlog.bytes.len());
        }
    }
}
