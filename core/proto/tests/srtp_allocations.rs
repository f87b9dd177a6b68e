//! The hot path allocates nothing: neither a packet that is sent, nor one that comes, nor a forged one. (Only Rust's
//! allocations are counted; the library's contexts are made once per session.)

use allocation_counter::measure;
use sfu_proto::srtp::{Backend, MAX_RTCP_OVERHEAD, MAX_RTP_OVERHEAD, Receiver, Sender, SrtpError, Suite};
use std::hint::black_box;

const HEADER: [u8; 12] = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];

/// The allocations that `work` makes.
fn allocations<R>(work: impl FnOnce() -> R) -> u64 {
    measure(|| {
        black_box(work());
    })
    .count_total
}

#[test]
fn a_packet_allocates_nothing() {
    // What is counted is counted at all.
    assert_eq!(allocations(|| vec![1_u8; 100]), 1);

    for suite in Suite::ALL {
        let key = vec![7; suite.key_and_salt_len()];
        let mut sender = Sender::new(Backend::Evp, suite, &key).unwrap();
        let mut receiver = Receiver::new(Backend::Evp, suite, &key).unwrap();
        let payload = [9; 1200];
        let mut slot = [0; HEADER.len() + 1200 + MAX_RTP_OVERHEAD];
        let mut report = Vec::with_capacity(REPORT.len() + MAX_RTCP_OVERHEAD);
        for sequence in 0..10_u16 {
            slot[..HEADER.len()].copy_from_slice(&HEADER);
            slot[2..4].copy_from_slice(&sequence.to_be_bytes());
            let mut len = Err(SrtpError::Crypto);
            let protect_rtp = allocations(|| len = sender.protect_rtp(&mut slot, HEADER.len(), &payload));
            let len = len.unwrap();
            let mut forged = slot;
            forged[20] ^= 1;
            let forged_rtp = allocations(|| {
                assert_eq!(receiver.unprotect_rtp(&mut forged[..len]), Err(SrtpError::AuthenticationFailed));
            });
            let unprotect_rtp = allocations(|| receiver.unprotect_rtp(&mut slot[..len]).unwrap());

            report.clear();
            report.extend(REPORT);
            let protect_rtcp = allocations(|| sender.protect_rtcp(&mut report).unwrap());
            let mut forged = [0; REPORT.len() + MAX_RTCP_OVERHEAD];
            let forged = &mut forged[..report.len()];
            forged.copy_from_slice(&report);
            forged[7] ^= 1;
            let forged_rtcp = allocations(|| {
                assert_eq!(receiver.unprotect_rtcp(forged), Err(SrtpError::AuthenticationFailed));
            });
            let unprotect_rtcp = allocations(|| receiver.unprotect_rtcp(&mut report).unwrap());

            // The first packets make their stream's state.
            if sequence > 0 {
                let counts = [protect_rtp, unprotect_rtp, forged_rtp, protect_rtcp, unprotect_rtcp, forged_rtcp];
                assert_eq!(counts, [0; 6], "{suite}, packet {sequence}");
            }
        }
    }
}
