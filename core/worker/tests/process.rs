//! The process contract: arguments, exit codes, signals, and who outlives whom.

mod common;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use common::{PATIENCE, PROGRAM, Worker, run_to_end};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::X509;
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

#[test]
fn arguments_of_any_bytes_are_refused_in_order() {
    for argument in [
        &b"--logLevel=\xff"[..],
        b"--rtcMinPort=\xff",
        b"--\xff=1",
        b"\xff",
        b"--dtlsCertificateFile=/nonexistent/\xff",
    ] {
        let (status, stderr) = run_to_end(&["--dtlsPrivateKeyFile=/nonexistent/key"], |command| {
            command.arg(OsStr::from_bytes(argument));
        });
        assert_eq!(status.code(), Some(42), "{stderr}");
    }
}

#[test]
fn a_file_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join(OsStr::from_bytes(b"\xff.pem"));
    std::fs::write(&certificate, "").unwrap();
    let (_, stderr) = run_to_end(&["--dtlsPrivateKeyFile=/nonexistent/key"], |command| {
        command.arg([OsStr::new("--dtlsCertificateFile="), certificate.as_os_str()].join(OsStr::new("")));
    });
    assert!(stderr.contains("--dtlsPrivateKeyFile: cannot read"), "the certificate was found: {stderr}");
}

/// A certificate and its private key, PEM.
fn identity() -> (Vec<u8>, Vec<u8>) {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&openssl::asn1::Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&openssl::asn1::Asn1Time::days_from_now(2).unwrap()).unwrap();
    certificate.sign(&key, openssl::hash::MessageDigest::sha256()).unwrap();
    (certificate.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}

#[test]
fn a_signal_while_it_starts_ends_it_with_0_too() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = identity();
    let (pipe, key_file) = (folder.path().join("certificate"), folder.path().join("key"));
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    std::fs::write(&key_file, key).unwrap();
    let mut worker = Worker::spawn(
        PROGRAM,
        &[
            &format!("--dtlsCertificateFile={}", pipe.display()),
            &format!("--dtlsPrivateKeyFile={}", key_file.display()),
        ],
    );
    // As long as nothing is written the worker waits for its certificate.
    let mut writer = std::fs::File::options().write(true).open(&pipe).unwrap();
    let blocks_sigterm = |worker: &Worker| {
        u64::from_str_radix(&worker.proc_field("status", "SigBlk:"), 16).unwrap() >> (Signal::SIGTERM as u32 - 1) & 1
            == 1
    };
    let deadline = Instant::now() + PATIENCE;
    while !blocks_sigterm(&worker) {
        assert!(Instant::now() < deadline, "SIGTERM would kill it");
    }
    worker.signal(Signal::SIGTERM);
    writer.write_all(&certificate).unwrap();
    drop(writer);
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn it_takes_all_the_descriptors_that_it_may_have() {
    let worker = Worker::start_by("prlimit", &["--nofile=100:500", PROGRAM]);
    let limits = worker.proc_field("limits", "Max open files");
    assert_eq!(limits.split_whitespace().collect::<Vec<_>>(), ["500", "500", "files"]);
}
