//! Workers' processes: start, death, end. The worker here is a shell that says it runs, which is all that these need.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use sfu_control::{Error, SpawnError, Worker, WorkerEnd, WorkerExit, WorkerSettings};

/// Writes the frame that says that the worker runs: 4 bytes of length, lowest first, and the JSON.
const RUNNING: &str = r#"
    message='{"event":"running","targetId":'$$'}'
    printf "\\$(printf %03o ${#message})\\000\\000\\000%s" "$message" >&4
"#;

fn shell(script: &str) -> WorkerSettings {
    let mut settings = WorkerSettings::new("/bin/sh");
    settings.leading_args = vec!["-c".to_owned(), script.to_owned()];
    settings
}

/// Says that it runs, then reads its channel until that ends, as a worker does.
async fn running() -> Worker {
    Worker::spawn(shell(&format!("{RUNNING} exec cat <&3 >/dev/null"))).await.expect("it starts")
}

fn gone(pid: u32) -> bool {
    kill(Pid::from_raw(pid.try_into().unwrap()), None).is_err()
}

#[tokio::test]
async fn starts_and_closes() {
    let worker = running().await;
    assert!(!worker.closed());
    let begun = Instant::now();
    assert_eq!(worker.close().await, WorkerEnd::Closed(WorkerExit::Signal(Signal::SIGTERM as i32)));
    assert!(begun.elapsed() < Duration::from_secs(2), "SIGTERM was enough");
    assert!(worker.closed());
    assert!(gone(worker.pid()));
    assert!(matches!(worker.dump().await, Err(Error::Closed)));
    // Again is the same.
    assert_eq!(worker.close().await, WorkerEnd::Closed(WorkerExit::Signal(Signal::SIGTERM as i32)));
}

/// A terminal sends the signal of Ctrl-C to the whole process group of the program that it runs.
#[tokio::test]
async fn a_worker_is_a_process_group_of_its_own() {
    let worker = running().await;
    let pid = Pid::from_raw(worker.pid().try_into().unwrap());
    assert_eq!(nix::unistd::getpgid(Some(pid)), Ok(pid));
    worker.close().await;
}

#[tokio::test]
async fn a_killed_worker_is_noticed_with_its_signal() {
    let worker = running().await;
    let router = {
        let ended = tokio::spawn({
            let worker = worker.clone();
            async move { worker.ended().await }
        });
        let waits = tokio::spawn({
            let worker = worker.clone();
            async move { worker.create_router(&[]).await.map(drop) }
        });
        tokio::task::yield_now().await;
        kill(Pid::from_raw(worker.pid().try_into().unwrap()), Signal::SIGKILL).unwrap();
        assert_eq!(ended.await.unwrap(), WorkerEnd::Died(WorkerExit::Signal(9)));
        waits.await.unwrap()
    };
    assert!(matches!(router, Err(Error::Closed)), "{router:?}");
    assert!(worker.closed());
}

#[tokio::test]
async fn a_worker_that_exits_by_itself_has_died() {
    let worker = Worker::spawn(shell(&format!("{RUNNING} exit 7"))).await.expect("it starts");
    assert_eq!(worker.ended().await, WorkerEnd::Died(WorkerExit::Code(7)));
}

/// Without its channel a worker is of no use, even if its process goes on.
#[tokio::test]
async fn a_worker_that_closes_its_channel_has_died() {
    let mut settings = shell(&format!("{RUNNING} exec sleep 1000 3<&- 4>&- 5<&- 6>&-"));
    settings.close_timeout = Duration::from_millis(50);
    let worker = Worker::spawn(settings).await.expect("it starts");
    assert_eq!(worker.ended().await, WorkerEnd::Died(WorkerExit::Signal(9)));
}

#[tokio::test]
async fn a_worker_that_ignores_sigterm_is_killed() {
    let mut settings = shell(&format!("trap '' TERM; {RUNNING} while :; do sleep 1; done"));
    settings.close_timeout = Duration::from_millis(50);
    let worker = Worker::spawn(settings).await.expect("it starts");
    assert_eq!(worker.close().await, WorkerEnd::Closed(WorkerExit::Signal(9)));
}

#[tokio::test]
async fn early_exits_are_told_apart() {
    let error = Worker::spawn(shell("exit 42")).await.unwrap_err();
    assert!(matches!(error, SpawnError::WrongSettings), "{error:?}");
    let error = Worker::spawn(shell("exit 1")).await.unwrap_err();
    assert!(matches!(error, SpawnError::Exited(WorkerExit::Code(1))), "{error:?}");
    let error = Worker::spawn(shell("kill -9 $$")).await.unwrap_err();
    assert!(matches!(error, SpawnError::Exited(WorkerExit::Signal(9))), "{error:?}");
    let error = Worker::spawn(WorkerSettings::new("/nonexistent/worker")).await.unwrap_err();
    assert!(matches!(error, SpawnError::Io { .. }) && error.to_string().contains("/nonexistent/worker"), "{error}");
}

#[tokio::test]
async fn a_worker_that_never_runs_is_given_up_and_killed() {
    let mut settings = shell("exec cat <&3 >/dev/null");
    settings.start_timeout = Duration::from_millis(100);
    let error = Worker::spawn(settings).await.unwrap_err();
    assert!(matches!(error, SpawnError::Timeout), "{error:?}");
}

/// The caller may go away while the worker starts, as when a request of its own is dropped.
#[tokio::test]
async fn a_worker_that_nobody_waits_for_any_more_is_killed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    let pid = async || loop {
        match std::fs::read_to_string(file.path()).unwrap().strip_suffix('\n') {
            Some(pid) => return pid.parse::<u32>().unwrap(),
            None => tokio::task::yield_now().await,
        }
    };
    // It neither says that it runs nor looks at its channel.
    let pid = tokio::select! {
        spawned = Worker::spawn(shell(&format!("echo $$ > {path}; exec sleep 1000"))) => panic!("{spawned:?}"),
        pid = pid() => pid,
    };
    let begun = Instant::now();
    while !gone(pid) {
        assert!(begun.elapsed() < Duration::from_secs(10), "the process is still there");
        tokio::task::yield_now().await;
    }
}

/// The command line and the environment are mediasoup's.
#[tokio::test]
async fn arguments_and_environment() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    // The shell takes its first argument behind the script as $0.
    let mut settings = shell(&format!("{{ echo $MEDIASOUP_VERSION $COLOUR $0 $@; }} > {path}; exit 42"));
    settings.log_level = sfu_control::messages::LogLevel::Debug;
    settings.log_tags = vec!["ice".to_owned(), "dtls".to_owned()];
    settings.rtc_min_port = 2000;
    settings.rtc_max_port = 3000;
    settings.dtls_files = Some(sfu_control::DtlsFiles { certificate: "/c.pem".into(), private_key: "/k.pem".into() });
    settings.env = vec![("COLOUR".to_owned(), "green".to_owned())];
    Worker::spawn(settings).await.unwrap_err();
    assert_eq!(
        std::fs::read_to_string(file.path()).unwrap(),
        "3.12.16 green --logLevel=debug --logTag=ice --logTag=dtls --rtcMinPort=2000 --rtcMaxPort=3000 \
         --dtlsCertificateFile=/c.pem --dtlsPrivateKeyFile=/k.pem\n"
    );
}

/// The sockets that a process has open, by inode.
fn sockets(pid: u32) -> Vec<String> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = descriptors.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().display().to_string());
    targets.filter(|target| target.starts_with("socket:")).collect()
}

/// Many at once: none inherits another's channel, so that each ends with its own and is noticed by itself.
#[tokio::test]
async fn many_workers_do_not_hold_each_others_channels() {
    let workers = futures_util::future::join_all((0..8).map(|_| running())).await;
    let own = sockets(std::process::id());
    let mut seen = std::collections::HashSet::new();
    for worker in &workers {
        // The shell has become `cat`, with the request channel as its input too.
        let of_worker: std::collections::HashSet<_> = sockets(worker.pid()).into_iter().collect();
        assert_eq!(of_worker.len(), 4, "a socket for each direction of the two channels");
        assert!(of_worker.iter().all(|socket| !own.contains(socket)), "our ends are not the worker's");
        assert!(of_worker.into_iter().all(|socket| seen.insert(socket)), "no two workers share a socket");
    }
    for worker in workers {
        kill(Pid::from_raw(worker.pid().try_into().unwrap()), Signal::SIGKILL).unwrap();
        assert_eq!(worker.ended().await, WorkerEnd::Died(WorkerExit::Signal(9)));
    }
}

/// The worker ends with the runtime of the program that started it: it is killed, unless it sees first that its channel
/// ends.
#[test]
fn workers_end_with_their_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pid = runtime.block_on(running()).pid();
    drop(runtime);
    let begun = Instant::now();
    // A zombie stays until it is waited for, since the runtime that would have done so is gone.
    while !gone(pid) {
        let status = waitpid(Pid::from_raw(pid.try_into().unwrap()), Some(WaitPidFlag::WNOHANG));
        if matches!(status, Ok(WaitStatus::Exited(_, 0) | WaitStatus::Signaled(_, Signal::SIGKILL, _))) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{status:?}");
        std::thread::yield_now();
    }
}
