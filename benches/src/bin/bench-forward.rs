//! Measures how many packets workers forward, and at what cost. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match benches::cli::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-forward: {error:#}.");
            ExitCode::FAILURE
        }
    }
}
