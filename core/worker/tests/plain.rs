//! Forwarding over plain transports: what the receiver gets is what the sender sent, under the consumer's numbers.

mod common;

use std::time::Instant;

use common::media::*;
use serde_json::{Value, json};

#[test]
fn packets_are_forwarded_byte_for_byte_under_the_consumers_numbers() {
    let scene = Scene::new();
    let payloads: Vec<Vec<u8>> = (0..50_u8).map(|index| vp8(index == 0, index)).collect();
    for (index, payload) in payloads.iter().enumerate() {
        scene.send(65_520_u16.wrapping_add(index as u16), payload);
    }
    let received: Vec<Vec<u8>> = payloads.iter().map(|_| scene.receiver.receive_rtp()).collect();
    let (first, start) = (&received[0], sequence(&received[0]));
    for (index, packet) in received.iter().enumerate() {
        assert_eq!(payload(packet), payloads[index], "packet {index}");
        assert_eq!(ssrc(packet), RECEIVED_SSRC);
        assert_eq!(payload_type(packet), PT);
        assert_eq!(sequence(packet), start.wrapping_add(index as u16), "without a gap, over the wrap");
    }
    let timestamp = |packet: &[u8]| u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    assert_eq!(timestamp(&received[1]).wrapping_sub(timestamp(first)), 3000, "timestamps keep their distances");
}

#[test]
fn video_begins_with_a_key_frame_and_asks_for_one() {
    let mut scene = Scene::new();
    for sequence in 10..20 {
        scene.send(sequence, &vp8(false, 0));
    }
    scene.settle(10);
    assert!(scene.receiver.drain_rtp().is_empty(), "a picture that can't be decoded is not sent");
    let request = scene.sender.receive_rtcp(206, 1);
    assert_eq!(request[8..12], SENT_SSRC.to_be_bytes(), "a PLI for the sender's own SSRC");

    scene.send(20, &vp8(true, 9));
    assert_eq!(payload(&scene.receiver.receive_rtp()), vp8(true, 9));
}

#[test]
fn pause_stops_and_resume_continues_with_a_key_frame_and_without_a_gap() {
    for (pause, resume, handler) in
        [("consumer.pause", "consumer.resume", "c"), ("producer.pause", "producer.resume", "p")]
    {
        let mut scene = Scene::new();
        scene.send(100, &vp8(true, 1));
        let before = scene.receiver.receive_rtp();

        scene.worker.ask(pause, handler, Value::Null);
        for number in 101..111 {
            scene.send(number, &vp8(number == 105, 2));
        }
        // The worker reads the channel and the socket in one loop: this answer comes after the packets were seen.
        scene.wait_for_total("transport.getStats", "in", "bytesReceived", 11 * 212);
        assert!(scene.receiver.drain_rtp().is_empty(), "{pause}");

        scene.worker.ask(resume, handler, Value::Null);
        scene.worker.dump();
        scene.send(111, &vp8(false, 3));
        scene.send(112, &vp8(true, 4));
        let after = scene.receiver.receive_rtp();
        assert_eq!(payload(&after), vp8(true, 4), "{resume}: the first picture is a key frame");
        assert_eq!(sequence(&after), sequence(&before).wrapping_add(1), "{resume}: no gap");
    }
}

#[test]
fn pauses_and_closing_of_a_producer_are_notified_to_its_consumers() {
    let mut scene = Scene::new();
    scene.worker.ask("producer.pause", "p", Value::Null);
    assert_eq!(scene.worker.notification("producerpause")["targetId"], json!("c"));
    assert_eq!(scene.worker.ask("consumer.dump", "c", Value::Null)["producerPaused"], json!(true));
    scene.worker.ask("producer.resume", "p", Value::Null);
    assert_eq!(scene.worker.notification("producerresume")["targetId"], json!("c"));
    scene.worker.ask("transport.closeProducer", "in", json!({"producerId": "p"}));
    assert_eq!(scene.worker.notification("producerclose")["targetId"], json!("c"));
    assert_eq!(scene.worker.refused("consumer.dump", "c", Value::Null).class, "Error");
}

#[test]
fn comedia_learns_the_sender_and_says_so_and_ignores_others() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    scene.receiver.receive_rtp();
    let tuple = scene.worker.notification("tuple");
    assert_eq!(tuple["data"]["tuple"]["remotePort"], json!(scene.sender.address().port()));

    let stranger = Peer::new();
    stranger.send(scene.inlet, &rtp(SENT_PT, 2, 3000, SENT_SSRC, &vp8(true, 66)));
    scene.send(2, &vp8(false, 2));
    assert_eq!(payload(&scene.receiver.receive_rtp()), vp8(false, 2));
}

#[test]
fn rtp_of_an_unknown_ssrc_makes_no_state() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    scene.receiver.receive_rtp();
    let before = scene.worker.ask("transport.dump", "in", Value::Null);
    for stranger in 0..300_u32 {
        scene.sender.send(scene.inlet, &rtp(SENT_PT, 1, 1, 0x9000_0000 + stranger, &vp8(true, 5)));
    }
    scene.send(2, &vp8(false, 2));
    assert_eq!(payload(&scene.receiver.receive_rtp()), vp8(false, 2));
    assert_eq!(scene.worker.ask("transport.dump", "in", Value::Null), before);
}

#[test]
fn without_rtcp_mux_rtcp_has_its_own_port() {
    let mut worker = common::Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let dump = create_plain(&mut worker, "r", "in", json!({"comedia": true, "rtcpMux": false}));
    let (rtp_inlet, rtcp_inlet) = (listens(&dump), tuple_address(&dump["rtcpTuple"]));
    assert_ne!(rtp_inlet, rtcp_inlet);
    worker.ask("transport.produce", "in", produce("p"));

    let (media, control) = (Peer::new(), Peer::new());
    // A sender report: the worker learns the RTCP address by it.
    let mut report = vec![0x80, 200, 0, 6];
    report.extend_from_slice(&SENT_SSRC.to_be_bytes());
    report.extend_from_slice(&[0; 20]);
    control.send(rtcp_inlet, &report);
    assert_eq!(worker.notification("rtcptuple")["data"]["rtcpTuple"]["remotePort"], json!(control.address().port()));
    // A gap makes the worker ask for what is missing, on the RTCP path.
    for number in [1, 2, 5] {
        media.send(rtp_inlet, &rtp(SENT_PT, number, 0, SENT_SSRC, &vp8(number == 1, 0)));
    }
    let nack = control.receive_rtcp(205, 1);
    assert_eq!(nack[12..16], [0, 3, 0, 1], "packets 3 and 4");
}

#[test]
fn without_rtcp_mux_nothing_counts_that_comes_by_the_other_port() {
    let mut worker = common::Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let dump = create_plain(&mut worker, "r", "in", json!({"comedia": true, "rtcpMux": false}));
    let (rtp_inlet, rtcp_inlet) = (listens(&dump), tuple_address(&dump["rtcpTuple"]));
    worker.ask("transport.produce", "in", produce("p"));

    let (media, control) = (Peer::new(), Peer::new());
    let packet = rtp(SENT_PT, 1, 0, SENT_SSRC, &vp8(true, 0));
    let report = [&[0x80, 201, 0, 1][..], &SENT_SSRC.to_be_bytes()].concat();
    control.send(rtcp_inlet, &packet);
    media.send(rtp_inlet, &report);
    // Now the right way round: these are the peer's addresses.
    media.send(rtp_inlet, &packet);
    control.send(rtcp_inlet, &report);
    let tuple = &worker.notification("tuple")["data"]["tuple"];
    assert_eq!((&tuple["localPort"], &tuple["remotePort"]), (&json!(rtp_inlet.port()), &json!(media.address().port())));
    let tuple = &worker.notification("rtcptuple")["data"]["rtcpTuple"];
    assert_eq!(tuple["remotePort"], json!(control.address().port()));
    assert_eq!(worker.ask("producer.getStats", "p", Value::Null)[0]["packetCount"], 1);
}

#[test]
fn media_over_ipv6() {
    let mut worker = common::Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let on_ipv6 = json!({"listenIp": {"ip": "::1"}, "comedia": true});
    let inlet = listens(&create_plain(&mut worker, "r", "in", on_ipv6));
    let outlet = listens(&create_plain(&mut worker, "r", "out", json!({"listenIp": {"ip": "::1"}})));
    assert!(inlet.is_ipv6());
    let (sender, receiver) = (Peer::on("[::1]:0"), Peer::on("[::1]:0"));
    worker.ask("transport.connect", "out", json!({"ip": "::1", "port": receiver.address().port()}));
    worker.ask("transport.produce", "in", produce("p"));
    worker.ask("transport.consume", "out", consume("c", "p"));
    for index in 0..20_u8 {
        sender.send(inlet, &rtp(SENT_PT, index.into(), 0, SENT_SSRC, &vp8(index == 0, index)));
    }
    let received: Vec<Vec<u8>> = (0..20).map(|_| receiver.receive_rtp()).collect();
    for (index, packet) in (0..20_u8).zip(&received) {
        assert_eq!(payload(packet), vp8(index == 0, index));
    }
    // And RTCP, both ways.
    receiver.send(outlet, &nack(RECEIVED_SSRC, sequence(&received[7])));
    assert_eq!(payload(&receiver.receive_rtp())[2..], vp8(false, 7));
    receiver.send(outlet, &pli(RECEIVED_SSRC));
    assert_eq!(sender.receive_rtcp(206, 1)[8..12], SENT_SSRC.to_be_bytes());
}

#[test]
fn connect_refuses_an_address_that_its_socket_cannot_send_to() {
    let mut worker = common::Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    for (own, other) in [("127.0.0.1", "::1"), ("::1", "127.0.0.1"), ("::1", "::ffff:127.0.0.1")] {
        create_plain(&mut worker, "r", "t", json!({"listenIp": {"ip": own}}));
        let refused = worker.refused("transport.connect", "t", json!({"ip": other, "port": 9}));
        assert_eq!(refused.class, "TypeError");
        assert!(refused.reason.contains("ip"), "{}", refused.reason);
        // It can still be connected.
        worker.ask("transport.connect", "t", json!({"ip": own, "port": 9}));
        worker.ask("router.closeTransport", "r", json!({"transportId": "t"}));
    }
}

#[test]
fn what_the_system_does_not_take_is_not_counted_as_sent_and_told_in_the_log() {
    let mut worker = common::Worker::start_with(&["--logLevel=warn", "--logTag=rtp"]);
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
    create_plain(&mut worker, "r", "out", json!({}));
    // Nothing goes from loopback to everyone.
    worker.ask("transport.connect", "out", json!({"ip": "255.255.255.255", "port": 9}));
    worker.ask("transport.produce", "in", produce("p"));
    worker.ask("transport.consume", "out", consume("c", "p"));
    Peer::new().send(inlet, &rtp(SENT_PT, 1, 0, SENT_SSRC, &vp8(true, 1)));

    let deadline = Instant::now() + common::PATIENCE;
    while !worker.log.iter().any(|line| line.contains("1 packets dropped") && line.contains("transport:out")) {
        assert!(Instant::now() < deadline, "{:?}", worker.log);
        worker.dump();
    }
    assert_eq!(worker.ask("consumer.getStats", "c", Value::Null)[0]["packetCount"], json!(1));
    let stats = worker.ask("transport.getStats", "out", Value::Null);
    assert_eq!(stats[0]["rtpBytesSent"], json!(0), "{stats}");
}
