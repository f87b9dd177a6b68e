//! `cargo run -p ch01-simplest-server`: shows the chapter's idea by itself, or serves real clients with `--listen`.

mod demo;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::thread;

use anyhow::Context;
use ch01_simplest_server::{Event, serve_tcp, serve_udp};
use clap::Parser;

/// One blocking echo server for TCP and UDP.
///
/// Without arguments it plays server and clients itself and prints what happened. With --listen it serves TCP and UDP
/// on one port until it is stopped; try `nc HOST PORT`, `nc -u HOST PORT` or `socat - TCP:HOST:PORT` against it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address and port to serve, for instance 127.0.0.1:7000 or [::1]:7000; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// With --listen: say nothing of what happens.
    #[arg(long, requires = "listen")]
    quiet: bool,
    /// Without --listen: also write the datagrams of the demonstration to this file, for Wireshark.
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pcap: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.listen {
        None => demo::run(arguments.pcap.as_deref()),
        Some(address) => serve(address, if arguments.quiet { |_| true } else { report }),
    }
}

/// Serves TCP on this thread and UDP on a second one, on the same port number.
fn serve(address: SocketAddr, report: fn(Event) -> bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on TCP {address}: is another program using that port?"))?;
    let address = listener.local_addr()?;
    let socket = UdpSocket::bind(address)
        .with_context(|| format!("cannot listen on UDP {address}: is another program using that port?"))?;
    println!("echoing TCP and UDP on {address}; stop with Ctrl-C");

    thread::spawn(move || serve_udp(&socket, report));
    serve_tcp(&listener, report).context("accepting connections failed")
}

fn report(event: Event) -> bool {
    match event {
        Event::Accepted(peer) => println!("tcp {peer} accepted; everybody else waits now"),
        Event::Finished { peer, bytes, error: None } => println!("tcp {peer} finished after {bytes} bytes"),
        Event::Finished { peer, bytes, error: Some(error) } => {
            println!("tcp {peer} broke after {bytes} bytes: {error}")
        }
        Event::Echoed { peer, bytes } => println!("udp {peer} echoed {bytes} bytes"),
        _ => {}
    }
    true
}
