//! What a user of the server relies on: every byte comes back, in order, whatever the calls below do.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;

use ch01_simplest_server::{Event, echo, serve_tcp, serve_udp, write_fully};
use proptest::prelude::*;

/// A peer whose calls are interrupted and cut short as the script says: 0 is an interruption, n allows n bytes.
struct Awkward {
    input: VecDeque<u8>,
    output: Vec<u8>,
    script: VecDeque<usize>,
}

impl Awkward {
    fn allowed(&mut self, wanted: usize) -> io::Result<usize> {
        match self.script.pop_front() {
            Some(0) => Err(ErrorKind::Interrupted.into()),
            Some(limit) => Ok(wanted.min(limit)),
            None => Ok(wanted),
        }
    }
}

impl Read for Awkward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.allowed(buffer.len().min(self.input.len()))?;
        for (slot, byte) in buffer.iter_mut().zip(self.input.drain(..length)) {
            *slot = byte;
        }
        Ok(length)
    }
}

impl Write for Awkward {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.allowed(bytes.len())?;
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn interrupted_and_partial_calls_lose_nothing(
        input in prop::collection::vec(any::<u8>(), 0..20_000),
        script in prop::collection::vec(0_usize..700, 0..200),
    ) {
        let mut peer = Awkward { input: input.clone().into(), output: Vec::new(), script: script.into() };
        let (bytes, result) = echo(&mut peer);
        prop_assert!(result.is_ok());
        prop_assert_eq!(bytes, input.len() as u64);
        prop_assert_eq!(peer.output, input);
    }
}

#[test]
fn a_write_that_accepts_nothing_is_an_error_and_not_a_loop() {
    let mut full = io::Cursor::new([0_u8; 3]);
    assert_eq!(write_fully(&mut full, b"four").unwrap_err().kind(), ErrorKind::WriteZero);
}

#[test]
fn a_half_closed_client_gets_its_answer_and_a_broken_one_ends_only_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, events) = mpsc::channel();
    thread::spawn(move || serve_tcp(&listener, |event| sender.send(event).is_ok()));

    // Closing with unread data makes the kernel reset the connection under the server.
    let mut rude = TcpStream::connect(address).unwrap();
    rude.write_all(&[7; 100_000]).unwrap();
    drop(rude);

    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"after the rude one").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"after the rude one");

    let told: Vec<Event> = events.iter().take(4).collect();
    assert!(matches!(told[1], Event::Finished { error: Some(_), .. }), "{told:?}");
    assert!(matches!(told[3], Event::Finished { bytes: 18, error: None, .. }), "{told:?}");
}

#[test]
fn datagrams_come_back_whole_including_the_empty_and_the_largest() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || serve_udp(&socket, |_| true));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut buffer = vec![0; ch01_simplest_server::MAX_DATAGRAM];
    for length in [0, 1, 1_200, ch01_simplest_server::MAX_DATAGRAM] {
        let message: Vec<u8> = (0..length).map(|index| index as u8).collect();
        client.send_to(&message, address).unwrap();
        let (received, _) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..received], message);
    }
}
