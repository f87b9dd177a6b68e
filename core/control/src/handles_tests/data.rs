//! Data producers and data consumers over SCTP.

use super::*;

/// A transport with two streams for data consumers.
pub(super) async fn data_transport(router: &Router) -> PlainTransport {
    let num_streams = sfu_channel::NumSctpStreams { os: 2, mis: 2 };
    let sctp = sfu_channel::request::SctpOptions { num_streams, ..Default::default() };
    let mut options = PlainTransportOptions::new("127.0.0.1".parse().unwrap());
    options.sctp = Some(sctp);
    router.create_plain_transport(options).await.expect("a transport")
}

pub(super) fn stream(stream_id: u16) -> sfu_channel::SctpStreamParameters {
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
