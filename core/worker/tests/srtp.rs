//! SRTP over plain transports: in and out, every suite, and what must not get through, with each implementation that the
//! worker was built with. The peer's is always the project's own.

mod common;

use common::Worker;
use common::media::*;
use openssl::base64;
use serde_json::{Value, json};
use sfu_proto::srtp::{Backend, Receiver, Sender, Suite};

/// A sender's key, in the form that `connect` takes.
fn key(suite: Suite, seed: u8) -> Vec<u8> {
    (0..suite.key_and_salt_len()).map(|index| seed.wrapping_add(index as u8)).collect()
}

/// The names of the implementations, as `--srtpBackend` takes them.
const BACKENDS: &[&str] = if cfg!(feature = "libsrtp") { &["evp", "libsrtp2"] } else { &["evp"] };

/// Each implementation with each suite.
fn every_case() -> impl Iterator<Item = (&'static str, Suite)> {
    BACKENDS.iter().flat_map(|backend| Suite::ALL.into_iter().map(move |suite| (*backend, suite)))
}

struct Scene {
    worker: Worker,
    sender: Peer,
    receiver: Peer,
    inlet: std::net::SocketAddr,
    outlet: std::net::SocketAddr,
    /// Protects what the sender sends.
    protect: Sender,
    /// Opens what the receiver receives.
    open: Receiver,
    /// Protects what the receiver says.
    feedback: Sender,
}

impl Scene {
    fn new(backend: &str, suite: Suite) -> Scene {
        let mut worker = Worker::start_with(&[&format!("--srtpBackend={backend}")]);
        worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
        let secure = json!({"enableSrtp": true, "srtpCryptoSuite": suite.name()});
        let mut comedia = secure.clone();
        merge(&mut comedia, json!({"comedia": true}));
        let inlet = listens(&create_plain(&mut worker, "r", "in", comedia));
        let out = create_plain(&mut worker, "r", "out", secure);

        let sender_key = key(suite, 1);
        let parameters = |key: &[u8]| json!({"cryptoSuite": suite.name(), "keyBase64": base64::encode_block(key)});
        worker.ask("transport.connect", "in", json!({"srtpParameters": parameters(&sender_key)}));
        let receiver = Peer::new();
        let answer = worker.ask(
            "transport.connect",
            "out",
            json!({"ip": "127.0.0.1", "port": receiver.address().port(), "srtpParameters": parameters(&key(suite, 77))}),
        );
        assert_eq!(answer["srtpParameters"], out["srtpParameters"]);
        let worker_key = base64::decode_block(answer["srtpParameters"]["keyBase64"].as_str().unwrap()).unwrap();
        worker.ask("transport.produce", "in", produce("p"));
        worker.ask("transport.consume", "out", consume("c", "p"));
        Scene {
            worker,
            sender: Peer::new(),
            receiver,
            inlet,
            outlet: listens(&out),
            protect: Sender::new(Backend::Evp, suite, &sender_key).unwrap(),
            open: Receiver::new(Backend::Evp, suite, &worker_key[..suite.key_and_salt_len()]).unwrap(),
            feedback: Sender::new(Backend::Evp, suite, &key(suite, 77)).unwrap(),
        }
    }

    fn protected(&mut self, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = rtp(SENT_PT, sequence, 0, SENT_SSRC, &[]);
        packet.resize(2000, 0);
        let length = self.protect.protect_rtp(&mut packet, 12, payload).unwrap();
        packet.truncate(length);
        packet
    }

    /// The next RTP packet at the receiver, opened.
    fn receive(&mut self) -> Vec<u8> {
        let mut packet = self.receiver.receive_rtp();
        let length = self.open.unprotect_rtp(&mut packet).expect("the worker's packet authenticates");
        packet.truncate(length);
        packet
    }
}

#[test]
fn every_suite_in_and_out() {
    for (backend, suite) in every_case() {
        let mut scene = Scene::new(backend, suite);
        for index in 0..20_u8 {
            let packet = scene.protected(u16::from(index), &vp8(index == 0, index));
            scene.sender.send(scene.inlet, &packet);
        }
        for index in 0..20_u8 {
            let packet = scene.receive();
            assert_eq!(payload(&packet), vp8(index == 0, index), "{backend} {suite:?}");
        }
    }
}

#[test]
fn replays_forgeries_and_clear_packets_go_nowhere() {
    for (backend, suite) in every_case() {
        let mut scene = Scene::new(backend, suite);
        let first = scene.protected(1, &vp8(true, 1));
        let mut forged = scene.protected(2, &vp8(false, 66));
        let third = scene.protected(3, &vp8(false, 3));
        *forged.last_mut().unwrap() ^= 1;
        for packet in [&first, &first, &forged, &rtp(SENT_PT, 4, 0, SENT_SSRC, &vp8(true, 67)), &first, &third] {
            scene.sender.send(scene.inlet, packet);
        }
        assert_eq!(payload(&scene.receive()), vp8(true, 1), "{backend} {suite:?}");
        assert_eq!(payload(&scene.receive()), vp8(false, 3), "{backend} {suite:?}");
        assert_eq!(scene.worker.ask("producer.getStats", "p", Value::Null)[0]["packetCount"], 2, "{backend} {suite:?}");
    }
}

#[test]
fn no_nonce_is_used_twice_when_an_ssrc_comes_again() {
    for (backend, suite) in every_case() {
        let mut scene = Scene::new(backend, suite);
        let mut sent = Vec::new();
        for round in 0..3_u8 {
            if round > 0 {
                scene.worker.ask("transport.closeConsumer", "out", json!({"consumerId": "c"}));
                scene.worker.ask("transport.consume", "out", consume("c", "p"));
            }
            for index in 0..4_u8 {
                let packet = scene.protected(u16::from(10 * round + index), &vp8(index == 0, 10 * round + index));
                scene.sender.send(scene.inlet, &packet);
                // The receiver refuses a number that it has seen before, as a browser does.
                let packet = scene.receive();
                assert_eq!(payload(&packet), vp8(index == 0, 10 * round + index), "{backend} {suite:?}");
                sent.push((ssrc(&packet), sequence(&packet)));
            }
            // The same holds for the RTX stream: what is sent again goes out under a number of its own.
            let mut nack = nack(RECEIVED_SSRC, sent.last().unwrap().1);
            scene.feedback.protect_rtcp(&mut nack).unwrap();
            scene.receiver.send(scene.outlet, &nack);
            let packet = scene.receive();
            assert_eq!(payload_type(&packet), RTX_PT);
            sent.push((ssrc(&packet), sequence(&packet)));
        }
        let numbers = |wanted: u32| sent.iter().filter(move |(ssrc, _)| *ssrc == wanted).map(|(_, number)| *number);
        assert!(numbers(RECEIVED_SSRC).eq(1..=12), "{backend} {suite:?}: {sent:?}");
        let first = numbers(RECEIVED_RTX_SSRC).next().unwrap();
        assert!(numbers(RECEIVED_RTX_SSRC).eq(first..first + 3), "{backend} {suite:?}: {sent:?}");
    }
}

#[test]
fn connect_refuses_wrong_keys_and_changes_nothing() {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let options = json!({"comedia": true, "enableSrtp": true, "srtpCryptoSuite": "AEAD_AES_256_GCM"});
    create_plain(&mut worker, "r", "t", options);
    create_plain(&mut worker, "r", "clear", json!({"comedia": true}));
    let before = worker.ask("transport.dump", "t", Value::Null);
    let good = base64::encode_block(&[1; 44]);
    for wrong in [
        json!({}),
        json!({"srtpParameters": {}}),
        json!({"srtpParameters": {"cryptoSuite": "ROT13", "keyBase64": good}}),
        json!({"srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": "AAAA"}}),
        json!({"srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": "not base64!"}}),
        json!({"srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM"}}),
    ] {
        assert_eq!(worker.refused("transport.connect", "t", wrong.clone()).class, "TypeError", "{wrong}");
        assert_eq!(worker.ask("transport.dump", "t", Value::Null), before, "{wrong}");
    }
    let unwanted = json!({"srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": good}});
    assert_eq!(worker.refused("transport.connect", "clear", unwanted.clone()).class, "TypeError");
    worker.ask("transport.connect", "t", unwanted.clone());
    assert_eq!(worker.refused("transport.connect", "t", unwanted).class, "Error", "connect() twice");
}
