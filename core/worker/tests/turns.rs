//! What the loop makes of many packets at once: few system calls, bounded turns, and a turn for everyone.

mod common;

use std::time::{Duration, Instant};

use common::media::*;
use common::{PATIENCE, Worker};
use serde_json::{Value, json};
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};

/// A receiver that sees trains of datagrams as they were sent (UDP_GRO).
struct TrainReceiver {
    socket: UdpSocket,
    poller: Poller,
}

impl TrainReceiver {
    fn new() -> TrainReceiver {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
        let poller = Poller::new().unwrap();
        poller.add(&socket, Token(0), Interest::READ).unwrap();
        TrainReceiver { socket, poller }
    }

    /// The RTP packets of each message, until there have been that many in all.
    fn receive(&mut self, packets: usize) -> Vec<usize> {
        let deadline = Instant::now() + PATIENCE;
        // One slot: one message each time.
        let mut batch = RecvBatch::new(1, 65_536);
        let mut events = Events::with_capacity(1);
        let mut trains = Vec::new();
        while trains.iter().sum::<usize>() < packets {
            assert!(Instant::now() < deadline, "{trains:?} of {packets} packets came");
            self.poller.wait(&mut events, Some(Duration::from_secs(1))).unwrap();
            batch.clear();
            self.socket.recv_batch(&mut batch).unwrap();
            let rtp = batch.iter().filter(|(_, packet)| !is_rtcp(packet)).count();
            trains.extend((rtp > 0).then_some(rtp));
        }
        trains
    }
}

/// A worker with router `r`.
fn worker() -> Worker {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    worker
}

/// A request to consume under another SSRC, without RTX.
fn consume_as(id: &str, producer: &str, ssrc: u32, mapped_ssrc: u32) -> Value {
    let mut request = consume(id, producer);
    request["rtpParameters"]["codecs"].as_array_mut().unwrap().truncate(1);
    request["rtpParameters"]["encodings"] = json!([{"ssrc": ssrc}]);
    request["consumableRtpEncodings"] = json!([{"ssrc": mapped_ssrc}]);
    request
}

#[test]
fn a_burst_goes_to_each_receiver_in_one_train() {
    // Does loopback pass trains here at all?
    let mut control = TrainReceiver::new();
    let mut sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
    sender.send_segments(control.socket.local_addr(), &[0x80; 4000], &[1000; 4]);
    let passes_trains = control.receive(4) == [4];

    let mut worker = worker();
    let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
    worker.ask("transport.produce", "in", produce("p"));
    let mut receivers: Vec<TrainReceiver> = (0..5).map(|_| TrainReceiver::new()).collect();
    for (index, receiver) in receivers.iter().enumerate() {
        let out = format!("out{index}");
        create_plain(&mut worker, "r", &out, json!({}));
        let port = receiver.socket.local_addr().port();
        worker.ask("transport.connect", &out, json!({"ip": "127.0.0.1", "port": port}));
        worker.ask("transport.consume", &out, consume(&format!("c{index}"), "p"));
    }
    let sender = Peer::new();
    let send = |number: u16| {
        let packet = rtp(SENT_PT, number, 0, SENT_SSRC, &[&vp8(number == 0, 0)[..], &[0; 800]].concat());
        sender.send(inlet, &packet);
    };
    send(0);
    for receiver in &mut receivers {
        receiver.receive(1);
    }
    worker.stop();
    (1..=40).for_each(send);
    worker.go_on();
    for receiver in &mut receivers {
        let trains = receiver.receive(40);
        assert!(trains == [40] || !passes_trains, "40 packets came in messages of {trains:?}");
    }
}

#[test]
fn the_library_is_heard_while_many_consumers_are_sent_to() {
    const CONSUMERS: u32 = 2000;
    const PACKETS: u16 = 64;
    let mut worker = worker();
    let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
    create_plain(&mut worker, "r", "out", json!({}));
    let (sender, receiver) = (Peer::new(), Peer::new());
    worker.ask("transport.connect", "out", json!({"ip": "127.0.0.1", "port": receiver.address().port()}));
    worker.ask("transport.produce", "in", produce("p"));
    for number in 0..CONSUMERS {
        let request = consume_as(&format!("c{number}"), "p", 10_000 + number, MAPPED_SSRC);
        worker.ask("transport.consume", "out", request);
    }
    worker.stop();
    for number in 0..PACKETS {
        sender.send(inlet, &rtp(SENT_PT, number, 0, SENT_SSRC, &vp8(number == 0, 0)));
    }
    let request = worker.post("consumer.getStats", "c1999", Value::Null);
    worker.go_on();
    let mut stats = worker.answer(request).unwrap();
    // Some 65,536 packets a turn, and this answer is of the first.
    let sent = stats[0]["packetCount"].as_u64().unwrap();
    assert!((1..=40).contains(&sent), "{sent} packets to each before the answer");

    let deadline = Instant::now() + PATIENCE;
    while stats[0]["packetCount"] != json!(PACKETS) {
        assert!(Instant::now() < deadline, "{stats}");
        stats = worker.ask("consumer.getStats", "c1999", Value::Null);
    }
}

#[test]
fn a_flood_on_one_socket_does_not_keep_another_waiting() {
    let mut worker = worker();
    create_plain(&mut worker, "r", "out", json!({}));
    let receiver = Peer::new();
    worker.ask("transport.connect", "out", json!({"ip": "127.0.0.1", "port": receiver.address().port()}));
    let peers: Vec<(Peer, std::net::SocketAddr, u32)> = ["a", "b"]
        .into_iter()
        .zip([1_u32, 2])
        .map(|(id, ssrc)| {
            let inlet = listens(&create_plain(&mut worker, "r", id, json!({"comedia": true})));
            let mut produce = produce(&format!("p{id}"));
            produce["rtpParameters"]["encodings"] = json!([{"ssrc": ssrc}]);
            produce["rtpMapping"]["encodings"] = json!([{"ssrc": ssrc, "mappedSsrc": MAPPED_SSRC + ssrc}]);
            worker.ask("transport.produce", id, produce);
            let consume = consume_as(&format!("c{id}"), &format!("p{id}"), RECEIVED_SSRC + ssrc, MAPPED_SSRC + ssrc);
            worker.ask("transport.consume", "out", consume);
            (Peer::new(), inlet, ssrc)
        })
        .collect();
    let send = |(peer, inlet, ssrc): &(Peer, std::net::SocketAddr, u32), number: u16| {
        peer.send(*inlet, &rtp(SENT_PT, number, 0, *ssrc, &vp8(number == 0, 0)));
    };
    for peer in &peers {
        send(peer, 0);
        receiver.receive_rtp();
    }
    worker.stop();
    (1..=150).for_each(|number| send(&peers[0], number));
    send(&peers[1], 1);
    worker.go_on();
    let received: Vec<u32> = (0..151).map(|_| ssrc(&receiver.receive_rtp())).collect();
    let place = received.iter().position(|ssrc| *ssrc == RECEIVED_SSRC + 2).unwrap();
    assert!(place < 150, "behind all of the flood");
}
