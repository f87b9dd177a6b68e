//! `cargo run -p ch05-event-libraries`: the same work with every driver, or one of them for real clients with `--listen`.

mod calls;
mod demo;
mod process;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use ch05_event_libraries::allocations::{self, Counting};
use ch05_event_libraries::forwarder::Event;
use ch05_event_libraries::{Driver, Forwarder, Sockets};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One UDP forwarder and one TCP echo server, driven by blocking threads, epoll, mio, tokio or io_uring.
///
/// Without arguments it gives every driver the same work and checks every byte. With --listen one driver serves until it is
/// stopped. Subscribe with `printf '\1' | socat -t 60 - UDP:HOST:PORT | xxd`, send a payload from elsewhere with
/// `printf '\x80hello' | socat - UDP:HOST:PORT`, and try the echo with `nc HOST PORT`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Which driver serves: blocking, epoll, mio, tokio, tokio-mt, io-uring-plain, io-uring, mmsg, gso or tokio-gso.
    #[arg(long, value_name = "NAME", default_value = "epoll", requires = "listen")]
    driver: Driver,
    /// Address and port to serve, for instance 127.0.0.1:7000 or [::1]:7000; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// With --listen: say nothing of what happens.
    #[arg(long, requires = "listen")]
    quiet: bool,
    /// With --listen: answer each byte on standard input with the number of allocations so far.
    #[arg(long, requires = "listen")]
    count_allocations: bool,
    /// Show the system calls that one payload takes with each driver (needs strace).
    #[arg(long, conflicts_with_all = ["listen", "fault"])]
    calls: bool,
    /// The same work in bad company: strangers, rubbish, and peers that never read.
    #[arg(long, conflicts_with = "listen")]
    fault: bool,
    /// Without --listen: also write the datagrams of the first scene to this file, for Wireshark.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "calls", "fault"])]
    pcap: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.listen {
        Some(address) => {
            if arguments.count_allocations {
                allocations::tell_on_request()?;
            }
            serve(arguments.driver, address, if arguments.quiet { |_| {} } else { report })
        }
        None if arguments.calls => calls::run(),
        None if arguments.fault => demo::fault(),
        None => demo::run(arguments.pcap.as_deref()),
    }
}

fn serve(driver: Driver, address: SocketAddr, report: fn(Event)) -> anyhow::Result<()> {
    if let Some(why) = driver.refused() {
        bail!("{driver} can't be used here: {why}");
    }
    let sockets =
        Sockets::bind(address).with_context(|| format!("cannot listen on {address}: is another program using it?"))?;
    println!("{driver} forwards UDP and echoes TCP on {}; stop with Ctrl-C", sockets.address()?);
    let never = driver.serve(sockets, Forwarder::new(report)).with_context(|| format!("{driver} can't go on"))?;
    match never {}
}

fn report(event: Event) {
    match event {
        Event::Joined(peer, count) => println!("{peer} joined; subscribers: {count}"),
        Event::Left(peer, count) => println!("{peer} left; subscribers: {count}"),
        Event::Sender(peer) => println!("{peer} is the sender"),
        Event::Dropped(peer, why) => println!("{peer}: dropped: {why}"),
    }
}
