//! Waiting: readiness, deadlines, and changes of mind.

use sfu_reactor::poll::{Event, Events, Interest, Poller, Token};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

fn ready(poller: &Poller) -> Vec<Event> {
    let mut events = Events::with_capacity(8);
    poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    events.iter().collect()
}

#[test]
fn tells_who_is_ready_for_what_by_token() {
    let poller = Poller::new().unwrap();
    let (mut a, b) = UnixStream::pair().unwrap();
    let big = Token(u64::MAX);
    poller.add(&b, big, Interest::READ).unwrap();
    assert!(ready(&poller).is_empty());

    a.write_all(b"x").unwrap();
    let events = ready(&poller);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].token, big);
    assert!(events[0].is_readable() && !events[0].is_writable() && !events[0].is_closed());
    assert_eq!(ready(&poller), events, "what isn't read is told again");

    poller.modify(&b, Token(7), Interest::READ_WRITE).unwrap();
    let events = ready(&poller);
    assert_eq!(events[0].token, Token(7));
    assert!(events[0].is_readable() && events[0].is_writable());

    poller.modify(&b, Token(7), Interest::write_if(false)).unwrap();
    assert!(ready(&poller).is_empty(), "room to write is told only to those who ask");
    poller.modify(&b, Token(7), Interest::write_if(true)).unwrap();
    assert!(ready(&poller)[0].is_writable());

    drop(a);
    assert!(ready(&poller)[0].is_closed());

    poller.remove(&b).unwrap();
    assert!(ready(&poller).is_empty());
    assert!(poller.remove(&b).is_err());
}

#[test]
fn more_ready_descriptors_than_room_come_with_the_next_wait() {
    let poller = Poller::new().unwrap();
    let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
    for (index, (a, b)) in pairs.iter().enumerate() {
        poller.add(b, Token(index as u64), Interest::READ).unwrap();
        (&mut &*a).write_all(b"x").unwrap();
    }
    let mut events = Events::with_capacity(2);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 2);
        seen.extend((&events).into_iter().map(|event| event.token));
    }
    assert_eq!(seen.len(), 3, "the kernel goes round among the ready");
}

/// A wait must not end before its deadline, or the caller's loop spins through the last part of a millisecond.
#[test]
fn waits_at_least_as_long_as_asked() {
    let timeout = Duration::from_micros(1_300);
    for poller in [Poller::new().unwrap(), Poller::new().unwrap().with_millisecond_waits()] {
        let mut events = Events::with_capacity(1);
        let start = Instant::now();
        poller.wait(&mut events, Some(timeout)).unwrap();
        assert!(events.is_empty());
        assert!(start.elapsed() >= timeout);
    }
}

/// With whole milliseconds the shortest wait is 1 ms; a timer due in 50 µs shouldn't be 20 times late.
#[test]
fn waits_are_finer_than_a_millisecond() {
    let poller = Poller::new().unwrap();
    let mut events = Events::with_capacity(1);
    let shortest = (0..50)
        .map(|_| {
            let start = Instant::now();
            poller.wait(&mut events, Some(Duration::from_micros(50))).unwrap();
            start.elapsed()
        })
        .min()
        .unwrap();
    assert!(shortest < Duration::from_micros(900), "the shortest of 50 waits for 50 µs took {shortest:?}");
}
