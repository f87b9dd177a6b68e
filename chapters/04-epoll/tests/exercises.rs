//! Grades the exercises of chapter 04.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ch04_epoll::exercises::{AlarmClock, Drained};
use ch04_epoll::{EventFd, exercises, solutions};
use stage::grade::{self, Exercise};

type Drain = fn(&mut Script, &mut Vec<u8>, usize) -> io::Result<Drained>;
type NewClock = fn() -> Box<dyn AlarmClock>;
type Relay = fn(&TcpListener, &EventFd) -> io::Result<()>;

fn main() -> ExitCode {
    let attempt: NewClock = || Box::new(exercises::Alarms::default());
    let solution: NewClock = || Box::new(solutions::Alarms::default());
    grade::main(vec![
        Exercise::new("drained, within a budget", drains, exercises::drain as Drain, solutions::drain),
        Exercise::new("alarms that can be taken back", alarms, attempt, solution),
        Exercise::new("an SFU in small", relays, exercises::relay as Relay, solutions::relay),
    ])
}

/// What a read meets.
enum Step {
    Bytes(&'static [u8]),
    Interrupted,
    NothingNow,
    End,
}

/// A source that is told what its reads meet.
struct Script(VecDeque<Step>);

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read of no bytes looks like the end");
        match self.0.pop_front().expect("it reads although it could know better") {
            Step::Bytes(bytes) => {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                if length < bytes.len() {
                    self.0.push_front(Step::Bytes(&bytes[length..]));
                }
                Ok(length)
            }
            Step::Interrupted => Err(ErrorKind::Interrupted.into()),
            Step::NothingNow => Err(ErrorKind::WouldBlock.into()),
            Step::End => Ok(0),
        }
    }
}

fn drains(drain: Drain) {
    let cases = [
        (vec![Step::Bytes(b"one"), Step::Interrupted, Step::Bytes(b"two"), Step::NothingNow], Drained::Dry, "onetwo"),
        (vec![Step::Bytes(b"the last"), Step::End], Drained::Ended, "the last"),
        (vec![Step::End], Drained::Ended, ""),
        (vec![Step::Bytes(b"0123456789"), Step::Bytes(b"x")], Drained::Spent, "0123456789"),
        (vec![Step::Bytes(b"012345678901234")], Drained::Spent, "0123456789"),
    ];
    for (script, expected, text) in cases {
        let mut sink = b"> ".to_vec();
        let drained = drain(&mut Script(script.into()), &mut sink, 10).unwrap();
        assert_eq!((drained, &*String::from_utf8_lossy(&sink)), (expected, &*format!("> {text}")));
    }
}

fn alarms(new: NewClock) {
    let begin = Instant::now();
    let at = |milliseconds: u64| begin + Duration::from_millis(milliseconds);
    let mut clock = new();
    // What should be in it, by number.
    let mut expected: BTreeMap<u64, Instant> = BTreeMap::new();
    let mut random = 1_u32;
    for now in 0..3_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let draw = u64::from(random >> 16);
        if draw % 3 < 2 {
            let time = at(now + draw % 97);
            assert!(expected.insert(clock.set(time), time).is_none(), "a number was used again");
        } else if let Some(number) = expected.keys().nth(draw as usize % expected.len().max(1)).copied() {
            clock.cancel(number);
            clock.cancel(number);
            expected.remove(&number);
        }
        assert_eq!(clock.next(), expected.values().min().copied(), "the loop would wake at the wrong time");
        while let Some(number) = clock.ring(at(now)) {
            let time = expected.remove(&number).expect("one that rang already, or was taken back, rang");
            assert!(time <= at(now) && expected.values().all(|other| *other >= time), "it rang out of order");
        }
        assert!(expected.values().all(|time| *time > at(now)), "one didn't ring");
    }
    // Most are cancelled, and that must be cheap.
    let numbers: Vec<u64> = (0..200_000).map(|number| clock.set(at(1_000_000 + number))).collect();
    numbers.into_iter().for_each(|number| clock.cancel(number));
    expected.into_keys().for_each(|number| clock.cancel(number));
    assert_eq!(clock.next(), None);
}

/// What is sent in one piece in the exercise of the relay: less than anybody may fall behind.
const PIECE: usize = 128 * 1024;

fn relays(relay: Relay) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Arc::new(EventFd::new().unwrap());
    let stopper = Arc::clone(&stop);
    let relaying = thread::spawn(move || relay(&listener, &stopper));
    let connect = || {
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    };
    let hear = |client: &mut TcpStream, length: usize| {
        let mut heard = vec![0; length];
        client.read_exact(&mut heard).expect("everybody else hears what one says");
        heard
    };
    // The queue is served in order: whoever hears the speaker was let in before it.
    let (mut first, mut second, mut deaf) = (connect(), connect(), connect());
    let mut speaker = connect();
    speaker.write_all(b"hello").unwrap();
    assert_eq!(hear(&mut first, 5), b"hello");
    assert_eq!(hear(&mut second, 5), b"hello");
    second.write_all(b"hi").unwrap();
    assert_eq!(hear(&mut speaker, 2), b"hi", "and nobody hears oneself");
    assert_eq!(hear(&mut first, 2), b"hi");
    drop(second);

    // More than the sockets of one that doesn't read can hold.
    let pieces = 96;
    for piece in 0..pieces {
        speaker.write_all(&[piece as u8; PIECE]).unwrap();
        assert_eq!(hear(&mut first, PIECE), vec![piece as u8; PIECE]);
    }
    let mut reached = 0;
    let mut buffer = vec![0; PIECE];
    loop {
        match deaf.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => reached += length,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the one that doesn't read is still connected: {error}"),
        }
    }
    assert!(reached < pieces * PIECE, "everything was kept for one that doesn't read");
    stop.notify().unwrap();
    relaying.join().unwrap().unwrap();
}
