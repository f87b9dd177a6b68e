//! `cargo run -p ch02-processes-and-signals`: shows the chapter's idea by itself, breaks it with `--fault`, or serves
//! real clients with `--listen`.

mod demo;

use std::net::{SocketAddr, TcpListener};
use std::process::id;
use std::time::Duration;

use anyhow::Context;
use ch02_processes_and_signals::{fork_per_connection, prefork};
use clap::{Parser, ValueEnum};

/// The echo server of chapter 01, with a process for each client.
///
/// Without arguments it plays server and clients itself and prints what happened. With --listen it serves TCP until
/// SIGTERM or Ctrl-C; try `nc HOST PORT` from several terminals, `pstree -p` beside it, and `kill` for its children.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Show what goes wrong, and what is lost by it.
    #[arg(long, conflicts_with = "listen")]
    fault: bool,
    /// Address and port to serve, for instance 127.0.0.1:7000 or [::1]:7000; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// With --listen: a process for each connection, or a few processes that share the listening socket.
    #[arg(long, value_enum, default_value = "fork", requires = "listen")]
    mode: Mode,
    /// With --mode prefork: how many processes.
    #[arg(long, value_name = "N", default_value_t = 4, requires = "listen",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    children: u16,
    /// With --listen: how long clients may take to finish when the server is told to stop.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "listen")]
    grace: u32,
    /// With --listen: say nothing of what happens.
    #[arg(long, requires = "listen")]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Fork,
    Prefork,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.listen {
        None if arguments.fault => demo::faults(),
        None => demo::run(),
        Some(address) => serve(address, &arguments),
    }
}

fn serve(address: SocketAddr, arguments: &Arguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on TCP {address}: is another program using that port?"))?;
    println!("echoing TCP on {}; stop with Ctrl-C", listener.local_addr()?);
    let grace = Duration::from_secs(arguments.grace.into());
    let report = if arguments.quiet { |_| {} } else { |event| println!("pid {}: {}", id(), demo::told(&event)) };
    match arguments.mode {
        Mode::Fork => fork_per_connection(listener, grace, report),
        Mode::Prefork => prefork(listener, arguments.children.into(), grace, report),
    }
    .context("the server failed")
}
