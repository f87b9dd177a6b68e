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

/// A log of packets in chunks of memory, each packet behind a [`Record`] of what is known about it, and a table of where each
/// sequence number lies in it and how old it is.
///
/// Both start empty and grow while what they hold is young, up to the bounds. The chunk whose packets have all become old is
/// the next one to be filled, so that a steady stream allocates nothing; a stream that has become slower gives chunks back.
/// Nothing is ever moved, nothing is done when a packet becomes old, and to insert one no packet of another number is looked at: of
/// many streams no cache holds what they keep. Order does not matter: packets may come late, and the sequence may wrap or restart
/// (a number met again with another timestamp takes the place of the first).
#[derive(Clone, Debug)]
pub struct Buffer {
    config: Config,
    chunks: VecDeque<Chunk>,
    /// Bytes in all of them.
    capacity: usize,
    /// The number of the next chunk.
    next_chunk: u32,
    /// Bytes of the last chunk that are in use.
    head: usize,
    /// Where the packet of a sequence number lies, at that number modulo the length, which is a power of two.
    table: Vec<Position>,
    /// Packets inserted so far.
    inserted: u64,
    /// What the times in records count from.
    start: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Chunk {
    /// Chunks are counted for ever, modulo 2^32, and those there are follow one another.
    number: u32,
    bytes: Box<[u8]>,
    /// Count and time of its last packet; none where it has not got any.
    newest: Option<(u64, Instant)>,
}

/// Where a packet lies in the chunks, and what can be asked about it without going there.
#[derive(Clone, Copy, Debug)]
struct Position {
    chunk: u32,
    offset: u32,
    sequence_number: u16,
    /// Milliseconds since the start, modulo 2^16.
    millis: u16,
}

impl Position {
    const NONE: Position = Position { chunk: 0, offset: u32::MAX, sequence_number: 0, millis: 0 };
}

/// What lies before a packet. In bytes, little-endian: count (8), time (8), timestamp (4), length (2).
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Which of all packets inserted it is.
    count: u64,
    /// Nanoseconds since the start.
    time: u64,
    timestamp: u32,
    /// Length in bytes.
    len: u16,
}

impl Record {
    const LEN: usize = 22;

    fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[20..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// The record at the front of these bytes, with the packet behind it.
    fn split(bytes: &[u8]) -> Option<(Record, &[u8])> {
        let (count, rest) = bytes.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = u16::from_le_bytes(*len);
        let record = Record {
            count: u64::from_le_bytes(*count),
            time: u64::from_le_bytes(*time),
            timestamp: u32::from_le_bytes(*timestamp),
            len,
        };
        Some((record, rest.get(..usize::from(len))?))
    }
}

const FIRST_TABLE: usize = 64;
/// A new chunk is a quarter of the memory that is there, within these bounds: as long as one of its packets is young, it is kept.
const MIN_CHUNK: usize = 4 * 1024;
const MAX_CHUNK: usize = 64 * 1024;

impl Buffer {
    /// An empty buffer, which owns no memory yet.
    pub fn new(config: Config) -> Buffer {
        let max_packets = config.max_packets.clamp(1, 1 << 15);
        Buffer {
            config: Config { max_packets, ..config },
            chunks: VecDeque::new(),
            capacity: 0,
            next_chunk: 0,
            head: 0,
            table: Vec::new(),
            inserted: 0,
            start: None,
        }
    }

    /// Stores a copy of a packet.
    pub fn insert(&mut self, now: Instant, sequence_number: u16, timestamp: u32, packet: &[u8]) -> Insertion {
        let Ok(len @ 1..) = u16::try_from(packet.len()) else {
            return Insertion::WrongSize;
        };
        let needed = Record::LEN + packet.len();
        if needed > self.config.max_bytes {
            return Insertion::WrongSize;
        }
        if let Some((known, _)) = self.find(now, sequence_number)
            && known.timestamp == timestamp
        {
            return Insertion::Duplicate;
        }
        self.inserted += 1;
        let start = *self.start.get_or_insert(now);
        self.make_table_room(now, sequence_number);
        self.make_byte_room(now, needed);
        let Some(chunk) = self.chunks.back_mut() else { return Insertion::WrongSize };
        let Some(target) = chunk.bytes.get_mut(self.head..self.head + needed) else { return Insertion::WrongSize };
        let record = Record { count: self.inserted, time: nanos(start, now), timestamp, len };
        let (head, body) = target.split_at_mut(Record::LEN);
        head.copy_from_slice(&record.encode());
        body.copy_from_slice(packet);
        chunk.newest = Some((self.inserted, now));
        let millis = millis(record.time);
        let position = Position { chunk: chunk.number, offset: self.head as u32, sequence_number, millis };
        self.head += needed;
        let slot = self.slot(sequence_number);
        self.table[slot] = position;
        Insertion::Stored
    }

    /// Finds a packet that is not too old.
    pub fn get(&self, now: Instant, sequence_number: u16) -> Option<Stored<'_>> {
        let (record, bytes) = self.find(now, sequence_number)?;
        let inserted = self.start? + Duration::from_nanos(record.time);
        Some(Stored { bytes, timestamp: record.timestamp, inserted })
    }

    /// Where the next packet will be copied to, if it is `len` bytes long and nothing has to grow for it; empty where that is
    /// not known. For whoever can have memory fetched ahead; what the bytes are means nothing.
    pub fn next_place(&self, now: Instant, len: usize) -> &[u8] {
        let needed = Record::LEN + len;
        let here = self.chunks.back().and_then(|chunk| chunk.bytes.get(self.head..self.head + needed));
        let in_next = || self.chunks.front().filter(|chunk| self.is_free(now, chunk))?.bytes.get(..needed);
        here.or_else(in_next).unwrap_or_default()
    }

    /// Where it will be noted where the packet of that number lies, for the same purpose.
    pub fn position_place(&self, sequence_number: u16) -> Option<&impl Sized> {
        self.table.get(self.slot(sequence_number))
    }

    /// What is known of the memory that the next packet will be copied to, for the same purpose.
    pub fn chunk_place(&self) -> Option<&impl Sized> {
        self.chunks.back()
    }

    /// Memory held, in bytes.
    pub fn footprint(&self) -> usize {
        self.capacity + self.table.len() * size_of::<Position>() + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Forgets all packets. Most of their memory is given back as others come.
    pub fn clear(&mut self) {
        // No position leads to a chunk that has got another number.
        let count = self.chunks.len() as u32;
        for chunk in &mut self.chunks {
            chunk.number = chunk.number.wrapping_add(count);
            chunk.newest = None;
        }
        self.next_chunk = self.next_chunk.wrapping_add(count);
        self.head = self.chunks.back().map_or(0, |chunk| chunk.bytes.len());
    }

    fn slot(&self, sequence_number: u16) -> usize {
        usize::from(sequence_number) & (self.table.len().max(1) - 1)
    }

    /// The packet of a sequence number, if it is kept.
    fn find(&self, now: Instant, sequence_number: u16) -> Option<(Record, &[u8])> {
        let position = self.table.get(self.slot(sequence_number))?;
        let position = Some(position).filter(|position| position.sequence_number == sequence_number)?;
        let chunk = self.chunk_of(now, position)?;
        let (record, packet) = Record::split(chunk.bytes.get(position.offset as usize..)?)?;
        let age = nanos(self.start?, now).saturating_sub(record.time);
        let is_kept = self.is_counted(record.count) && u128::from(age) <= self.config.max_age.as_nanos();
        is_kept.then_some((record, packet))
    }

    /// Whether the packet at a position may be kept. It is not if this says no; that it is old may escape this where it is older
    /// than a minute, and costs a larger table then, within the bound.
    fn may_be_kept(&self, now: Instant, position: &Position) -> bool {
        // Both times are rounded down, so that the age may be a millisecond too much.
        let age = self.start.map(|start| millis(nanos(start, now)).wrapping_sub(position.millis));
        age.is_some_and(|age| u128::from(age) <= self.config.max_age.as_millis() + 1)
            && self.chunk_of(now, position).is_some()
    }

    /// The chunk of a position, unless that is none, or the chunk has got other packets since, or none in it is kept.
    fn chunk_of(&self, now: Instant, position: &Position) -> Option<&Chunk> {
        let place = position.chunk.wrapping_sub(self.chunks.front()?.number);
        let chunk = self.chunks.get(place as usize)?;
        let is_there = (position.offset as usize) < chunk.bytes.len();
        (is_there && !self.is_free(now, chunk)).then_some(chunk)
    }

    /// Whether the packet of that count is among the last ones.
    fn is_counted(&self, count: u64) -> bool {
        self.inserted.saturating_sub(count) < self.config.max_packets as u64
    }

    /// Whether a chunk, and so each before it, holds no packet that is kept.
    fn is_free(&self, now: Instant, chunk: &Chunk) -> bool {
        chunk.newest.is_none_or(|(count, time)| {
            !self.is_counted(count) || now.saturating_duration_since(time) > self.config.max_age
        })
    }

    /// Sees to it that the slot of `sequence_number` may be taken: by a larger table if that may grow, else at its holder's expense.
    fn make_table_room(&mut self, now: Instant, sequence_number: u16) {
        let limit = self.config.max_packets.next_power_of_two();
        while self.table.len() < limit {
            match self.table.get(self.slot(sequence_number)) {
                Some(holder) if holder.sequence_number == sequence_number || !self.may_be_kept(now, holder) => return,
                _ => self.grow_table(now, limit),
            }
        }
    }

    fn grow_table(&mut self, now: Instant, limit: usize) {
        let len = (self.table.len() * 2).clamp(FIRST_TABLE.min(limit), limit);
        let old = std::mem::replace(&mut self.table, vec![Position::NONE; len]);
        // Different slots of the old table stay different in the larger one.
        for position in old {
            if self.may_be_kept(now, &position) {
                let slot = self.slot(position.sequence_number);
                self.table[slot] = position;
            }
        }
    }

    /// Sees to it that the last chunk has `needed` bytes left.
    fn make_byte_room(&mut self, now: Instant, needed: usize) {
        if self.chunks.back().is_some_and(|chunk| chunk.bytes.len() - self.head >= needed) {
            return;
        }
        // Half of the chunks may be free without being given back, since streams are never quite steady.
        while self.chunks.len() > 1
            && self.chunks.get(self.chunks.len() / 2).is_some_and(|chunk| self.is_free(now, chunk))
        {
            self.remove_first_chunk();
        }
        let bytes = loop {
            let size = (self.capacity / 4).clamp(MIN_CHUNK, MAX_CHUNK).max(needed).min(self.config.max_bytes);
            let is_full = self.capacity + size > self.config.max_bytes;
            if (is_full || self.chunks.front().is_some_and(|first| self.is_free(now, first)))
                && let Some(bytes) = self.remove_first_chunk()
            {
                if bytes.len() >= needed {
                    break bytes;
                }
            } else {
                break vec![0; size].into();
            }
        };
        self.capacity += bytes.len();
        self.chunks.push_back(Chunk { number: self.next_chunk, bytes, newest: None });
        self.next_chunk = self.next_chunk.wrapping_add(1);
        self.head = 0;
    }

    fn remove_first_chunk(&mut self) -> Option<Box<[u8]>> {
        let chunk = self.chunks.pop_front()?;
        self.capacity -= chunk.bytes.len();
        Some(chunk.bytes)
    }
}

/// The milliseconds of these nanoseconds, modulo 2^16.
fn millis(nanos: u64) -> u16 {
    (nanos / 1_000_000) as u16
}

/// Nanoseconds from one time to another.
fn nanos(start: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
