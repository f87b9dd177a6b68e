//! A worker that was stopped for a while: what it makes of media that waited meanwhile.

mod common;

use std::time::Duration;

use common::media::*;
use serde_json::Value;

/// RTCP payload-specific feedback, and its format for a PLI (RFC 4585, 6.3.1).
const PSFB: u8 = 206;
const PLI: u8 = 1;

/// Stops the worker, has `send` send, lets time pass and the worker go on. Returns when it has caught up.
fn hang(scene: &mut Scene, time: Duration, send: impl FnOnce(&Scene)) {
    scene.worker.stop();
    send(scene);
    scene.receiver.drain_for(time);
    scene.worker.go_on();
    // Requests are answered after what the network has brought.
    scene.worker.dump();
}

#[test]
fn media_that_waited_long_are_passed_over_and_a_key_frame_is_asked_for() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    let before = scene.receiver.receive_rtp();
    // Reports are due after a second and a half at most, so that the worker can't but notice.
    hang(&mut scene, Duration::from_millis(2200), |scene| {
        // With a gap, of which nothing is worth asking for any more.
        for number in (2..50).chain(60..100) {
            scene.send(number, &vp8(number == 70, 0));
        }
    });
    assert!(scene.receiver.drain_rtp().is_empty(), "old media were sent on");
    let stats = scene.worker.ask("producer.getStats", "p", Value::Null);
    assert_eq!(stats[0]["packetCount"], 89, "they are counted: {stats}");

    // What goes on without them can't be decoded.
    scene.send(100, &vp8(false, 2));
    scene.sender.receive_rtcp(PSFB, PLI);
    scene.send(101, &vp8(true, 3));
    scene.send(102, &vp8(false, 4));
    let after = [scene.receiver.receive_rtp(), scene.receiver.receive_rtp()];
    assert_eq!(after.each_ref().map(|packet| payload(packet).to_vec()), [vp8(true, 3), vp8(false, 4)]);
    let numbers = after.map(|packet| sequence(&packet).wrapping_sub(sequence(&before)));
    assert_eq!(numbers, [1, 2], "receivers miss nothing");
    let stats = scene.worker.ask("producer.getStats", "p", Value::Null);
    assert_eq!(stats[0]["nackCount"], 0, "{stats}");
}

#[test]
fn media_that_waited_for_a_moment_are_sent_on() {
    let mut scene = Scene::new();
    scene.send(1, &vp8(true, 1));
    scene.receiver.receive_rtp();
    hang(&mut scene, Duration::from_millis(1), |scene| (2..50).for_each(|number| scene.send(number, &vp8(false, 0))));
    assert_eq!(scene.receiver.drain_rtp().len(), 48);
}
