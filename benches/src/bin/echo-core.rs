//! The chapters' echo servers on the core's I/O: `sfu-reactor`'s epoll loop, UDP in batches, frames as on a worker's
//! channel.

use clap::{Args, Parser};
use sfu_reactor::frame::{FrameReader, FrameWriter, Stream};
use sfu_reactor::poll::{Event, Events, Interest, Poller, Token};
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Echoes over TCP and UDP as chapters 01 to 04 do, or answers frames in capitals as chapter 03 does.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Address and port to serve; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The path of a unix socket to answer frames on
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let Place { listen, unix } = Options::parse().place;
    match (listen, unix) {
        (Some(address), _) => serve_internet(address),
        (None, Some(path)) => serve_frames(&path),
        (None, None) => Ok(()),
    }
}

const LISTENER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
/// Connections are named from here on.
const FIRST: u64 = 2;

/// How much one read takes, and how much may wait for a client that doesn't read: then it is not read from either.
const BUFFER: usize = 64 << 10;

struct Connection {
    stream: TcpStream,
    /// What has been read and not yet taken back.
    waiting: Vec<u8>,
    interest: Interest,
}

fn serve_internet(address: SocketAddr) -> io::Result<()> {
    let (listener, mut socket) = bind_both(address)?;
    listener.set_nonblocking(true)?;
    let poller = Poller::new()?;
    poller.add(&listener, LISTENER, Interest::READ)?;
    poller.add(&socket, DATAGRAMS, Interest::READ)?;
    println!("core echoes TCP and UDP on {}; stop with Ctrl-C", socket.local_addr());

    let mut connections: HashMap<u64, Connection> = HashMap::new();
    let mut next = FIRST;
    let mut events = Events::with_capacity(1024);
    let mut batch = RecvBatch::new(64, 65_536);
    let mut buffer = vec![0; BUFFER];
    loop {
        poller.wait(&mut events, None)?;
        for event in &events {
            match event.token {
                LISTENER => {
                    while let Ok((stream, _)) = listener.accept() {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        poller.add(&stream, Token(next), Interest::READ)?;
                        connections.insert(next, Connection { stream, waiting: Vec::new(), interest: Interest::READ });
                        next += 1;
                    }
                }
                DATAGRAMS => {
                    socket.flush();
                    batch.clear();
                    socket.recv_batch(&mut batch)?;
                    for (from, bytes) in batch.iter() {
                        socket.send_to(*from, bytes);
                    }
                    poller.modify(&socket, DATAGRAMS, Interest::read_and(socket.wants_write()))?;
                }
                Token(key) => {
                    let Some(connection) = connections.get_mut(&key) else { continue };
                    match connection.turn(event, &mut buffer) {
                        Ok(true) => connection.register(&poller, Token(key))?,
                        // Both ends of a broken connection know it.
                        Ok(false) | Err(_) => drop(connections.remove(&key)),
                    }
                }
            }
        }
    }
}

/// A port may be free for one of the two and not for the other.
fn bind_both(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let options = UdpOptions { receive_buffer: Some(4 << 20), ..UdpOptions::default() };
    let mut tries = 16;
    loop {
        let listener = TcpListener::bind(address)?;
        match UdpSocket::bind(listener.local_addr()?, &options) {
            Ok(socket) => return Ok((listener, socket)),
            Err(error) if error.kind() == ErrorKind::AddrInUse && address.port() == 0 && tries > 0 => tries -= 1,
            Err(error) => return Err(error),
        }
    }
}

impl Connection {
    /// Takes what has come, and gives it back. False at its end.
    fn turn(&mut self, event: Event, buffer: &mut [u8]) -> io::Result<bool> {
        if self.waiting.is_empty() && event.is_readable() {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    let written = self.write(&buffer[..length])?;
                    self.waiting.extend_from_slice(&buffer[written..length]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        } else if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            let written = self.write(&waiting)?;
            self.waiting = waiting[written..].to_vec();
        }
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// While something waits to be written, nothing is read.
    fn register(&mut self, poller: &Poller, token: Token) -> io::Result<()> {
        let wanted = if self.waiting.is_empty() { Interest::READ } else { Interest::WRITE };
        if wanted != self.interest {
            poller.modify(&self.stream, token, wanted)?;
            self.interest = wanted;
        }
        Ok(())
    }
}

/// Frames in, frames out, as a worker's channel has them, for one client after the other.
fn serve_frames(path: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    println!("core answers frames on {}; stop with Ctrl-C", path.display());
    loop {
        let (stream, _) = listener.accept()?;
        let stream = OwnedFd::from(stream);
        if let Err(error) = answer_frames(stream.as_fd().try_clone_to_owned()?, stream) {
            eprintln!("a client broke: {error}");
        }
    }
}

fn answer_frames(read: OwnedFd, write: OwnedFd) -> io::Result<()> {
    let mut reader = FrameReader::new(read)?;
    let mut writer = FrameWriter::new(write, 64 << 20)?;
    let poller = Poller::new()?;
    let mut events = Events::with_capacity(4);
    poller.add(&reader, Token(0), Interest::READ)?;
    poller.add(&writer, Token(1), Interest::NONE)?;
    let mut waits = false;
    loop {
        poller.wait(&mut events, None)?;
        let open = reader.fill()? == Stream::Open;
        while let Some(frame) = reader.next_frame().map_err(io::Error::other)? {
            frame.make_ascii_uppercase();
            writer.push(frame).map_err(io::Error::other)?;
        }
        writer.flush()?;
        if writer.wants_write() != waits {
            waits = writer.wants_write();
            poller.modify(&writer, Token(1), Interest::write_if(waits))?;
        }
        if !open {
            return Ok(());
        }
    }
}
