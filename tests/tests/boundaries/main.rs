//! The boundaries that keep the crates what they are: who may read a clock, open a socket, start a thread, know of RTP,
//! write `unsafe`, or depend on whom.
//!
//! A failure names file and line, and says what to do instead. The rules are the tables in this file; [`source`] reads
//! code, [`graph`] asks cargo who depends on whom.

mod graph;
mod source;

use source::{SourceFile, files_under};

/// One rule about what code may say.
struct Ban {
    /// Paths of identifiers, as they would be written.
    patterns: &'static [&'static str],
    /// What to do instead.
    instead: &'static str,
}

/// The sans-IO protocols.
const PROTO_BANS: &[Ban] = &[
    Ban {
        patterns: &["Instant::now", "SystemTime", ".elapsed", "chrono"],
        instead: "core/proto has no clock: take `now: Instant` as a parameter and pass it down",
    },
    Ban {
        patterns: &[
            "UdpSocket",
            "TcpStream",
            "TcpListener",
            "UnixStream",
            "UnixDatagram",
            "socket2",
            "mio",
            "nix",
            "libc",
        ],
        instead: "core/proto has no sockets: take bytes in `handle_*` and give bytes from `poll_transmit`; the I/O \
                  belongs in core/reactor",
    },
    Ban {
        patterns: &["thread", "sleep", "tokio", "async"],
        instead: "core/proto has no threads and no tasks: give the next deadline from `poll_timeout` and let the caller \
                  wait",
    },
];

/// The words of RTP, which the reactor must not know. TCP framing by RFC 4571 has none of them.
const RTP_WORDS: &[&str] = &["rtp", "rtcp", "srtp", "srtcp", "ssrc"];

/// Where `unsafe` is at home, each time for the operating system's or a C library's sake.
const UNSAFE_ROOMS: &[&str] = &[
    "core/libsrtp2-sys/",
    "core/proto/src/srtp/libsrtp.rs",
    "core/proto/src/dtls/ffi.rs",
    "core/reactor/",
    "ipc-demos/",
    "chapters/02-",
    "chapters/03-",
    "chapters/04-",
    "chapters/05-",
    "chapters/06-",
];

/// What each crate of core may depend on within the workspace. The arrows run one way:
/// conference -> control -> channel <- worker -> reactor, proto; proto -> libsrtp2-sys.
const ARROWS: &[(&str, &[&str])] = &[
    ("libsrtp2-sys", &[]),
    ("sfu-proto", &["libsrtp2-sys"]),
    ("sfu-reactor", &[]),
    ("sfu-channel", &[]),
    ("sfu-worker", &["sfu-proto", "sfu-reactor", "sfu-channel"]),
    ("sfu-control", &["sfu-channel"]),
    // The worker only to be executed by the same binary: see `the_conference_only_starts_the_worker`.
    ("sfu-conference", &["sfu-control", "sfu-channel", "sfu-worker"]),
];

/// Crates whose whole dependency graph is free of async runtimes, for people who read it top to bottom.
const RUNTIME_FREE: &[&str] = &["sfu-proto", "sfu-reactor", "sfu-channel", "sfu-worker"];

const RUNTIMES: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "async-io",
    "async-executor",
    "smol",
    "futures-executor",
    "glommio",
    "monoio",
    "compio",
];

#[test]
fn proto_has_no_clock_no_socket_and_no_thread() {
    let mut violations = Vec::new();
    for file in files_under("core/proto/src") {
        for ban in PROTO_BANS {
            for pattern in ban.patterns {
                violations.extend(
                    file.find(pattern)
                        .into_iter()
                        .map(|line| format!("{}:{line}: `{pattern}`: {}", file.path, ban.instead)),
                );
            }
        }
    }
    assert_none(violations);
}

#[test]
fn the_reactor_knows_nothing_of_rtp() {
    let mut violations = Vec::new();
    for file in files_under("core/reactor") {
        violations.extend(file.identifiers_with_word(RTP_WORDS).map(|(line, identifier)| {
            format!(
                "{}:{line}: `{identifier}`: core/reactor moves bytes and knows nothing of RTP: move this to core/proto \
                 or core/worker",
                file.path
            )
        }));
    }
    assert_none(violations);
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let mut violations = Vec::new();
    for folder in ["core", "chapters", "ipc-demos", "benches", "tests"] {
        for file in SourceFile::with_tests_under(folder) {
            if UNSAFE_ROOMS.iter().any(|room| file.path.starts_with(room)) {
                continue;
            }
            violations.extend(file.find("unsafe").into_iter().map(|line| {
                format!(
                    "{}:{line}: `unsafe` outside of its rooms ({}): use a safe function of core/reactor or nix, or add \
                     one there",
                    file.path,
                    UNSAFE_ROOMS.join(", ")
                )
            }));
        }
    }
    assert_none(violations);
}

/// The conference links the worker to have both in one binary. All it may do is to become a worker.
#[test]
fn the_conference_only_starts_the_worker() {
    let mut violations = Vec::new();
    for file in files_under("core/conference/src") {
        let uses = file.find("sfu_worker");
        let starts = file.find("sfu_worker::main");
        violations.extend(uses.into_iter().filter(|line| !starts.contains(line)).map(|line| {
            format!(
                "{}:{line}: core/conference may only call `sfu_worker::main`, by its full path: talk to the worker \
                 over its channel, by core/control",
                file.path
            )
        }));
    }
    assert_none(violations);
}

#[test]
fn arrows_between_crates_run_one_way() {
    let packages = graph::packages();
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let core = |name: &str| ARROWS.iter().any(|(from, _)| *from == name);
    let mut violations = Vec::new();
    for package in &packages {
        for dependency in package.dependencies.iter().filter(|dependency| ours(&dependency.name)) {
            let (from, to) = (&*package.name, &*dependency.name);
            let wrong = if let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) {
                (!dependency.dev && !allowed.contains(&to)).then(|| {
                    format!("may depend on {allowed:?} only: move what both need to a crate below, or give it as a parameter")
                })
            } else if matches!(from, "tests" | "benches") {
                None
            } else {
                (!dependency.dev && core(to))
                    .then(|| "measures itself against core and uses it for nothing else: a dev-dependency".to_owned())
            };
            if let Some(instead) = wrong {
                violations.push(format!(
                    "{}:{}: {from} {instead}",
                    package.manifest,
                    graph::line_of(&package.manifest, to)
                ));
            }
        }
    }
    for (name, _) in ARROWS {
        assert!(ours(name), "the table of arrows names {name}, which is no crate of the workspace");
    }
    assert_none(violations);
}

#[test]
fn there_is_no_async_runtime_below_the_control_side() {
    let mut violations = Vec::new();
    for package in RUNTIME_FREE {
        let closure = graph::closure(package, true);
        assert!(closure.contains(&(*package).to_owned()), "cargo tree lists the package itself: {closure:?}");
        for runtime in RUNTIMES.iter().filter(|runtime| closure.iter().any(|name| name == *runtime)) {
            violations.push(format!(
                "{package} depends on {runtime}: everything below core/control is one thread on one epoll loop. \
                 `cargo tree -p {package} -e normal -i {runtime}` shows by what way it comes in"
            ));
        }
    }
    assert_none(violations);
}

/// What `make demo` builds links no library of the system: libsrtp2 is for tests and benchmarks.
#[test]
fn the_main_job_does_not_link_libsrtp2() {
    let closure = graph::closure("sfu-conference", false);
    assert!(
        !closure.contains(&"libsrtp2-sys".to_owned()),
        "sfu-conference depends on libsrtp2-sys by default: keep it behind the feature `libsrtp`"
    );
}

fn assert_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "{} across a boundary:\n{}", violations.len(), violations.join("\n"));
}
