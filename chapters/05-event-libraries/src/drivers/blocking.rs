//! The baseline: threads that sleep in the call itself.

use std::convert::Infallible;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::thread;

use ch01_simplest_server::echo;

use super::{Sockets, passes};
use crate::forwarder::{BUFFER, Forwarder, Route};

/// Blocking calls: a thread for UDP, and one for each TCP client.
pub fn serve(sockets: Sockets, forwarder: Forwarder) -> io::Result<Infallible> {
    let Sockets { udp, tcp } = sockets;
    thread::Builder::new().name("accept".to_owned()).spawn(move || accept(&tcp))?;
    forward(&udp, forwarder)
}

// ANCHOR: forward
fn forward(socket: &UdpSocket, mut forwarder: Forwarder) -> io::Result<Infallible> {
    let mut buffer = [0; BUFFER];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(datagram) => datagram,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        // UDP promises no delivery: what can't be sent is lost like any other datagram.
        match forwarder.handle_datagram(from, &buffer[..length]) {
            Route::Drop => {}
            Route::Answer(answer) => drop(socket.send_to(&answer, from)),
            Route::Forward => {
                for to in forwarder.subscribers() {
                    let _ = socket.send_to(&buffer[..length], to);
                }
            }
        }
    }
}
// ANCHOR_END: forward

fn accept(listener: &TcpListener) -> io::Result<Infallible> {
    loop {
        match listener.accept() {
            // Where no thread can be had, this client is turned away and the others go on.
            Ok((mut stream, _)) => drop(thread::Builder::new().spawn(move || drop(echo(&mut stream)))),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
}
