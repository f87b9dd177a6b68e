//! What the estimator does with feedback, on a path that the test plays.

use super::*;
use crate::rtcp::{FeedbackBuilder, Packet, packets};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { start: 500_000, min: 30_000, max: 5_000_000 };

fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// Sends `seconds` of packets of 1200 bytes each 10 ms, with feedback each 100 ms.
fn send(estimator: &mut Estimator, builder: &mut FeedbackBuilder, at: &mut Instant, number: &mut u16, seconds: u32) {
    for step in 1..=seconds * 100 {
        *at += millis(10);
        *number = number.wrapping_add(1);
        estimator.handle_sent(*at, *number, 1200);
        builder.handle_packet(*number, *at);
        if step % 10 == 0 {
            let mut bytes = Vec::new();
            builder.poll_feedback(&mut bytes, 1200);
            let Some(Ok(Packet::TransportCc(feedback))) = packets(&bytes).next() else { panic!() };
            estimator.handle_feedback(*at, &feedback);
        }
    }
}

#[test]
fn without_feedback_the_receivers_bound_is_all_that_counts() {
    let now = Instant::now();
    let mut estimator = Estimator::new(now, BOUNDS);
    assert_eq!(estimator.available_bitrate(), 500_000);
    estimator.handle_remb(now, 1_500_000);
    assert_eq!(estimator.available_bitrate(), 1_500_000);
    estimator.handle_remb(now, 10);
    assert_eq!(estimator.available_bitrate(), 30_000);
    estimator.handle_remb(now, u64::MAX);
    assert_eq!(estimator.available_bitrate(), 5_000_000);
    estimator.set_bounds(Bounds { max: 400_000, ..BOUNDS });
    assert_eq!(estimator.available_bitrate(), 400_000);
}

#[test]
fn the_estimate_grows_no_further_than_is_sent_and_a_receiver_can_bound_it() {
    let start = Instant::now();
    let (mut at, mut number) = (start, 0);
    let mut estimator = Estimator::new(start, BOUNDS);
    let mut builder = FeedbackBuilder::new(start, 1, 2);
    send(&mut estimator, &mut builder, &mut at, &mut number, 20);
    // 960 kbit/s are sent: half as much again.
    assert!((1_300_000..1_500_000).contains(&estimator.available_bitrate()), "{}", estimator.available_bitrate());
    assert!(estimator.poll_padding(at).is_none(), "nothing more is desired");
    estimator.handle_remb(at, 700_000);
    assert_eq!(estimator.available_bitrate(), 700_000);
}

#[test]
fn a_path_that_falls_silent_is_given_less_and_less() {
    let start = Instant::now();
    let (mut at, mut number) = (start, 0);
    let mut estimator = Estimator::new(start, BOUNDS);
    let mut builder = FeedbackBuilder::new(start, 1, 2);
    send(&mut estimator, &mut builder, &mut at, &mut number, 5);
    assert_eq!(estimator.poll_timeout(), None, "all has been answered");
    let before = estimator.available_bitrate();
    estimator.handle_sent(at, number.wrapping_add(1), 1200);
    let mut steps = 0;
    while let Some(timeout) = estimator.poll_timeout().filter(|timeout| *timeout < at + millis(5000)) {
        estimator.handle_timeout(timeout);
        steps += 1;
    }
    assert!(steps > 3 && estimator.available_bitrate() < before / 2, "{steps} {}", estimator.available_bitrate());
}

#[test]
fn probing_begins_with_what_is_desired_and_stays_within() {
    let start = Instant::now();
    let mut estimator = Estimator::new(start, BOUNDS);
    estimator.set_desired_bitrate(start, 1_000_000);
    let due = estimator.poll_timeout().expect("a cluster is to be sent");
    assert_eq!(estimator.poll_padding(start), None, "media may come first");
    let (mut now, mut bytes, mut number) = (due, 0, 0);
    while now < due + millis(300) {
        while let Some(size) = estimator.poll_padding(now) {
            number += 1;
            estimator.handle_sent(now, number, size);
            bytes += size;
        }
        now += millis(1);
    }
    // A cluster or two of 40 ms of at most 1.1 Mbit/s.
    assert!((4_000..14_000).contains(&bytes), "{bytes}");
    estimator.set_desired_bitrate(now, 0);
    assert_eq!(estimator.poll_timeout(), None);
}

proptest! {
    #[test]
    fn no_feedback_breaks_it_and_its_bounds_hold(
        bodies in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 8..60), 0u64..3000), 0..30)
    ) {
        let start = Instant::now();
        let mut at = start;
        let mut estimator = Estimator::new(start, BOUNDS);
        estimator.set_desired_bitrate(start, 3_000_000);
        for (index, (body, gap)) in bodies.into_iter().enumerate() {
            at += millis(gap);
            for number in 0..20u16 {
                estimator.handle_sent(at, index as u16 * 20 + number, 1000);
            }
            let mut bytes = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
            // Near the numbers sent, that it is about some of them.
            bytes.extend((index as u16 * 20).to_be_bytes());
            bytes.extend([0, body[0] % 40]);
            bytes.extend(&body[1..]);
            while bytes.len() % 4 != 0 {
                bytes.push(0);
            }
            let words = (bytes.len() / 4 - 1) as u16;
            bytes[2..4].copy_from_slice(&words.to_be_bytes());
            if let Some(Ok(Packet::TransportCc(feedback))) = packets(&bytes).next() {
                estimator.handle_feedback(at, &feedback);
            }
            estimator.handle_timeout(at);
            let bitrate = estimator.available_bitrate();
            prop_assert!((BOUNDS.min..=BOUNDS.max).contains(&bitrate), "{bitrate}");
        }
    }
}
