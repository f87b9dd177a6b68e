//! What the whole-system tests share.

pub mod fuzz;

use std::path::PathBuf;

/// The program `sfu-worker` that the tests start: the one that the variable `SFU_WORKER_BIN` names, else the one that
/// cargo built into the same folder as the tests.
///
/// # Panics
///
/// When it is not there; the message says what to run.
pub fn worker_bin() -> PathBuf {
    let path = match std::env::var_os("SFU_WORKER_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let test = std::env::current_exe().expect("the test's own path");
            // Cargo puts tests into deps/, beside the programs.
            test.ancestors().nth(2).expect("tests are in target/<profile>/deps").join("sfu-worker")
        }
    };
    let built = path.is_file();
    assert!(built, "{} is missing: run `cargo build -p sfu-worker`, or name it in SFU_WORKER_BIN", path.display());
    path
}
