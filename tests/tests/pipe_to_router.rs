//! Producers of one worker in another one, through the control library: media and messages that go through a pipe.

use std::future::Future;
use std::time::Duration;

use sfu_control::messages::{MediaKind, RtpParameters};
use sfu_control::{
    ConsumerOptions, DataConsumerOptions, DataMessage, DataProducerOptions, DirectTransport, DirectTransportOptions,
    Error, PipeToRouterOptions, ProducerOptions, Router, TransportEvent, Worker, WorkerSettings,
};

const LIMIT: Duration = Duration::from_secs(10);

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// A worker, a router in it, and a direct transport by which the test sends and receives.
struct Host {
    worker: Worker,
    router: Router,
    direct: DirectTransport,
}

impl Host {
    async fn start() -> Self {
        let worker = Worker::spawn(WorkerSettings::new(tests::worker_bin())).await.unwrap();
        let router = router(&worker).await;
        let direct = router.create_direct_transport(DirectTransportOptions::default()).await.unwrap();
        Self { worker, router, direct }
    }
}

async fn router(worker: &Worker) -> Router {
    let opus = serde_json::json!({"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2});
    worker.create_router(&[serde_json::from_value(opus).unwrap()]).await.unwrap()
}

fn opus() -> RtpParameters {
    serde_json::from_value(serde_json::json!({
        "codecs": [{"mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2}],
        "encodings": [{"ssrc": 1111}]
    }))
    .unwrap()
}

/// An RTP packet (RFC 3550, 5.1) that carries its number.
fn packet(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 960).to_be_bytes());
    packet.extend(1111_u32.to_be_bytes());
    packet.extend([number as u8; 50]);
    packet
}

async fn media_goes_through(options: PipeToRouterOptions) {
    let (here, there) = (Host::start().await, Host::start().await);
    let original = here.direct.produce(ProducerOptions::new(MediaKind::Audio, opus())).await.unwrap();
    let piped =
        in_time("piped", here.router.pipe_producer_to_router(original.id(), &there.router, &options)).await.unwrap();
    assert_eq!(piped.producer.id(), original.id());
    let mut consuming = ConsumerOptions::new(original.id(), there.router.rtp_capabilities().clone());
    consuming.paused = true;
    let consumer = there.direct.consume(consuming).await.unwrap();
    let mut rtp = consumer.rtp();
    consumer.resume().await.unwrap();
    for number in 0..100 {
        original.send(packet(number)).await.unwrap();
    }
    for number in 0..100 {
        let packet = in_time("a packet", rtp.recv()).await.unwrap();
        assert_eq!(packet[packet.len() - 50..], [number as u8; 50]);
    }

    original.pause().await.unwrap();
    let paused = async {
        while !consumer.producer_paused() {
            tokio::task::yield_now().await;
        }
    };
    in_time("paused in the other router", paused).await;
    original.close().await.unwrap();
    in_time("closed in the other router", consumer.wait_closed()).await;
    assert!(piped.producer.closed());
    here.worker.close().await;
    there.worker.close().await;
}

#[tokio::test]
async fn media_goes_to_another_workers_router() {
    media_goes_through(PipeToRouterOptions::default()).await;
}

#[tokio::test]
async fn media_goes_encrypted() {
    media_goes_through(PipeToRouterOptions { enable_srtp: true, enable_rtx: true, ..Default::default() }).await;
}

#[tokio::test]
async fn messages_go_to_another_workers_router() {
    let (here, there) = (Host::start().await, Host::start().await);
    let original = here.direct.produce_data(DataProducerOptions::direct()).await.unwrap();
    let options = PipeToRouterOptions::default();
    let piping = here.router.pipe_data_producer_to_router(original.id(), &there.router, &options);
    let piped = in_time("piped", piping).await.unwrap();
    let consumer = there.direct.consume_data(DataConsumerOptions::new(original.id())).await.unwrap();
    let mut messages = consumer.messages();

    let pipe = piped.data_consumer.transport();
    let mut states = pipe.events();
    let connected = async {
        use sfu_control::messages::SctpState::Connected;
        while pipe.sctp_state() != Some(Connected) {
            assert_ne!(states.recv().await.unwrap(), TransportEvent::Close);
        }
    };
    in_time("connected", connected).await;
    let sent = [DataMessage::text("text"), DataMessage::binary(vec![7; 100_000]), DataMessage::text("")];
    for message in &sent {
        original.send(message.clone()).await.unwrap();
    }
    for message in &sent {
        assert_eq!(in_time("a message", messages.recv()).await.unwrap(), *message);
    }
    piped.data_producer.close().await.unwrap();
    in_time("closed in its own router", piped.data_consumer.wait_closed()).await;
    assert!(!original.closed());
    here.worker.close().await;
    there.worker.close().await;
}

/// The two producers have one id, which a worker has once.
#[tokio::test]
async fn two_routers_of_one_worker_are_not_piped_and_nothing_is_left() {
    let host = Host::start().await;
    let other = router(&host.worker).await;
    let original = host.direct.produce(ProducerOptions::new(MediaKind::Audio, opus())).await.unwrap();
    let options = PipeToRouterOptions::default();
    let refused = host.router.pipe_producer_to_router(original.id(), &other, &options).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    let dump = host.router.dump().await.unwrap();
    assert_eq!(dump.map_producer_id_consumer_ids[original.id()], Vec::<String>::new());
    host.worker.close().await;
}

#[tokio::test]
async fn a_dead_worker_ends_what_it_was_piped_to() {
    let (here, there) = (Host::start().await, Host::start().await);
    let original = here.direct.produce(ProducerOptions::new(MediaKind::Audio, opus())).await.unwrap();
    let options = PipeToRouterOptions::default();
    let piped = here.router.pipe_producer_to_router(original.id(), &there.router, &options).await.unwrap();
    here.worker.close().await;
    in_time("the producer's end", piped.producer.wait_closed()).await;
    in_time("the pipe's end", piped.producer.transport().wait_closed()).await;
    assert!(!there.router.closed());
    there.worker.close().await;
}
