//! Handles, with the test in the worker's place: it answers by the protocol and notifies as it is told.

mod data;
mod direct;
mod media;
mod observers;
mod pipes;
mod transports;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sfu_channel::json::RequestFrame;
use sfu_channel::request::Method;
use sfu_channel::{
    DtlsParameters, DtlsRole, DtlsState, IceState, MediaKind, PreferredLayers, RtcpFeedback, RtpCapabilities,
    RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters, RtpParameters, RtpType,
};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::broadcast;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, codec};
use crate::entity::lock;
use crate::*;

/// The worker's side: answers every request, keeps what was asked, and sends notifications.
#[derive(Clone)]
struct FakeWorker {
    asked: Arc<Mutex<Vec<RequestFrame>>>,
    producers: Arc<Mutex<HashSet<String>>>,
    out: Arc<tokio::sync::Mutex<FramedWrite<DuplexStream, LengthDelimitedCodec>>>,
}

impl FakeWorker {
    async fn serve(self, mut requests: FramedRead<DuplexStream, LengthDelimitedCodec>) {
        while let Some(Ok(frame)) = requests.next().await {
            let frame = RequestFrame::parse(&frame).expect("a sound request");
            frame.request().expect("sound data");
            let (id, method) = (frame.id, frame.method);
            let data = frame.data.clone();
            let refused = self.refuses(&frame);
            lock(&self.asked).push(frame);
            if refused {
                self.send(json!({"id": id, "error": "Error", "reason": "no"})).await;
                continue;
            }
            match answer(method, &data) {
                Value::Null => self.send(json!({"id": id, "accepted": true})).await,
                data => self.send(json!({"id": id, "accepted": true, "data": data})).await,
            }
        }
    }

    /// Whether the request is to make a producer that is there, or to close one that is not.
    fn refuses(&self, frame: &RequestFrame) -> bool {
        let id = frame.data["producerId"].to_string();
        match frame.method {
            Method::TransportProduce => !lock(&self.producers).insert(id),
            Method::TransportCloseProducer => !lock(&self.producers).remove(&id),
            _ => false,
        }
    }

    async fn send(&self, message: Value) {
        // The library may have ended the channel.
        let _ = self.out.lock().await.send(Bytes::from(message.to_string())).await;
    }

    async fn notify(&self, target: &str, event: &str, data: Value) {
        self.send(json!({"targetId": target, "event": event, "data": data})).await;
    }

    fn asked(&self, method: Method) -> Vec<RequestFrame> {
        lock(&self.asked).iter().filter(|frame| frame.method == method).cloned().collect()
    }
}

fn answer(method: Method, asked: &Value) -> Value {
    let base = json!({
        "id": "t", "direct": false, "producerIds": [], "consumerIds": [], "mapSsrcConsumerId": {},
        "mapRtxSsrcConsumerId": {}, "dataProducerIds": [], "dataConsumerIds": [], "recvRtpHeaderExtensions": {},
        "rtpListener": {"ssrcTable": {}, "midTable": {}, "ridTable": {}}, "maxMessageSize": 0, "traceEventTypes": ""
    });
    let with = |own: Value| {
        let mut all = base.clone();
        all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        if asked["enableSctp"] == true {
            let streams = &asked["numSctpStreams"];
            all["sctpState"] = json!("new");
            all["sctpParameters"] =
                json!({"port": 5000, "OS": streams["OS"], "MIS": streams["MIS"], "maxMessageSize": 1});
        }
        all
    };
    match method {
        Method::RouterCreateWebRtcTransport | Method::RouterCreateWebRtcTransportWithServer => with(json!({
            "iceRole": "controlled", "iceState": "new", "dtlsState": "new",
            "iceParameters": {"usernameFragment": "u", "password": "p", "iceLite": true},
            "iceCandidates": [{"foundation": "udpcandidate", "priority": 1, "ip": "127.0.0.1", "protocol": "udp",
                               "port": 4000, "type": "host"}],
            "dtlsParameters": {"fingerprints": [{"algorithm": "sha-256", "value": "AA"}], "role": "auto"}
        })),
        Method::RouterCreatePlainTransport => with(json!({
            "rtcpMux": true, "comedia": asked["comedia"], "tuple": {"localIp": "127.0.0.1", "localPort": 4000, "protocol": "udp"}
        })),
        Method::RouterCreateDirectTransport => with(json!({"direct": true, "maxMessageSize": asked["maxMessageSize"]})),
        Method::RouterCreatePipeTransport => with(json!({
            "rtx": asked["enableRtx"], "tuple": {"localIp": "127.0.0.1", "localPort": 4000, "protocol": "udp"}
        })),
        Method::TransportConnect if asked.get("ip").is_some() => json!({
            "tuple": {"localIp": "127.0.0.1", "localPort": 4000, "remoteIp": asked["ip"], "remotePort": asked["port"],
                      "protocol": "udp"}
        }),
        Method::TransportConnect => json!({"dtlsLocalRole": "client"}),
        Method::TransportRestartIce => {
            json!({"iceParameters": {"usernameFragment": "u2", "password": "p2", "iceLite": true}})
        }
        Method::TransportProduce => json!({"type": "simple"}),
        Method::TransportConsume => json!({
            "paused": true, "producerPaused": false, "score": {"score": 10, "producerScore": 0, "producerScores": [0]}
        }),
        Method::TransportProduceData => json!({
            "id": asked["dataProducerId"], "type": asked["type"], "sctpStreamParameters": asked["sctpStreamParameters"],
            "label": asked["label"], "protocol": asked["protocol"]
        }),
        Method::TransportConsumeData => json!({
            "id": asked["dataConsumerId"], "type": asked["type"], "dataProducerId": asked["dataProducerId"],
            "sctpStreamParameters": asked["sctpStreamParameters"], "label": asked["label"],
            "protocol": asked["protocol"], "bufferedAmountLowThreshold": 0
        }),
        Method::DataConsumerGetBufferedAmount => json!({"bufferedAmount": 77}),
        Method::ConsumerSetPriority => json!({"priority": 200}),
        _ => Value::Null,
    }
}

fn capability() -> RtpCodecCapability {
    RtpCodecCapability {
        kind: MediaKind::Video,
        mime_type: "video/VP8".to_owned(),
        preferred_payload_type: None,
        clock_rate: 90_000,
        channels: None,
        parameters: Default::default(),
        rtcp_feedback: vec![RtcpFeedback::new("nack", ""), RtcpFeedback::new("nack", "pli")],
    }
}

fn capabilities() -> RtpCapabilities {
    ortc::generate_router_rtp_capabilities(&[capability()]).expect("VP8 is supported")
}

fn parameters(ssrc: u32, cname: Option<&str>) -> RtpParameters {
    RtpParameters {
        codecs: vec![RtpCodecParameters {
            mime_type: "video/VP8".to_owned(),
            payload_type: 96,
            clock_rate: 90_000,
            channels: None,
            parameters: Default::default(),
            rtcp_feedback: Vec::new(),
        }],
        encodings: vec![RtpEncodingParameters { ssrc: Some(ssrc), ..Default::default() }],
        rtcp: sfu_channel::RtcpParameters { cname: cname.map(str::to_owned), ..Default::default() },
        ..Default::default()
    }
}

struct Bench {
    worker: FakeWorker,
    /// Stands for the worker's end.
    worker_closed: CancellationToken,
    channel: Channel,
    router: Router,
    transport: WebRtcTransport,
}

async fn bench() -> Bench {
    bench_of("r").await
}

/// The router has that id.
async fn bench_of(router_id: &str) -> Bench {
    let (to_worker, requests) = duplex(1 << 16);
    let (out, from_worker) = duplex(1 << 16);
    let worker = FakeWorker {
        asked: Arc::default(),
        producers: Arc::default(),
        out: Arc::new(tokio::sync::Mutex::new(FramedWrite::new(out, codec()))),
    };
    tokio::spawn(worker.clone().serve(FramedRead::new(requests, codec())));
    let (channel, _) = Channel::start(to_worker, from_worker, Duration::from_secs(5), "1".to_owned());
    let worker_closed = CancellationToken::new();
    let router = Router::new(router_id.to_owned(), channel.clone(), worker_closed.child_token(), capabilities());
    let transport = web_rtc_transport(&router).await;
    Bench { worker, worker_closed, channel, router, transport }
}

async fn web_rtc_transport(router: &Router) -> WebRtcTransport {
    let options = WebRtcTransportOptions {
        listen_infos: listen_everywhere(["127.0.0.1".parse().unwrap()], true),
        ..Default::default()
    };
    router.create_web_rtc_transport(options).await.expect("a transport")
}

async fn produce(transport: &Transport, ssrc: u32, cname: Option<&str>) -> Producer {
    let options = ProducerOptions::new(MediaKind::Video, parameters(ssrc, cname));
    transport.produce(options).await.expect("a producer")
}

async fn consume(transport: &Transport, producer: &Producer) -> Consumer {
    transport.consume(ConsumerOptions::new(producer.id(), capabilities())).await.expect("a consumer")
}

async fn next<E: Clone>(events: &mut broadcast::Receiver<E>) -> E {
    events.recv().await.expect("an event")
}
