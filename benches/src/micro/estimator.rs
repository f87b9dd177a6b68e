//! Bandwidth estimation, per packet, on both sides.

use super::{Bench, Id, check};
use anyhow::Result;
use sfu_proto::bwe::{Bounds, Estimator, RemoteEstimator};
use sfu_proto::rtcp::{FeedbackBuilder, Packet, packets};
use sfu_proto::rtp::AbsSendTime;
use std::hint::black_box;
use std::time::{Duration, Instant};

const GROUP: &str = "Bandwidth estimation, per packet";
const PACKET_LEN: usize = 1_200;
/// 300 packets a second, and feedback after each thirtieth.
const APART: Duration = Duration::from_micros(3_333);
const COVERED: u16 = 30;
/// How long a packet is under way.
const DELAY: Duration = Duration::from_millis(20);

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    let start = Instant::now();
    let mut feedback = Vec::with_capacity(4_096);

    let mut builder = FeedbackBuilder::new(start, 1, 2);
    let (mut now, mut number) = (start, 0_u16);
    check(
        bench,
        &Id::new(GROUP, "receiver: transport-wide feedback"),
        || {
            now += APART;
            number = number.wrapping_add(1);
            builder.handle_packet(black_box(number), now);
            if number.is_multiple_of(COVERED) {
                feedback.clear();
                while builder.poll_feedback(&mut feedback, 1_200) {}
            }
            feedback.len()
        },
        |len| *len <= 1_200,
    )?;

    let mut remote = RemoteEstimator::new(start, 1_000_000);
    let (mut now, mut sent) = (start, Duration::from_secs(1));
    check(
        bench,
        &Id::new(GROUP, "receiver: estimate from absolute send times (REMB)"),
        || {
            now += APART;
            sent += APART;
            remote.handle_packet(now, AbsSendTime::from_duration(sent), PACKET_LEN);
            black_box(remote.poll_remb(now));
            remote.bitrate()
        },
        |bitrate| *bitrate >= 5_000,
    )?;

    let mut builder = FeedbackBuilder::new(start, 1, 2);
    let mut estimator = Estimator::new(start, Bounds { start: 1_000_000, min: 30_000, max: 10_000_000 });
    estimator.set_desired_bitrate(start, 5_000_000);
    let (mut now, mut number) = (start, 0_u16);
    let mut step = || {
        now += APART;
        number = number.wrapping_add(1);
        estimator.handle_timeout(now);
        estimator.handle_sent(now, black_box(number), PACKET_LEN);
        builder.handle_packet(number, now + DELAY);
        let mut understood = true;
        if number.is_multiple_of(COVERED) {
            feedback.clear();
            while builder.poll_feedback(&mut feedback, 1_200) {}
            for packet in packets(&feedback) {
                match packet {
                    Ok(Packet::TransportCc(packet)) => estimator.handle_feedback(now + DELAY, &packet),
                    _ => understood = false,
                }
            }
        }
        understood && estimator.available_bitrate() > 500_000
    };
    // Past the start-up, in which it probes.
    for _ in 0..3_000 {
        step();
    }
    check(bench, &Id::new(GROUP, "sender and receiver: estimate from transport-wide feedback"), step, |right| *right)
}
