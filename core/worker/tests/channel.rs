//! The channel as a stream of frames: their order, the payload channel, and a library that does not read.

mod common;

use std::time::Instant;

use common::media::Scene;
use common::{PATIENCE, Worker};
use serde_json::{Value, json};

#[test]
fn the_reply_comes_before_what_its_request_causes() {
    let mut scene = Scene::new();
    scene.worker.send_frame(b"901:producer.pause:p:undefined");
    scene.worker.send_frame(b"902:transport.closeProducer:in:{\"producerId\":\"p\"}");
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let message = scene.worker.next_message(Instant::now() + PATIENCE).expect("four messages");
        seen.push(message.get("id").or(message.get("event")).unwrap().clone());
    }
    assert_eq!(seen, [json!(901), json!("producerpause"), json!(902), json!("producerclose")]);
}

#[test]
fn the_payload_channel_answers_requests_and_logs_what_nobody_takes() {
    let mut worker = Worker::start();
    // The payloads look like headers: only the framing tells them apart.
    worker.send_payload("r:9:dataConsumer.send:d:51", b"r:10:dataConsumer.send:d:51");
    worker.send_payload("n:producer.send:nobody:undefined", b"r:11:dataConsumer.send:d:51");
    worker.send_payload("r:12:dataConsumer.send:e:53", b"");
    let refusal = |id: u32, target: &str| {
        let reason = format!("PayloadChannel request handler with ID {target} not found [method:dataConsumer.send]");
        json!({"id": id, "error": "Error", "reason": reason})
    };
    assert_eq!(worker.payload_answer(), refusal(9, "d"));
    assert_eq!(worker.payload_answer(), refusal(12, "e"));
    worker.dump();
    let complaints: Vec<&String> = worker.log.iter().filter(|line| line.contains("nobody")).collect();
    assert_eq!(complaints.len(), 1, "{:?}", worker.log);
}

#[test]
fn without_a_reader_of_fd_4_it_neither_spins_nor_stops_answering_on_fd_6() {
    for queued in [1, 3000] {
        let mut worker = Worker::start();
        for id in 1..=queued {
            worker.send_frame(format!("{id}:worker.getResourceUsage:undefined:undefined").as_bytes());
        }
        worker.wait_for_state('S');
        worker.close_answers();
        worker.send_frame(b"9000:worker.dump:undefined:undefined");
        worker.wait_for_state('S');
        worker.send_payload("r:9:dataConsumer.send:d:51", b"x");
        assert_eq!(worker.payload_answer()["id"], 9, "with {queued} answers unread");
        // What it ends with is the end of its input, as ever.
        drop(worker.requests.take());
        assert_eq!(worker.child.wait().unwrap().code(), Some(0));
    }
}

/// A worker whose dump is this many bytes long or somewhat more.
fn worker_with_a_dump_of(bytes: usize) -> Worker {
    let mut worker = Worker::start();
    // A router's id comes twice in a dump.
    for name in ["a", "b"] {
        worker.ask("worker.createRouter", "undefined", json!({"routerId": name.repeat(bytes / 4)}));
    }
    worker
}

#[test]
fn answers_wait_for_a_library_that_reads_late_and_none_is_lost() {
    let mut worker = worker_with_a_dump_of(3_000_000);
    // More than the worker is willing to keep.
    let requests = 25;
    for id in 1001..=1000 + requests {
        worker.send_frame(format!("{id}:worker.dump:undefined:undefined").as_bytes());
    }
    worker.wait_for_state('S');
    let kilobytes: u64 = worker.proc_field("status", "VmHWM:").trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 60_000, "{kilobytes} kB at most though requests could wait");
    for id in 1001..=1000 + requests {
        worker.answer(id).unwrap();
    }
    // It reads its input as before.
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
}

#[test]
fn a_library_that_goes_away_without_reading_ends_the_worker() {
    let mut worker = worker_with_a_dump_of(3_000_000);
    for id in 1001..=1010 {
        worker.send_frame(format!("{id}:worker.dump:undefined:undefined").as_bytes());
    }
    worker.wait_for_state('S');
    drop(worker.requests.take());
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn an_answer_that_no_frame_holds_is_an_error() {
    let mut worker = worker_with_a_dump_of(5_000_000);
    let refused = worker.refused("worker.dump", "undefined", Value::Null);
    assert_eq!(refused.class, "Error");
    assert!(
        refused.reason.contains("4194304") && refused.reason.ends_with("[method:worker.dump]"),
        "{}",
        refused.reason
    );
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
}
