//! Transports, and how closing goes down.

use super::*;

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
