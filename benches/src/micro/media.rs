//! The worker's media path from a datagram to the send calls, without processes around it: a worker in this process, to
//! which datagrams are handed as its loop would.

use super::messages::{PAYLOAD_TYPE, SSRC, consume, plain_transport, produce};
use super::{Bench, Id, check};
use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde_json::{Value, json};
use sfu_channel::json::RequestFrame;
use sfu_proto::dtls;
use sfu_proto::rtp::{FixedHeader, HeaderWriter, set_sequence_number, set_timestamp};
use sfu_proto::srtp::{self, Suite};
use sfu_reactor::poll::{Poller, Token};
use sfu_reactor::udp::RecvBatch;
use sfu_worker::channel::Output;
use sfu_worker::requests;
use sfu_worker::sockets::{Owner, SocketIo, Sockets};
use sfu_worker::worker::{Config, Worker};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const CONSUMERS: usize = 10;
const PACKET_LEN: usize = 1_200;

/// A worker with one producer and its consumers, all on plain transports.
struct Path {
    worker: Worker,
    batch: RecvBatch,
    socket: usize,
    /// Where the producer's packets come from.
    remote: SocketAddr,
    packet: Vec<u8>,
    number: u16,
    now: Instant,
    /// Where the consumers' packets go, to be dropped by the kernel once nothing more fits; and the other ends of the channel.
    _others: (UdpSocket, Vec<OwnedFd>),
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    for suite in [None, Some(Suite::AeadAes256Gcm), Some(Suite::AesCm128HmacSha1_80)] {
        let name = suite.map_or("plain RTP", Suite::name);
        for (packets, what) in [(1, "1 packet"), (11, "11 packets")] {
            let mut path = Path::new(suite)?;
            // What begins only with the first packets.
            for _ in 0..50 {
                path.turn(packets);
            }
            let id = Id::of("Worker, a turn from 1 to 10, 1,200 bytes", name, what);
            let expected = (packets * CONSUMERS) as u64;
            check(bench, &id, || path.turn(packets), |sent| *sent == expected)?;
        }
    }
    Ok(())
}

impl Path {
    fn new(suite: Option<Suite>) -> Result<Self> {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        let port = receiver.local_addr()?.port();
        let pair = || socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC);
        let ((frames, theirs), (payloads, theirs_too)) = (pair()?, pair()?);
        let config = Config { certificate: dtls::Certificate::generate()?, srtp_backend: srtp::Backend::Evp };
        let output = Output::new(frames, payloads, [Token(3), Token(4)])?;
        let sockets = Sockets::new(Poller::new()?, 20_000, 59_999);
        let mut path = Self {
            worker: Worker::new(config, output, sockets),
            batch: RecvBatch::new(64, 2_048),
            socket: 0,
            remote: SocketAddr::from(([127, 0, 0, 1], 9)),
            packet: vec![0x5a; PACKET_LEN],
            number: 0,
            now: Instant::now(),
            _others: (receiver, vec![theirs, theirs_too]),
        };
        path.set_up(suite, port)?;
        Ok(path)
    }

    fn set_up(&mut self, suite: Option<Suite>, port: u16) -> Result<()> {
        self.ask("worker.createRouter", "undefined", &json!({ "routerId": "router" }))?;
        self.ask("router.createPlainTransport", "router", &plain_transport("ingress", true, None))?;
        self.ask("transport.produce", "ingress", &produce())?;
        let ingress = self.worker.find_transport(0, "ingress").map_err(|refusal| anyhow!("{}", refusal.reason))?;
        let owner = Owner::Transport(ingress);
        self.socket = (0..=CONSUMERS)
            .find(|&socket| self.worker.sockets.get(socket).is_some_and(|socket| socket.owner == owner))
            .context("the producer's transport has no socket")?;
        for index in 0..CONSUMERS {
            let id = format!("egress-{index}");
            self.ask("router.createPlainTransport", "router", &plain_transport(&id, false, suite))?;
            let mut connect = json!({ "ip": "127.0.0.1", "port": port });
            if let Some(suite) = suite {
                let key = STANDARD.encode(vec![index as u8; suite.key_and_salt_len()]);
                connect["srtpParameters"] = json!({ "cryptoSuite": suite.name(), "keyBase64": key });
            }
            self.ask("transport.connect", &id, &connect)?;
            self.ask("transport.consume", &id, &consume(index))?;
        }
        let fixed =
            FixedHeader { marker: false, payload_type: PAYLOAD_TYPE, sequence_number: 0, timestamp: 0, ssrc: SSRC };
        let len = HeaderWriter::new(&mut self.packet, &fixed).finish()?;
        // VP8: the start of a key frame's first partition.
        self.packet[len..len + 8].copy_from_slice(&[0x10, 0x00, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40]);
        Ok(())
    }

    fn ask(&mut self, method: &str, id: &str, data: &Value) -> Result<()> {
        let frame = format!("1:{method}:{id}:{data}");
        let request = RequestFrame::parse(frame.as_bytes())?;
        self.worker.output.begin_request();
        let outcome = requests::handle(&mut self.worker, self.now, &request);
        self.worker.output.reply(None);
        outcome.map(drop).map_err(|refusal| anyhow!("{method} is refused: {}", refusal.reason))
    }

    /// Hands so many packets to the worker and lets it send what follows from them; says how many left.
    fn turn(&mut self, packets: usize) -> u64 {
        self.now += Duration::from_millis(3);
        self.batch.clear();
        for index in 0..packets {
            self.number = self.number.wrapping_add(1);
            set_sequence_number(&mut self.packet, self.number);
            set_timestamp(&mut self.packet, u32::from(self.number) * 270);
            self.batch.push(self.remote, &self.packet);
            self.worker.handle_datagram(self.now, self.socket, &mut self.batch, index);
        }
        let before = self.sent();
        self.worker.finish_routing(self.now, &mut self.batch);
        self.sent() - before
    }

    /// Datagrams that the kernel has taken so far.
    fn sent(&self) -> u64 {
        let sockets = (0..=CONSUMERS).filter_map(|key| self.worker.sockets.get(key));
        let sent = sockets.map(|socket| match &socket.io {
            SocketIo::Udp(udp) => udp.counters().sent,
            _ => 0,
        });
        sent.sum()
    }
}
