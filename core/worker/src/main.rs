//! The program `sfu-worker`.

fn main() -> std::process::ExitCode {
    sfu_worker::main(std::env::args().skip(1))
}
