//! What clients may say, and what the server makes of nonsense.

mod common;

use common::Program;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_bad_request_gets_an_error_that_names_the_field_and_the_room_goes_on() {
    let program = Program::start().await;
    let mut client = program.client("r", "ada").await;
    for (method, data, field) in [
        ("join", json!({"displayName": 5}), "displayName"),
        ("join", json!({"displayName": "Ada", "sdp": "nonsense"}), "sdp"),
        ("createWebRtcTransport", json!({"producing": "yes"}), "producing"),
        ("connectWebRtcTransport", json!({"transportId": "t", "dtlsParameters": {"fingerprints": 1}}), "fingerprints"),
    ] {
        let (code, reason) = client.request(method, data).await.expect_err("refused");
        assert_eq!(code, 400, "{reason}");
        assert!(reason.contains(field), "{reason}");
    }
    client.request("join", json!({"displayName": "Ada"})).await.expect("joined");
}

#[tokio::test]
async fn what_is_malformed_is_dropped_without_a_reply() {
    let program = Program::start().await;
    let mut client = program.client("r", "ada").await;
    for text in [
        "null",
        "[]",
        "{",
        "{}",
        "7",
        r#"{"request":true,"id":"7","method":"join"}"#,
        r#"{"request":true,"id":7}"#,
        r#"{"response":true,"id":77,"ok":true}"#,
    ] {
        client.send_text(text).await;
    }
    client.send(Message::binary(&br#"{"request":true,"id":7,"method":"join"}"#[..])).await.expect("sent");
    assert_eq!(client.unexpected().await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_its_own_connection_only() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    ada.request("join", json!({})).await.expect("joined");
    bob.request("join", json!({})).await.expect("joined");
    // The server may hang up before it has read it all.
    let _ = ada.send(Message::text("x".repeat(960_001))).await;
    ada.closed().await;
    assert_eq!(bob.notification("peerClosed").await, json!({"peerId": "ada"}));
    bob.request("createWebRtcTransport", json!({})).await.expect("the room goes on");
}

#[tokio::test]
async fn what_needs_joining_says_so() {
    let program = Program::start().await;
    let mut client = program.client("r", "ada").await;
    for (method, data) in [
        ("produce", json!({"transportId": "t", "kind": "audio", "rtpParameters": {"codecs": [], "encodings": []}})),
        ("closeProducer", json!({"producerId": "p"})),
        ("pauseConsumer", json!({"consumerId": "c"})),
        ("changeDisplayName", json!({"displayName": "Bob"})),
    ] {
        let error = client.request(method, data).await.expect_err("refused");
        assert_eq!(error, (500, "Peer not yet joined".into()), "{method}");
    }
    client.request("join", json!({})).await.expect("joined");
    assert_eq!(client.request("join", json!({})).await, Err((500, "Peer already joined".into())));
}

#[tokio::test]
async fn nobody_touches_what_is_not_his() {
    let program = Program::start().await;
    let mut ada = program.client("r", "ada").await;
    let mut bob = program.client("r", "bob").await;
    let transport = ada.request("createWebRtcTransport", json!({"producing": true})).await.expect("a transport");
    ada.request("restartIce", json!({"transportId": transport["id"]})).await.expect("her own");
    let (code, reason) = bob.request("restartIce", json!({"transportId": transport["id"]})).await.expect_err("not his");
    assert_eq!(code, 500);
    assert!(reason.contains("not found"), "{reason}");
}

#[tokio::test]
async fn capabilities_and_transports_have_the_shapes_that_mediasoup_client_expects() {
    let program = Program::start().await;
    let mut client = program.client("r", "ada").await;
    let capabilities = client.request("getRouterRtpCapabilities", json!({})).await.expect("capabilities");
    let opus = &capabilities["codecs"][0];
    assert_eq!((&opus["mimeType"], &opus["preferredPayloadType"]), (&json!("audio/opus"), &json!(100)));
    assert!(capabilities["headerExtensions"].as_array().is_some_and(|extensions| !extensions.is_empty()));

    let transport = client
        .request("createWebRtcTransport", json!({"consuming": true, "forceTcp": false}))
        .await
        .expect("a transport");
    assert_eq!(transport["iceParameters"]["iceLite"], true);
    let candidates = transport["iceCandidates"].as_array().expect("candidates");
    let protocols: Vec<_> =
        candidates.iter().map(|candidate| candidate["protocol"].as_str().expect("a protocol")).collect();
    assert_eq!(protocols, ["udp", "tcp"]);
    assert!(candidates.iter().all(|candidate| candidate["ip"] == "127.0.0.1" && candidate["address"] == "127.0.0.1"));
    assert_eq!(candidates[1]["tcpType"], "passive");
    assert!(
        transport["dtlsParameters"]["fingerprints"]
            .as_array()
            .is_some_and(|list| list.iter().any(|entry| entry["algorithm"] == "sha-256"))
    );
    assert!(transport.get("sctpParameters").is_none());

    let restarted = client.request("restartIce", json!({"transportId": transport["id"]})).await.expect("restarted");
    assert_ne!(restarted["password"], transport["iceParameters"]["password"]);
    let stats = client.request("getTransportStats", json!({"transportId": transport["id"]})).await.expect("statistics");
    assert_eq!(stats[0]["type"], "webrtc-transport");
    assert_eq!(stats[0]["maxIncomingBitrate"], 1_500_000);

    let tcp = client.request("createWebRtcTransport", json!({"forceTcp": true})).await.expect("a transport");
    assert!(
        tcp["iceCandidates"].as_array().expect("candidates").iter().all(|candidate| candidate["protocol"] == "tcp")
    );
}
