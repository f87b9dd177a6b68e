//! A WebRtcTransport and a peer made of this project's own protocols: ICE, DTLS, SRTP, and what an attacker may try.

mod common;

use std::time::{Duration, Instant};

use common::media::*;
use common::webrtc::*;
use serde_json::{Value, json};
use sfu_proto::dtls::{Certificate, State};
use sfu_proto::srtp::{Backend, Receiver, Sender};
use sfu_proto::stun::{Class, Message};

#[test]
fn ice_then_dtls_then_media_with_every_state_notified() {
    let (mut worker, dump, to) = transport(json!({}));
    let peer = Peer::new();
    let certificate = Certificate::generate().unwrap();
    let answer = worker.ask("transport.connect", "t", connect_parameters(&certificate));
    assert_eq!(answer["dtlsLocalRole"], "server");

    nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);
    let states = [worker.notification("icestatechange"), worker.notification("iceselectedtuplechange")];
    assert_eq!(states[0]["targetId"], "t");
    assert_eq!(states[1]["data"]["iceSelectedTuple"]["remotePort"], json!(peer.address().port()));

    let keys = shake_hands(&mut Udp { peer: &peer, to }, &certificate, &dump["dtlsParameters"]["fingerprints"]);
    assert_eq!(keys.suite.name(), "AEAD_AES_256_GCM", "what the server prefers");
    let mut dtls_states = vec![worker.notification("dtlsstatechange")];
    while dtls_states.last().unwrap()["data"]["dtlsState"] != "connected" {
        dtls_states.push(worker.notification("dtlsstatechange"));
    }
    let remote = text(&dtls_states.last().unwrap()["data"], "dtlsRemoteCert").to_owned();
    assert_eq!(remote.trim(), certificate.to_pem().unwrap().trim());

    // The peer's stream, in at the browser side, out on a plain transport.
    let receiver = Peer::new();
    create_plain(&mut worker, "r", "out", json!({}));
    worker.ask("transport.connect", "out", json!({"ip": "127.0.0.1", "port": receiver.address().port()}));
    worker.ask("transport.produce", "t", produce("p"));
    worker.ask("transport.consume", "out", consume("c", "p"));
    let mut protect = Sender::new(Backend::Evp, keys.suite, &keys.local).unwrap();
    for index in 0..5_u8 {
        let mut packet = rtp(SENT_PT, index.into(), 0, SENT_SSRC, &[]);
        packet.resize(1000, 0);
        let length = protect.protect_rtp(&mut packet, 12, &vp8(index == 0, index)).unwrap();
        peer.send(to, &packet[..length]);
    }
    for index in 0..5_u8 {
        assert_eq!(payload(&receiver.receive_rtp()), vp8(index == 0, index));
    }

    // The worker's RTCP towards the peer authenticates with the worker's key, and reports on its stream.
    let mut open = Receiver::new(Backend::Evp, keys.suite, &keys.remote).unwrap();
    let report = loop {
        let mut packet = peer.receive();
        if is_rtcp(&packet) {
            let length = open.unprotect_rtcp(&mut packet).unwrap();
            packet.truncate(length);
            break packet;
        }
    };
    assert_eq!(report[0] >> 6, 2);

    let stats = &worker.ask("transport.getStats", "t", Value::Null)[0];
    assert_eq!((&stats["dtlsState"], &stats["type"]), (&json!("connected"), &json!("webrtc-transport")));
    assert!(stats["rtpBytesReceived"].as_u64() > Some(5 * 200), "{stats}");
}

#[test]
fn a_restart_gives_new_credentials_and_the_media_path_moves() {
    let (mut worker, dump, to) = transport(json!({}));
    let peer = Peer::new();
    nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);
    worker.notification("iceselectedtuplechange");

    let restarted = worker.ask("transport.restartIce", "t", Value::Null)["iceParameters"].clone();
    assert_ne!(restarted["password"], dump["iceParameters"]["password"]);
    let moved = Peer::new();
    nominate(&mut Udp { peer: &moved, to }, &restarted);
    let tuple = worker.notification("iceselectedtuplechange");
    assert_eq!(tuple["data"]["iceSelectedTuple"]["remotePort"], json!(moved.address().port()));
}

#[test]
fn a_wrong_password_makes_no_state() {
    let (mut worker, dump, to) = transport(json!({}));
    let attacker = Peer::new();
    let ice = &dump["iceParameters"];
    let mut cut = check(ice, text(ice, "password"), true);
    let flipped = cut.len() - 20;
    cut[flipped] ^= 0x80;
    attacker.send(to, &check(ice, "not-the-password-of-this-transport", true));
    attacker.send(to, &cut);
    attacker.send(to, &check(&json!({"usernameFragment": "somebodyelse"}), text(ice, "password"), true));
    // A good one from elsewhere shows that the bad ones have been handled.
    let peer = Peer::new();
    peer.send(to, &check(ice, text(ice, "password"), false));
    peer.receive();
    let answers: Vec<Vec<u8>> = {
        attacker.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 1500];
        std::iter::from_fn(|| attacker.socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())).collect()
    };
    for answer in answers {
        let answer = Message::parse(&answer).unwrap();
        assert_eq!(answer.class(), Class::ErrorResponse);
        assert_eq!(answer.error_code().unwrap().unwrap().code, 401);
    }
    let after = worker.ask("transport.dump", "t", Value::Null);
    assert_eq!(after["iceSelectedTuple"]["remotePort"], json!(peer.address().port()), "never the attacker's");
    assert_eq!(worker.notification("icestatechange")["data"]["iceState"], "connected", "by the good check alone");
}

#[test]
fn garbage_of_every_kind_is_survived_and_a_handshake_still_completes() {
    let (mut worker, dump, to) = transport(json!({}));
    let certificate = Certificate::generate().unwrap();
    worker.ask("transport.connect", "t", connect_parameters(&certificate));
    let peer = Peer::new();
    nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);

    // A fixed generator: the same bytes at each run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..2_000_u64 {
        let mut packet: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        // Each class of first byte (RFC 7983) in turn: STUN, DTLS, RTP and RTCP.
        if let Some(first) = packet.first_mut() {
            *first = [0, 22, 0x80, 0x90, 20, 1][(round % 6) as usize];
        }
        peer.send(to, &packet);
        let stranger = Peer::new();
        stranger.send(to, &packet);
        if round % 100 == 0 {
            worker.dump();
        }
    }
    while peer.socket.set_nonblocking(true).is_ok() && peer.socket.recv(&mut [0; 1500]).is_ok() {}
    peer.socket.set_nonblocking(false).unwrap();
    shake_hands(&mut Udp { peer: &peer, to }, &certificate, &dump["dtlsParameters"]["fingerprints"]);
}

#[test]
fn a_certificate_that_was_not_announced_is_refused() {
    let (mut worker, dump, to) = transport(json!({}));
    worker.ask("transport.connect", "t", connect_parameters(&Certificate::generate().unwrap()));
    let peer = Peer::new();
    nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);
    let other = Certificate::generate().unwrap();
    // The client may believe itself connected; what counts is what the worker says.
    let _ = std::panic::catch_unwind(|| {
        shake_hands(&mut Udp { peer: &peer, to }, &other, &dump["dtlsParameters"]["fingerprints"])
    });
    loop {
        let state = worker.notification("dtlsstatechange");
        match text(&state["data"], "dtlsState") {
            "connecting" => {}
            "failed" => break,
            state => panic!("{state}"),
        }
    }
}

#[test]
fn candidates_name_every_address_with_falling_priority_and_the_announced_one() {
    let (_worker, dump, _) = transport(json!({
        "listenIps": [{"ip": "127.0.0.1", "announcedIp": "203.0.113.9"}, {"ip": "::1"}],
        "enableTcp": true, "preferUdp": true,
    }));
    let candidates = dump["iceCandidates"].as_array().unwrap();
    let seen: Vec<(&str, &str)> = candidates.iter().map(|one| (text(one, "ip"), text(one, "protocol"))).collect();
    assert_eq!(seen, [("203.0.113.9", "udp"), ("203.0.113.9", "tcp"), ("::1", "udp"), ("::1", "tcp")]);
    assert_eq!(candidates[1]["tcpType"], "passive");
    // 2^24 * 64 + 2^8 * local + 255, with local 10000, 1000 more for the preferred protocol, 100 less per address.
    let priorities: Vec<u64> = candidates.iter().map(|one| one["priority"].as_u64().unwrap()).collect();
    let priority = |local: u64| (64 << 24) + (local << 8) + 255;
    assert_eq!(priorities, [priority(11_000), priority(10_000), priority(10_900), priority(9_900)]);
    assert_eq!(text(&dump["iceParameters"], "password").len(), 32);
    assert_eq!(dump["dtlsParameters"]["fingerprints"].as_array().unwrap().len(), 5);
}

/// The next state of DTLS that is neither of the first two.
fn dtls_outcome(worker: &mut common::Worker) -> String {
    loop {
        let state = text(&worker.notification("dtlsstatechange")["data"], "dtlsState").to_owned();
        if state != "connecting" {
            return state;
        }
    }
}

#[test]
fn a_peer_that_is_faster_than_connect_waits_for_it() {
    let (own, other) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    for (announced, outcome, packets) in [(&own, "connected", 1), (&other, "failed", 0)] {
        let (mut worker, dump, to) = transport(json!({}));
        let peer = Peer::new();
        worker.ask("transport.produce", "t", produce("p"));
        nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);
        let keys = shake_hands(&mut Udp { peer: &peer, to }, &own, &dump["dtlsParameters"]["fingerprints"]);

        // The handshake is done, but whose it was is not known yet: nothing comes in.
        let mut protect = Sender::new(Backend::Evp, keys.suite, &keys.local).unwrap();
        let mut send = |number: u16| {
            let mut packet = rtp(SENT_PT, number, 0, SENT_SSRC, &[]);
            packet.resize(1000, 0);
            let length = protect.protect_rtp(&mut packet, 12, &vp8(true, 1)).unwrap();
            peer.send(to, &packet[..length]);
            // The answer to a check comes after the packet.
            nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);
        };
        send(1);
        assert_eq!(worker.ask("transport.getStats", "t", Value::Null)[0]["dtlsState"], "connecting");
        assert_eq!(worker.ask("producer.getStats", "p", Value::Null), json!([]));

        worker.ask("transport.connect", "t", connect_parameters(announced));
        assert_eq!(dtls_outcome(&mut worker), outcome);
        while peer.socket.set_nonblocking(true).is_ok() && peer.socket.recv(&mut [0; 1500]).is_ok() {}
        peer.socket.set_nonblocking(false).unwrap();
        send(2);
        let stats = worker.ask("producer.getStats", "p", Value::Null);
        assert_eq!(stats[0]["packetCount"].as_u64().unwrap_or(0), packets, "{outcome}: {stats}");
    }
}

#[test]
fn the_end_of_dtls_is_told_either_way() {
    for by_peer in [true, false] {
        let (mut worker, dump, to) = transport(json!({}));
        let certificate = Certificate::generate().unwrap();
        worker.ask("transport.connect", "t", connect_parameters(&certificate));
        let peer = Peer::new();
        let mut link = Udp { peer: &peer, to };
        nominate(&mut link, &dump["iceParameters"]);
        let (mut association, _) = associate(&mut link, &certificate, &dump["dtlsParameters"]["fingerprints"]);
        assert_eq!(dtls_outcome(&mut worker), "connected");
        if by_peer {
            association.close();
            while let Some(alert) = association.poll_transmit() {
                link.send(&alert);
            }
            assert_eq!(dtls_outcome(&mut worker), "closed");
            assert_eq!(worker.ask("transport.dump", "t", Value::Null)["dtlsState"], "closed");
        } else {
            worker.ask("router.closeTransport", "r", json!({"transportId": "t"}));
            while association.state() != State::Closed {
                let datagram = link.receive();
                if (20..64).contains(&datagram[0]) {
                    association.handle_packet(Instant::now(), &datagram).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_peer_that_checks_no_more_loses_its_path_after_the_time_that_the_library_gave() {
    let (mut worker, dump, to) = transport(json!({"iceConsentTimeout": 1}));
    let peer = Peer::new();
    let start = Instant::now();
    nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);
    assert_eq!(worker.notification("icestatechange")["data"]["iceState"], "completed");
    assert_eq!(worker.notification("icestatechange")["data"]["iceState"], "disconnected");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(worker.ask("transport.dump", "t", Value::Null).get("iceSelectedTuple"), None);
    // It may come back.
    nominate(&mut Udp { peer: &peer, to }, &dump["iceParameters"]);
    assert_eq!(worker.notification("icestatechange")["data"]["iceState"], "completed");
}
