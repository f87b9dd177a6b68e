//! The wire as the library sees it: each write is one datagram to the peer, each read one from it.

use std::collections::VecDeque;
use std::io;

/// Datagrams that wait in either direction.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Datagrams {
    /// Adds a datagram of the peer.
    pub fn receive(&mut self, datagram: &[u8]) {
        self.incoming.push_back(datagram.to_vec());
    }

    /// How many datagrams of the peer the library has not read yet.
    pub fn waiting(&self) -> usize {
        self.incoming.len()
    }

    /// Takes the oldest datagram for the peer.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }
}

impl io::Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        // As on a socket, the rest of a datagram that is too long is lost; the record in it then doesn't authenticate.
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl io::Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
