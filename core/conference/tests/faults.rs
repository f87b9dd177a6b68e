//! What ends, and what goes on.

mod common;

use common::{Program, command};
use serde_json::json;

#[tokio::test]
async fn a_dead_worker_is_told_and_the_room_opens_again_on_another() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    let workers = program.workers();
    program.signal("KILL", workers[0]).await;
    for client in [&mut ada, &mut bob] {
        client.notification("workerDied").await;
        assert_eq!(u16::from(client.closed().await.expect("a close frame").code), 1012);
    }
    // The page tries until there is a worker again.
    let mut ada = loop {
        match program.upgrade("/?roomId=r&peerId=ada", Some("protoo")).await {
            Ok(socket) => {
                drop(socket);
                break program.client("r", "ada").await;
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => assert_eq!(response.status(), 503),
            Err(error) => panic!("{error}"),
        }
    };
    ada.request("createWebRtcTransport", json!({})).await.expect("a transport");
    let now = program.workers();
    assert_eq!(now.len(), 1);
    assert_ne!(now, workers);
}

#[tokio::test]
async fn a_dead_worker_does_not_touch_the_rooms_of_another() {
    let program = Program::start_with(&["--workers", "2"]).await;
    let (mut one, mut two) = (program.client("one", "ada").await, program.client("two", "bob").await);
    let workers = program.workers();
    program.signal("KILL", workers[0]).await;
    // Which of the rooms it was is not known from outside.
    tokio::select! {
        _ = one.closed() => { two.request("createWebRtcTransport", json!({})).await.expect("untouched"); }
        _ = two.closed() => { one.request("createWebRtcTransport", json!({})).await.expect("untouched"); }
    }
}

#[tokio::test]
async fn a_worker_that_hangs_gets_no_new_rooms_until_it_answers_again() {
    let program = Program::start_with(&["--workers", "2"]).await;
    let workers = program.workers();
    program.signal("STOP", workers[0]).await;
    let mut clients = Vec::new();
    for room in ["one", "two", "three"] {
        let mut client = program.client(room, "ada").await;
        client.request("createWebRtcTransport", json!({})).await.expect("a transport");
        clients.push(client);
    }
    program.signal("CONT", workers[0]).await;
    program.signal("STOP", workers[1]).await;
    let mut client = program.client("four", "ada").await;
    client.request("createWebRtcTransport", json!({})).await.expect("a transport");
    // What is stopped does not end by itself.
    program.signal("CONT", workers[1]).await;
}

#[tokio::test]
async fn sigterm_ends_everything_and_tells_the_clients() {
    let mut program = Program::start().await;
    let mut ada = program.client("r", "ada").await;
    let workers = program.workers();
    program.signal("TERM", program.pid()).await;
    assert_eq!(u16::from(ada.closed().await.expect("a close frame").code), 1001);
    assert_eq!(program.ended().await.code(), Some(0));
    for worker in workers {
        assert!(!std::path::Path::new(&format!("/proc/{worker}")).exists(), "worker {worker} lives on");
    }
}

#[tokio::test]
async fn a_port_in_use_is_a_sentence_that_says_what_to_do() {
    let program = Program::start().await;
    let output = command().args(["--listen", &format!("127.0.0.1:{}", program.port)]).output().await.expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("is in use") && said.contains("--listen") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn a_worker_that_does_not_start_is_a_sentence() {
    let data = tempfile::tempdir().expect("a folder");
    let output = command()
        .args(["--listen", "127.0.0.1:0", "--worker", "/nonexistent/worker", "--data-dir"])
        .arg(data.path())
        .output()
        .await
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("/nonexistent/worker") && said.contains("--worker"), "{said}");
}
