//! What reading a packet's header and writing another costs.

use criterion::{Criterion, criterion_group, criterion_main};
use sfu_proto::rtp::{ExtensionIds, ExtensionKind, FixedHeader, Header, HeaderWriter, parse_extensions};
use std::hint::black_box;

const FIXED: FixedHeader =
    FixedHeader { marker: true, payload_type: 101, sequence_number: 4_711, timestamp: 90_000, ssrc: 0x1234_5678 };

/// A header as a browser sends it: mid, absolute send time, transport-wide sequence number, audio level.
fn write(slot: &mut [u8]) -> usize {
    HeaderWriter::new(slot, &FIXED)
        .extension(1, b"0")
        .extension(4, &[1, 2, 3])
        .extension(5, &[4, 5])
        .extension(10, &[0x85])
        .finish()
        .expect("the slot has room for a header")
}

fn rtp(criterion: &mut Criterion) {
    let mut ids = ExtensionIds::new();
    for (kind, id) in [
        (ExtensionKind::Mid, 1),
        (ExtensionKind::AbsSendTime, 4),
        (ExtensionKind::TransportWideCc, 5),
        (ExtensionKind::AudioLevel, 10),
    ] {
        ids.set(kind, id);
    }
    let mut packet = vec![0x5A; 1_200];
    write(&mut packet);
    let header = Header::parse(&packet).expect("a header was just written");
    let mut slot = vec![0; 1_200];

    let mut group = criterion.benchmark_group("rtp");
    group.bench_function("parse header", |bencher| {
        bencher.iter(|| Header::parse(black_box(&packet)));
    });
    group.bench_function("find 4 extensions", |bencher| {
        bencher.iter(|| parse_extensions(black_box(&packet), &header, &ids));
    });
    group.bench_function("write header without extensions", |bencher| {
        bencher.iter(|| HeaderWriter::new(black_box(&mut slot), &FIXED).finish());
    });
    group.bench_function("write header with 4 extensions", |bencher| {
        bencher.iter(|| write(black_box(&mut slot)));
    });
    group.finish();
}

criterion_group!(benches, rtp);
criterion_main!(benches);
