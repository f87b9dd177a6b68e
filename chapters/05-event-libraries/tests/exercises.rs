//! Grades the exercises of chapter 05.

use std::convert::Infallible;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, io, iter, thread};

use ch04_epoll::{Epoll, Events, Interest, Token, Trigger};
use ch05_event_libraries::forwarder::JOIN;
use ch05_event_libraries::probe::Probe;
use ch05_event_libraries::{exercises, solutions};
use stage::grade::{self, Exercise};

type Expire = fn(&mut Vec<(SocketAddr, Instant)>, Instant, Duration) -> Option<Instant>;
type Trains = fn(&[usize]) -> Vec<Range<usize>>;
type Serve = fn(&[UdpSocket]) -> io::Result<Infallible>;

fn main() -> ExitCode {
    grade::main(vec![
        Exercise::new("a lease", lease, exercises::expire as Expire, solutions::expire),
        Exercise::new("trains", trains, exercises::trains as Trains, solutions::trains),
        Exercise::new("one driver more", poll, exercises::serve_with_poll as Serve, solutions::serve_with_poll),
    ])
}

fn lease(expire: Expire) {
    let peer = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let lease = Duration::from_secs(30);
    let mut joined = vec![(peer(1), after(10)), (peer(2), after(0)), (peer(3), after(5))];
    assert_eq!(
        expire(&mut joined, after(29), lease),
        Some(after(30)),
        "the first to go is the one of the earliest join"
    );
    assert_eq!(joined.len(), 3, "nobody's time is over yet");
    assert_eq!(expire(&mut joined, after(30), lease), Some(after(35)), "a lease of 30 s is over after 30 s");
    assert_eq!(joined, [(peer(1), after(10)), (peer(3), after(5))]);
    assert_eq!(expire(&mut joined, after(99), lease), None, "nobody is left, so there is nothing to wait for");
    assert!(joined.is_empty());
}

fn trains(trains: Trains) {
    let full = |count| vec![1_200; count];
    for (lengths, expected) in [
        (vec![], vec![]),
        (vec![9], vec![1]),
        // A frame as video has it.
        ([full(7), vec![311]].concat(), vec![8]),
        // After a shorter piece there can be no other, and a longer one begins anew.
        ([full(2), vec![311, 311]].concat(), vec![3, 1]),
        (vec![100, 200, 200], vec![1, 2]),
        // 54 × 1,200 are 64,800 bytes.
        (full(60), vec![54, 6]),
        (vec![10; 130], vec![64, 64, 2]),
        (vec![0, 0, 5, 0], vec![1, 1, 1, 1]),
        (vec![65_100, 65_100], vec![1, 1]),
    ] {
        let found = trains(&lengths);
        let covered: Vec<usize> = found.iter().cloned().flatten().collect();
        assert_eq!(covered, (0..lengths.len()).collect::<Vec<_>>(), "each of {lengths:?} once and in order");
        assert_eq!(found.iter().map(Range::len).collect::<Vec<_>>(), expected, "trains of {lengths:?}");
    }
}

fn poll(serve: Serve) {
    one_thread_that_works_and_sleeps(serve);
    a_flood_does_not_keep_the_others_waiting(serve);
}

fn one_thread_that_works_and_sleeps(serve: Serve) {
    let sockets = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let before = threads();
    thread::spawn(move || serve(&sockets).expect("it serves for ever"));
    let mut probes = addresses.map(|address| Probe::new(address, 3).expect("who joins is answered"));
    for _ in 0..10 {
        for probe in &mut probes {
            probe.forward(50, 1_200).expect("every payload arrives everywhere, once, in order");
        }
    }
    let mut new = threads();
    new.retain(|thread| !before.contains(thread));
    let [thread] = new[..] else { panic!("{} threads serve, not one", new.len()) };

    // Nothing comes, for as long as a peer waits in vain. What came last may still be on its way back to sleep.
    let wait = Duration::from_millis(400);
    probes[0].sender.socket.set_read_timeout(Some(wait)).unwrap();
    let nothing = || drop(probes[0].sender.socket.recv(&mut [0]).expect_err("nobody sends to the sender"));
    nothing();
    let before = sleep(thread);
    nothing();
    assert_eq!(sleep(thread), before, "it did something although nothing came");
    assert!(before.contains("sleeping"), "it never sleeps: {before}");
    // The call that it is in, if the kernel tells; "running" is none.
    if let Ok(call) = fs::read_to_string(format!("/proc/self/task/{thread}/syscall")) {
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        assert!(
            number.is_some_and(is_poll),
            "where it should sleep in poll, it is in another call, or in none: {call}"
        );
    }
}

/// All that comes has come before the server begins, so that the order in which it goes out is the server's alone: a
/// hundred datagrams in the middle socket, and one in each of its neighbours. Whoever works off what it finds lets one of
/// the neighbours wait for the whole flood, whichever socket it looks at first.
fn a_flood_does_not_keep_the_others_waiting(serve: Serve) {
    const FLOOD: usize = 100;
    let sockets = [0; 3].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    // One subscriber of all three hears in which order they are served.
    let [subscriber, sender] = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    subscriber.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for (socket, count) in sockets.iter().zip([1, FLOOD, 1]) {
        // Edge triggered tells of each arrival, so that no datagram overtakes another one.
        let (arrivals, mut events) = (Epoll::new().unwrap(), Events::with_capacity(1));
        arrivals.add(socket, Token(0), Interest::READ, Trigger::Edge).unwrap();
        let to = socket.local_addr().unwrap();
        for (from, bytes) in iter::once((&subscriber, JOIN)).chain(iter::repeat_n((&sender, 0x80), count)) {
            from.send_to(&[bytes], to).unwrap();
            arrivals.wait(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "a datagram is lost before the server begins");
        }
    }
    thread::spawn(move || serve(&sockets).expect("it serves for ever"));
    let mut heard = Vec::new();
    while heard.len() < FLOOD + 2 {
        let mut buffer = [0; 8];
        let (_, from) = subscriber.recv_from(&mut buffer).expect("every payload comes");
        if buffer[0] == 0x80 {
            heard.push(from);
        }
    }
    for neighbour in [addresses[0], addresses[2]] {
        let place = heard.iter().position(|from| *from == neighbour).expect("a neighbour is served");
        assert!(place < FLOOD / 2, "a socket with one datagram waited until {place} of a flood had gone out elsewhere");
    }
}

/// This process's threads.
fn threads() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// Whether a thread sleeps, and how often it has gone to sleep in its life.
fn sleep(thread: i32) -> String {
    let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).expect("it serves for ever");
    let told = |line: &&str| line.starts_with("State:") || line.starts_with("voluntary_ctxt_switches:");
    status.lines().filter(told).collect::<Vec<_>>().join(", ")
}

/// poll(2) is two system calls; newer architectures have only the second one.
fn is_poll(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_poll {
        return true;
    }
    number == libc::SYS_ppoll
}
