//! The runner against workers that do their work, and workers that don't: only the former may have results.
//!
//! The workers are this test program itself, started again by a script: [`forwarder`] is the worker's process.

use serde_json::{Value, json};
use sfu_proto::rtp;
use sfu_reactor::fd::take_fd;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

const FAULT: &str = "BENCH_FORWARDER_FAULT";

/// A script that is a worker with a fault.
struct Script(PathBuf);

impl Script {
    fn new(fault: &str) -> Self {
        let path = std::env::temp_dir().join(format!("forwarder-{fault}-{}", std::process::id()));
        let this = std::env::current_exe().unwrap();
        let text =
            format!("#!/bin/sh\nexport {FAULT}={fault}\nexec '{}' --exact forwarder --nocapture\n", this.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench-forward")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_worker_that_forwards_has_results_beside_the_control() {
    let script = Script::new("none");
    let output = std::env::temp_dir().join(format!("bench-forward-results-{}", std::process::id()));
    let result = bench(&[
        "--quick",
        "--modes=plain",
        "--worker",
        script.0.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ]);
    assert!(result.status.success(), "{}{}", text(&result.stdout), text(&result.stderr));

    let json = output.with_extension("json");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let outcomes = report["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        assert!(outcome["summary"]["packets_per_second"]["median"].as_f64().unwrap() > 1_000.0);
        assert!(outcome["summary"]["ns_full"]["median"].as_f64().unwrap() > 100.0);
        assert!(outcome["summary"]["p50"]["median"].as_f64().unwrap() > 0.0);
        assert!(outcome["runs"][0]["packets_checked"].as_u64().unwrap() > 100);
    }
    assert!(outcomes[0]["summary"]["memory"]["median"].as_f64().unwrap() > 100_000.0);
    let svg = output.with_extension("svg");
    assert!(fs::read_to_string(&svg).unwrap().contains("1 to 10"));
    fs::remove_file(json).unwrap();
    fs::remove_file(svg).unwrap();
}

#[test]
fn a_worker_that_does_other_work_has_failed() {
    for (fault, sentence) in [
        ("damages", "isn't the one that was sent"),
        ("repeats", "came out twice"),
        ("loses", "packets came out"),
        ("dies", "the worker has ended"),
        ("refuses", "refuses transport.consume: no room"),
    ] {
        let script = Script::new(fault);
        let result = bench(&["--quick", "--modes=plain", "--no-control", "--worker", script.0.to_str().unwrap()]);
        let table = text(&result.stdout);
        assert_eq!(result.status.code(), Some(1), "{fault}: {table}");
        assert!(table.contains("FAILED") && table.contains(sentence), "{fault}: {table}");
    }
}

#[test]
fn a_program_that_is_no_worker_is_said_to_be_none() {
    let result = bench(&["--quick", "--worker", "/bin/false"]);
    assert_eq!(result.status.code(), Some(1));
    assert!(text(&result.stderr).contains("no worker can be started: false: the worker has ended"));
    let result = bench(&["--quick", "--worker", "/nonexistent"]);
    assert!(text(&result.stderr).contains("there is no worker at /nonexistent"));
}

/// As a test it does nothing. Started by a [`Script`] it is a worker with just enough of the protocol.
#[test]
fn forwarder() {
    let Ok(fault) = std::env::var(FAULT) else { return };
    // Without it the program is asked for its --help.
    if std::env::var_os("MEDIASOUP_VERSION").is_none() {
        return;
    }
    let mut requests = File::from(take_fd(3).unwrap());
    let mut messages = File::from(take_fd(4).unwrap());
    let mut send = |message: Value| {
        let text = message.to_string();
        messages.write_all(&(text.len() as u32).to_ne_bytes()).unwrap();
        messages.write_all(text.as_bytes()).unwrap();
    };
    send(json!({ "event": "running", "targetId": std::process::id() }));

    let mut sockets: HashMap<String, UdpSocket> = HashMap::new();
    let mut consumers: Vec<(SocketAddr, u32)> = Vec::new();
    let mut ports: HashMap<String, SocketAddr> = HashMap::new();
    let wanted = 10;
    let mut length = [0; 4];
    while requests.read_exact(&mut length).is_ok() {
        let mut text = vec![0; u32::from_ne_bytes(length) as usize];
        requests.read_exact(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let [id, method, handler, data] = text.splitn(4, ':').collect::<Vec<_>>().try_into().unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        let mut answer = json!({});
        match method {
            "router.createPlainTransport" => {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                answer = json!({ "tuple": { "localPort": socket.local_addr().unwrap().port() } });
                sockets.insert(data["transportId"].as_str().unwrap().to_owned(), socket);
            }
            "transport.connect" => {
                let port = data["port"].as_u64().unwrap() as u16;
                ports.insert(handler.to_owned(), SocketAddr::new([127, 0, 0, 1].into(), port));
            }
            "transport.consume" => {
                if fault == "refuses" {
                    let id: u32 = id.parse().unwrap();
                    send(json!({ "id": id, "error": "Error", "reason": "no room" }));
                    continue;
                }
                let ssrc = data["rtpParameters"]["encodings"][0]["ssrc"].as_u64().unwrap() as u32;
                consumers.push((ports[handler], ssrc));
            }
            _ => {}
        }
        let id: u32 = id.parse().unwrap();
        send(json!({ "id": id, "accepted": true, "data": answer }));
        if consumers.len() == wanted {
            let ingress = sockets.remove("ingress").unwrap();
            let (consumers, fault) = (std::mem::take(&mut consumers), fault.clone());
            std::thread::spawn(move || forward(&ingress, &consumers, &fault));
        }
    }
    std::process::exit(0);
}

fn forward(ingress: &UdpSocket, consumers: &[(SocketAddr, u32)], fault: &str) {
    let mut packet = [0; 2_000];
    for count in 0.. {
        let len = ingress.recv(&mut packet).unwrap();
        let packet = &mut packet[..len];
        rtp::set_payload_type(packet, 101);
        for (address, ssrc) in consumers {
            rtp::set_ssrc(packet, *ssrc);
            match (fault, count) {
                ("loses", 20) => continue,
                ("damages", 20) => packet[500] ^= 1,
                ("repeats", 20) => _ = ingress.send_to(packet, address).unwrap(),
                ("dies", 20) => std::process::exit(3),
                _ => {}
            }
            ingress.send_to(packet, address).unwrap();
        }
    }
}
