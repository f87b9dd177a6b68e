//! Certificates: whose fingerprint counts, and which we take.

use super::super::*;
use super::pair::Pair;
use super::{CERTIFICATES, CLIENT, SERVER};
use proptest::prelude::*;

/// What the alert bad_certificate brings about at the peer.
fn refused_certificate() -> Event {
    Event::Failed(DtlsError::Protocol("SSLV3_ALERT_BAD_CERTIFICATE".to_owned()))
}

/// Neither side is ever connected when one of them knows the other by another fingerprint.
#[test]
fn another_certificate_fails() {
    for (judge, peer) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
        let mut pair = Pair::new();
        let other = Certificate::generate().unwrap().fingerprint(FingerprintAlgorithm::Sha256).unwrap();
        pair.ends[judge].set_remote_fingerprint(other);
        pair.start();
        pair.run();
        assert_eq!(pair.events[judge], [Event::Failed(DtlsError::FingerprintMismatch)]);
        assert_eq!(pair.events[peer], [refused_certificate()]);
        assert_eq!(pair.ends.each_ref().map(Dtls::state), [State::Failed; 2]);
        assert_eq!(pair.ends[judge].handle_packet(pair.now, &[22; 20]), Err(DtlsError::Ended(State::Failed)));
    }
}

/// Signalling may be slower than the handshake; until it has spoken nothing of the peer counts.
#[test]
fn the_fingerprint_may_come_late() {
    for right in [true, false] {
        let mut pair = Pair::new();
        let now = pair.now;
        pair.ends[SERVER] = Dtls::new(&CERTIFICATES[SERVER], Role::Server, None).unwrap();
        pair.start();
        pair.run();
        assert_eq!(pair.ends[CLIENT].state(), State::Connected);
        pair.ends[CLIENT].send(b"too early").unwrap();
        pair.collect();
        pair.run();
        assert_eq!(pair.ends[SERVER].state(), State::Connecting);
        assert_eq!(pair.events[SERVER], []);
        assert_eq!(pair.ends[SERVER].send(b"x"), Err(DtlsError::NotConnected));
        pair.ends[SERVER].handle_timeout(now + 10 * HANDSHAKE_TIMEOUT);

        let certificate = &CERTIFICATES[if right { CLIENT } else { SERVER }];
        pair.ends[SERVER].set_remote_fingerprint(certificate.fingerprint(FingerprintAlgorithm::Sha1).unwrap());
        pair.collect();
        if right {
            pair.assert_connected();
        } else {
            assert_eq!(pair.events[SERVER], [Event::Failed(DtlsError::FingerprintMismatch)]);
            pair.run();
            assert_eq!(pair.events[CLIENT][1..], [refused_certificate()]);
        }
    }
}

/// RSA certificates, as GStreamer has them, and ECDSA on P-224, as FFmpeg with GnuTLS, on either side.
#[test]
fn certificates_from_pem() {
    let rsa = Certificate::from_pem(include_str!("../testdata/rsa.crt.pem"), include_str!("../testdata/rsa.key.pem"))
        .unwrap();
    let ec =
        Certificate::from_pem(include_str!("../testdata/ec.crt.pem"), include_str!("../testdata/ec.key.pem")).unwrap();
    let p224 =
        Certificate::from_pem(include_str!("../testdata/p224.crt.pem"), include_str!("../testdata/p224.key.pem"))
            .unwrap();
    for (client, server) in [(&rsa, &ec), (&ec, &rsa), (&rsa, &rsa), (&p224, &ec), (&ec, &p224)] {
        let mut pair = Pair::with(client, server, MTU);
        pair.start();
        pair.run();
        pair.assert_connected();
    }
    assert_eq!(ec.to_pem().unwrap(), include_str!("../testdata/ec.crt.pem"));
    assert!(!format!("{ec:?}").contains("key"));
}

fn refusal(certificate: &str, key: &str) -> String {
    match Certificate::from_pem(certificate, key) {
        Err(DtlsError::Certificate(reason)) => reason,
        result => panic!("{result:?}"),
    }
}

/// The reasons, in the library's words, have no place in its source with them.
#[test]
fn unusable_certificates_are_refused() {
    let (rsa, ec_key) = (include_str!("../testdata/rsa.crt.pem"), include_str!("../testdata/ec.key.pem"));
    assert_eq!(refusal("", ""), "unreadable certificate: NO_START_LINE");
    assert_eq!(refusal(rsa, ""), "unreadable private key: NO_START_LINE");
    assert_eq!(refusal(rsa, ec_key), "the key is not the certificate's");

    // Nobody is asked for its passphrase.
    let encrypted = include_str!("../testdata/ec.encrypted-key.pem");
    let reason = refusal(include_str!("../testdata/ec.crt.pem"), encrypted);
    assert_eq!(reason, "unreadable private key: BAD_DECRYPT, ASN.1 encoding routines");

    // No cipher suite of ours signs with it.
    let reason = refusal(include_str!("../testdata/ed25519.crt.pem"), include_str!("../testdata/ed25519.key.pem"));
    assert_eq!(reason, "the key is neither ECDSA nor RSA");
}

/// As `openssl x509 -fingerprint` prints them.
#[test]
fn fingerprints_of_a_known_certificate() {
    let ec =
        Certificate::from_pem(include_str!("../testdata/ec.crt.pem"), include_str!("../testdata/ec.key.pem")).unwrap();
    let fingerprints: Vec<_> = ec.fingerprints().unwrap().iter().map(Fingerprint::to_string).collect();
    let expected: Vec<_> = include_str!("../testdata/ec.fingerprints.txt").lines().collect();
    assert_eq!(fingerprints, expected);
    for fingerprint in ec.fingerprints().unwrap() {
        let (name, value) = (fingerprint.algorithm().name(), fingerprint.value());
        assert_eq!(Fingerprint::parse(name, &value), Ok(fingerprint.clone()));
        assert_eq!(Fingerprint::parse(&name.to_uppercase(), &value.to_lowercase()), Ok(fingerprint));
        assert!(Fingerprint::parse(name, &value[3..]).is_err());
        assert!(Fingerprint::parse(name, &value.replace(':', "")).is_err());
        assert!(Fingerprint::parse(name, &value.replace(':', ":+")).is_err());
    }
    assert!(Fingerprint::parse("md5", "00").is_err());
}

proptest! {
    #[test]
    fn arbitrary_fingerprints_never_panic(algorithm in ".*", value in ".*") {
        prop_assert!(Fingerprint::parse(&algorithm, &value).is_err());
        let _ = Fingerprint::parse("sha-256", &value);
    }
}
