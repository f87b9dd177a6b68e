//! A WebRtcTransport over TCP: the same peer as over UDP, in frames (RFC 4571), and what strangers may do to the listener.

mod common;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use common::Worker;
use common::media::*;
use common::webrtc::*;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sfu_proto::dtls::Certificate;
use sfu_proto::srtp::{Backend, Sender};

/// A transport that listens for TCP only.
fn tcp_transport() -> (Worker, Value, SocketAddr) {
    transport(json!({"enableUdp": false, "enableTcp": true}))
}

#[test]
fn ice_dtls_and_media_over_tcp() {
    let (mut worker, dump, to) = tcp_transport();
    let certificate = Certificate::generate().unwrap();
    worker.ask("transport.connect", "t", connect_parameters(&certificate));
    let mut link = Tcp::connect(to);
    nominate(&mut link, &dump["iceParameters"]);
    let tuple = worker.notification("iceselectedtuplechange")["data"]["iceSelectedTuple"].clone();
    assert_eq!((&tuple["protocol"], &tuple["remotePort"]), (&json!("tcp"), &json!(link.local().port())));

    let keys = shake_hands(&mut link, &certificate, &dump["dtlsParameters"]["fingerprints"]);
    let receiver = Peer::new();
    create_plain(&mut worker, "r", "out", json!({}));
    worker.ask("transport.connect", "out", json!({"ip": "127.0.0.1", "port": receiver.address().port()}));
    worker.ask("transport.produce", "t", produce("p"));
    worker.ask("transport.consume", "out", consume("c", "p"));

    // Ten packets as one run of bytes, in pieces that end in a frame, in a length, and between frames.
    let mut protect = Sender::new(Backend::Evp, keys.suite, &keys.local).unwrap();
    let mut bytes = Vec::new();
    for index in 0..10_u8 {
        let mut packet = rtp(SENT_PT, index.into(), 0, SENT_SSRC, &[]);
        packet.resize(1000, 0);
        let length = protect.protect_rtp(&mut packet, 12, &vp8(index == 0, index)).unwrap();
        bytes.extend_from_slice(&frame(&packet[..length]));
    }
    let frame_length = bytes.len() / 10;
    let mut sent = 0;
    for end in [1, 2, 100, frame_length, frame_length + 1, 3 * frame_length + 50, bytes.len()] {
        link.send_bytes(&bytes[sent..end]);
        sent = end;
        // An answer lies between, so that the worker has read each piece by itself.
        worker.dump();
    }
    for index in 0..10_u8 {
        assert_eq!(payload(&receiver.receive_rtp()), vp8(index == 0, index));
    }
    assert_eq!(worker.ask("producer.getStats", "p", Value::Null)[0]["packetCount"], 10);
}

#[test]
fn media_leaves_over_tcp_in_frames() {
    let (mut worker, dump, to) = tcp_transport();
    let certificate = Certificate::generate().unwrap();
    worker.ask("transport.connect", "t", connect_parameters(&certificate));
    let mut link = Tcp::connect(to);
    nominate(&mut link, &dump["iceParameters"]);
    let keys = shake_hands(&mut link, &certificate, &dump["dtlsParameters"]["fingerprints"]);
    while worker.notification("dtlsstatechange")["data"]["dtlsState"] != "connected" {}

    let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
    worker.ask("transport.produce", "in", produce("p"));
    worker.ask("transport.consume", "t", consume("c", "p"));
    let sender = Peer::new();
    for index in 0..10_u8 {
        sender.send(inlet, &rtp(SENT_PT, index.into(), 0, SENT_SSRC, &vp8(index == 0, index)));
    }
    let mut open = sfu_proto::srtp::Receiver::new(Backend::Evp, keys.suite, &keys.remote).unwrap();
    for index in 0..10_u8 {
        let mut packet = loop {
            let packet = link.receive();
            if packet[0] >> 6 == 2 && !is_rtcp(&packet) {
                break packet;
            }
        };
        let length = open.unprotect_rtp(&mut packet).unwrap();
        assert_eq!(payload(&packet[..length]), vp8(index == 0, index));
    }
}

#[test]
fn frames_that_say_nothing_and_lengths_without_end_are_survived() {
    let (mut worker, dump, to) = tcp_transport();
    let ice = &dump["iceParameters"];
    let mut link = Tcp::connect(to);
    // Empty frames, frames of one byte and of noise; then checks, two in one segment.
    link.send_bytes(&[0, 0, 0, 0, 0, 1, 0x80, 0, 3, 22, 0xfe, 0xfd]);
    link.send_bytes(&frame(&[0xff; 60_000]));
    let good = frame(&check(ice, text(ice, "password"), true));
    link.send_bytes(&[&good[..], &good].concat());
    expect_success(&mut link, ice);
    expect_success(&mut link, ice);

    // A frame that is announced as longest and never comes: others are served, and its end is the connection's.
    let mut endless = Tcp::connect(to);
    endless.send_bytes(&[0xff, 0xff]);
    endless.send_bytes(&[0; 1000]);
    let mut other = Tcp::connect(to);
    nominate(&mut other, ice);
    drop(endless);
    worker.dump();
}

#[test]
fn a_closed_connection_is_no_path_any_more() {
    let (mut worker, dump, to) = tcp_transport();
    let ice = &dump["iceParameters"];
    let mut first = Tcp::connect(to);
    nominate(&mut first, ice);
    let mut second = Tcp::connect(to);
    nominate(&mut second, ice);
    for link in [&first, &second] {
        let tuple = worker.notification("iceselectedtuplechange");
        assert_eq!(tuple["data"]["iceSelectedTuple"]["remotePort"], json!(link.local().port()));
    }
    assert_eq!(worker.notification("icestatechange")["data"]["iceState"], "completed");

    let remaining = first.local().port();
    drop(second);
    let tuple = worker.notification("iceselectedtuplechange");
    assert_eq!(tuple["data"]["iceSelectedTuple"]["remotePort"], json!(remaining), "the other one takes its place");
    drop(first);
    assert_eq!(worker.notification("icestatechange")["data"]["iceState"], "disconnected");
    let after = worker.ask("transport.dump", "t", Value::Null);
    assert_eq!(after.get("iceSelectedTuple"), None, "{after}");
}

#[test]
fn connections_beyond_the_bound_are_closed_and_those_closed_make_room() {
    let (mut worker, dump, to) = tcp_transport();
    let ice = &dump["iceParameters"];
    let mut idle: Vec<Tcp> = (0..32).map(|_| Tcp::connect(to)).collect();
    // They are accepted in the order in which they came, so the next one is too many.
    Tcp::connect(to).wait_for_end();
    // One among those that are in is the peer's.
    nominate(&mut idle[17], ice);

    idle.truncate(31);
    // Its end and the next connection are told by two sockets: ask until the worker has seen the first.
    let start = Instant::now();
    loop {
        let mut link = Tcp::connect(to);
        link.send(&check(ice, text(ice, "password"), false));
        let mut answer = [0; 2];
        link.stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        if matches!(std::io::Read::read(&mut link.stream, &mut answer), Ok(2)) {
            break;
        }
        assert!(start.elapsed() < common::PATIENCE, "no room though a connection has ended");
    }
    worker.dump();
}

/// Sets how many descriptors the worker may have.
fn limit_descriptors(worker: &Worker, limit: u64) {
    let status = Command::new("prlimit")
        .args([format!("--pid={}", worker.child.id()), format!("--nofile={limit}:")])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn without_descriptors_the_loop_does_not_spin_and_connections_wait() {
    let (mut worker, dump, to) = tcp_transport();
    worker.ask("worker.updateSettings", "undefined", json!({"logLevel": "warn", "logTags": ["ice"]}));
    let in_use = std::fs::read_dir(format!("/proc/{}/fd", worker.child.id())).unwrap().count() as u64;
    limit_descriptors(&worker, in_use);
    let start = Instant::now();
    // Numbers that are free below the limit may go to the first ones.
    let mut links: Vec<Tcp> = (0..10).map(|_| Tcp::connect(to)).collect();
    // Each answer is a turn of the loop at least, and a spinning loop would complain in each.
    for _ in 0..200 {
        worker.dump();
    }
    let complaints = worker.log.iter().filter(|line| line.contains("cannot accept")).count();
    let pauses = start.elapsed().as_millis() as usize / 500;
    assert!((1..=1 + pauses).contains(&complaints), "{complaints} in {:?}", start.elapsed());

    limit_descriptors(&worker, in_use + 20);
    nominate(&mut links[9], &dump["iceParameters"]);
}

#[test]
fn a_connection_that_comes_as_another_is_given_up_does_not_go_with_it() {
    let (mut worker, dump, to) = tcp_transport();
    let ice = &dump["iceParameters"];
    // As many valid tuples as there may be; the first is the one without a check for longest.
    let mut valid: Vec<Tcp> = (0..8).map(|_| Tcp::connect(to)).collect();
    for link in &mut valid {
        nominate(link, ice);
    }
    let mut late = Tcp::connect(to);
    // Only once it is accepted can what it sends come before other things.
    late.send(&[0]);
    worker.dump();

    // All of this waits for one turn of the worker.
    worker.signal(Signal::SIGSTOP);
    worker.wait_for_state('T');
    // The ninth tuple takes the place of the first one, whose connection is closed,
    late.send(&check(ice, text(ice, "password"), false));
    // while the worker reads more from that one than a batch holds;
    valid[0].send_bytes(&frame(&[0xff]).repeat(200));
    // and in the same turn comes a connection that takes its place in the table.
    let mut newcomer = Tcp::connect(to);
    worker.signal(Signal::SIGCONT);

    valid[0].wait_for_end();
    expect_success(&mut late, ice);
    nominate(&mut newcomer, ice);
}
