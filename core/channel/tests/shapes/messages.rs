//! Answers and notifications.

use serde_json::{Value, json};
use sfu_channel::json::{BadFrame, FromWorker, write_response};
use sfu_channel::notification::Event;
use sfu_channel::reply::*;
use sfu_channel::response::{Refusal, Reply, Response};
use sfu_channel::*;

use super::{assert_shape, tuple, tuple_json};

fn accepted(id: u32, data: Option<Reply>) -> Value {
    serde_json::from_str(&write_response(&Response { id, outcome: Ok(data) })).unwrap()
}

#[test]
fn responses() {
    assert_eq!(write_response(&Response { id: 7, outcome: Ok(None) }), r#"{"id":7,"accepted":true}"#);
    let layers = Reply::ConsumerLayers(ConsumerLayers { spatial_layer: 2, temporal_layer: 0 });
    let expected = json!({"id": 8, "accepted": true, "data": {"spatialLayer": 2, "temporalLayer": 0}});
    assert_eq!(accepted(8, Some(layers)), expected);
    let refuse = |refusal: Refusal| write_response(&Response { id: 9, outcome: Err(refusal) });
    let refusal = Refusal::type_error("missing field routerId").in_method("worker.createRouter");
    assert_eq!(
        refuse(refusal),
        r#"{"id":9,"error":"TypeError","reason":"missing field routerId [method:worker.createRouter]"}"#
    );
    // This generation has no word for the third class.
    assert_eq!(refuse(Refusal::not_found("x")), r#"{"id":9,"error":"Error","reason":"x"}"#);
}

#[test]
fn responses_of_another_worker() {
    let parse = |text: &str| FromWorker::parse(text.as_bytes());
    let response = |id, outcome| Ok(FromWorker::Response(Response { id, outcome }));
    // mediasoup's worker sorts keys.
    assert_eq!(parse(r#"{"accepted":true,"data":{"a":1},"id":3}"#), response(3, Ok(Some(json!({"a": 1})))));
    assert_eq!(parse(r#"{"id":3,"error":"Error"}"#), response(3, Err(Refusal::error(""))));
    assert_eq!(parse(r#"{"id":3,"error":"Whatever","reason":"r"}"#), response(3, Err(Refusal::error("r"))));
    assert!(matches!(parse(r#"{"id":3}"#), Err(BadFrame::Field(_))));
    assert!(matches!(parse(r#"{"accepted":true}"#), Err(BadFrame::Field(_))));
    assert!(matches!(parse("nonsense"), Err(BadFrame::Unreadable(_))));
    assert!(matches!(parse("[]"), Err(BadFrame::Field(_))));
    assert_eq!(parse(r#"{"targetId":"x","event":"party"}"#), Err(BadFrame::UnknownEvent("party".to_owned())));
}

#[test]
fn notifications_of_another_worker() {
    // What mediasoup's worker says of a connection: it sorts keys.
    let text =
        r#"{"data":{"dtlsRemoteCert":"-----BEGIN","dtlsState":"connected"},"event":"dtlsstatechange","targetId":"t"}"#;
    let Ok(FromWorker::Notification(notification)) = FromWorker::parse(text.as_bytes()) else { panic!() };
    let Event::DtlsStateChange(change) = notification.event else { panic!() };
    assert_eq!((change.dtls_state, change.dtls_remote_cert.as_deref()), (DtlsState::Connected, Some("-----BEGIN")));
}

#[test]
fn replies() {
    let ice_parameters = IceParameters { username_fragment: "u".to_owned(), password: "p".to_owned(), ice_lite: true };
    let srtp_parameters =
        Some(SrtpParameters { crypto_suite: SrtpCryptoSuite::AeadAes256Gcm, key_base64: "AAAA".to_owned() });
    assert_shape(&WebRtcConnected { dtls_local_role: DtlsRole::Server }, json!({"dtlsLocalRole": "server"}));
    assert_shape(
        &PlainConnected { tuple: Some(tuple()), rtcp_tuple: Some(tuple()), srtp_parameters },
        json!({"tuple": tuple_json(), "rtcpTuple": tuple_json(),
               "srtpParameters": {"cryptoSuite": "AEAD_AES_256_GCM", "keyBase64": "AAAA"}}),
    );
    assert_shape(&PlainConnected::default(), json!({}));
    assert_shape(
        &IceRestarted { ice_parameters },
        json!({"iceParameters": {"usernameFragment": "u", "password": "p", "iceLite": true}}),
    );
    assert_shape(&Produced { rtp_type: RtpType::Simulcast }, json!({"type": "simulcast"}));
    assert_shape(
        &Consumed {
            paused: true,
            producer_paused: false,
            score: ConsumerScore { score: 10, producer_score: 9, producer_scores: vec![9, 8] },
            preferred_layers: Some(ConsumerLayers { spatial_layer: 1, temporal_layer: 2 }),
        },
        json!({"paused": true, "producerPaused": false,
               "score": {"score": 10, "producerScore": 9, "producerScores": [9, 8]},
               "preferredLayers": {"spatialLayer": 1, "temporalLayer": 2}}),
    );
    assert_shape(&BufferedAmount { buffered_amount: 5 }, json!({"bufferedAmount": 5}));
}

#[test]
fn secrets_stay_out_of_logs() {
    let ice = IceParameters { username_fragment: "ufrag".to_owned(), password: "secret".to_owned(), ice_lite: true };
    let srtp = SrtpParameters { crypto_suite: SrtpCryptoSuite::AesCm128HmacSha1_32, key_base64: "secret".to_owned() };
    let shown = format!("{ice:?} {srtp:?}");
    assert!(shown.contains("ufrag") && !shown.contains("secret"), "{shown}");
}
