//! Both backends on known answers, and against each other.

use super::*;
use proptest::prelude::*;

const BACKENDS: &[Backend] = &[
    Backend::Evp,
    #[cfg(feature = "libsrtp")]
    Backend::Libsrtp,
];

/// Every pair of a sender's and a receiver's backend.
fn pairs() -> impl Iterator<Item = (Backend, Backend)> {
    BACKENDS.iter().flat_map(|&sender| BACKENDS.iter().map(move |&receiver| (sender, receiver)))
}

fn key(suite: Suite) -> Vec<u8> {
    (0..suite.key_and_salt_len() as u8).map(|byte| byte.wrapping_mul(37) ^ 0x5a).collect()
}

fn sender(backend: Backend, suite: Suite) -> Sender {
    Sender::new(backend, suite, &key(suite)).unwrap()
}

fn receiver(backend: Backend, suite: Suite) -> Receiver {
    Receiver::new(backend, suite, &key(suite)).unwrap()
}

fn rtp_header(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut header = vec![0x80, 0x60];
    header.extend(sequence.to_be_bytes());
    header.extend([0xde, 0xad, 0xbe, 0xef]);
    header.extend(ssrc.to_be_bytes());
    header
}

fn protect(sender: &mut Sender, header: &[u8], payload: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut slot = vec![0; header.len() + payload.len() + MAX_RTP_OVERHEAD];
    slot[..header.len()].copy_from_slice(header);
    let len = sender.protect_rtp(&mut slot, header.len(), payload)?;
    slot.truncate(len);
    Ok(slot)
}

fn unprotect(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn protect_rtcp(sender: &mut Sender, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    sender.protect_rtcp(&mut packet)?;
    Ok(packet)
}

fn unprotect_rtcp(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let len = receiver.unprotect_rtcp(&mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

/// Packets from master keys on: the references of libsrtp's test driver (`srtp_validate`, `srtp_validate_gcm`), with the
/// tag of SRTP cut for the 32-bit profile (RFC 3711 §4.2), and for AES-256, which the driver lacks, what libsrtp 2.5 made.
///
/// RFC 7714's own vectors begin at session keys, which libsrtp takes none of: `evp.rs` has them.
#[test]
fn known_answers() {
    struct Case {
        suite: Suite,
        key: &'static str,
        rtp: &'static str,
        rtcp: &'static str,
    }
    let cases = [
        Case {
            suite: Suite::AesCm128HmacSha1_80,
            key: "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
            rtp: "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
            rtcp: "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798",
        },
        Case {
            suite: Suite::AesCm128HmacSha1_32,
            key: "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
            rtp: "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc",
            rtcp: "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798",
        },
        Case {
            suite: Suite::AeadAes256Gcm,
            key: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fa0a1a2a3a4a5a6a7a8a9aaab",
            rtp: "800f1234decafbadcafebabe0af7f21e8a90bdad7a425c9c31ed4bb1d90238917e7390a2793500e1681acaea",
            rtcp: "81c8000bcafebabe8abfafa780070a90e80f9161cf4aac081ed93aaa53c15b0f3ed1a3b984167b0380000001",
        },
        Case {
            suite: Suite::AeadAes128Gcm,
            key: "000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5a6a7a8a9aaab",
            rtp: "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
            rtcp: "81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001",
        },
    ];
    let payload = [0xab; 16];
    let header = hex::decode("800f1234decafbadcafebabe").unwrap();
    let rtcp = [hex::decode("81c8000bcafebabe").unwrap(), payload.to_vec()].concat();
    for (case, &backend) in cases.iter().flat_map(|case| BACKENDS.iter().map(move |backend| (case, backend))) {
        let context = format!("{} {backend:?}", case.suite);
        let key = hex::decode(case.key).unwrap();
        let mut sender = Sender::new(backend, case.suite, &key).unwrap();
        let mut receiver = Receiver::new(backend, case.suite, &key).unwrap();

        let packet = protect(&mut sender, &header, &payload).unwrap();
        assert_eq!(hex::encode(&packet), case.rtp, "{context}");
        assert_eq!(unprotect(&mut receiver, &packet).unwrap(), [&header, &payload[..]].concat());

        // RFC 3711 §3.4 begins with SRTCP index 0, libsrtp with 1.
        if backend == Backend::Evp {
            protect_rtcp(&mut sender, &rtcp).unwrap();
        }
        let packet = protect_rtcp(&mut sender, &rtcp).unwrap();
        assert_eq!(hex::encode(&packet), case.rtcp, "{context}");
        assert_eq!(unprotect_rtcp(&mut receiver, &packet).unwrap(), rtcp);
    }
}

#[test]
fn names_and_lengths() {
    let lengths: Vec<_> = Suite::ALL
        .map(|suite| (suite.name(), suite.key_and_salt_len(), suite.rtp_tag_len(), suite.rtcp_tag_len()))
        .to_vec();
    assert_eq!(
        lengths,
        [
            ("AEAD_AES_256_GCM", 44, 16, 16),
            ("AEAD_AES_128_GCM", 28, 16, 16),
            ("AES_CM_128_HMAC_SHA1_80", 30, 10, 10),
            ("AES_CM_128_HMAC_SHA1_32", 30, 4, 10),
        ]
    );
    for suite in Suite::ALL {
        assert_eq!(Suite::from_name(suite.name()), Some(suite));
        assert_eq!(Suite::from_profile_name(suite.profile_name()), Some(suite));
    }
    assert_eq!(Suite::from_name("AES_CM_256"), None);
}

#[test]
fn keys_of_another_length_are_refused() {
    for (suite, &backend) in Suite::ALL.iter().flat_map(|suite| BACKENDS.iter().map(move |backend| (suite, backend))) {
        let expected = suite.key_and_salt_len();
        for got in [0, expected - 1, expected + 1] {
            let error = Sender::new(backend, *suite, &vec![0; got]).unwrap_err();
            assert_eq!(error, SrtpError::KeyLength { expected, got });
            let error = Receiver::new(backend, *suite, &vec![0; got]).unwrap_err();
            assert_eq!(error, SrtpError::KeyLength { expected, got });
        }
    }
}

#[test]
fn secrets_are_not_in_debug() {
    let suite = Suite::AeadAes128Gcm;
    assert_eq!(format!("{:?}", sender(Backend::Evp, suite)), "Sender { .. }");
    assert_eq!(format!("{:?}", receiver(Backend::Evp, suite)), "Receiver { .. }");
}

#[test]
fn a_small_slot_is_refused() {
    for (suite, &backend) in Suite::ALL.iter().flat_map(|suite| BACKENDS.iter().map(move |backend| (suite, backend))) {
        let header = rtp_header(1, 2);
        let needed = header.len() + 100 + suite.rtp_tag_len();
        let mut slot = vec![0; needed - 1];
        slot[..12].copy_from_slice(&header);
        let result = sender(backend, *suite).protect_rtp(&mut slot, 12, &[0; 100]);
        assert_eq!(result, Err(SrtpError::BufferTooSmall { needed, got: needed - 1 }));
    }
}

#[test]
fn header_with_csrcs_and_extension_stays_clear() {
    let mut header = rtp_header(7, 8);
    header[0] = 0x92;
    header.extend([1; 8]);
    header.extend([0xbe, 0xde, 0, 2, 0x10, 1, 0x20, 2, 0x30, 3, 0, 0]);
    let payload = [9; 50];
    for (sending, receiving) in pairs() {
        for suite in Suite::ALL {
            let packet = protect(&mut sender(sending, suite), &header, &payload).unwrap();
            assert_eq!(packet[..header.len()], header);
            assert_ne!(packet[header.len()..header.len() + 50], payload);
            let plain = unprotect(&mut receiver(receiving, suite), &packet).unwrap();
            assert_eq!(plain, [&header[..], &payload].concat());
        }
    }
}

#[test]
fn malformed_headers_are_refused() {
    for &backend in BACKENDS {
        let suite = Suite::AeadAes128Gcm;
        let mut receiver = receiver(backend, suite);
        let mut packet = [0x80; 60];
        packet[0] = 0x40;
        assert_eq!(receiver.unprotect_rtp(&mut packet), Err(SrtpError::NotRtp));
        assert_eq!(receiver.unprotect_rtcp(&mut packet), Err(SrtpError::NotRtp));
        // An extension of 0x8080 words.
        packet[0] = 0x90;
        assert_eq!(receiver.unprotect_rtp(&mut packet), Err(SrtpError::TooShort(60)));
        assert_eq!(receiver.unprotect_rtp(&mut []), Err(SrtpError::TooShort(0)));
        packet[0] = 0x80;
        assert_eq!(receiver.unprotect_rtp(&mut packet[..27]), Err(SrtpError::TooShort(27)));
        assert_eq!(receiver.unprotect_rtcp(&mut packet[..27]), Err(SrtpError::TooShort(27)));
    }
}

#[test]
fn rtcp_must_be_encrypted() {
    for &backend in BACKENDS {
        for suite in Suite::ALL {
            let rtcp = [0x80, 201, 0, 1, 0, 0, 0, 7];
            let mut packet = protect_rtcp(&mut sender(backend, suite), &rtcp).unwrap();
            let index = if suite.is_gcm() { packet.len() - 4 } else { 8 };
            packet[index] &= 0x7f;
            let result = unprotect_rtcp(&mut receiver(backend, suite), &packet);
            assert_eq!(result, Err(SrtpError::NotEncrypted), "{backend:?} {suite}");
        }
    }
}

/// A sender that goes back further than any receiver would accept might come upon a nonce that it has used.
#[test]
fn a_sender_does_not_go_far_back() {
    for &backend in BACKENDS {
        let mut sender = sender(backend, Suite::AeadAes256Gcm);
        protect(&mut sender, &rtp_header(5000, 1), b"x").unwrap();
        protect(&mut sender, &rtp_header(5000 - 1023, 1), b"x").unwrap();
        assert_eq!(protect(&mut sender, &rtp_header(5000 - 1024, 1), b"x"), Err(SrtpError::TooOld));
        protect(&mut sender, &rtp_header(5001, 1), b"x").unwrap();
    }
}

/// Two wraps of the sequence number: the roll-over counter is part of what is authenticated.
#[test]
fn roll_over() {
    for (sending, receiving) in pairs() {
        for suite in Suite::ALL {
            let mut sender = sender(sending, suite);
            let mut receiver = receiver(receiving, suite);
            let mut sequence = 65_000_u16;
            for _ in 0..200 {
                let header = rtp_header(sequence, 1);
                let packet = protect(&mut sender, &header, b"media").unwrap();
                assert_eq!(unprotect(&mut receiver, &packet), Ok([&header[..], b"media"].concat()), "{sequence}");
                sequence = sequence.wrapping_add(700);
            }
        }
    }
}

/// Streams that a peer makes up are bounded, and forged packets make none at all.
#[test]
fn received_streams_are_bounded() {
    let suite = Suite::AeadAes128Gcm;
    let limit = MAX_RECEIVED_STREAMS as u32;
    for &backend in BACKENDS {
        let mut sender = sender(Backend::Evp, suite);
        let mut receiver = receiver(backend, suite);
        let rtcp = |ssrc: u32| [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat();
        for ssrc in 0..=limit {
            let packet = protect(&mut sender, &rtp_header(1, ssrc), b"payload").unwrap();
            let report = protect_rtcp(&mut sender, &rtcp(ssrc)).unwrap();
            let results = (unprotect(&mut receiver, &packet), unprotect_rtcp(&mut receiver, &report));
            if ssrc == limit {
                assert_eq!(results, (Err(SrtpError::TooManyStreams), Err(SrtpError::TooManyStreams)), "{backend:?}");
                continue;
            }
            assert!(results.0.is_ok() && results.1.is_ok(), "{backend:?}, stream {ssrc}: {results:?}");
            if ssrc + 1 < limit {
                let mut forged = protect(&mut sender, &rtp_header(1, ssrc + limit), b"payload").unwrap();
                let mut forged_report = protect_rtcp(&mut sender, &rtcp(ssrc + limit)).unwrap();
                for packet in [&mut forged, &mut forged_report] {
                    // A byte of the tag.
                    let at = packet.len() - 6;
                    packet[at] ^= 1;
                }
                assert_eq!(unprotect(&mut receiver, &forged), Err(SrtpError::AuthenticationFailed));
                assert_eq!(unprotect_rtcp(&mut receiver, &forged_report), Err(SrtpError::AuthenticationFailed));
            }
        }
        let known = protect(&mut sender, &rtp_header(2, 0), b"payload").unwrap();
        assert!(unprotect(&mut receiver, &known).is_ok(), "{backend:?}: a known stream goes on");
    }
}

#[test]
fn sent_streams_are_bounded() {
    let suite = Suite::AeadAes128Gcm;
    let mut sender = sender(Backend::Evp, suite);
    for ssrc in 0..MAX_SENT_STREAMS as u32 {
        protect(&mut sender, &rtp_header(1, ssrc), b"").unwrap();
    }
    assert_eq!(protect(&mut sender, &rtp_header(1, u32::MAX), b""), Err(SrtpError::TooManyStreams));
    protect(&mut sender, &rtp_header(2, 0), b"").unwrap();
}

/// The replay window of SRTCP, whose width is a known difference.
#[test]
fn an_old_rtcp_packet_is_refused() {
    let suite = Suite::AeadAes128Gcm;
    for &backend in BACKENDS {
        let window = if backend == Backend::Evp { 1024 } else { 128 };
        let mut sender = sender(Backend::Evp, suite);
        let mut receiver = receiver(backend, suite);
        let rtcp = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let packets: Vec<_> = (0..=window).map(|_| protect_rtcp(&mut sender, &rtcp).unwrap()).collect();
        unprotect_rtcp(&mut receiver, &packets[window]).unwrap();
        unprotect_rtcp(&mut receiver, &packets[1]).unwrap();
        assert_eq!(unprotect_rtcp(&mut receiver, &packets[0]), Err(SrtpError::TooOld), "{backend:?}");
    }
}

/// A step of a random session.
#[derive(Debug, Clone)]
enum Step {
    /// Send the packet this far from the last, with this payload, and deliver it.
    Send { stream: bool, ahead: i32, payload: Vec<u8> },
    /// Deliver a packet that was sent before once more.
    Replay { which: prop::sample::Index },
    /// Deliver a packet that was sent before with a bit changed.
    Corrupt { which: prop::sample::Index, bit: prop::sample::Index },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), prop_oneof![Just(1), -40..40, -1100..3000_i32, 20_000..30_000, 32_767..=32_768], prop::collection::vec(any::<u8>(), 0..100))
            .prop_map(|(stream, ahead, payload)| Step::Send { stream, ahead, payload }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Replay { which }),
        1 => (any::<prop::sample::Index>(), any::<prop::sample::Index>())
            .prop_map(|(which, bit)| Step::Corrupt { which, bit }),
    ]
}

fn suite() -> impl Strategy<Value = Suite> {
    prop::sample::select(Suite::ALL.to_vec())
}

proptest! {
    /// All backends make the same bytes of the same packets, and judge every packet alike: reordered, replayed, damaged.
    #[test]
    fn backends_agree_on_rtp(suite in suite(), start in 3000..60_000_u16, steps in prop::collection::vec(step(), 1..60)) {
        let mut senders: Vec<_> = BACKENDS.iter().map(|&backend| sender(backend, suite)).collect();
        let mut receivers: Vec<_> = BACKENDS.iter().map(|&backend| receiver(backend, suite)).collect();
        let mut sequences = [start; 2];
        let mut sent: Vec<Vec<u8>> = Vec::new();
        // Both streams begin well above 0: what comes before their first packet the backends take differently.
        let first = [false, true].map(|stream| Step::Send { stream, ahead: 0, payload: vec![] });
        let steps = first.into_iter().chain(steps);
        for step in steps {
            let (packet, plain) = match step {
                Step::Send { stream, ahead, payload } => {
                    let sequence = sequences[usize::from(stream)].wrapping_add_signed(ahead as i16);
                    let header = rtp_header(sequence, 1000 + u32::from(stream));
                    let results: Vec<_> =
                        senders.iter_mut().map(|sender| protect(sender, &header, &payload)).collect();
                    prop_assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
                    let Ok(packet) = results[0].clone() else { continue };
                    if ahead > 0 {
                        sequences[usize::from(stream)] = sequence;
                    }
                    sent.push(packet.clone());
                    (packet, Some([&header[..], &payload].concat()))
                }
                Step::Replay { which } if !sent.is_empty() => (which.get(&sent).clone(), None),
                Step::Corrupt { which, bit } if !sent.is_empty() => {
                    let mut packet = which.get(&sent).clone();
                    let bit = bit.index(packet.len() * 8);
                    packet[bit / 8] ^= 1 << (bit % 8);
                    (packet, None)
                }
                _ => continue,
            };
            let results: Vec<_> = receivers.iter_mut().map(|receiver| unprotect(receiver, &packet)).collect();
            // On a packet with several faults the backends may name different ones.
            let accepted: Vec<_> = results.iter().map(|result| result.clone().ok()).collect();
            prop_assert!(accepted.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
            match (plain, &results[0]) {
                (Some(plain), Ok(got)) => prop_assert_eq!(&plain, got),
                (Some(_), Err(error)) => prop_assert!(matches!(error, SrtpError::Replayed | SrtpError::TooOld), "{error}"),
                (None, result) => prop_assert!(result.is_err()),
            }
        }
    }

    /// What any backend sends any other reads, once; damaged packets nobody does.
    #[test]
    fn backends_agree_on_rtcp(
        suite in suite(),
        bodies in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..40), 1..20),
        order in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        for (sending, receiving) in pairs() {
            let mut sender = sender(sending, suite);
            let mut receiver = receiver(receiving, suite);
            let mut packets: Vec<(Vec<u8>, Vec<u8>)> = bodies.iter().map(|body| {
                let mut plain = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
                plain.extend(body.iter().flat_map(|word| word.to_be_bytes()));
                let packet = protect_rtcp(&mut sender, &plain).unwrap();
                (plain, packet)
            }).collect();
            let len = packets.len();
            packets.rotate_left(order.index(len));
            for (plain, packet) in &packets {
                prop_assert_eq!(packet.len(), plain.len() + 4 + suite.rtcp_tag_len());
                let mut damaged = packet.clone();
                let bit = bit.index(packet.len() * 8);
                damaged[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(unprotect_rtcp(&mut receiver, &damaged).is_err());
                prop_assert_eq!(unprotect_rtcp(&mut receiver, packet), Ok(plain.clone()));
                prop_assert_eq!(unprotect_rtcp(&mut receiver, packet), Err(SrtpError::Replayed));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(suite in suite(), bytes in prop::collection::vec(any::<u8>(), 0..200), header_len in 0..220_usize) {
        for &backend in BACKENDS {
            let mut receiver = receiver(backend, suite);
            prop_assert!(receiver.unprotect_rtp(&mut bytes.clone()).is_err());
            prop_assert!(receiver.unprotect_rtcp(&mut bytes.clone()).is_err());
            let mut sender = sender(backend, suite);
            let _ = sender.protect_rtp(&mut bytes.clone(), header_len, &bytes);
            let _ = sender.protect_rtcp(&mut bytes.clone());
        }
    }
}
