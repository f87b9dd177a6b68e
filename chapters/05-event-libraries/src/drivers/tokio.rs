//! tokio: the loop is the library's. What was a state machine above is written as if it blocked; the compiler makes the
//! state machine, and the runtime (on mio) knows which of them can go on.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use ch01_simplest_server::CHUNK;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Builder;

use super::batch::Batch;
use super::{Sockets, passes};
use crate::forwarder::{BUFFER, Forwarder, Route};

/// Which runtime.
#[derive(Debug, Clone, Copy)]
pub enum Flavour {
    CurrentThread,
    MultiThread,
}

// ANCHOR: serve
/// A task for UDP, and one for each TCP client.
pub fn serve(sockets: Sockets, forwarder: Forwarder, flavour: Flavour) -> io::Result<Infallible> {
    sockets.set_nonblocking()?;
    let runtime = match flavour {
        Flavour::CurrentThread => Builder::new_current_thread().enable_io().build()?,
        Flavour::MultiThread => Builder::new_multi_thread().worker_threads(2).enable_io().build()?,
    };
    runtime.block_on(async {
        let udp = UdpSocket::from_std(sockets.udp)?;
        let tcp = TcpListener::from_std(sockets.tcp)?;
        tokio::spawn(accept(tcp));
        // Spawned, so that a worker runs it: what block_on itself runs stays on this thread, which is no worker, and
        // would be woken by one for each datagram.
        tokio::spawn(forward(udp, forwarder)).await?
    })
}

async fn forward(socket: UdpSocket, mut forwarder: Forwarder) -> io::Result<Infallible> {
    let mut buffer = [0; BUFFER];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        match forwarder.handle_datagram(from, &buffer[..length]) {
            Route::Drop => {}
            Route::Answer(answer) => drop(socket.send_to(&answer, from).await),
            Route::Forward => {
                for to in forwarder.subscribers() {
                    let _ = socket.send_to(&buffer[..length], to).await;
                }
            }
        }
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}
// ANCHOR_END: serve

async fn accept(listener: TcpListener) -> io::Result<Infallible> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(echo(stream))),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

// ANCHOR: serve_batches
/// tokio does the waiting, and the calls are ours: what quinn and others do who send many datagrams on tokio.
pub fn serve_batches(sockets: Sockets, mut batch: Batch) -> io::Result<Infallible> {
    sockets.set_nonblocking()?;
    let raw = Arc::new(sockets.udp.try_clone()?);
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let udp = UdpSocket::from_std(sockets.udp)?;
        tokio::spawn(accept(TcpListener::from_std(sockets.tcp)?));
        loop {
            udp.readable().await?;
            // tokio believes the socket readable until a call that it is told of says "would block".
            let result = udp.try_io(Interest::READABLE, || match batch.receive(&raw)? {
                0 => Err(ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            });
            match result {
                Ok(()) => batch.forward(&raw),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    })
}
// ANCHOR_END: serve_batches
