use super::*;
use proptest::prelude::*;

fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

struct Bench {
    generator: Generator,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        Bench { generator: Generator::new(Config::default()), now: Instant::now() }
    }

    fn packet(&mut self, seq: u16) -> Arrival {
        self.generator.handle_packet(self.now, seq, false, false)
    }

    fn nack(&mut self) -> Vec<u16> {
        let mut out = Vec::new();
        self.generator.poll_nack(&mut out);
        out
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        self.generator.handle_timeout(self.now);
    }
}

#[test]
fn a_gap_is_asked_for_at_once_across_the_wrap() {
    let mut bench = Bench::new();
    bench.packet(65533);
    assert_eq!((bench.nack(), bench.generator.poll_timeout()), (vec![], None));
    bench.packet(2);
    assert_eq!(bench.nack(), [65534, 65535, 0, 1]);
    assert_eq!(bench.generator.poll_timeout(), Some(bench.now + millis(40)));
    assert_eq!(bench.nack(), []);
    assert_eq!(bench.packet(0), Arrival::Repaired);
    assert_eq!(bench.packet(0), Arrival::Unexpected);
    assert_eq!(bench.packet(2), Arrival::Unexpected);
    assert_eq!(bench.generator.pending(), 3);
}

#[test]
fn what_stays_missing_is_asked_for_each_round_trip_ten_times() {
    let mut bench = Bench::new();
    bench.generator.handle_rtt(millis(80));
    bench.packet(1);
    bench.packet(3);
    let start = bench.now;
    let mut asked = vec![];
    for _ in 0..100 {
        if bench.nack() == [2] {
            asked.push((bench.now - start).as_millis());
        }
        let Some(deadline) = bench.generator.poll_timeout() else { break };
        assert!(deadline > bench.now);
        bench.wait(deadline - bench.now);
    }
    assert_eq!(asked, (0..10).map(|index| index * 80).collect::<Vec<_>>());
    assert_eq!((bench.generator.pending(), bench.generator.poll_timeout()), (0, None));
    assert_eq!((bench.now - start).as_millis(), 800, "given up a round trip after the last request");
    assert_eq!(bench.packet(2), Arrival::Unexpected);
}

#[test]
fn the_answer_to_the_last_request_is_a_repair() {
    let mut bench = Bench::new();
    bench.packet(1);
    bench.packet(3);
    for request in 1..=10 {
        assert_eq!(bench.nack(), [2], "request {request}");
        // 99 ms: not yet a round trip.
        bench.wait(millis(99));
        assert_eq!((bench.nack(), bench.generator.pending()), (vec![], 1));
        if request < 10 {
            bench.wait(millis(40));
        }
    }
    assert_eq!(bench.packet(2), Arrival::Repaired);
}

#[test]
fn a_new_gap_does_not_repeat_older_requests_before_their_time() {
    let mut bench = Bench::new();
    bench.generator.handle_rtt(millis(10));
    bench.packet(1);
    bench.packet(3);
    assert_eq!(bench.nack(), [2]);
    bench.wait(millis(20));
    bench.packet(5);
    assert_eq!(bench.nack(), [4]);
    bench.wait(millis(20));
    assert_eq!(bench.nack(), [2, 4]);
}

#[test]
fn a_fresh_gap_is_asked_for_beside_those_asked_for_and_those_that_came() {
    let mut bench = Bench::new();
    bench.packet(1);
    bench.packet(4);
    assert_eq!(bench.nack(), [2, 3]);
    // Two gaps before one poll, and a part of the first that came in time.
    bench.packet(7);
    assert_eq!(bench.packet(5), Arrival::Reordered);
    bench.packet(9);
    assert_eq!(bench.nack(), [6, 8]);
    assert_eq!(bench.nack(), []);
}

#[test]
fn a_delay_spares_packets_that_were_only_reordered() {
    let mut bench = Bench::new();
    bench.generator = Generator::new(Config { delay: millis(20), ..Config::default() });
    bench.packet(1);
    bench.packet(4);
    assert_eq!(bench.nack(), []);
    assert_eq!(bench.packet(2), Arrival::Reordered);
    bench.wait(millis(40));
    assert_eq!(bench.nack(), [3]);
}

#[test]
fn too_much_missing_asks_for_a_key_frame_instead() {
    let mut bench = Bench::new();
    bench.packet(0);
    bench.packet(1001);
    assert_eq!((bench.nack().len(), bench.generator.poll_event()), (1000, None));
    bench.packet(1003);
    assert_eq!(bench.generator.poll_event(), Some(Event::KeyFrameNeeded));
    assert_eq!((bench.nack(), bench.generator.pending(), bench.generator.poll_timeout()), (vec![], 0, None));
    assert_eq!(bench.generator.poll_event(), None);
}

#[test]
fn a_key_frame_makes_older_losses_expendable() {
    let mut bench = Bench::new();
    bench.packet(0);
    bench.packet(901);
    bench.generator.handle_packet(bench.now, 902, true, false);
    bench.packet(1103);
    assert_eq!(bench.generator.poll_event(), None);
    assert_eq!(bench.nack(), (903..1103).collect::<Vec<u16>>());
}

#[test]
fn old_losses_are_given_up() {
    let mut bench = Bench::new();
    bench.packet(0);
    bench.packet(2);
    bench.nack();
    for seq in 3..=10_001 {
        bench.packet(seq);
    }
    assert_eq!(bench.generator.pending(), 1);
    bench.packet(10_002);
    assert_eq!((bench.generator.pending(), bench.generator.poll_timeout()), (0, None));
}

#[test]
fn a_recovered_packet_opens_no_gap() {
    let mut bench = Bench::new();
    bench.packet(1);
    assert_eq!(bench.generator.handle_packet(bench.now, 5, false, true), Arrival::Unexpected);
    assert_eq!(bench.nack(), []);
    bench.packet(4);
    assert_eq!(bench.nack(), [2, 3]);
    assert_eq!(bench.generator.handle_packet(bench.now, 3, false, true), Arrival::Repaired);
}

proptest! {
    /// Whatever the network does, everything is asked for that did not come, and nothing else.
    #[test]
    fn asks_for_exactly_what_is_missing(start: u16, lost in proptest::collection::vec(any::<bool>(), 2..500)) {
        let mut bench = Bench::new();
        bench.packet(start);
        let mut expected = vec![];
        for (index, lost) in lost.iter().enumerate() {
            let seq = start.wrapping_add(index as u16 + 1);
            if *lost { expected.push(seq) } else { bench.packet(seq); }
        }
        let tail = lost.iter().rev().take_while(|lost| **lost).count();
        expected.truncate(expected.len() - tail);
        prop_assert_eq!(bench.nack(), &expected[..]);
        for seq in expected {
            prop_assert_eq!(bench.packet(seq), Arrival::Repaired);
        }
        prop_assert_eq!(bench.generator.pending(), 0);
        prop_assert!(bench.generator.missing.is_empty());
    }

    #[test]
    fn arbitrary_sequences_keep_within_bounds(
        packets in proptest::collection::vec((any::<u16>(), any::<bool>(), any::<bool>(), 0u64..60), 0..300)
    ) {
        let mut bench = Bench::new();
        for (seq, key, recovered, gap) in packets {
            bench.generator.handle_packet(bench.now, seq, key, recovered);
            bench.nack();
            let missing = bench.generator.missing.iter().filter(|missing| !missing.settled).count();
            prop_assert_eq!(bench.generator.pending(), missing);
            prop_assert!(missing <= 1000 && bench.generator.missing.len() <= 10_000);
            prop_assert_eq!(missing > 0, bench.generator.poll_timeout().is_some());
            bench.wait(millis(gap));
        }
    }
}
