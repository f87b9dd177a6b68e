//! What a packet costs beside its work when everything is under way: no allocation, and in bursts hardly a system call.
//!
//! Each figure is the difference between a long run and a short one, over the packets that the long one forwards more: what
//! starting and ending take is in both.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::media::*;
use common::{PATIENCE, PROGRAM, Worker};
use serde_json::json;
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};

/// Packets of a burst: a video frame.
const BURST: usize = 12;

/// Where the worker of [`counted_worker`] writes what it has counted.
const COUNT: &str = "SFU_TEST_ALLOCATIONS";

/// Bytes of a burst's packets.
const LENGTH: usize = 1_200;

/// A program that becomes a worker, and a file that it leaves. Both are removed when it is dropped.
struct Script {
    program: PathBuf,
    left: PathBuf,
}

impl Script {
    fn new(name: &str, commands: impl FnOnce(&Path) -> String) -> Script {
        let path = |what| std::env::temp_dir().join(format!("sfu-worker-{name}-{what}-{}", std::process::id()));
        let script = Script { program: path("script"), left: path("count") };
        fs::write(&script.program, format!("#!/bin/sh\n{}\n", commands(&script.left))).unwrap();
        script
    }

    /// The worker, running.
    fn start(&self) -> Worker {
        // Read by a shell, not executed: a child that another test is just starting may still have it open for writing, and the
        // kernel executes no such file (ETXTBSY).
        let mut worker = Worker::spawn("/bin/sh", &[self.program.to_str().unwrap(), "--logLevel=warn"]);
        worker.notification("running");
        worker
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        for path in [&self.program, &self.left] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Forwards so many bursts to so many consumers, each on a transport of its own, and ends the worker.
fn forward(mut worker: Worker, consumers: u32, suite: Option<(&str, usize)>, bursts: usize) {
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
    worker.ask("transport.produce", "in", produce("p"));
    let options = UdpOptions { receive_buffer: Some(1 << 22), ..UdpOptions::default() };
    let mut receiver = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    for number in 0..consumers {
        let out = format!("out{number}");
        let mut connect = json!({"ip": "127.0.0.1", "port": receiver.local_addr().port()});
        let mut options = json!({});
        if let Some((name, key_len)) = suite {
            options = json!({"enableSrtp": true, "srtpCryptoSuite": name});
            connect["srtpParameters"] = json!({"cryptoSuite": name, "keyBase64": STANDARD.encode(vec![7; key_len])});
        }
        create_plain(&mut worker, "r", &out, options);
        worker.ask("transport.connect", &out, connect);
        let mut request = consume(&format!("c{number}"), "p");
        request["rtpParameters"]["codecs"].as_array_mut().unwrap().truncate(1);
        request["rtpParameters"]["encodings"] = json!([{"ssrc": 10_000 + number}]);
        worker.ask("transport.consume", &out, request);
    }
    let poller = Poller::new().unwrap();
    poller.add(&receiver, Token(0), Interest::READ).unwrap();
    let mut events = Events::with_capacity(1);
    let mut batch = RecvBatch::new(64, 65_536);
    // As a train, so that the worker meets the whole burst at once.
    let mut sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
    for burst in 0..bursts {
        let packets: Vec<Vec<u8>> = (0..BURST)
            .map(|index| {
                let number = burst * BURST + index;
                let payload = [&vp8(number == 0, 0)[..], &[0; LENGTH]].concat();
                let mut packet = rtp(SENT_PT, number as u16, (burst * 3_000) as u32, SENT_SSRC, &payload);
                packet.truncate(LENGTH);
                packet
            })
            .collect();
        sender.send_segments(inlet, &packets.concat(), &[LENGTH as u16; BURST]);
        let deadline = Instant::now() + PATIENCE;
        let (mut missing, expected) = (BURST * consumers as usize, BURST * consumers as usize);
        while missing > 0 {
            assert!(Instant::now() < deadline, "{missing} of {expected} packets of burst {burst} didn't come");
            poller.wait(&mut events, Some(Duration::from_secs(1))).unwrap();
            batch.clear();
            receiver.recv_batch(&mut batch).unwrap();
            missing -= batch.iter().filter(|(_, packet)| !is_rtcp(packet)).count();
        }
    }
    // The end of the channel ends the worker.
    drop(worker.requests.take());
    assert!(worker.wait().success());
}

/// So much of what `count` counts is there for each packet more.
fn per_packet(consumers: u32, [short, long]: [usize; 2], mut count: impl FnMut(usize) -> u64) -> f64 {
    let counted = [short, long].map(&mut count);
    let packets = (long - short) * BURST * consumers as usize;
    (counted[1] as f64 - counted[0] as f64) / packets as f64
}

#[test]
fn a_packet_allocates_nothing() {
    for (name, suite) in
        [("plain", None), ("cm", Some(("AES_CM_128_HMAC_SHA1_80", 30))), ("gcm", Some(("AEAD_AES_256_GCM", 44)))]
    {
        let this = std::env::current_exe().unwrap();
        let script = Script::new(name, |left| {
            format!("export {COUNT}='{}'\nexec '{}' --exact counted_worker --nocapture", left.display(), this.display())
        });
        let consumers = 5;
        // The short run fills what keeps packets for retransmission.
        let allocations = per_packet(consumers, [300, 1_000], |bursts| {
            forward(script.start(), consumers, suite, bursts);
            fs::read_to_string(&script.left).unwrap().parse().unwrap()
        });
        println!("{name}: {allocations:.5} allocations a packet");
        // Reports come by the clock, a few a second.
        assert!(allocations < 0.001, "{name}: {allocations:.4} allocations a packet");
    }
}

/// As a test it does nothing. Started by a script it is a worker that counts its allocations.
#[test]
fn counted_worker() {
    let Some(count) = std::env::var_os(COUNT) else { return };
    let allocations = allocation_counter::measure(|| {
        let _ = sfu_worker::main(["--logLevel=warn".into()]);
    });
    // What is counted is counted at all.
    assert!(allocations.count_total > 100);
    fs::write(count, allocations.count_total.to_string()).unwrap();
}

#[test]
fn bursts_to_many_take_a_tenth_of_a_system_call_a_packet() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("there is no strace to count with");
        return;
    }
    // Trains are sent at all?
    let mut sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
    sender.send_segments(sender.local_addr(), &[0; 2_000], &[1_000; 2]);
    if sender.counters().trains == 0 {
        eprintln!("the kernel sends no trains");
        return;
    }
    let script = Script::new("calls", |left| format!("exec strace -f -c -o '{}' '{PROGRAM}' \"$@\"", left.display()));
    let calls = per_packet(50, [20, 120], |bursts| {
        forward(script.start(), 50, None, bursts);
        let table = fs::read_to_string(&script.left).unwrap();
        let total = table.lines().find(|line| line.trim_end().ends_with(" total")).unwrap();
        // % time, seconds, usecs/call, calls, errors, name: without errors, that column is empty.
        total.split_whitespace().nth(3).unwrap().parse().unwrap()
    });
    println!("{calls:.3} system calls a packet");
    assert!(calls <= 0.1 && calls > 0.01, "{calls:.3} system calls a packet");
}
