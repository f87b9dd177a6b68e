//! Packets of a connected peer with errors in them: bits flipped, bytes cut out and put in, lengths changed.
//!
//! The generator has a fixed seed, so that each run sends the same.

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use common::media::*;
use common::webrtc::*;
use common::{PATIENCE, Worker};
use serde_json::{Value, json};
use sfu_proto::dtls::Certificate;
use sfu_proto::rtcp::{
    DlrrItem, FirEntry, Ntp, ReportBlock, SenderInfo, write_bye, write_dlrr, write_fir, write_nack, write_pli,
    write_receiver_report, write_remb, write_rrtr, write_sdes_cname, write_sender_report,
};
use sfu_proto::srtp::{Backend, Sender};

/// Mutants of each packet.
const MUTANTS: usize = 400;
/// Packets between two answers of the worker, few enough for its socket's buffer to hold.
const BURST: usize = 50;

struct Mutator(u64);

impl Mutator {
    fn new() -> Mutator {
        Mutator(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// The packet with one to four errors. Those in the first bytes, where lengths and types are, are the most.
    fn mutate(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut mutant = packet.to_vec();
        for _ in 0..1 + self.below(4) {
            if mutant.len() < 2 {
                break;
            }
            let length = mutant.len();
            let within = if self.below(2) == 0 { length.min(32) } else { length };
            let place = self.below(within);
            match self.below(5) {
                0 => mutant[place] ^= 1 << self.below(8),
                1 => mutant[place] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                2 => mutant.truncate(1 + place),
                3 => drop(mutant.drain(place..(place + 1 + self.below(8)).min(length))),
                _ => mutant.insert(place, self.below(256) as u8),
            }
        }
        mutant
    }
}

/// Sends mutants of all packets, in bursts that the worker has handled before the next.
fn send_mutants(
    worker: &mut Worker,
    peer: &Peer,
    to: SocketAddr,
    packets: &[Vec<u8>],
    mut seal: impl FnMut(Vec<u8>) -> Vec<u8>,
) {
    let mut mutator = Mutator::new();
    for round in 0..MUTANTS * packets.len() {
        let mutant = mutator.mutate(&packets[round % packets.len()]);
        peer.send(to, &seal(mutant));
        if round % BURST == 0 {
            worker.dump();
        }
    }
    worker.dump();
}

/// How many bytes have come through a transport.
fn bytes_received(worker: &mut Worker, transport: &str) -> u64 {
    worker.ask("transport.getStats", transport, Value::Null)[0]["bytesReceived"].as_u64().unwrap()
}

/// Appends a packet.
type Writer<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Each kind of RTCP about the streams of the scene, one a packet, and all as one compound.
fn rtcp_packets() -> Vec<Vec<u8>> {
    let info = SenderInfo { ssrc: SENT_SSRC, ntp: Ntp(1 << 40), rtp_timestamp: 1, packet_count: 2, octet_count: 3 };
    let block =
        |ssrc| ReportBlock { ssrc, fraction_lost: 1, packets_lost: 2, highest_sequence: 3, ..ReportBlock::default() };
    let dlrr = DlrrItem { ssrc: SENT_SSRC, last_receiver_report: 1, delay: 2 };
    let writers: [Writer<'_>; 9] = [
        &|out| write_sender_report(out, &info, &[block(RECEIVED_SSRC)]),
        &|out| write_receiver_report(out, 4242, &[block(RECEIVED_SSRC), block(RECEIVED_RTX_SSRC)]),
        &|out| write_sdes_cname(out, SENT_SSRC, "somebody"),
        &|out| write_nack(out, 4242, RECEIVED_SSRC, &[1, 2, 3, 40]),
        &|out| write_pli(out, 4242, RECEIVED_SSRC),
        &|out| write_fir(out, 4242, &[FirEntry { ssrc: RECEIVED_SSRC, sequence_number: 1 }]),
        &|out| write_remb(out, 4242, 1_000_000, &[RECEIVED_SSRC]),
        &|out| {
            write_rrtr(out, 4242, Ntp(1 << 41));
            write_dlrr(out, 4242, &[dlrr]);
        },
        &|out| write_bye(out, &[SENT_SSRC]),
    ];
    let mut packets: Vec<Vec<u8>> = writers
        .iter()
        .map(|write| {
            let mut packet = Vec::new();
            write(&mut packet);
            packet
        })
        .collect();
    packets.push(packets.concat());
    packets
}

/// RTP of the scene's sender: with and without extensions, padded, with a CSRC, and on the RTX stream.
fn rtp_packets() -> Vec<Vec<u8>> {
    let plain = rtp(SENT_PT, 10, 30_000, SENT_SSRC, &vp8(true, 1));
    let mut padded = [&plain[..], &[0, 0, 0, 4]].concat();
    padded[0] |= 0x20;
    let mut contributed = [&plain[..12], &[0, 0, 0, 1], &plain[12..]].concat();
    contributed[0] |= 1;
    vec![
        rtp_with(&[(1, b"v"), (2, &[1, 2, 3])], &plain),
        rtp(SENT_RTX_PT, 1, 30_000, SENT_RTX_SSRC, &[&9_u16.to_be_bytes()[..], &vp8(false, 1)].concat()),
        plain,
        padded,
        contributed,
    ]
}

/// What the numbers of a stream's statistics may be: none negative where it counts, none not finite.
fn assert_sane(stats: &Value) {
    for stat in stats.as_array().unwrap() {
        for (name, value) in stat.as_object().unwrap() {
            if let Some(number) = value.as_f64() {
                let negative_is_right = name == "packetsLost";
                assert!(number.is_finite() && (number >= 0.0 || negative_is_right), "{name} in {stats}");
            }
            assert!(!value.is_null(), "{name} in {stats}: JSON has no other way to say that it is no number");
        }
    }
}

#[test]
fn clear_rtp_and_rtcp_with_errors() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    scene.receiver.receive_rtp();
    let rtcp = rtcp_packets();
    send_mutants(&mut scene.worker, &scene.sender, scene.inlet, &[rtp_packets(), rtcp.clone()].concat(), |packet| {
        packet
    });
    send_mutants(&mut scene.worker, &scene.receiver, scene.outlet, &rtcp, |packet| packet);

    assert!(bytes_received(&mut scene.worker, "in") > 200_000, "they have come");
    for (method, id) in [("producer.getStats", "p"), ("consumer.getStats", "c"), ("transport.getStats", "in")] {
        assert_sane(&scene.worker.ask(method, id, Value::Null));
    }
    // A new sender has the same worker to itself.
    let fresh = listens(&create_plain(&mut scene.worker, "r", "fresh", json!({"comedia": true})));
    scene.worker.ask("transport.produce", "fresh", produce("q"));
    let sender = Peer::new();
    sender.send(fresh, &rtp(SENT_PT, 1, 0, SENT_SSRC, &vp8(true, 99)));
    while scene.worker.notification("score")["targetId"] != "q" {}
}

#[test]
fn packets_of_a_connected_browser_with_errors() {
    let (mut worker, dump, to) = transport(json!({}));
    let certificate = Certificate::generate().unwrap();
    worker.ask("transport.connect", "t", connect_parameters(&certificate));
    let peer = Peer::new();
    let ice = &dump["iceParameters"];
    nominate(&mut Udp { peer: &peer, to }, ice);
    let keys = shake_hands(&mut Udp { peer: &peer, to }, &certificate, &dump["dtlsParameters"]["fingerprints"]);
    while worker.notification("dtlsstatechange")["data"]["dtlsState"] != "connected" {}
    let receiver = Peer::new();
    create_plain(&mut worker, "r", "out", json!({}));
    worker.ask("transport.connect", "out", json!({"ip": "127.0.0.1", "port": receiver.address().port()}));
    worker.ask("transport.produce", "t", produce("p"));
    worker.ask("transport.consume", "out", consume("c", "p"));

    // Errors inside what authenticates: STUN and DTLS as they are, RTP and RTCP sealed after the error.
    let checks = [check(ice, text(ice, "password"), true), check(ice, text(ice, "password"), false)];
    // A DTLS 1.2 record of application data, of an alert, and the beginning of a client's hello.
    let records = [
        [&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40][..], &[7; 40]].concat(),
        [&[21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 8, 0, 26][..], &[1; 26]].concat(),
        [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8][..], &[0xfe; 8]].concat(),
    ];
    send_mutants(&mut worker, &peer, to, &[&checks[..], &records].concat(), |packet| packet);

    let mut protect = Sender::new(Backend::Evp, keys.suite, &keys.local).unwrap();
    // Each has a number of its own, or it would be refused as a replay.
    let mut number = 0_u16;
    let mut sealed = |mut mutant: Vec<u8>| {
        number = number.wrapping_add(1);
        if mutant.len() >= 12 && !is_rtcp(&mutant) {
            mutant[2..4].copy_from_slice(&number.to_be_bytes());
        }
        let mut packet = mutant.clone();
        if is_rtcp(&packet) {
            return protect.protect_rtcp(&mut packet).map_or(mutant, |()| packet);
        }
        // The header that the mutant says it has; one that is no RTP goes as it is.
        let Ok(header) = sfu_proto::rtp::Header::parse(&mutant) else { return mutant };
        packet.resize(mutant.len() + 64, 0);
        let length = header.header_len();
        match protect.protect_rtp(&mut packet, length, &mutant[length..]) {
            Ok(length) => packet[..length].to_vec(),
            Err(_) => mutant,
        }
    };
    send_mutants(&mut worker, &peer, to, &[rtp_packets(), rtcp_packets()].concat(), &mut sealed);

    assert!(bytes_received(&mut worker, "t") > 200_000, "they have come");
    for (method, id) in [("producer.getStats", "p"), ("consumer.getStats", "c"), ("transport.getStats", "t")] {
        assert_sane(&worker.ask(method, id, Value::Null));
    }
    // The mutants changed neither the path nor the keys: what is good still goes through, once what was forwarded of the
    // mutants leaves room for it in the receiver's buffer.
    receiver.drain_rtp();
    let start = Instant::now();
    for _ in 0..2 {
        peer.send(to, &sealed(rtp(SENT_PT, 0, 0, SENT_SSRC, &vp8(true, 77))));
    }
    while payload(&receiver.receive_rtp()) != vp8(true, 77) {
        assert!(start.elapsed() < PATIENCE, "a good packet is lost");
    }
    let stat = &worker.ask("transport.getStats", "t", Value::Null)[0];
    assert_eq!((&stat["dtlsState"], &stat["iceState"]), (&json!("connected"), &json!("completed")));
}
