//! Grades the exercises of chapter 03.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ch03_socketpair::frame::MAX_MESSAGE;
use ch03_socketpair::{Decoder, Error, encode, exercises, read_message, solutions, write_message};
use stage::grade::{self, Exercise};

type Parse = fn(&[u8]) -> io::Result<Option<(Vec<u8>, usize)>>;
type Ask = fn(&UnixStream, &[u8], Duration) -> Result<Vec<u8>, Error>;
type Relay = fn(&UnixStream, &UnixStream) -> io::Result<()>;

const PATIENCE: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    grade::main(vec![
        Exercise::new("netstrings", netstrings, exercises::parse_netstring as Parse, solutions::parse_netstring),
        Exercise::new("an answer in time", in_time, exercises::ask_within as Ask, solutions::ask_within),
        Exercise::new("a relay", relayed, exercises::relay as Relay, solutions::relay),
    ])
}

fn netstrings(parse: Parse) {
    let wrong = |bytes: &[u8]| match parse(bytes) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData),
        Ok(parsed) => panic!("{:?} is no netstring, and gives {parsed:?}", String::from_utf8_lossy(bytes)),
    };
    for (bytes, content) in [(&b"5:hello,"[..], &b"hello"[..]), (b"0:,", b""), (b"3:1:,,", b"1:,")] {
        assert_eq!(parse(bytes).unwrap(), Some((content.to_vec(), bytes.len())));
        // Whatever follows is not its business, and whatever is missing may still come.
        assert_eq!(parse(&[bytes, b"x"].concat()).unwrap(), Some((content.to_vec(), bytes.len())));
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]).unwrap(), None, "after {end} bytes");
        }
    }
    let long = [MAX_MESSAGE.to_string().as_bytes(), b":", &vec![b'x'; MAX_MESSAGE], b","].concat();
    assert_eq!(parse(&long).unwrap().unwrap().0.len(), MAX_MESSAGE);
    for bytes in [
        &b":,"[..],
        b"05:hello,",
        b"00:,",
        b"-1:",
        b" 1:x,",
        b"5:hello!",
        b"x",
        b"1x",
        b"4194305",
        b"99999999999999999999999",
    ] {
        wrong(bytes);
    }
}

fn in_time(ask: Ask) {
    // An answer that comes in pieces, but in time.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        let question = read_message(&mut theirs, &mut Decoder::default()).unwrap().unwrap();
        for piece in encode(&question).unwrap().chunks(3) {
            theirs.write_all(piece).unwrap();
            thread::sleep(PATIENCE / 20);
        }
        theirs
    });
    assert_eq!(ask(&ours, b"how are you?", PATIENCE).unwrap(), b"how are you?");
    drop(peer.join().unwrap());

    // One that would take too long, although something comes all the time.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        for byte in encode(&[0; 1_000]).unwrap() {
            if theirs.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(PATIENCE / 10);
        }
    });
    late(ask, &ours, b"?");

    // Nobody reads.
    let (ours, _theirs) = UnixStream::pair().unwrap();
    late(ask, &ours, &vec![0; MAX_MESSAGE]);

    // Somebody leaves.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || read_message(&mut theirs, &mut Decoder::default()).map(drop));
    let left = ask(&ours, b"?", 20 * PATIENCE);
    assert!(matches!(&left, Err(Error::Io(error)) if error.kind() == ErrorKind::UnexpectedEof), "{left:?}");
    peer.join().unwrap().unwrap();
}

fn late(ask: Ask, stream: &UnixStream, question: &[u8]) {
    let begin = Instant::now();
    let result = ask(stream, question, PATIENCE);
    let waited = begin.elapsed();
    assert!(matches!(&result, Err(Error::Io(error)) if error.kind() == ErrorKind::TimedOut), "{result:?}");
    assert!(waited >= PATIENCE, "it was given up after {waited:?}, which is too early");
    assert!(waited < 10 * PATIENCE, "it was given up after {waited:?}, which is too late");
}

fn relayed(relay: Relay) {
    const LONG: usize = 2_000_000;
    let (mut left, left_inner) = UnixStream::pair().unwrap();
    let (mut right, right_inner) = UnixStream::pair().unwrap();
    let relay = thread::spawn(move || relay(&left_inner, &right_inner));

    // The left one sends more than fits anywhere, and nobody reads that yet; the other direction goes on.
    let mut sender = left.try_clone().unwrap();
    let sender = thread::spawn(move || {
        sender.write_all(&[1; LONG])?;
        sender.shutdown(Shutdown::Write)
    });
    for number in 0..100_u32 {
        write_message(&mut right, &number.to_ne_bytes()).unwrap();
        let message = read_message(&mut left, &mut Decoder::default()).unwrap().unwrap();
        assert_eq!(message, number.to_ne_bytes());
    }
    // It comes whole, and then the end of it, while the right one goes on.
    let mut received = Vec::new();
    right.read_to_end(&mut received).unwrap();
    assert_eq!((received.len(), received.iter().all(|byte| *byte == 1)), (LONG, true));
    sender.join().unwrap().unwrap();
    right.write_all(b"still here").unwrap();
    let mut word = [0; 10];
    left.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"still here");
    drop(right);
    assert_eq!(left.read(&mut word).unwrap(), 0, "the end goes the other way, too");
    relay.join().unwrap().unwrap();
}
