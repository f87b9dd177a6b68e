//! Packets kept for retransmission: stored once per producer stream, found by sequence number.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bounds of a [`Buffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Packets kept; at most 32,768.
    pub max_packets: usize,
    /// Bytes kept.
    pub max_bytes: usize,
    /// Packets older than this are not given out.
    pub max_age: Duration,
}

impl Default for Config {
    /// 2500 packets of the MTU's size, for two seconds.
    fn default() -> Config {
        Config { max_packets: 2500, max_bytes: 2500 * 1500, max_age: Duration::from_secs(2) }
    }
}

/// A packet found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The whole (plaintext) packet, header and payload.
    pub bytes: &'a [u8],
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// When it was inserted.
    pub inserted: Instant,
}

/// What became of a packet to insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is stored.
    Stored,
    /// The same packet, by sequence number and timestamp, is there already.
    Duplicate,
    /// It is empty, longer than 65,535 bytes or longer than the whole buffer.
    WrongSize,
}

/// A ring of bytes, in the order of insertion, and a table of where each sequence number lies in it.
///
/// Both start empty and double while what they hold is young, up to the bounds; from then on the oldest packets make
/// room and nothing is allocated. Order does not matter: packets may come late, and the sequence may wrap or restart
/// (a number met again with another timestamp takes the place of the first).
#[derive(Clone, Debug)]
pub struct Buffer {
    config: Config,
    bytes: Vec<u8>,
    /// Where the next packet goes. Positions count up for ever; modulo the length of `bytes` they are offsets.
    head: u64,
    /// Entry of a sequence number at that number modulo the length, which is a power of two.
    table: Vec<Entry>,
    /// Sequence numbers of the live entries in the order of insertion, with the position of each.
    order: VecDeque<(u16, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    position: u64,
    inserted: Instant,
    timestamp: u32,
    sequence_number: u16,
    /// Length in bytes; 0 marks a vacant entry.
    len: u16,
}

const FIRST_TABLE: usize = 64;
const FIRST_BYTES: usize = 16 * 1024;

impl Buffer {
    /// An empty buffer, which owns no memory yet.
    pub fn new(config: Config) -> Buffer {
        let max_packets = config.max_packets.clamp(1, 1 << 15);
        Buffer {
            config: Config { max_packets, ..config },
            bytes: Vec::new(),
            head: 0,
            table: Vec::new(),
            order: VecDeque::new(),
        }
    }

    /// Stores a copy of a packet.
    pub fn insert(&mut self, now: Instant, sequence_number: u16, timestamp: u32, packet: &[u8]) -> Insertion {
        let Ok(len @ 1..) = u16::try_from(packet.len()) else {
            return Insertion::WrongSize;
        };
        if packet.len() > self.config.max_bytes {
            return Insertion::WrongSize;
        }
        if let Some(known) = self.entry(sequence_number) {
            let stale = now.saturating_duration_since(known.inserted) > self.config.max_age;
            if known.timestamp == timestamp && !stale {
                return Insertion::Duplicate;
            }
            self.vacate(sequence_number);
        }
        self.make_table_room(now, sequence_number);
        let position = self.make_byte_room(now, packet.len());
        let offset = self.offset(position);
        if let Some(target) = self.bytes.get_mut(offset..offset + packet.len()) {
            target.copy_from_slice(packet);
        }
        self.head = position + u64::from(len);
        let slot = self.slot(sequence_number);
        self.table[slot] = Entry { position, inserted: now, timestamp, sequence_number, len };
        self.order.push_back((sequence_number, position));
        Insertion::Stored
    }

    /// Finds a packet that is not too old.
    pub fn get(&self, now: Instant, sequence_number: u16) -> Option<Stored<'_>> {
        let entry = self.entry(sequence_number)?;
        if now.saturating_duration_since(entry.inserted) > self.config.max_age {
            return None;
        }
        let offset = self.offset(entry.position);
        let bytes = self.bytes.get(offset..offset + usize::from(entry.len))?;
        Some(Stored { bytes, timestamp: entry.timestamp, inserted: entry.inserted })
    }

    /// How many packets are stored, those too old to be given out included.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Memory held, in bytes.
    pub fn footprint(&self) -> usize {
        self.bytes.len() + self.table.len() * size_of::<Entry>() + self.order.capacity() * size_of::<(u16, u64)>()
    }

    /// Forgets all packets and keeps the memory.
    pub fn clear(&mut self) {
        while self.evict_oldest() {}
    }

    fn slot(&self, sequence_number: u16) -> usize {
        usize::from(sequence_number) & (self.table.len().max(1) - 1)
    }

    fn offset(&self, position: u64) -> usize {
        (position % self.bytes.len().max(1) as u64) as usize
    }

    fn entry(&self, sequence_number: u16) -> Option<&Entry> {
        let entry = self.table.get(self.slot(sequence_number))?;
        (entry.len != 0 && entry.sequence_number == sequence_number).then_some(entry)
    }

    fn oldest(&self) -> Option<&Entry> {
        self.entry(self.order.front()?.0)
    }

    fn oldest_is_stale(&self, now: Instant) -> bool {
        self.oldest().is_some_and(|oldest| now.saturating_duration_since(oldest.inserted) > self.config.max_age)
    }

    fn evict_oldest(&mut self) -> bool {
        let Some((sequence_number, _)) = self.order.pop_front() else {
            return false;
        };
        let slot = self.slot(sequence_number);
        if let Some(entry) = self.table.get_mut(slot) {
            entry.len = 0;
        }
        true
    }

    /// Takes out one entry that need not be the oldest. Its bytes come free with its neighbours'.
    fn vacate(&mut self, sequence_number: u16) {
        self.order.retain(|&(other, _)| other != sequence_number);
        let slot = self.slot(sequence_number);
        if let Some(entry) = self.table.get_mut(slot) {
            entry.len = 0;
        }
    }

    /// Makes the entry of `sequence_number` vacant: by a larger table if it may grow, else at its holder's expense.
    fn make_table_room(&mut self, now: Instant, sequence_number: u16) {
        while self.order.len() >= self.config.max_packets || self.oldest_is_stale(now) {
            self.evict_oldest();
        }
        let limit = self.config.max_packets.next_power_of_two();
        loop {
            let slot = self.slot(sequence_number);
            match self.table.get(slot) {
                Some(Entry { len: 0, .. }) => return,
                Some(holder) if self.table.len() >= limit => {
                    let holder = holder.sequence_number;
                    return self.vacate(holder);
                }
                _ => self.grow_table(now, limit),
            }
        }
    }

    fn grow_table(&mut self, now: Instant, limit: usize) {
        let vacant = Entry { position: 0, inserted: now, timestamp: 0, sequence_number: 0, len: 0 };
        let len = (self.table.len() * 2).clamp(FIRST_TABLE.min(limit), limit);
        let old = std::mem::replace(&mut self.table, vec![vacant; len]);
        // Different slots of the old table stay different in the larger one.
        for entry in old.into_iter().filter(|entry| entry.len != 0) {
            let slot = self.slot(entry.sequence_number);
            self.table[slot] = entry;
        }
    }

    /// Finds `len` contiguous free bytes and returns their position.
    fn make_byte_room(&mut self, now: Instant, len: usize) -> u64 {
        loop {
            let capacity = self.bytes.len();
            let to_end = capacity - self.offset(self.head);
            // A packet does not wrap around the end: it starts over at the beginning.
            let position = if len <= to_end { self.head } else { self.head + to_end as u64 };
            let tail = self.order.front().map_or(position, |&(_, tail)| tail);
            if len <= capacity && position + len as u64 - tail <= capacity as u64 {
                return position;
            }
            if capacity < self.config.max_bytes {
                self.grow_bytes(len);
            } else {
                // There is one: an empty buffer has room for any packet that `insert` lets in.
                self.evict_oldest();
            }
            // What went stale in the meantime need not be grown for.
            while self.oldest_is_stale(now) {
                self.evict_oldest();
            }
        }
    }

    fn grow_bytes(&mut self, len: usize) {
        let capacity = (self.bytes.len() * 2).max(FIRST_BYTES).max(len).min(self.config.max_bytes);
        let old = std::mem::replace(&mut self.bytes, vec![0; capacity]);
        let mut head = 0;
        for index in 0..self.order.len() {
            let (sequence_number, position) = self.order[index];
            let slot = self.slot(sequence_number);
            let entry = &mut self.table[slot];
            let (from, len) = ((position % old.len() as u64) as usize, usize::from(entry.len));
            self.bytes[head..head + len].copy_from_slice(&old[from..from + len]);
            entry.position = head as u64;
            self.order[index].1 = head as u64;
            head += len;
        }
        self.head = head as u64;
    }
}

/// Keeps one consumer from getting the same packet again within a round-trip time: a NACK repeated before the
/// retransmission could arrive asks for nothing new.
///
/// It remembers the last resend in each of 256 classes of sequence numbers, so that it may forget, but never
/// suppresses a packet that was not just resent.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    /// Empty until the first retransmission.
    resent: Vec<Option<(u16, Instant)>>,
}

const THROTTLE_CLASSES: usize = 256;

impl Throttle {
    /// A throttle that has seen nothing.
    pub const fn new() -> Throttle {
        Throttle { resent: Vec::new() }
    }

    /// Whether the packet may be resent now; if so, the resend is noted. Without a measured `rtt`, pass an assumed one.
    pub fn allow(&mut self, now: Instant, sequence_number: u16, rtt: Duration) -> bool {
        if self.resent.is_empty() {
            self.resent.resize(THROTTLE_CLASSES, None);
        }
        let Some(slot) = self.resent.get_mut(usize::from(sequence_number) % THROTTLE_CLASSES) else {
            return true;
        };
        if slot.is_some_and(|(last, at)| last == sequence_number && now.saturating_duration_since(at) < rtt) {
            return false;
        }
        *slot = Some((sequence_number, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn millis(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn packet(seq: u16, len: usize) -> Vec<u8> {
        (0..len).map(|index| (index as u8).wrapping_add(seq as u8)).collect()
    }

    #[test]
    fn packets_are_found_until_they_are_too_old() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config::default());
        assert_eq!((buffer.get(start, 1), buffer.footprint()), (None, 0));
        assert_eq!(buffer.insert(start, 65535, 7, &packet(1, 100)), Insertion::Stored);
        assert_eq!(buffer.insert(start, 0, 8, &packet(2, 50)), Insertion::Stored);
        assert_eq!(buffer.insert(start, 0, 8, &packet(2, 50)), Insertion::Duplicate);
        let stored = buffer.get(start + millis(2000), 65535).unwrap();
        assert_eq!((stored.bytes, stored.timestamp), (&packet(1, 100)[..], 7));
        assert_eq!(buffer.get(start + millis(2001), 65535), None);
        assert_eq!(buffer.insert(start, 3, 8, &[]), Insertion::WrongSize);
        assert_eq!(buffer.insert(start, 3, 8, &[0; 70_000]), Insertion::WrongSize);
    }

    #[test]
    fn a_restarted_sequence_replaces() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config::default());
        buffer.insert(start, 5, 100, &packet(5, 40));
        buffer.insert(start, 30_005, 100, &packet(6, 40));
        assert_eq!(buffer.insert(start, 5, 999, &packet(9, 60)), Insertion::Stored);
        assert_eq!(buffer.get(start, 5).unwrap().bytes, packet(9, 60));
        assert_eq!(buffer.get(start, 30_005).unwrap().bytes, packet(6, 40));
    }

    #[test]
    fn memory_is_bounded_and_still_when_full() {
        let start = Instant::now();
        let config = Config { max_packets: 500, max_bytes: 200_000, max_age: millis(10_000) };
        let mut buffer = Buffer::new(config);
        let mut footprint = 0;
        for index in 0..10_000u32 {
            let seq = index as u16;
            buffer.insert(start + millis(u64::from(index)), seq, index, &packet(seq, 700));
            assert!(buffer.len() <= 500);
            if index == 2000 {
                footprint = buffer.footprint();
                assert!(footprint < 200_000 + 512 * 64 + 1024 * 16, "{footprint}");
            }
        }
        assert_eq!(buffer.footprint(), footprint);
        // 285 packets of 700 bytes fit 200,000 bytes.
        assert_eq!(buffer.len(), 285);
    }

    #[test]
    fn a_quiet_stream_stays_small() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config { max_age: millis(1000), ..Config::default() });
        for index in 0..3000u32 {
            buffer.insert(start + millis(u64::from(index) * 20), index as u16, index * 960, &packet(index as u16, 80));
        }
        assert!(buffer.footprint() < 24 * 1024, "{}", buffer.footprint());
    }

    #[test]
    fn the_throttle_holds_for_a_round_trip() {
        let start = Instant::now();
        let mut throttle = Throttle::new();
        assert!(throttle.allow(start, 7, millis(100)));
        assert!(!throttle.allow(start + millis(99), 7, millis(100)));
        assert!(throttle.allow(start + millis(99), 8, millis(100)));
        assert!(throttle.allow(start + millis(100), 7, millis(100)));
        assert!(!throttle.allow(start + millis(150), 7, millis(100)));
        assert!(throttle.allow(start + millis(150), 7 + 256, millis(100)));
    }

    proptest! {
        /// What is given out is always what was last inserted under the number.
        #[test]
        fn agrees_with_a_map(
            max_packets in 1usize..200, max_bytes in 2000usize..20_000,
            packets in proptest::collection::vec((-40i32..60, 1usize..1500, 0u64..20, 0u32..3), 1..400)
        ) {
            let config = Config { max_packets, max_bytes, max_age: millis(500) };
            let mut buffer = Buffer::new(config);
            let mut map = HashMap::new();
            let (mut now, mut seq) = (Instant::now(), 65_000u16);
            for (step, len, gap, timestamp) in packets {
                seq = seq.wrapping_add(step as u16);
                now += millis(gap);
                let bytes = packet(seq.wrapping_mul(len as u16), len);
                match buffer.insert(now, seq, timestamp, &bytes) {
                    Insertion::Stored => { map.insert(seq, bytes); }
                    Insertion::Duplicate => prop_assert!(map.contains_key(&seq)),
                    Insertion::WrongSize => prop_assert!(false),
                }
                prop_assert_eq!(buffer.get(now, seq).map(|stored| stored.bytes), Some(&map[&seq][..]));
                prop_assert!(buffer.len() <= max_packets && buffer.bytes.len() <= max_bytes);
                for (seq, bytes) in &map {
                    if let Some(stored) = buffer.get(now, *seq) {
                        prop_assert_eq!(stored.bytes, &bytes[..]);
                    }
                }
            }
        }
    }
}
