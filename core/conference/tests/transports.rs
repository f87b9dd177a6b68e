//! What becomes of a peer's ways to the worker.

mod common;

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use common::Program;
use serde_json::{Value, json};
use sfu_proto::{
    dtls::{Certificate, Dtls, Event, Fingerprint, FingerprintAlgorithm, Role},
    stun::{Class, METHOD_BINDING, MessageBuilder, TransactionId},
};

/// Far more than a handshake takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a check to the transport's first candidate, connects, and ends the encryption at once.
fn connect_and_end(transport: &Value, certificate: &Certificate) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let candidate = &transport["iceCandidates"][0];
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect((text(&candidate["ip"]), candidate["port"].as_u64().expect("a port") as u16)).expect("an address");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let ice = &transport["iceParameters"];
    let check = MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([7; 12]))
        .username(&format!("{}:browser", text(&ice["usernameFragment"])))
        .ice_controlling(1)
        .priority(1)
        .use_candidate()
        .message_integrity(text(&ice["password"]).as_bytes())
        .fingerprint()
        .finish();
    socket.send(&check).expect("sent");

    let fingerprints = transport["dtlsParameters"]["fingerprints"].as_array().expect("fingerprints");
    let remote = fingerprints.iter().find(|one| one["algorithm"] == "sha-256").expect("one of SHA-256");
    let remote = Fingerprint::parse("sha-256", &text(&remote["value"])).expect("a fingerprint");
    let mut dtls = Dtls::new(certificate, Role::Client, Some(remote)).expect("an association");
    let began = Instant::now();
    dtls.start(began);
    let mut connected = false;
    while !connected {
        assert!(began.elapsed() < PATIENCE, "the handshake does not end");
        while let Some(datagram) = dtls.poll_transmit() {
            socket.send(&datagram).expect("sent");
        }
        let mut buffer = [0; 2048];
        match socket.recv(&mut buffer) {
            // The first byte tells DTLS from STUN (RFC 7983).
            Ok(length) if (20..64).contains(&buffer[0]) => {
                dtls.handle_packet(Instant::now(), &buffer[..length]).expect("a record");
            }
            _ => dtls.handle_timeout(Instant::now()),
        }
        while let Some(event) = dtls.poll_event() {
            connected |= matches!(event, Event::Connected { .. });
        }
    }
    dtls.close();
    while let Some(datagram) = dtls.poll_transmit() {
        socket.send(&datagram).expect("sent");
    }
}

#[tokio::test]
async fn an_encryption_that_ends_takes_the_peer_with_it() {
    let program = Program::start().await;
    let (mut ada, mut bob) = (program.client("r", "ada").await, program.client("r", "bob").await);
    ada.request("join", json!({})).await.expect("joined");
    bob.request("join", json!({})).await.expect("joined");
    let transport = ada.request("createWebRtcTransport", json!({"producing": true})).await.expect("a transport");
    let certificate = Certificate::generate().expect("a certificate");
    let fingerprint = certificate.fingerprint(FingerprintAlgorithm::Sha256).expect("a fingerprint");
    let fingerprints = [json!({"algorithm": "sha-256", "value": fingerprint.value()})];
    let dtls = json!({"role": "client", "fingerprints": fingerprints});
    ada.request("connectWebRtcTransport", json!({"transportId": transport["id"], "dtlsParameters": dtls}))
        .await
        .expect("connected");
    connect_and_end(&transport, &certificate);
    assert_eq!(u16::from(ada.closed().await.expect("a close frame").code), 4000);
    assert_eq!(bob.notification("peerClosed").await, json!({"peerId": "ada"}));
}

#[tokio::test]
async fn a_server_without_free_ports_says_so_without_its_internals() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let program = Program::start_with(&["--workers", "1", "--rtc-min-port", &port, "--rtc-max-port", &port]).await;
    let mut client = program.client("r", "ada").await;
    let error = client.request("createWebRtcTransport", json!({})).await.expect_err("no port");
    assert_eq!(error, (500, "the server has no free media ports".into()));
}
