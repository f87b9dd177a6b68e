//! Direct transports, with the test at the worker's end of the payload channel too.

use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::*;

struct Payloads {
    frames: FramedRead<DuplexStream, LengthDelimitedCodec>,
    out: FramedWrite<DuplexStream, LengthDelimitedCodec>,
}

impl Payloads {
    fn open(channel: &Channel) -> Self {
        let (to_worker, frames) = duplex(1 << 16);
        let (out, from_worker) = duplex(1 << 16);
        channel.open_payload_channel(to_worker, from_worker);
        Self { frames: FramedRead::new(frames, codec()), out: FramedWrite::new(out, codec()) }
    }

    /// The next message of the library's: header and payload.
    async fn next(&mut self) -> (String, Vec<u8>) {
        let mut frame = async || self.frames.next().await.expect("a frame").expect("a whole one").to_vec();
        (String::from_utf8(frame().await).expect("text"), frame().await)
    }

    async fn notify(&mut self, target: &str, event: &str, data: Value, payload: &'static [u8]) {
        let header = json!({"targetId": target, "event": event, "data": data}).to_string();
        self.out.send(Bytes::from(header)).await.expect("it is read");
        self.out.send(Bytes::from_static(payload)).await.expect("it is read");
    }
}

#[tokio::test(start_paused = true)]
async fn packets_go_both_ways_each_to_its_own() {
    let Bench { worker, channel, router, transport: other, .. } = bench().await;
    let mut payloads = Payloads::open(&channel);
    let direct = router.create_direct_transport(DirectTransportOptions { max_message_size: 10 }).await.unwrap();
    let asked = &worker.asked(Method::RouterCreateDirectTransport)[0].data;
    assert_eq!(*asked, json!({"transportId": direct.id(), "direct": true, "maxMessageSize": 10}));
    let (producer, consumed) = (produce(&direct, 1, None).await, produce(&other, 2, None).await);
    let (one, two) = (consume(&direct, &consumed).await, consume(&direct, &consumed).await);

    producer.send(vec![1, 2]).await.unwrap();
    assert_eq!(payloads.next().await, (format!("n:producer.send:{}:undefined", producer.id()), vec![1, 2]));
    direct.send_rtcp(vec![3]).await.unwrap();
    assert_eq!(payloads.next().await, (format!("n:transport.sendRtcp:{}:undefined", direct.id()), vec![3]));
    for refused in
        [consumed.send(vec![1]).await, producer.send(vec![0; 1601]).await, direct.send_rtcp(vec![0; 1601]).await]
    {
        assert!(matches!(refused, Err(Error::WrongOption(_))), "{refused:?}");
    }

    let (mut rtp, mut also, mut others, mut rtcp) = (one.rtp(), one.rtp(), two.rtp(), direct.rtcp());
    payloads.notify(one.id(), "rtp", Value::Null, b"first").await;
    payloads.notify("nobody", "rtp", Value::Null, b"lost").await;
    payloads.notify(direct.id(), "rtcp", Value::Null, b"report").await;
    payloads.notify(one.id(), "rtp", Value::Null, b"second").await;
    assert_eq!((next(&mut rtp).await, next(&mut rtp).await), (Bytes::from("first"), Bytes::from("second")));
    assert_eq!((next(&mut also).await, next(&mut rtcp).await), (Bytes::from("first"), Bytes::from("report")));
    assert_eq!(others.try_recv(), Err(TryRecvError::Empty));

    one.close().await.unwrap();
    assert_eq!(rtp.recv().await, Err(RecvError::Closed));
    assert_eq!(one.rtp().recv().await, Err(RecvError::Closed), "who listens later hears the end too");
    router.close().await.unwrap();
    assert_eq!((others.recv().await, rtcp.recv().await), (Err(RecvError::Closed), Err(RecvError::Closed)));
    assert!(matches!(producer.send(vec![1]).await, Err(Error::Closed)));
    assert!(matches!(direct.send_rtcp(vec![1]).await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn messages_go_both_ways() {
    let Bench { worker, channel, router, .. } = bench().await;
    let mut payloads = Payloads::open(&channel);
    let direct = router.create_direct_transport(DirectTransportOptions { max_message_size: 10 }).await.unwrap();
    let mut options = DataProducerOptions::direct();
    options.label = "chat".to_owned();
    let producer = direct.produce_data(options).await.unwrap();
    let consumer = direct.consume_data(DataConsumerOptions::new(producer.id())).await.unwrap();
    assert_eq!((producer.data_type(), producer.sctp_stream_parameters()), (sfu_channel::DataType::Direct, None));
    assert_eq!((consumer.data_type(), consumer.label()), (sfu_channel::DataType::Direct, "chat"));
    let asked = &worker.asked(Method::TransportConsumeData)[0].data;
    assert_eq!((&asked["type"], asked.get("sctpStreamParameters")), (&json!("direct"), None));

    let header = format!("n:dataProducer.send:{}", producer.id());
    producer.send(DataMessage::text("hello")).await.unwrap();
    assert_eq!(payloads.next().await, (format!("{header}:51"), b"hello".to_vec()));
    producer.send(DataMessage::binary(Vec::new())).await.unwrap();
    assert_eq!(payloads.next().await, (format!("{header}:57"), vec![0]));
    let too_long = producer.send(DataMessage::binary(vec![0; 11])).await;
    assert!(matches!(too_long, Err(Error::WrongOption(_))), "{too_long:?}");

    let mut messages = consumer.messages();
    payloads.notify(consumer.id(), "message", json!({"ppid": 51}), b"to you").await;
    payloads.notify(consumer.id(), "message", json!({"ppid": 56}), b" ").await;
    assert_eq!(next(&mut messages).await, DataMessage::text("to you"));
    assert_eq!(next(&mut messages).await.as_text(), Some(""));
    direct.close().await.unwrap();
    assert_eq!(messages.recv().await, Err(RecvError::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_worker_is_the_end_of_what_comes() {
    let Bench { worker_closed, channel, router, transport, .. } = bench().await;
    let payloads = Payloads::open(&channel);
    let direct = router.create_direct_transport(DirectTransportOptions::default()).await.unwrap();
    let consumer = consume(&direct, &produce(&transport, 1, None).await).await;
    let mut rtp = consumer.rtp();
    drop(payloads);
    worker_closed.cancel();
    channel.end();
    assert_eq!(rtp.recv().await, Err(RecvError::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_a_data_producer_needs_depends_on_its_transport() {
    let Bench { worker, router, .. } = bench().await;
    let over_sctp = super::data::data_transport(&router).await;
    let missing = over_sctp.produce_data(DataProducerOptions::direct()).await;
    assert!(matches!(missing, Err(Error::WrongOption(_))), "{missing:?}");
    assert!(worker.asked(Method::TransportProduceData).is_empty());
    let producer = over_sctp.produce_data(DataProducerOptions::new(super::data::stream(0))).await.unwrap();
    let not_direct = producer.send(DataMessage::text("x")).await;
    assert!(matches!(not_direct, Err(Error::WrongOption(_))), "{not_direct:?}");
}
