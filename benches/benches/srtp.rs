//! What protecting and unprotecting one packet costs, by suite, size and backend.
//!
//! Debian's libsrtp2 is built on NSS, which makes its AES-CM with HMAC-SHA1 several times slower than libsrtp2 on OpenSSL: take it for an oracle,
//! not for what libsrtp2 can do.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sfu_proto::rtp::{FixedHeader, HeaderWriter};
use sfu_proto::srtp::{Backend, MAX_RTP_OVERHEAD, Receiver, Sender, Suite};
use std::hint::black_box;

const BACKENDS: &[(&str, Backend)] = &[
    ("evp", Backend::Evp),
    #[cfg(feature = "libsrtp")]
    ("libsrtp2", Backend::Libsrtp),
];

const PACKET_LENGTHS: [usize; 3] = [100, 500, 1_200];

/// Packets with ever new sequence numbers, since none may be protected or accepted twice.
struct Packets {
    sequence_number: u16,
    payload: Vec<u8>,
    slot: Vec<u8>,
}

impl Packets {
    fn new(len: usize) -> Self {
        let payload = vec![0x5A; len - sfu_proto::rtp::FIXED_HEADER_LEN];
        Self { sequence_number: 0, payload, slot: vec![0; len + MAX_RTP_OVERHEAD] }
    }

    fn protect(&mut self, sender: &mut Sender) -> usize {
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let fixed = FixedHeader {
            marker: false,
            payload_type: 96,
            sequence_number: self.sequence_number,
            timestamp: 1,
            ssrc: 0x1234_5678,
        };
        let header_len = HeaderWriter::new(&mut self.slot, &fixed).finish().expect("the slot has room for a header");
        sender.protect_rtp(&mut self.slot, header_len, &self.payload).expect("the slot has room for the packet")
    }
}

fn key(suite: Suite) -> Vec<u8> {
    (0..suite.key_and_salt_len() as u8).collect()
}

fn protect(criterion: &mut Criterion) {
    for suite in Suite::ALL {
        let mut group = criterion.benchmark_group(format!("srtp protect {suite}"));
        for len in PACKET_LENGTHS {
            group.throughput(Throughput::Bytes(len as u64));
            for &(name, backend) in BACKENDS {
                let mut sender = Sender::new(backend, suite, &key(suite)).expect("the key has the suite's length");
                let mut packets = Packets::new(len);
                group.bench_function(BenchmarkId::new(name, len), |bencher| {
                    bencher.iter(|| black_box(packets.protect(&mut sender)));
                });
            }
        }
        group.finish();
    }
}

fn unprotect(criterion: &mut Criterion) {
    for suite in Suite::ALL {
        let mut group = criterion.benchmark_group(format!("srtp unprotect {suite}"));
        for len in PACKET_LENGTHS {
            group.throughput(Throughput::Bytes(len as u64));
            for &(name, backend) in BACKENDS {
                let key = key(suite);
                let mut sender = Sender::new(Backend::Evp, suite, &key).expect("the key has the suite's length");
                let mut receiver = Receiver::new(backend, suite, &key).expect("the key has the suite's length");
                let mut packets = Packets::new(len);
                group.bench_function(BenchmarkId::new(name, len), |bencher| {
                    bencher.iter_batched_ref(
                        || {
                            let len = packets.protect(&mut sender);
                            packets.slot[..len].to_vec()
                        },
                        |packet| receiver.unprotect_rtp(packet).expect("the packet is new and whole"),
                        BatchSize::SmallInput,
                    );
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, protect, unprotect);
criterion_main!(benches);
