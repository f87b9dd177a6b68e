//! The timer queue against an obvious model, and its bound on left-overs.

use proptest::prelude::*;
use sfu_reactor::timer::TimerQueue;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u64),
    Cancel(u8),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..8, 0_u64..1_000).prop_map(|(key, millis)| Step::Set(key, millis)),
        1 => (0_u8..8).prop_map(Step::Cancel),
        1 => (0_u64..300).prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_map_searched_for_its_minimum(steps in proptest::collection::vec(step(), 1..300)) {
        let mut now = Instant::now();
        let mut queue = TimerQueue::new();
        let mut model: BTreeMap<u8, Instant> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(key, millis) => {
                    let deadline = now + Duration::from_millis(millis);
                    queue.set(key, deadline);
                    model.insert(key, deadline);
                }
                Step::Cancel(key) => prop_assert_eq!(queue.cancel(key), model.remove(&key).is_some()),
                Step::Advance(millis) => {
                    now += Duration::from_millis(millis);
                    let mut last = None;
                    while let Some(key) = queue.pop_expired(now) {
                        let deadline = model.remove(&key);
                        prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
                        prop_assert!(last <= deadline, "earlier deadlines come first");
                        last = deadline;
                    }
                    prop_assert!(model.values().all(|&deadline| deadline > now), "all that is due came");
                }
            }
            prop_assert_eq!(queue.next_deadline(), model.values().min().copied());
            prop_assert_eq!(queue.len(), model.len());
            for key in 0..8 {
                prop_assert_eq!(queue.deadline(key), model.get(&key).copied());
            }
        }
    }
}

#[test]
fn equal_deadlines_come_in_the_order_of_setting() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    for key in [3, 1, 2] {
        queue.set(key, now);
    }
    assert_eq!([(); 4].map(|()| queue.pop_expired(now)), [Some(3), Some(1), Some(2), None]);
}

#[test]
fn changes_of_mind_leave_bounded_garbage() {
    let now = Instant::now();
    let mut queue = TimerQueue::new();
    for round in 0..100_000_u64 {
        // Ever earlier, so that each needs an entry of its own; and keys that come and go.
        queue.set(0, now + Duration::from_secs(200_000 - round));
        queue.set(1 + round, now);
        queue.cancel(1 + round);
    }
    assert_eq!(queue.len(), 1);
    assert!(queue.queued_entries() <= 2 + 64, "{} entries for one timer", queue.queued_entries());
    assert_eq!(queue.next_deadline(), Some(now + Duration::from_secs(100_001)));
}
