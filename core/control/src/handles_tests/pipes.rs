//! Producers that are piped to a router of another worker.

use super::*;

fn bare() -> PipeToRouterOptions {
    PipeToRouterOptions { sctp: None, ..PipeToRouterOptions::default() }
}

/// Waits until a producer is paused or not; nothing else has a turn then.
async fn until_paused(producer: &Producer, paused: bool) {
    while producer.paused() != paused {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_piped_producer_is_paused_resumed_and_closed_with_its_original() {
    let (here, there) = (bench_of("here").await, bench_of("there").await);
    let original = produce(&here.transport, 1, Some("camera")).await;
    let options = PipeToRouterOptions { enable_srtp: true, ..bare() };
    let piped = here.router.pipe_producer_to_router(original.id(), &there.router, &options).await.unwrap();
    assert_eq!((piped.producer.id(), piped.producer.kind()), (original.id(), MediaKind::Video));
    assert_eq!(piped.producer.rtp_parameters().encodings, piped.consumer.rtp_parameters().encodings);
    assert!(there.router.can_consume(original.id(), &capabilities()));
    assert_eq!(here.worker.asked(Method::RouterCreatePipeTransport)[0].data["enableSrtp"], json!(true));
    let connected = &there.worker.asked(Method::TransportConnect)[0].data;
    assert_eq!((&connected["ip"], &connected["port"]), (&json!("127.0.0.1"), &json!(4000)));

    here.worker.notify(piped.consumer.id(), "producerpause", Value::Null).await;
    until_paused(&piped.producer, true).await;
    here.worker.notify(piped.consumer.id(), "producerresume", Value::Null).await;
    until_paused(&piped.producer, false).await;
    assert_eq!(there.worker.asked(Method::ProducerResume).len(), 1);

    here.worker.notify(piped.consumer.id(), "producerclose", Value::Null).await;
    piped.producer.wait_closed().await;
    assert!(!there.router.can_consume(original.id(), &capabilities()));
    assert!(here.worker.asked(Method::TransportCloseConsumer).is_empty(), "the worker has removed it");
}

#[tokio::test(start_paused = true)]
async fn what_is_closed_at_one_end_is_closed_at_the_other() {
    let (here, there) = (bench_of("here").await, bench_of("there").await);
    let original = produce(&here.transport, 1, None).await;
    let options = bare();
    let pipe = || here.router.pipe_producer_to_router(original.id(), &there.router, &options);
    let piped = pipe().await.unwrap();
    piped.producer.close().await.unwrap();
    piped.consumer.wait_closed().await;
    assert!(!original.closed());

    // The id is free again, and the pipe is still there.
    let piped = pipe().await.unwrap();
    piped.consumer.close().await.unwrap();
    piped.producer.wait_closed().await;
    assert_eq!(here.worker.asked(Method::RouterCreatePipeTransport).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_routers_have_one_pipe_until_it_is_closed() {
    let (here, there) = (bench_of("here").await, bench_of("there").await);
    let (one, two) = (named_here(&here, "one", 1).await, named_here(&here, "two", 2).await);
    let back = named_here(&there, "back", 3).await;
    let options = bare();
    let (one, two, back) = tokio::join!(
        here.router.pipe_producer_to_router(one.id(), &there.router, &options),
        here.router.pipe_producer_to_router(two.id(), &there.router, &options),
        there.router.pipe_producer_to_router(back.id(), &here.router, &options),
    );
    let (one, two, back) = (one.unwrap(), two.unwrap(), back.unwrap());
    for bench in [&here, &there] {
        assert_eq!(bench.worker.asked(Method::RouterCreatePipeTransport).len(), 1);
    }
    assert_eq!(one.producer.transport().id(), two.producer.transport().id());
    assert_eq!(one.consumer.transport().id(), back.producer.transport().id());

    one.consumer.transport().close().await.unwrap();
    for closed in [&one.producer, &two.producer, &back.producer] {
        closed.wait_closed().await;
    }
    one.producer.transport().wait_closed().await;
    let again = here.router.pipe_producer_to_router("one", &there.router, &options).await.unwrap();
    assert_ne!(again.producer.transport().id(), one.producer.transport().id());
}

async fn named_here(bench: &Bench, id: &str, ssrc: u32) -> Producer {
    let mut options = ProducerOptions::new(MediaKind::Video, parameters(ssrc, None));
    options.id = Some(id.to_owned());
    bench.transport.produce(options).await.expect("a producer")
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_piped_leaves_nothing_behind() {
    let (here, there) = (bench_of("here").await, bench_of("there").await);
    let original = named_here(&here, "p", 1).await;
    let itself = here.router.pipe_producer_to_router("p", &here.router, &bare()).await;
    assert!(matches!(itself, Err(Error::WrongOption(_))), "{itself:?}");
    let unknown = here.router.pipe_producer_to_router("nobody", &there.router, &bare()).await;
    assert!(matches!(unknown, Err(Error::ProducerNotFound(_))), "{unknown:?}");
    let unknown = here.router.pipe_data_producer_to_router("nobody", &there.router, &bare()).await;
    assert!(matches!(unknown, Err(Error::DataProducerNotFound(_))), "{unknown:?}");
    assert!(here.worker.asked(Method::RouterCreatePipeTransport).is_empty());

    named_here(&there, "p", 2).await;
    let taken = here.router.pipe_producer_to_router(original.id(), &there.router, &bare()).await;
    assert!(matches!(taken, Err(Error::WrongOption(_))), "{taken:?}");
    while here.worker.asked(Method::TransportCloseConsumer).is_empty() {
        tokio::task::yield_now().await;
    }

    there.router.close().await.unwrap();
    let closed = here.router.pipe_producer_to_router(original.id(), &there.router, &bare()).await;
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_piped_data_producer_is_on_the_consumers_stream() {
    let (here, there) = (bench_of("here").await, bench_of("there").await);
    let sending = super::data::data_transport(&here.router).await;
    let mut options = DataProducerOptions::new(super::data::stream(9));
    options.label = "chat".to_owned();
    let original = sending.produce_data(options).await.unwrap();
    let options = PipeToRouterOptions::default();
    let piped = here.router.pipe_data_producer_to_router(original.id(), &there.router, &options).await.unwrap();
    assert_eq!((piped.data_producer.id(), piped.data_producer.label()), (original.id(), "chat"));
    assert_eq!(piped.data_producer.sctp_stream_parameters(), piped.data_consumer.sctp_stream_parameters());
    assert_eq!(piped.data_consumer.sctp_stream_parameters(), Some(super::data::stream(0)));

    here.worker.notify(piped.data_consumer.id(), "dataproducerclose", Value::Null).await;
    piped.data_producer.wait_closed().await;
    let without = PipeToRouterOptions { sctp: None, ..options };
    let (here, there) = (here.router, bench_of("elsewhere").await.router);
    let refused = here.pipe_data_producer_to_router(original.id(), &there, &without).await;
    assert!(matches!(refused, Err(Error::NoSctp)), "{refused:?}");
}
