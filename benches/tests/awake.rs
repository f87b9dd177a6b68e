//! What keeps cores awake: that it takes no time from anybody, and is gone afterwards.

use benches::awake::Awake;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bench-forward");

/// The first core that this process may use.
fn first_core() -> usize {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).find(|&core| allowed.is_set(core).unwrap()).unwrap()
}

/// The `stat` of each thread, from the third field on.
fn stats(process: u32) -> Vec<Vec<String>> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let stat = |path: PathBuf| fs::read_to_string(path.join("stat")).unwrap();
    let fields = |stat: String| stat.rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect();
    threads.map(|thread| fields(stat(thread.unwrap().path()))).collect()
}

/// Nanoseconds of processor time.
fn used(tasks: &str) -> u64 {
    let threads = fs::read_dir(tasks).unwrap();
    let schedstat = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap());
    schedstat.map(|line| line.split_whitespace().next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_process_of_the_idle_class_spins_on_the_core_until_it_is_dropped() {
    let core = first_core();
    let awake = Awake::keep(&[core], Path::new(PROGRAM)).unwrap();
    let [process] = *awake.processes() else { panic!("{awake:?}") };
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    assert!(status.contains(&format!("\nCpus_allowed_list:\t{core}\n")), "{status}");
    // Fields 40 and 41: no real-time priority, and SCHED_IDLE, which threads inherit.
    for stat in stats(process) {
        assert_eq!((stat[37].as_str(), stat[38].as_str()), ("0", "5"));
    }
    drop(awake);
    assert!(!Path::new(&format!("/proc/{process}")).exists());
}

#[test]
fn it_gives_way_to_whatever_wants_its_core() {
    let core = first_core();
    let awake = Awake::keep(&[core], Path::new(PROGRAM)).unwrap();
    let tasks = format!("/proc/{}/task", awake.processes()[0]);
    let share = std::thread::spawn(move || {
        let mut only = CpuSet::new();
        only.set(core).unwrap();
        sched_setaffinity(Pid::from_raw(0), &only).unwrap();
        let own = || {
            let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            schedstat.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let (ours, theirs) = (own(), used(&tasks));
        while own() < ours + 100_000_000 {}
        (used(&tasks) - theirs) as f64 / (own() - ours) as f64
    });
    // A process of the usual class would get as much as we.
    let share = share.join().unwrap();
    assert!(share < 0.05, "it took {share} of our time");
}

#[test]
fn it_ends_with_whoever_started_it() {
    let mut spinner =
        Command::new(PROGRAM).arg("spinner").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // What the end of the other process does, however it comes.
    drop(spinner.stdin.take());
    assert!(spinner.wait().unwrap().success());
}

#[test]
fn who_cannot_be_kept_awake_is_told_why() {
    let refusal = Awake::keep(&[first_core()], Path::new("/nonexistent")).unwrap_err();
    assert!(format!("{refusal:#}").contains("/nonexistent"), "{refusal:#}");
}
