//! The worker's deadlines, a thousand of them.

use super::{Bench, Id, check};
use anyhow::Result;
use sfu_reactor::timer::TimerQueue;
use std::hint::black_box;
use std::time::{Duration, Instant};

const GROUP: &str = "Timers, among 1,000";
const TIMERS: u64 = 1_000;

fn queue(start: Instant) -> TimerQueue<u64> {
    let mut queue = TimerQueue::new();
    for key in 0..TIMERS {
        queue.set(key, start + Duration::from_millis(key));
    }
    queue
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    let start = Instant::now();
    let mut timers = queue(start);
    let (mut deadline, mut key) = (start + Duration::from_secs(30), 0);
    check(
        bench,
        &Id::new(GROUP, "put a deadline off"),
        || {
            deadline += Duration::from_micros(10);
            key = (key + 7) % TIMERS;
            timers.set(black_box(key), deadline);
            timers.len()
        },
        |len| *len == TIMERS as usize,
    )?;
    let mut timers = queue(start);
    check(
        bench,
        &Id::new(GROUP, "the next deadline, after one was put off"),
        || {
            deadline += Duration::from_micros(10);
            key = (key + 7) % TIMERS;
            timers.set(black_box(key), deadline);
            timers.next_deadline()
        },
        Option::is_some,
    )?;
    let mut timers = queue(start);
    check(
        bench,
        &Id::new(GROUP, "set and cancel"),
        || {
            timers.set(black_box(TIMERS), start + Duration::from_millis(500));
            timers.cancel(TIMERS)
        },
        |known| *known,
    )?;
    let mut timers = queue(start);
    let mut now = start;
    // Each is set again as it falls due, so that there are always as many.
    check(
        bench,
        &Id::new(GROUP, "expire one and set it again"),
        || {
            now += Duration::from_millis(1);
            let mut expired = 0;
            while let Some(key) = timers.pop_expired(now) {
                timers.set(key, now + Duration::from_millis(TIMERS));
                expired += 1;
            }
            expired
        },
        |expired| (1..=2).contains(expired),
    )
}
