//! SRTP: protecting and unprotecting one packet, by suite, backend and length.
//!
//! Debian's libsrtp2 is built on NSS, which makes its AES-CM with HMAC-SHA1 several times slower than libsrtp2 on OpenSSL
//! is: take it for an oracle, not for what libsrtp2 can do.

use super::{Bench, Id, check, check_on};
use anyhow::Result;
use sfu_proto::rtp::{FIXED_HEADER_LEN, FixedHeader, HeaderWriter};
use sfu_proto::srtp::{Backend, MAX_RTP_OVERHEAD, Receiver, Sender, SrtpError, Suite};
use std::cell::RefCell;
use std::hint::black_box;

const BACKENDS: &[(&str, Backend)] = &[
    ("own", Backend::Evp),
    #[cfg(feature = "libsrtp")]
    ("libsrtp2", Backend::Libsrtp),
];

const PACKET_LENGTHS: [(usize, &str); 3] = [(100, "100 bytes"), (500, "500 bytes"), (1_200, "1,200 bytes")];

/// Packets with ever new sequence numbers, since none may be protected or accepted twice.
struct Packets {
    protected: u64,
    payload: Vec<u8>,
    slot: Vec<u8>,
}

impl Packets {
    fn new(len: usize) -> Self {
        let payload = vec![0x5A; len - FIXED_HEADER_LEN];
        Self { protected: 0, payload, slot: vec![0; len + MAX_RTP_OVERHEAD] }
    }

    fn protect(&mut self, sender: &mut Sender) -> Result<usize, SrtpError> {
        self.protected += 1;
        let fixed = FixedHeader {
            marker: false,
            payload_type: 96,
            sequence_number: self.protected as u16,
            timestamp: 1,
            ssrc: 0x1234_5678,
        };
        let header_len = HeaderWriter::new(&mut self.slot, &fixed).finish().unwrap_or_default();
        sender.protect_rtp(&mut self.slot, header_len, &self.payload)
    }
}

fn key(suite: Suite) -> Vec<u8> {
    (0..suite.key_and_salt_len() as u8).collect()
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    for suite in Suite::ALL {
        for &(name, backend) in BACKENDS {
            for (len, column) in PACKET_LENGTHS {
                protect(bench, suite, (name, backend), (len, column))?;
                unprotect(bench, suite, (name, backend), (len, column))?;
            }
        }
    }
    Ok(())
}

/// What is protected must be accepted by our receiver, as long as the stream is young: later only who has seen every packet knows
/// how often the sequence numbers have begun anew. Byte by byte the backends are compared by the tests of sfu-proto.
fn protect(
    bench: &mut impl Bench,
    suite: Suite,
    (name, backend): (&str, Backend),
    (len, column): (usize, &str),
) -> Result<()> {
    let key = key(suite);
    let mut sender = Sender::new(backend, suite, &key)?;
    let receiver = RefCell::new(Receiver::new(Backend::Evp, suite, &key)?);
    let packets = RefCell::new(Packets::new(len));
    check(
        bench,
        &Id::of("SRTP, protect", &format!("{suite}, {name}"), column),
        || black_box(packets.borrow_mut().protect(&mut sender)),
        |protected| {
            let mut packets = packets.borrow_mut();
            if *protected != Ok(len + suite.rtp_tag_len()) {
                return false;
            }
            let is_young = packets.protected < 1 << 15;
            let packet = &mut packets.slot[..len + suite.rtp_tag_len()];
            !is_young || receiver.borrow_mut().unprotect_rtp(packet) == Ok(len)
        },
    )
}

fn unprotect(
    bench: &mut impl Bench,
    suite: Suite,
    (name, backend): (&str, Backend),
    (len, column): (usize, &str),
) -> Result<()> {
    let key = key(suite);
    let mut sender = Sender::new(Backend::Evp, suite, &key)?;
    let mut receiver = Receiver::new(backend, suite, &key)?;
    let mut packets = Packets::new(len);
    let payload = packets.payload.clone();
    check_on(
        bench,
        &Id::of("SRTP, unprotect", &format!("{suite}, {name}"), column),
        || {
            let len = packets.protect(&mut sender).unwrap_or_default();
            packets.slot[..len].to_vec()
        },
        |packet| receiver.unprotect_rtp(packet),
        |packet, unprotected| *unprotected == Ok(len) && packet[FIXED_HEADER_LEN..len] == payload,
    )
}
