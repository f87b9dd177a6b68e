//! Measures what the chapters' servers take, and the core for the same work. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match benches::chapters::cli::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-chapters: {error:#}.");
            ExitCode::FAILURE
        }
    }
}
