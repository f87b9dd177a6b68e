//! Direct transports: media between the library and peers over the payload channel.

mod common;

use common::Worker;
use common::media::*;
use serde_json::{Value, json};

/// Transport `d` is direct, `x` plain and connected to the peer; router `r`.
fn scene() -> (Worker, Peer, std::net::SocketAddr) {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let direct = json!({"transportId": "d", "direct": true, "maxMessageSize": 1000});
    let dump = worker.ask("router.createDirectTransport", "r", direct);
    assert_eq!((&dump["direct"], &dump["maxMessageSize"]), (&json!(true), &json!(1000)));
    let inlet = listens(&create_plain(&mut worker, "r", "x", json!({})));
    let peer = Peer::new();
    worker.ask("transport.connect", "x", json!({"ip": "127.0.0.1", "port": peer.address().port()}));
    (worker, peer, inlet)
}

/// Sends an RTP packet of the producer's stream as the library does.
fn send(worker: &mut Worker, sequence: u16, payload: &[u8]) {
    let packet = rtp(SENT_PT, sequence, u32::from(sequence) * 3000, SENT_SSRC, payload);
    worker.send_payload("n:producer.send:p:undefined", &packet);
}

/// The next binary message of that kind; others that come before it are passed over.
fn receive(worker: &mut Worker, event: &str) -> (Value, Vec<u8>) {
    loop {
        let header = worker.payload_answer();
        let payload = worker.payload();
        if header["event"] == json!(event) {
            return (header["targetId"].clone(), payload);
        }
    }
}

#[test]
fn what_the_library_sends_reaches_peers() {
    let (mut worker, peer, _) = scene();
    worker.ask("transport.produce", "d", produce("p"));
    worker.ask("transport.consume", "x", consume("c", "p"));
    // Each time more than fit into one turn's batch, and fewer than overrun the peer's socket.
    for numbers in [0..150_u16, 150..300] {
        for number in numbers.clone() {
            send(&mut worker, number, &vp8(number == 0, number as u8));
        }
        for number in numbers {
            let packet = peer.receive_rtp();
            assert_eq!(payload(&packet), vp8(number == 0, number as u8), "packet {number}");
            assert_eq!((ssrc(&packet), payload_type(&packet)), (RECEIVED_SSRC, PT));
        }
    }
    let stats = worker.ask("transport.getStats", "d", Value::Null);
    assert_eq!(stats[0]["type"], json!("direct-transport"));
    assert_eq!(stats[0]["rtpBytesReceived"], json!(300 * 212));
    assert_eq!(worker.ask("producer.getStats", "p", Value::Null)[0]["packetCount"], json!(300));
}

#[test]
fn what_peers_send_reaches_the_library() {
    let (mut worker, peer, inlet) = scene();
    worker.ask("transport.produce", "x", produce("p"));
    worker.ask("transport.consume", "d", consume("c", "p"));
    for number in 500..550_u16 {
        let packet = rtp(SENT_PT, number, 0, SENT_SSRC, &vp8(number == 500, number as u8));
        peer.send(inlet, &packet);
    }
    let mut first = None;
    for number in 500..550_u16 {
        let (target, packet) = receive(&mut worker, "rtp");
        assert_eq!(target, json!("c"));
        assert_eq!(payload(&packet), vp8(number == 500, number as u8));
        assert_eq!((ssrc(&packet), payload_type(&packet)), (RECEIVED_SSRC, PT));
        let first = *first.get_or_insert(sequence(&packet));
        assert_eq!(sequence(&packet), first + number - 500);
    }
    let stats = worker.ask("transport.getStats", "d", Value::Null);
    assert_eq!(stats[0]["rtpBytesSent"], json!(50 * 212));

    // The library asks again for one of them, as a peer would.
    worker.send_payload("n:transport.sendRtcp:d:undefined", &nack(RECEIVED_SSRC, first.unwrap() + 7));
    let (_, again) = receive(&mut worker, "rtp");
    assert_eq!((payload_type(&again), ssrc(&again)), (RTX_PT, RECEIVED_RTX_SSRC));
    assert_eq!(payload(&again)[2..], vp8(false, 507_u16 as u8));
    worker.send_payload("n:transport.sendRtcp:d:undefined", &pli(RECEIVED_SSRC));
    assert_eq!(peer.receive_rtcp(206, 1)[8..12], SENT_SSRC.to_be_bytes());
}

#[test]
fn the_library_gets_the_feedback_about_what_it_sends() {
    let (mut worker, peer, _) = scene();
    worker.ask("transport.produce", "d", produce("p"));
    worker.ask("transport.consume", "x", consume("c", "p"));
    send(&mut worker, 1, &vp8(true, 1));
    peer.receive_rtp();
    send(&mut worker, 4, &vp8(false, 4));
    let (target, compound) = receive(&mut worker, "rtcp");
    assert_eq!(target, json!("d"));
    assert_eq!((compound[1], compound[0] & 31), (205, 1), "a generic NACK");
    assert_eq!((&compound[8..12], &compound[12..16]), (&SENT_SSRC.to_be_bytes()[..], &[0, 2, 0, 1][..]));
}

#[test]
fn what_is_no_packet_is_ignored() {
    let (mut worker, peer, _) = scene();
    worker.ask("transport.produce", "d", produce("p"));
    worker.ask("transport.consume", "x", consume("c", "p"));
    send(&mut worker, 1, &vp8(true, 1));
    peer.receive_rtp();

    let too_long = rtp(SENT_PT, 2, 0, SENT_SSRC, &[7; 1589]);
    assert_eq!(too_long.len(), 1601);
    for header in [
        "n:producer.send:p:undefined",
        "n:producer.send:nobody:undefined",
        "n:transport.sendRtcp:d:undefined",
        "n:transport.sendRtcp:x:undefined",
        "n:transport.sendRtcp:nobody:undefined",
    ] {
        for payload in [&b""[..], &[0x80], b"no packet at all, but long enough for one", &too_long, &[0x80, 200, 0, 0]]
        {
            worker.send_payload(header, payload);
        }
    }
    // The longest that may come.
    let longest = rtp(SENT_PT, 2, 0, SENT_SSRC, &[7; 1588]);
    worker.send_payload("n:producer.send:p:undefined", &longest);
    assert_eq!(peer.receive_rtp().len(), 1600);
    assert_eq!(worker.ask("producer.getStats", "p", Value::Null)[0]["packetCount"], json!(2));
    assert_eq!(worker.refused("transport.connect", "d", json!({})).class, "Error");
}
