//! The test plays the worker at the other end of an in-memory pair.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use sfu_channel::json::RequestFrame;
use sfu_channel::request::{Method, ProducerId, RouterId};
use sfu_channel::response::ErrorClass;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The worker's ends.
struct Peer {
    requests: FramedRead<DuplexStream, LengthDelimitedCodec>,
    out: DuplexStream,
}

impl Peer {
    async fn request(&mut self) -> RequestFrame {
        // The clock is paused, so that this is no wait: it turns a request that never comes into a failure.
        let frame = tokio::time::timeout(10 * TIMEOUT, self.requests.next()).await.expect("a request");
        let frame = frame.expect("the channel is open").expect("a sound frame");
        RequestFrame::parse(&frame).expect("a sound request")
    }

    async fn send(&mut self, message: &Value) {
        self.out.write_all(&framed(message.to_string().as_bytes())).await.expect("the channel is open");
    }

    async fn accept(&mut self, id: u32, data: Value) {
        self.send(&json!({"id": id, "accepted": true, "data": data})).await;
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    [&length.to_ne_bytes()[..], payload].concat()
}

fn start(buffer: usize) -> (Channel, Subscription, Peer) {
    let (to_worker, requests) = duplex(buffer);
    let (out, from_worker) = duplex(buffer);
    let (channel, events) = Channel::start(to_worker, from_worker, TIMEOUT, "42".to_owned());
    let requests = FramedRead::new(requests, codec());
    (channel, events, Peer { requests, out })
}

fn waiting(channel: &Channel) -> usize {
    channel.shared.state().waiting.len()
}

#[tokio::test(start_paused = true)]
async fn answers_find_their_requests_in_any_order() {
    let (channel, _events, mut peer) = start(1 << 16);
    let dump = Request::RouterDump;
    let (first, second, ()) =
        tokio::join!(channel.ask::<Value>(Some("a"), &dump), channel.ask::<Value>(Some("b"), &dump), async {
            let one = peer.request().await;
            let two = peer.request().await;
            assert_eq!((one.id, one.method, one.handler_id.as_deref()), (1, Method::RouterDump, Some("a")));
            assert_eq!((two.id, two.handler_id.as_deref()), (2, Some("b")));
            peer.accept(2, json!("for b")).await;
            peer.accept(1, json!("for a")).await;
        });
    assert_eq!(first.unwrap(), json!("for a"));
    assert_eq!(second.unwrap(), json!("for b"));
    assert_eq!(waiting(&channel), 0);
}

#[tokio::test(start_paused = true)]
async fn refusals_keep_class_and_reason() {
    let (channel, _events, mut peer) = start(1 << 16);
    let request = Request::WorkerCreateRouter(RouterId { router_id: "r".to_owned() });
    let (outcome, ()) = tokio::join!(channel.request(None, &request), async {
        let frame = peer.request().await;
        assert_eq!((frame.handler_id, frame.data), (None, json!({"routerId": "r"})));
        peer.send(&json!({"id": frame.id, "error": "TypeError", "reason": "no"})).await;
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.name(), "TypeError");
    let Error::Refused(refusal) = error else { panic!("{error:?}") };
    assert_eq!((refusal.class, refusal.reason.as_str()), (ErrorClass::TypeError, "no"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_wrong_form_names_the_member() {
    let (channel, _events, mut peer) = start(1 << 16);
    let (outcome, ()) = tokio::join!(channel.ask::<ProducerId>(None, &Request::WorkerDump), async {
        let frame = peer.request().await;
        peer.accept(frame.id, json!({"producerId": 5})).await;
    });
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("wrong type of field producerId") && error.contains("worker.dump"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_worker_costs_the_timeout_and_leaves_nothing() {
    let (channel, _events, mut peer) = start(1 << 16);
    let begun = Instant::now();
    let error = channel.request(None, &Request::WorkerDump).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Method::WorkerDump)), "{error:?}");
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(waiting(&channel), 0);

    // The late answer does not disturb the next request.
    let late = peer.request().await;
    peer.accept(late.id, json!("late")).await;
    let (outcome, ()) = tokio::join!(channel.ask::<Value>(None, &Request::WorkerDump), async {
        let frame = peer.request().await;
        assert_eq!(frame.id, late.id + 1);
        peer.accept(frame.id, json!("fresh")).await;
    });
    assert_eq!(outcome.unwrap(), json!("fresh"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_nothing() {
    let (channel, _events, mut peer) = start(1 << 16);
    tokio::select! {
        biased;
        _ = channel.request(None, &Request::WorkerDump) => panic!("nobody answered"),
        _ = peer.request() => {}
    }
    assert_eq!(waiting(&channel), 0);
}

fn create_router() -> Request {
    Request::WorkerCreateRouter(RouterId { router_id: "r".to_owned() })
}

/// Begins a request, and drops it when the worker has read it and, if so, answered it. Returns its id.
async fn give_up(channel: &Channel, peer: &mut Peer, request: &Request, answer: Option<Value>) -> u32 {
    let mut exchange = Box::pin(channel.request(None, request));
    let frame = tokio::select! {
        biased;
        _ = &mut exchange => panic!("nobody answered"),
        frame = peer.request() => frame,
    };
    if let Some(answer) = answer {
        peer.accept(frame.id, answer).await;
        // The answer is on its way to the caller, who does not get to see it.
        while waiting(channel) > 0 {
            tokio::task::yield_now().await;
        }
    }
    frame.id
}

#[tokio::test(start_paused = true)]
async fn what_is_made_for_nobody_is_closed_again() {
    let (channel, _events, mut peer) = start(1 << 16);
    let expect_close = async |peer: &mut Peer| {
        let close = peer.request().await;
        assert_eq!(
            (close.method, close.handler_id, close.data),
            (Method::WorkerCloseRouter, None, json!({"routerId": "r"}))
        );
        peer.send(&json!({"id": close.id, "accepted": true})).await;
    };
    // The caller goes before the answer comes, or after it has come but before it is taken.
    let id = give_up(&channel, &mut peer, &create_router(), None).await;
    assert_eq!(waiting(&channel), 1, "its answer tells whether there is something to close");
    peer.accept(id, Value::Null).await;
    expect_close(&mut peer).await;
    give_up(&channel, &mut peer, &create_router(), Some(Value::Null)).await;
    expect_close(&mut peer).await;

    // The caller runs out of patience.
    let request = create_router();
    let (outcome, id) = tokio::join!(channel.request(None, &request), async { peer.request().await.id });
    assert!(matches!(outcome, Err(Error::Timeout(Method::WorkerCreateRouter))), "{outcome:?}");
    peer.accept(id, Value::Null).await;
    expect_close(&mut peer).await;

    // The caller can't make sense of the answer.
    let (outcome, ()) = tokio::join!(channel.ask::<ProducerId>(None, &request), async {
        let frame = peer.request().await;
        peer.accept(frame.id, json!({"producerId": 5})).await;
        expect_close(&mut peer).await;
    });
    assert!(matches!(outcome, Err(Error::BadReply { .. })), "{outcome:?}");
    assert_eq!(waiting(&channel), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_made_is_not_closed() {
    let (channel, _events, mut peer) = start(1 << 16);
    // Refused after the caller went; taken by its caller; not made by a request that makes nothing.
    let id = give_up(&channel, &mut peer, &create_router(), None).await;
    peer.send(&json!({"id": id, "error": "Error", "reason": "no"})).await;
    let request = create_router();
    let (outcome, ()) = tokio::join!(channel.request(None, &request), async {
        let frame = peer.request().await;
        peer.accept(frame.id, Value::Null).await;
    });
    outcome.unwrap();
    give_up(&channel, &mut peer, &Request::WorkerDump, Some(Value::Null)).await;
    let (_, frame) = tokio::join!(channel.request(Some("r"), &Request::RouterDump), async {
        let frame = peer.request().await;
        peer.accept(frame.id, Value::Null).await;
        frame
    });
    assert_eq!(frame.method, Method::RouterDump, "nothing else was sent");
    assert_eq!(waiting(&channel), 0);
}

/// Requests to close get through even if nobody waits for them and nothing else does.
#[tokio::test(start_paused = true)]
async fn a_close_that_has_begun_is_sent() {
    let (channel, _events, mut peer) = start(64);
    // Stuck: the pipe to the worker and the queue are full.
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { channel.request(None, &Request::WorkerDump).await })
        })
        .collect();
    while channel.shared.queue.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let close = Request::WorkerCloseRouter(RouterId { router_id: "r".to_owned() });
    tokio::select! {
        biased;
        _ = channel.close(None, &close) => panic!("nobody answered"),
        () = std::future::ready(()) => {}
    }
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    while peer.request().await.method != Method::WorkerCloseRouter {}
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_takes_no_requests_has_ended() {
    let (channel, _events, Peer { requests, out: _out }) = start(1 << 16);
    drop(requests);
    let begun = Instant::now();
    let outcome = channel.request(None, &Request::WorkerDump).await;
    assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    channel.ended().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_ends_takes_nothing_from_another_of_the_same_entity() {
    let (channel, _events, mut peer) = start(1 << 16);
    let mut first = channel.subscribe("e".to_owned());
    drop(channel.subscribe("e".to_owned()));
    peer.send(&json!({"targetId": "e", "event": "producerpause"})).await;
    assert_eq!(first.next().await, Some(Event::ProducerPause));
    drop(first);
    assert!(!channel.shared.state().subscribers.contains_key("e"));
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_takes_are_bounded_and_counted() {
    let (channel, mut worker, mut peer) = start(1 << 16);
    let mut slow = channel.subscribe("slow".to_owned());
    for amount in 0..EVENT_QUEUE + 10 {
        peer.send(&json!({"targetId": "slow", "event": "bufferedamountlow", "data": {"bufferedAmount": amount}})).await;
    }
    peer.send(&json!({"targetId": 42, "event": "running"})).await;
    assert_eq!(worker.next().await, Some(Event::Running), "others are not held up");
    assert_eq!(channel.shared.state().subscribers["slow"][0].lost, 10);
    for amount in 0..EVENT_QUEUE {
        assert_eq!(slow.next().await, Some(Event::BufferedAmountLow(amount.try_into().unwrap())));
    }
    peer.send(&json!({"targetId": "slow", "event": "producerclose"})).await;
    assert_eq!(slow.next().await, Some(Event::ProducerClose));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_worker_fails_all_that_waits() {
    let (channel, _events, mut peer) = start(1 << 16);
    let mut events = channel.subscribe("e".to_owned());
    let begun = Instant::now();
    let (outcome, ()) = tokio::join!(channel.request(None, &Request::WorkerDump), async {
        peer.request().await;
        drop(peer);
    });
    assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    channel.ended().await;
    assert_eq!(events.next().await, None);
    assert_eq!(channel.subscribe("f".to_owned()).next().await, None);
    let again = channel.request(None, &Request::WorkerDump).await;
    assert!(matches!(again, Err(Error::Closed)), "{again:?}");
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing has to wait for a timeout");
}

#[tokio::test(start_paused = true)]
async fn ending_it_ourselves_does_the_same() {
    let (channel, _events, mut peer) = start(1 << 16);
    let (outcome, ()) = tokio::join!(channel.request(None, &Request::WorkerDump), async {
        peer.request().await;
        channel.end();
    });
    assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    // The worker sees the end too.
    assert!(peer.requests.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn events_go_to_their_entities_in_order() {
    let (channel, mut worker, mut peer) = start(1 << 16);
    let mut one = channel.subscribe("one".to_owned());
    let mut two = channel.subscribe("two".to_owned());
    peer.send(&json!({"targetId": 42, "event": "running"})).await;
    peer.send(&json!({"targetId": "one", "event": "producerpause"})).await;
    peer.send(&json!({"targetId": "nobody", "event": "producerpause"})).await;
    peer.send(&json!({"targetId": "two", "event": "producerclose"})).await;
    peer.send(&json!({"targetId": "one", "event": "producerresume"})).await;
    assert_eq!(worker.next().await, Some(Event::Running));
    assert_eq!(one.next().await, Some(Event::ProducerPause));
    assert_eq!(one.next().await, Some(Event::ProducerResume));
    assert_eq!(two.next().await, Some(Event::ProducerClose));
    drop(two);
    assert!(!channel.shared.state().subscribers.contains_key("two"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_passed_over() {
    let (channel, mut worker, mut peer) = start(1 << 16);
    let frames: [&[u8]; 9] = [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"{\"id\":",
        b"[]",
        b"{\"id\":7,\"accepted\":true}",
        b"{\"targetId\":42,\"event\":\"party\"}",
        b"{\"targetId\":42,\"event\":\"icestatechange\",\"data\":{\"iceState\":\"odd\"}}",
        b"Wa log line",
    ];
    for frame in frames {
        peer.out.write_all(&framed(frame)).await.unwrap();
    }
    peer.send(&json!({"targetId": 42, "event": "running"})).await;
    assert_eq!(worker.next().await, Some(Event::Running));
    assert!(!channel.shared.ended.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_the_worker_that_is_too_long_ends_the_channel() {
    let (channel, _events, mut peer) = start(1 << 16);
    let length = u32::try_from(MAX_FRAME_PAYLOAD + 1).unwrap();
    peer.out.write_all(&length.to_ne_bytes()).await.unwrap();
    channel.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_long_is_not_sent() {
    let (channel, _events, mut peer) = start(1 << 16);
    let request = Request::WorkerCreateRouter(RouterId { router_id: "r".repeat(MAX_FRAME_PAYLOAD) });
    let error = channel.request(None, &request).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { method: Method::WorkerCreateRouter, .. }), "{error:?}");
    let (outcome, ()) = tokio::join!(channel.request(None, &Request::WorkerDump), async {
        let frame = peer.request().await;
        assert_eq!(frame.method, Method::WorkerDump);
        peer.accept(frame.id, Value::Null).await;
    });
    assert_eq!(outcome.unwrap(), None);
}

/// A worker that does not read slows its callers down, and loses none of them.
#[tokio::test(start_paused = true)]
async fn a_busy_worker_gets_everything_in_order() {
    const REQUESTS: u32 = 500;
    let (channel, _events, mut peer) = start(64);
    let mut callers = Vec::new();
    for _ in 0..REQUESTS {
        let channel = channel.clone();
        callers.push(tokio::spawn(async move { channel.ask::<u32>(None, &Request::WorkerDump).await }));
    }
    // Enough turns for all callers to begin, and for the writer to get stuck.
    for _ in 0..REQUESTS {
        tokio::task::yield_now().await;
    }
    assert_eq!(channel.shared.queue.capacity(), 0, "the queue is bounded, and full");
    for expected in 1..=REQUESTS {
        let frame = peer.request().await;
        assert_eq!(frame.id, expected);
        peer.accept(frame.id, json!(frame.id)).await;
    }
    for (caller, expected) in callers.into_iter().zip(1..) {
        assert_eq!(caller.await.unwrap().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_worker_costs_no_more_than_the_timeout() {
    let (channel, _events, _peer) = start(16);
    let begun = Instant::now();
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { channel.request(None, &Request::WorkerDump).await })
        })
        .collect();
    for caller in callers {
        assert!(matches!(caller.await.unwrap(), Err(Error::Timeout(_))));
    }
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(waiting(&channel), 0);
}

#[tokio::test]
async fn ids_count_up_wrap_to_one_and_pass_over_those_that_wait() {
    let (channel, _events, _peer) = start(64);
    let mut state = channel.shared.state();
    assert_eq!(state.next_id(), 1);
    state.last_id = u32::MAX - 1;
    assert_eq!(state.next_id(), u32::MAX);
    state.waiting.insert(1, Waiting::Caller(oneshot::channel().0));
    assert_eq!(state.next_id(), 2);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Frames arrive whole and in order however the stream is cut.
    #[test]
    fn frames_may_be_cut_anywhere(amounts in vec(any::<u32>(), 1..20), cuts in vec(1usize..40, 1..20)) {
        runtime().block_on(async {
            let (_channel, mut worker, mut peer) = start(1 << 16);
            let stream: Vec<u8> = amounts
                .iter()
                .flat_map(|amount| {
                    let event = json!({"targetId": 42, "event": "bufferedamountlow", "data": {"bufferedAmount": amount}});
                    framed(event.to_string().as_bytes())
                })
                .collect();
            let mut rest = stream.as_slice();
            for length in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at((*length).min(rest.len()));
                peer.out.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            for amount in amounts {
                assert_eq!(worker.next().await, Some(Event::BufferedAmountLow(amount)));
            }
        });
    }

    /// Whatever a worker writes, the channel survives it or ends.
    #[test]
    fn arbitrary_bytes_end_it_at_worst(bytes in vec(any::<u8>(), 0..400), wrap in any::<bool>()) {
        runtime().block_on(async {
            let (channel, _events, mut peer) = start(1 << 16);
            let bytes = if wrap { framed(&bytes) } else { bytes };
            peer.out.write_all(&bytes).await.unwrap();
            drop(peer);
            channel.ended().await;
            let outcome = channel.request(None, &Request::WorkerDump).await;
            assert!(matches!(outcome, Err(Error::Closed)));
        });
    }
}
