//! The control library's data producers and data consumers on a real worker.

use std::future::Future;
use std::time::Duration;

use sfu_control::messages::SctpState;
use sfu_control::messages::request::SctpOptions;
use sfu_control::messages::{SctpStreamParameters, TransportTuple};
use sfu_control::{
    DataConsumerEvent, DataConsumerOptions, DataMessage, DataProducerOptions, Error, PlainRemote, PlainTransport,
    PlainTransportOptions, Router, TransportEvent, Worker, WorkerSettings,
};

const LIMIT: Duration = Duration::from_secs(10);

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

async fn transport(router: &Router) -> PlainTransport {
    let mut options = PlainTransportOptions::new([127, 0, 0, 1].into());
    options.sctp = Some(SctpOptions { send_buffer_size: 10_000, ..SctpOptions::default() });
    router.create_plain_transport(options).await.unwrap()
}

async fn connect(transport: &PlainTransport, to: TransportTuple) {
    let remote = PlainRemote { ip: Some([127, 0, 0, 1].into()), port: Some(to.local_port), ..PlainRemote::default() };
    transport.connect(remote).await.unwrap();
}

fn stream(stream_id: u16) -> DataProducerOptions {
    let (ordered, max_packet_life_time, max_retransmits) = (None, None, None);
    DataProducerOptions::new(SctpStreamParameters { stream_id, ordered, max_packet_life_time, max_retransmits })
}

#[tokio::test]
async fn messages_of_the_application_reach_the_other_end() {
    let worker = Worker::spawn(WorkerSettings::new(tests::worker_bin())).await.unwrap();
    let router = worker.create_router(&[]).await.unwrap();
    let (near, far, idle) = (transport(&router).await, transport(&router).await, transport(&router).await);
    let mut states = near.events();
    connect(&near, far.tuple()).await;
    connect(&far, near.tuple()).await;
    let connected =
        async { while states.recv().await.unwrap() != TransportEvent::SctpStateChange(SctpState::Connected) {} };
    in_time("connected", connected).await;
    assert_eq!(near.sctp_state(), Some(SctpState::Connected));

    // What the consumer sends on is the near transport's first stream, and the far one's producer listens there.
    let source = idle.produce_data(stream(7)).await.unwrap();
    let consumer = near.consume_data(DataConsumerOptions::new(source.id())).await.unwrap();
    let arrived = far.produce_data(stream(0)).await.unwrap();
    assert_eq!(consumer.sctp_stream_parameters().unwrap().stream_id, 0);
    let mut events = consumer.events();
    consumer.send(DataMessage::text("text")).await.unwrap();
    consumer.send(DataMessage::binary(vec![1, 2, 3])).await.unwrap();
    consumer.send(DataMessage::text("")).await.unwrap();
    consumer.send(DataMessage::binary(Vec::new())).await.unwrap();
    let all = async {
        loop {
            let stat = arrived.get_stats().await.unwrap().remove(0);
            if stat.messages_received == 4 {
                break stat.bytes_received;
            }
        }
    };
    // An empty message is carried as one byte.
    assert_eq!(in_time("four messages", all).await, 4 + 3 + 1 + 1);
    assert_eq!(consumer.get_stats().await.unwrap()[0].messages_sent, 4);

    let too_long = consumer.send(DataMessage::binary(vec![0; 300_000])).await;
    assert!(matches!(too_long, Err(Error::Refused(refusal)) if refusal.reason.contains("maxMessageSize")));
    source.close().await.unwrap();
    let closed = async { while events.recv().await.unwrap() != DataConsumerEvent::DataProducerClose {} };
    in_time("closed with its producer", closed).await;
    assert!(matches!(consumer.send(DataMessage::text("late")).await, Err(Error::Closed)));
    worker.close().await;
}
