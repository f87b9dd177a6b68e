//! Measures what event libraries take to forward packets. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match benches::io::cli::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-io: {error:#}.");
            ExitCode::FAILURE
        }
    }
}
