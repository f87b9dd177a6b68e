//! Grades the exercises of chapter 05.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ch05_event_libraries::probe::Probe;
use ch05_event_libraries::{exercises, solutions};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
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
    let sockets = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    thread::spawn(move || serve(&sockets).expect("it serves for ever"));
    let mut probes = addresses.map(|address| Probe::new(address, 3).expect("who joins is answered"));
    for _ in 0..10 {
        for probe in &mut probes {
            probe.forward(50, 1_200).expect("every payload arrives everywhere, once, in order");
        }
    }

    // Nothing comes, for as long as a peer waits in vain.
    let before = processor_time();
    let idle = Duration::from_millis(400);
    probes[0].sender.socket.set_read_timeout(Some(idle)).unwrap();
    probes[0].sender.socket.recv(&mut [0]).expect_err("nobody sends to the sender");
    let used = processor_time() - before;
    assert!(used < idle / 4, "{used:?} of processor time in {idle:?} in which nothing came: it does not sleep in poll");
}

/// Of this process, the server's thread included.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = usage.user_time() + usage.system_time();
    Duration::from_micros(time.num_microseconds() as u64)
}
