#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: tests::fuzz::ignore_contained_panics(), |data: &[u8]| tests::fuzz::sctp(data));
