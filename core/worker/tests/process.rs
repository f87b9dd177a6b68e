//! The process contract: arguments, exit codes, signals, and who outlives whom.

mod common;

use common::{Worker, run_to_end};
use nix::sys::signal::Signal;
use serde_json::json;

#[test]
fn without_a_version_in_the_environment_it_exits_with_41() {
    let (status, stderr) = run_to_end(&[], |command| {
        command.env_remove("MEDIASOUP_VERSION");
    });
    assert_eq!(status.code(), Some(41));
    assert!(stderr.contains("MEDIASOUP_VERSION"), "{stderr}");
}

#[test]
fn wrong_settings_exit_with_42_and_a_sentence_that_names_the_option() {
    for (arguments, named) in [
        (&["--logLevel=chatty"][..], "logLevel"),
        (&["--rtcMinPort=50000", "--rtcMaxPort=40000"], "rtcMinPort"),
        (&["--rtcMinPort=70000"], "rtcMinPort"),
        (&["--rtcMinPort=abc"], "rtcMinPort"),
        (&["--dtlsCertificateFile=Cargo.toml"], "dtlsPrivateKeyFile"),
        (&["--dtlsCertificateFile=/nonexistent/cert", "--dtlsPrivateKeyFile=/nonexistent/key"], "/nonexistent/cert"),
        (&["--noSuchOption=1"], "noSuchOption"),
        (&["--logLevel"], "logLevel"),
    ] {
        let (status, stderr) = run_to_end(arguments, |_| {});
        assert_eq!(status.code(), Some(42), "{arguments:?}: {stderr}");
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn settings_are_taken_in_every_form_that_the_library_uses() {
    for arguments in [
        &["--logLevel=DEBUG", "--logTag=ice", "--logTag=dtls", "--logTag=nonsense"][..],
        &["--logTags=rtp", "--rtcMinPort=10000", "--rtcMaxPort=10100", "--libwebrtcFieldTrials=X/Enabled/"],
        &["--logLevel=none", "--logTags=rtcp"],
    ] {
        Worker::start_with(arguments).dump();
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut worker = Worker::start();
        worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
        worker.signal(signal);
        assert_eq!(worker.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn other_signals_do_not_end_it() {
    let mut worker = Worker::start();
    for signal in [Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGALRM, Signal::SIGUSR1, Signal::SIGUSR2] {
        worker.signal(signal);
        assert_eq!(worker.dump()["pid"], json!(worker.child.id()), "{signal}");
    }
}

#[test]
fn it_ends_with_the_library() {
    let mut worker = Worker::start();
    drop(worker.requests.take());
    assert_eq!(worker.wait().code(), Some(0), "the channel ended");

    let mut worker = Worker::start();
    drop(worker.payload_requests.take());
    assert_eq!(worker.wait().code(), Some(0), "the payload channel ended");
}

#[test]
fn worker_close_ends_it_with_0() {
    let mut worker = Worker::start();
    worker.send_frame(b"1:worker.close:undefined:undefined");
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn a_frame_that_the_end_of_the_channel_cuts_does_no_harm() {
    let mut worker = Worker::start();
    worker.send_bytes(&100_u32.to_ne_bytes());
    worker.send_bytes(b"1:worker.dump");
    drop(worker.requests.take());
    assert_eq!(worker.wait().code(), Some(0));
}
