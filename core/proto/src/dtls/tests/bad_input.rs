//! Datagrams that no peer of good will sends.

use super::super::*;
use super::CLIENT;
use super::pair::{Pair, Random};
use proptest::prelude::*;

/// Rubbish between and before the real datagrams: truncated records, and bytes that only look like DTLS.
#[test]
fn a_handshake_survives_rubbish() {
    let mut random = Random::new(42);
    let mut pair = Pair::new();
    pair.start();
    loop {
        let rubbish: Vec<(usize, Vec<u8>)> = pair
            .wire
            .values()
            .flat_map(|(end, datagram)| {
                let cuts = [1, 5, 12, 13, 14, datagram.len() / 2, datagram.len() - 1];
                cuts.map(|cut| (*end, datagram[..cut.min(datagram.len() - 1)].to_vec()))
            })
            .collect();
        for (end, truncated) in rubbish {
            pair.ends[end].handle_packet(pair.now, &truncated).unwrap();
            let mut noise = truncated.clone();
            for byte in noise.iter_mut().skip(1) {
                *byte = random.below(256) as u8;
            }
            pair.ends[end].handle_packet(pair.now, &noise).unwrap();
        }
        pair.collect();
        if !pair.step() {
            break;
        }
    }
    pair.assert_connected();
    assert_eq!(pair.ends[CLIENT].handle_packet(pair.now, &[]), Err(DtlsError::NotDtls));
    assert_eq!(pair.ends[CLIENT].handle_packet(pair.now, &[0x80, 1, 2]), Err(DtlsError::NotDtls));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Arbitrary records, at any point of a handshake.
    #[test]
    fn arbitrary_datagrams_never_panic(
        steps in 0..6_usize,
        end in 0..2_usize,
        datagrams in prop::collection::vec((20..64_u8, any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..20),
    ) {
        let mut pair = Pair::new();
        pair.start();
        for _ in 0..steps {
            pair.step();
        }
        for (kind, framed, body) in datagrams {
            let mut datagram = vec![kind];
            if framed {
                datagram.extend([0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, body.len() as u8]);
            }
            datagram.extend(body);
            let _ = pair.ends[end].handle_packet(pair.now, &datagram);
        }
        pair.collect();
        while pair.elapsed() < Duration::from_secs(60) && pair.step() {}
    }

    /// A real datagram of a handshake with some bytes changed comes before the real one: whatever it brings about, both
    /// come to an end, and nobody is connected with other keys than the peer's.
    #[test]
    fn mutated_datagrams_never_mislead(
        steps in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let mut pair = Pair::new();
        pair.start();
        for _ in 0..steps {
            pair.step();
        }
        let Some((end, mut datagram)) = pair.wire.values().next().cloned() else { return Ok(()) };
        for (at, change) in changes {
            let at = at.index(datagram.len());
            datagram[at] ^= change;
        }
        let _ = pair.ends[end].handle_packet(pair.now, &datagram);
        pair.collect();
        pair.run();
        prop_assert!(pair.elapsed() <= HANDSHAKE_TIMEOUT + Duration::from_secs(1));
        prop_assert_ne!(pair.ends[CLIENT].state(), State::Connecting);
        if pair.ends.iter().all(|end| end.state() == State::Connected) {
            pair.assert_connected();
        }
    }
}
