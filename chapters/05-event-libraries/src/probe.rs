//! Whether a server does its work: subscribers and a sender that count every datagram and look into each.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use crate::forwarder::{JOIN, JOINED, LEAVE, MAX_DATAGRAM};

/// A peer that hears nothing for this long gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Payloads that are under way at a time: few enough for the smallest receive buffer.
const WINDOW: u32 = 16;

/// A payload as the probe sends it: an RTP version, a number, and filling that depends on it.
///
/// | bytes | meaning |
/// |---|---|
/// | 1 | `80` |
/// | 4 | number, big-endian |
/// | rest | each byte is the one before plus one, the first the number's last byte |
pub fn payload(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0x80];
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend((0..length.saturating_sub(5)).map(|index| (number as usize + index) as u8));
    bytes
}

/// A subscriber, or the sender.
#[derive(Debug)]
pub struct Peer {
    /// Its socket, connected to the forwarder.
    pub socket: UdpSocket,
}

impl Peer {
    /// A socket that speaks with that forwarder only.
    ///
    /// # Errors
    /// Those of `bind` and `connect`.
    pub fn new(forwarder: SocketAddr) -> io::Result<Peer> {
        let any = if forwarder.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(forwarder)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Peer { socket })
    }

    /// Subscribes, and waits for the answer: how many subscribers there are now.
    ///
    /// # Errors
    /// None came, or it is not one.
    pub fn join(&self) -> io::Result<u16> {
        match self.ask(JOIN)? {
            [JOINED, high, low] => Ok(u16::from_be_bytes([high, low])),
            other => Err(io::Error::other(format!("the answer to join was {other:02x?}"))),
        }
    }

    /// Is a subscriber, or the sender, no longer.
    ///
    /// # Errors
    /// No answer came.
    pub fn leave(&self) -> io::Result<()> {
        self.ask(LEAVE).map(drop)
    }

    fn ask(&self, kind: u8) -> io::Result<[u8; 3]> {
        let mut answer = [0; 3];
        self.socket.send(&[kind])?;
        match self.receive(&mut answer)? {
            3 => Ok(answer),
            length => Err(io::Error::other(format!("an answer of {length} bytes"))),
        }
    }

    /// A `recv` with a time limit is interrupted rather than restarted (`man 7 signal`), by io_uring's work as well.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.recv(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
        }
    }

    /// Receives payload `number`.
    ///
    /// # Errors
    /// Nothing comes, or something else.
    pub fn expect(&self, number: u32, length: usize) -> io::Result<()> {
        let mut buffer = [0; MAX_DATAGRAM + 1];
        let received = self.receive(&mut buffer)?;
        if buffer[..received] == payload(number, length) {
            return Ok(());
        }
        Err(io::Error::other(format!("not payload {number} came, but {:02x?}", &buffer[..received.min(8)])))
    }
}

/// Subscribers and a sender of one forwarder.
#[derive(Debug)]
pub struct Probe {
    /// Whoever gets each payload.
    pub subscribers: Vec<Peer>,
    /// Whoever sends them.
    pub sender: Peer,
    next: u32,
}

impl Probe {
    /// Joins so many subscribers.
    ///
    /// # Errors
    /// The forwarder does not answer as it should.
    pub fn new(forwarder: SocketAddr, subscribers: usize) -> io::Result<Probe> {
        let sender = Peer::new(forwarder)?;
        let subscribers: Vec<Peer> = (0..subscribers)
            .map(|before| {
                let peer = Peer::new(forwarder)?;
                match peer.join()? {
                    count if usize::from(count) == before + 1 => Ok(peer),
                    count => Err(io::Error::other(format!("subscriber {} is told that there are {count}", before + 1))),
                }
            })
            .collect::<io::Result<_>>()?;
        Ok(Probe { subscribers, sender, next: 0 })
    }

    // ANCHOR: forward
    /// Sends so many payloads and receives every one at every subscriber; says how many datagrams came out.
    ///
    /// # Errors
    /// One is missing, came twice, out of order, or changed.
    pub fn forward(&mut self, payloads: u32, length: usize) -> io::Result<u64> {
        let end = self.next + payloads;
        while self.next < end {
            let sent = self.send(WINDOW.min(end - self.next), length)?;
            self.receive(sent, length)?;
        }
        Ok(u64::from(payloads) * self.subscribers.len() as u64)
    }

    /// Sends so many payloads; returns their numbers.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn send(&mut self, payloads: u32, length: usize) -> io::Result<Range<u32>> {
        let numbers = self.next..self.next + payloads;
        for number in numbers.clone() {
            self.sender.socket.send(&payload(number, length))?;
        }
        self.next = numbers.end;
        Ok(numbers)
    }

    /// Receives these at every subscriber.
    ///
    /// # Errors
    /// One is missing, came twice, out of order, or changed.
    pub fn receive(&self, numbers: Range<u32>, length: usize) -> io::Result<()> {
        for subscriber in &self.subscribers {
            for number in numbers.clone() {
                subscriber.expect(number, length)?;
            }
        }
        Ok(())
    }
    // ANCHOR_END: forward
}

/// Sends so many bytes to an echo server in pieces, reads and compares them as they come, and finishes.
///
/// # Errors
/// They do not come back as they were sent, or there is no end of file after them.
pub fn echo(server: SocketAddr, bytes: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let message: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
    let mut back = vec![0; bytes];
    for (piece, back) in message.chunks(10_000).zip(back.chunks_mut(10_000)) {
        stream.write_all(piece)?;
        stream.read_exact(back)?;
    }
    stream.shutdown(Shutdown::Write)?;
    if stream.read(&mut [0])? != 0 || back != message {
        return Err(io::Error::other("the echo differs"));
    }
    Ok(())
}
