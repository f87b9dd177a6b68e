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
    /// 2500 packets of the MTU's size, for two seconds. Mediasoup keeps audio for one; but few of its packets are asked
    /// for, and they are small.
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
    /// Sequence numbers in the order of insertion, with the position of each; at most as many as packets are kept. One
    /// whose entry is at another position was taken out of turn, and is left behind until it is the oldest, so that the
    /// first one is always stored.
    order: VecDeque<(u16, u64)>,
    /// How many of them are stored.
    stored: usize,
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
            stored: 0,
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
        self.stored += 1;
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

    /// Where the next packet will be copied to, if it is `len` bytes long and nothing has to grow for it; empty where that is
    /// not known. For whoever can have memory fetched ahead; what the bytes are means nothing.
    pub fn next_place(&self, len: usize) -> &[u8] {
        let offset = self.offset(self.head);
        let offset = if offset + len > self.bytes.len() { 0 } else { offset };
        self.bytes.get(offset..offset + len).unwrap_or_default()
    }

    /// How many packets are stored, those too old to be given out included.
    pub fn len(&self) -> usize {
        self.stored
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.stored == 0
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
        let Some(&(sequence_number, _)) = self.order.front() else {
            return false;
        };
        self.vacate(sequence_number);
        true
    }

    /// Takes out a stored packet, which need not be the oldest. Its bytes come free with those of the packets before it.
    fn vacate(&mut self, sequence_number: u16) {
        let slot = self.slot(sequence_number);
        self.table[slot].len = 0;
        self.stored -= 1;
        while self
            .order
            .front()
            .is_some_and(|&(number, position)| self.entry(number).is_none_or(|entry| entry.position != position))
        {
            self.order.pop_front();
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
        let mask = self.table.len().max(1) - 1;
        let (bytes, table) = (&mut self.bytes, &mut self.table);
        self.order.retain_mut(|(sequence_number, position)| {
            let entry = &mut table[usize::from(*sequence_number) & mask];
            if entry.len == 0 || (entry.sequence_number, entry.position) != (*sequence_number, *position) {
                return false;
            }
            let (from, len) = ((*position % old.len() as u64) as usize, usize::from(entry.len));
            bytes[head..head + len].copy_from_slice(&old[from..from + len]);
            *position = head as u64;
            entry.position = head as u64;
            head += len;
            true
        });
        self.head = head as u64;
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
    fn the_next_place_is_where_the_next_packet_goes() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config { max_packets: 64, max_bytes: 20_000, max_age: millis(2000) });
        assert!(buffer.next_place(700).is_empty());
        let mut hits = 0;
        for index in 0..200u16 {
            let place = buffer.next_place(700).as_ptr();
            buffer.insert(start, index, 0, &packet(index, 700));
            hits += u32::from(buffer.get(start, index).unwrap().bytes.as_ptr() == place);
        }
        // All but the first one, and the one that it had to grow for.
        assert_eq!(hits, 198);
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

    /// Numbers in steps meet in the table long before it is full.
    #[test]
    fn numbers_in_steps_replace_the_oldest() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config { max_packets: 64, ..Config::default() });
        for index in 0..1000u16 {
            buffer.insert(start, index.wrapping_mul(2), 0, &packet(index, 20));
            assert!(buffer.order.len() <= 64);
        }
        // Half of the 64 slots are for odd numbers.
        assert_eq!((buffer.len(), buffer.order.len()), (32, 32));
        assert_eq!(buffer.get(start, 1998).unwrap().bytes, packet(999, 20));
        assert_eq!((buffer.get(start, 1934), buffer.get(start, 1936).is_some()), (None, true));
    }

    #[test]
    fn packets_taken_out_of_turn_keep_their_place_in_the_bound_only() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config { max_packets: 8, ..Config::default() });
        buffer.insert(start, 0, 0, &packet(0, 20));
        // Each takes the slot of the one before it.
        for index in 1..8u16 {
            buffer.insert(start, index * 8 + 1, 0, &packet(index, 20));
            assert_eq!((buffer.len(), buffer.order.len()), (2, usize::from(index) + 1));
        }
        buffer.insert(start, 65, 0, &packet(9, 20));
        assert_eq!((buffer.len(), buffer.order.len(), buffer.get(start, 0)), (1, 1, None));
        buffer.clear();
        assert!(buffer.is_empty() && buffer.get(start, 65).is_none());
    }

    #[test]
    fn a_replaced_packet_is_as_old_as_its_replacement() {
        let start = Instant::now();
        let filled = |max_packets| {
            let mut buffer = Buffer::new(Config { max_packets, ..Config::default() });
            for (sequence_number, timestamp) in [(4, 0), (5, 0), (6, 0), (5, 1)] {
                buffer.insert(start, sequence_number, timestamp, &packet(sequence_number, 20));
            }
            assert_eq!((buffer.len(), buffer.order.len()), (3, 4));
            buffer
        };
        let mut buffer = filled(4);
        buffer.insert(start, 7, 0, &packet(7, 20));
        buffer.insert(start, 8, 0, &packet(8, 20));
        assert!([5, 6, 7, 8].iter().all(|&number| buffer.get(start, number).unwrap().bytes == packet(number, 20)));

        // The same when all move to a larger ring, where the place of the replaced one is not kept.
        let mut grown = filled(8);
        grown.insert(start, 7, 0, &packet(7, FIRST_BYTES));
        assert_eq!((grown.len(), grown.order.len()), (4, 4));
        assert!([4, 5, 6].iter().all(|&number| grown.get(start, number).unwrap().bytes == packet(number, 20)));
    }

    #[test]
    fn by_default_2500_packets_are_kept_for_two_seconds() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config::default());
        for index in 0..3000 {
            buffer.insert(start, index, 0, &packet(index, 1200));
        }
        assert_eq!((buffer.len(), buffer.get(start, 499)), (2500, None));
        assert!(buffer.get(start + millis(2000), 500).is_some());
        assert!(buffer.get(start + millis(2001), 500).is_none());
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
