//! The programs' own demonstrations, with real children. They are tests too: a demonstration fails when what it shows is
//! not so.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_ch03-socketpair")).args(arguments).output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{arguments:?} ended with {status}:\n{text}{}", String::from_utf8_lossy(&stderr));
    text
}

#[test]
fn the_demonstration_ends_with_all_children_reaped() {
    let text = run(&[]);
    let children = text.matches("socketpair, fork").count();
    assert_eq!((children, text.matches("exited with 0").count()), (4, 4), "{text}");
    assert!(text.contains("1024 bytes: it begins with \"onetwothree\""), "{text}");
}

#[test]
fn a_killed_child_s_whole_messages_arrive_and_its_half_one_does_not() {
    let text = run(&["--fault"]);
    let lines = ["was killed by SIGKILL", "a message of 7 bytes: \"done: 1\"", "ended inside a frame, after 9 bytes"];
    let places: Vec<usize> =
        lines.iter().map(|line| text.find(line).unwrap_or_else(|| panic!("{line}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(!text.contains("done: 2"), "{text}");
    assert!(text.contains("read 0: end of file, at once") && text.contains("killed by SIGPIPE"), "{text}");
}

#[test]
fn any_program_can_be_the_child() {
    assert!(run(&["--run", "cat"]).ends_with("end of file, then exit status: 0\n"));
}
