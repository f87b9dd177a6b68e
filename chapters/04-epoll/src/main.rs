//! `cargo run -p ch04-epoll`: shows the chapter's idea by itself, breaks it with `--fault`, or serves real clients with
//! `--listen`.

mod demo;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use ch02_processes_and_signals::Signals;
use ch04_epoll::server::raise_descriptor_limit;
use ch04_epoll::{Event, Progress, Server, Settings, Trigger};
use clap::Parser;
use nix::sys::signal::Signal;

/// The echo server of chapter 01 for thousands of clients, on one thread.
///
/// Without arguments it plays server and clients itself and prints what happened. With --listen it serves TCP and UDP on
/// one port until SIGTERM or Ctrl-C; try `nc HOST PORT` from several terminals, and `strace -p PID` beside it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Show what goes wrong, and what is lost by it.
    #[arg(long, conflicts_with = "listen")]
    fault: bool,
    /// Address and port to serve, for instance 127.0.0.1:7000 or [::1]:7000; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// With --listen: watch connections edge triggered.
    #[arg(long, requires = "listen")]
    edge: bool,
    /// With --listen: reads that one client may do before it is another one's turn.
    #[arg(long, value_name = "READS", default_value_t = 16, requires = "listen",
          value_parser = clap::value_parser!(u32).range(1..))]
    budget: u32,
    /// With --listen: end connections that have been silent for so long.
    #[arg(long, value_name = "SECONDS", requires = "listen")]
    idle: Option<u32>,
    /// With --listen: say nothing of what happens.
    #[arg(long, requires = "listen")]
    quiet: bool,
    /// Without --listen: also write the datagrams of the demonstration to this file, for Wireshark.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "fault"])]
    pcap: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.listen {
        None if arguments.fault => demo::faults(),
        None => demo::run(arguments.pcap.as_deref()),
        Some(address) => serve(address, &arguments),
    }
}

fn serve(address: SocketAddr, arguments: &Arguments) -> anyhow::Result<()> {
    // From here on they are read, and end nothing: chapter 02 has made them a descriptor.
    let signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT])?;
    raise_descriptor_limit().context("the limit on descriptors can't be raised")?;
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on TCP {address}: is another program using that port?"))?;
    let address = listener.local_addr()?;
    let datagrams = UdpSocket::bind(address)
        .with_context(|| format!("cannot listen on UDP {address}: is another program using that port?"))?;
    let settings = Settings {
        trigger: if arguments.edge { Trigger::Edge } else { Trigger::Level },
        budget: arguments.budget as usize,
        idle: arguments.idle.map(|seconds| Duration::from_secs(seconds.into())),
    };
    let mut server = Server::new(listener, Some(datagrams), settings)?;
    println!("echoing TCP and UDP on {address}; stop with Ctrl-C");
    server.serve_until(&signals, if arguments.quiet { |_| {} } else { report }).context("the server failed")?;
    // Taken, or it would end the program with an error as soon as it is no longer held back.
    signals.next()?;
    Ok(())
}

fn report(event: Event) {
    match event {
        Event::Turn { progress: Progress::Dry, .. } | Event::Turn { bytes: 0, .. } => {}
        other => println!("{}", demo::told(&other)),
    }
}
