//! The estimator allocates nothing for a packet or for feedback, once its ring has grown.

use std::time::{Duration, Instant};

use sfu_proto::bwe::{Bounds, Estimator};
use sfu_proto::rtcp::{FeedbackBuilder, Packet, packets};

#[test]
fn packets_and_feedback_allocate_nothing_in_steady_state() {
    let start = Instant::now();
    let mut estimator = Estimator::new(start, Bounds { start: 1_000_000, min: 30_000, max: 10_000_000 });
    estimator.set_desired_bitrate(start, 5_000_000);
    let mut builder = FeedbackBuilder::new(start, 1, 2);
    let mut feedback = Vec::with_capacity(4096);
    let mut number = 0u16;
    // 300 packets a second; feedback ten times a second.
    let mut run = |estimator: &mut Estimator, from: u32, to: u32, counted: bool| {
        for step in from..to {
            let now = start + Duration::from_micros(u64::from(step) * 3_333);
            number = number.wrapping_add(1);
            let work = |estimator: &mut Estimator| {
                estimator.handle_timeout(now);
                estimator.handle_sent(now, number, 1200);
            };
            if counted {
                let info = allocation_counter::measure(|| work(estimator));
                assert_eq!(info.count_total, 0, "packet {step}");
            } else {
                work(estimator);
            }
            builder.handle_packet(number, now + Duration::from_millis(20));
            if step % 30 != 0 {
                continue;
            }
            feedback.clear();
            while builder.poll_feedback(&mut feedback, 1200) {}
            for packet in packets(&feedback) {
                let Ok(Packet::TransportCc(packet)) = packet else { panic!("{packet:?}") };
                let info = allocation_counter::measure(|| estimator.handle_feedback(now, &packet));
                assert_eq!(info.count_total, 0, "feedback at packet {step}");
            }
        }
    };
    run(&mut estimator, 0, 600, false);
    run(&mut estimator, 600, 3000, true);
    assert!(estimator.available_bitrate() > 1_000_000);
}
