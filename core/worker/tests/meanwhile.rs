//! What comes while a turn's packets are being sent: everybody gets it as if it had come before or after, and most in the same
//! train. The worker is in this process, so that "meanwhile" is no matter of luck.

mod common;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use common::media::*;
use serde_json::{Value, json};
use sfu_channel::json::RequestFrame;
use sfu_proto::{dtls, srtp};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use sfu_worker::channel::Output;
use sfu_worker::requests;
use sfu_worker::sockets::{Owner, SocketIo, Sockets};
use sfu_worker::worker::{Config, Worker};

/// Packets of a frame.
const FRAME: u16 = 12;
/// Bytes of each.
const LENGTH: usize = 1_000;

/// A producer and its consumers, each on a plain transport.
struct Scene {
    worker: Worker,
    batch: RecvBatch,
    now: Instant,
    /// The producer's socket.
    inlet: Token,
    address: SocketAddr,
    sender: UdpSocket,
    receivers: Vec<Peer>,
    /// The consumers' sockets.
    outlets: Vec<usize>,
    _library: [UnixStream; 2],
}

impl Scene {
    fn new(consumers: usize) -> Scene {
        let [(frames, theirs), (payloads, theirs_too)] = [(); 2].map(|()| UnixStream::pair().unwrap());
        let output = Output::new(frames.into(), payloads.into(), [Token(3), Token(4)]).unwrap();
        let config =
            Config { certificate: dtls::Certificate::generate().unwrap(), srtp_backend: srtp::Backend::default() };
        let mut scene = Scene {
            worker: Worker::new(config, output, Sockets::new(Poller::new().unwrap(), 20_000, 59_999)),
            batch: RecvBatch::new(64, 65_536),
            now: Instant::now(),
            inlet: Token(0),
            address: ([127, 0, 0, 1], 0).into(),
            sender: UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap(),
            receivers: (0..consumers).map(|_| Peer::new()).collect(),
            outlets: Vec::new(),
            _library: [theirs, theirs_too],
        };
        scene.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
        scene.create_transport("in", true);
        scene.ask("transport.produce", "in", produce("p"));
        let inlet = scene.socket_of("in");
        scene.inlet =
            scene.worker.sockets.tokens().find(|token| scene.worker.sockets.resolve(*token) == Some(inlet)).unwrap();
        scene.address = scene.worker.sockets.get(inlet).unwrap().local;
        for number in 0..consumers {
            let id = format!("out{number}");
            scene.create_transport(&id, false);
            let port = scene.receivers[number].address().port();
            scene.ask("transport.connect", &id, json!({"ip": "127.0.0.1", "port": port}));
            scene.ask("transport.consume", &id, consume(&format!("c{number}"), "p"));
            scene.outlets.push(scene.socket_of(&id));
        }
        scene
    }

    fn create_transport(&mut self, id: &str, comedia: bool) {
        let options = json!({
            "transportId": id, "listenIp": {"ip": "127.0.0.1"}, "rtcpMux": true, "comedia": comedia,
            "enableSctp": false, "isDataChannel": false, "maxSctpMessageSize": 262_144,
        });
        self.ask("router.createPlainTransport", "r", options);
    }

    fn socket_of(&self, transport: &str) -> usize {
        let owner = Owner::Transport(self.worker.find_transport(0, transport).ok().unwrap());
        let sockets = &self.worker.sockets;
        let mut keys = sockets.tokens().filter_map(|token| sockets.resolve(token));
        keys.find(|key| sockets.get(*key).unwrap().owner == owner).unwrap()
    }

    fn ask(&mut self, method: &str, id: &str, data: Value) {
        let frame = format!("1:{method}:{id}:{data}");
        let request = RequestFrame::parse(frame.as_bytes()).unwrap();
        self.worker.output.begin_request();
        let outcome = requests::handle(&mut self.worker, self.now, &request);
        self.worker.output.reply(None);
        outcome.map_err(|refusal| refusal.reason).unwrap();
    }

    /// Sends these packets to the producer's socket as one train, and returns when they are there.
    fn arrive(&mut self, numbers: std::ops::Range<u16>) {
        let packet = |number: u16| {
            let payload = [&vp8(number == 0, number as u8)[..], &[number as u8; LENGTH]].concat();
            let mut packet = rtp(SENT_PT, number, 3_000, SENT_SSRC, &payload);
            packet.truncate(LENGTH);
            packet
        };
        let packets: Vec<Vec<u8>> = numbers.map(packet).collect();
        self.sender.send_segments(self.address, &packets.concat(), &vec![LENGTH as u16; packets.len()]);
        let poller = Poller::new().unwrap();
        let inlet = self.worker.sockets.resolve(self.inlet).unwrap();
        poller.add(self.worker.sockets.get(inlet).unwrap(), Token(0), Interest::READ).unwrap();
        poller.wait(&mut Events::with_capacity(1), Some(common::PATIENCE)).unwrap();
    }

    /// The first half of a turn: what has arrived is received and routed.
    fn take_in(&mut self) {
        let inlet = self.worker.sockets.resolve(self.inlet).unwrap();
        let SocketIo::Udp(socket) = &mut self.worker.sockets.get_mut(inlet).unwrap().io else { panic!("it is UDP") };
        let before = self.batch.len();
        socket.recv_batch(&mut self.batch).unwrap();
        self.worker.media.intake.push(self.inlet, before..self.batch.len());
        self.worker.handle_received(self.now, &mut self.batch);
    }

    /// The second: it is sent.
    fn send(&mut self) {
        self.worker.finish_routing(self.now, &mut self.batch);
        assert!(self.worker.media.intake.is_empty());
        self.batch.clear();
    }

    fn receive(&self) -> Vec<Vec<Vec<u8>>> {
        self.receivers.iter().map(|peer| (0..FRAME).map(|_| peer.receive_rtp()).collect()).collect()
    }

    /// How often each consumer was sent to.
    fn calls(&self) -> Vec<u64> {
        let calls = |key: &usize| match &self.worker.sockets.get(*key).unwrap().io {
            SocketIo::Udp(socket) => socket.counters().send_calls,
            _ => panic!("they are UDP"),
        };
        self.outlets.iter().map(calls).collect()
    }
}

/// Each packet in a turn of its own.
fn one_by_one(consumers: usize) -> Vec<Vec<Vec<u8>>> {
    let mut scene = Scene::new(consumers);
    for number in 0..FRAME {
        scene.arrive(number..number + 1);
        scene.take_in();
        scene.send();
    }
    scene.receive()
}

#[test]
fn everybody_gets_the_same_as_when_packets_come_one_by_one() {
    for consumers in [1, 3, 5, 9, 40] {
        let expected = one_by_one(consumers);
        for first in [1, 5, FRAME - 1] {
            let mut scene = Scene::new(consumers);
            scene.arrive(0..first);
            scene.take_in();
            scene.arrive(first..FRAME);
            scene.send();
            // For few consumers no second look is taken.
            scene.take_in();
            scene.send();
            assert!(scene.receive() == expected, "{first} of {FRAME} packets before the others, {consumers} consumers");
        }
    }
}

#[test]
fn who_has_not_been_served_gets_the_rest_of_a_frame_in_the_same_train() {
    const CONSUMERS: usize = 40;
    let mut scene = Scene::new(CONSUMERS);
    scene.arrive(0..2);
    scene.take_in();
    scene.arrive(2..FRAME);
    scene.send();
    scene.receive();
    let calls = scene.calls();
    let twice = calls.iter().filter(|calls| **calls == 2).count();
    let once = calls.iter().filter(|calls| **calls == 1).count();
    // Where the kernel has no trains it is a message for each packet, but still in one call.
    assert!(twice <= 4 && twice + once == CONSUMERS, "calls for each consumer: {calls:?}");
}
