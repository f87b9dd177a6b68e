//! `sfu-conference`: see `sfu-conference --help`.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use sfu_conference::{
    cli::Options,
    server::{self, WORKER_ARGUMENT},
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // A worker is this same program, so that one file is all there is to install.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == WORKER_ARGUMENT) {
        return sfu_worker::main(std::env::args_os().skip(2));
    }
    let options = Options::parse();
    let filter = match EnvFilter::try_new(&options.log) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("--log {}: {error}; try --log info", options.log)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A file is easier to read without colours.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the system refuses to start threads: {error}")),
    };
    let result = runtime.block_on(server::run(options));
    // Nobody waits for connections that browsers keep open.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(sentence: &str) -> ExitCode {
    eprintln!("sfu-conference: {sentence}");
    ExitCode::FAILURE
}
