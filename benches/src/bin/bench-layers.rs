//! Measures what each layer of an SFU adds to the price of a forwarded packet. See `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match benches::layers::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-layers: {error:#}.");
            ExitCode::FAILURE
        }
    }
}
