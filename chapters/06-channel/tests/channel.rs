//! What a client relies on: each request ends once, whatever the worker does, and so does each wait.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ch03_socketpair::frame::MAX_MESSAGE;
use ch03_socketpair::{Decoder, read_message, write_message};
use ch06_channel::channel::{MAX_KEPT, MAX_REQUESTS, MAX_UNSENT};
use ch06_channel::{Channel, Error, Event, Ledger, Outcome, Server};
use proptest::prelude::*;
use serde_json::{Value, json};

/// More than anything takes that is to succeed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Less than [`PATIENCE`] by far: what is noticed at once is noticed within that on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

type Peer = Server<UnixStream, UnixStream>;

/// A channel, and whatever `life` makes of its other end.
fn channel(life: impl FnOnce(Peer) + Send + 'static) -> (Channel, thread::JoinHandle<()>) {
    let (channel, requests, answers) = ends();
    (channel, thread::spawn(move || life(Server::new(requests, answers))))
}

fn ends() -> (Channel, UnixStream, UnixStream) {
    let (to_worker, requests) = UnixStream::pair().unwrap();
    let (from_worker, answers) = UnixStream::pair().unwrap();
    (Channel::new(to_worker, from_worker), requests, answers)
}

fn next(channel: &mut Channel) -> Event {
    channel.next_event(Some(Instant::now() + PATIENCE)).unwrap().expect("an event in time")
}

fn done(id: u32, method: &str, outcome: Outcome) -> Event {
    Event::Done { id, method: method.to_owned(), outcome }
}

#[derive(Debug, Clone)]
enum Step {
    Begin {
        patience_ms: u64,
    },
    /// An answer to the id that many below the last one, or above it.
    Answer {
        below: i32,
    },
    Wait {
        ms: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1_u64..50).prop_map(|patience_ms| Step::Begin { patience_ms }),
        (-2..6).prop_map(|below| Step::Answer { below }),
        (0_u64..40).prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 0..100)
}

proptest! {
    /// The ledger against what it promises, said in another way: a table of deadlines.
    #[test]
    fn each_request_ends_once_and_as_it_should(steps in steps()) {
        let mut now = Instant::now();
        let mut ledger = Ledger::default();
        let mut deadlines = BTreeMap::new();
        let mut last = 0;
        for step in steps {
            match step {
                Step::Begin { patience_ms } => {
                    let patience = Duration::from_millis(patience_ms);
                    last = ledger.begin(now, patience, "m", None, Value::Null).id;
                    prop_assert_eq!(deadlines.insert(last, now + patience), None, "an id is given twice");
                }
                Step::Answer { below } => {
                    let id = last.saturating_add_signed(-below);
                    ledger.handle_message(format!("{{\"id\":{id},\"accepted\":true}}").as_bytes());
                    let expected = match deadlines.remove(&id) {
                        Some(_) => done(id, "m", Outcome::Accepted(Value::Null)),
                        None => Event::Unasked(id),
                    };
                    prop_assert_eq!(ledger.poll_event(), Some(expected));
                }
                Step::Wait { ms } => {
                    now += Duration::from_millis(ms);
                    prop_assert_eq!(ledger.poll_timeout(), deadlines.values().min().copied());
                    ledger.handle_timeout(now);
                    let (late, in_time) = deadlines.into_iter().partition(|(_, deadline)| *deadline <= now);
                    deadlines = in_time;
                    let late: BTreeMap<u32, Instant> = late;
                    for id in late.into_keys() {
                        prop_assert_eq!(ledger.poll_event(), Some(done(id, "m", Outcome::TimedOut)));
                    }
                }
            }
            prop_assert_eq!(ledger.poll_event(), None);
            prop_assert_eq!(ledger.waiting(), deadlines.len());
        }
        ledger.handle_end();
        for id in deadlines.into_keys() {
            prop_assert_eq!(ledger.poll_event(), Some(done(id, "m", Outcome::Lost)));
        }
        prop_assert_eq!(ledger.poll_event(), Some(Event::Ended));
        prop_assert_eq!(ledger.poll_event(), None);
    }
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let (mut channel, peer) = channel(|mut peer| {
        let requests: Vec<_> = (0..3).map(|_| peer.next_request().unwrap().unwrap()).collect();
        for request in requests.into_iter().rev() {
            peer.answer(request.id, Ok(json!({"method": request.method}))).unwrap();
        }
        assert!(peer.next_request().unwrap().is_none());
    });
    for method in ["a", "b", "c"] {
        channel.request(method, Some("router"), json!({}), PATIENCE).unwrap();
    }
    channel.finish();
    for (id, method) in [(3, "c"), (2, "b"), (1, "a")] {
        assert_eq!(next(&mut channel), done(id, method, Outcome::Accepted(json!({"method": method}))));
    }
    assert_eq!(next(&mut channel), Event::Ended);
    assert!(matches!(channel.request("d", None, Value::Null, PATIENCE), Err(Error::Ended)));
    peer.join().unwrap();
}

#[test]
fn a_worker_that_says_nothing_is_not_waited_for_beyond_the_time() {
    let patience = Duration::from_millis(100);
    let (mut channel, _requests, answers) = ends();
    let begin = Instant::now();
    let outcome = channel.ask("worker.dump", None, Value::Null, patience).unwrap();
    let waited = begin.elapsed();
    assert_eq!(outcome, Outcome::TimedOut);
    assert!(waited >= patience && waited < AT_ONCE, "it waited {waited:?}");

    // Its answer, when it comes, is nobody's, and that of the next request is that request's.
    let mut late = Server::new(UnixStream::pair().unwrap().0, answers);
    channel.request("worker.dump", None, Value::Null, PATIENCE).unwrap();
    late.answer(1, Ok(json!({"late": true}))).unwrap();
    late.answer(2, Ok(Value::Null)).unwrap();
    assert_eq!(next(&mut channel), Event::Unasked(1));
    assert_eq!(next(&mut channel), done(2, "worker.dump", Outcome::Accepted(Value::Null)));
    // Without a request under way only the caller's own time ends the wait.
    assert_eq!(channel.next_event(Some(Instant::now() + patience)).unwrap(), None);
}

#[test]
fn an_answer_that_came_while_the_caller_was_away_came_in_time() {
    let (mut channel, _requests, answers) = ends();
    channel.request("worker.dump", None, Value::Null, Duration::ZERO).unwrap();
    Server::new(UnixStream::pair().unwrap().0, answers).answer(1, Ok(Value::Null)).unwrap();
    assert_eq!(next(&mut channel), done(1, "worker.dump", Outcome::Accepted(Value::Null)));
}

#[test]
fn a_worker_that_dies_loses_what_it_has_not_answered_and_that_is_known_at_once() {
    let (mut channel, peer) = channel(|mut peer| {
        let first = peer.next_request().unwrap().unwrap();
        peer.answer(first.id, Ok(Value::Null)).unwrap();
    });
    for _ in 0..3 {
        channel.request("worker.dump", None, Value::Null, PATIENCE).unwrap();
    }
    let begin = Instant::now();
    let outcomes = [Outcome::Accepted(Value::Null), Outcome::Lost, Outcome::Lost];
    for (id, outcome) in (1..).zip(outcomes) {
        assert_eq!(next(&mut channel), done(id, "worker.dump", outcome));
    }
    for _ in 0..2 {
        assert_eq!(next(&mut channel), Event::Ended);
    }
    assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
    peer.join().unwrap();
}

/// One that has closed its end for requests, and lives: what it says can't be an answer to anything.
#[test]
fn a_worker_that_does_not_listen_any_more_is_given_up() {
    let (mut channel, requests, answers) = ends();
    let mut deaf = Server::new(UnixStream::pair().unwrap().0, answers);
    deaf.notify("router", "before", Value::Null).unwrap();
    drop(requests);
    channel.request("worker.dump", None, Value::Null, PATIENCE).unwrap();
    let begin = Instant::now();
    let Event::Notification(notification) = next(&mut channel) else { panic!("what it had said is gone") };
    assert_eq!(notification.event, "before");
    assert_eq!(next(&mut channel), done(1, "worker.dump", Outcome::Lost));
    assert_eq!(next(&mut channel), Event::Ended);
    assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
    assert!(deaf.notify("router", "after", Value::Null).is_err());
}

#[test]
fn no_more_requests_are_under_way_than_allowed_and_none_is_lost_by_that() {
    let (release, released) = mpsc::channel();
    let (mut channel, peer) = channel(move |mut peer| {
        released.recv().unwrap();
        while let Some(request) = peer.next_request().unwrap() {
            peer.answer(request.id, Ok(request.data)).unwrap();
        }
    });
    // Many small ones.
    for _ in 0..MAX_REQUESTS {
        channel.request("worker.echo", None, json!({}), PATIENCE).unwrap();
    }
    let busy = channel.request("worker.echo", None, json!({}), PATIENCE);
    assert!(matches!(busy, Err(Error::Busy { requests: MAX_REQUESTS, .. })), "{busy:?}");
    release.send(()).unwrap();
    for id in 1..=MAX_REQUESTS as u32 {
        assert_eq!(next(&mut channel), done(id, "worker.echo", Outcome::Accepted(json!({}))));
    }
    // A few large ones: the answers to the first ones fill the other direction while the last ones are sent.
    let data = json!({"text": "x".repeat(1_000_000)});
    let mut taken = 0_usize;
    let busy = loop {
        match channel.request("worker.echo", None, data.clone(), PATIENCE) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(taken, MAX_UNSENT / 1_000_000 + 1, "one goes beyond the bound");
    assert!(matches!(busy, Error::Busy { bytes, .. } if bytes >= MAX_UNSENT), "{busy:?}");
    for _ in 0..taken {
        assert!(matches!(next(&mut channel), Event::Done { outcome: Outcome::Accepted(answer), .. } if answer == data));
    }
    channel.finish();
    assert_eq!(next(&mut channel), Event::Ended);
    peer.join().unwrap();
}

/// The worker talks first and listens later, with blocking calls. The client has more to say than the sockets hold.
#[test]
fn a_client_that_has_much_to_say_listens_meanwhile() {
    const NOTIFICATIONS: usize = 5_000;
    let text = "x".repeat(1_000);
    let said = text.clone();
    let (mut channel, peer) = channel(move |mut peer| {
        for _ in 0..NOTIFICATIONS {
            peer.notify("router", "event", json!({"text": said})).unwrap();
        }
        let request = peer.next_request().unwrap().unwrap();
        peer.answer(request.id, Ok(json!({"length": request.data.to_string().len()}))).unwrap();
    });
    let length = 3_000_000;
    let outcome = channel.ask("worker.length", None, json!({"text": "y".repeat(length)}), PATIENCE).unwrap();
    assert_eq!(outcome, Outcome::Accepted(json!({"length": length + 11})));
    // And what came before the answer is not lost.
    for _ in 0..NOTIFICATIONS {
        let Event::Notification(notification) = next(&mut channel) else { panic!("no notification") };
        assert_eq!(notification.data["text"], text);
    }
    assert_eq!(next(&mut channel), Event::Ended);
    peer.join().unwrap();
}

/// Nor does it keep without a bound what nobody takes.
#[test]
fn a_worker_that_talks_and_never_answers_is_borne_up_to_a_bound() {
    let (mut channel, peer) = channel(|mut peer| while peer.notify("router", "event", Value::Null).is_ok() {});
    let flooded = channel.ask("worker.dump", None, Value::Null, PATIENCE);
    assert!(matches!(flooded, Err(Error::Flooded)), "{flooded:?}");
    for _ in 0..MAX_KEPT {
        assert!(matches!(next(&mut channel), Event::Notification(_)));
    }
    drop(channel);
    peer.join().unwrap();
}

#[test]
fn what_is_too_long_is_refused_on_either_side_and_the_channel_goes_on() {
    let (mut channel, peer) = channel(|mut peer| {
        let request = peer.next_request().unwrap().unwrap();
        assert_eq!(request.method, "worker.repeat");
        peer.answer(request.id, Ok(json!({"text": "x".repeat(MAX_MESSAGE)}))).unwrap();
        // The longest that there may be.
        let request = peer.next_request().unwrap().unwrap();
        let length = MAX_MESSAGE - r#"{"id":3,"accepted":true,"data":{"text":""}}"#.len();
        peer.answer(request.id, Ok(json!({"text": "x".repeat(length)}))).unwrap();
    });
    let text = "x".repeat(MAX_MESSAGE);
    let refused = channel.request("worker.echo", None, json!({"text": text}), PATIENCE);
    assert!(matches!(refused, Err(Error::Frame(ch03_socketpair::Error::TooLong { .. }))), "{refused:?}");
    let outcome = channel.ask("worker.repeat", None, Value::Null, PATIENCE).unwrap();
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert!(refusal.reason.contains("4194347 bytes"), "{refusal:?}");
    let outcome = channel.ask("worker.repeat", None, Value::Null, PATIENCE).unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    // The one that was never sent does not end, since it never began.
    assert_eq!(next(&mut channel), Event::Ended);
    peer.join().unwrap();
}

#[test]
fn a_colon_can_t_be_smuggled_in() {
    let (mut channel, requests, _answers) = ends();
    for (method, handler) in [("worker.dump:", None), ("worker.dump", Some("a:worker.close"))] {
        let refused = channel.request(method, handler, Value::Null, PATIENCE);
        assert!(matches!(refused, Err(Error::Colon(_))), "{refused:?}");
    }
    channel.finish();
    drop(channel);
    assert!(read_message(&mut { requests }, &mut Decoder::default()).unwrap().is_none(), "something was sent");
}

#[test]
fn a_broken_message_costs_itself_and_a_broken_frame_the_channel() {
    let (mut channel, _requests, mut answers) = ends();
    channel.request("worker.dump", None, Value::Null, PATIENCE).unwrap();
    for nonsense in [&b"\xff"[..], b"", b"{", b"[]", b"{\"id\":-1,\"accepted\":true}", b"{\"id\":1,\"accepted\":false}"]
    {
        write_message(&mut answers, nonsense).unwrap();
        assert!(matches!(next(&mut channel), Event::Malformed(_)), "{nonsense:?}");
    }
    write_message(&mut answers, b"Wall is well").unwrap();
    assert_eq!(next(&mut channel), Event::Log("Wall is well".to_owned()));
    std::io::Write::write_all(&mut answers, &[9, 0, 0, 0, b'{']).unwrap();
    answers.shutdown(Shutdown::Write).unwrap();
    let cut = channel.next_event(None);
    assert!(matches!(cut, Err(Error::Frame(ch03_socketpair::Error::Cut { received: 5 }))), "{cut:?}");
    assert_eq!(next(&mut channel), done(1, "worker.dump", Outcome::Lost));
    assert_eq!(next(&mut channel), Event::Ended);
}

/// What can't be answered is logged, and the next request is served.
#[test]
fn a_worker_survives_what_is_no_request() {
    let (mut requests, theirs) = UnixStream::pair().unwrap();
    let (answers, mut from_worker) = UnixStream::pair().unwrap();
    let worker = thread::spawn(move || {
        let mut server = Server::new(theirs, answers);
        let request = server.next_request().unwrap().unwrap();
        server.answer(request.id, Ok(Value::Null)).unwrap();
        assert!(server.next_request().unwrap().is_none());
    });
    for message in [&b"hello"[..], b"0:worker.dump", b"1:worker.dump::{", b"10:worker.dump"] {
        write_message(&mut requests, message).unwrap();
    }
    drop(requests);
    let mut decoder = Decoder::default();
    for _ in 0..3 {
        let line = read_message(&mut from_worker, &mut decoder).unwrap().unwrap();
        assert!(line.starts_with(b"Ea request is ignored: "), "{:?}", String::from_utf8_lossy(&line));
    }
    let answer = read_message(&mut from_worker, &mut decoder).unwrap().unwrap();
    assert_eq!(answer, br#"{"id":10,"accepted":true}"#);
    assert!(read_message(&mut from_worker, &mut decoder).unwrap().is_none());
    worker.join().unwrap();
}
