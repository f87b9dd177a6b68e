//! Chapter 05's forwarder on the core's I/O: the same logic, driven by `sfu-reactor`, as a worker's loop drives it. A
//! turn's packets are received in batches and gathered into one buffer; each subscriber's leave in one call.

use ch05_event_libraries::allocations::{self, Counting};
use ch05_event_libraries::forwarder::{Forwarder, Route, is_payload};
use clap::Parser;
use sfu_reactor::poll::{Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::io;
use std::net::SocketAddr;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Forwards UDP as chapter 05 does.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Address and port to serve; port 0 takes a free one
    #[arg(long)]
    listen: SocketAddr,

    /// Answer each byte on standard input with the number of allocations so far
    #[arg(long)]
    count_allocations: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    if options.count_allocations {
        allocations::tell_on_request()?;
    }
    let udp = UdpOptions { receive_buffer: Some(4 << 20), ..UdpOptions::default() };
    let mut socket = UdpSocket::bind(options.listen, &udp)?;
    let poller = Poller::new()?;
    let mut events = Events::with_capacity(16);
    let mut batch = RecvBatch::new(64, 65_536);
    let mut turn = Turn { forwarder: Forwarder::new(|_| {}), bytes: Vec::new(), lengths: Vec::new() };
    poller.add(&socket, Token(0), Interest::READ)?;
    let mut interest = Interest::READ;
    println!("core forwards UDP on {}; stop with Ctrl-C", socket.local_addr());
    loop {
        let wanted = Interest::read_and(socket.wants_write());
        if wanted != interest {
            poller.modify(&socket, Token(0), wanted)?;
            interest = wanted;
        }
        poller.wait(&mut events, None)?;
        socket.flush();
        batch.clear();
        socket.recv_batch(&mut batch)?;
        for (from, bytes) in batch.iter() {
            turn.take(&mut socket, *from, bytes);
        }
        turn.flush(&mut socket);
    }
}

/// What one turn sends.
struct Turn {
    forwarder: Forwarder,
    bytes: Vec<u8>,
    lengths: Vec<u16>,
}

impl Turn {
    fn take(&mut self, socket: &mut UdpSocket, from: SocketAddr, bytes: &[u8]) {
        // It may change who subscribes; what came before goes to those who do now.
        if !is_payload(bytes) {
            self.flush(socket);
        }
        match self.forwarder.handle_datagram(from, bytes) {
            Route::Drop => {}
            Route::Answer(answer) => drop(socket.send_to(from, &answer)),
            Route::Forward => {
                self.bytes.extend_from_slice(bytes);
                // At most MAX_DATAGRAM, which fits.
                self.lengths.push(bytes.len() as u16);
            }
        }
    }

    fn flush(&mut self, socket: &mut UdpSocket) {
        if !self.lengths.is_empty() {
            for &to in self.forwarder.subscribers() {
                socket.send_segments(to, &self.bytes, &self.lengths);
            }
        }
        self.bytes.clear();
        self.lengths.clear();
    }
}
