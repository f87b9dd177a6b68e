//! Handshakes that succeed, over good links and bad ones, and those that get no answer.

use super::super::*;
use super::pair::{DELAY, Faults, Pair, Random};
use super::plain_client::{PlainClient, identify};
use super::{CERTIFICATES, CLIENT, SERVER};
use crate::srtp::{Backend, Receiver, Sender};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::SslVersion;
use openssl::x509::{X509, X509Name};

#[test]
fn handshake_makes_keys_for_srtp() {
    let mut pair = Pair::new();
    pair.start();
    pair.run();
    pair.assert_connected();
    assert_eq!(pair.keys(CLIENT).suite, Suite::AeadAes256Gcm);
    assert_eq!(pair.elapsed(), 4 * DELAY, "two round trips");
    assert_eq!(pair.ends[CLIENT].poll_timeout(), None);
    assert_eq!(pair.ends[SERVER].poll_timeout(), None);
    match &pair.events[CLIENT][..] {
        [Event::Connected { remote_certificate_pem, .. }] => {
            assert_eq!(*remote_certificate_pem, CERTIFICATES[SERVER].to_pem().unwrap());
        }
        events => panic!("{events:?}"),
    }

    for (from, to) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
        let suite = pair.keys(from).suite;
        let mut sender = Sender::new(Backend::Evp, suite, &pair.keys(from).local).unwrap();
        let mut receiver = Receiver::new(Backend::Evp, suite, &pair.keys(to).remote).unwrap();
        let mut slot = [0; 64];
        slot[0] = 0x80;
        let len = sender.protect_rtp(&mut slot, 12, b"media").unwrap();
        assert_eq!(receiver.unprotect_rtp(&mut slot[..len]), Ok(17));
        assert_eq!(&slot[12..17], b"media");
    }
}

/// Every handshake over a bad link completes, and most of them soon.
#[test]
fn handshakes_complete_over_a_bad_link() {
    let mut times = Vec::new();
    for seed in 0..200 {
        let mut pair = Pair::new();
        pair.random = Random::new(seed);
        pair.faults = Faults { loss: 20, duplication: 15, reordering: 30 };
        pair.start();
        pair.run();
        pair.assert_connected();
        times.push(pair.elapsed());
    }
    times.sort();
    assert!(times[100] < Duration::from_secs(1), "median {:?}", times[100]);
    assert!(times[199] < Duration::from_secs(15), "longest {:?}", times[199]);
}

/// Flights in many small datagrams: the certificate in four and more.
#[test]
fn fragmented_flights_are_reassembled() {
    for seed in 0..100 {
        let mut pair = Pair::with(&CERTIFICATES[CLIENT], &CERTIFICATES[SERVER], MIN_MTU);
        pair.random = Random::new(seed);
        pair.faults = Faults { loss: 8, duplication: 20, reordering: 50 };
        pair.start();
        pair.run();
        pair.assert_connected();
    }
}

/// A flight that the default MTU divides: [`Pair::collect`] asserts that no datagram is larger.
#[test]
fn a_large_certificate_is_fragmented() {
    let (large, key) = large_certificate();
    let large = Certificate::from_pem(&large, &key).unwrap();
    let mut pair = Pair::with(&large, &large, MTU);
    pair.start();
    pair.run();
    pair.assert_connected();
    assert!(large.to_pem().unwrap().len() > 2 * usize::from(MTU));
}

/// A certificate with a name of three kilobytes, and its key.
fn large_certificate() -> (String, String) {
    let key = CERTIFICATES[SERVER].private_key_to_pem().unwrap();
    let pkey = PKey::private_key_from_pem(key.as_bytes()).unwrap();
    let mut name = X509Name::builder().unwrap();
    for _ in 0..50 {
        name.append_entry_by_nid(Nid::ORGANIZATIONALUNITNAME, &"x".repeat(60)).unwrap();
    }
    let mut builder = X509::builder().unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(1 << 32).unwrap()).unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    builder.set_pubkey(&pkey).unwrap();
    builder.sign(&pkey, MessageDigest::sha256()).unwrap();
    (String::from_utf8(builder.build().to_pem().unwrap()).unwrap(), key)
}

/// The server's order of profiles decides, not the client's.
#[test]
fn the_server_chooses_the_suite() {
    let cases = [
        (
            "SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM",
            Suite::AeadAes256Gcm,
        ),
        ("SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", Suite::AeadAes128Gcm),
        ("SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80", Suite::AesCm128HmacSha1_80),
        ("SRTP_AES128_CM_SHA1_32", Suite::AesCm128HmacSha1_32),
    ];
    for (offer, expected) in cases {
        let events = PlainClient::new(1200, |builder| {
            identify(builder);
            builder.set_tlsext_use_srtp(offer).unwrap();
        })
        .connect();
        match &events[..] {
            [Event::Connected { keys, .. }] => {
                assert_eq!(keys.suite, expected);
                assert_eq!(keys.local.len(), expected.key_and_salt_len());
            }
            events => panic!("{offer}: {events:?}"),
        }
    }
}

#[test]
fn a_client_without_srtp_fails() {
    let mut client = PlainClient::new(1200, identify);
    assert_eq!(client.connect(), [Event::Failed(DtlsError::NoSrtpProfile)]);
    let told = client.stream.ssl_read(&mut [0]).unwrap_err();
    assert_eq!(stream_words(&told), "SSLV3_ALERT_HANDSHAKE_FAILURE");
}

#[test]
fn a_client_of_dtls_1_0_fails() {
    let events = PlainClient::new(1200, |builder| {
        identify(builder);
        builder.set_tlsext_use_srtp("SRTP_AES128_CM_SHA1_80").unwrap();
        builder.set_max_proto_version(Some(SslVersion::DTLS1)).unwrap();
    })
    .connect();
    assert_eq!(events, [Event::Failed(DtlsError::Protocol("UNSUPPORTED_PROTOCOL".to_owned()))]);
}

#[test]
fn a_client_without_certificate_fails() {
    let events =
        PlainClient::new(1200, |builder| builder.set_tlsext_use_srtp("SRTP_AEAD_AES_256_GCM").unwrap()).connect();
    assert!(matches!(events[..], [Event::Failed(DtlsError::Protocol(_))]), "{events:?}");
}

/// The server's last flight is lost: the client sends its own again, which must be fresh records, and the server, for
/// which the handshake is over, answers.
#[test]
fn a_lost_last_flight_is_sent_again() {
    let mut pair = Pair::new();
    pair.start();
    while pair.ends[SERVER].state() != State::Connected {
        assert!(pair.step());
    }
    // What the server has sent to complete the handshake is on the wire now.
    assert!(pair.wire.values().all(|(end, _)| *end == CLIENT));
    pair.wire.clear();
    assert_eq!(pair.ends[CLIENT].state(), State::Connecting);
    pair.run();
    pair.assert_connected();
    assert_eq!(pair.elapsed(), 2 * DELAY + RETRANSMISSION_TIMEOUT + 2 * DELAY);
}

#[test]
fn a_silent_peer_is_given_up() {
    let mut pair = Pair::new();
    pair.faults.loss = 100;
    pair.start();
    let mut times = Vec::new();
    let mut sent = pair.sent;
    while pair.step() {
        if pair.sent > sent {
            times.push(pair.elapsed().as_millis());
            sent = pair.sent;
        }
    }
    assert_eq!(times, [100, 300, 700, 1500, 3100, 6300, 12_700, 25_500]);
    assert_eq!(pair.elapsed(), HANDSHAKE_TIMEOUT);
    assert_eq!(pair.events[CLIENT], [Event::Failed(DtlsError::TimedOut)]);
    assert_eq!(pair.ends[CLIENT].state(), State::Failed);
    assert_eq!(pair.ends[SERVER].state(), State::Connecting, "a server may wait for its client as long as it likes");
}

/// A caller whose clock steps back delays the retransmission at most by that step.
#[test]
fn a_clock_may_step_back() {
    let mut client = Dtls::new(&CERTIFICATES[CLIENT], Role::Client, None).unwrap();
    let start = Instant::now() + Duration::from_secs(10);
    let earlier = start - Duration::from_secs(5);
    client.start(start);
    assert!(client.poll_transmit().is_some());
    client.handle_timeout(earlier);
    client.handle_packet(earlier, &[22; 20]).unwrap();
    assert_eq!(client.poll_transmit(), None);
    let due = client.poll_timeout().unwrap();
    assert!(due <= start + RETRANSMISSION_TIMEOUT, "{:?}", due - start);
    client.handle_timeout(start + RETRANSMISSION_TIMEOUT);
    assert!(client.poll_transmit().is_some());
}

#[test]
fn a_small_mtu_is_refused() {
    let error = Dtls::with_mtu(&CERTIFICATES[CLIENT], Role::Client, None, MIN_MTU - 1).unwrap_err();
    assert_eq!(error, DtlsError::Mtu(227));
}

#[test]
fn secrets_are_not_in_debug() {
    let mut pair = Pair::new();
    pair.start();
    pair.run();
    assert_eq!(format!("{:?}", pair.keys(CLIENT)), "SrtpKeys { suite: AeadAes256Gcm, .. }");
}
