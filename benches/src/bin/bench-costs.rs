//! Measures what a worker takes for what is not a packet. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match benches::costs::cli::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-costs: {error:#}.");
            ExitCode::FAILURE
        }
    }
}
