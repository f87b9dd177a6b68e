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
    /// 2500 packets of the MTU's size, with what is lost at the ends of chunks, for two seconds. Mediasoup keeps audio for one;
    /// but few of its packets are asked for, and they are small.
    fn default() -> Config {
        Config { max_packets: 2500, max_bytes: 2500 * 1600, max_age: Duration::from_secs(2) }
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

/// A queue of chunks of memory, filled in the order of insertion, and a table of where each sequence number lies in them.
///
/// Both start empty and grow while what they hold is young, up to the bounds. The chunk whose packets have all become old is
/// the next one to be filled, so that a steady stream allocates nothing; a stream that has become slower gives chunks back.
/// Nothing is ever moved. Order does not matter: packets may come late, and the sequence may wrap or restart
/// (a number met again with another timestamp takes the place of the first).
#[derive(Clone, Debug)]
pub struct Buffer {
    config: Config,
    chunks: VecDeque<Box<[u8]>>,
    /// Bytes in all of them.
    capacity: usize,
    /// Where the next packet goes, if the last chunk has room for it.
    head: Position,
    /// Entry of a sequence number at that number modulo the length, which is a power of two.
    table: Vec<Entry>,
    /// Sequence numbers in the order of insertion, with the position of each; at most as many as packets are kept. One
    /// whose entry is at another position was taken out of turn, and is left behind until it is the oldest, so that the
    /// first one is always stored.
    order: VecDeque<(u16, Position)>,
    /// How many of them are stored.
    stored: usize,
}

/// A place in the chunks: those are counted for ever, modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    chunk: u32,
    offset: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    position: Position,
    inserted: Instant,
    timestamp: u32,
    sequence_number: u16,
    /// Length in bytes; 0 marks a vacant entry.
    len: u16,
}

const FIRST_TABLE: usize = 64;
/// A new chunk doubles the memory until it is as long as this.
const MAX_CHUNK: usize = 64 * 1024;
const FIRST_CHUNK: usize = 4 * 1024;

impl Buffer {
    /// An empty buffer, which owns no memory yet.
    pub fn new(config: Config) -> Buffer {
        let max_packets = config.max_packets.clamp(1, 1 << 15);
        Buffer {
            config: Config { max_packets, ..config },
            chunks: VecDeque::new(),
            capacity: 0,
            head: Position { chunk: 0, offset: 0 },
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
        self.make_byte_room(packet.len());
        let position = self.head;
        let offset = position.offset as usize;
        if let Some(target) = self.chunks.back_mut().and_then(|chunk| chunk.get_mut(offset..offset + packet.len())) {
            target.copy_from_slice(packet);
        }
        self.head.offset += u32::from(len);
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
        let offset = entry.position.offset as usize;
        let bytes = self.chunks.get(self.place(entry.position))?.get(offset..offset + usize::from(entry.len))?;
        Some(Stored { bytes, timestamp: entry.timestamp, inserted: entry.inserted })
    }

    /// Where the next packet will be copied to, if it is `len` bytes long and nothing has to grow for it; empty where that is
    /// not known. For whoever can have memory fetched ahead; what the bytes are means nothing.
    pub fn next_place(&self, len: usize) -> &[u8] {
        let offset = self.head.offset as usize;
        let here = self.chunks.back().and_then(|chunk| chunk.get(offset..offset + len));
        let in_next = || self.chunks.front().filter(|_| self.is_free(0)).and_then(|chunk| chunk.get(..len));
        here.or_else(in_next).unwrap_or_default()
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
        self.capacity + self.table.len() * size_of::<Entry>() + self.order.capacity() * size_of::<(u16, Position)>()
    }

    /// Forgets all packets and keeps the memory.
    pub fn clear(&mut self) {
        while self.evict_oldest() {}
    }

    fn slot(&self, sequence_number: u16) -> usize {
        usize::from(sequence_number) & (self.table.len().max(1) - 1)
    }

    /// The index among the chunks of the one that a packet lies in.
    fn place(&self, position: Position) -> usize {
        (self.chunks.len().max(1) - 1).saturating_sub(self.head.chunk.wrapping_sub(position.chunk) as usize)
    }

    /// Whether the first chunks, up to this index, hold no packet.
    fn is_free(&self, index: usize) -> bool {
        self.order.front().is_none_or(|&(_, oldest)| self.place(oldest) > index)
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
        let vacant = Entry { position: self.head, inserted: now, timestamp: 0, sequence_number: 0, len: 0 };
        let len = (self.table.len() * 2).clamp(FIRST_TABLE.min(limit), limit);
        let old = std::mem::replace(&mut self.table, vec![vacant; len]);
        // Different slots of the old table stay different in the larger one.
        for entry in old.into_iter().filter(|entry| entry.len != 0) {
            let slot = self.slot(entry.sequence_number);
            self.table[slot] = entry;
        }
    }

    /// Sees to it that the last chunk has `len` bytes left.
    fn make_byte_room(&mut self, len: usize) {
        if self.chunks.back().is_some_and(|chunk| chunk.len() - self.head.offset as usize >= len) {
            return;
        }
        // Half of the chunks may be free without being given back, since streams are never quite steady.
        while self.chunks.len() > 1 && self.is_free(self.chunks.len() / 2) {
            self.remove_first_chunk();
        }
        let chunk = loop {
            if self.is_free(0)
                && let Some(chunk) = self.remove_first_chunk()
                && chunk.len() >= len
            {
                break chunk;
            }
            let size = self.capacity.clamp(FIRST_CHUNK, MAX_CHUNK).max(len).min(self.config.max_bytes);
            if self.capacity + size <= self.config.max_bytes {
                break vec![0; size].into();
            }
            // What is left to evict frees at last all chunks.
            self.evict_oldest();
        };
        self.capacity += chunk.len();
        self.chunks.push_back(chunk);
        self.head = Position { chunk: self.head.chunk.wrapping_add(1), offset: 0 };
    }

    fn remove_first_chunk(&mut self) -> Option<Box<[u8]>> {
        let chunk = self.chunks.pop_front()?;
        self.capacity -= chunk.len();
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

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
        let mut buffer = Buffer::new(Config { max_age: millis(100), ..Config::default() });
        assert!(buffer.next_place(700).is_empty());
        let hits = |buffer: &mut Buffer, indices: std::ops::Range<u16>| {
            let mut hits = 0;
            for index in indices {
                let (now, place) = (start + millis(u64::from(index)), buffer.next_place(700).as_ptr());
                buffer.insert(now, index, 0, &packet(index, 700));
                hits += usize::from(buffer.get(now, index).unwrap().bytes.as_ptr() == place);
            }
            hits
        };
        // All but the first of each chunk: a hundred packets take chunks of 5, 5, 11, 23, 46 and 93.
        assert_eq!(hits(&mut buffer, 0..100), 94);
        // Then it goes round. Where a chunk becomes free only by the packet that needs it, nobody knows ahead.
        assert!(hits(&mut buffer, 1000..2000) >= 970);
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
        // 276 packets of 700 bytes fit the seven chunks of 192 KiB together, of which the one that comes next may be empty.
        assert!((183..=276).contains(&buffer.len()), "{}", buffer.len());
    }

    #[test]
    fn a_steady_stream_keeps_its_chunks_and_a_slower_one_gives_them_back() {
        let start = Instant::now();
        let mut buffer = Buffer::new(Config::default());
        let mut now = start;
        let mut send = |buffer: &mut Buffer, count: u16, gap: u64| {
            for index in 0..count {
                now += Duration::from_micros(gap);
                buffer.insert(now, index, gap as u32, &packet(index, 1200));
            }
            let chunks: Vec<_> = buffer.chunks.iter().map(|chunk| chunk.as_ptr()).collect();
            (buffer.capacity, chunks.into_iter().collect::<BTreeSet<_>>())
        };
        // A thousand packets a second, 2.4 MB in two seconds: little more is taken, and it stays the same.
        let (capacity, chunks) = send(&mut buffer, 10_000, 1000);
        assert!((2_400_000..2_600_000).contains(&capacity), "{capacity}");
        assert_eq!(send(&mut buffer, 10_000, 1000), (capacity, chunks));
        // A hundred a second.
        let (smaller, _) = send(&mut buffer, 2000, 10_000);
        assert!(smaller < 240_000 * 3, "{smaller}");
        // And back.
        let (larger, _) = send(&mut buffer, 10_000, 1000);
        assert!((2_400_000..2_600_000).contains(&larger), "{larger}");
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

        // The same beside a packet that takes a chunk of its own.
        let mut grown = filled(8);
        grown.insert(start, 7, 0, &packet(7, 40_000));
        assert_eq!((grown.len(), grown.order.len()), (4, 5));
        assert!([4, 5, 6].iter().all(|&number| grown.get(start, number).unwrap().bytes == packet(number, 20)));
        assert_eq!(grown.get(start, 7).unwrap().bytes, packet(7, 40_000));
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
                prop_assert!(buffer.len() <= max_packets && buffer.capacity <= max_bytes);
                prop_assert_eq!(buffer.capacity, buffer.chunks.iter().map(|chunk| chunk.len()).sum::<usize>());
                for (seq, bytes) in &map {
                    if let Some(stored) = buffer.get(now, *seq) {
                        prop_assert_eq!(stored.bytes, &bytes[..]);
                    }
                }
            }
        }
    }
}
