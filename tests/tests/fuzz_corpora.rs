//! What the fuzzers have found once stays found: every file of the committed corpora goes through its target. This needs
//! neither a nightly toolchain nor cargo-fuzz; how to fuzz is said in `tests/fuzz/README.md`.

use std::fs;
use std::path::Path;

use tests::fuzz::{TARGETS, Target};

/// All corpora together. They are in everyone's clone.
const MAX_CORPORA: u64 = 200_000;

/// The files of a target's corpus and their bytes.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

fn run(name: &str) {
    let (_, target): &(&str, Target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let files = corpus(name);
    assert!(!files.is_empty());
    for (path, bytes) in files {
        // It is printed if the test fails.
        println!("{path}");
        target(&bytes);
    }
    target(&[]);
}

macro_rules! targets {
    ($($name:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*
    };
}
targets! { stun rtp header_extensions rtcp codec_descriptors sdp channel srtp ice dtls sctp worker }

#[test]
fn every_target_is_tested_and_has_its_fuzzer() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, TESTED);
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/Cargo.toml")).unwrap();
    let fuzzers: Vec<&str> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\"")).collect();
    assert_eq!(fuzzers, names);
}

#[test]
fn corpora_are_small() {
    let sizes = TARGETS.iter().flat_map(|(name, _)| corpus(name)).map(|(_, bytes)| bytes.len() as u64);
    let size: u64 = sizes.sum();
    assert!(size <= MAX_CORPORA, "{size} bytes: minimise them, as README.md says");
}
