//! Clients that leave SDP to the server.

mod common;

use common::{Client, Program};
use serde_json::{Value, json};

const FINGERPRINT: &str = "a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";

/// An offer of one Opus section, as short as it may be.
fn offer(direction: &str, ufrag: &str) -> String {
    let lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        &format!("a=ice-ufrag:{ufrag}"),
        "a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa",
        FINGERPRINT,
        "a=setup:actpass",
        "a=mid:0",
        &format!("a={direction}"),
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=ssrc:1111 cname:ada",
    ];
    lines.map(|line| format!("{line}\r\n")).concat()
}

/// The answer of somebody who takes everything that is offered.
fn answer(offer: &str) -> String {
    let mut lines = Vec::new();
    for line in offer.lines() {
        if line.starts_with("a=ice-ufrag:") {
            lines.extend(["a=ice-ufrag:bbbb", "a=ice-pwd:bbbbbbbbbbbbbbbbbbbbbbbb"]);
        } else if line.starts_with("a=fingerprint:") {
            lines.push(FINGERPRINT);
        } else if line.starts_with("a=setup:") {
            lines.push("a=setup:active");
        } else if line == "a=sendonly" {
            lines.push("a=recvonly");
        } else if !["a=ice-pwd:", "a=ice-lite", "a=candidate:", "a=end-of", "a=ssrc", "a=msid"]
            .iter()
            .any(|unwanted| line.starts_with(unwanted))
        {
            lines.push(line);
        }
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

/// Joins with both transports; returns the id of the one to send on.
async fn join(client: &mut Client, name: &str) -> Value {
    client.request("createWebRtcTransport", json!({"consuming": true})).await.expect("a transport");
    let sending = client.request("createWebRtcTransport", json!({"producing": true})).await.expect("a transport");
    client.request("join", json!({"displayName": name, "sdp": offer("recvonly", "aaaa")})).await.expect("joined");
    sending["id"].clone()
}

fn ufrag(sdp: &Value) -> String {
    let sdp = sdp.as_str().expect("text");
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("credentials").to_owned()
}

#[tokio::test]
async fn what_one_publishes_the_other_is_offered() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    let transport = join(&mut ada, "Ada").await;
    join(&mut bob, "Bob").await;

    let data = json!({"transportId": transport, "sdp": offer("sendonly", "aaaa"), "appData": {"0": {"share": true}}});
    let published = ada.request("publish", data).await.expect("published");
    let producer = &published["producers"][0];
    assert_eq!((&producer["mid"], &producer["kind"]), (&json!("0"), &json!("audio")));
    let sdp = published["sdp"].as_str().expect("an answer");
    for line in ["a=ice-lite", "a=setup:passive", "a=recvonly", "a=mid:0"] {
        assert!(sdp.lines().any(|found| found == line), "{line} in {sdp}");
    }

    let (id, offered) = bob.asked("subscribe").await;
    let consumer = &offered["consumers"][0];
    assert_eq!(consumer["peerId"], "ada");
    assert_eq!(consumer["producerId"], producer["id"]);
    assert_eq!(consumer["producerPaused"], false);
    assert_eq!(consumer["appData"], json!({"share": true, "peerId": "ada"}));
    bob.answer(id, json!({"sdp": answer(offered["sdp"].as_str().expect("an offer"))})).await;
    assert_eq!(bob.notification("consumerScore").await["consumerId"], consumer["id"]);

    ada.leave().await;
    bob.notification("peerClosed").await;
    let (_, offered) = bob.asked("subscribe").await;
    assert_eq!(offered["consumers"], json!([]));
}

#[tokio::test]
async fn the_first_transport_for_receiving_is_the_one() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    let transport = join(&mut ada, "Ada").await;
    let mut made = Vec::new();
    for _ in 0..6 {
        let transport = bob.request("createWebRtcTransport", json!({"consuming": true})).await.expect("a transport");
        made.push(transport["id"].clone());
    }
    join(&mut bob, "Bob").await;
    ada.request("publish", json!({"transportId": transport, "sdp": offer("sendonly", "aaaa")}))
        .await
        .expect("published");
    assert_eq!(bob.asked("subscribe").await.1["transportId"], made[0]);
}

#[tokio::test]
async fn an_ice_restart_gives_new_credentials_in_both_directions() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    let transport = join(&mut ada, "Ada").await;
    join(&mut bob, "Bob").await;
    let publish = |ufrag| json!({"transportId": transport, "sdp": offer("sendonly", ufrag)});
    let first = ada.request("publish", publish("aaaa")).await.expect("published");
    let again = ada.request("publish", publish("aaaa")).await.expect("published");
    assert_eq!(ufrag(&first["sdp"]), ufrag(&again["sdp"]));
    assert_eq!(first["producers"], again["producers"]);
    let restarted = ada.request("publish", publish("cccc")).await.expect("published");
    assert_ne!(ufrag(&first["sdp"]), ufrag(&restarted["sdp"]));
    assert_eq!(first["producers"], restarted["producers"]);

    let (id, offered) = bob.asked("subscribe").await;
    bob.answer(id, json!({"sdp": answer(offered["sdp"].as_str().expect("an offer"))})).await;
    let parameters =
        bob.request("restartIce", json!({"transportId": offered["transportId"]})).await.expect("restarted");
    let (_, renewed) = bob.asked("subscribe").await;
    assert_eq!(renewed["consumers"], offered["consumers"]);
    assert_eq!(json!(ufrag(&renewed["sdp"])), parameters["usernameFragment"]);
}

#[tokio::test]
async fn a_bad_offer_is_refused_naming_the_field_and_a_good_one_is_taken_afterwards() {
    let program = Program::start().await;
    let mut ada = program.client("r", "ada").await;
    let transport = join(&mut ada, "Ada").await;
    for sdp in ["", "nonsense", &offer("sendonly", "aaaa").replace(FINGERPRINT, "a=other")] {
        let (code, reason) =
            ada.request("publish", json!({"transportId": transport, "sdp": sdp})).await.expect_err("refused");
        assert_eq!(code, 400, "{sdp}");
        assert!(reason.contains("\"sdp\""), "{reason}");
    }
    ada.request("publish", json!({"transportId": transport, "sdp": offer("sendonly", "aaaa")}))
        .await
        .expect("published");
}

#[tokio::test]
async fn who_answers_nonsense_has_to_come_again_and_the_others_stay() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    let transport = join(&mut ada, "Ada").await;
    join(&mut bob, "Bob").await;
    ada.request("publish", json!({"transportId": transport, "sdp": offer("sendonly", "aaaa")}))
        .await
        .expect("published");
    let (id, _) = bob.asked("subscribe").await;
    bob.answer(id, json!({"sdp": 7})).await;
    assert_eq!(u16::from(bob.closed().await.expect("a close frame").code), 1012);
    assert_eq!(ada.notification("peerClosed").await, json!({"peerId": "bob"}));
    let mut bob = program.client("r", "bob").await;
    join(&mut bob, "Bob").await;
    assert_eq!(bob.asked("subscribe").await.1["consumers"][0]["peerId"], "ada");
}
