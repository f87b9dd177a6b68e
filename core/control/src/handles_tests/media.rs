//! Producers and consumers.

use super::*;

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
