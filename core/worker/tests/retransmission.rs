//! Loss on either side: what the worker asks its senders for, and what it gives its receivers again.

mod common;

use common::media::*;
use serde_json::Value;

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
