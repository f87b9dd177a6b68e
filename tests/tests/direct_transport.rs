//! The control library's direct transports on a real worker: packets and messages of the application's own, through the
//! worker and back.

use std::future::Future;
use std::time::Duration;

use sfu_control::messages::{MediaKind, RtpParameters};
use sfu_control::{
    ConsumerOptions, DataConsumerOptions, DataMessage, DataProducerOptions, DirectTransport, DirectTransportOptions,
    Error, ProducerOptions, Router, Worker, WorkerSettings,
};
use tokio::sync::broadcast;

const LIMIT: Duration = Duration::from_secs(10);
const SSRC: u32 = 0x1234_5678;

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

async fn next<T: Clone>(what: &str, from: &mut broadcast::Receiver<T>) -> T {
    in_time(what, from.recv()).await.unwrap_or_else(|error| panic!("{what}: {error}"))
}

async fn router(worker: &Worker) -> Router {
    let vp8 = serde_json::json!({
        "kind": "video", "mimeType": "video/VP8", "clockRate": 90000,
        "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}]
    });
    worker.create_router(&[serde_json::from_value(vp8).unwrap()]).await.unwrap()
}

async fn direct(router: &Router) -> DirectTransport {
    router.create_direct_transport(DirectTransportOptions::default()).await.unwrap()
}

fn sent() -> RtpParameters {
    serde_json::from_value(serde_json::json!({
        "codecs": [{"mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000,
                    "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}]}],
        "encodings": [{"ssrc": SSRC}]
    }))
    .unwrap()
}

/// A packet of the stream (RFC 3550, 5.1) with a VP8 key frame (RFC 7741, 4.2 and 4.3) of that many bytes.
fn packet(sequence: u16, length: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 0x80 | 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 3000).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    // The descriptor says that the frame starts here, and the frame that it is a key frame.
    packet.extend([0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00]);
    packet.resize(packet.len() + length, sequence as u8);
    packet
}

#[tokio::test]
async fn packets_of_the_application_come_back_to_it_and_so_does_what_is_said_of_them() {
    let worker = Worker::spawn(WorkerSettings::new(tests::worker_bin())).await.unwrap();
    let router = router(&worker).await;
    let (sending, receiving) = (direct(&router).await, direct(&router).await);
    let producer = sending.produce(ProducerOptions::new(MediaKind::Video, sent())).await.unwrap();
    let mut options = ConsumerOptions::new(producer.id(), router.rtp_capabilities().clone());
    options.paused = true;
    let consumer = receiving.consume(options).await.unwrap();
    let (mut rtp, mut rtcp) = (consumer.rtp(), sending.rtcp());
    consumer.resume().await.unwrap();

    for sequence in 0..50 {
        producer.send(packet(sequence, 1000)).await.unwrap();
    }
    let ssrc = consumer.rtp_parameters().encodings[0].ssrc.unwrap();
    for sequence in 0..50 {
        let received = next("a packet", &mut rtp).await;
        assert_eq!(received[received.len() - 1000..], [sequence as u8; 1000]);
        assert_eq!(received[8..12], ssrc.to_be_bytes());
    }

    // A gap, of which the sender is told: a generic NACK (RFC 4585, 6.2.1) for 50 and 51.
    producer.send(packet(52, 100)).await.unwrap();
    let nack = async {
        loop {
            let compound = rtcp.recv().await.unwrap();
            if compound[1] == 205 {
                return compound;
            }
        }
    };
    let nack = in_time("a NACK", nack).await;
    assert_eq!((&nack[8..12], &nack[12..16]), (&SSRC.to_be_bytes()[..], &[0, 50, 0, 1][..]));

    // The receiver wants a key frame: a PLI (RFC 4585, 6.3.1), which the sender gets with its own SSRC.
    let mut pli = vec![0x81, 206, 0, 2, 0, 0, 0, 0];
    pli.extend(ssrc.to_be_bytes());
    receiving.send_rtcp(pli).await.unwrap();
    let pli = async { while !rtcp.recv().await.unwrap().starts_with(&[0x81, 206]) {} };
    in_time("a PLI", pli).await;

    let stats = producer.get_stats().await.unwrap();
    assert_eq!(stats.len(), 1, "{stats:?}");
    producer.close().await.unwrap();
    in_time("the consumer's end", consumer.wait_closed()).await;
    in_time("the packets' end", async { while rtp.recv().await.is_ok() {} }).await;
    worker.close().await;
}

#[tokio::test]
async fn messages_of_the_application_come_back_to_it_whole_and_in_order() {
    let worker = Worker::spawn(WorkerSettings::new(tests::worker_bin())).await.unwrap();
    let router = router(&worker).await;
    let (sending, receiving) = (direct(&router).await, direct(&router).await);
    let producer = sending.produce_data(DataProducerOptions::direct()).await.unwrap();
    let consumer = receiving.consume_data(DataConsumerOptions::new(producer.id())).await.unwrap();
    let mut messages = consumer.messages();
    let sent = [
        DataMessage::text("text"),
        DataMessage::binary(vec![7; 262_144]),
        DataMessage::text(""),
        DataMessage::binary(Vec::new()),
    ];
    for message in &sent {
        producer.send(message.clone()).await.unwrap();
    }
    for message in &sent {
        assert_eq!(next("a message", &mut messages).await, *message);
    }
    let too_long = producer.send(DataMessage::binary(vec![7; 262_145])).await;
    assert!(matches!(too_long, Err(Error::WrongOption(_))), "{too_long:?}");
    let backwards = consumer.send(DataMessage::text("x")).await;
    assert!(matches!(backwards, Err(Error::Refused(_))), "{backwards:?}");

    assert_eq!(producer.get_stats().await.unwrap()[0].messages_received, 4);
    assert_eq!(consumer.get_stats().await.unwrap()[0].messages_sent, 4);
    worker.close().await;
}
