//! The program `sfu-worker`.

fn main() -> std::process::ExitCode {
    sfu_worker::main(std::env::args_os().skip(1))
}
