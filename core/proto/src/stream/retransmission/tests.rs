//! What the log of packets keeps, for how long, and in how much memory.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

/// How many packets are kept.
fn kept(buffer: &Buffer, now: Instant) -> usize {
    let taken = buffer.table.iter().filter(|position| position.offset != Position::NONE.offset);
    taken.filter(|position| buffer.find(now, position.sequence_number).is_some()).count()
}

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
    assert!(buffer.next_place(start, 700).is_empty());
    let hits = |buffer: &mut Buffer, indices: std::ops::Range<u16>| {
        let mut hits = 0;
        for index in indices {
            let now = start + millis(u64::from(index));
            let place = buffer.next_place(now, 700).as_ptr_range();
            buffer.insert(now, index, 0, &packet(index, 700));
            hits += usize::from(buffer.get(now, index).unwrap().bytes.as_ptr_range().end == place.end);
        }
        hits
    };
    // All but the first of each chunk.
    assert_eq!(hits(&mut buffer, 0..100), 100 - buffer.chunks.len());
    assert!(buffer.chunks.len() < 12, "{}", buffer.chunks.len());
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
        if index == 2000 {
            footprint = buffer.footprint();
            assert!(footprint < 200_000 + 512 * 12 + 32 * 64, "{footprint}");
        }
    }
    assert_eq!(buffer.footprint(), footprint);
    // 271 packets of 700 bytes fit the seven chunks of 192 KiB together, of which the one that is being filled may be empty.
    let kept = kept(&buffer, start + millis(9999));
    assert!((180..=271).contains(&kept), "{kept}");
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
        let chunks: Vec<_> = buffer.chunks.iter().map(|chunk| chunk.bytes.as_ptr()).collect();
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
    }
    // Half of the 64 slots are for odd numbers.
    assert_eq!(kept(&buffer, start), 32);
    assert_eq!(buffer.get(start, 1998).unwrap().bytes, packet(999, 20));
    assert_eq!((buffer.get(start, 1934), buffer.get(start, 1936).is_some()), (None, true));
}

#[test]
fn a_packet_counts_although_another_has_taken_its_place() {
    let start = Instant::now();
    let mut buffer = Buffer::new(Config { max_packets: 4, ..Config::default() });
    for (sequence_number, timestamp) in [(4, 0), (5, 0), (6, 0), (5, 1)] {
        buffer.insert(start, sequence_number, timestamp, &packet(sequence_number, 20));
    }
    assert!([4, 5, 6].iter().all(|&number| buffer.get(start, number).unwrap().bytes == packet(number, 20)));
    buffer.insert(start, 7, 0, &packet(7, 20));
    assert_eq!((kept(&buffer, start), buffer.get(start, 4)), (3, None));
    assert!([5, 6, 7].iter().all(|&number| buffer.get(start, number).unwrap().bytes == packet(number, 20)));
}

#[test]
fn a_packet_longer_than_a_chunk_gets_one_of_its_own() {
    let start = Instant::now();
    let mut buffer = Buffer::new(Config::default());
    for (number, len) in [(4, 20), (5, 20), (6, 65_535), (7, 20)] {
        assert_eq!(buffer.insert(start, number, 0, &packet(number, len)), Insertion::Stored);
    }
    for (number, len) in [(4, 20), (5, 20), (6, 65_535), (7, 20)] {
        assert_eq!(buffer.get(start, number).unwrap().bytes, packet(number, len));
    }
}

#[test]
fn nothing_is_found_after_it_was_cleared() {
    let start = Instant::now();
    let mut buffer = Buffer::new(Config::default());
    let fill = |buffer: &mut Buffer| {
        (0..200).for_each(|number| {
            assert_eq!(buffer.insert(start, number, 0, &packet(number, 1200)), Insertion::Stored);
        });
    };
    fill(&mut buffer);
    let footprint = buffer.footprint();
    buffer.clear();
    assert!((0..200).all(|number| buffer.get(start, number).is_none()));
    fill(&mut buffer);
    assert!((0..200).all(|number| buffer.get(start, number).unwrap().bytes == packet(number, 1200)));
    assert!(buffer.footprint() <= footprint + MAX_CHUNK, "{} after {footprint}", buffer.footprint());
}

#[test]
fn by_default_2500_packets_are_kept_for_two_seconds() {
    let start = Instant::now();
    let mut buffer = Buffer::new(Config::default());
    for index in 0..3000 {
        buffer.insert(start, index, 0, &packet(index, 1200));
    }
    assert_eq!((kept(&buffer, start), buffer.get(start, 499)), (2500, None));
    assert!(buffer.get(start + millis(2000), 500).is_some());
    assert!(buffer.get(start + millis(2001), 500).is_none());
}

/// Old packets lie in one chunk with young ones, and the table knows their age modulo 65,536 ms only.
#[test]
fn what_is_older_than_a_minute_is_not_taken_for_young() {
    let start = Instant::now();
    let mut buffer = Buffer::new(Config::default());
    for index in 0..200u16 {
        let now = start + millis(u64::from(index) * 65_536);
        // Each pair in the slots of the pair before it, in the first tables.
        let numbers = [0, 1].map(|place| index.wrapping_mul(512) + place);
        for number in numbers {
            assert_eq!(buffer.insert(now, number, 0, &packet(index, 40)), Insertion::Stored);
        }
        assert!(numbers.iter().all(|&number| buffer.get(now, number).unwrap().bytes == packet(index, 40)));
        assert!(numbers.iter().all(|&number| buffer.get(now, number.wrapping_sub(512)).is_none()));
        assert_eq!(kept(&buffer, now), 2);
    }
    assert!(buffer.table.len() <= 4096 && buffer.chunks.len() <= 3, "{} {}", buffer.table.len(), buffer.chunks.len());
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
            prop_assert!(kept(&buffer, now) <= max_packets && buffer.capacity <= max_bytes);
            prop_assert_eq!(buffer.capacity, buffer.chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>());
            for (seq, bytes) in &map {
                if let Some(stored) = buffer.get(now, *seq) {
                    prop_assert_eq!(stored.bytes, &bytes[..]);
                }
            }
        }
    }
}
