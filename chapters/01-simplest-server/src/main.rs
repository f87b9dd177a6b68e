//! `cargo run -p ch01-simplest-server`: shows the chapter's idea by itself, or serves real clients with `--listen`.

mod demo;

use std::net::{SocketAddr, TcpListener, UdpSocket};
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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().listen {
        None => demo::run(),
        Some(address) => serve(address),
    }
}

/// Serves TCP on this thread and UDP on a second one, on the same port number.
fn serve(address: SocketAddr) -> anyhow::Result<()> {
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
