//! Loss on either side: what the worker asks its senders for, and what it gives its receivers again.

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::PATIENCE;
use common::media::*;
use serde_json::{Value, json};
use sfu_proto::rtcp::{self, DlrrItem, Ntp, Packet, write_dlrr};

#[test]
fn a_receivers_nack_is_answered_by_rtx_from_the_stored_packet() {
    let mut scene = Scene::new();
    let payloads: Vec<Vec<u8>> = (0..10_u8).map(|index| vp8(index == 0, index)).collect();
    for (index, payload) in payloads.iter().enumerate() {
        scene.send(500 + index as u16, payload);
    }
    let received: Vec<Vec<u8>> = payloads.iter().map(|_| scene.receiver.receive_rtp()).collect();

    let lost = sequence(&received[4]);
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, lost));
    let again = scene.receiver.receive_rtp();
    assert_eq!((ssrc(&again), payload_type(&again)), (RECEIVED_RTX_SSRC, RTX_PT));
    assert_eq!(payload(&again)[..2], lost.to_be_bytes(), "RFC 4588: the original sequence number first");
    assert_eq!(payload(&again)[2..], payloads[4]);

    // Asked once more at once, the same packet is on its way already; another one is not.
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, lost));
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, lost.wrapping_add(1)));
    let next = scene.receiver.receive_rtp();
    assert_eq!(payload(&next)[..2], lost.wrapping_add(1).to_be_bytes());
    assert_eq!(sequence(&next), sequence(&again).wrapping_add(1), "RTX counts by itself");

    let stats = scene.worker.ask("consumer.getStats", "c", Value::Null);
    assert_eq!(stats[0]["packetsRetransmitted"], 2, "{stats}");
    assert_eq!(stats[0]["nackCount"], 3, "{stats}");
}

#[test]
fn of_more_than_the_path_takes_the_newest_are_sent_again() {
    const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
    let mut consume = consume("c", "p");
    consume["rtpParameters"]["headerExtensions"] = json!([{"uri": ABS_SEND_TIME, "id": 4}]);
    consume["rtpParameters"]["codecs"][0]["rtcpFeedback"].as_array_mut().unwrap().push(json!({"type": "goog-remb"}));
    let mut scene = Scene::with(produce("p"), consume);
    let received: Vec<u16> = (0..150)
        .map(|index| {
            scene.send(index, &vp8(index == 0, 0));
            sequence(&scene.receiver.receive_rtp())
        })
        .collect();
    let mut feedback = Vec::new();
    rtcp::write_remb(&mut feedback, 4242, 30_000, &[RECEIVED_SSRC]);
    rtcp::write_nack(&mut feedback, 4242, RECEIVED_SSRC, &received);
    scene.receiver.send(scene.outlet, &feedback);
    scene.worker.ask("consumer.getStats", "c", Value::Null);
    let first = scene.receiver.receive_rtp();
    scene.worker.dump();
    let again: Vec<u16> = std::iter::once(first)
        .chain(scene.receiver.drain_rtp())
        .filter(|packet| ssrc(packet) == RECEIVED_RTX_SSRC)
        .map(|packet| u16::from_be_bytes([payload(&packet)[0], payload(&packet)[1]]))
        .collect();
    // 12 kB may always be sent again, and a packet is 212 bytes and an extension.
    assert!((50..60).contains(&again.len()), "{}", again.len());
    assert_eq!(again, received[received.len() - again.len()..], "in the order in which they were sent");
    let stats = scene.worker.ask("consumer.getStats", "c", Value::Null);
    assert_eq!(stats[0]["packetsRetransmitted"], again.len(), "{stats}");
}

#[test]
fn a_nack_for_what_was_never_sent_gets_nothing() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    let packet = scene.receiver.receive_rtp();
    for distance in [1_u16, 100, 30_000, 40_000] {
        scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&packet).wrapping_add(distance)));
    }
    scene.receiver.send(scene.outlet, &nack(0x1234_5678, sequence(&packet)));
    scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&packet)));
    assert_eq!(payload(&scene.receiver.receive_rtp())[..2], sequence(&packet).to_be_bytes());
    scene.worker.dump();
}

#[test]
fn a_gap_is_asked_for_and_repaired_by_the_senders_rtx() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    scene.send(2, &vp8(false, 2));
    scene.send(4, &vp8(false, 4));
    let asked = scene.sender.receive_rtcp(205, 1);
    assert_eq!(asked[8..12], SENT_SSRC.to_be_bytes());
    assert_eq!(asked[12..16], [0, 3, 0, 0], "packet 3 alone");

    let lost = [&3_u16.to_be_bytes()[..], &vp8(false, 3)].concat();
    scene.sender.send(scene.inlet, &rtp(SENT_RTX_PT, 1, 3 * 3000, SENT_RTX_SSRC, &lost));
    let received: Vec<Vec<u8>> = (0..4).map(|_| scene.receiver.receive_rtp()).collect();
    let start = sequence(&received[0]);
    let distances: Vec<u16> = received.iter().map(|packet| sequence(packet).wrapping_sub(start)).collect();
    assert_eq!(distances, [0, 1, 3, 2], "the repaired packet goes on as soon as it comes, under its own number");
    assert_eq!(payload(&received[3]), vp8(false, 3));

    let stats = scene.worker.ask("producer.getStats", "p", Value::Null);
    assert_eq!(stats[0]["packetsRepaired"], 1, "{stats}");
    assert_eq!(stats[0]["nackPacketCount"], 1, "{stats}");
}

#[test]
fn a_receivers_picture_loss_is_passed_to_the_sender() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    scene.receiver.receive_rtp();
    // The request that the consumer's start caused, if it was sent, was answered by that key frame.
    scene.receiver.send(scene.outlet, &pli(RECEIVED_SSRC));
    let request = scene.sender.receive_rtcp(206, 1);
    assert_eq!(request[8..12], SENT_SSRC.to_be_bytes());
    let stats = scene.worker.ask("consumer.getStats", "c", Value::Null);
    assert_eq!(stats[0]["pliCount"], 1, "{stats}");
}

#[test]
fn duplicates_are_not_forwarded() {
    let scene = Scene::new();
    for number in [1, 2, 2, 1, 3] {
        scene.send(number, &vp8(number == 1, number as u8));
    }
    let numbers: Vec<u8> = (0..3).map(|_| payload(&scene.receiver.receive_rtp())[100]).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

/// The numbers of the next NACK that comes to the sender.
fn next_nack(scene: &Scene) -> Vec<u16> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let datagram = scene.sender.receive();
        assert!(datagram.len() <= 1200, "RTCP of {} bytes", datagram.len());
        for packet in rtcp::packets(&datagram) {
            if let Packet::Nack(nack) = packet.expect("good RTCP") {
                return nack.sequence_numbers().collect();
            }
        }
    }
    panic!("no NACK came")
}

const ROUND_TRIP: Duration = Duration::from_millis(500);

#[test]
fn many_scattered_losses_are_asked_for_within_the_mtu() {
    // One of seventeen is lost: 350 of them, which a NACK can't put together.
    let mut scene = Scene::new();
    scene.send(0, &vp8(true, 0));
    scene.settle(1);
    // A round trip of half a second, by the answer to a reference time (RFC 3611, 4.5), so that all can be asked for
    // again at one time.
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - ROUND_TRIP;
    let item = DlrrItem { ssrc: SENT_SSRC, last_receiver_report: Ntp::from_unix(then).compact(), delay: 0 };
    let mut report = Vec::new();
    rtcp::write_receiver_report(&mut report, SENT_SSRC, &[]);
    write_dlrr(&mut report, SENT_SSRC, &[item]);
    scene.sender.send(scene.inlet, &report);
    let lost = |number: u16| number % 17 == 16;
    for number in 1..350 * 17 + 1 {
        if !lost(number) {
            scene.send(number, &vp8(false, 0));
        }
        if number % 160 == 159 {
            scene.settle(u64::from(number + 1 - (number + 1) / 17));
        }
    }
    scene.settle(1 + 350 * 16);
    // The worker sleeps over the time when each is to be asked for again.
    scene.worker.stop();
    scene.sender.drain_for(ROUND_TRIP + ROUND_TRIP / 5);
    scene.worker.go_on();
    let mut asked = BTreeSet::new();
    while asked.len() < 350 {
        let numbers = next_nack(&scene);
        assert!(numbers.iter().all(|number| lost(*number)), "some of these came: {numbers:?}");
        asked.extend(numbers);
    }
}

#[test]
fn what_a_paused_producer_misses_is_not_asked_for() {
    let mut scene = Scene::new();
    scene.worker.ask("producer.pause", "p", Value::Null);
    for number in [1, 2, 5] {
        scene.send(number, &vp8(number == 1, 0));
    }
    scene.settle(3);
    scene.worker.ask("producer.resume", "p", Value::Null);
    for number in [6, 8] {
        scene.send(number, &vp8(number == 6, 0));
    }
    assert_eq!(next_nack(&scene), [7]);
}

#[test]
fn after_restarts_of_the_stream_an_old_number_does_not_get_a_new_packet() {
    // Without RTX, where the packet would go out under a number that another has had, and with it.
    for rtx in [false, true] {
        let mut consume = consume("c", "p");
        if !rtx {
            consume["rtpParameters"]["codecs"].as_array_mut().unwrap().truncate(1);
            consume["rtpParameters"]["encodings"] = json!([{"ssrc": RECEIVED_SSRC}]);
        }
        let scene = Scene::with(produce("p"), consume);
        // Far-off numbers are believed when a second packet confirms them, so the first of each restart is passed over.
        let sent = [5000, 5001, 5002, 20_000, 20_001, 5000, 5001, 5002];
        let received: Vec<Vec<u8>> = sent
            .into_iter()
            .enumerate()
            .filter_map(|(index, number)| {
                scene.send(number, &vp8([0, 4, 6].contains(&index), index as u8));
                (![3, 5].contains(&index)).then(|| scene.receiver.receive_rtp())
            })
            .collect();
        let fillers: Vec<u8> = received.iter().map(|packet| payload(packet)[100]).collect();
        assert_eq!(fillers, [0, 1, 2, 4, 6, 7]);

        scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&received[2])));
        scene.receiver.send(scene.outlet, &nack(RECEIVED_SSRC, sequence(&received[5])));
        let again = scene.receiver.receive_rtp();
        let prefix = if rtx { 2 } else { 0 };
        assert_eq!(payload(&again)[prefix..], vp8(false, 7), "the newer of the two packets 5002, for its own number");
    }
}
