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
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

const FAULT: &str = "BENCH_FORWARDER_FAULT";

/// Names a file that a worker makes the first time that it forwards.
const MARK: &str = "BENCH_FORWARDER_MARK";

/// A script that is a worker with a fault.
struct Script {
    path: PathBuf,
    mark: PathBuf,
}

impl Script {
    fn new(fault: &str) -> Self {
        let path = std::env::temp_dir().join(format!("forwarder-{fault}-{}", std::process::id()));
        let this = std::env::current_exe().unwrap();
        let mark = path.with_extension("mark");
        let text = format!(
            "#!/bin/sh\nexport {FAULT}={fault} {MARK}='{}'\nexec '{}' --exact forwarder --nocapture\n",
            mark.display(),
            this.display()
        );
        // Installed by another process: what this one has open for writing, a child that another test is just starting may have too,
        // and the kernel executes no such file (ETXTBSY).
        let source = path.with_extension("text");
        fs::write(&source, text).unwrap();
        let installed = Command::new("install").args(["-m", "755"]).args([&source, &path]).status().unwrap();
        fs::remove_file(&source).unwrap();
        assert!(installed.success());
        Self { path, mark }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        fs::remove_file(&self.path).unwrap();
        // Only some make it.
        let _ = fs::remove_file(&self.mark);
    }
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench-forward")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where a test's results go; removed when dropped.
struct Results(PathBuf);

impl Results {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("bench-forward-{name}-{}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn json(&self) -> PathBuf {
        self.0.with_extension("json")
    }

    fn read(&self) -> Value {
        serde_json::from_slice(&fs::read(self.json()).unwrap()).unwrap()
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        for extension in ["json", "md", "svg"] {
            fs::remove_file(self.0.with_extension(extension)).unwrap();
        }
    }
}

#[test]
fn workers_that_forward_have_results_beside_the_control_and_the_limit() {
    let script = Script::new("none");
    let worker = script.path();
    let results = Results::new("results");
    let quick =
        ["--quick", "--modes=plain", "--traffic=burst,audio,rooms", "--worker", worker, "--output", results.path()];
    let result = bench(&quick);
    assert!(result.status.success(), "{}{}", text(&result.stdout), text(&result.stderr));

    let report = results.read();
    let outcomes = report["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 8);
    for outcome in outcomes {
        assert!(outcome["summary"]["packets_per_second"]["median"].as_f64().unwrap() > 1_000.0);
        assert!(outcome["summary"]["ns_full"]["median"].as_f64().unwrap() > 100.0);
        assert!(outcome["summary"]["p50"]["median"].as_f64().unwrap() > 0.0);
        assert!(outcome["runs"][0]["packets_checked"].as_u64().unwrap() > 100);
        // The control is no worker, whose distance from the limit could be asked for.
        let beside = outcome["beside_limit"].as_array().unwrap();
        assert_eq!(beside.is_empty(), outcome["contender"] == "control (no worker)");
        for turn in beside {
            assert!(
                turn["limit_ns"].as_f64().unwrap() > 50.0 && turn["half_ns"].as_f64().is_none_or(|ns| ns > 100.0),
                "{turn}"
            );
        }
    }
    assert!(outcomes[0]["summary"]["memory"]["median"].as_f64().unwrap() > 100_000.0);
    let lengths: Vec<u64> =
        outcomes.iter().map(|outcome| outcome["case"]["traffic"]["packet_len"].as_u64().unwrap()).collect();
    assert_eq!(lengths, [1_200, 1_200, 100, 100, 1_200, 1_200, 1_200, 1_200]);
    for limit in report["limits"].as_array().unwrap() {
        for part in ["send_ns", "longest_trains_ns", "receive_ns"] {
            assert!(limit[1][0][part].as_f64().unwrap() > 50.0, "{limit}");
        }
        assert_eq!(limit[1][0]["cipher_ns"], 0.0, "{limit}");
    }
    let table = fs::read_to_string(results.0.with_extension("md")).unwrap();
    for case in ["1 to 10, plain", "10 streams to 10, plain", "10 rooms of 4, plain"] {
        assert!(table.contains(&format!("| {case} | control (no worker) |")), "{table}");
    }
    let picture = fs::read_to_string(results.0.with_extension("svg")).unwrap();
    assert!(picture.contains("10 rooms of 4") && picture.contains("currentColor"));

    // One room beside ten.
    let growth = report["growth"].as_array().unwrap();
    assert!(growth.len() == 1 && growth[0]["sizes"].as_array().unwrap().len() == 2, "{growth:?}");
    assert!(table.contains("| 10 rooms of 4, plain, burst | forwarder-none"), "{table}");

    // Another kind is added to these.
    let more = [
        "--quick",
        "--modes=plain",
        "--traffic=even",
        "--no-control",
        "--add",
        "--worker",
        worker,
        "--output",
        results.path(),
    ];
    assert!(bench(&more).status.success());
    let both = results.read();
    assert_eq!((both["outcomes"].as_array().unwrap().len(), both["growth"].as_array().unwrap().len()), (9, 1));

    // And they are compared with themselves.
    let json = results.json();
    let compared = bench(&["compare", json.to_str().unwrap(), json.to_str().unwrap()]);
    let table = text(&compared.stdout);
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("CPU ns a packet, full")).collect();
    assert!(rows.len() == 9 && rows.iter().all(|row| row.ends_with("| 1.00 ~ |")), "{table}");
    let alone = bench(&["compare", json.to_str().unwrap()]);
    assert!(text(&alone.stderr).contains("there is one worker only"), "{}", text(&alone.stderr));
}

#[test]
fn a_worker_that_does_other_work_has_failed() {
    for (fault, traffic, sentence) in [
        ("damages", "burst", "isn't the one that was sent"),
        ("repeats", "burst", "came out twice"),
        ("loses", "burst", "packets came out"),
        ("dies", "burst", "the worker has ended"),
        ("refuses", "burst", "refuses transport.consume: no room"),
        // Cheaper than the right one: another stream's, which is at hand.
        ("confuses", "audio", "isn't the one that was sent"),
        ("confuses", "rooms", "isn't the one that was sent"),
        ("shortens", "audio", "bytes after its header, expected"),
        ("loses", "rooms", "packets came out"),
    ] {
        let script = Script::new(fault);
        let traffic = format!("--traffic={traffic}");
        let worker = script.path();
        let result = bench(&["--quick", "--modes=plain", &traffic, "--no-control", "--worker", worker]);
        let table = text(&result.stdout);
        assert_eq!(result.status.code(), Some(1), "{fault}: {table}");
        assert!(table.contains("FAILED") && table.contains(sentence), "{fault}: {table}");
    }
}

#[test]
fn workers_take_turns_at_the_same_load_and_who_dies_there_has_failed() {
    let (good, other, bad) = (Script::new("nothing"), Script::new("nowhere"), Script::new("dies-when-measured-again"));
    let results = Results::new("same-load");
    let result = bench(&[
        "--quick",
        "--modes=plain",
        "--traffic=even",
        "--no-control",
        "--worker",
        good.path(),
        "--worker",
        bad.path(),
        "--worker",
        other.path(),
        "--output",
        results.path(),
    ]);
    let table = text(&result.stdout);
    assert_eq!(result.status.code(), Some(1), "{table}");
    assert!(table.contains("1 to 10, plain, even: at the same load: the worker has ended"), "{table}");
    let report = results.read();
    let [one, dead, other] = report["outcomes"].as_array().unwrap().as_slice() else { panic!("{report}") };
    // What it did before it died is on record, and is no result.
    assert!(dead["summary"].is_null() && dead["same_load"].is_null());
    assert_eq!((dead["runs"].as_array().unwrap().len(), dead["failures"].as_array().unwrap().len()), (1, 1));
    let turns = report["same_load"]["turns"].as_u64().unwrap() as usize;
    for outcome in [one, other] {
        assert!(outcome["summary"]["same_load"]["awake"]["p99"]["median"].as_f64().unwrap() > 0.0);
        assert!(outcome["summary"]["same_load"]["memory"].as_u64().unwrap() > 100_000);
        for condition in ["awake", "asleep"] {
            assert_eq!(outcome["same_load"][condition].as_array().unwrap().len(), turns);
        }
    }
    // How late the load was is on record beside how long packets took, by the kernel and by the receiver.
    for turn in one["same_load"]["awake"].as_array().unwrap() {
        let number = |value: &Value| value.as_f64().unwrap();
        assert!(number(&turn["latency"]["p50"]) <= number(&turn["latency_read"]["p50"]), "{turn}");
        assert!(number(&turn["generator_late_us"]) > 0.0 && number(&turn["generator_busy"]) < 0.95, "{turn}");
        assert_eq!(turn["strays"], 0);
    }
    assert!(table.contains("had left the generator") && !table.contains("Passed over"), "{table}");
    // All get the same packets.
    let sent = |outcome: &Value| -> Vec<u64> {
        let turns = outcome["same_load"]["awake"].as_array().unwrap().iter();
        turns.map(|turn| turn["packets"].as_u64().unwrap()).collect()
    };
    assert_eq!(sent(one), sent(other));
    let lowest = report["outcomes"].as_array().unwrap().iter();
    let lowest =
        lowest.map(|outcome| outcome["runs"][0]["packets_per_second"].as_f64().unwrap()).reduce(f64::min).unwrap();
    assert_eq!(one["same_load"]["packets_per_second"].as_f64().unwrap(), lowest / 2.0);

    // The texts can be written anew.
    let path = results.0.with_extension("md");
    let written = fs::read_to_string(&path).unwrap();
    fs::write(&path, "").unwrap();
    assert!(bench(&["render", results.json().to_str().unwrap()]).status.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
}

#[test]
fn without_chrt_the_report_says_that_cores_may_sleep_and_the_generator_may_be_kept_waiting() {
    let (good, results) = (Script::new("alone"), Results::new("without-chrt"));
    // The two workers need no program to be found.
    let result = Command::new(env!("CARGO_BIN_EXE_bench-forward"))
        .env("PATH", "/nonexistent")
        .args(["--quick", "--modes=plain", "--traffic=even", "--no-control", "--output", results.path()])
        .args(["--worker", good.path(), "--worker", good.path()])
        .output()
        .unwrap();
    let table = text(&result.stdout);
    assert!(result.status.success(), "{table}{}", text(&result.stderr));
    assert!(
        table.contains("Not measured: latency with cores that are kept awake") && table.contains("util-linux"),
        "{table}"
    );
    assert!(table.contains("Not measured: latency with a generator that nothing keeps from its core"), "{table}");
    let report = results.read();
    let figures = &report["outcomes"][0]["summary"]["same_load"];
    assert!(figures["awake"].is_null() && figures["asleep"]["p99"]["median"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_the_machine_cannot_do_is_said_before_anything_is_run() {
    let command = format!(
        "ulimit -n 200; exec '{}' --traffic=even --consumers=500 --worker /bin/false",
        env!("CARGO_BIN_EXE_bench-forward")
    );
    let result = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert_eq!(result.status.code(), Some(1));
    let complaint = text(&result.stderr);
    assert!(complaint.contains("565 open files") && complaint.contains("`ulimit -n 565`"), "{complaint}");
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

    let mut sockets: HashMap<String, Arc<UdpSocket>> = HashMap::new();
    let consumers: Arc<Mutex<HashMap<String, Vec<Consumer>>>> = Arc::default();
    let mut ports: HashMap<String, SocketAddr> = HashMap::new();
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
                sockets.insert(data["transportId"].as_str().unwrap().to_owned(), Arc::new(socket));
            }
            "transport.connect" => {
                let port = data["port"].as_u64().unwrap() as u16;
                ports.insert(handler.to_owned(), SocketAddr::new([127, 0, 0, 1].into(), port));
            }
            "transport.produce" => {
                let ingress = sockets.remove(handler).unwrap();
                let (consumers, fault) = (consumers.clone(), fault.clone());
                let producer = data["producerId"].as_str().unwrap().to_owned();
                std::thread::spawn(move || forward(&ingress, &consumers, &producer, &fault));
            }
            "transport.consume" => {
                if fault == "refuses" {
                    let id: u32 = id.parse().unwrap();
                    send(json!({ "id": id, "error": "Error", "reason": "no room" }));
                    continue;
                }
                let ssrc = data["rtpParameters"]["encodings"][0]["ssrc"].as_u64().unwrap() as u32;
                let producer = data["producerId"].as_str().unwrap().to_owned();
                let consumer = (sockets[handler].clone(), ports[handler], ssrc);
                consumers.lock().unwrap().entry(producer).or_default().push(consumer);
            }
            _ => {}
        }
        let id: u32 = id.parse().unwrap();
        send(json!({ "id": id, "accepted": true, "data": answer }));
    }
    std::process::exit(0);
}

/// From where, where to, and as what.
type Consumer = (Arc<UdpSocket>, SocketAddr, u32);

fn forward(ingress: &UdpSocket, consumers: &Mutex<HashMap<String, Vec<Consumer>>>, producer: &str, fault: &str) {
    let mut packet = [0; 2_000];
    // The first packet comes when all consumers are there.
    let mut mine = None;
    for count in 0.. {
        let len = ingress.recv(&mut packet).unwrap();
        let mine = mine.get_or_insert_with(|| match fault {
            // The first stream's SSRCs and receivers, whatever stream it is.
            "confuses" => consumers.lock().unwrap()["producer-0"].clone(),
            _ => consumers.lock().unwrap()[producer].clone(),
        });
        let mut packet = &mut packet[..len];
        rtp::set_payload_type(packet, 101);
        if (fault, count) == ("dies-when-measured-again", 20)
            && File::create_new(std::env::var_os(MARK).unwrap()).is_err()
        {
            std::process::exit(3);
        }
        for (socket, address, ssrc) in mine.iter() {
            rtp::set_ssrc(packet, *ssrc);
            match (fault, count) {
                ("loses", 20) => continue,
                ("damages", 20) => packet[500] ^= 1,
                ("repeats", 20) => _ = socket.send_to(packet, address).unwrap(),
                ("shortens", 20) => packet = &mut packet[..60],
                ("dies", 20) => std::process::exit(3),
                _ => {}
            }
            socket.send_to(packet, address).unwrap();
        }
    }
}
