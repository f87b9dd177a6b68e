//! What is kept about each stream, packet by packet: losses, statistics, packets to send again.

use super::{Bench, Id, check};
use anyhow::Result;
use sfu_proto::rtp::{FIXED_HEADER_LEN, FixedHeader, Header, HeaderWriter};
use sfu_proto::stream::nack::{self, Arrival, Generator};
use sfu_proto::stream::receive::{self, Verdict};
use sfu_proto::stream::retransmission::{Buffer, Config, Insertion};
use sfu_proto::stream::{RateCounter, send};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

const GROUP: &str = "Streams, per packet";
const PACKET_LEN: usize = 1_200;
/// From one packet to the next: some 3 Mbit/s.
const APART: Duration = Duration::from_millis(3);

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    nacks(bench)?;
    statistics(bench)?;
    retransmissions(bench)
}

fn nacks(bench: &mut impl Bench) -> Result<()> {
    let mut generator = Generator::new(nack::Config::default());
    let (mut now, mut number) = (Instant::now(), 0_u16);
    check(
        bench,
        &Id::new(GROUP, "NACK generator, nothing lost"),
        || {
            now += APART;
            number = number.wrapping_add(1);
            generator.handle_packet(now, black_box(number), false, false)
        },
        |arrival| *arrival == Arrival::New,
    )?;

    let mut generator = Generator::new(nack::Config::default());
    let (mut now, mut step, mut number) = (Instant::now(), 0_u32, 0_u16);
    let mut asked = Vec::with_capacity(64);
    // 49 packets, one that comes 30 ms late by RTX, and so on.
    check(
        bench,
        &Id::new(GROUP, "NACK generator, one of 50 asked for and repaired"),
        || {
            now += APART;
            step += 1;
            let mut arrival = Arrival::New;
            if step.is_multiple_of(50) {
                number = number.wrapping_add(1);
            }
            if step % 50 == 10 && step > 50 {
                arrival = generator.handle_packet(now, number.wrapping_sub(10), false, true);
            }
            number = number.wrapping_add(1);
            generator.handle_packet(now, black_box(number), false, false);
            generator.handle_timeout(now);
            asked.clear();
            while generator.poll_nack(&mut asked) {}
            (arrival, generator.pending())
        },
        |(arrival, pending)| matches!(arrival, Arrival::New | Arrival::Repaired) && *pending <= 1,
    )
}

fn statistics(bench: &mut impl Bench) -> Result<()> {
    let mut packet = vec![0; PACKET_LEN];
    let fixed = FixedHeader { marker: false, payload_type: 96, sequence_number: 0, timestamp: 0, ssrc: 1 };
    HeaderWriter::new(&mut packet, &fixed).finish()?;
    let mut header = Header::parse(&packet)?;
    let mut stream = receive::Stream::new(1, 90_000);
    let mut now = Instant::now();
    check(
        bench,
        &Id::new(GROUP, "receive statistics"),
        || {
            now += APART;
            header.sequence_number = header.sequence_number.wrapping_add(1);
            header.timestamp = header.timestamp.wrapping_add(270);
            stream.handle_packet(now, black_box(&header), PACKET_LEN)
        },
        |verdict| *verdict == Verdict::Accepted,
    )?;
    check(
        bench,
        &Id::new(GROUP, "a report block of them"),
        || stream.report_block(black_box(now)),
        |block| block.is_some_and(|block| block.ssrc == 1 && block.packets_lost <= 1),
    )?;

    let stream = RefCell::new(send::Stream::new(1, 90_000));
    let mut timestamp = 0_u32;
    check(
        bench,
        &Id::new(GROUP, "send statistics"),
        || {
            now += APART;
            timestamp = timestamp.wrapping_add(270);
            stream.borrow_mut().handle_packet(now, black_box(timestamp), PACKET_LEN, PACKET_LEN - FIXED_HEADER_LEN);
        },
        |()| stream.borrow().stats().packet_count > 0,
    )?;
    let mut rate = RateCounter::per_second();
    check(
        bench,
        &Id::new(GROUP, "bitrate"),
        || {
            now += APART;
            rate.add(black_box(now), PACKET_LEN);
            rate.packets()
        },
        |packets| *packets > 0,
    )
}

fn retransmissions(bench: &mut impl Bench) -> Result<()> {
    let packet = vec![0x5a; PACKET_LEN];
    let mut buffer = Buffer::new(Config::default());
    let (mut now, mut number, mut timestamp) = (Instant::now(), 0_u16, 0_u32);
    // As full as it gets.
    for _ in 0..5_000 {
        now += APART;
        (number, timestamp) = (number.wrapping_add(1), timestamp.wrapping_add(270));
        buffer.insert(now, number, timestamp, &packet);
    }
    check(
        bench,
        &Id::new(GROUP, "retransmission buffer, store 1,200 bytes"),
        || {
            now += APART;
            (number, timestamp) = (number.wrapping_add(1), timestamp.wrapping_add(270));
            buffer.insert(now, number, timestamp, black_box(&packet))
        },
        |insertion| *insertion == Insertion::Stored,
    )?;
    check(
        bench,
        &Id::new(GROUP, "retransmission buffer, find"),
        || buffer.get(now, black_box(number.wrapping_sub(100))).map(|stored| stored.bytes.len()),
        |len| *len == Some(PACKET_LEN),
    )
}
