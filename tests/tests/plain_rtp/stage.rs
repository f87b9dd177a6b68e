//! The worker in the middle: where programs send their media in, and where it comes out for others.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Value, json};
use sfu_control::messages::stats::{RtpStreamStat, RtpStreamStatType};
use sfu_control::messages::{MediaKind, RtcpFeedback, SrtpCryptoSuite, SrtpParameters};
use sfu_control::{
    Consumer, ConsumerOptions, PlainRemote, PlainTransport, PlainTransportOptions, Producer, ProducerOptions, Router,
    TransportEvent, Worker, WorkerSettings,
};
use tokio::sync::broadcast;

use crate::program::LIMIT;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What programs that send use; inside the router the payload types are others.
pub const AUDIO_SSRC: u32 = 1111;
pub const AUDIO_PAYLOAD_TYPE: u8 = 110;
pub const VIDEO_SSRC: u32 = 2222;
pub const VIDEO_PAYLOAD_TYPE: u8 = 96;

/// A worker and a router for Opus and VP8.
pub struct Stage {
    worker: Worker,
    router: Router,
}

/// A transport that a program sends to, and the producer of what it sends.
pub struct Entrance {
    pub transport: PlainTransport,
    pub producer: Producer,
    events: broadcast::Receiver<TransportEvent>,
}

/// A transport that sends to a program, and the consumer of what it sends, paused at first.
pub struct Exit {
    pub transport: PlainTransport,
    pub consumer: Consumer,
    /// Where the program receives RTP; RTCP comes to the next.
    pub port: u16,
}

impl Stage {
    pub async fn set() -> Stage {
        // Below the ephemeral ports, which the programs of the tests get.
        let settings =
            WorkerSettings { rtc_min_port: 10_000, rtc_max_port: 29_999, ..WorkerSettings::new(tests::worker_bin()) };
        let worker = Worker::spawn(settings).await.unwrap();
        let codecs: Vec<_> = serde_json::from_value(json!([opus(), vp8()])).unwrap();
        let router = worker.create_router(&codecs).await.unwrap();
        Stage { worker, router }
    }

    /// A transport whose program says by its first packets where it is (comedia), with RTCP on a port of its own.
    pub async fn entrance(&self, kind: MediaKind, suite: Option<SrtpCryptoSuite>) -> Entrance {
        let options = PlainTransportOptions { comedia: true, srtp_crypto_suite: suite, ..separate_rtcp() };
        let transport = self.router.create_plain_transport(options).await.unwrap();
        self.entrance_on(transport, kind).await
    }

    /// A transport whose program sends RTP from the first of these ports, and receives RTCP on the second.
    pub async fn connected_entrance(&self, kind: MediaKind, rtp: u16, rtcp: u16) -> Entrance {
        let transport = self.router.create_plain_transport(separate_rtcp()).await.unwrap();
        let remote = PlainRemote { ip: Some(LOOPBACK), port: Some(rtp), rtcp_port: Some(rtcp), srtp_parameters: None };
        transport.connect(remote).await.unwrap();
        self.entrance_on(transport, kind).await
    }

    async fn entrance_on(&self, transport: PlainTransport, kind: MediaKind) -> Entrance {
        let events = transport.events();
        let (mut codec, payload_type, ssrc) = match kind {
            MediaKind::Audio => (opus(), AUDIO_PAYLOAD_TYPE, AUDIO_SSRC),
            MediaKind::Video => (vp8(), VIDEO_PAYLOAD_TYPE, VIDEO_SSRC),
        };
        codec["payloadType"] = payload_type.into();
        let parameters = json!({"codecs": [codec], "encodings": [{"ssrc": ssrc}]});
        let options = ProducerOptions::new(kind, serde_json::from_value(parameters).unwrap());
        let producer = transport.produce(options).await.unwrap();
        Entrance { transport, producer, events }
    }

    /// A transport to a program that receives on that port and the next. `key` is what the program's own reports would
    /// be encrypted with, when there is SRTP.
    pub async fn exit(&self, producer: &Producer, port: u16, key: Option<SrtpParameters>) -> Exit {
        let options =
            PlainTransportOptions { srtp_crypto_suite: key.as_ref().map(|key| key.crypto_suite), ..separate_rtcp() };
        let transport = self.router.create_plain_transport(options).await.unwrap();
        let remote =
            PlainRemote { ip: Some(LOOPBACK), port: Some(port), rtcp_port: Some(port + 1), srtp_parameters: key };
        transport.connect(remote).await.unwrap();
        // The programs know no retransmissions and no header extensions, and ask for key frames.
        let mut capabilities = self.router.rtp_capabilities().clone();
        capabilities.header_extensions.clear();
        capabilities.codecs.retain(|codec| !codec.mime_type.ends_with("/rtx"));
        for codec in &mut capabilities.codecs {
            codec.rtcp_feedback = vec![RtcpFeedback::new("nack", "pli")];
        }
        let options = ConsumerOptions { paused: true, ..ConsumerOptions::new(producer.id(), capabilities) };
        let consumer = transport.consume(options).await.unwrap();
        Exit { transport, consumer, port }
    }

    /// The end: the worker has survived it all and exits properly.
    pub async fn clear(self) {
        assert!(!self.worker.closed());
        let end = self.worker.close().await;
        assert_eq!(end, sfu_control::WorkerEnd::Closed(sfu_control::WorkerExit::Code(0)));
    }
}

impl Entrance {
    /// Where the program sends RTP, and where RTCP.
    pub fn ports(&self) -> (u16, u16) {
        (self.transport.tuple().local_port, self.transport.rtcp_tuple().expect("RTCP has its own").local_port)
    }

    /// Waits until both of the program's addresses are learnt (comedia).
    pub async fn learnt(&mut self) {
        let learnt = async {
            while self.transport.tuple().remote_port.is_none()
                || self.transport.rtcp_tuple().is_some_and(|tuple| tuple.remote_port.is_none())
            {
                self.events.recv().await.unwrap();
            }
        };
        tokio::time::timeout(LIMIT, learnt).await.expect("the program sends RTP and RTCP");
    }

    /// Waits until its media arrives.
    pub async fn arriving(&self) {
        let mut events = self.producer.events();
        let arriving = async {
            while !self.producer.score().iter().any(|stream| stream.score > 0) {
                events.recv().await.unwrap();
            }
        };
        tokio::time::timeout(LIMIT, arriving).await.expect("media arrives");
    }

    /// The statistics of what has arrived.
    pub async fn received(&self) -> RtpStreamStat {
        let [stat] = <[_; 1]>::try_from(self.producer.get_stats().await.unwrap()).expect("one stream");
        assert_eq!(stat.stat_type, RtpStreamStatType::InboundRtp);
        stat
    }
}

impl Exit {
    /// The media section of SDP for the program that receives; with the worker's key when there is SRTP (RFC 4568).
    pub fn media_section(&self) -> String {
        let parameters = self.consumer.rtp_parameters();
        let codec = &parameters.codecs[0];
        let (payload_type, clock_rate) = (codec.payload_type, codec.clock_rate);
        let (media, encoding) = codec.mime_type.split_once('/').unwrap();
        let channels = codec.channels.map(|channels| format!("/{channels}")).unwrap_or_default();
        let (profile, crypto) = match self.transport.srtp_parameters() {
            None => ("RTP/AVP", String::new()),
            Some(key) => {
                let Value::String(suite) = json!(key.crypto_suite) else { unreachable!("suites are strings") };
                ("RTP/SAVP", format!("a=crypto:1 {suite} inline:{}\r\n", key.key_base64))
            }
        };
        format!(
            "m={media} {} {profile} {payload_type}\r\n\
             a=rtpmap:{payload_type} {encoding}/{clock_rate}{channels}\r\n\
             {crypto}a=recvonly\r\n",
            self.port
        )
    }

    pub async fn resume(&self) {
        self.consumer.resume().await.unwrap();
    }

    /// The statistics of what has been sent.
    pub async fn sent(&self) -> RtpStreamStat {
        let stats = self.consumer.get_stats().await.unwrap();
        let sent = stats.into_iter().find(|stat| stat.stat_type == RtpStreamStatType::OutboundRtp);
        sent.expect("a consumer has statistics of what it sends")
    }

    /// The same, once the program has reported about it. There is no event for that, so that this looks often.
    pub async fn reported(&self) -> RtpStreamStat {
        let reported = async {
            while self.transport.get_stats().await.unwrap()[0].bytes_received == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, reported).await.expect("the program sends receiver reports");
        self.sent().await
    }
}

/// A description for a program that receives from all of these.
pub fn session_description(exits: &[&Exit]) -> String {
    let sections: String = exits.iter().map(|exit| exit.media_section()).collect();
    format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{sections}")
}

fn separate_rtcp() -> PlainTransportOptions {
    PlainTransportOptions { rtcp_mux: false, ..PlainTransportOptions::new(LOOPBACK) }
}

fn opus() -> Value {
    json!({"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2})
}

fn vp8() -> Value {
    json!({"kind": "video", "mimeType": "video/VP8", "clockRate": 90000,
           "rtcpFeedback": [{"type": "nack", "parameter": "pli"}]})
}
