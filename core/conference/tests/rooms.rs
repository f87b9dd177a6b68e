//! Who meets whom.

mod common;

use common::{Client, Program};
use serde_json::{Value, json};

async fn join(client: &mut Client, name: &str) -> Value {
    let capabilities = client.request("getRouterRtpCapabilities", json!({})).await.expect("capabilities");
    let data = json!({"displayName": name, "device": {"name": "test"}, "rtpCapabilities": capabilities});
    client.request("join", data).await.expect("joined")
}

/// A transport to send on, and a producer of Opus on it.
async fn produce(client: &mut Client, ssrc: u32) -> String {
    let transport = client.request("createWebRtcTransport", json!({"producing": true})).await.expect("a transport");
    let opus = json!({"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2, "parameters": {"useinbandfec": 1}, "rtcpFeedback": []});
    let parameters = json!({"mid": "0", "codecs": [opus], "encodings": [{"ssrc": ssrc}], "headerExtensions": [], "rtcp": {"cname": "ada"}});
    let data = json!({"transportId": transport["id"], "kind": "audio", "rtpParameters": parameters, "appData": {"share": false}});
    client.request("produce", data).await.expect("a producer")["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn those_who_join_hear_of_each_other() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    let mut elsewhere = program.client("other", "eve").await;
    assert_eq!(join(&mut ada, "Ada").await["peers"], json!([]));
    join(&mut elsewhere, "Eve").await;
    let peers = join(&mut bob, "Bob").await["peers"].clone();
    assert_eq!(peers, json!([{"id": "ada", "displayName": "Ada", "device": {"name": "test"}}]));
    assert_eq!(
        ada.notification("newPeer").await,
        json!({"id": "bob", "displayName": "Bob", "device": {"name": "test"}})
    );

    bob.request("changeDisplayName", json!({"displayName": "Robert"})).await.expect("renamed");
    let renamed = json!({"peerId": "bob", "displayName": "Robert", "oldDisplayName": "Bob"});
    assert_eq!(ada.notification("peerDisplayNameChanged").await, renamed);

    bob.leave().await;
    assert_eq!(ada.notification("peerClosed").await, json!({"peerId": "bob"}));
    assert!(elsewhere.unexpected().await.is_empty());
}

#[tokio::test]
async fn a_producer_reaches_those_who_are_there_and_those_who_come_later() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    for (client, name) in [(&mut ada, "Ada"), (&mut bob, "Bob")] {
        client.request("createWebRtcTransport", json!({"consuming": true})).await.expect("a transport");
        join(client, name).await;
    }
    let producer = produce(&mut ada, 1111).await;
    let mut eve = program.client("r", "eve").await;
    eve.request("createWebRtcTransport", json!({"consuming": true})).await.expect("a transport");
    join(&mut eve, "Eve").await;

    let mut consumers = Vec::new();
    for client in [&mut bob, &mut eve] {
        let (id, consumer) = client.asked("newConsumer").await;
        client.answer(id, json!({})).await;
        let score = client.notification("consumerScore").await;
        assert_eq!(score["consumerId"], consumer["id"]);
        assert!(score["score"]["producerScore"].is_number());
        assert_eq!(consumer["peerId"], "ada");
        assert_eq!(consumer["producerId"], producer.as_str());
        assert_eq!(consumer["kind"], "audio");
        assert_eq!(consumer["appData"], json!({"share": false, "peerId": "ada"}));
        assert_eq!(consumer["producerPaused"], false);
        assert_eq!(consumer["rtpParameters"]["mid"], "0");
        assert_eq!(consumer["rtpParameters"]["codecs"][0]["payloadType"], 100);

        let stats =
            client.request("getConsumerStats", json!({"consumerId": consumer["id"]})).await.expect("statistics");
        assert_eq!(stats[0]["type"], "outbound-rtp");
        consumers.push(consumer);
    }
    for (client, consumer) in [(&mut bob, &consumers[0]), (&mut eve, &consumers[1])] {
        ada.request("pauseProducer", json!({"producerId": producer})).await.expect("paused");
        assert_eq!(client.notification("consumerPaused").await, json!({"consumerId": consumer["id"]}));
        ada.request("resumeProducer", json!({"producerId": producer})).await.expect("resumed");
        assert_eq!(client.notification("consumerResumed").await, json!({"consumerId": consumer["id"]}));
    }
    assert!(ada.unexpected().await.iter().all(|message| message["method"] != "newConsumer"), "a peer consumed itself");
    ada.request("closeProducer", json!({"producerId": producer})).await.expect("closed");
    bob.notification("consumerClosed").await;
    eve.notification("consumerClosed").await;
}

#[tokio::test]
async fn who_opens_a_room_decides_how_often_everything_is_consumed() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client_with("r", "ada", "2").await, program.client_with("r", "bob", "9").await);
    bob.request("createWebRtcTransport", json!({"consuming": true})).await.expect("a transport");
    join(&mut ada, "Ada").await;
    join(&mut bob, "Bob").await;
    let producer = produce(&mut ada, 1111).await;
    let mut mids = Vec::new();
    for _ in 0..3 {
        let (id, consumer) = bob.asked("newConsumer").await;
        assert_eq!(consumer["producerId"], producer.as_str());
        mids.push(consumer["rtpParameters"]["mid"].clone());
        bob.answer(id, json!({})).await;
        bob.notification("consumerScore").await;
    }
    assert_eq!(mids, ["0", "1", "2"]);
    // A fourth would be on its way by now: consumers of one peer are made one after the other.
    produce(&mut ada, 2222).await;
    assert_ne!(bob.asked("newConsumer").await.1["producerId"], producer.as_str());
}

#[tokio::test]
async fn a_producer_paused_before_the_client_was_ready_is_told_again() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    bob.request("createWebRtcTransport", json!({"consuming": true})).await.expect("a transport");
    join(&mut ada, "Ada").await;
    join(&mut bob, "Bob").await;
    let producer = produce(&mut ada, 1111).await;
    let (id, consumer) = bob.asked("newConsumer").await;
    ada.request("pauseProducer", json!({"producerId": producer})).await.expect("paused");
    // Told once at the moment, while the client does not know the consumer, and once more when it does.
    bob.notification("consumerPaused").await;
    bob.answer(id, json!({})).await;
    bob.notification("consumerScore").await;
    assert_eq!(bob.notification("consumerPaused").await, json!({"consumerId": consumer["id"]}));
}

#[tokio::test]
async fn a_refused_consumer_is_closed() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    bob.request("createWebRtcTransport", json!({"consuming": true})).await.expect("a transport");
    join(&mut ada, "Ada").await;
    join(&mut bob, "Bob").await;
    produce(&mut ada, 1111).await;
    let (id, consumer) = bob.asked("newConsumer").await;
    bob.send_text(&json!({"response": true, "id": id, "errorCode": 403, "errorReason": "no"}).to_string()).await;
    // The refusal is handled beside the requests, so it is asked until it has had its effect.
    loop {
        match bob.request("getConsumerStats", json!({"consumerId": consumer["id"]})).await {
            Ok(_) => {}
            Err((500, reason)) => {
                assert!(reason.contains("not found") || reason.contains("closed"), "{reason}");
                break;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_same_peer_again_replaces_the_older_one_and_keeps_the_room() {
    let program = Program::start().await;
    let mut bob = program.client("r", "bob").await;
    let mut older = program.client("r", "ada").await;
    join(&mut bob, "Bob").await;
    join(&mut older, "Ada").await;
    bob.notification("newPeer").await;

    let mut newer = program.client("r", "ada").await;
    assert_eq!(u16::from(older.closed().await.expect("a close frame").code), 4000);
    bob.notification("peerClosed").await;
    newer.request("createWebRtcTransport", json!({})).await.expect("the room lives");
    assert_eq!(join(&mut newer, "Ada").await["peers"][0]["id"], "bob");
    bob.notification("newPeer").await;

    // Alone in a room, too.
    let mut older = program.client("alone", "ada").await;
    let mut newer = program.client("alone", "ada").await;
    assert_eq!(u16::from(older.closed().await.expect("a close frame").code), 4000);
    newer.request("createWebRtcTransport", json!({})).await.expect("the room lives");
}

#[tokio::test]
async fn rooms_spread_over_the_workers() {
    let program = Program::start_with(&["--workers", "2"]).await;
    let mut ports = Vec::new();
    let mut clients = Vec::new();
    for room in ["one", "two"] {
        let mut client = program.client(room, "ada").await;
        client.request("createWebRtcTransport", json!({})).await.expect("a transport");
        clients.push(client);
    }
    for worker in program.workers() {
        let descriptors = std::fs::read_dir(format!("/proc/{worker}/fd")).expect("proc").count();
        ports.push(descriptors);
    }
    assert_eq!(ports.len(), 2);
    assert_eq!(ports[0], ports[1], "one worker has the sockets of both rooms");
}
