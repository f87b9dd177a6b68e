//! How the control library notices that a worker's process ends, in whatever way, and what becomes of all that it held.

use std::future::Future;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sfu_control::{
    Error, PlainTransportOptions, Router, RouterEvent, SpawnError, TransportEvent, Worker, WorkerEnd, WorkerExit,
    WorkerSettings,
};

/// Within this a death is noticed. Nothing but the death itself is waited for, so that it is far below any time-out of
/// the library's (15 seconds for requests).
const PROMPTLY: Duration = Duration::from_secs(5);

const KILLED: WorkerEnd = WorkerEnd::Died(WorkerExit::Signal(Signal::SIGKILL as i32));

async fn promptly<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PROMPTLY, future).await.unwrap_or_else(|_| panic!("{what}: not within {PROMPTLY:?}"))
}

fn settings() -> WorkerSettings {
    WorkerSettings::new(tests::worker_bin())
}

async fn worker() -> Worker {
    Worker::spawn(settings()).await.unwrap()
}

async fn router(worker: &Worker) -> Router {
    let opus = serde_json::json!({"kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2});
    worker.create_router(&[serde_json::from_value(opus).unwrap()]).await.unwrap()
}

fn signal(worker: &Worker, signal: Signal) {
    kill(process(worker), signal).unwrap();
}

fn process(worker: &Worker) -> Pid {
    Pid::from_raw(worker.pid().try_into().unwrap())
}

/// No process has that id any more, not even as a zombie.
fn is_gone(pid: Pid) -> bool {
    kill(pid, None) == Err(Errno::ESRCH)
}

#[tokio::test]
async fn a_killed_worker_has_died_by_the_signal_and_takes_everything_with_it() {
    let worker = worker().await;
    let router = router(&worker).await;
    let transport = router.create_plain_transport(PlainTransportOptions::new([127, 0, 0, 1].into())).await.unwrap();
    let (mut router_events, mut transport_events) = (router.events(), transport.events());
    assert!(!worker.closed() && !router.closed() && !transport.closed());

    signal(&worker, Signal::SIGKILL);
    assert_eq!(promptly("died", worker.ended()).await, KILLED);

    assert_eq!(promptly("router", router_events.recv()).await.unwrap(), RouterEvent::WorkerClose);
    assert_eq!(promptly("transport", transport_events.recv()).await.unwrap(), TransportEvent::RouterClose);
    assert!(worker.closed() && router.closed() && transport.closed());
    assert!(matches!(worker.dump().await, Err(Error::Closed)));
    assert!(matches!(worker.create_router(&[]).await, Err(Error::Closed)));
    assert!(matches!(router.dump().await, Err(Error::Closed)));
    assert!(matches!(transport.get_stats().await, Err(Error::Closed)));
    // Closing what is gone is no error, and does not change how it ended.
    transport.close().await.unwrap();
    router.close().await.unwrap();
    assert_eq!(worker.close().await, KILLED);
    assert!(is_gone(process(&worker)), "the process has been waited for");
}

#[tokio::test]
async fn requests_that_wait_fail_as_soon_as_the_worker_dies() {
    let worker = worker().await;
    let router = router(&worker).await;
    // A stopped process takes requests and answers none.
    signal(&worker, Signal::SIGSTOP);
    let waiting = tokio::spawn({
        let (worker, router) = (worker.clone(), router.clone());
        async move { tokio::join!(worker.dump(), worker.get_resource_usage(), router.dump()) }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    signal(&worker, Signal::SIGKILL);
    let (dump, usage, router_dump) = promptly("the requests fail", waiting).await.unwrap();
    assert!(matches!(dump, Err(Error::Closed)), "{dump:?}");
    assert!(matches!(usage, Err(Error::Closed)), "{usage:?}");
    assert!(matches!(router_dump, Err(Error::Closed)), "{router_dump:?}");
    assert_eq!(promptly("died", worker.ended()).await, KILLED);
}

#[tokio::test]
async fn a_worker_that_does_not_answer_fails_the_request_and_may_answer_the_next() {
    let worker =
        Worker::spawn(WorkerSettings { request_timeout: Duration::from_millis(200), ..settings() }).await.unwrap();
    signal(&worker, Signal::SIGSTOP);
    let outcome = promptly("the time-out", worker.dump()).await;
    assert!(matches!(outcome, Err(Error::Timeout(_))), "{outcome:?}");
    assert!(!worker.closed(), "a slow worker is not a dead one");
    signal(&worker, Signal::SIGCONT);
    // The late answer to the first request is not taken for the answer to this one, which may be slow as well here.
    let pid = promptly("an answer", async {
        loop {
            if let Ok(dump) = worker.dump().await {
                break dump.pid;
            }
        }
    });
    assert_eq!(pid.await, worker.pid());
    promptly("closed", worker.close()).await;
}

#[tokio::test]
async fn a_worker_that_exits_by_itself_has_died_too() {
    let worker = worker().await;
    // From outside: the library did not ask for it.
    signal(&worker, Signal::SIGTERM);
    assert_eq!(promptly("died", worker.ended()).await, WorkerEnd::Died(WorkerExit::Code(0)));
    assert!(worker.closed());
}

#[tokio::test]
async fn a_closed_worker_exits_with_0_and_its_process_is_gone() {
    let worker = worker().await;
    let router = router(&worker).await;
    let mut events = router.events();
    assert_eq!(promptly("closed", worker.close()).await, WorkerEnd::Closed(WorkerExit::Code(0)));
    assert_eq!(promptly("router", events.recv()).await.unwrap(), RouterEvent::WorkerClose);
    assert!(is_gone(process(&worker)));
    assert!(matches!(worker.dump().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_worker_that_does_not_react_to_being_closed_is_killed() {
    let worker =
        Worker::spawn(WorkerSettings { close_timeout: Duration::from_millis(200), ..settings() }).await.unwrap();
    signal(&worker, Signal::SIGSTOP);
    let end = promptly("closed", worker.close()).await;
    assert_eq!(end, WorkerEnd::Closed(WorkerExit::Signal(Signal::SIGKILL as i32)));
    assert!(is_gone(process(&worker)));
}

#[tokio::test]
async fn the_death_of_one_worker_is_nothing_to_another() {
    let (victim, bystander) = tokio::join!(worker(), worker());
    assert_ne!(victim.pid(), bystander.pid());
    let router = router(&bystander).await;
    signal(&victim, Signal::SIGKILL);
    assert_eq!(promptly("died", victim.ended()).await, KILLED);
    assert!(!bystander.closed() && !router.closed());
    assert_eq!(promptly("an answer", router.dump()).await.unwrap().id, router.id());
    assert_eq!(promptly("closed", bystander.close()).await, WorkerEnd::Closed(WorkerExit::Code(0)));
}

#[tokio::test]
async fn a_worker_that_refuses_its_settings_does_not_start() {
    // It exits with 42, mediasoup's code for that.
    let wrong = WorkerSettings { rtc_min_port: 40_001, rtc_max_port: 40_000, ..settings() };
    let outcome = promptly("the refusal", Worker::spawn(wrong)).await;
    assert!(matches!(outcome, Err(SpawnError::WrongSettings)), "{outcome:?}");
}

#[tokio::test]
async fn what_is_no_worker_does_not_start() {
    let outcome = promptly("no such file", Worker::spawn(WorkerSettings::new("/nonexistent/sfu-worker"))).await;
    let Err(SpawnError::Io { worker_bin, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(worker_bin.to_str(), Some("/nonexistent/sfu-worker"));

    // Without arguments that it understands it exits at once, with 1 or 0.
    for (program, code) in [("/bin/false", 1), ("/bin/true", 0)] {
        let outcome = promptly(program, Worker::spawn(WorkerSettings::new(program))).await;
        let Err(SpawnError::Exited(exit)) = outcome else { panic!("{program}: {outcome:?}") };
        assert_eq!(exit, WorkerExit::Code(code), "{program}");
    }

    // It runs, and never says so.
    let silent = WorkerSettings {
        leading_args: vec!["-c".into(), "exec sleep 60".into()],
        start_timeout: Duration::from_millis(200),
        ..WorkerSettings::new("/bin/sh")
    };
    let outcome = promptly("the time-out", Worker::spawn(silent)).await;
    assert!(matches!(outcome, Err(SpawnError::Timeout)), "{outcome:?}");
}
