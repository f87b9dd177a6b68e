//! The comparison counts what it says it counts, whatever the machine does meanwhile.

use std::process::{Command, Output};
use std::thread::available_parallelism;

/// System calls for each round trip or message.
fn calls(contender: &str, more: &[&str]) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    let Output { status, stdout, stderr } = command.args(["--once", contender]).args(more).output().unwrap();
    let text = String::from_utf8_lossy(&stdout);
    assert!(status.success(), "{contender} ended with {status}: {text}{}", String::from_utf8_lossy(&stderr));
    let number = text.strip_prefix(contender).and_then(|rest| rest.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{contender} says {text:?}"))
}

#[test]
fn round_trips_are_counted() {
    if available_parallelism().unwrap().get() < 2 {
        return; // It takes two cores, and says so.
    }
    let long = &["--messages", "300", "--length", "65536"][..];
    for (contender, more, expected) in [
        ("pipe", &["--messages", "300"][..], 4.0),
        ("FIFO", &["--messages", "300"], 4.0),
        ("unix socket, datagram", &["--messages", "300"], 4.0),
        ("UDP loopback", &["--messages", "300", "--one-core"], 4.0),
        ("UDP loopback", long, 8.0),
        ("socketpair, seqpacket", long, 4.0),
        ("control: pipe, one process", &["--messages", "300"], 4.0),
    ] {
        assert_eq!(calls(contender, more), expected, "{contender} {more:?}");
    }
    // Who finds something to do does not sleep, and who does not sleep is not woken.
    for contender in ["ring, futex", "ring, eventfd"] {
        let found = calls(contender, &["--messages", "300"]);
        assert!((0.0..=4.5).contains(&found), "{contender}: {found}");
    }
}

/// One way, numbered and looked for: a way that loses or doubles a message fails.
#[test]
fn one_way_loses_nothing() {
    if available_parallelism().unwrap().get() < 2 {
        return;
    }
    let way = ["--one-way", "--messages", "3000", "--length", "1024"];
    // A packet costs a call on either side; UDP's credits come on top. A stream's reader takes many messages at once.
    assert_eq!(calls("socketpair, seqpacket", &way), 2.0);
    for (contender, most) in
        [("UDP loopback", 2.2), ("TCP loopback", 2.5), ("unix socket, stream", 2.5), ("ring, futex", 2.5)]
    {
        let found = calls(contender, &way);
        assert!((0.0..=most).contains(&found), "{contender}: {found}");
    }
}

#[test]
fn an_unknown_contender_is_answered_with_those_that_there_are() {
    let Output { status, stderr, .. } =
        Command::new(env!("CARGO_BIN_EXE_compare")).args(["--once", "pigeon"]).output().unwrap();
    let text = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && text.contains("unix socket, datagram"), "{text}");
}
