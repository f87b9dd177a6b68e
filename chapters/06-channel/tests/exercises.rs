//! Grades the exercises of chapter 06.

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ch06_channel::channel::MAX_REQUESTS;
use ch06_channel::exercises::Payload;
use ch06_channel::{Channel, Error, Outcome, Refusal, Server, exercises, solutions};
use serde_json::{Value, json};
use stage::grade::{self, Exercise};

type AskAll = fn(&mut Channel, &str, Vec<Value>, Duration) -> Result<Vec<Outcome>, Error>;
type NextPayload = fn(&mut dyn Iterator<Item = Vec<u8>>) -> io::Result<Option<Payload>>;
type AskAgain = fn(&mut dyn FnMut() -> io::Result<Channel>, &str, Duration, usize) -> Result<Outcome, Error>;
type Peer = Server<UnixStream, UnixStream>;

/// More than any of it takes.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    grade::main(vec![
        Exercise::new("all at once", all_at_once, exercises::ask_all as AskAll, solutions::ask_all),
        Exercise::new(
            "two frames a message",
            payloads,
            exercises::next_payload as NextPayload,
            solutions::next_payload,
        ),
        Exercise::new("ask again", again, exercises::ask_again as AskAgain, solutions::ask_again),
    ])
}

/// A channel, and whatever `life` makes of its other end.
fn channel(life: impl FnOnce(Peer) + Send + 'static) -> Channel {
    raw_channel(|requests, answers| life(Server::new(requests, answers)))
}

fn raw_channel(life: impl FnOnce(UnixStream, UnixStream) + Send + 'static) -> Channel {
    let (to_worker, requests) = UnixStream::pair().unwrap();
    let (from_worker, answers) = UnixStream::pair().unwrap();
    thread::spawn(move || life(requests, answers));
    Channel::new(to_worker, from_worker)
}

fn all_at_once(ask_all: AskAll) {
    // A hundred are needed before the first is answered, and the last is answered first.
    let count = 100 * (2 * MAX_REQUESTS / 100 + 1);
    let mut busy = channel(move |mut peer| {
        for _ in 0..count / 100 {
            let requests: Vec<_> = (0..100).map(|_| peer.next_request().unwrap().unwrap()).collect();
            for request in requests.into_iter().rev() {
                peer.notify("worker", "score", Value::Null).unwrap();
                let odd = request.data["number"].as_u64().unwrap() % 2 == 1;
                let refusal = Refusal { error: "Error".to_owned(), reason: "it is odd".to_owned() };
                peer.answer(request.id, if odd { Err(refusal) } else { Ok(request.data) }).unwrap();
            }
        }
        assert!(peer.next_request().unwrap().is_none());
    });
    let data: Vec<Value> = (0..count).map(|number| json!({"number": number})).collect();
    let outcomes = ask_all(&mut busy, "worker.halve", data.clone(), PATIENCE).unwrap();
    assert_eq!(outcomes.len(), count);
    for (number, (outcome, data)) in outcomes.into_iter().zip(data).enumerate() {
        match outcome {
            Outcome::Accepted(answer) => assert_eq!((number % 2, answer), (0, data)),
            Outcome::Refused(_) => assert_eq!(number % 2, 1),
            other => panic!("request {number}: {other:?}"),
        }
    }

    // One that answers ten and dies; what it had not read is lost as well as what it had.
    let mut mortal = channel(|mut peer| {
        for _ in 0..10 {
            let request = peer.next_request().unwrap().unwrap();
            peer.answer(request.id, Ok(Value::Null)).unwrap();
        }
    });
    let outcomes = ask_all(&mut mortal, "worker.echo", vec![Value::Null; count], PATIENCE).unwrap();
    let expected: Vec<Outcome> =
        (0..count).map(|number| if number < 10 { Outcome::Accepted(Value::Null) } else { Outcome::Lost }).collect();
    assert_eq!(outcomes, expected);
}

fn payloads(next_payload: NextPayload) {
    let message = |id, name: &str, handler: &str, data: &str, payload: &[u8]| Payload {
        id,
        name: name.to_owned(),
        handler: handler.to_owned(),
        data: data.to_owned(),
        payload: payload.to_vec(),
    };
    let frames: [&[u8]; 14] = [
        b"n:producer.send:p1:undefined",
        &[0x80, 0, 0xff],
        b"n:dataProducer.send:d1:51",
        b"n:producer.send:p1:undefined",
        b"r:7:dataConsumer.send:c1:{\"ppid\":51}",
        b"",
        b"r:0:dataConsumer.send:c1:51",
        b"n:producer.send:p1:undefined",
        b"n:producer.send:p1",
        b"",
        b"\xff",
        b"",
        b"n:a:b:",
        b"last",
    ];
    let expected = [
        Ok(message(None, "producer.send", "p1", "undefined", &[0x80, 0, 0xff])),
        Ok(message(None, "dataProducer.send", "d1", "51", b"n:producer.send:p1:undefined")),
        Ok(message(Some(7), "dataConsumer.send", "c1", "{\"ppid\":51}", b"")),
        Err(ErrorKind::InvalidData),
        Err(ErrorKind::InvalidData),
        Err(ErrorKind::InvalidData),
        Ok(message(None, "a", "b", "", b"last")),
    ];
    let mut stream = frames.iter().map(|frame| frame.to_vec());
    for expected in expected {
        assert_eq!(next_payload(&mut stream).map_err(|error| error.kind()), expected.map(Some));
    }
    assert_eq!(next_payload(&mut stream).unwrap(), None);
    let mut cut = [b"n:producer.send:p1:undefined".to_vec()].into_iter();
    assert_eq!(next_payload(&mut cut).map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
}

fn again(ask_again: AskAgain) {
    // One after the other: dies at once, after the question, in the middle of the answer; then one that answers.
    let mut started = 0;
    let mut start = || {
        started += 1;
        let number = started;
        Ok(raw_channel(move |requests, mut answers| {
            if number == 1 {
                return;
            }
            let mut peer = Server::new(requests, answers.try_clone().unwrap());
            let request = peer.next_request().unwrap().unwrap();
            match number {
                2 => {}
                3 => answers.write_all(b"\x09\0\0\0{\"id\":1").unwrap(),
                _ => peer.answer(request.id, Ok(json!({"worker": number}))).unwrap(),
            }
        }))
    };
    let outcome = ask_again(&mut start, "worker.dump", PATIENCE, 9).unwrap();
    assert_eq!((outcome, started), (Outcome::Accepted(json!({"worker": 4})), 4));

    let mut started = 0;
    let mut start = || {
        started += 1;
        Ok(channel(drop))
    };
    let outcome = ask_again(&mut start, "worker.dump", PATIENCE, 3).unwrap();
    assert_eq!((outcome, started), (Outcome::Lost, 3));

    // A refusal is an answer, and so is silence: it may be doing it.
    let refusal = Refusal { error: "TypeError".to_owned(), reason: "no".to_owned() };
    let refused = refusal.clone();
    let mut start = || {
        let refusal = refusal.clone();
        Ok(channel(move |mut peer| {
            let request = peer.next_request().unwrap().unwrap();
            peer.answer(request.id, Err(refusal)).unwrap();
        }))
    };
    assert_eq!(ask_again(&mut start, "worker.dump", PATIENCE, 3).unwrap(), Outcome::Refused(refused));
    let mut started = 0;
    let mut start = || {
        started += 1;
        // It reads until there is no more, and says nothing.
        Ok(channel(|mut peer| while peer.next_request().is_ok_and(|request| request.is_some()) {}))
    };
    let outcome = ask_again(&mut start, "worker.dump", Duration::from_millis(100), 3).unwrap();
    assert_eq!((outcome, started), (Outcome::TimedOut, 1));

    let mut start = || Err(ErrorKind::NotFound.into());
    let failed = ask_again(&mut start, "worker.dump", PATIENCE, 3);
    assert!(matches!(&failed, Err(Error::Io(error)) if error.kind() == ErrorKind::NotFound), "{failed:?}");
}
