//! The SCTP streams of a transport's data consumers: each has one of its own.

use std::collections::HashSet;

/// Which streams are taken. They are given in turn, so that one that has become free is left alone for as long as may be:
/// the endpoint may still be closing its channel.
#[derive(Debug)]
pub(crate) struct StreamIds {
    /// Streams go from 0 to one less.
    count: u16,
    next: u16,
    taken: HashSet<u16>,
}

impl StreamIds {
    pub(crate) fn new(count: u16) -> Self {
        Self { count, next: 0, taken: HashSet::new() }
    }

    /// Takes a stream; `None` if all are taken.
    pub(crate) fn take(&mut self) -> Option<u16> {
        let from_next = (self.next..self.count).chain(0..self.next);
        let id = { from_next }.find(|id| !self.taken.contains(id))?;
        self.taken.insert(id);
        self.next = (id + 1) % self.count;
        Some(id)
    }

    /// Gives a stream back.
    pub(crate) fn free(&mut self, id: u16) {
        self.taken.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::StreamIds;

    #[test]
    fn streams_are_given_in_turn_and_never_twice() {
        let mut ids = StreamIds::new(3);
        assert_eq!([ids.take(), ids.take()], [Some(0), Some(1)]);
        ids.free(0);
        assert_eq!([ids.take(), ids.take(), ids.take()], [Some(2), Some(0), None]);
        ids.free(1);
        assert_eq!([ids.take(), ids.take()], [Some(1), None]);
        assert_eq!(StreamIds::new(0).take(), None);
        let mut most = StreamIds::new(u16::MAX);
        assert_eq!((0..u16::MAX).filter_map(|_| most.take()).last(), Some(65_534));
        assert_eq!(most.take(), None);
    }
}
