//! Handshakes in virtual time: pairs of our own over a seeded link that loses, delays, reorders and duplicates, and a
//! plain client of the library with settings of its own.

use super::*;
use crate::srtp::{Backend, Receiver, Sender};
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslVerifyMode};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static CERTIFICATES: LazyLock<[Certificate; 2]> =
    LazyLock::new(|| [Certificate::generate().unwrap(), Certificate::generate().unwrap()]);

/// A small deterministic random number generator (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }
}

/// What a link does to datagrams; chances in percent.
#[derive(Clone, Copy)]
struct Faults {
    loss: u64,
    duplication: u64,
    reordering: u64,
}

const GOOD: Faults = Faults { loss: 0, duplication: 0, reordering: 0 };
const DELAY: Duration = Duration::from_millis(20);

/// Two associations and the link between them.
struct Pair {
    ends: [Dtls; 2],
    events: [Vec<Event>; 2],
    faults: Faults,
    random: Random,
    start: Instant,
    now: Instant,
    /// Datagrams under way: when they arrive, a number that keeps those of one instant in order, at which end, what.
    wire: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

impl Pair {
    fn new() -> Pair {
        Pair::with(&CERTIFICATES[CLIENT], &CERTIFICATES[SERVER], MTU)
    }

    fn with(client: &Certificate, server: &Certificate, mtu: u16) -> Pair {
        let fingerprint = |certificate: &Certificate, algorithm| Some(certificate.fingerprint(algorithm).unwrap());
        let expect_server = fingerprint(server, FingerprintAlgorithm::Sha256);
        let expect_client = fingerprint(client, FingerprintAlgorithm::Sha512);
        let now = Instant::now();
        Pair {
            ends: [
                Dtls::with_mtu(client, Role::Client, expect_server, mtu).unwrap(),
                Dtls::with_mtu(server, Role::Server, expect_client, mtu).unwrap(),
            ],
            events: [Vec::new(), Vec::new()],
            faults: GOOD,
            random: Random::new(1),
            start: now,
            now,
            wire: BTreeMap::new(),
            sent: 0,
        }
    }

    fn start(&mut self) {
        for end in &mut self.ends {
            end.start(self.now);
        }
        self.collect();
    }

    /// Puts what the ends have to send on the wire, and keeps their events.
    fn collect(&mut self) {
        for end in [CLIENT, SERVER] {
            while let Some(datagram) = self.ends[end].poll_transmit() {
                let number = self.sent;
                self.sent += 1;
                if self.random.below(100) < self.faults.loss {
                    continue;
                }
                let copies = if self.random.below(100) < self.faults.duplication { 2 } else { 1 };
                for copy in 0..copies {
                    let late = self.random.below(100) < self.faults.reordering;
                    let delay = DELAY + Duration::from_millis(if late { self.random.below(150) } else { copy });
                    self.wire.insert((self.now + delay, 2 * number + copy), (1 - end, datagram.clone()));
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.events[end].push(event);
            }
        }
    }

    /// Goes to the next thing that happens and lets it happen; false when nothing will any more.
    fn step(&mut self) -> bool {
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.ends.iter().filter_map(Dtls::poll_timeout).min();
        match (arrival, timeout) {
            (Some(at), timeout) if timeout.is_none_or(|timeout| at <= timeout) => {
                self.now = at;
                let (_, (end, datagram)) = self.wire.pop_first().unwrap();
                let _ = self.ends[end].handle_packet(at, &datagram);
            }
            (_, Some(at)) => {
                self.now = at;
                for end in &mut self.ends {
                    end.handle_timeout(at);
                }
            }
            _ => return false,
        }
        self.collect();
        true
    }

    fn run(&mut self) {
        while self.step() {}
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn keys(&self, end: usize) -> &SrtpKeys {
        match &self.events[end][..] {
            [Event::Connected { keys, .. }, ..] => keys,
            events => panic!("end {end} is not connected: {events:?}"),
        }
    }

    fn assert_connected(&self) {
        assert_eq!(self.ends.each_ref().map(Dtls::state), [State::Connected; 2]);
        let (client, server) = (self.keys(CLIENT), self.keys(SERVER));
        assert_eq!(client.suite, server.suite);
        assert_eq!(client.local, server.remote);
        assert_eq!(client.remote, server.local);
        assert_ne!(client.local, client.remote);
    }
}

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

/// A client of the library with settings of its own.
struct PlainClient(SslStream<Datagrams>);

impl PlainClient {
    fn new(mtu: u32, settings: impl FnOnce(&mut SslContextBuilder)) -> PlainClient {
        let mut builder = SslContext::builder(SslMethod::dtls()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        ffi::set_clock(&mut builder);
        settings(&mut builder);
        let mut ssl = Ssl::new(&builder.build()).unwrap();
        ssl.set_connect_state();
        ssl.set_mtu(mtu).unwrap();
        PlainClient(SslStream::new(ssl, Datagrams::default()).unwrap())
    }

    /// Goes as far as it can and returns what it sends.
    fn advance(&mut self) -> Vec<Vec<u8>> {
        let _ = ffi::with_clock(Duration::ZERO, || self.0.do_handshake());
        std::iter::from_fn(|| self.0.get_mut().transmit()).collect()
    }

    /// A handshake with a server that knows our certificate as that of `CERTIFICATES[CLIENT]`.
    fn connect(&mut self) -> Vec<Event> {
        let remote = CERTIFICATES[CLIENT].fingerprint(FingerprintAlgorithm::Sha256).unwrap();
        let mut server = Dtls::new(&CERTIFICATES[SERVER], Role::Server, Some(remote)).unwrap();
        let now = Instant::now();
        server.start(now);
        for _ in 0..4 {
            for datagram in self.advance() {
                let _ = server.handle_packet(now, &datagram);
            }
            while let Some(datagram) = server.poll_transmit() {
                self.0.get_mut().receive(&datagram);
            }
        }
        std::iter::from_fn(|| server.poll_event()).collect()
    }
}

fn identify(builder: &mut SslContextBuilder) {
    let certificate = CERTIFICATES[CLIENT].to_pem().unwrap();
    let key = CERTIFICATES[CLIENT].private_key_to_pem().unwrap();
    builder.set_certificate(&openssl::x509::X509::from_pem(certificate.as_bytes()).unwrap()).unwrap();
    builder.set_private_key(&openssl::pkey::PKey::private_key_from_pem(key.as_bytes()).unwrap()).unwrap();
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
    let events = PlainClient::new(1200, identify).connect();
    assert_eq!(events, [Event::Failed(DtlsError::NoSrtpProfile)]);
}

#[test]
fn a_client_without_certificate_fails() {
    let events =
        PlainClient::new(1200, |builder| builder.set_tlsext_use_srtp("SRTP_AEAD_AES_256_GCM").unwrap()).connect();
    assert!(matches!(events[..], [Event::Failed(DtlsError::Protocol(_))]), "{events:?}");
}

/// A ClientHello of 1,200 and some 300 bytes, as Chromium's with its post-quantum key share: in either order, with each
/// datagram doubled, before and after the start.
#[test]
fn client_hello_in_either_order() {
    let mut client = PlainClient::new(1200, |builder| {
        identify(builder);
        let protocols: Vec<u8> = std::iter::repeat_n(b"\x0aabcdefghij", 120).flatten().copied().collect();
        builder.set_alpn_protos(&protocols).unwrap();
    });
    let hello = client.advance();
    assert_eq!(hello.len(), 2);
    assert_eq!(hello[0].len(), 1200);
    for order in [[0, 1], [1, 0]] {
        for started in [false, true] {
            let mut server = Dtls::new(&CERTIFICATES[SERVER], Role::Server, None).unwrap();
            let now = Instant::now();
            if started {
                server.start(now);
            }
            for part in order {
                assert_eq!(server.poll_transmit(), None);
                server.handle_packet(now, &hello[part]).unwrap();
                server.handle_packet(now, &hello[part]).unwrap();
            }
            server.start(now);
            assert!(server.poll_transmit().is_some(), "order {order:?}, started {started}");
        }
    }
}

#[test]
fn datagrams_before_the_start_are_bounded() {
    let mut server = Dtls::new(&CERTIFICATES[SERVER], Role::Server, None).unwrap();
    let now = Instant::now();
    for _ in 0..MAX_EARLY_DATAGRAMS {
        server.handle_packet(now, &[22; 20]).unwrap();
    }
    assert_eq!(server.handle_packet(now, &[22; 20]), Err(DtlsError::TooEarly));
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

#[test]
fn application_data_and_close() {
    let mut pair = Pair::new();
    pair.start();
    pair.run();
    for end in [CLIENT, SERVER] {
        pair.ends[end].send(b"hello").unwrap();
        pair.ends[end].send(&[7; MAX_RECORD_LEN]).unwrap();
        assert_eq!(pair.ends[end].send(&[]), Err(DtlsError::DataLength(0)));
        assert_eq!(pair.ends[end].send(&[0; MAX_RECORD_LEN + 1]), Err(DtlsError::DataLength(MAX_RECORD_LEN + 1)));
    }
    pair.collect();
    pair.run();
    for end in [CLIENT, SERVER] {
        assert_eq!(pair.events[end][1..], [Event::Data(b"hello".to_vec()), Event::Data(vec![7; MAX_RECORD_LEN])]);
    }

    pair.ends[CLIENT].close();
    assert_eq!(pair.ends[CLIENT].state(), State::Closed);
    assert_eq!(pair.ends[CLIENT].send(b"x"), Err(DtlsError::NotConnected));
    pair.collect();
    pair.run();
    assert_eq!(pair.events[SERVER].last(), Some(&Event::Closed));
    assert_eq!(pair.ends[SERVER].state(), State::Closed);
    assert_eq!(pair.events[CLIENT].len(), 3, "who closes hears nothing of it");
}

/// RSA certificates, as GStreamer has them, and ECDSA on P-224, as FFmpeg with GnuTLS, on either side.
#[test]
fn certificates_from_pem() {
    let rsa =
        Certificate::from_pem(include_str!("testdata/rsa.crt.pem"), include_str!("testdata/rsa.key.pem")).unwrap();
    let ec = Certificate::from_pem(include_str!("testdata/ec.crt.pem"), include_str!("testdata/ec.key.pem")).unwrap();
    let p224 =
        Certificate::from_pem(include_str!("testdata/p224.crt.pem"), include_str!("testdata/p224.key.pem")).unwrap();
    for (client, server) in [(&rsa, &ec), (&ec, &rsa), (&rsa, &rsa), (&p224, &ec), (&ec, &p224)] {
        let mut pair = Pair::with(client, server, MTU);
        pair.start();
        pair.run();
        pair.assert_connected();
    }
    assert_eq!(ec.to_pem().unwrap(), include_str!("testdata/ec.crt.pem"));
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
    let (rsa, ec_key) = (include_str!("testdata/rsa.crt.pem"), include_str!("testdata/ec.key.pem"));
    assert_eq!(refusal("", ""), "unreadable certificate: NO_START_LINE");
    assert_eq!(refusal(rsa, ""), "unreadable private key: NO_START_LINE");
    assert_eq!(refusal(rsa, ec_key), "the key is not the certificate's");

    // Nobody is asked for its passphrase.
    let encrypted = include_str!("testdata/ec.encrypted-key.pem");
    let reason = refusal(include_str!("testdata/ec.crt.pem"), encrypted);
    assert_eq!(reason, "unreadable private key: BAD_DECRYPT, ASN.1 encoding routines");

    // No cipher suite of ours signs with it.
    let reason = refusal(include_str!("testdata/ed25519.crt.pem"), include_str!("testdata/ed25519.key.pem"));
    assert_eq!(reason, "the key is neither ECDSA nor RSA");
}

#[test]
fn a_small_mtu_is_refused() {
    let error = Dtls::with_mtu(&CERTIFICATES[CLIENT], Role::Client, None, MIN_MTU - 1).unwrap_err();
    assert_eq!(error, DtlsError::Mtu(227));
}

/// As `openssl x509 -fingerprint` prints them.
#[test]
fn fingerprints_of_a_known_certificate() {
    let ec = Certificate::from_pem(include_str!("testdata/ec.crt.pem"), include_str!("testdata/ec.key.pem")).unwrap();
    let fingerprints: Vec<_> = ec.fingerprints().unwrap().iter().map(Fingerprint::to_string).collect();
    let expected: Vec<_> = include_str!("testdata/ec.fingerprints.txt").lines().collect();
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

#[test]
fn secrets_are_not_in_debug() {
    let mut pair = Pair::new();
    pair.start();
    pair.run();
    assert_eq!(format!("{:?}", pair.keys(CLIENT)), "SrtpKeys { suite: AeadAes256Gcm, .. }");
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

    #[test]
    fn arbitrary_fingerprints_never_panic(algorithm in ".*", value in ".*") {
        prop_assert!(Fingerprint::parse(&algorithm, &value).is_err());
        let _ = Fingerprint::parse("sha-256", &value);
    }
}
