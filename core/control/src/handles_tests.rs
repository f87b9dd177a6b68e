//! Handles, with the test in the worker's place: it answers by the protocol and notifies as it is told.

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
            "id": asked["dataProducerId"], "type": "sctp", "sctpStreamParameters": asked["sctpStreamParameters"],
            "label": asked["label"], "protocol": asked["protocol"]
        }),
        Method::TransportConsumeData => json!({
            "id": asked["dataConsumerId"], "type": "sctp", "dataProducerId": asked["dataProducerId"],
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
    let router = Router::new("r".to_owned(), channel.clone(), worker_closed.child_token(), capabilities());
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

#[tokio::test(start_paused = true)]
async fn a_web_rtc_transport_follows_its_worker() {
    let Bench { worker, transport, .. } = bench().await;
    let asked = &worker.asked(Method::RouterCreateWebRtcTransport)[0];
    assert_eq!(asked.handler_id.as_deref(), Some("r"));
    assert_eq!(asked.data["listenIps"], json!([{"ip": "127.0.0.1"}]));
    assert_eq!((&asked.data["enableUdp"], &asked.data["enableTcp"]), (&json!(true), &json!(true)));
    assert_eq!(asked.data["initialAvailableOutgoingBitrate"], 600_000);
    assert_eq!(transport.ice_candidates().len(), 1);
    assert_eq!((transport.ice_state(), transport.dtls_state()), (IceState::New, DtlsState::New));

    let remote = DtlsParameters { role: DtlsRole::Server, fingerprints: transport.dtls_parameters().fingerprints };
    transport.connect(remote).await.unwrap();
    assert_eq!(transport.dtls_parameters().role, DtlsRole::Client);
    assert_eq!(transport.restart_ice().await.unwrap().username_fragment, "u2");
    assert_eq!(transport.ice_parameters().password, "p2");

    let mut events = transport.events();
    let id = transport.id();
    worker.notify(id, "icestatechange", json!({"iceState": "connected"})).await;
    worker.notify(id, "dtlsstatechange", json!({"dtlsState": "connected", "dtlsRemoteCert": "PEM"})).await;
    assert_eq!(next(&mut events).await, TransportEvent::IceStateChange(IceState::Connected));
    assert!(matches!(next(&mut events).await, TransportEvent::DtlsStateChange(_)));
    assert_eq!((transport.ice_state(), transport.dtls_state()), (IceState::Connected, DtlsState::Connected));
    assert_eq!(transport.dtls_remote_cert().as_deref(), Some("PEM"));

    transport.close().await.unwrap();
    assert_eq!(next(&mut events).await, TransportEvent::Close);
    assert_eq!((transport.ice_state(), transport.dtls_state()), (IceState::Closed, DtlsState::Closed));
    let closing = worker.asked(Method::RouterCloseTransport);
    assert_eq!((closing[0].handler_id.as_deref(), &closing[0].data), (Some("r"), &json!({"transportId": id})));
    // Closing again asks nothing, and everything else is refused without asking.
    transport.close().await.unwrap();
    assert_eq!(worker.asked(Method::RouterCloseTransport).len(), 1);
    assert!(matches!(transport.get_stats().await, Err(Error::Closed)));
    assert!(worker.asked(Method::TransportGetStats).is_empty());
}

#[tokio::test(start_paused = true)]
async fn producers_of_a_transport_share_the_first_cname() {
    let Bench { worker, router, transport, .. } = bench().await;
    produce(&transport, 1, Some("first")).await;
    produce(&transport, 2, Some("second")).await;
    produce(&transport, 3, None).await;
    let other = web_rtc_transport(&router).await;
    let made_up = produce(&other, 4, None).await;
    let cname = |frame: &RequestFrame| frame.data["rtpParameters"]["rtcp"]["cname"].as_str().unwrap().to_owned();
    let cnames: Vec<_> = worker.asked(Method::TransportProduce).iter().map(cname).collect();
    assert_eq!(cnames[..3], ["first", "first", "first"]);
    assert_eq!(cnames[3].len(), 8);
    assert_eq!(made_up.rtp_parameters().rtcp.cname.as_ref(), Some(&cnames[3]));
}

#[tokio::test(start_paused = true)]
async fn consumers_get_mids_in_order_and_their_producers_type() {
    let Bench { worker, router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    assert!(router.can_consume(producer.id(), &capabilities()));
    assert!(!router.can_consume("nobody", &capabilities()));
    let receiving = web_rtc_transport(&router).await;
    let first = consume(&receiving, &producer).await;
    let mut named = ConsumerOptions::new(producer.id(), capabilities());
    named.mid = Some("mine".to_owned());
    let named = receiving.consume(named).await.unwrap();
    let second = consume(&receiving, &producer).await;
    let mid = |consumer: &Consumer| consumer.rtp_parameters().mid.clone().unwrap();
    assert_eq!([mid(&first), mid(&named), mid(&second)], ["0", "mine", "1"]);
    assert_eq!(first.rtp_type(), RtpType::Simple);
    assert_eq!((first.kind(), first.producer_id()), (MediaKind::Video, producer.id()));
    assert!(first.paused(), "as the worker says");

    let asked = &worker.asked(Method::TransportConsume)[0];
    assert_eq!(asked.handler_id.as_deref(), Some(receiving.id()));
    let mapped = &worker.asked(Method::TransportProduce)[0].data["rtpMapping"]["encodings"][0]["mappedSsrc"];
    assert_eq!(&asked.data["consumableRtpEncodings"][0]["ssrc"], mapped);

    let error = receiving.consume(ConsumerOptions::new("nobody", capabilities())).await.unwrap_err();
    assert!(matches!(error, Error::ProducerNotFound(_)), "{error:?}");
    let error = receiving.consume(ConsumerOptions::new(producer.id(), Default::default())).await.unwrap_err();
    assert!(matches!(error, Error::Ortc(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_follows_its_worker() {
    let Bench { worker, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let consumer = consume(&transport, &producer).await;
    let mut events = consumer.events();
    consumer.resume().await.unwrap();
    assert!(!consumer.paused());
    consumer.set_priority(200).await.unwrap();
    assert_eq!(consumer.priority(), 200);
    assert!(matches!(consumer.set_priority(0).await, Err(Error::WrongOption(_))));
    consumer.unset_priority().await.unwrap();
    assert_eq!(worker.asked(Method::ConsumerSetPriority)[1].data, json!({"priority": 1}));
    let layers = PreferredLayers { spatial_layer: 1, temporal_layer: None };
    assert_eq!(consumer.set_preferred_layers(layers).await.unwrap(), None, "a simple consumer has no layers");

    let id = consumer.id();
    worker.notify(id, "producerpause", Value::Null).await;
    worker.notify(id, "score", json!({"score": 9, "producerScore": 8, "producerScores": [8]})).await;
    worker.notify(id, "layerschange", json!({"spatialLayer": 0, "temporalLayer": 1})).await;
    assert_eq!(next(&mut events).await, ConsumerEvent::ProducerPause);
    assert!(matches!(next(&mut events).await, ConsumerEvent::Score(_)));
    assert!(matches!(next(&mut events).await, ConsumerEvent::LayersChange(Some(_))));
    assert!(consumer.producer_paused());
    assert_eq!((consumer.score().score, consumer.current_layers().unwrap().temporal_layer), (9, 1));

    // What comes right behind a close is told before the close.
    worker.notify(id, "producerresume", Value::Null).await;
    worker.notify(id, "producerclose", Value::Null).await;
    assert_eq!(next(&mut events).await, ConsumerEvent::ProducerResume);
    assert_eq!(next(&mut events).await, ConsumerEvent::ProducerClose);
    assert!(consumer.closed());
    consumer.close().await.unwrap();
    assert!(worker.asked(Method::TransportCloseConsumer).is_empty(), "the worker has removed it already");
}

/// An endpoint's capabilities need not be in the form that negotiation fills in: both questions have one answer.
#[tokio::test(start_paused = true)]
async fn capabilities_are_validated_before_they_count() {
    let Bench { router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let mut terse = capabilities();
    for codec in &mut terse.codecs {
        codec.channels = Some(1);
    }
    assert!(router.can_consume(producer.id(), &terse));
    transport.consume(ConsumerOptions::new(producer.id(), terse)).await.expect("it can");

    let mut invalid = capabilities();
    invalid.header_extensions[0].uri.clear();
    assert!(!router.can_consume(producer.id(), &invalid));
    assert!(matches!(transport.consume(ConsumerOptions::new(producer.id(), invalid)).await, Err(Error::Ortc(_))));
}

/// Clones may pause and resume at once; what the worker was told last holds.
#[tokio::test(start_paused = true)]
async fn pausing_and_resuming_at_once_leaves_what_the_worker_has() {
    let Bench { worker, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let consumer = consume(&transport, &producer).await;
    let last = |pause: Method, resume: Method| {
        let asked = lock(&worker.asked);
        asked.iter().rev().find(|frame| [pause, resume].contains(&frame.method)).unwrap().method
    };
    // The worker is told to pause first, but whoever told it hears of it last.
    let (paused, resumed) = tokio::join!(
        async {
            let pause = producer.pause();
            let pause_consumer = consumer.pause();
            let (pause, pause_consumer) = (std::pin::pin!(pause), std::pin::pin!(pause_consumer));
            tokio::join!(late(pause), late(pause_consumer))
        },
        async { tokio::join!(producer.resume(), consumer.resume()) }
    );
    paused.0.and(paused.1).and(resumed.0).and(resumed.1).unwrap();
    assert_eq!(producer.paused(), last(Method::ProducerPause, Method::ProducerResume) == Method::ProducerPause);
    assert_eq!(consumer.paused(), last(Method::ConsumerPause, Method::ConsumerResume) == Method::ConsumerPause);
}

/// Begins a future, and goes on with it only after others have had many turns.
async fn late<F: Future + Unpin>(mut future: F) -> F::Output {
    assert!(futures_util::poll!(&mut future).is_pending());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    future.await
}

#[tokio::test(start_paused = true)]
async fn a_closed_producer_is_forgotten() {
    let Bench { worker, router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let mut events = producer.events();
    producer.close().await.unwrap();
    assert_eq!(next(&mut events).await, ProducerEvent::Close);
    assert_eq!(worker.asked(Method::TransportCloseProducer)[0].handler_id.as_deref(), Some(transport.id()));
    assert!(!router.can_consume(producer.id(), &capabilities()));
    assert!(!transport.closed());
}

/// Options of a producer with that id and SSRC.
fn named(id: &str, ssrc: u32) -> ProducerOptions {
    ProducerOptions { id: Some(id.to_owned()), ..ProducerOptions::new(MediaKind::Video, parameters(ssrc, None)) }
}

#[tokio::test(start_paused = true)]
async fn a_second_producer_of_the_same_id_is_refused_and_takes_nothing_from_the_first() {
    let Bench { worker, router, transport, .. } = bench().await;
    let other = web_rtc_transport(&router).await;
    // Both at once, so that the library can't know yet.
    let (first, second) = tokio::join!(transport.produce(named("mine", 1)), other.produce(named("mine", 2)));
    let first = first.expect("nobody had this id");
    assert!(matches!(second, Err(Error::Refused(_))), "{second:?}");
    // One after the other, on any transport.
    for transport in [&transport, &other] {
        let third = transport.produce(named("mine", 3)).await;
        assert!(matches!(third, Err(Error::WrongOption(_))), "{third:?}");
    }
    let mut events = first.events();
    worker.notify("mine", "score", json!([{"encodingIdx": 0, "ssrc": 1, "score": 7}])).await;
    assert!(matches!(next(&mut events).await, ProducerEvent::Score(_)));

    // As soon as it is closed, another one may have its id, and is not forgotten with it.
    let (closed, next_of_its_name) = tokio::join!(first.close(), other.produce(named("mine", 4)));
    closed.unwrap();
    let next_of_its_name = next_of_its_name.expect("the id is free");
    assert_eq!(next(&mut events).await, ProducerEvent::Close);
    router.forget_producer(first.id());
    assert!(router.can_consume("mine", &capabilities()));
    let mut events = next_of_its_name.events();
    worker.notify("mine", "score", json!([{"encodingIdx": 0, "ssrc": 4, "score": 8}])).await;
    assert!(matches!(next(&mut events).await, ProducerEvent::Score(_)));
}

#[tokio::test(start_paused = true)]
async fn ids_that_the_channel_can_not_carry_are_refused() {
    let Bench { worker, transport, .. } = bench().await;
    for id in ["", "undefined", "a:b"] {
        let error = transport.produce(named(id, 1)).await.unwrap_err();
        assert_eq!(error.name(), "TypeError", "{id:?}");
    }
    assert!(worker.asked(Method::TransportProduce).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_nobody_waits_for_is_closed() {
    let Bench { worker, transport, .. } = bench().await;
    {
        let mut produce = Box::pin(transport.produce(named("lost", 1)));
        assert!(futures_util::poll!(&mut produce).is_pending());
    }
    // Each waits for the answer to what was sent before it.
    produce(&transport, 3, None).await;
    produce(&transport, 2, None).await;
    let closed = worker.asked(Method::TransportCloseProducer);
    assert_eq!(closed.len(), 1);
    assert_eq!(
        (closed[0].handler_id.as_deref(), &closed[0].data),
        (Some(transport.id()), &json!({"producerId": "lost"}))
    );
    transport.produce(named("lost", 1)).await.expect("the id is free");
}

#[tokio::test(start_paused = true)]
async fn closing_goes_down_and_each_level_says_from_where() {
    let Bench { router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let consumer = consume(&transport, &producer).await;
    let (mut routers, mut transports) = (router.events(), transport.events());
    let (mut producers, mut consumers) = (producer.events(), consumer.events());
    router.close().await.unwrap();
    assert_eq!(next(&mut routers).await, RouterEvent::Close);
    assert_eq!(next(&mut transports).await, TransportEvent::RouterClose);
    assert_eq!(next(&mut producers).await, ProducerEvent::TransportClose);
    assert_eq!(next(&mut consumers).await, ConsumerEvent::TransportClose);
    assert!(transport.closed() && producer.closed() && consumer.closed());
    assert!(matches!(
        transport.produce(ProducerOptions::new(MediaKind::Video, parameters(2, None))).await,
        Err(Error::Closed)
    ));
    assert!(matches!(router.dump().await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_worker_closes_everything() {
    let Bench { worker_closed, channel, router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let (mut routers, mut transports, mut producers) = (router.events(), transport.events(), producer.events());
    worker_closed.cancel();
    channel.end();
    assert_eq!(next(&mut routers).await, RouterEvent::WorkerClose);
    assert_eq!(next(&mut transports).await, TransportEvent::RouterClose);
    assert_eq!(next(&mut producers).await, ProducerEvent::TransportClose);
    router.wait_closed().await;
    assert!(matches!(router.dump().await, Err(Error::Closed)));
    router.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plain_transport_learns_where_rtp_comes_from() {
    let Bench { worker, router, .. } = bench().await;
    let mut options = PlainTransportOptions::new("127.0.0.1".parse().unwrap());
    options.comedia = true;
    let transport = router.create_plain_transport(options).await.unwrap();
    assert_eq!(worker.asked(Method::RouterCreatePlainTransport)[0].data["listenIp"], json!({"ip": "127.0.0.1"}));
    assert_eq!(transport.tuple().remote_port, None);
    let mut events = transport.events();
    let tuple =
        json!({"localIp": "127.0.0.1", "localPort": 4000, "remoteIp": "127.0.0.1", "remotePort": 9, "protocol": "udp"});
    worker.notify(transport.id(), "tuple", json!({"tuple": tuple})).await;
    assert!(matches!(next(&mut events).await, TransportEvent::Tuple(_)));
    assert_eq!(transport.tuple().remote_port, Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_transport_is_closed_with_the_server_whose_ports_it_uses() {
    let Bench { worker, worker_closed, channel, router, transport } = bench().await;
    let server = WebRtcServer::new("s".to_owned(), channel, worker_closed.child_token());
    let mut options = WebRtcServerTransportOptions::new(server.clone());
    options.prefer_tcp = true;
    let on_server = router.create_web_rtc_transport_with_server(options.clone()).await.expect("a transport");
    let asked = &worker.asked(Method::RouterCreateWebRtcTransportWithServer)[0].data;
    assert_eq!((&asked["webRtcServerId"], &asked["preferTcp"]), (&json!("s"), &json!(true)));
    assert_eq!((&asked["enableUdp"], &asked["initialAvailableOutgoingBitrate"]), (&json!(true), &json!(600_000)));

    let (mut servers, mut transports) = (server.events(), on_server.events());
    server.close().await.expect("it is there");
    assert_eq!(next(&mut servers).await, WebRtcServerEvent::Close);
    assert_eq!(next(&mut transports).await, TransportEvent::WebRtcServerClose);
    assert_eq!(worker.asked(Method::WorkerCloseWebRtcServer)[0].data, json!({"webRtcServerId": "s"}));
    assert!(on_server.closed() && !transport.closed());
    assert!(matches!(router.create_web_rtc_transport_with_server(options).await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_pipe_transport_sends_all_streams_and_keeps_canonical_names() {
    let Bench { worker, router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, Some("camera")).await;
    let mut options = PipeTransportOptions::new("127.0.0.1".parse().unwrap());
    options.enable_rtx = true;
    let pipe = router.create_pipe_transport(options).await.expect("a transport");
    let remote = PipeRemote { ip: "127.0.0.1".parse().unwrap(), port: 9, srtp_parameters: None };
    pipe.connect(remote).await.expect("it connects");
    assert_eq!(pipe.tuple().remote_port, Some(9));

    let consumer = pipe.consume(producer.id()).await.expect("a consumer");
    assert_eq!(consumer.rtp_type(), RtpType::Pipe);
    let asked = &worker.asked(Method::TransportConsume)[0].data;
    assert_eq!(asked["type"], json!("pipe"));
    assert_eq!(asked["rtpParameters"]["encodings"].as_array().map(Vec::len), Some(1));
    assert!(asked["rtpParameters"].get("mid").is_none());
    assert!(matches!(pipe.consume("nobody").await, Err(Error::ProducerNotFound(_))));

    for (ssrc, cname) in [(2, "one"), (3, "other")] {
        let options = ProducerOptions::new(MediaKind::Video, parameters(ssrc, Some(cname)));
        pipe.produce(options).await.expect("a producer");
    }
    let asked = worker.asked(Method::TransportProduce);
    let cnames: Vec<_> = asked.iter().map(|frame| &frame.data["rtpParameters"]["rtcp"]["cname"]).collect();
    assert_eq!(cnames, [&json!("camera"), &json!("one"), &json!("other")]);
}

#[tokio::test(start_paused = true)]
async fn an_observer_follows_its_worker() {
    let Bench { worker, router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let levels = router.create_audio_level_observer(AudioLevelObserverOptions::default()).await.expect("an observer");
    let asked = &worker.asked(Method::RouterCreateAudioLevelObserver)[0].data;
    let id = levels.id().to_owned();
    assert_eq!(*asked, json!({"rtpObserverId": id, "maxEntries": 1, "threshold": -80, "interval": 1000}));
    levels.add_producer(producer.id()).await.expect("it listens");
    assert!(matches!(levels.add_producer("nobody").await, Err(Error::ProducerNotFound(_))));
    levels.pause().await.expect("it stops");
    let added = &worker.asked(Method::RtpObserverAddProducer)[0];
    assert_eq!((added.handler_id.as_deref(), &added.data), (Some(id.as_str()), &json!({"producerId": producer.id()})));

    let mut events = levels.events();
    worker.notify(&id, "volumes", json!([{"producerId": "p", "volume": -20}])).await;
    let RtpObserverEvent::Volumes(volumes) = next(&mut events).await else { panic!("volumes") };
    assert_eq!((volumes[0].producer_id.as_str(), volumes[0].volume), ("p", -20));
    worker.notify(&id, "silence", Value::Null).await;
    assert_eq!(next(&mut events).await, RtpObserverEvent::Silence);
    levels.close().await.expect("it is there");
    assert_eq!(next(&mut events).await, RtpObserverEvent::Close);
    assert_eq!(worker.asked(Method::RouterCloseRtpObserver)[0].data, json!({"rtpObserverId": id}));

    let speaker = router.create_active_speaker_observer(300).await.expect("an observer");
    let mut events = speaker.events();
    worker.notify(speaker.id(), "dominantspeaker", json!({"producerId": "p"})).await;
    assert_eq!(next(&mut events).await, RtpObserverEvent::DominantSpeaker("p".to_owned()));
    router.close().await.expect("it is there");
    assert_eq!(next(&mut events).await, RtpObserverEvent::RouterClose);
}

/// A transport with two streams for data consumers.
async fn data_transport(router: &Router) -> PlainTransport {
    let num_streams = sfu_channel::NumSctpStreams { os: 2, mis: 2 };
    let sctp = sfu_channel::request::SctpOptions { num_streams, ..Default::default() };
    let mut options = PlainTransportOptions::new("127.0.0.1".parse().unwrap());
    options.sctp = Some(sctp);
    router.create_plain_transport(options).await.expect("a transport")
}

fn stream(stream_id: u16) -> sfu_channel::SctpStreamParameters {
    sfu_channel::SctpStreamParameters {
        stream_id,
        ordered: Some(false),
        max_packet_life_time: None,
        max_retransmits: Some(3),
    }
}

#[tokio::test(start_paused = true)]
async fn data_consumers_have_streams_of_their_own() {
    let Bench { worker, router, transport, .. } = bench().await;
    let (sending, receiving) = (data_transport(&router).await, data_transport(&router).await);
    let mut options = DataProducerOptions::new(stream(40));
    options.id = Some("chat".to_owned());
    options.label = "the label".to_owned();
    let producer = sending.produce_data(options.clone()).await.unwrap();
    assert_eq!(
        (producer.id(), producer.label(), producer.sctp_stream_parameters()),
        ("chat", "the label", Some(stream(40)))
    );
    assert!(matches!(sending.produce_data(options).await, Err(Error::WrongOption(_))), "its id is taken");

    let consume = || receiving.consume_data(DataConsumerOptions::new("chat"));
    let id = |consumer: &DataConsumer| consumer.sctp_stream_parameters().unwrap().stream_id;
    let first = consume().await.unwrap();
    assert_eq!(first.sctp_stream_parameters(), Some(stream(0)), "like its producer's but for the stream");
    assert_eq!((first.label(), first.data_producer_id()), ("the label", "chat"));
    let second = consume().await.unwrap();
    assert_eq!(id(&second), 1);
    assert!(matches!(consume().await, Err(Error::NoSctpStream)));
    let mut events = first.events();
    first.close().await.unwrap();
    assert_eq!(next(&mut events).await, DataConsumerEvent::Close);
    let mut other = DataConsumerOptions::new("chat");
    other.max_retransmits = Some(9);
    let third = receiving.consume_data(other).await.unwrap();
    assert_eq!((id(&third), third.sctp_stream_parameters().unwrap().max_retransmits), (0, Some(9)));

    let nobody = receiving.consume_data(DataConsumerOptions::new("nobody")).await;
    assert!(matches!(nobody, Err(Error::DataProducerNotFound(id)) if id == "nobody"));
    assert!(matches!(transport.consume_data(DataConsumerOptions::new("chat")).await, Err(Error::NoSctp)));
    assert_eq!(worker.asked(Method::TransportConsumeData).len(), 3, "what can't be is not asked for");
}

#[tokio::test(start_paused = true)]
async fn data_consumers_follow_their_worker() {
    let Bench { worker, router, .. } = bench().await;
    let (sending, receiving) = (data_transport(&router).await, data_transport(&router).await);
    let producer = sending.produce_data(DataProducerOptions::new(stream(0))).await.unwrap();
    let consumer = receiving.consume_data(DataConsumerOptions::new(producer.id())).await.unwrap();
    let other = receiving.consume_data(DataConsumerOptions::new(producer.id())).await.unwrap();
    let (mut events, mut others, mut producers) = (consumer.events(), other.events(), producer.events());

    assert_eq!(consumer.get_buffered_amount().await.unwrap(), 77);
    consumer.set_buffered_amount_low_threshold(1000).await.unwrap();
    assert_eq!(consumer.buffered_amount_low_threshold(), 1000);
    assert_eq!(worker.asked(Method::DataConsumerSetBufferedAmountLowThreshold)[0].data, json!({"threshold": 1000}));
    worker.notify(consumer.id(), "sctpsendbufferfull", Value::Null).await;
    worker.notify(consumer.id(), "bufferedamountlow", json!({"bufferedAmount": 5})).await;
    assert_eq!(next(&mut events).await, DataConsumerEvent::SctpSendBufferFull);
    assert_eq!(next(&mut events).await, DataConsumerEvent::BufferedAmountLow(5));

    producer.close().await.unwrap();
    assert_eq!(next(&mut producers).await, DataProducerEvent::Close);
    let closing = &worker.asked(Method::TransportCloseDataProducer)[0];
    assert_eq!(closing.handler_id.as_deref(), Some(sending.id()));
    worker.notify(consumer.id(), "dataproducerclose", Value::Null).await;
    assert_eq!(next(&mut events).await, DataConsumerEvent::DataProducerClose);
    assert!(consumer.closed() && !other.closed());
    assert!(worker.asked(Method::TransportCloseDataConsumer).is_empty(), "the worker has removed it");

    let gone = receiving.consume_data(DataConsumerOptions::new(producer.id())).await;
    assert!(matches!(gone, Err(Error::DataProducerNotFound(_))));
    receiving.close().await.unwrap();
    assert_eq!(next(&mut others).await, DataConsumerEvent::TransportClose);
    assert!(matches!(other.get_stats().await, Err(Error::Closed)));
}
