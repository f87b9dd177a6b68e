//! A producer's packets of a turn, and who has been offered which.

use sfu_reactor::prefetch::prefetch_room;

/// Packets to be forwarded, in the order in which they came, as indices of the media path's. There may come
/// more while they are being sent: each consumer knows how far it has been served.
#[derive(Debug, Default)]
pub struct Queue {
    packets: Vec<usize>,
    /// How many there were in all turns before.
    before: u64,
    /// How many of this turn's the consumers have been told of.
    fanned_out: usize,
}

impl Queue {
    /// Appends one.
    pub fn push(&mut self, packet: usize) {
        self.packets.push(packet);
    }

    /// Asks for the memory into which the next one will be put.
    pub fn prefetch(&self) {
        prefetch_room(&self.packets);
    }

    /// Ends the turn.
    pub fn clear(&mut self) {
        self.before += self.packets.len() as u64;
        self.packets.clear();
        self.fanned_out = 0;
    }

    /// How many there have been in all turns.
    pub fn end(&self) -> u64 {
        self.before + self.packets.len() as u64
    }

    /// Those that a consumer has not been offered which was offered something when there were `offered` in all. Those of
    /// earlier turns are gone.
    pub fn after(&self, offered: u64) -> &[usize] {
        let skipped = usize::try_from(offered.saturating_sub(self.before)).unwrap_or(usize::MAX);
        self.packets.get(skipped..).unwrap_or_default()
    }

    /// Whether there are any such.
    pub fn has_news(&self, offered: u64) -> bool {
        offered < self.end() && !self.packets.is_empty()
    }

    /// Whether there are packets that consumers have not been told of, which is done now.
    pub fn begin_fan_out(&mut self) -> bool {
        let len = self.packets.len();
        std::mem::replace(&mut self.fanned_out, len) < len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_consumer_is_offered_each_packet_once() {
        let mut queue = Queue::default();
        assert!(!queue.begin_fan_out(), "there is nothing");
        (0..3).for_each(|packet| queue.push(packet));
        assert!(queue.begin_fan_out() && !queue.begin_fan_out());
        let (early, mut late) = (queue.end(), 0);
        assert_eq!(queue.after(0), [0, 1, 2]);
        assert!(queue.has_news(late) && !queue.has_news(early));

        // More comes when one has been served and the other has not.
        queue.push(3);
        assert_eq!((queue.after(early), queue.after(late)), (&[3][..], &[0, 1, 2, 3][..]));
        late = queue.end();
        assert!(queue.begin_fan_out());
        assert!(queue.has_news(early) && !queue.has_news(late));

        // Who missed a turn doesn't get it in the next.
        queue.clear();
        assert!(queue.after(early).is_empty() && !queue.has_news(early) && !queue.begin_fan_out());
        queue.push(0);
        assert_eq!((queue.after(early), queue.after(late)), (&[0][..], &[0][..]));
        assert!(queue.has_news(early) && queue.has_news(late));
    }
}
